"""The SIP endpoint: bytes and a clock reading in, bytes and events out.

Whoever drives it owns sockets and clock, and after every call does three things: sends what `take_outgoing` gives, acts
on what `take_events` gives, and calls `handle_timeout` when `next_timeout` has come. Calls may be made from within the
handling of events. Nothing here blocks, and nothing that a peer sends makes `receive` raise.

Where to read on, from the wire upwards:

    endpoint_dispatch    what arrives, and where it goes
    endpoint_stack       transactions by their tables (`client_transaction`, `server_transaction`), timers, what leaves
    endpoint_exchange    one request of ours until its final outcome: challenges, transports
    endpoint_uac, _cancel, _prack, _repeater, _uas      an INVITE until its ACK, from either side
    endpoint_in_dialog, _refresh, _requests, _ending    a running session (`session`, `dialog`) until its end
    endpoint_restore     a session after a crash; `registration`: a binding kept
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ringbridge.sip import client_transaction as client
from ringbridge.sip import (
    endpoint_cancel,
    endpoint_dispatch,
    endpoint_ending,
    endpoint_in_dialog,
    endpoint_refresh,
    endpoint_requests,
    endpoint_restore,
    endpoint_uac,
    endpoint_uas,
)
from ringbridge.sip import (
    registration as keeping,
)
from ringbridge.sip.digest import Credentials
from ringbridge.sip.endpoint_ending import send_bye
from ringbridge.sip.endpoint_settings import EndpointCounters, EndpointSettings, EndpointSizes
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.peer import Peer
from ringbridge.sip.registration import Registration
from ringbridge.sip.serializer import Headers
from ringbridge.sip.server_transaction import ServerTransaction
from ringbridge.sip.session import Action, Input, Session, State
from ringbridge.sip.session_events import EndpointEvent
from ringbridge.sip.session_orders import InviteOrder, RegisterOrder, RequestOrder
from ringbridge.sip.session_snapshot import SessionSnapshot


class Endpoint:
    """A SIP user agent: any number of sessions and registrations at once, over any transport.

    `shedding` may be set at any time: while true, new INVITEs get 503 with Retry-After; ACK, BYE and CANCEL never do.
    """

    __slots__ = ("_rules", "_stack", "shedding")

    def __init__(self, settings: EndpointSettings, *, new_token: Callable[[], str]) -> None:
        """`new_token` is the only source of tags, branches and Call-IDs: unpredictable, unique, SIP tokens."""
        self.shedding = False
        stack = self._stack = Stack(settings, new_token)
        stack.on_ack = partial(endpoint_uas.receive_ack, stack)
        stack.stray_answers = endpoint_uac.StrayAnswers(stack)
        self._rules = endpoint_dispatch.rules_of(stack)

    # --- bytes and time ---

    def receive(self, data: bytes, peer: Peer, now: float) -> None:
        """Take in one datagram or one framed message from `peer`. Never raises for what `data` holds."""
        endpoint_dispatch.receive(self._stack, self._rules, data, peer, now, shedding=self.shedding)

    def peer_failed(self, peer: Peer, now: float) -> None:
        """Learn that what was sent to `peer` did not arrive: connection refused or closed, ICMP unreachable."""
        stack = self._stack
        for transaction in [each for each in stack.pending if each.peer == peer]:
            stack.drive_client(transaction, client.Input.UNDELIVERED, now)

    def peer_refused(self, peer: Peer, now: float) -> None:
        """Learn that nothing may be sent to `peer`: its dialogs end with 503, as neither ACK nor BYE can reach it."""
        self.count_refused_address()
        self.peer_failed(peer, now)
        for session in [each for each in self._stack.sessions.values() if each.dialog.peer == peer]:
            endpoint_ending.die(self._stack, session, 503, now)

    def count_refused_address(self) -> None:
        """Count that something was not sent because of where it would have gone."""
        self._stack.counters.refused_addresses += 1

    def handle_timeout(self, now: float) -> None:
        """Do all that is due at `now`."""
        self._stack.queue.fire_due(now)

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` is to be called next; None: not before something happens."""
        return self._stack.queue.next_at()

    def take_outgoing(self) -> list[tuple[Peer, bytes]]:
        """Return what has to be sent, in order, and forget it."""
        stack = self._stack
        outgoing, stack.outgoing = stack.outgoing, []
        return outgoing

    def take_events(self) -> list[EndpointEvent]:
        """Return what happened since the last time, in order, and forget it."""
        stack = self._stack
        events, stack.events = stack.events, []
        return events

    # --- sessions that we start ---

    def prepare_invite(self, order: InviteOrder) -> Session:
        """Fix Call-ID, tag, branch and the whole INVITE; nothing is sent. Its `snapshot` can be stored first.

        Raises:
            UnsafeHeader: something in the order has no place in a SIP message.
        """
        return endpoint_uac.prepare_invite(self._stack, order)

    def send_invite(self, session: Session, now: float) -> None:
        """Send a prepared INVITE; what comes of it are `Progress`, `Answered` and `Failed`."""
        endpoint_uac.send_invite(self._stack, session, now)

    def acknowledge(self, session: Session) -> None:
        """Send the ACK that `EndpointSettings.ack_within_s` holds back; again, or where none waits, is harmless."""
        endpoint_ending.acknowledge(session)

    def forget(self, session: Session) -> None:
        """Let go of a session that somebody else goes on with: nothing is sent, and nothing told of it any more."""
        endpoint_ending.forget(self._stack, session)

    def restore(self, snapshot: SessionSnapshot, now: float, *, credentials: Credentials | None = None) -> Session:
        """Take a session up again after a crash. No INVITE is sent.

        Unanswered: late responses are taken as if nothing had happened, `hang_up` CANCELs at once. Answered: the dialog
        goes on; a retransmitted 200 is acknowledged again.

        Raises:
            ValueError: an unanswered session that the peer started, which cannot be taken up again.
        """
        return endpoint_restore.restore(self._stack, snapshot, now, credentials=credentials)

    # --- sessions that peers start ---

    def ring(self, session: Session, now: float, *, status: int = 180, sdp: bytes = b"") -> None:
        """Send a provisional response, reliably (RFC 3262) if the peer requires that. Late calls do nothing."""
        endpoint_uas.ring(self._stack, session, now, status=status, sdp=sdp)

    def answer(self, session: Session, sdp: bytes, now: float) -> None:
        """Answer 200 with `sdp`. Does nothing when the peer has cancelled already."""
        endpoint_uas.answer(self._stack, session, sdp, now)

    def reject(
        self, session: Session, now: float, *, status: int, reason: str | None = None, headers: Headers = ()
    ) -> None:
        """Refuse an incoming INVITE with a final status of 300 or above."""
        endpoint_uas.reject(self._stack, session, now, status=status, reason=reason, headers=headers)

    # --- any session ---

    def hang_up(self, session: Session, now: float, *, reason_header: str | None = None) -> None:
        """End a session however it stands: forget, CANCEL, refuse (480) or BYE; again is harmless.

        `reason_header` is the value of a Reason header (RFC 3326), `Q.850;cause=16`.
        """
        stack = self._stack
        before = session.reason_header
        session.reason_header = reason_header
        match session.step(Input.HANG_UP):
            case Action.SEND_BYE:
                send_bye(stack, session, now)
            case Action.SEND_CANCEL:
                endpoint_cancel.send_cancel(stack, session, now)
            case Action.WAIT:
                if session.state is State.CANCEL_PENDING:
                    endpoint_cancel.wait_for_provisional(session)
            case Action.REPORT_CANCELLED:
                endpoint_cancel.cancel_prepared(stack, session)
            case Action.REFUSE:
                endpoint_uas.refuse(stack, session, now, status=480)
            case _:
                session.reason_header = before

    def reinvite(self, session: Session, sdp: bytes, now: float) -> None:
        """Offer `sdp` in a re-INVITE; the outcome is a `ReinviteResult` (491 at once if one is under way)."""
        endpoint_refresh.reinvite(self._stack, session, sdp, now)

    def answer_reinvite(self, session: Session, now: float, *, sdp: bytes = b"", status: int = 200) -> None:
        """Answer the peer's `Reinvited`: with `sdp`, or refuse with `status` (488) and all stays as it was."""
        endpoint_in_dialog.answer_reinvite(self._stack, session, now, sdp=sdp, status=status)

    def send_info(self, session: Session, now: float, *, content_type: str, body: bytes) -> str:
        """Send INFO inside the dialog (DTMF); return the token of its `RequestResult`."""
        headers = (("Content-Type", content_type),)
        return endpoint_requests.send_in_dialog(self._stack, session, now, method="INFO", headers=headers, body=body)

    def send_in_dialog(
        self, session: Session, now: float, *, method: str, headers: Headers = (), body: bytes = b""
    ) -> str:
        """Send any other request inside the dialog (NOTIFY, REFER); return the token of its `RequestResult`."""
        return endpoint_requests.send_in_dialog(self._stack, session, now, method=method, headers=headers, body=body)

    # --- registrations and other requests ---

    def register(self, order: RegisterOrder, now: float) -> Registration:
        """Register and keep registered until `unregister`; each outcome is a `RegistrationResult`."""
        return keeping.register(self._stack, order, now)

    def unregister(self, registration: Registration, now: float) -> None:
        """Take the binding back; the outcome is a last `RegistrationResult`."""
        keeping.unregister(registration, now)

    def send_request(self, order: RequestOrder, now: float) -> str:
        """Send a request outside of any dialog; return the token of its `RequestResult`."""
        return endpoint_requests.send_request(self._stack, order, now)

    def respond(
        self,
        transaction: ServerTransaction,
        now: float,
        *,
        status: int,
        reason: str | None = None,
        headers: Headers = (),
        body: bytes = b"",
    ) -> None:
        """Answer an `IncomingRequest`. A transaction that has ended meanwhile is left alone."""
        self._stack.respond(transaction, now, status=status, reason=reason, headers=headers, body=body)

    # --- looking inside ---

    @property
    def counters(self) -> EndpointCounters:
        """What has happened since the start."""
        return self._stack.counters

    def sizes(self) -> EndpointSizes:
        """Return how much is held now."""
        stack = self._stack
        return EndpointSizes(
            client_transactions=len(stack.clients),
            server_transactions=len(stack.servers),
            sessions=len(stack.sessions),
            registrations=len(stack.registrations),
            timers=len(stack.queue),
        )
