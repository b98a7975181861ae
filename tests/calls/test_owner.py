"""Engines that claim and run calls: each call by one, none twice, none lost."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from structlog.typing import EventDict

from ringbridge.adapters.memory.bus import Fault, MemoryBus, MemoryHub
from ringbridge.adapters.memory.phones import RINGS, SILENT, Script
from ringbridge.calls.ports import PreparedLeg
from ringbridge.model import release
from ringbridge.model.call import CallState
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.events import CallClaimed
from ringbridge.model.ids import NodeId
from ringbridge.model.release import ReleaseCause, Result
from tests.calls.nodes import (
    EngineNode,
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
from tests.calls.samples import DOMAIN, O1, T1, requested

# --- one call ---


async def test_a_call_from_claim_to_cdr() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = Script(hangs_up_after_s=0.01)
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).is_over)
        call = on_bus(hub)
        assert (call.release, call.ended_by, call.owner) == (release.HUNG_UP, "termination", "n1")
        assert dialled(phones) == {("s-c1", O1): 1, ("s-c1", T1): 1}
        assert phones.busy() == []
        await until(lambda: node.owner.active == 0 and node.engine.calls == 0)
        await until(lambda: bool(node.store._cdrs))
        cdr = await node.store.cdr(DOMAIN, call.session_id)
        assert cdr is not None
        assert cdr.disconnect_reason_text == "Term: Bye"
        assert node.owner.ended == {"completed": 1}


async def test_a_call_that_is_over_is_gone_at_once_and_not_with_the_garbage_collector() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: node.engine.ringbacks == [("s-c1", True)])
        (run,) = (weakref.ref(run) for run in node.owner._runs.values())
        gc.disable()
        try:
            phones.of("s-c1", "t1").answer()
            phones.of("s-c1", "t1").hang_up()
            await until(lambda: run() is None)
        finally:
            gc.enable()


async def test_orders_tell_each_leg_what_it_shows() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: len(phones.invites) == 2)
        first, second = (invite.order for invite in phones.invites)
        assert (first.caller_id.number, first.target.label) == ("1002", "1001")
        assert (second.caller_id.number, second.caller_id.name, second.target.label) == ("+4570101010", "Ann", "1002")


async def test_the_caller_hears_ringback_until_the_answer() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: node.engine.ringbacks == [("s-c1", True)])
        phones.of("s-c1", "t1").answer()
        await until(lambda: node.engine.ringbacks == [("s-c1", True), ("s-c1", False)])


@pytest.mark.parametrize(
    ("scripts", "cause", "by"),
    [
        ({"1001": Script(status=486)}, "busy", "origination"),
        ({"1001": RINGS}, "ring-timeout", "origination"),
        ({"1001": SILENT}, "never-rang", "origination"),
        ({"1001": Script(status=None, answers_cancel=True)}, "ring-timeout", "origination"),
        ({"1002": Script(status=603)}, "declined", "termination"),
        ({"1002": RINGS}, "ring-timeout", "termination"),
        ({"1002": Script(status=None, answers_cancel=True)}, "ring-timeout", "termination"),
        ({"1002": Script(status=404)}, "sip-404", "termination"),
    ],
)
async def test_a_call_that_is_not_answered(scripts: dict[str, Script], cause: str, by: str) -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts = scripts
    async with running(phones, hub) as node:
        await node.place(requested(ring_timeout_s=(0.2, 0.2)))
        await until(lambda: on_bus(hub).is_over)
        call = on_bus(hub)
        assert call.release is not None
        assert (call.release.reason, call.ended_by) == (cause, by)
        await until(lambda: node.engine.calls == 0)
        assert phones.busy() == []


async def test_all_devices_ring_and_the_first_to_answer_wins() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts = {"1001": RINGS, "1001m": Script(after_s=0.005), "1002": RINGS}
    async with running(phones, hub) as node:
        await node.place(requested(origination=("1001", "1001m", "1001x")))
        await until(lambda: len(phones.invites) == 4)
        # The default phone, o3, answers at once; the others are cancelled.
        await until(lambda: [phone.order.leg_id for phone in phones.busy()] == ["o3", "t1"])


# --- who owns it ---


async def test_two_engines_share_200_calls_and_dial_each_once() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = Script(hangs_up_after_s=0.002)
    async with running(phones, hub) as one, running(phones, hub, name=NodeId("n2")) as two:
        for number in range(200):
            await one.place(requested(f"c{number}"))
            if number % 20 == 0:
                offer_again(hub)
        offer_again(hub)
        await until(lambda: len(one.store._cdrs) == len(two.store._cdrs) == 200, within_s=10)
        await until(lambda: one.owner.active == two.owner.active == 0)
        assert set(dialled(phones).values()) == {1}
        assert len(dialled(phones)) == 400
        assert all(ends(hub, f"c{number}") == 1 for number in range(200))
        assert {on_bus(hub, f"c{number}").owner for number in range(200)} == {"n1", "n2"}
        await until(lambda: one.engine.calls == two.engine.calls == 0)


class SlowEngine:
    """A node's engine whose `prepare` waits until it is let go: what a paused process looks like."""

    def __init__(self, node: EngineNode) -> None:
        self.go_on = asyncio.Event()
        self._prepare = node.engine.prepare
        node.engine.prepare = self.prepare  # type: ignore[method-assign] # one node, one test

    async def prepare(self, orders: object) -> list[PreparedLeg]:
        await self.go_on.wait()
        return await self._prepare(orders)  # type: ignore[arg-type] # handed through


