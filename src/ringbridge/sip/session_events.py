"""What the endpoint tells the application; taken with `Endpoint.take_events()`, in the order in which it happened.

Every session ends with exactly one of two events. One that we invited: `Failed` when it was never `Answered`, also when
it was our own `hang_up` (then `cause` is CANCELLED), else `Ended`. One that invited us: always `Ended`. After it the
endpoint has forgotten the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer

if TYPE_CHECKING:
    from ringbridge.sip.registration import Registration
    from ringbridge.sip.server_transaction import ServerTransaction
    from ringbridge.sip.session import Session


class Failure(Enum):
    """Why a request of ours has no usable answer."""

    RESPONSE = "response"
    """The peer refused: `status` is its final response."""
    TIMEOUT = "timeout"
    """Nobody answered: `status` is 408."""
    TRANSPORT = "transport"
    """It could not be delivered (connection refused, ICMP): `status` is 503."""
    CANCELLED = "cancelled"
    """We hung up before the answer: `status` is the final response, 487 where there was none."""


class EndedBy(Enum):
    """Who ended a session."""

    REMOTE = "remote"
    LOCAL = "local"
    TIMEOUT = "timeout"
    """No ACK came, or the dialog died (481 or 408 to a request in it)."""
    EXPIRED = "expired"
    """The session timer ran out: nobody refreshed it (RFC 4028 §10)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response above 100 to our INVITE; `sdp` when it brings early media (RFC 3960)."""

    session: Session
    status: int
    reason: str
    sdp: bytes
    remote_tag: str
    """Tells forked branches apart; empty when the peer gave none."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Our INVITE was answered with `status` (2xx) and the ACK is on its way out."""

    session: Session
    status: int
    reason: str
    sdp: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """Our INVITE ended without an answer. `contacts` are the targets of a 3xx, best first."""

    session: Session
    cause: Failure
    status: int
    reason: str
    retry_after_s: int | None = None
    contacts: tuple[str, ...] = ()
    reason_header: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over.

    By REMOTE: at once, with the peer's Reason header (RFC 3326) if any; `status` is 200, or 487 when it cancelled.
    By LOCAL: when our BYE is answered or given up; `status` is that answer's, 408 or 503 when there was none, or the
    status that an incoming INVITE was rejected with.
    """

    session: Session
    by: EndedBy
    status: int
    reason_header: str | None = None


@dataclass(frozen=True, slots=True)
class IncomingInvite:
    """A new INVITE; answer with `ring`, `answer` or `reject`. 100 Trying has been sent."""

    session: Session
    request: Request
    peer: Peer
    sdp: bytes


@dataclass(frozen=True, slots=True)
class AckReceived:
    """The peer acknowledged our 2xx; `sdp` is its answer where ours was the offer, else empty."""

    session: Session
    sdp: bytes


@dataclass(frozen=True, slots=True)
class Reinvited:
    """The peer re-INVITEd, or sent UPDATE with an offer; answer with `answer_reinvite`.

    Empty `sdp`: a re-INVITE that asks for our offer; the peer's answer comes with `AckReceived`.
    """

    session: Session
    sdp: bytes
    method: str


@dataclass(frozen=True, slots=True)
class ReinviteResult:
    """Our re-INVITE's outcome; `status` 491: glare, the application retries after a random while (RFC 3261 §14.1)."""

    session: Session
    status: int
    sdp: bytes


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """INFO inside a dialog (RFC 6086; DTMF as `application/dtmf-relay` or `application/dtmf`). Answered 200."""

    session: Session
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A request that the application answers with `respond`; `session` when it is inside a dialog (REFER, NOTIFY)."""

    transaction: ServerTransaction
    request: Request
    peer: Peer
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class RequestResult:
    """Final outcome of `send_request` or `send_in_dialog`; `response` is None for a local 408 or 503."""

    token: str
    status: int
    reason: str
    response: Response | None
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class RegistrationResult:
    """A REGISTER's outcome; for 200 `expires_s` is what the registrar granted our contact, 0 when unregistered.

    The endpoint refreshes a granted binding by itself and says so with another event.
    """

    registration: Registration
    status: int
    reason: str
    expires_s: int
    contact: str
    retry_after_s: int | None = None


EndpointEvent: TypeAlias = (
    Progress
    | Answered
    | Failed
    | Ended
    | IncomingInvite
    | AckReceived
    | Reinvited
    | ReinviteResult
    | InfoReceived
    | IncomingRequest
    | RequestResult
    | RegistrationResult
)
