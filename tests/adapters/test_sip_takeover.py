"""A transfer takes over a side of the relay, where the relay can follow it: who is heard, and what is refused."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from ringbridge.adapters.memory_store import MemoryStore
from ringbridge.adapters.sip_engine import SipEngine
from ringbridge.adapters.sip_node import SipNode, SipNodeSettings
from ringbridge.calls.ports import Answered, LegOrder, LegSignal, Ringing
from ringbridge.model.call import Side
from ringbridge.model.errors import CallError
from ringbridge.model.events import CallerId
from ringbridge.model.ids import LegId, SessionId
from ringbridge.phone.audio import hears, tone_frames
from ringbridge.phone.rtp import RtpParty
from ringbridge.sip.session_events import EndpointEvent
from tests.adapters.loops import until
from tests.adapters.relay_folder import relay_in
from tests.adapters.test_sip_engine import CALL, Phone, first_leg_of
from tests.calls.samples import DOMAIN, O1, O2, VirtualClock, target

NAT = frozenset({O1, O2})


def order(leg_id: LegId, behind_nat: frozenset[LegId], *, transfer: int = 0) -> LegOrder:
    nat = leg_id in behind_nat
    learn = (Side.ORIGINATION,) if nat else ()
    phone = replace(target("1001"), nat=nat)
    return LegOrder(SessionId("s-1"), leg_id, phone, CallerId("1002"), DOMAIN, transfer=transfer, learn=learn)


@pytest.mark.parametrize("behind_nat", [frozenset(), frozenset({O1}), frozenset({O2}), NAT])
async def test_a_side_behind_nat_is_not_taken_over(data_dir: Path, behind_nat: frozenset[LegId]) -> None:
    async with relay_in(data_dir / "relay") as child:
        node = SipNode(SipNodeSettings(port=0), on_event=lambda _: None)
        await node.start()
        try:
            engine = SipEngine(node=node, relay=child.relay, directory=MemoryStore(VirtualClock()), ringback="us")
            await engine.prepare([order(O1, behind_nat)])
            taking = engine.prepare([order(O2, behind_nat, transfer=1)])
            if behind_nat:
                with pytest.raises(CallError) as said:
                    await taking
                assert said.value.code == "media-behind-nat"
            else:
                assert [leg.leg_id for leg in await taking] == [O2]
            await engine.close(SessionId("s-1"))
        finally:
            await node.stop()


async def test_a_target_is_heard_before_it_answers_and_not_once_it_has_refused(data_dir: Path) -> None:
    told: list[LegSignal] = []
    engines: list[SipEngine] = []

    def take(event: EndpointEvent) -> None:
        engines[0].on_event(event)

    node = SipNode(SipNodeSettings(port=0), on_event=take)
    asker, other, new = phones = [Phone(await RtpParty.open(ssrc=number)) for number in (1, 2, 3)]
    async with relay_in(data_dir) as child:
        engine = SipEngine(node=node, relay=child.relay, directory=MemoryStore(VirtualClock()), ringback="us")
        engines.append(engine)
        engine.listen(lambda _session_id, signal: told.append(signal))
        for one in (node, *(phone.node for phone in phones)):
            await one.start()
        try:
            for phone, leg_id in ((asker, "o1"), (other, "t1")):
                await engine.prepare([phone.order(leg_id)])
                engine.invite(CALL, LegId(leg_id))
                await phone.answer()
                await until(partial(answered, told, leg_id))
            await engine.prepare([replace(new.order("o2"), transfer=1)])
            engine.invite(CALL, LegId("o2"))
            await until(lambda: bool(new.invites))
            new.ring_with_sound()
            await until(lambda: any(isinstance(one, Ringing) and one.early_media for one in told))
            say(new, 1000)
            await until(lambda: hears(other.rtp.samples(last_s=0.12), 1000))
            new.rtp.pause()
            engine.attach(CALL, LegId("o1"))
            say(other, 600)
            await until(lambda: hears(asker.rtp.samples(last_s=0.12), 600))
            received = new.rtp.received
            await asyncio.sleep(0.1)
            assert new.rtp.received == received
        finally:
            await engine.close(CALL)
            for phone in phones:
                phone.rtp.close()
                await phone.node.stop()
            await node.stop()


def say(phone: Phone, tone_hz: int) -> None:
    phone.rtp.send_to(*first_leg_of(phone))
    phone.rtp.play(tone_frames(tone_hz, 0))


def answered(told: list[LegSignal], leg_id: str) -> bool:
    return any(isinstance(one, Answered) and one.leg_id == leg_id for one in told)