async def test_a_slow_twin_loses_and_dials_nobody() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = RINGS
    async with running(phones, hub, name=NodeId("slow")) as slow:
        twin = SlowEngine(slow)
        await slow.place(requested())
        await until(lambda: slow.owner.active == 1)
        async with running(phones, hub, name=NodeId("quick")) as quick:
            offer_again(hub)
            await until(lambda: len(phones.invites) == 2)
            assert slow.owner.active + quick.owner.active == 2
            twin.go_on.set()
            await until(lambda: slow.owner.active == 0)
            await until(lambda: slow.engine.calls == 0)
            assert on_bus(hub).owner == "quick"
            assert len(phones.invites) == 2
            assert len(phones.busy()) == 2, "the winner's legs are untouched"


async def test_a_request_that_is_offered_again_to_its_own_engine_changes_nothing() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: len(phones.invites) == 2)
        offer_again(hub)
        await settled()
        assert not hub.waiting
        assert len(phones.invites) == 2
        assert node.owner.active == 1


async def test_an_old_request_that_is_offered_again_after_its_end_rings_nobody() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1001"] = Script(status=486)
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: node.owner.active == 0 and on_bus(hub).is_over)
        before = len(messages(hub))
        offer_again(hub)
        await settled()
        await until(lambda: node.owner.active == 0)
        assert len(phones.invites) == 1
        assert len(messages(hub)) == before


async def test_an_owner_that_lost_its_call_drops_its_legs_at_once() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        last = (await node.bus.read_call(DOMAIN, requested().call_id))[-1].sequence
        other = CallClaimed(NodeId("n2"), 2, 0.0)
        await MemoryBus(hub).append_call(DOMAIN, requested().call_id, [other], after=last)
        phones.of("s-c1", "t1").hold(on=True)
        await until(lambda: phones.busy() == [])
        await until(lambda: node.owner.active == 0)
        assert on_bus(hub).owner == "n2"
        assert ends(hub) == 0, "its end is the new owner's to tell"


# --- the bus fails ---


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("place", range(5))
async def test_a_write_that_fails_is_tried_again_and_nobody_is_dialled_twice(fault: Fault, place: int) -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = Script(hangs_up_after_s=0.01)
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: len(messages(hub)) > place)
        hub.faults.append(fault)
        await until(lambda: on_bus(hub).is_over)
        assert set(dialled(phones).values()) == {1}
        assert on_bus(hub).release == release.HUNG_UP
        await until(lambda: node.owner.active == 0)
        assert phones.busy() == []


async def test_no_invite_leaves_while_the_bus_is_away() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1001"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: len(phones.invites) == 1)
        hub.is_up = False
        phones.of("s-c1", "o1").answer()
        await asyncio.sleep(0.03)
        assert len(phones.invites) == 1
        hub.is_up = True
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        assert len(phones.invites) == 2


async def test_an_answer_is_acknowledged_only_when_it_is_stored() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1001"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: len(phones.invites) == 1)
        await settled()
        hub.is_up = False
        phone = phones.of("s-c1", "o1")
        phone.answer()
        await settled()
        assert not phone.acked
        hub.is_up = True
        await until(lambda: phone.acked)
        assert on_bus(hub).legs[0].answered_at


async def test_a_call_goes_on_and_ends_without_the_bus_and_is_told_later() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        hub.is_up = False
        phones.of("s-c1", "o1").hang_up()
        await settled()
        assert phones.busy() == [], "the other leg is released at once"
        assert not on_bus(hub).is_over
        hub.is_up = True
        await until(lambda: on_bus(hub).is_over)
        assert on_bus(hub).release == release.HUNG_UP
        await until(lambda: node.owner.active == 0)


