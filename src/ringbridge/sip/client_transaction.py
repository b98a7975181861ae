"""Client transactions: one request of ours and its responses (RFC 3261 §17.1, RFC 6026 §7.2).

An INVITE may take minutes, because a person has to pick up the phone, and its refusal is acknowledged hop by hop; any
other request is answered at once by a machine. Hence two tables. `step` moves a transaction and returns what has to be
done; doing it (sending, timers, telling the user) is `endpoint_stack`'s. A pair that no table has is ignored, counted.

Timer B and Timer F watch for a dead peer. Timer B ends with the first provisional response: how long a phone may ring
is the application's to decide (Timer C is for proxies only, RFC 3261 §16.6). A re-INVITE rings nowhere: with nothing
after its 100 the peer is as dead as with nothing at all, and its session would take no other offer for ever.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer
from ringbridge.sip.session_events import Failure
from ringbridge.sip.timers import Timer

if TYPE_CHECKING:
    from ringbridge.sip.endpoint_stack import Stack


class State(IntEnum):
    """States of RFC 3261 figures 5 and 6, with the Accepted of RFC 6026."""

    CALLING = 1
    TRYING = 2
    PROCEEDING = 3
    ACCEPTED = 4
    COMPLETED = 5
    TERMINATED = 6


class Input(IntEnum):
    """What can happen to a client transaction; the timers' values are their names in the timer queue."""

    R1XX = 1
    R2XX = 2
    REFUSED = 3
    """A final response of 300 or above."""
    RESEND = 4
    """Timer A or E."""
    GIVE_UP = 5
    """Timer B or F."""
    NO_FINAL = 6
    """64*T1 without a final response: after CANCEL (RFC 3261 §9.1), or after the first provisional to a re-INVITE."""
    LINGERED = 7
    """Timer D, K or M."""
    UNDELIVERED = 8
    """The transport could not deliver."""


class Action(IntEnum):
    """What a step asks for."""

    PASS_UP = 1
    """Tell the user of the response."""
    ACK_AND_PASS_UP = 2
    """Acknowledge the refusal, then tell the user."""
    ACK = 3
    """Acknowledge the refusal once more."""
    RESEND = 4
    TIMED_OUT = 5
    """Tell the user that nobody answers, and forget."""
    NOT_DELIVERED = 6
    """Tell the user that it could not be delivered, and forget."""
    FORGET = 7


Table: TypeAlias = dict[tuple[State, Input], tuple[State, Action]]

INVITE_CLIENT: Final[Table] = {
    (State.CALLING, Input.R1XX): (State.PROCEEDING, Action.PASS_UP),
    (State.CALLING, Input.R2XX): (State.ACCEPTED, Action.PASS_UP),
    (State.CALLING, Input.REFUSED): (State.COMPLETED, Action.ACK_AND_PASS_UP),
    (State.CALLING, Input.RESEND): (State.CALLING, Action.RESEND),
    (State.CALLING, Input.GIVE_UP): (State.TERMINATED, Action.TIMED_OUT),
    (State.CALLING, Input.UNDELIVERED): (State.TERMINATED, Action.NOT_DELIVERED),
    (State.PROCEEDING, Input.R1XX): (State.PROCEEDING, Action.PASS_UP),
    (State.PROCEEDING, Input.R2XX): (State.ACCEPTED, Action.PASS_UP),
    (State.PROCEEDING, Input.REFUSED): (State.COMPLETED, Action.ACK_AND_PASS_UP),
    (State.PROCEEDING, Input.NO_FINAL): (State.TERMINATED, Action.TIMED_OUT),
    (State.ACCEPTED, Input.R2XX): (State.ACCEPTED, Action.PASS_UP),
    (State.ACCEPTED, Input.LINGERED): (State.TERMINATED, Action.FORGET),
    (State.COMPLETED, Input.REFUSED): (State.COMPLETED, Action.ACK),
    (State.COMPLETED, Input.LINGERED): (State.TERMINATED, Action.FORGET),
}

