"""The SIP endpoint: bytes and a clock reading in, bytes and events out.

Whoever drives it owns sockets and clock, and after every call does three things: sends what `take_outgoing` gives, acts
on what `take_events` gives, and calls `handle_timeout` when `next_timeout` has come. Calls may be made from within the
handling of events. Nothing here blocks, and nothing that a peer sends makes `receive` raise.
"""

from __future__ import annotations

from collections.abc import Callable

from ringbridge.sip.digest import Credentials
from ringbridge.sip.endpoint_settings import EndpointCounters, EndpointSettings, EndpointSizes
from ringbridge.sip.peer import Peer
from ringbridge.sip.registration import Registration
from ringbridge.sip.server_transaction import ServerTransaction
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import EndpointEvent
from ringbridge.sip.session_orders import InviteOrder, RegisterOrder, RequestOrder
from ringbridge.sip.session_snapshot import SessionSnapshot

Headers = tuple[tuple[str, str], ...]


class Endpoint:
    """A SIP user agent: any number of sessions and registrations at once, over any transport.

    `shedding` may be set at any time: while it is true, new INVITEs get 503 with Retry-After; ACK, BYE and CANCEL never.
    """

    __slots__ = ()

    shedding: bool

    def __init__(self, settings: EndpointSettings, *, new_token: Callable[[], str]) -> None:
        """`new_token` is the only source of tags, branches and Call-IDs: unpredictable, unique, SIP tokens."""
        raise NotImplementedError

    # --- bytes and time ---

    def receive(self, data: bytes, peer: Peer, now: float) -> None:
        """Take in one datagram or one framed message from `peer`. Never raises for what `data` holds."""
        raise NotImplementedError

    def peer_failed(self, peer: Peer, now: float) -> None:
        """Learn that what was sent to `peer` did not arrive: connection refused or closed, ICMP unreachable."""
        raise NotImplementedError

    def handle_timeout(self, now: float) -> None:
        """Do all that is due at `now`."""
        raise NotImplementedError

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` is to be called next; None: not before something happens."""
        raise NotImplementedError

    def take_outgoing(self) -> list[tuple[Peer, bytes]]:
        """Return what has to be sent, in order, and forget it."""
        raise NotImplementedError

    def take_events(self) -> list[EndpointEvent]:
        """Return what happened since the last time, in order, and forget it."""
        raise NotImplementedError

    # --- sessions that we start ---

    def prepare_invite(self, order: InviteOrder) -> Session:
        """Fix Call-ID, tag, branch and the whole INVITE; nothing is sent. Its `snapshot` can be stored first.

        Raises:
            UnsafeHeader: something in the order has no place in a SIP message.
        """
        raise NotImplementedError

    def send_invite(self, session: Session, now: float) -> None:
        """Send a prepared INVITE; what comes of it are `Progress`, `Answered` and `Failed`."""
        raise NotImplementedError

    def restore(self, snapshot: SessionSnapshot, now: float, *, credentials: Credentials | None = None) -> Session:
        """Take a session up again after a crash. No INVITE is sent.

        Unanswered: late responses are taken as if nothing had happened, `hang_up` CANCELs at once. Answered: the dialog
        goes on; a retransmitted 200 is acknowledged again.

        Raises:
            ValueError: an unanswered session that the peer started, which cannot be taken up again.
        """
        raise NotImplementedError

    # --- sessions that peers start ---

    def ring(self, session: Session, now: float, *, status: int = 180, sdp: bytes = b"") -> None:
        """Send a provisional response, reliably (RFC 3262) if the peer requires that. Late calls do nothing."""
        raise NotImplementedError

    def answer(self, session: Session, sdp: bytes, now: float) -> None:
        """Answer 200 with `sdp`. Does nothing when the peer has cancelled already."""
        raise NotImplementedError

    def reject(
        self, session: Session, now: float, *, status: int, reason: str | None = None, headers: Headers = ()
    ) -> None:
        """Refuse an incoming INVITE with a final status of 300 or above."""
        raise NotImplementedError

    # --- any session ---

    def hang_up(self, session: Session, now: float, *, reason_header: str | None = None) -> None:
        """End a session however it stands: forget, CANCEL, refuse (480) or BYE; again is harmless.

        `reason_header` is the value of a Reason header (RFC 3326), `Q.850;cause=16`.
        """
        raise NotImplementedError

    def reinvite(self, session: Session, sdp: bytes, now: float) -> None:
        """Offer `sdp` in a re-INVITE; the outcome is a `ReinviteResult` (491 at once if one is under way)."""
        raise NotImplementedError

    def answer_reinvite(self, session: Session, now: float, *, sdp: bytes = b"", status: int = 200) -> None:
        """Answer the peer's `Reinvited`: with `sdp`, or refuse with `status` (488) and all stays as it was."""
        raise NotImplementedError

    def send_info(self, session: Session, now: float, *, content_type: str, body: bytes) -> str:
        """Send INFO inside the dialog (DTMF); return the token of its `RequestResult`."""
        raise NotImplementedError

    def send_in_dialog(
        self, session: Session, now: float, *, method: str, headers: Headers = (), body: bytes = b""
    ) -> str:
        """Send any other request inside the dialog (NOTIFY, REFER); return the token of its `RequestResult`."""
        raise NotImplementedError

    # --- registrations and other requests ---

    def register(self, order: RegisterOrder, now: float) -> Registration:
        """Register and keep registered until `unregister`; each outcome is a `RegistrationResult`."""
        raise NotImplementedError

    def unregister(self, registration: Registration, now: float) -> None:
        """Take the binding back; the outcome is a last `RegistrationResult`."""
        raise NotImplementedError

    def send_request(self, order: RequestOrder, now: float) -> str:
        """Send a request outside of any dialog; return the token of its `RequestResult`."""
        raise NotImplementedError

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
        raise NotImplementedError

    # --- looking inside ---

    @property
    def counters(self) -> EndpointCounters:
        """What has happened since the start."""
        raise NotImplementedError

    def sizes(self) -> EndpointSizes:
        """Return how much is held now."""
        raise NotImplementedError