async def test_an_outage_past_dial_before_dials_nobody() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        hub.is_up = False
        await asyncio.sleep(0.02)
        phones.clock.at += 31  # type: ignore[attr-defined] # it is the virtual one
        hub.is_up = True
        await until(lambda: on_bus(hub).is_over)
        assert phones.invites == []
        assert on_bus(hub).release == release.DIALLED_TOO_LATE
        await until(lambda: node.engine.calls == 0)


# --- bugs ---


async def test_a_bug_in_the_engine_ends_that_call_alone_and_tells_it() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1002"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested("good"))
        await until(lambda: len(phones.invites) == 2)
        node.engine.prepare_fails.append(RuntimeError("a bug"))
        await node.place(requested("bad"))
        await until(lambda: on_bus(hub, "bad").is_over)
        assert on_bus(hub, "bad").release == release.INTERNAL_ERROR
        assert len(phones.invites) == 2
        await until(lambda: node.owner.active == 1)
        await node.place(requested("next"))
        await until(lambda: len(phones.invites) == 4)


async def test_a_bug_while_the_first_leg_is_up_drops_that_leg() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1001"] = RINGS
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: len(phones.invites) == 1)
        node.engine.prepare_fails.append(RuntimeError("a bug"))
        phones.of("s-c1", "o1").answer()
        await until(lambda: on_bus(hub).is_over)
        assert on_bus(hub).release == release.INTERNAL_ERROR
        assert on_bus(hub).legs[0].answered_at, "what was before the bug is told"
        assert phones.busy() == []


async def test_a_refusal_to_prepare_is_told_by_its_code() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        node.engine.prepare_fails.append(CallError(Refusal.UNAVAILABLE, "relay-unavailable", "no relay"))
        await node.place(requested())
        await until(lambda: on_bus(hub).is_over)
        assert on_bus(hub).release == ReleaseCause(Result.FAILED, "relay-unavailable")


async def test_no_invite_leaves_whose_storing_failed_by_a_bug() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        node.bus.bugs.append(TypeError("a bug in the bus"))
        await node.place(requested())
        await until(lambda: on_bus(hub).is_over)
        assert phones.invites == []
        assert on_bus(hub).release == release.INTERNAL_ERROR
        await until(lambda: node.owner.active == 0)


async def test_what_a_bug_kept_from_being_stored_is_stored_with_the_end() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1001"] = Script(rings=False, status=None)
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: len(phones.invites) == 1)
        node.bus.bugs.append(TypeError("a bug in the bus"))
        phones.of("s-c1", "o1").ring()
        await settled()
        phones.of("s-c1", "o1").refuse(486)
        await until(lambda: on_bus(hub).is_over)
        assert on_bus(hub).legs[0].ringing_at


class BrokenRelease:
    """An engine whose `release` raises."""

    def __init__(self, node: EngineNode) -> None:
        node.engine.release = self.release  # type: ignore[method-assign,assignment] # one node, one test

    def release(self, *_: object) -> None:
        raise RuntimeError("a bug")


async def test_a_call_that_cannot_even_be_dropped_still_has_its_end(log_lines: list[EventDict]) -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        await node.place(requested())
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        BrokenRelease(node)
        phones.of("s-c1", "o1").hang_up()
        await until(lambda: on_bus(hub).is_over)
        await until(lambda: node.owner.active == 0 and node.engine.calls == 0)
        assert phones.busy() == []
    assert {"call_failed_by_a_bug", "call_left_by_a_bug"} <= {line["event"] for line in log_lines}


# --- stopping ---


async def test_a_stopped_engine_ends_its_calls_and_claims_no_more() -> None:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts["1003"] = RINGS
    node = await EngineNode(phones, hub).start()
    await node.place(requested("up"))
    await node.place(requested("ringing", origination=("1003",)))
    await until(lambda: on_bus(hub, "up").state is CallState.CONNECTED and len(phones.invites) == 3)
    await settled()
    await node.stop()
    for name in ("up", "ringing"):
        assert on_bus(hub, name).release == release.ENGINE_STOPPED
        assert ends(hub, name) == 1
    assert phones.busy() == []
    await node.place(requested("late"))
    await settled()
    assert len(phones.invites) == 3


async def test_a_stop_without_the_bus_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringbridge.calls.owner.STOP_TIMEOUT_S", 0.03)
    phones, hub = new_phones(), MemoryHub()
    node = await EngineNode(phones, hub).start()
    await node.place(requested())
    await until(lambda: on_bus(hub).state is CallState.CONNECTED)
    hub.is_up = False
    async with asyncio.timeout(1):
        await node.stop()
    assert phones.busy() == []
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
