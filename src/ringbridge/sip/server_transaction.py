"""Server transactions: one request of a peer and our responses (RFC 3261 §17.2, RFC 6026 §7.1).

They absorb what the network repeats: a retransmitted request gets the last response again, unnoticed by those above.
An INVITE that is refused is repeated until its ACK comes; one that is accepted stays, so that a late retransmission is
not taken for a new call, while the 2xx itself is repeated by the session. A pair that no table has is ignored, counted.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from ringbridge.sip.message import Request
from ringbridge.sip.peer import Peer
from ringbridge.sip.timers import Timer

if TYPE_CHECKING:
    from ringbridge.sip.endpoint_stack import Stack


class State(IntEnum):
    """States of RFC 3261 figures 7 and 8, with the Accepted of RFC 6026."""

    TRYING = 1
    PROCEEDING = 2
    ACCEPTED = 3
    COMPLETED = 4
    CONFIRMED = 5
    TERMINATED = 6


class Input(IntEnum):
    """What can happen to a server transaction; the timers' values are their names in the timer queue."""

    REQUEST = 1
    """The request again."""
    ACK = 2
    SEND_1XX = 3
    SEND_2XX = 4
    SEND_REFUSAL = 5
    """We send a final response of 300 or above."""
    RESEND = 6
    """Timer G."""
    GIVE_UP = 7
    """Timer H: no ACK came for a refusal."""
    LINGERED = 8
    """Timer I, J or L; for a request that the application never answered, Timer F of its sender."""


class Action(IntEnum):
    """What a step asks for."""

    SEND = 1
    """Send the new response and keep it."""
    RESEND = 2
    """Send the last response again."""
    ABSORB = 3
    CONFIRM = 4
    """Stop repeating the refusal; absorb further ACKs for a while."""
    PASS_UP = 5
    """Hand the ACK to the session."""
    FORGET = 6


Table: TypeAlias = dict[tuple[State, Input], tuple[State, Action]]

INVITE_SERVER: Final[Table] = {
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, Action.RESEND),
    (State.PROCEEDING, Input.SEND_1XX): (State.PROCEEDING, Action.SEND),
    (State.PROCEEDING, Input.SEND_2XX): (State.ACCEPTED, Action.SEND),
    (State.PROCEEDING, Input.SEND_REFUSAL): (State.COMPLETED, Action.SEND),
    (State.ACCEPTED, Input.REQUEST): (State.ACCEPTED, Action.ABSORB),
    (State.ACCEPTED, Input.ACK): (State.ACCEPTED, Action.PASS_UP),
    (State.ACCEPTED, Input.LINGERED): (State.TERMINATED, Action.FORGET),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, Action.RESEND),
    (State.COMPLETED, Input.RESEND): (State.COMPLETED, Action.RESEND),
    (State.COMPLETED, Input.ACK): (State.CONFIRMED, Action.CONFIRM),
    (State.COMPLETED, Input.GIVE_UP): (State.TERMINATED, Action.FORGET),
    (State.CONFIRMED, Input.ACK): (State.CONFIRMED, Action.ABSORB),
    (State.CONFIRMED, Input.REQUEST): (State.CONFIRMED, Action.ABSORB),
    (State.CONFIRMED, Input.LINGERED): (State.TERMINATED, Action.FORGET),
}

NON_INVITE_SERVER: Final[Table] = {
    (State.TRYING, Input.REQUEST): (State.TRYING, Action.ABSORB),
    (State.TRYING, Input.SEND_1XX): (State.PROCEEDING, Action.SEND),
    (State.TRYING, Input.SEND_2XX): (State.COMPLETED, Action.SEND),
    (State.TRYING, Input.SEND_REFUSAL): (State.COMPLETED, Action.SEND),
    (State.TRYING, Input.LINGERED): (State.TERMINATED, Action.FORGET),
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, Action.RESEND),
    (State.PROCEEDING, Input.SEND_1XX): (State.PROCEEDING, Action.SEND),
    (State.PROCEEDING, Input.LINGERED): (State.TERMINATED, Action.FORGET),
    (State.PROCEEDING, Input.SEND_2XX): (State.COMPLETED, Action.SEND),
    (State.PROCEEDING, Input.SEND_REFUSAL): (State.COMPLETED, Action.SEND),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, Action.RESEND),
    (State.COMPLETED, Input.LINGERED): (State.TERMINATED, Action.FORGET),
}

Key: TypeAlias = tuple[str, ...]


def key_of(request: Request) -> Key:
    """Return what finds the transaction that a request, its retransmission or its ACK belongs to (RFC 3261 §17.2.3)."""
    via = request.via
    method = "INVITE" if request.method == "ACK" else request.method
    branch = via.branch or ""
    if via.has_cookie:
        return (branch, via.sent_by, method)
    # RFC 3261 §17.2.3: a peer of RFC 2543 has no unique branch; what it repeats is recognised by its identity.
    tag = request.from_.tag or ""
    return (branch, via.sent_by, method, request.call_id, tag, str(request.cseq.number), request.uri)


class ServerTransaction:
    """One request of a peer; the application's handle for `Endpoint.respond`."""

    __slots__ = (
        "expiry",
        "interval_s",
        "key",
        "last",
        "merge_key",
        "peer",
        "request",
        "resend",
        "stack",
        "state",
        "table",
        "to_tag",
    )

    def __init__(self, stack: Stack, *, request: Request, key: Key, peer: Peer) -> None:
        invite = request.method == "INVITE"
        self.stack = stack
        self.key = key
        self.merge_key: Key | None = None
        """Of a request outside of a dialog: what tells that the same request came on another path too."""
        self.peer = peer
        """Where responses go."""
        self.request: Request | None = request
        """Dropped once the final response has been sent."""
        self.table = INVITE_SERVER if invite else NON_INVITE_SERVER
        self.state = State.PROCEEDING if invite else State.TRYING
        self.last = b""
        """The last response as sent."""
        self.to_tag: str | None = None
        """The tag that our responses carry where the request's To has none."""
        self.interval_s = 0.0
        self.resend: Timer | None = None
        self.expiry: Timer | None = None

    def step(self, happened: Input) -> Action | None:
        """Move by the table; None: the pair has no entry and nothing is to be done."""
        entry = self.table.get((self.state, happened))
        if entry is None:
            return None
        self.state = entry[0]
        return entry[1]

    @property
    def answered(self) -> bool:
        """Whether a final response has been sent."""
        return self.state > State.PROCEEDING

    def on_timer(self, name: int, now: float) -> None:
        """Hand a due timer to the stack, which drives the table."""
        self.stack.drive_server(self, Input(name), now)
