"""A registrar with digest that can also call the phones that it knows: the other side of the phone's tests."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import TypeVar

from ringbridge.adapters.sip.node import SipNode, SipNodeSettings
from ringbridge.media import offer_answer
from ringbridge.media.sdp import Codec
from ringbridge.phone.rtp import RtpParty
from ringbridge.sip.digest import make_ha1
from ringbridge.sip.digest_server import DigestServer, Verdict, read_credentials
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.registrar import Binding, address_of_record, register
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import EndpointEvent, IncomingRequest
from ringbridge.sip.session_orders import InviteOrder

DOMAIN = "demo"
PASSWORD = "secret of the test"

E = TypeVar("E")


class Pbx:
    """Knows one password for everybody; keeps what happens in `events`."""

    def __init__(self) -> None:
        self.node = SipNode(SipNodeSettings(port=0), on_event=self._on_event)
        self.bindings: dict[str, list[Binding]] = {}
        self.codecs: tuple[Codec, ...] = offer_answer.DEFAULT_CODECS
        self.offered: tuple[Session, offer_answer.Local] | None = None
        self._events: asyncio.Queue[EndpointEvent] = asyncio.Queue()
        self._digest = DigestServer(key=secrets.token_bytes(32), nonce_lifetime_s=60.0)

    @property
    def peer(self) -> Peer:
        return Peer(Transport.UDP, "127.0.0.1", self.node.port)

    async def wait_for(self, kind: type[E]) -> E:
        """Return the next event of that kind; others are passed over."""
        async with asyncio.timeout(5):
            while True:
                event = await self._events.get()
                if isinstance(event, kind):
                    return event

    def call(self, user: str, rtp: RtpParty, *headers: tuple[str, str]) -> Session:
        """Call a phone that has registered, offering `rtp`."""
        binding = self.bindings[f"sip:{user}@{DOMAIN}"][0]
        local = offer_answer.offer(session_id=1, host=rtp.host, port=rtp.port, codecs=self.codecs)
        order = InviteOrder(
            peer=binding.target,
            uri=binding.contact,
            from_=f'"Ann" <sip:1000@{DOMAIN}>',
            to=f"<sip:{user}@{DOMAIN}>",
            sdp=local.sdp(),
            headers=headers,
        )
        session = self.node.endpoint.prepare_invite(order)
        self.offered = (session, local)
        self.node.endpoint.send_invite(session, self.node.now())
        self.node.wake()
        return session

    def hang_up(self, session: Session) -> None:
        self.node.endpoint.hang_up(session, self.node.now())
        self.node.wake()

    def _on_event(self, event: EndpointEvent) -> None:
        if isinstance(event, IncomingRequest) and event.request.method == "REGISTER":
            self._register(event)
        else:
            self._events.put_nowait(event)

    def _register(self, event: IncomingRequest) -> None:
        endpoint, now = self.node.endpoint, time.time()
        aor = address_of_record(event.request)
        fields = read_credentials(event.request, DOMAIN)
        ha1 = make_ha1(aor.user or "", DOMAIN, PASSWORD)
        verdict = self._digest.check(fields, ha1, "REGISTER", DOMAIN, now)
        if verdict is not Verdict.OK:
            status = 403 if fields is not None and verdict is Verdict.WRONG else 401
            headers = tuple(self._digest.challenge(DOMAIN, now)) if status == 401 else ()
            endpoint.respond(event.transaction, self.node.now(), status=status, headers=headers)
            return
        known = self.bindings.get(aor.aor(), [])
        decided = register(event.request, known, peer=event.peer, now=now)
        gone = {one.contact for one in (*decided.delete, *decided.write)}
        self.bindings[aor.aor()] = [one for one in known if one.contact not in gone] + list(decided.write)
        endpoint.respond(event.transaction, self.node.now(), status=decided.status, headers=decided.headers)


@contextlib.asynccontextmanager
async def pbx() -> AsyncIterator[Pbx]:
    """Run a `Pbx`."""
    one = Pbx()
    await one.node.start()
    try:
        yield one
    finally:
        await one.node.stop()