NON_INVITE_CLIENT: Final[Table] = {
    (State.TRYING, Input.R1XX): (State.PROCEEDING, Action.PASS_UP),
    (State.TRYING, Input.R2XX): (State.COMPLETED, Action.PASS_UP),
    (State.TRYING, Input.REFUSED): (State.COMPLETED, Action.PASS_UP),
    (State.TRYING, Input.RESEND): (State.TRYING, Action.RESEND),
    (State.TRYING, Input.GIVE_UP): (State.TERMINATED, Action.TIMED_OUT),
    (State.TRYING, Input.UNDELIVERED): (State.TERMINATED, Action.NOT_DELIVERED),
    (State.PROCEEDING, Input.R1XX): (State.PROCEEDING, Action.PASS_UP),
    (State.PROCEEDING, Input.R2XX): (State.COMPLETED, Action.PASS_UP),
    (State.PROCEEDING, Input.REFUSED): (State.COMPLETED, Action.PASS_UP),
    (State.PROCEEDING, Input.RESEND): (State.PROCEEDING, Action.RESEND),
    (State.PROCEEDING, Input.GIVE_UP): (State.TERMINATED, Action.TIMED_OUT),
    (State.PROCEEDING, Input.UNDELIVERED): (State.TERMINATED, Action.NOT_DELIVERED),
    (State.COMPLETED, Input.LINGERED): (State.TERMINATED, Action.FORGET),
}


class ClientUser(Protocol):
    """Who sent the request and waits for what comes of it."""

    def on_response(self, transaction: ClientTransaction, response: Response, peer: Peer, now: float) -> None:
        """Take a provisional or final response, that `peer` sent; of an INVITE also every further 2xx."""

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Learn that there will be none: TIMEOUT or TRANSPORT."""


Key: TypeAlias = tuple[str, str]
"""Branch and CSeq method: what matches a response to its request (RFC 3261 §17.1.3)."""


class ClientTransaction:
    """One request of ours. What only a live transaction needs is dropped while it merely lingers."""

    __slots__ = (
        "acks",
        "data",
        "expiry",
        "interval_s",
        "key",
        "peer",
        "request",
        "resend",
        "restored",
        "stack",
        "state",
        "table",
        "user",
    )

    def __init__(self, stack: Stack, *, request: Request, branch: str, peer: Peer, user: ClientUser | None) -> None:
        invite = request.method == "INVITE"
        self.stack = stack
        self.key: Key = (branch, request.method)
        self.peer = peer
        self.request: Request | None = request
        self.data = b""
        """The request as sent; while COMPLETED, the ACK of the refusal."""
        self.user = user
        self.table = INVITE_CLIENT if invite else NON_INVITE_CLIENT
        self.state = State.CALLING if invite else State.TRYING
        self.restored = False
        """Taken up from a snapshot: the INVITE may have gone out anew since, on a branch grown from this one."""
        self.interval_s = 0.0
        self.resend: Timer | None = None
        self.expiry: Timer | None = None
        self.acks: dict[str, tuple[Peer, bytes] | None] | None = None
        """Of an accepted INVITE: the ACK of each 2xx by its To tag, to be sent again when that 2xx comes again; None
        while the first is held back."""

    def step(self, happened: Input) -> Action | None:
        """Move by the table; None: the pair has no entry and nothing is to be done."""
        entry = self.table.get((self.state, happened))
        if entry is None:
            return None
        self.state = entry[0]
        return entry[1]

    def keep_ack(self, tag: str, ack: tuple[Peer, bytes]) -> None:
        """Remember the ACK of the 2xx with this To tag, for when that comes again."""
        if self.acks is None:
            self.acks = {}
        self.acks[tag] = ack

    def hold_ack(self, tag: str) -> None:
        """Know the 2xx with this To tag, and answer none of its repetitions yet."""
        self.acks = {tag: None}

    def on_timer(self, name: int, now: float) -> None:
        """Hand a due timer to the stack, which drives the table."""
        self.stack.drive_client(self, Input(name), now)
