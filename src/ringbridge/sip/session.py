"""A session: the INVITE usage of a dialog, from either side (RFC 3261 §9, §13-§15).

Theory. A session that we start is PREPARED until its INVITE leaves, CALLING until anything comes back, PROCEEDING until
the final response. Hanging up then means CANCEL, but a CANCEL may only follow a provisional response (§9.1), so that
before one it waits (CANCEL_PENDING). A 200 may cross the CANCEL: then the phone has been picked up, and the session is
acknowledged and ended by BYE without the application hearing of an answer.

A session that a peer starts is INCOMING until we answer. After our 2xx the dialog stands, but §15 forbids us a BYE
before the ACK has come or was given up; hanging up in between waits (BYE_PENDING).

`SESSION` says all of it. What an action does stands with the side that performs it: `endpoint_uac`, `endpoint_uas`,
`endpoint_bye`. A pair that is missing is ignored: hanging up twice, a BYE to what has ended.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from ringbridge.sip.session_snapshot import PeerSnapshot, SessionSnapshot, SessionTimerSnapshot

if TYPE_CHECKING:
    from ringbridge.sip.dialog import Dialog
    from ringbridge.sip.endpoint_exchange import Authorizer, Exchange
    from ringbridge.sip.endpoint_prack import ReliableProvisionals
    from ringbridge.sip.endpoint_refresh import SessionWatch
    from ringbridge.sip.endpoint_repeater import Repeater
    from ringbridge.sip.held_ack import HeldAck
    from ringbridge.sip.peer import Peer
    from ringbridge.sip.server_transaction import ServerTransaction


class State(IntEnum):
    """Where a session stands."""

    PREPARED = 1
    CALLING = 2
    PROCEEDING = 3
    CANCEL_PENDING = 4
    CANCELLED = 5
    INCOMING = 6
    ANSWERED = 7
    """We sent 2xx and wait for the ACK."""
    BYE_PENDING = 8
    """As ANSWERED, and we want to hang up."""
    ESTABLISHED = 9
    ENDING = 10
    """Our BYE is on its way."""
    ENDED = 11


class Input(IntEnum):
    """What can happen to a session."""

    SEND = 1
    R1XX = 2
    R2XX = 3
    REFUSED = 4
    """The INVITE's final response of 300 or above, or none at all."""
    HANG_UP = 5
    ANSWER = 6
    REJECT = 7
    CANCEL = 8
    """The peer's CANCEL."""
    ACK = 9
    NO_ACK = 10
    """64*T1 after our 2xx."""
    BYE = 11
    """The peer's BYE."""
    BYE_DONE = 12
    """Our BYE was answered or given up."""
    RETRIED = 13
    """The INVITE went out anew, for a challenge or a 422: nothing has been heard of the new one yet."""
    DEAD = 14
    """The dialog cannot go on: session timer run out, 481 or 408 to a request in it."""


class Action(IntEnum):
    """What a step asks for."""

    SEND_INVITE = 1
    REPORT_PROGRESS = 2
    REPORT_ANSWER = 3
    """Acknowledge the 2xx and tell the application."""
    REPORT_FAILURE = 4
    REPORT_CANCELLED = 5
    SEND_CANCEL = 6
    WAIT = 7
    ACK_AND_BYE = 8
    SEND_2XX = 9
    REFUSE = 10
    REFUSE_AS_CANCELLED = 11
    """487 to the INVITE; the peer ended it."""
    CONFIRM = 12
    """Stop repeating the 2xx."""
    SEND_BYE = 13
    REPORT_ENDED = 14
    """It was the peer's BYE."""
    REPORT_HUNG_UP = 15
    """It was our BYE."""


