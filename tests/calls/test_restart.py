"""Engines that are killed: whenever it happens, nobody is dialled twice, no leg is left, and a CDR tells it."""

from __future__ import annotations

import asyncio

import pytest

from ringbridge.adapters.memory.bus import MemoryHub
from ringbridge.adapters.memory.phones import RINGS, SILENT, Script
from ringbridge.model import release
from ringbridge.model.call import CallState
from ringbridge.model.events import CallRequested, LegAnswered, LegInvited, LegReleased
from ringbridge.model.ids import NodeId
from tests.calls.nodes import (
    EngineNode,
    MortalBus,
    dialled,
    ends,
    messages,
    new_phones,
    offer_again,
    on_bus,
    running,
    settled,
    until,
)
from tests.calls.samples import DOMAIN, requested

QUICK = requested(ring_timeout_s=(0.02, 0.02))
FORKED = requested(origination=("1001", "1001m"), termination=("1002", "1002m"), ring_timeout_s=(0.02, 0.02))

SCENES: dict[str, tuple[CallRequested, dict[str, Script]]] = {
    "answered, the termination hangs up": (QUICK, {"1002": Script(hangs_up_after_s=0.01)}),
    "answered, the origination hangs up": (QUICK, {"1001": Script(hangs_up_after_s=0.02)}),
    "first leg busy": (QUICK, {"1001": Script(status=486, after_s=0.005)}),
    "first leg silent": (QUICK, {"1001": SILENT}),
    "first leg rings on": (QUICK, {"1001": RINGS}),
    "second leg busy": (QUICK, {"1002": Script(status=486, after_s=0.005)}),
    "second leg rings on": (QUICK, {"1002": RINGS}),
    "second leg answers the cancel": (QUICK, {"1002": Script(status=None, answers_cancel=True)}),
    "devices fork": (FORKED, {"1001": RINGS, "1002m": RINGS, "1002": Script(after_s=0.005, hangs_up_after_s=0.01)}),
    "devices all answer": (FORKED, {"1001": Script(hangs_up_after_s=0.02), "1001m": Script(hangs_up_after_s=0.02)}),
}


async def killed_and_started_again(
    hub: MemoryHub, first: EngineNode, event: CallRequested, *, name: NodeId | None = None
) -> EngineNode:
    """Run a call until its engine dies of it, or it is over; return the engine that was started in its place."""
    await first.start()
    await first.place(event)
    over = asyncio.create_task(until(lambda: on_bus(hub).is_over))
    died = asyncio.create_task(first.bus.dead.wait())
    await asyncio.wait({over, died}, return_when=asyncio.FIRST_COMPLETED)
    over.cancel()
    died.cancel()
    await first.kill()
    again = await EngineNode(first.phones, hub, name=name or first.name).start()
    offer_again(hub)
    return again


@pytest.mark.parametrize("scene", list(SCENES))
@pytest.mark.parametrize("dies_at", range(1, 8))
async def test_an_engine_killed_after_any_write_leaves_one_call_and_one_cdr(scene: str, dies_at: int) -> None:
    phones, hub = new_phones(), MemoryHub()
    event, phones.scripts = SCENES[scene]
    first = EngineNode(phones, hub, bus=MortalBus(hub, dies_at=dies_at))
    again = await killed_and_started_again(hub, first, event)
    try:
        await settled()
        call = on_bus(hub)
        await again.control.end(call, domain=DOMAIN, user=call.user, name="c1", by="test")
        await until(lambda: on_bus(hub).is_over)
        await until(lambda: again.owner.active == 0)
        assert set(dialled(phones).values()) <= {1}
        assert ends(hub) == 1
        assert phones.busy() == []
        await until(lambda: len(again.store._cdrs) == 1)
    finally:
        await again.stop()


@pytest.mark.parametrize("scene", list(SCENES))
@pytest.mark.parametrize("dies_at", range(1, 8))
async def test_an_engine_killed_before_any_write_dials_nobody_twice(scene: str, dies_at: int) -> None:
    phones, hub = new_phones(), MemoryHub()
    event, phones.scripts = SCENES[scene]
    first = EngineNode(phones, hub, bus=MortalBus(hub, dies_at=dies_at, after_storing=False))
    again = await killed_and_started_again(hub, first, event)
    try:
        await settled()
        call = on_bus(hub)
        await again.control.end(call, domain=DOMAIN, user=call.user, name="c1", by="test")
        await until(lambda: on_bus(hub).is_over)
        await until(lambda: again.owner.active == 0)
        assert set(dialled(phones).values()) <= {1}
        assert ends(hub) == 1
        assert phones.busy() == []
        await until(lambda: len(again.store._cdrs) == 1)
    finally:
        await again.stop()


async def test_a_joined_call_lives_on_and_can_be_ended_from_either_side() -> None:
    for side, leg in (("origination", "o1"), ("termination", "t1")):
        phones, hub = new_phones(), MemoryHub()
        first = await EngineNode(phones, hub).start()
        await first.place(requested())
        await until(lambda hub=hub: on_bus(hub).state is CallState.CONNECTED)  # type: ignore[misc] # bound in the loop
        await first.kill()
        async with running(phones, hub) as again:
            assert again.owner.active == 1
            assert len(phones.busy()) == 2
            phones.of("s-c1", leg).hang_up()
            await until(lambda hub=hub: on_bus(hub).is_over)  # type: ignore[misc] # bound in the loop
            assert (on_bus(hub).release, on_bus(hub).ended_by) == (release.HUNG_UP, side)
            assert phones.busy() == []


