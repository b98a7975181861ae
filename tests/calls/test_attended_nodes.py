"""Attended transfer with engines: the calls on one node or on two, and either killed after or before any write.

Whatever dies when, each phone was rung once, none is left up, and each call has one CDR.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

import pytest

from ringbridge.adapters.memory.bus import MemoryHub
from ringbridge.adapters.memory.phones import MemoryPhones, Phone, Script
from ringbridge.calls import handing_over
from ringbridge.model import release
from ringbridge.model.call import Call, CallState
from ringbridge.model.cdr import Cdr
from ringbridge.model.errors import CallError
from ringbridge.model.events import TransferPlan
from ringbridge.model.ids import CallId, NodeId
from tests.calls.nodes import EngineNode, MortalBus, dialled, ends, new_phones, on_bus, settled, until
from tests.calls.samples import DOMAIN, requested

FIRST, SECOND = "first", "second"
N1, N2 = NodeId("n1"), NodeId("n2")


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing_over, "FIRST_LOOK_S", 0.01)
    monkeypatch.setattr(handing_over, "LOOK_AGAIN_S", 0.01)


def unlimited(_: Call, __: TransferPlan) -> AbstractAsyncContextManager[None]:
    return nullcontext()


@dataclass
class Stage:
    """1001 has 1002 on hold in the first call, and speaks with 1003 in the second."""

    hub: MemoryHub = field(default_factory=MemoryHub)
    phones: MemoryPhones = field(default_factory=new_phones)
    nodes: dict[NodeId, EngineNode] = field(default_factory=dict)

    async def add(self, name: NodeId) -> EngineNode:
        self.nodes[name] = await EngineNode(self.phones, self.hub, name=name, bus=MortalBus(self.hub)).start()
        return self.nodes[name]

    async def connect(self, *, nodes: int) -> None:
        """Bring both calls up, on one node or each on its own."""
        first = await self.add(N1)
        await first.place(requested(FIRST))
        await until(lambda: self.call(FIRST).state is CallState.CONNECTED)
        await first.control.hold(self.call(FIRST), FIRST, user="1001", on=True, by="test")
        await until(lambda: self.call(FIRST).state is CallState.HELD)
        await until(lambda: self.call(FIRST).order is None)
        if nodes == 2:
            first.owner._serving[0].cancel()  # claims nothing more
            await self.add(N2)
        await first.place(requested(SECOND, termination=("1003",)))
        await until(lambda: self.call(SECOND).state is CallState.CONNECTED)
        assert self.call(SECOND).owner == (N1 if nodes == 1 else N2)

    def call(self, name: str) -> Call:
        """Return a call by its messages, with the bus's own sequence."""
        return on_bus(self.hub, name)

    async def join(self, *, by: NodeId = N1) -> None:
        first, second = self.call(FIRST), self.call(SECOND)
        await self.nodes[by].control.join(first, FIRST, user="1001", second=second, held=unlimited, by="test")

    def phone(self, user: str) -> Phone:
        """Return the last dialog at a user's phone."""
        return [phone for phone in self.phones.dialogs.values() if phone.order.target.user == user][-1]

    def up(self) -> list[str]:
        return sorted(phone.order.target.user for phone in self.phones.busy())

    async def replace(self, name: NodeId) -> None:
        """Kill a node as it is, and start it again."""
        await self.nodes[name].kill()
        await self.add(name)

    async def cdrs(self) -> dict[str, Cdr]:
        """Return the CDRs of both calls once there are two."""
        store = next(iter(self.nodes.values())).store
        await until(lambda: len(store._cdrs) == 2)
        return {cdr.call_id: cdr for cdr in store._cdrs.values()}

    async def end(self) -> dict[str, Cdr]:
        """End whatever is up, and see that nothing is left."""
        for name in (FIRST, SECOND):
            for node in self.nodes.values():
                await node.control.end(self.call(name), domain=DOMAIN, user="1001", name=name, by="test")
        await until(lambda: self.call(FIRST).is_over and self.call(SECOND).is_over)
        for node in self.nodes.values():
            await until(lambda node=node: node.owner.active == 0)  # type: ignore[misc] # bound now
        assert self.up() == []
        assert set(dialled(self.phones).values()) == {1}
        assert (ends(self.hub, FIRST), ends(self.hub, SECOND)) == (1, 1)
        return await self.cdrs()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    for node in stage.nodes.values():
        await node.stop()


