"""What only a real bus does: it falls, comes back, expires, and may be unfit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.link import Link, LinkSettings
from ringbridge.adapters.nats.publish import Publisher, Write
from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.adapters.nats.streams import Streams, UnfitBus, faults_of, faults_of_server, wanted
from ringbridge.adapters.nats.subjects import CALL_STREAMS, Stream, sequence_of, stream_of
from ringbridge.adapters.replica.replica import Replica
from ringbridge.calls.ports import Claimable
from ringbridge.model.call import Call
from ringbridge.model.directory import Location
from ringbridge.model.errors import BusUnavailable
from ringbridge.model.ids import CallId
from tests.adapters.bus_calls import DOMAIN, TestClock, requested, until
from tests.adapters.lossy_proxy import LossyProxy


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    one = NatsServer(ServerSettings(tmp_path / "bus"))
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def settings(url: str, **more: float) -> BusSettings:
    return BusSettings((url,), "n1", publish_deadline_s=more.get("deadline", 4.0), connect_deadline_s=2.0)


async def test_a_bus_that_is_not_there_is_named() -> None:
    with pytest.raises(UnfitBus, match=r"nats://127\.0\.0\.1:1"):
        async with NatsBus(BusSettings(("nats://user:secret@127.0.0.1:1",), "n1", connect_deadline_s=0.2)):
            pass


async def test_a_wrong_password_is_refused_and_not_told(server: NatsServer) -> None:
    url = server.url.replace(":", ":wrong", 2).replace("nats:wrong", "nats:")
    with pytest.raises(UnfitBus) as refused:
        async with NatsBus(BusSettings((url,), "n1", connect_deadline_s=0.5)):
            pass
    assert "Authorization" in str(refused.value)
    assert "wrong" not in str(refused.value)


async def test_a_stream_in_memory_is_refused_unless_relaxed(server: NatsServer) -> None:
    link = Link(LinkSettings((server.url,), "test"))
    task = asyncio.create_task(link.run())
    assert await link.wait_up(2)
    bad = msgspec.structs.replace(wanted(Stream.CALLS0, replicas=1), storage="memory", discard="old", max_age=10**9)
    await Streams(link).call("STREAM.CREATE.CALLS0", bad)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(UnfitBus) as refused:
        async with NatsBus(settings(server.url)):
            pass
    assert len(refused.value.faults) == 3
    relaxed = BusSettings((server.url,), "n1", relaxed=True)
    async with NatsBus(relaxed) as bus:
        assert bus.faults == list(refused.value.faults)
        await bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])


async def test_more_replicas_than_servers_are_refused(server: NatsServer) -> None:
    with pytest.raises(UnfitBus, match=r"CALLS\d cannot be made"):
        async with NatsBus(BusSettings((server.url,), "n1", replicas=3)):
            pass


def test_what_a_server_must_be() -> None:
    assert faults_of_server("2.12.3", jetstream=True) == []
    assert faults_of_server("2.15.1-beta.1", jetstream=True) == []
    assert len(faults_of_server("2.12.2", jetstream=False)) == 2


def test_what_a_stream_must_be() -> None:
    want = wanted(Stream.CALLS0, replicas=3)
    assert faults_of(want, want) == []
    assert faults_of(wanted(Stream.CALLS0, replicas=5), want) == []
    assert len(faults_of(wanted(Stream.CALLS0, replicas=1), want)) == 1


async def test_a_location_that_runs_out_leaves_the_replica(server: NatsServer) -> None:
    async with NatsBus(settings(server.url)) as bus:
        store = MemoryStore(TestClock())
        replica = Replica(bus.feed, store, clock=TestClock())
        task = asyncio.create_task(replica.run())
        location = Location(DOMAIN, "1001", "sip:x@y", expires_at=2_000_000.0)
        sequence = await bus.put_location(location, ttl_s=1)
        await until(lambda: replica.is_started)
        assert await replica.wait_locations(sequence, timeout_s=2)
        assert await store.locations(DOMAIN, "1001") == [location]
        assert await replica.wait_locations(sequence + 1, timeout_s=4)
        assert await store.locations(DOMAIN, "1001") == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_locations_of_a_device_are_read_from_the_bus(server: NatsServer) -> None:
    async with NatsBus(settings(server.url)) as bus:
        kept = [Location(DOMAIN, "1002", f"sip:{host}", expires_at=2_000_000.0) for host in ("a", "b", "c")]
        for location in (*kept, Location(DOMAIN, "1003", "sip:a", expires_at=2_000_000.0)):
            await bus.put_location(location, ttl_s=60)
        await bus.delete_location(DOMAIN, "1002", "sip:b")
        found = await bus.read_locations(DOMAIN, "1002")
        assert sorted(one.contact for one in found) == ["sip:a", "sip:c"]
        assert await bus.read_locations(DOMAIN, "1004") == []


async def test_a_replica_is_built_from_nothing_and_slows_the_server_down(server: NatsServer) -> None:
    async with NatsBus(settings(server.url)) as bus:
        creates = [bus.create_call(DOMAIN, CallId(f"c{n}"), [requested(f"c{n}")]) for n in range(1500)]
        positions = await asyncio.gather(*creates)
        store = MemoryStore(TestClock())
        replica = Replica(bus.feed, store, clock=TestClock())
        await replica.start()
        task = asyncio.create_task(replica.run())
        assert await replica.caught_up(timeout_s=20)
        assert await store.count_active() == 1500
        for stream in CALL_STREAMS:
            last = max(one for one in positions if stream_of(one) is stream)
            assert replica.applied(stream) == sequence_of(last)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_this_node_stored_or_was_offered_is_not_read_again(server: NatsServer) -> None:
    async with NatsBus(settings(server.url)) as bus, NatsBus(settings(server.url)) as other, asyncio.TaskGroup() as run:
        offers: list[Claimable] = []

        async def take(offer: Claimable) -> None:
            offers.append(offer)
            offer.done()

        claiming = run.create_task(bus.claims(take, at_most=4))
        mine, theirs = requested("mine"), requested("theirs")
        await bus.create_call(DOMAIN, CallId("mine"), [mine])
        await until(lambda: offers)
        await other.create_call(DOMAIN, CallId("theirs"), [theirs])
        await until(lambda: len(offers) == 2)
        found: dict[str, Call] = {}
        replica = Replica(bus.feed, MemoryStore(TestClock()), clock=TestClock(), read=bus.recent.read)
        replica.follow_calls(lambda call: found.update({call.call_id: call}))
        following = run.create_task(replica.run())
        await until(lambda: len(found) == 2)
        assert found["theirs"].plan == theirs.plan
        assert [found[offer.requested.call_id].plan is offer.requested.plan for offer in offers] == [True, True]
        assert len(bus.recent) == 0
        claiming.cancel()
        following.cancel()


async def test_writes_are_refused_at_once_while_the_bus_is_away(server: NatsServer) -> None:
    async with NatsBus(settings(server.url, deadline=0.3)) as bus:
        await server.stop()
        await until(lambda: not bus.is_up)
        before = asyncio.get_running_loop().time()
        with pytest.raises(BusUnavailable):
            await bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
        assert asyncio.get_running_loop().time() - before < 0.05
        await server.start()
        await until(lambda: bus.is_up)
        await bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])


async def test_a_lost_acknowledgement_is_no_conflict(server: NatsServer) -> None:
    proxy = LossyProxy(server.url)
    url = await proxy.start()
    try:
        async with NatsBus(settings(url)) as bus:
            proxy.drop_answers(1)
            sequence = await bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
            messages = await bus.read_call(DOMAIN, CallId("c1"))
            assert [message.sequence for message in messages] == [sequence]
            assert proxy.dropped == 1
    finally:
        await proxy.stop()


async def test_a_writer_who_was_told_unavailable_may_come_again(server: NatsServer) -> None:
    proxy = LossyProxy(server.url)
    url = await proxy.start()
    link = Link(LinkSettings((url,), "test"))
    task = asyncio.create_task(link.run())
    try:
        assert await link.wait_up(2)
        await Streams(link).ensure(replicas=1, deadline_s=5)
        publisher = Publisher(link, deadline_s=0.5)
        write = Write("call.0.d.c1.requested", b"x", "call.0.d.c1.>", 0)
        proxy.drop_answers(1000)
        with pytest.raises(BusUnavailable):
            await publisher.store(Stream.CALLS0, write)
        proxy.drop_answers(0)
        assert await link.wait_up(2)
        assert await publisher.store(Stream.CALLS0, write) == 1
        last = await publisher.last(Stream.CALLS0, "call.0.>")
        assert last is not None
        assert last.sequence == 1
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await proxy.stop()


async def test_what_is_kept_of_a_limit_is_forgotten_in_time(server: NatsServer) -> None:
    subject = ("failures", "pair", "0123")
    async with NatsBus(settings(server.url)) as bus:
        first = await bus.write_limit(subject, b"a", after=0, ttl_s=1)
        assert await bus.read_limit(subject) == (b"a", first)
        for _ in range(200):
            if await bus.read_limit(subject) == (b"", 0):
                break
            await asyncio.sleep(0.05)
        assert await bus.write_limit(subject, b"b", after=0) > first