async def test_what_phones_said_while_the_engine_was_away_is_heard() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts = {"1001": RINGS}
    first = await EngineNode(phones, hub).start()
    await first.place(requested())
    await until(lambda: len(phones.invites) == 1)
    await settled()
    await first.kill()
    phones.of("s-c1", "o1").answer()
    async with running(phones, hub):
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        assert set(dialled(phones).values()) == {1}


async def test_a_hang_up_while_the_engine_was_away_is_heard() -> None:
    phones, hub = new_phones(), MemoryHub()
    first = await EngineNode(phones, hub).start()
    await first.place(requested())
    await until(lambda: on_bus(hub).state is CallState.CONNECTED)
    await first.kill()
    phones.of("s-c1", "t1").hang_up()
    async with running(phones, hub):
        await until(lambda: on_bus(hub).is_over)
        assert (on_bus(hub).release, on_bus(hub).ended_by) == (release.HUNG_UP, "termination")
        assert phones.busy() == []


async def test_a_relay_that_was_lost_with_the_engine_ends_the_call() -> None:
    """The engine says so while it restores: that must not be lost."""
    phones, hub = new_phones(), MemoryHub()
    first = await EngineNode(phones, hub).start()
    await first.place(requested())
    await until(lambda: on_bus(hub).state is CallState.CONNECTED)
    await first.kill()
    again = EngineNode(phones, hub)
    again.engine.media_is_lost = True
    await again.start()
    await until(lambda: on_bus(hub).is_over)
    assert on_bus(hub).release == release.RELAY_LOST
    assert phones.busy() == []
    await again.stop()


async def test_a_call_that_cannot_be_restored_ends_and_spoils_no_other() -> None:
    phones, hub = new_phones(), MemoryHub()
    first = await EngineNode(phones, hub).start()
    await first.place(requested("bad"))
    await first.place(requested("good"))
    await until(lambda: {on_bus(hub, name).state for name in ("bad", "good")} == {CallState.CONNECTED})
    await first.kill()
    again = EngineNode(phones, hub)
    again.engine.restore_fails.append(ValueError("a dialog of another version"))
    await again.start()
    await until(lambda: again.owner.active == 1)
    over = [name for name in ("bad", "good") if on_bus(hub, name).is_over]
    assert len(over) == 1
    assert on_bus(hub, over[0]).release == release.INTERNAL_ERROR
    await again.stop()


async def test_a_request_that_a_killed_engine_had_not_claimed_is_taken_by_another() -> None:
    phones, hub = new_phones(), MemoryHub()
    first = EngineNode(phones, hub, bus=MortalBus(hub, dies_at=1, after_storing=False))
    again = await killed_and_started_again(hub, first, requested(), name=NodeId("n2"))
    await until(lambda: on_bus(hub).state is CallState.CONNECTED)
    assert on_bus(hub).owner == "n2"
    assert set(dialled(phones).values()) == {1}
    await again.stop()


async def test_another_engine_leaves_a_dead_ones_calls_alone() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = RINGS
    first = EngineNode(phones, hub, bus=MortalBus(hub, dies_at=1))
    again = await killed_and_started_again(hub, first, requested(), name=NodeId("n2"))
    await settled()
    await until(lambda: again.owner.active == 0)
    assert phones.invites == [], "an INVITE may have left: nobody sends another"
    assert on_bus(hub).owner == "n1"
    await again.stop()


async def test_an_engine_killed_over_and_over_tells_one_story() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts = {"1001": Script(after_s=0.01), "1002": Script(after_s=0.01, hangs_up_after_s=0.02)}
    node = await EngineNode(phones, hub, bus=MortalBus(hub, dies_at=1)).start()
    await node.place(requested())
    for _ in range(12):
        if on_bus(hub).is_over:
            break
        died = asyncio.create_task(node.bus.dead.wait())
        await asyncio.wait({died}, timeout=0.05)
        died.cancel()
        await node.kill()
        node = await EngineNode(phones, hub, bus=MortalBus(hub, dies_at=1)).start()
    call = on_bus(hub)
    if not call.is_over:
        await node.kill()
        node = await EngineNode(phones, hub).start()
        await node.control.end(call, domain=DOMAIN, user=call.user, name="c1", by="test")
        await until(lambda: on_bus(hub).is_over)
    assert ends(hub) == 1
    assert set(dialled(phones).values()) <= {1}
    await until(lambda: phones.busy() == [])
    await node.stop()


async def test_every_invite_follows_its_stored_event() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        await node.place(FORKED)
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        stories = [event for batch in messages(hub) for event in batch]
        stored = {event.sip_call_id for event in stories if isinstance(event, LegInvited)}
        assert {invite.sip_call_id for invite in phones.invites} <= stored
        assert sum(isinstance(event, LegAnswered) for event in stories) == 2
        assert sum(isinstance(event, LegReleased) for event in stories) == 2