def joined(stage: Stage) -> bool:
    return stage.up() == ["1002", "1003"] and stage.call(FIRST).state is CallState.CONNECTED


@pytest.mark.parametrize("nodes", [1, 2])
async def test_the_far_parties_are_joined_and_both_calls_tell_of_it(stage: Stage, nodes: int) -> None:
    await stage.connect(nodes=nodes)
    await stage.join()
    await until(lambda: joined(stage))
    await until(lambda: stage.call(SECOND).is_over)
    assert stage.phone("1003").order.session_id == stage.call(FIRST).session_id
    stage.phone("1003").hang_up()
    await until(lambda: stage.call(FIRST).is_over)
    cdrs = await stage.end()
    first, second = cdrs[FIRST], cdrs[SECOND]
    assert (first.orig_user, first.through_user, first.term_user) == ("1002", "1001", "1003")
    assert (first.cause, first.ended_by, first.dialled) == (release.HUNG_UP, "termination", "1002")
    assert (second.orig_user, second.through_user, second.term_user) == ("1001", "1001", "1003")
    assert (second.cause, second.ended_by) == (release.TRANSFERRED, "origination")
    assert first.term_sip_call_id == second.term_sip_call_id
    assert first.through_sip_call_id != second.through_sip_call_id


@pytest.mark.parametrize("nodes", [1, 2])
async def test_the_first_call_s_party_ends_it_and_both_phones_are_on_hook(stage: Stage, nodes: int) -> None:
    await stage.connect(nodes=nodes)
    await stage.join()
    await until(lambda: joined(stage))
    stage.phone("1002").hang_up()
    await until(lambda: stage.up() == [])
    await stage.end()


async def test_what_came_is_an_ordinary_leg_of_the_first_call(stage: Stage) -> None:
    await stage.connect(nodes=2)
    await stage.join()
    await until(lambda: joined(stage))
    await until(lambda: stage.call(FIRST).order is None)
    await stage.nodes[N1].control.hold(stage.call(FIRST), FIRST, user="1003", on=True, by="test")
    await until(lambda: stage.call(FIRST).state is CallState.HELD)
    await stage.end()


@pytest.mark.parametrize("nodes", [1, 2])
async def test_a_phone_that_will_not_go_over_leaves_the_first_call_on_hold(stage: Stage, nodes: int) -> None:
    stage.phones.scripts["1003"] = Script(offer_status=488)
    await stage.connect(nodes=nodes)
    await stage.join()
    await until(lambda: stage.up() == ["1001", "1002"])
    await until(lambda: stage.call(FIRST).order is None)
    assert stage.call(FIRST).state is CallState.HELD
    assert stage.call(FIRST).orders[-1].cause == release.of_sip_status(488)
    cdrs = await stage.end()
    assert (cdrs[FIRST].term_user, cdrs[FIRST].through_action) == ("1002", "")


async def test_a_party_that_hangs_up_in_between_is_missed_and_the_first_call_goes_on(stage: Stage) -> None:
    await stage.connect(nodes=2)
    stage.phones.scripts["1003"] = Script(offer_status=None)
    bus = stage.nodes[N1].bus
    bus.dies_at, bus.after_storing = bus.appends + 2, True  # the leg is taken, and nothing was offered to it
    await stage.join(by=N2)
    await asyncio.wait_for(bus.dead.wait(), 5)
    stage.phone("1003").hang_up()
    await stage.replace(N1)
    await until(lambda: stage.call(FIRST).order is None)
    assert stage.call(FIRST).state is CallState.HELD
    assert stage.up() == ["1001", "1002"]
    await stage.end()


