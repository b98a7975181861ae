"""The replica over the in-memory hub and store: folding, offsets, waiting, rebuilding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ringbridge.adapters.memory.bus import MemoryBus, MemoryFeed, MemoryHub
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.subjects import Stream, call_stream, sequence_of, stream_of
from ringbridge.adapters.replica.replica import Replica
from ringbridge.adapters.store.batch import StoreBatch, TakesPart
from ringbridge.model.call import Call, CallState
from ringbridge.model.cdr_query import CdrQuery
from ringbridge.model.directory import Domain, Location, User
from ringbridge.model.events import CallBarred, CallClaimed, CallEnded, LegInvited, LegReleased
from ringbridge.model.ids import CallId, LegId, NodeId, SessionId, UserName
from ringbridge.model.release import DELETED
from tests.adapters.bus_calls import DOMAIN, TestClock, requested, target

NODE = NodeId("n1")


class Node:
    """One node over the hub: bus, store, replica."""

    def __init__(self, hub: MemoryHub, store: MemoryStore | None = None) -> None:
        self.hub = hub
        self.bus = MemoryBus(hub)
        self.store = store or MemoryStore(TestClock())
        self.feed = MemoryFeed(hub)
        self.replica = Replica(self.feed, self.store, clock=TestClock(), commit_pause_s=0.001)


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[Node]:
    await node.replica.start()
    task = asyncio.create_task(node.replica.run())
    try:
        yield node
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def a_whole_call(bus: MemoryBus, name: str) -> int:
    """Store a call that is claimed, rung and deleted; return its last sequence."""
    call_id = CallId(name)
    last = await bus.create_call(DOMAIN, call_id, [requested(name)])
    last = await bus.append_call(
        DOMAIN,
        call_id,
        [
            CallClaimed(NODE, 1, at=1_000_001.0),
            LegInvited(LegId("o1"), target("1001"), sip_call_id=f"sip-{name}", dialog=b"d", at=1_000_001.0),
        ],
        after=last,
    )
    return await bus.append_call(
        DOMAIN,
        call_id,
        [LegReleased(LegId("o1"), DELETED, at=1_000_002.0), CallEnded(DELETED, "system", at=1_000_002.0)],
        after=last,
    )


async def test_a_waited_for_write_is_readable_at_once() -> None:
    async with running(Node(MemoryHub())) as node:
        sequence = await node.bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
        assert await node.replica.wait_calls(sequence, timeout_s=1)
        call = await node.store.call(DOMAIN, "c1")
        assert call is not None
        assert (call.state, call.sequence) == (CallState.REQUESTED, sequence)
        assert await node.replica.wait_calls(sequence, timeout_s=1)


async def test_a_late_replica_says_so_in_time() -> None:
    async with running(Node(MemoryHub())) as node:
        node.feed.hold()
        sequence = await node.bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
        assert not await node.replica.wait_calls(sequence, timeout_s=0.02)
        node.feed.go_on()
        assert await node.replica.wait_calls(sequence, timeout_s=1)


async def test_an_ended_call_has_one_cdr_and_is_no_longer_active() -> None:
    async with running(Node(MemoryHub())) as node:
        last = await a_whole_call(node.bus, "c1")
        assert await node.replica.wait_calls(last, timeout_s=1)
        cdr = await node.store.cdr(DOMAIN, SessionId("s-c1"))
        assert cdr is not None
        assert cdr.cause == DELETED
        assert await node.store.count_active() == 0
        by_leg = await node.store.call(DOMAIN, "sip-c1")
        assert by_leg is not None
        assert by_leg.call_id == "c1"


async def test_users_who_take_part_are_noted_until_they_leave() -> None:
    async with running(Node(MemoryHub())) as node:
        changes: list[dict[TakesPart, bool]] = []
        apply = node.store.apply

        async def noted(batch: StoreBatch) -> None:
            changes.append(batch.users)
            await apply(batch)

        node.store.apply = noted  # type: ignore[method-assign] # what a database would be told
        rung = LegInvited(LegId("t1"), target("1002"), "sip-t1", b"d", at=1.0)
        last = await node.bus.create_call(DOMAIN, CallId("c1"), [requested("c1"), rung])
        assert await node.replica.wait_calls(last, timeout_s=1)
        last = await node.bus.append_call(DOMAIN, CallId("c1"), [CallClaimed(NODE, 1, at=1.0)], after=last)
        assert await node.replica.wait_calls(last, timeout_s=1)
        last = await node.bus.append_call(DOMAIN, CallId("c1"), [CallEnded(DELETED, "system", at=2.0)], after=last)
        assert await node.replica.wait_calls(last, timeout_s=1)
    who = TakesPart(DOMAIN, "1002", CallId("c1"))
    assert [one for one in changes if one] == [{who: True}, {who: False}]


async def test_users_of_calls_that_go_on_are_noted_again_at_a_start() -> None:
    """A store that an earlier version has written knows nothing of them."""
    hub = MemoryHub()
    async with running(Node(hub)) as node:
        rung = LegInvited(LegId("t1"), target("1002"), "sip-t1", b"d", at=1.0)
        last = await node.bus.create_call(DOMAIN, CallId("c1"), [requested("c1"), rung])
        assert await node.replica.wait_calls(last, timeout_s=1)
        store = node.store
    changes: list[dict[TakesPart, bool]] = []
    apply = store.apply

    async def noted(batch: StoreBatch) -> None:
        changes.append(batch.users)
        await apply(batch)

    store.apply = noted  # type: ignore[method-assign] # what a database would be told
    async with running(Node(hub, store)):
        assert changes[0] == {TakesPart(DOMAIN, "1002", CallId("c1")): True}


async def test_many_messages_of_one_call_become_few_commits() -> None:
    hub = MemoryHub()
    bus = MemoryBus(hub)
    for number in range(50):
        await a_whole_call(bus, f"c{number}")
    async with running(Node(hub)) as node:
        assert await node.replica.caught_up(timeout_s=2)
        assert (await node.store.count_cdrs(CdrQuery())).total == 50
        assert node.store.commits < 10


async def test_a_restart_goes_on_where_it_stood() -> None:
    hub = MemoryHub()
    async with running(Node(hub)) as node:
        first = await node.bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
        assert await node.replica.wait_calls(first, timeout_s=1)
        store = node.store
    await node.bus.append_call(DOMAIN, CallId("c1"), [CallClaimed(NODE, 1, at=1.0)], after=first)
    commits = store.commits
    async with running(Node(hub, store)) as again:
        assert again.replica.applied(stream_of(first)) == sequence_of(first)
        assert await again.replica.caught_up(timeout_s=1)
        assert [call.call_id for call in await store.owned_calls(NODE)] == ["c1"]
        assert store.commits == commits + 1


async def test_a_stream_that_was_made_again_is_read_from_the_beginning() -> None:
    hub = MemoryHub()
    async with running(Node(hub)) as node:
        first = await node.bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
        last = await node.bus.append_call(DOMAIN, CallId("c1"), [CallClaimed(NODE, 1, at=1.0)], after=first)
        elsewhere = await node.bus.create_call(DOMAIN, CallId("c2"), [requested("c2")])
        assert stream_of(elsewhere) is not stream_of(last)
        assert await node.replica.wait_calls(elsewhere, timeout_s=1)
        assert await node.replica.wait_calls(last, timeout_s=1)
        hub.recreate(call_stream(DOMAIN, CallId("c1")))
        await asyncio.sleep(0.02)
        sequence = await node.bus.create_call(DOMAIN, CallId("c1"), [requested("c1", at=2_000_000.0)])
        assert sequence == first
        assert await node.replica.wait_calls(sequence, timeout_s=1)
        page = await node.store.active_calls()
        assert [(call.call_id, call.state) for call in page.calls] == [
            ("c2", CallState.REQUESTED),
            ("c1", CallState.REQUESTED),
        ]


async def test_listeners_see_each_changed_call_until_they_stop() -> None:
    async with running(Node(MemoryHub())) as node:
        seen: list[Call] = []
        stop = node.replica.follow_calls(seen.append)
        last = await a_whole_call(node.bus, "c1")
        assert await node.replica.wait_calls(last, timeout_s=1)
        assert seen[-1].state is CallState.ENDED
        stop()
        count = len(seen)
        last = await a_whole_call(node.bus, "c2")
        assert await node.replica.wait_calls(last, timeout_s=1)
        assert len(seen) == count


async def test_a_message_that_nobody_can_read_is_passed_over() -> None:
    hub = MemoryHub()
    async with running(Node(hub)) as node:
        hub.streams[Stream.CALLS0].store("call.0.demo.bad.events", b"\xc1", tree="call.0.demo.bad")
        hub.streams[Stream.DIRECTORY].store("$KV.directory.user.a.b", b"{", tree="x")
        hub.streams[Stream.LOCATIONS].store("$KV.locations.a.b.c", b"{", tree="x")
        sequence = await node.bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
        assert await node.replica.wait_calls(sequence, timeout_s=1)
        assert await node.replica.caught_up(timeout_s=1)
        assert node.replica.bad_messages == 3


async def test_a_bar_gives_way_to_a_later_request() -> None:
    async with running(Node(MemoryHub())) as node:
        bar = CallBarred(DOMAIN, UserName("1001"), CallId("c1"), at=1.0, until=2.0)
        first = await node.bus.create_call(DOMAIN, CallId("c1"), [bar])
        assert await node.replica.wait_calls(first, timeout_s=1)
        barred = await node.store.call(DOMAIN, "c1")
        assert barred is not None
        assert barred.state is CallState.BARRED
        assert not node.hub.waiting
        last = await node.bus.append_call(DOMAIN, CallId("c1"), [requested("c1")], after=first, requested=True)
        assert await node.replica.wait_calls(last, timeout_s=1)
        call = await node.store.call(DOMAIN, "c1")
        assert call is not None
        assert call.state is CallState.REQUESTED
        assert len(node.hub.waiting) == 1


async def test_directory_and_locations_come_and_go() -> None:
    async with running(Node(MemoryHub())) as node:
        await node.bus.put_record(Domain(DOMAIN))
        last = await node.bus.put_record(User(DOMAIN, "1001"))
        assert await node.replica.wait_directory(last, timeout_s=1)
        assert await node.store.user(DOMAIN, "1001") == User(DOMAIN, "1001")
        last = await node.bus.delete_record("user", (DOMAIN, "1001"))
        assert await node.replica.wait_directory(last, timeout_s=1)
        assert await node.store.records("user") == []
        assert await node.store.records("domain", DOMAIN) == [Domain(DOMAIN)]

        here = Location(DOMAIN, "1001", "sip:1001@127.0.0.1:5062", expires_at=1_000_060.0)
        last = await node.bus.put_location(here, ttl_s=60)
        assert await node.replica.wait_locations(last, timeout_s=1)
        assert await node.store.locations(DOMAIN, "1001") == [here]
        last = await node.bus.delete_location(DOMAIN, "1001", here.contact)
        assert await node.replica.wait_locations(last, timeout_s=1)
        assert await node.store.locations(DOMAIN, "1001") == []


class SlowStore(MemoryStore):
    """A store that takes a while for each commit."""

    async def apply(self, batch: StoreBatch) -> None:
        await asyncio.sleep(0.15)
        await super().apply(batch)


async def test_a_copy_that_goes_on_is_waited_for_and_one_that_stands_is_not() -> None:
    hub = MemoryHub()
    filled = Node(hub)
    for number in range(5):
        await filled.bus.put_record(User(DOMAIN, f"{number}"))
    node = Node(hub, SlowStore(TestClock()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ringbridge.adapters.replica.replica.RECORDS_AT_ONCE", 1)
        async with running(node):
            assert await node.replica.caught_up(timeout_s=0.4)
            assert len(await node.store.records("user")) == 5
    standing = Node(hub)
    standing.feed.hold()
    async with running(standing):
        assert not await standing.replica.caught_up(timeout_s=0.05)
