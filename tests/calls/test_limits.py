"""Limits hold across nodes, exactly; slots come free when calls end, and never leak."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from ringbridge.adapters.memory.bus import Fault as BusFault
from ringbridge.adapters.memory.bus import MemoryBus, MemoryHub
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.calls.limits import GRACE_S, Limits, Taken
from ringbridge.model.call import Call, fold
from ringbridge.model.errors import BusUnavailable, CallError, Refusal
from ringbridge.model.events import CallEnded
from ringbridge.model.ids import CallId, SessionId
from ringbridge.model.limits import Claim
from ringbridge.model.release import DELETED
from tests.calls.samples import DOMAIN, VirtualClock, requested, requested_call

USER = ("user", DOMAIN, "1001")
LONGEST_S = 18_000.0


def limit(active: int | None = None, *, per_minute: int | None = None, subject: tuple[str, ...] = USER) -> Claim:
    return Claim(subject, " ".join(subject), active, per_minute)


class Node:
    """One API node's limits over its own copy of the calls."""

    def __init__(self, hub: MemoryHub, clock: VirtualClock) -> None:
        self.hub = hub
        self.clock = clock
        self.bus = MemoryBus(hub)
        self.store = MemoryStore(clock)
        self.limits = Limits(bus=self.bus, store=self.store, clock=clock, longest_call_s=LONGEST_S)

    async def take(self, name: str, *claims: Claim, session: str = "", transfer: int = 0) -> Taken:
        session_id = SessionId(session or f"s-{name}")
        return await self.limits.take(
            claims, domain=DOMAIN, call_id=CallId(name), session_id=session_id, transfer=transfer
        )

    async def refused(self, name: str, *claims: Claim) -> CallError:
        with pytest.raises(CallError) as refusal:
            await self.take(name, *claims)
        return refusal.value

    def see(self, name: str, *, over: bool = False) -> Call:
        """Let the local copy know a call."""
        call = requested_call(requested(name, at=self.clock.at))
        if over:
            ended = fold(call, [CallEnded(DELETED, "system", self.clock.at)], call.sequence + 1)
            assert ended is not None
            call = ended
        self.store.put_call(call)
        return call


def two_nodes() -> tuple[Node, Node]:
    hub, clock = MemoryHub(), VirtualClock()
    return Node(hub, clock), Node(hub, clock)


def writes(node: Node) -> int:
    return node.hub.writes[Stream.LIMITS]


async def test_without_a_limit_nothing_is_asked_of_the_bus() -> None:
    node, _ = two_nodes()
    node.hub.is_up = False
    await node.take("c1")
    assert writes(node) == 0


async def test_a_limit_holds_on_every_node() -> None:
    one, other = two_nodes()
    await one.take("c1", limit(2))
    await other.take("c2", limit(2))
    for node in (one, other):
        refusal = await node.refused("c3", limit(2))
        assert (refusal.refusal, refusal.code) == (Refusal.TOO_MANY, "too-many-active-calls")
        assert refusal.retry_after_s
        assert "user demo.example 1001 has 2 active calls, and may have 2" in refusal.message


@pytest.mark.parametrize("allowed", [1, 7])
async def test_calls_from_all_nodes_at_once_never_exceed_a_limit(allowed: int) -> None:
    hub, clock = MemoryHub(), VirtualClock()
    nodes = [Node(hub, clock) for _ in range(4)]
    takes = [nodes[number % 4].take(f"c{number}", limit(allowed, per_minute=100)) for number in range(40)]
    results = await asyncio.gather(*takes, return_exceptions=True)
    refused = [one for one in results if isinstance(one, BaseException)]
    assert len(results) - len(refused) == allowed
    assert all(isinstance(one, CallError) and one.refusal is Refusal.TOO_MANY for one in refused)


async def test_a_slot_is_free_when_its_call_is_over() -> None:
    one, other = two_nodes()
    await one.take("c1", limit(1))
    other.see("c1")
    await other.refused("c2", limit(1))
    other.see("c1", over=True)
    await other.take("c2", limit(1))
    one.see("c2")
    await one.refused("c3", limit(1))


async def test_a_call_that_the_local_copy_has_not_seen_yet_counts() -> None:
    node, _ = two_nodes()
    await node.take("c1", limit(1))
    node.clock.at += GRACE_S - 1
    await node.refused("c2", limit(1))


async def test_a_slot_of_a_call_that_never_was_comes_free() -> None:
    """The node died between the slot and the call."""
    node, other = two_nodes()
    await node.take("c1", limit(1))
    node.clock.at += GRACE_S + 1
    await other.take("c2", limit(1))


async def test_a_late_copy_frees_no_slot_of_a_call_that_lives() -> None:
    node, other = two_nodes()
    await node.take("c1", limit(1))
    await node.bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
    node.clock.at += GRACE_S + 1
    await other.refused("c2", limit(1))


