"""Phones that are registered at a node and talk: what each hears is measured, by its tone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ringbridge.media.tones import HOLD, RINGBACK
from ringbridge.phone.line import Line
from ringbridge.phone.phone import Phone
from ringbridge.phone.settings import Account, Behaviour, PhoneEvent, PhoneEventKind, PhoneSettings
from ringbridge.sip.peer import Peer, Transport
from tests.live.node import DOMAIN, PASSWORD, Node, until

MUSIC = "hold music"
RINGS = "ringback"
NOBODY = ""
SPREAD_HZ = 12.0


class Talker:
    """One phone. Its tone is its voice."""

    def __init__(
        self,
        node: Node,
        user: str,
        tone_hz: int,
        *,
        behaviour: Behaviour | None = None,
        public_address: str | None = None,
    ) -> None:
        """`behaviour` has the same tone, where it is given; `public_address` is what its SIP and SDP name."""
        self.user = user
        self.tone_hz = tone_hz
        self.events: list[PhoneEvent] = []
        registrar = Peer(Transport.UDP, "127.0.0.1", node.sip_port)
        self.phone = Phone(
            PhoneSettings(
                account=Account(user, DOMAIN, PASSWORD, registrar),
                behaviour=behaviour or Behaviour(answer_after_s=0.05, tone_hz=tone_hz),
                public_address=public_address,
            ),
            listener=self.events.append,
        )

    @property
    def line(self) -> Line:
        """The one call of this phone."""
        assert len(self.phone.lines) == 1, f"{self.user} has {len(self.phone.lines)} calls"
        return self.phone.lines[0]

    def hung_up(self) -> bool:
        """Whether this phone has no call any more."""
        return not self.phone.lines

    def kinds(self) -> list[PhoneEventKind]:
        return [event.kind for event in self.events]

    async def hears(self, what: Talker | str, *, within_s: float = 5.0) -> None:
        """Return once this phone hears another phone, `MUSIC`, `RINGS` or `NOBODY`, and that alone."""
        name = what.user if isinstance(what, Talker) else what
        end = asyncio.get_running_loop().time() + within_s
        while True:
            rtp = self.line.rtp
            assert rtp is not None
            rtp.forget()
            await asyncio.sleep(0.3)
            tones = tuple(tone.frequency_hz for tone in rtp.heard_tones())
            if _is(what, tones):
                return
            assert asyncio.get_running_loop().time() < end, f"{self.user} does not hear {name!r} but {tones}"


def _is(what: Talker | str, tones: tuple[float, ...]) -> bool:
    if what == NOBODY:
        return not tones
    if isinstance(what, Talker):
        return len(tones) == 1 and abs(tones[0] - what.tone_hz) < SPREAD_HZ
    known = {MUSIC: HOLD, RINGS: RINGBACK["us"].frequencies_hz + RINGBACK["eu"].frequencies_hz}.get(what, ())
    return bool(tones) and all(any(abs(tone - one) < SPREAD_HZ for one in known) for tone in tones)


@asynccontextmanager
async def talkers(node: Node, *phones: Talker) -> AsyncIterator[None]:
    """Have the phones registered at the node for as long as the context lasts."""
    async with AsyncExitStack() as stack:
        for one in phones:
            await one.phone.start()
            stack.push_async_callback(one.phone.stop)
        for one in phones:
            await one.phone.registered()
        yield


async def all_hung_up(*phones: Talker) -> None:
    await until(lambda: all(one.hung_up() for one in phones), within_s=5, what="all phones on hook")
