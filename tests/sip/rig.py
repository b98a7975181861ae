"""One endpoint on a bench: what it sends is read back as messages, what it receives is written by hand."""

from __future__ import annotations

from typing import TypeVar

from ringbridge.sip.endpoint import Endpoint
from ringbridge.sip.endpoint_settings import EndpointSettings, EndpointSizes
from ringbridge.sip.message import Request, Response, parse, response_to
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import Answered, EndpointEvent, IncomingInvite
from ringbridge.sip.session_orders import InviteOrder
from tests.sip.wire import OTHER_SDP, SDP, counting_tokens, order_to

PHONE = Peer(Transport.UDP, "192.0.2.20", 5070)
PHONE_TCP = Peer(Transport.TCP, "192.0.2.20", 5071)
EMPTY = EndpointSizes(client_transactions=0, server_transactions=0, sessions=0, registrations=0, timers=0)
LINGER_S = 200.0
"""Longer than anything lingers."""

E = TypeVar("E", bound=EndpointEvent)
Pairs = tuple[tuple[str, str], ...]


class Rig:
    """An endpoint at 192.0.2.1:5060, whose one peer is the test."""

    def __init__(self, settings: EndpointSettings | None = None) -> None:
        self.settings = settings or EndpointSettings("192.0.2.1", 5060, tcp_port=5062)
        self.endpoint = Endpoint(self.settings, new_token=counting_tokens("t"))
        self.now = 0.0
        self.destinations: list[Peer] = []

    # --- what it does ---

    def sent(self) -> list[Request | Response]:
        """Return what has been sent since the last time; where to is in `destinations`."""
        outgoing = self.endpoint.take_outgoing()
        self.destinations = [peer for peer, _ in outgoing]
        return [parse(data) for _, data in outgoing]

    def sent_request(self, method: str) -> Request:
        """Return the only thing sent: a request of this method."""
        [message] = self.sent()
        assert isinstance(message, Request), message
        assert message.method == method
        return message

    def sent_response(self, status: int) -> Response:
        """Return the only thing sent: a response of this status."""
        [message] = self.sent()
        assert isinstance(message, Response), message
        assert message.status == status
        return message

    def statuses(self) -> list[int | str]:
        """Return the statuses and methods sent since the last time."""
        return [message.status if isinstance(message, Response) else message.method for message in self.sent()]

    def event(self, kind: type[E]) -> E:
        """Return the only event: one of this kind."""
        [event] = self.endpoint.take_events()
        assert isinstance(event, kind), event
        return event

    def no_events(self) -> bool:
        return self.endpoint.take_events() == []

    # --- what happens to it ---

    def wait(self, seconds: float) -> None:
        """Let time pass, firing each timer at its own instant."""
        until = self.now + seconds
        while (at := self.endpoint.next_timeout()) is not None and at <= until:
            self.now = max(self.now, at)
            self.endpoint.handle_timeout(self.now)
        self.now = until

    def feed(self, message: Request | Response | bytes, peer: Peer = PHONE) -> None:
        data = message if isinstance(message, bytes) else message.serialize()
        self.endpoint.receive(data, peer, self.now)

    def reply(
        self,
        request: Request,
        status: int,
        *,
        tag: str = "phone",
        headers: Pairs = (),
        sdp: bytes = b"",
        contact: str = "<sip:1001@192.0.2.20:5070>",
        peer: Peer = PHONE,
    ) -> Response:
        """Answer a request of the endpoint's as the phone would."""
        lines = [*headers]
        if 100 < status < 300 and request.method in ("INVITE", "UPDATE") and contact:
            lines.append(("Contact", contact))
        if sdp:
            lines.append(("Content-Type", "application/sdp"))
        response = response_to(request, status, None, lines, sdp, tag if status > 100 else None)
        self.feed(response, peer)
        return response

    def gone(self) -> bool:
        """Whether nothing is left once everything has lingered its time."""
        self.wait(LINGER_S)
        self.endpoint.take_outgoing()
        return self.endpoint.sizes() == EMPTY

    # --- a call from us ---

    def invite(self, peer: Peer = PHONE, **changes: object) -> tuple[Session, Request]:
        """Send an INVITE; return the session and what was sent."""
        session = self.endpoint.prepare_invite(order_to(peer, **changes))
        self.endpoint.send_invite(session, self.now)
        return session, self.sent_request("INVITE")

    def answered(self, *, headers: Pairs = (), **changes: object) -> tuple[Session, Request, Request]:
        """Place a call that is answered; return the session, the INVITE and the ACK."""
        session, invite = self.invite(**changes)  # type: ignore[arg-type]  # a test names what it changes
        self.reply(invite, 180)
        self.endpoint.take_events()
        self.reply(invite, 200, sdp=OTHER_SDP, headers=headers)
        ack = self.sent_request("ACK")
        self.event(Answered)
        return session, invite, ack

    # --- a call to us ---

    def incoming(self, *, headers: Pairs = (), sdp: bytes = SDP, number: int = 1) -> tuple[Session, Request]:
        """Let the phone INVITE us; return the session and the INVITE."""
        invite = phone_request("INVITE", number=number, headers=headers, sdp=sdp)
        self.feed(invite)
        return self.event(IncomingInvite).session, invite

    def accepted(self, *, headers: Pairs = ()) -> tuple[Session, Request, Response]:
        """Let the phone INVITE us and be answered and acknowledged; return the session, the INVITE and our 200."""
        session, invite = self.incoming(headers=headers)
        self.sent()
        self.endpoint.answer(session, OTHER_SDP, self.now)
        ok = self.sent_response(200)
        self.feed(phone_request("ACK", tag=ok.to.tag or "", branch="ack1"))
        self.endpoint.take_events()
        return session, invite, ok


def phone_request(
    method: str,
    *,
    number: int = 1,
    tag: str = "",
    branch: str = "",
    uri: str = "sip:ringbridge@192.0.2.1:5060",
    call_id: str = "from-phone",
    from_tag: str = "phone",
    headers: Pairs = (),
    sdp: bytes = b"",
) -> Request:
    """Return a request as the phone sends it; `tag` is ours once we have one."""
    lines = [
        ("Via", f"SIP/2.0/UDP 192.0.2.20:5070;branch=z9hG4bK{branch or f'{method}{number}'};rport"),
        ("Max-Forwards", "70"),
        ("From", f"<sip:1001@demo>;tag={from_tag}"),
        ("To", "<sip:1002@demo>" + (f";tag={tag}" if tag else "")),
        ("Call-ID", call_id),
        ("CSeq", f"{number} {method}"),
    ]
    if method in ("INVITE", "UPDATE"):
        lines.append(("Contact", "<sip:1001@192.0.2.20:5070>"))
    lines += headers
    if sdp:
        lines.append(("Content-Type", "application/sdp"))
    return Request(method, uri, lines, sdp)


def phone_in_dialog(
    session: Session, method: str, *, number: int = 1, headers: Pairs = (), sdp: bytes = b"", tag: str = "phone"
) -> Request:
    """Return a request that the phone sends inside the dialog of a session that we started."""
    return phone_request(
        method,
        number=number,
        branch=f"{method}{number}-{session.sip_call_id}",
        tag=session.dialog.local_tag,
        call_id=session.sip_call_id,
        from_tag=tag,
        headers=headers,
        sdp=sdp,
    )


def invite_order(**changes: object) -> InviteOrder:
    return order_to(PHONE, **changes)
