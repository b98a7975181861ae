"""The call engine on real sockets with a real relay: who hears whom."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.relay.rtpproxy import Relay
from ringbridge.adapters.sip.engine import SipEngine
from ringbridge.adapters.sip.leg import SipLeg
from ringbridge.adapters.sip.leg_events import CONNECTION_DOWN, SESSION_EXPIRED
from ringbridge.adapters.sip.node import SipNode, SipNodeSettings
from ringbridge.adapters.sip.recording import Recorder
from ringbridge.adapters.sip.sound import RINGBACK_AFTER_S
from ringbridge.calls.found import connection_target
from ringbridge.calls.ports import Answered, HungUp, LegOrder, LegSignal, Refused, Ringing
from ringbridge.media import offer_answer, sdp
from ringbridge.media.offer_answer import DEFAULT_CODECS
from ringbridge.model.call import Side
from ringbridge.model.connection_states import ConnectionState, Health
from ringbridge.model.directory import Connection
from ringbridge.model.events import CallerId, Target
from ringbridge.model.ids import LegId, SessionId
from ringbridge.phone.audio import hears, tone_frames
from ringbridge.phone.rtp import RtpParty
from ringbridge.sip.session_events import Ended, EndedBy, EndpointEvent, IncomingInvite, Reinvited, ReinviteResult
from tests.adapters.loops import until
from tests.adapters.relay_folder import relay_in
from tests.calls.samples import DOMAIN, VirtualClock

CALL = SessionId("s-1")
NODE = SipNodeSettings(port=0)


def engine_of(node: SipNode, relay: Relay) -> SipEngine:
    """Return an engine that records what is to be recorded."""
    recorder = Recorder(relay, has_room=lambda: True, on_over=lambda: None)
    directory = MemoryStore(VirtualClock())
    return SipEngine(name="n1", node=node, relay=relay, directory=directory, ringback="us", recorder=recorder)


class Phone:
    """A phone that does what the test says, and its ear. One behind NAT does not know where its audio comes from."""

    def __init__(self, rtp: RtpParty, *, behind_nat: bool = False) -> None:
        self.rtp = rtp
        self.behind_nat = behind_nat
        self.port = 9 if behind_nat else rtp.port
        """Where it says that its audio is."""
        self.refuses: int | None = None
        """What it says to a re-INVITE in place of 200; 0: nothing at all."""
        self.codecs: tuple[sdp.Codec, ...] = DEFAULT_CODECS
        """What it takes."""
        self.offers: list[bytes] = []
        """What it was offered, the last one last."""
        self.results: list[int] = []
        """What was said to its own offers."""
        self.invites: list[IncomingInvite] = []
        self.node = SipNode(NODE, on_event=self._take)

    def _take(self, event: EndpointEvent) -> None:
        if isinstance(event, IncomingInvite):
            self.invites.append(event)
            self.offers.append(event.sdp)
        elif isinstance(event, ReinviteResult):
            self.results.append(event.status)
            self.offers.append(event.sdp)
        elif isinstance(event, Reinvited):
            self.offers.append(event.sdp)
            if self.refuses is None:
                self.node.endpoint.answer_reinvite(event.session, self.node.now(), sdp=self._sdp())
            elif self.refuses:
                self.node.endpoint.answer_reinvite(event.session, self.node.now(), status=self.refuses)

    def order(self, leg_id: str, *, transfer: int = 0, learn: tuple[Side, ...] = ()) -> LegOrder:
        uri = f"sip:1001@{self.node.host}:{self.node.port}"
        target = Target(uri, "UDP", self.node.host, self.node.port, label=leg_id, to_uri=uri, nat=self.behind_nat)
        return LegOrder(CALL, LegId(leg_id), target, CallerId("1000"), DOMAIN, transfer=transfer, learn=learn)

    def _sdp(self) -> bytes:
        ours = offer_answer.offer(session_id=1, host=self.rtp.host, port=self.port)
        return offer_answer.answer(self.offers[-1], ours, allowed=self.codecs)[0].sdp()

    def move(self, port: int) -> None:
        """Offer that its audio be at another port from now on."""
        self.port = port
        ours = offer_answer.offer(session_id=1, host=self.rtp.host, port=port, version=2)
        self.node.endpoint.reinvite(self.invites[0].session, ours.sdp(), self.node.now())
        self.node.wake()

    def take_no_offer(self) -> None:
        """Answer what was left without an answer, when nobody listens; take the next offer."""
        self.refuses = None
        self.node.endpoint.answer_reinvite(self.invites[0].session, self.node.now(), status=500)
        self.node.wake()

    def say(self, tone_hz: int) -> None:
        """Speak to where it was told last."""
        audio = sdp.parse(self.offers[-1]).media[0]
        self.rtp.send_to("127.0.0.1", audio.port)
        self.rtp.play(tone_frames(tone_hz, 0))

    async def answer(self) -> None:
        await until(lambda: bool(self.invites))
        self.node.endpoint.answer(self.invites[0].session, self._sdp(), self.node.now())
        self.node.wake()

    def ring_with_sound(self) -> None:
        self.node.endpoint.ring(self.invites[0].session, self.node.now(), status=183, sdp=self._sdp())
        self.node.wake()


@asynccontextmanager
async def stage(data_dir: Path, phones: Sequence[Phone]) -> AsyncIterator[tuple[SipEngine, list[LegSignal]]]:
    """Run an engine with its relay, and the phones; yields it and what it told."""
    told: list[LegSignal] = []
    engines: list[SipEngine] = []

    def take(event: EndpointEvent) -> None:
        engines[0].on_event(event)

    node = SipNode(NODE, on_event=take)
    async with relay_in(data_dir) as child:
        engine = engine_of(node, child.relay)
        engines.append(engine)
        engine.listen(lambda _session_id, signal: told.append(signal))
        for one in (node, *(phone.node for phone in phones)):
            await one.start()
        try:
            yield engine, told
        finally:
            await engine.close(CALL)
            for phone in phones:
                phone.rtp.close()
                await phone.node.stop()
            await node.stop()


async def dial(engine: SipEngine, *orders: LegOrder) -> None:
    for leg in await engine.prepare(orders):
        engine.invite(CALL, leg.leg_id)


async def test_a_phone_that_answers_at_once_is_not_announced_by_ringback(data_dir: Path) -> None:
    first = Phone(await RtpParty.open(ssrc=1))
    async with stage(data_dir, [first]) as (engine, told):
        await dial(engine, first.order("o1"))
        await first.answer()
        await until(lambda: any(isinstance(one, Answered) for one in told))
        playing = engine._calls[CALL].playing
        engine.ringback(CALL, Side.ORIGINATION, on=True)
        engine.ringback(CALL, Side.ORIGINATION, on=False)
        await asyncio.sleep(2 * RINGBACK_AFTER_S)
        assert playing == {}
        engine.ringback(CALL, Side.ORIGINATION, on=True)
        await until(lambda: playing == {Side.ORIGINATION: "us"})


async def test_a_closed_call_is_gone_at_once_and_not_with_the_garbage_collector(data_dir: Path) -> None:
    first = Phone(await RtpParty.open(ssrc=1))
    async with stage(data_dir, [first]) as (engine, told):
        await dial(engine, first.order("o1"))
        await first.answer()
        await until(lambda: any(isinstance(one, Answered) for one in told))
        gc.collect()
        gc.disable()
        try:
            assert any(isinstance(one, SipLeg) for one in gc.get_objects())
            await engine.close(CALL)
            await until(lambda: not any(isinstance(one, SipLeg) for one in gc.get_objects()))
        finally:
            gc.enable()


async def test_early_media_of_a_phone_that_lost_does_not_take_the_sound_from_the_one_that_won(data_dir: Path) -> None:
    """Between the answer and the CANCEL that the brain orders, the other phone may still say something."""
    first, won, lost = phones = [Phone(await RtpParty.open(ssrc=number)) for number in (1, 2, 3)]
    async with stage(data_dir, phones) as (engine, told):
        await dial(engine, first.order("o1"))
        await first.answer()
        await until(lambda: any(isinstance(one, Answered) for one in told))
        await dial(engine, won.order("t1"), lost.order("t2"))
        await until(lambda: bool(lost.invites))
        await won.answer()
        await until(lambda: sum(isinstance(one, Answered) for one in told) == 2)
        lost.ring_with_sound()
        await until(lambda: any(isinstance(one, Ringing) and one.leg_id == "t2" for one in told))
        first.rtp.send_to(*first_leg_of(first))
        first.rtp.play(tone_frames(440, 0))
        await asyncio.sleep(0.5)
        assert hears(won.rtp.samples(), 440)
        assert not hears(lost.rtp.samples(), 440)


def first_leg_of(phone: Phone) -> tuple[str, int]:
    """Return where a phone is to send its sound, by the offer that it got."""
    description = sdp.parse(phone.invites[0].sdp)
    audio = description.media[0]
    return description.address_of(audio) or "", audio.port


async def test_a_leg_through_a_connection_that_is_down_is_refused_and_nothing_is_sent(data_dir: Path) -> None:
    phone = Phone(await RtpParty.open(ssrc=1))
    async with stage(data_dir, [phone]) as (engine, told):
        at = f"{phone.node.host}:{phone.node.port}"
        trunk = Connection(DOMAIN, "trunk", connection_address=at, connection_health_check_enabled="yes")
        down = ConnectionState(domain=DOMAIN, connection="trunk", address=f"UDP {at}", health=Health.DOWN)
        store = engine._directory
        assert isinstance(store, MemoryStore)
        store.put(trunk, down)
        order = phone.order("t1")
        await dial(engine, msgspec.structs.replace(order, target=connection_target(trunk, "4570", "")))
        await until(lambda: bool(told))
        assert told == [Refused(LegId("t1"), CONNECTION_DOWN)]
        await asyncio.sleep(0.05)
        assert not phone.invites
        for_help = msgspec.structs.replace(connection_target(trunk, "112", ""), emergency=True)
        await dial(engine, msgspec.structs.replace(order, leg_id="t3", target=for_help))
        await until(lambda: len(phone.invites) == 1)
        phone.invites.clear()
        store.put(msgspec.structs.replace(down, health=Health.UP))
        await dial(engine, msgspec.structs.replace(order, leg_id="t2", target=connection_target(trunk, "4570", "")))
        await phone.answer()


async def test_a_leg_whose_session_nobody_refreshed_says_so(data_dir: Path) -> None:
    phone = Phone(await RtpParty.open(ssrc=1))
    async with stage(data_dir, [phone]) as (engine, told):
        await dial(engine, phone.order("o1"))
        await phone.answer()
        await until(lambda: any(isinstance(one, Answered) for one in told))
        session = engine._calls[CALL].legs[LegId("o1")].session
        engine.on_event(Ended(session, EndedBy.EXPIRED, 408))
        assert told[-1] == HungUp(LegId("o1"), SESSION_EXPIRED)
