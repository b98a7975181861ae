"""Keeping one binding at a registrar (RFC 3261 §10.2).

A binding is refreshed before it runs out, and asked for again when the registrar refuses or is away: after 5 s at
first, then ever longer, since a thousand phones must not hammer a registrar that has just come back.
"""

from __future__ import annotations

from typing import Final

from ringbridge.sip.endpoint_exchange import COOKIE, Authorizer, Exchange, Outcome, reason_of, status_of
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.endpoint_uac import retry_after_s
from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.headers import parse_seconds
from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import RegistrationResult
from ringbridge.sip.session_orders import RegisterOrder
from ringbridge.sip.timers import Timer

_REFRESH: Final = 1
_FIRST_RETRY_S: Final = 5.0
_LONGEST_RETRY_S: Final = 300.0
"""Between attempts of a registration that fails; ours (RFC 3261 §10.2.7 only forbids an immediate one)."""


class Registration:
    """One binding kept at a registrar; the application's handle, compared by identity."""

    __slots__ = (
        "_auth",
        "_cseq",
        "_exchange",
        "_retry_s",
        "_stack",
        "_timer",
        "contact",
        "expires_s",
        "order",
        "registered",
        "sip_call_id",
        "tag",
        "wanted",
    )

    def __init__(self, stack: Stack, order: RegisterOrder) -> None:
        self._stack = stack
        self._auth = None if order.credentials is None else Authorizer(order.credentials)
        self._cseq = 0
        self._exchange: Exchange | None = None
        self._timer: Timer | None = None
        self._retry_s = _FIRST_RETRY_S
        self.order = order
        self.sip_call_id = stack.new_token()
        self.tag = stack.new_token()
        self.contact = contact_uri(stack, order)
        self.expires_s = order.expires_s
        """What we ask for; grows if the registrar says 423."""
        self.registered = False
        self.wanted = True

    def next_cseq(self) -> int:
        """Return the number of the next REGISTER (RFC 3261 §10.2: one Call-ID, growing CSeq)."""
        self._cseq += 1
        return self._cseq

    def on_timer(self, _name: int, now: float) -> None:
        """Refresh, or try again."""
        self._timer = None
        self.send(now)

    def send(self, now: float) -> None:
        """Send a REGISTER for as long as the binding is wanted, else one that removes it.

        Raises:
            UnsafeHeader: something in the order has no place in a SIP message.
        """
        stack, order = self._stack, self.order
        stack.queue.cancel(self._timer)
        self._timer = None
        if self._exchange is not None:
            self._exchange.drop()
        branch = COOKIE + stack.new_token()
        expires = self.expires_s if self.wanted else 0
        headers = [
            ("Via", stack.via(order.peer.transport, branch)),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in order.route_set),
            ("From", f"<{order.aor}>;tag={self.tag}"),
            ("To", f"<{order.aor}>"),
            ("Call-ID", self.sip_call_id),
            ("CSeq", f"{self.next_cseq()} REGISTER"),
            ("Contact", f"<{self.contact}>"),
            ("Expires", str(expires)),
            ("User-Agent", stack.settings.user_agent),
            *order.headers,
        ]
        if self._auth is not None:
            headers += self._auth.headers("REGISTER", order.registrar, stack.new_token())
        exchange = Exchange(
            stack,
            Request("REGISTER", order.registrar, headers),
            branch=branch,
            peer=order.peer,
            receiver=self._on_outcome,
            numbering=self,
            auth=self._auth,
        )
        self._exchange = exchange
        exchange.start(now)

    def _on_outcome(self, exchange: Exchange, outcome: Outcome, _peer: Peer, now: float) -> None:
        if exchange is not self._exchange or (isinstance(outcome, Response) and outcome.status < 200):
            return
        self._exchange = None
        status = status_of(outcome)
        granted_s = 0
        wait_s: float | None = None
        if isinstance(outcome, Response) and status < 300:
            granted_s = self._granted_s(outcome) if self.wanted else 0
            self._retry_s = _FIRST_RETRY_S
        elif isinstance(outcome, Response):
            if status == 423 and self._ask_for_longer(outcome):
                self.send(now)
                return
            wait_s = retry_after_s(outcome)
        self._stack.emit(
            RegistrationResult(
                self,
                status,
                reason_of(outcome),
                granted_s,
                self.contact,
                retry_after_s=None if wait_s is None else int(wait_s),
            )
        )
        self.registered = granted_s > 0
        self._plan(granted_s, wait_s, now)

    def _plan(self, granted_s: int, wait_s: float | None, now: float) -> None:
        """Arrange for the next REGISTER, or be forgotten when none is wanted."""
        stack = self._stack
        if not self.wanted:
            stack.registrations.discard(self)
            return
        if granted_s > 0:
            next_s = max(1.0, granted_s - min(30.0, granted_s / 4))
        else:
            next_s = max(wait_s or 0.0, self._retry_s)
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
        self._timer = stack.queue.set(now + next_s, self, _REFRESH)

    def _granted_s(self, response: Response) -> int:
        """Return for how long the registrar keeps our contact (RFC 3261 §10.2.4): its own expiry, else the header's."""
        try:
            for contact in response.contacts:
                if contact.uri == self.contact and (text := contact.param("expires")) is not None:
                    return parse_seconds("expires", text)
            expires = response.expires
        except ProtocolError:
            return self.expires_s
        return self.expires_s if expires is None else expires

    def _ask_for_longer(self, response: Response) -> bool:
        """Take the Min-Expires of a 423 (RFC 3261 §10.2.8) as what to ask for; False: it does not help."""
        value = response.first("Min-Expires")
        try:
            least_s = 0 if value is None else parse_seconds("Min-Expires", value)
        except ProtocolError:
            return False
        if not self.wanted or least_s <= self.expires_s:
            return False
        self.expires_s = least_s
        return True


def contact_uri(stack: Stack, order: RegisterOrder) -> str:
    """Return the URI to register: our address, with the order's user part."""
    settings = stack.settings
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    transport = order.peer.transport
    if transport is Transport.UDP:
        return f"sip:{order.contact_user}@{host}:{settings.udp_port}"
    port = settings.tcp_port or settings.udp_port
    return f"sip:{order.contact_user}@{host}:{port};transport={transport.value.lower()}"


def register(stack: Stack, order: RegisterOrder, now: float) -> Registration:
    """Begin to keep a binding."""
    registration = Registration(stack, order)
    registration.send(now)
    stack.registrations.add(registration)
    return registration


def unregister(registration: Registration, now: float) -> None:
    """Take a binding back; again is harmless."""
    if registration.wanted:
        registration.wanted = False
        registration.send(now)