@pytest.mark.parametrize("which", [N1, N2])
@pytest.mark.parametrize("after_storing", [False, True])
@pytest.mark.parametrize("dies_at", range(1, 7))
@pytest.mark.parametrize("nodes", [1, 2])
async def test_an_engine_killed_at_any_write_leaves_nothing_up_and_two_cdrs(
    stage: Stage, nodes: int, dies_at: int, which: NodeId, *, after_storing: bool
) -> None:
    if nodes == 1 and which == N2:
        return
    await stage.connect(nodes=nodes)
    bus = stage.nodes[which].bus
    bus.dies_at, bus.after_storing = bus.appends + dies_at, after_storing
    joining = asyncio.create_task(stage.join())
    done = asyncio.create_task(until(lambda: joined(stage) and stage.call(SECOND).is_over))
    died = asyncio.create_task(bus.dead.wait())
    await asyncio.wait({done, died}, return_when=asyncio.FIRST_COMPLETED)
    for task in (joining, done, died):
        task.cancel()
    await asyncio.gather(joining, done, died, return_exceptions=True)
    await stage.replace(which)
    await settled()
    await until(lambda: stage.call(FIRST).order is None)
    await until(lambda: stage.call(SECOND).order is None or stage.call(SECOND).is_over)
    if joined(stage):
        await until(lambda: stage.call(SECOND).is_over)
        cdrs = await stage.end()
        assert (cdrs[FIRST].term_user, cdrs[SECOND].cause) == ("1003", release.TRANSFERRED)
    else:
        assert stage.up() == ["1001", "1001", "1002", "1003"], "all is as it was before"
        await stage.end()


@pytest.mark.parametrize("nodes", [1, 2])
async def test_delete_of_either_in_the_middle_ends_what_it_has(stage: Stage, nodes: int) -> None:
    stage.phones.scripts["1003"] = Script(offer_status=None)
    await stage.connect(nodes=nodes)
    await stage.join()
    await until(lambda: len(stage.call(FIRST).legs) == 3)
    await stage.end()


async def test_a_second_call_in_no_state_for_it_is_refused_by_name(stage: Stage) -> None:
    await stage.connect(nodes=1)
    stage.phone("1003").hang_up()
    await until(lambda: stage.call(SECOND).is_over)
    with pytest.raises(CallError) as refused:
        await stage.join()
    assert refused.value.code == "destination-ended"
    stage.phones.scripts["1004"] = Script(status=None)
    await stage.nodes[N1].place(requested("third", termination=("1004",)))
    await until(lambda: stage.call("third").state is CallState.TERM_RINGING)
    with pytest.raises(CallError) as refused:
        await stage.nodes[N1].control.join(
            stage.call(FIRST), FIRST, user="1001", second=stage.call("third"), held=unlimited, by="test"
        )
    assert refused.value.code == "destination-call-not-connected"
    assert stage.call(FIRST).order is None
    third = stage.call("third")
    await stage.nodes[N1].control.end(third, domain=DOMAIN, user="1001", name=CallId("third"), by="test")
    await until(lambda: stage.call("third").is_over)


async def test_two_transfers_that_want_each_other_s_party_do_not_wait_for_ever(stage: Stage) -> None:
    await stage.connect(nodes=2)
    first, second = stage.call(FIRST), stage.call(SECOND)
    one, other = stage.nodes[N1].control, stage.nodes[N2].control
    results = await asyncio.gather(
        one.join(first, FIRST, user="1001", second=second, held=unlimited, by="test"),
        other.join(second, SECOND, user="1001", second=first, held=unlimited, by="test"),
        return_exceptions=True,
    )
    assert all(result is None or isinstance(result, CallError) for result in results)
    await until(lambda: all(stage.call(name).order is None or stage.call(name).is_over for name in (FIRST, SECOND)))
    await stage.end()
