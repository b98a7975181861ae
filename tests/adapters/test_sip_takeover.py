"""A transfer takes over a side of the relay, where the relay can follow it: who is heard, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from ringbridge.adapters.relay.child import RelayChild
from ringbridge.adapters.sip.engine import SipEngine
from ringbridge.adapters.sip.node import SipNode, SipNodeSettings
from ringbridge.calls.ports import Answered, LegOrder, LegSignal, MediaLost, Refused, Ringing, Updated
from ringbridge.model.call import Leg, side_of
from ringbridge.model.errors import CallError
from ringbridge.model.events import Flow
from ringbridge.model.ids import LegId
from ringbridge.model.release import TRANSFERRED
from ringbridge.phone.audio import hears, tone_frames
from ringbridge.phone.rtp import RtpParty
from ringbridge.sip.session_events import EndpointEvent
from tests.adapters.loops import until
from tests.adapters.relay_folder import relay_in
from tests.adapters.test_sip_engine import CALL, Phone, engine_of, first_leg_of
from tests.calls.samples import DOMAIN, T1


async def phones_of(*names: str, hidden: Collection[str]) -> dict[str, Phone]:
    """Return a phone for each name, those that are `hidden` behind NAT."""
    return {
        name: Phone(await RtpParty.open(ssrc=number), behind_nat=name in hidden) for number, name in enumerate(names)
    }


@asynccontextmanager
async def up(data_dir: Path, phones: dict[str, Phone]) -> AsyncIterator[tuple[SipEngine, list[LegSignal], RelayChild]]:
    """Run an engine, its relay and phones, of which `o1` and `t1` are connected with each other."""
    told: list[LegSignal] = []
    engines: list[SipEngine] = []

    def take(event: EndpointEvent) -> None:
        engines[0].on_event(event)

    node = SipNode(SipNodeSettings(port=0), on_event=take)
    async with relay_in(data_dir) as child:
        engine = engine_of(node, child.relay)
        engines.append(engine)
        engine.listen(lambda _session_id, signal: told.append(signal))
        for one in (node, *(phone.node for phone in phones.values())):
            await one.start()
        try:
            learn = tuple(side_of(LegId(name)) for name in ("o1", "t1") if phones[name].behind_nat)
            for name in ("o1", "t1"):
                await connect(engine, told, name, phones[name].order(name, learn=learn), phones[name])
            yield engine, told, child
        finally:
            await engine.close(CALL)
            for phone in phones.values():
                phone.rtp.close()
                await phone.node.stop()
            await node.stop()


async def connect(engine: SipEngine, told: list[LegSignal], name: str, order: LegOrder, phone: Phone) -> None:
    await engine.prepare([order])
    engine.invite(CALL, LegId(name))
    await phone.answer()
    await until(partial(answered, told, name))


def up_leg(order: LegOrder, dialog: bytes) -> Leg:
    """Return an answered leg as the brain has it."""
    return Leg(order.leg_id, order.target, "sip", dialog, 1.0, answered_at=1.0)


async def hear_each_other(one: Phone, other: Phone) -> None:
    """Return once both phones, which speak to where they were told last, hear each other."""
    for phone in (one, other):
        phone.rtp.forget()
    one.say(700)
    other.say(1100)
    await until(lambda: hears(other.rtp.samples(last_s=0.12), 700))
    await until(lambda: hears(one.rtp.samples(last_s=0.12), 1100))


async def transfer(engine: SipEngine, told: list[LegSignal], new: Phone) -> None:
    """Let `new` take the place of the first leg, as the brain does."""
    await connect(engine, told, "o2", new.order("o2", transfer=1), new)
    engine.release(CALL, LegId("o1"), TRANSFERRED)
    engine.attach(CALL, LegId("o2"))


@pytest.mark.parametrize("hidden", [(), ("o1",), ("t1",), ("o2",), ("o1", "t1", "o2")])
async def test_a_target_takes_the_asker_s_place_whoever_is_behind_nat(data_dir: Path, hidden: tuple[str, ...]) -> None:
    phones = await phones_of("o1", "t1", "o2", hidden=hidden)
    async with up(data_dir, phones) as (engine, told, child):
        await hear_each_other(phones["o1"], phones["t1"])
        await transfer(engine, told, phones["o2"])
        is_new = "o1" in hidden or "o2" in hidden
        if is_new:
            await until(lambda: len(phones["t1"].offers) == 2)
        phones["o1"].rtp.pause()
        await hear_each_other(phones["o2"], phones["t1"])
        assert len(phones["t1"].offers) == 1 + is_new, "one new offer, and only where the relay cannot follow"
        assert (await child.relay.ping()).sessions == 1, "the session that nobody is in any more is closed"
        assert engine._calls[CALL].relay.number == is_new


async def test_a_target_behind_nat_that_refuses_leaves_all_as_it_was(data_dir: Path) -> None:
    phones = await phones_of("o1", "t1", "o2", hidden={"o2"})
    async with up(data_dir, phones) as (engine, told, child):
        await engine.prepare([phones["o2"].order("o2", transfer=1)])
        engine.invite(CALL, LegId("o2"))
        await until(lambda: bool(phones["o2"].invites))
        phones["o2"].ring_with_sound()
        await until(lambda: any(isinstance(one, Ringing) for one in told))
        assert not any(isinstance(one, Ringing) and one.early_media for one in told), "nobody would hear it"
        phones["o2"].node.endpoint.reject(phones["o2"].invites[0].session, phones["o2"].node.now(), status=486)
        phones["o2"].node.wake()
        await until(lambda: any(isinstance(one, Refused) for one in told))
        assert (await child.relay.ping()).sessions == 2
        engine.attach(CALL, LegId("o1"))
        await hear_each_other(phones["o1"], phones["t1"])
        assert len(phones["t1"].offers) == 1
        assert (await child.relay.ping()).sessions == 1


async def test_a_target_that_cannot_be_dialled_leaves_nothing_in_the_relay(data_dir: Path) -> None:
    phones = await phones_of("o1", "t1", "o2", hidden={"o2"})
    async with up(data_dir, phones) as (engine, _, child):
        fine = phones["o2"].order("o2", transfer=1)
        unsafe = replace(fine, leg_id=LegId("o3"), target=replace(fine.target, uri="sip:1001@127.0.0.1\r\nX: y"))
        with pytest.raises(CallError):
            await engine.prepare([fine, unsafe])
        assert (await child.relay.ping()).sessions == 1
        assert set(engine._calls[CALL].legs) == {"o1", "t1"}
        assert len(engine._events.legs) == 2


async def test_a_call_that_ends_while_its_target_rings_leaves_nothing_in_the_relay(data_dir: Path) -> None:
    phones = await phones_of("o1", "t1", "o2", hidden={"o2"})
    async with up(data_dir, phones) as (engine, _, child):
        await engine.prepare([phones["o2"].order("o2", transfer=1)])
        engine.invite(CALL, LegId("o2"))
        await until(lambda: bool(phones["o2"].invites))
        await engine.close(CALL)
        assert (await child.relay.ping()).sessions == 0


async def test_whoever_refuses_to_move_to_the_new_session_ends_the_call(data_dir: Path) -> None:
    phones = await phones_of("o1", "t1", "o2", hidden={"o2"})
    async with up(data_dir, phones) as (engine, told, _):
        phones["t1"].refuses = 488
        await transfer(engine, told, phones["o2"])
        await until(lambda: any(isinstance(one, MediaLost) for one in told))
        (lost,) = [one for one in told if isinstance(one, MediaLost)]
        assert (lost.cause.reason, lost.cause.sip_status) == ("media-refused", 488)


async def test_whoever_refuses_a_hold_is_moved_to_the_new_session_all_the_same(data_dir: Path) -> None:
    """The offer of the hold was out when the target answered: what comes back to it says nothing of the move."""
    phones = await phones_of("o1", "t1", "o2", hidden={"o2"})
    async with up(data_dir, phones) as (engine, told, child):
        remains = phones["t1"]
        remains.refuses = 0
        engine.arrange(CALL, T1, Flow.MUSIC)
        await until(lambda: len(remains.offers) == 2)
        await transfer(engine, told, phones["o2"])
        remains.refuses = None
        remains.node.endpoint.answer_reinvite(remains.invites[0].session, remains.node.now(), status=488)
        remains.node.wake()
        await until(lambda: len(remains.offers) == 3)
        await hear_each_other(phones["o2"], remains)
        assert not any(isinstance(one, MediaLost) for one in told)
        assert (await child.relay.ping()).sessions == 1


@pytest.mark.parametrize("hidden", [("t1",), ("o1", "t1")])
async def test_a_phone_behind_nat_that_moves_is_heard_from_there(data_dir: Path, hidden: tuple[str, ...]) -> None:
    """It re-INVITEs with another address, as after a change of network; its packets come from elsewhere then."""
    phones = await phones_of("o1", "t1", hidden=hidden)
    async with up(data_dir, phones) as (engine, _, child):
        first, second = phones["o1"], phones["t1"]
        await hear_each_other(first, second)
        second.rtp.close()
        second.rtp = await RtpParty.open(ssrc=9)
        second.move(10)
        await until(lambda: len(second.offers) == 2)
        await until(lambda: len(first.offers) == 2)
        await hear_each_other(first, second)
        assert (await child.relay.ping()).sessions == 1
        assert engine._calls[CALL].relay.number == 1


async def test_a_phone_that_says_no_more_than_before_stays_where_it_is(data_dir: Path) -> None:
    phones = await phones_of("o1", "t1", hidden={"o1", "t1"})
    async with up(data_dir, phones) as (engine, told, _):
        await hear_each_other(phones["o1"], phones["t1"])
        phones["t1"].move(9)
        await until(lambda: any(isinstance(one, Updated) for one in told))
        assert engine._calls[CALL].relay.number == 0
        await hear_each_other(phones["o1"], phones["t1"])


@pytest.mark.parametrize("moved", [False, True])
async def test_a_new_session_outlives_the_engine(data_dir: Path, *, moved: bool) -> None:
    """Killed before or after whoever remains has moved there: the next engine has them both there."""
    phones = await phones_of("o1", "t1", "o2", hidden={"o2"})
    async with up(data_dir, phones) as (engine, told, child):
        phones["t1"].refuses = None if moved else 0
        await transfer(engine, told, phones["o2"])
        await until(lambda: len(phones["t1"].offers) == 2)
        if moved:
            await until(lambda: any(isinstance(one, Updated) and one.leg_id == T1 for one in told))
        legs = engine._calls[CALL].legs
        records = [up_leg(phones[name].order(name), legs[LegId(name)].dialog()) for name in ("t1", "o2")]
        for name in ("t1", "o2"):
            engine._node.endpoint.forget(legs[LegId(name)].session)
        engine._calls.clear()
        engine._events.legs.clear()
        await child.relay.open(f"{CALL}-n1.2")  # for a leg that was not stored any more
        await child.relay.open(f"{CALL}-n1.5")  # of the last of four transfers that failed, whose end was just stored
        failed = [replace(records[1], leg_id=LegId(f"o{n + 1}"), transfer=n, dialog=b"") for n in (2, 3, 4, 5)]
        if not moved:
            phones["t1"].take_no_offer()
        await engine.restore(CALL, DOMAIN, [*records, *failed])
        if not moved:
            await until(lambda: len(phones["t1"].offers) == 3)
        await hear_each_other(phones["o2"], phones["t1"])
        assert (await child.relay.ping()).sessions == 1


async def test_a_target_is_heard_before_it_answers_and_not_once_it_has_refused(data_dir: Path) -> None:
    told: list[LegSignal] = []
    engines: list[SipEngine] = []

    def take(event: EndpointEvent) -> None:
        engines[0].on_event(event)

    node = SipNode(SipNodeSettings(port=0), on_event=take)
    asker, other, new = phones = [Phone(await RtpParty.open(ssrc=number)) for number in (1, 2, 3)]
    async with relay_in(data_dir) as child:
        engine = engine_of(node, child.relay)
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