SESSION: Final[dict[tuple[State, Input], tuple[State, Action]]] = {
    # we invited
    (State.PREPARED, Input.SEND): (State.CALLING, Action.SEND_INVITE),
    (State.PREPARED, Input.HANG_UP): (State.ENDED, Action.REPORT_CANCELLED),
    (State.CALLING, Input.R1XX): (State.PROCEEDING, Action.REPORT_PROGRESS),
    (State.CALLING, Input.R2XX): (State.ESTABLISHED, Action.REPORT_ANSWER),
    (State.CALLING, Input.REFUSED): (State.ENDED, Action.REPORT_FAILURE),
    (State.CALLING, Input.HANG_UP): (State.CANCEL_PENDING, Action.WAIT),
    (State.PROCEEDING, Input.R1XX): (State.PROCEEDING, Action.REPORT_PROGRESS),
    (State.PROCEEDING, Input.R2XX): (State.ESTABLISHED, Action.REPORT_ANSWER),
    (State.PROCEEDING, Input.REFUSED): (State.ENDED, Action.REPORT_FAILURE),
    (State.PROCEEDING, Input.RETRIED): (State.CALLING, Action.WAIT),
    (State.PROCEEDING, Input.HANG_UP): (State.CANCELLED, Action.SEND_CANCEL),
    # RFC 3261 §15: a callee must not BYE an early dialog. One that does wants no call: take ours back.
    (State.PROCEEDING, Input.BYE): (State.CANCELLED, Action.SEND_CANCEL),
    (State.CANCEL_PENDING, Input.R1XX): (State.CANCELLED, Action.SEND_CANCEL),
    (State.CANCEL_PENDING, Input.R2XX): (State.ENDING, Action.ACK_AND_BYE),
    (State.CANCEL_PENDING, Input.REFUSED): (State.ENDED, Action.REPORT_CANCELLED),
    (State.CANCELLED, Input.R1XX): (State.CANCELLED, Action.WAIT),
    (State.CANCELLED, Input.R2XX): (State.ENDING, Action.ACK_AND_BYE),
    (State.CANCELLED, Input.REFUSED): (State.ENDED, Action.REPORT_CANCELLED),
    # the peer invited
    (State.INCOMING, Input.ANSWER): (State.ANSWERED, Action.SEND_2XX),
    (State.INCOMING, Input.REJECT): (State.ENDED, Action.REFUSE),
    (State.INCOMING, Input.HANG_UP): (State.ENDED, Action.REFUSE),
    (State.INCOMING, Input.CANCEL): (State.ENDED, Action.REFUSE_AS_CANCELLED),
    (State.INCOMING, Input.BYE): (State.ENDED, Action.REFUSE_AS_CANCELLED),
    (State.ANSWERED, Input.ACK): (State.ESTABLISHED, Action.CONFIRM),
    (State.ANSWERED, Input.HANG_UP): (State.BYE_PENDING, Action.WAIT),
    (State.ANSWERED, Input.REJECT): (State.BYE_PENDING, Action.WAIT),
    (State.ANSWERED, Input.NO_ACK): (State.ENDING, Action.SEND_BYE),
    (State.ANSWERED, Input.DEAD): (State.BYE_PENDING, Action.WAIT),
    (State.ANSWERED, Input.BYE): (State.ENDED, Action.REPORT_ENDED),
    (State.BYE_PENDING, Input.ACK): (State.ENDING, Action.SEND_BYE),
    (State.BYE_PENDING, Input.NO_ACK): (State.ENDING, Action.SEND_BYE),
    (State.BYE_PENDING, Input.BYE): (State.ENDED, Action.REPORT_ENDED),
    # either
    (State.ESTABLISHED, Input.HANG_UP): (State.ENDING, Action.SEND_BYE),
    (State.ESTABLISHED, Input.DEAD): (State.ENDING, Action.SEND_BYE),
    (State.ESTABLISHED, Input.NO_ACK): (State.ENDING, Action.SEND_BYE),
    (State.ESTABLISHED, Input.BYE): (State.ENDED, Action.REPORT_ENDED),
    (State.ENDING, Input.BYE_DONE): (State.ENDED, Action.REPORT_HUNG_UP),
    (State.ENDING, Input.BYE): (State.ENDED, Action.REPORT_HUNG_UP),
}