async def test_a_slot_outlives_no_call() -> None:
    """Its engine is gone for good and nobody wrote the end."""
    node, _ = two_nodes()
    await node.take("c1", limit(1))
    node.see("c1")
    node.clock.at += LONGEST_S + 1
    await node.take("c2", limit(1))


async def test_a_refused_call_takes_no_slot_of_its_other_limits() -> None:
    node, other = two_nodes()
    domain = limit(1, subject=("domain", DOMAIN))
    await node.take("c1", domain)
    await node.refused("c2", limit(1), domain)
    await other.take("c3", limit(1))


async def test_every_limit_that_is_reached_is_named() -> None:
    node, _ = two_nodes()
    domain = limit(1, subject=("domain", DOMAIN))
    await node.take("c1", limit(1), domain)
    refusal = await node.refused("c2", limit(1), domain)
    assert [fault.message.split(" has ")[0] for fault in refusal.faults] == [f"user {DOMAIN} 1001", f"domain {DOMAIN}"]
    assert len(await node.limits.look([limit(1), domain], domain=DOMAIN)) == 2


async def test_calls_a_minute_count_on_all_nodes() -> None:
    one, other = two_nodes()
    for name, node in (("c1", one), ("c2", other)):
        await node.take(name, limit(per_minute=2))
        node.see(name, over=True)
    one.clock.at += 20
    refusal = await one.refused("c3", limit(per_minute=2))
    assert (refusal.code, refusal.retry_after_s) == ("too-many-calls-a-minute", 41)
    one.clock.at += 40
    await one.take("c3", limit(per_minute=2))


async def test_the_same_call_twice_at_once_needs_one_slot() -> None:
    """The loser of the race for the call-id is a replay, and must get as far as learning that."""
    one, other = two_nodes()
    await one.take("c1", limit(1))
    assert await other.take("c1", limit(1), session="another") == []
    await other.refused("c2", limit(1))


async def test_a_slot_is_that_of_the_call_that_was_stored_whichever_node_took_it() -> None:
    one, other = two_nodes()
    await one.take("c1", limit(1), session="loser")
    assert await other.take("c1", limit(1)) == []
    for node in (one, other):
        assert node.see("c1").session_id != "loser"
    one.clock.at += GRACE_S + 1
    await one.refused("c2", limit(1))
    for node in (one, other):
        node.see("c1", over=True)
    await one.take("c2", limit(1))


async def test_the_same_transfer_twice_gives_back_only_what_the_refused_one_took() -> None:
    node, _ = two_nodes()
    trunk = msgspec.structs.replace(limit(2, subject=("connection", DOMAIN, "trunk")), once_a_call=False)
    await node.take("c1", trunk, transfer=1)
    node.clock.at += 0.001
    await node.limits.give_back(await node.take("c1", trunk, transfer=1))
    await node.take("c2", trunk)
    await node.refused("c3", trunk)


async def test_a_slot_that_is_given_back_is_free() -> None:
    one, other = two_nodes()
    await one.limits.give_back(await one.take("c1", limit(1)))
    await other.take("c2", limit(1))


async def test_a_look_takes_nothing() -> None:
    node, _ = two_nodes()
    assert await node.limits.look([limit(1)], domain=DOMAIN) == []
    await node.take("c1", limit(1))
    assert [one.code for one in await node.limits.look([limit(1)], domain=DOMAIN)] == ["too-many-active-calls"]
    assert writes(node) == 1


async def test_a_call_costs_one_write_while_nobody_else_writes() -> None:
    node, _ = two_nodes()
    for number in range(20):
        await node.take(f"c{number}", limit(100, per_minute=100))
    assert writes(node) == 20


async def test_slots_of_calls_that_are_over_do_not_pile_up() -> None:
    node, _ = two_nodes()
    for number in range(200):
        await node.take(f"c{number}", limit(1000))
        node.see(f"c{number}", over=True)
    payload, _ = await node.bus.read_limit(USER)
    assert len(payload) < 1000


@pytest.mark.parametrize("fault", list(BusFault))
async def test_without_the_bus_nothing_is_promised_and_nothing_is_lost(fault: BusFault) -> None:
    node, other = two_nodes()
    node.hub.faults.append(fault)
    with pytest.raises(BusUnavailable):
        await node.take("c1", limit(2))
    await node.take("c1", limit(2))
    await other.take("c2", limit(2))
    await other.refused("c3", limit(2))


async def test_what_cannot_be_read_counts_as_nothing() -> None:
    node, _ = two_nodes()
    await node.bus.write_limit(USER, b"\xc1", after=0)
    await node.take("c1", limit(1))
    await node.refused("c2", limit(1))