class Session:
    """One party that we invited (`caller` is true) or that invited us.

    The application holds it as a handle; it compares and hashes by identity.
    """

    __slots__ = (
        "answered",
        "auth",
        "caller",
        "dead_status",
        "dialog",
        "early",
        "early_sdp",
        "exchange",
        "expired",
        "held_ack",
        "invite_branch",
        "invite_cseq",
        "invite_routes",
        "local_sdp",
        "offer",
        "peer_tcp",
        "peer_updates",
        "provisionals",
        "reason_header",
        "reinvite",
        "repeater",
        "request_uri",
        "restored",
        "server",
        "sip_call_id",
        "state",
        "subscribed",
        "timer_s",
        "watch",
    )

    def __init__(self, dialog: Dialog, *, caller: bool) -> None:
        self.sip_call_id = dialog.sip_call_id
        self.caller = caller
        self.state = State.PREPARED if caller else State.INCOMING
        self.answered = False
        """A 2xx was sent or taken, and the application knows."""
        self.dialog = dialog
        """The dialog; of a session that we start, before the answer, what the dialogs will grow from."""
        self.early: dict[str, Dialog] | None = None
        """Early dialogs by remote tag, where one was needed before the answer."""
        self.early_sdp: dict[str, bytes] | None = None
        """SDP of provisional responses by remote tag."""
        self.exchange: Exchange | None = None
        """Our initial INVITE until its final response."""
        self.server: ServerTransaction | None = None
        """The peer's initial INVITE until our final response."""
        self.auth: Authorizer | None = None
        self.peer_tcp: Peer | None = None
        self.local_sdp = b""
        """Our last offer or answer."""
        self.reinvite: Exchange | None = None
        """Our re-INVITE or UPDATE under way."""
        self.offer: ServerTransaction | None = None
        """The peer's re-INVITE or UPDATE that waits for the application."""
        self.repeater: Repeater | None = None
        """Repeats our 2xx to an INVITE until its ACK."""
        self.provisionals: ReliableProvisionals | None = None
        self.watch: SessionWatch | None = None
        self.held_ack: HeldAck | None = None
        """The ACK of the 2xx that answered us, while it waits to be let go."""
        self.reason_header: str | None = None
        """Reason of our CANCEL or BYE."""
        self.dead_status: int | None = None
        """Why the dialog died, if it did: the status to report."""
        self.expired = False
        """The dialog died because nobody refreshed the session in time."""
        self.timer_s: int | None = None
        """`InviteOrder.session_expires_s`."""
        self.peer_updates = False
        self.subscribed = False
        """We sent REFER: NOTIFY is expected."""
        self.restored = False
        self.request_uri = dialog.target
        self.invite_branch = ""
        self.invite_cseq = 0
        self.invite_routes: tuple[str, ...] = ()

    def step(self, happened: Input) -> Action | None:
        """Move by the table; None: the pair has no entry and nothing is to be done."""
        entry = SESSION.get((self.state, happened))
        if entry is None:
            return None
        self.state = entry[0]
        return entry[1]

    @property
    def key(self) -> tuple[str, str]:
        """What finds the session for a request inside its dialog."""
        return (self.sip_call_id, self.dialog.local_tag)

    def snapshot(self) -> SessionSnapshot:
        """Return all that `Endpoint.restore` needs; best taken when prepared, and again once answered."""
        dialog = self.dialog
        established = self.state >= State.ANSWERED
        watch = self.watch
        return SessionSnapshot(
            sip_call_id=self.sip_call_id,
            caller=self.caller,
            answered=established,
            local_tag=dialog.local_tag,
            local=dialog.local,
            remote=dialog.remote,
            peer=_peer_snapshot(dialog.peer),
            request_uri=self.request_uri,
            invite_branch=self.invite_branch,
            invite_cseq=self.invite_cseq,
            local_cseq=dialog.local_cseq,
            remote_cseq=dialog.remote_cseq,
            remote_tag=dialog.remote_tag,
            remote_target=dialog.target if established else "",
            route_set=dialog.route_set if established else (),
            invite_routes=self.invite_routes,
            peer_tcp=None if self.peer_tcp is None else _peer_snapshot(self.peer_tcp),
            stay_with_peer=dialog.stay_with_peer,
            peer_updates=self.peer_updates,
            peer_timer=None if watch is None else SessionTimerSnapshot(watch.expires_s, watch.we_refresh),
            timer_s=self.timer_s,
            realm="" if self.auth is None else self.auth.realm,
            local_sdp=self.local_sdp if established else b"",
        )


def _peer_snapshot(peer: Peer) -> PeerSnapshot:
    return PeerSnapshot(peer.transport.value, peer.host, peer.port)
