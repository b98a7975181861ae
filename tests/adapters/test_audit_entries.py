"""Audit entries on the bus, in memory and NATS alike: stored with the change that they tell of, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from ringbridge.adapters.memory.bus import MemoryBus, MemoryFeed
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.link import Link, LinkSettings
from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.adapters.nats.streams import Streams, wanted
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.replica.replica import Replica
from ringbridge.calls.directory.audit import acting
from ringbridge.calls.ports import Bus
from ringbridge.model.audit import Actor, AuditEntry
from ringbridge.model.directory import User
from ringbridge.model.errors import Conflict
from tests.adapters.bus_calls import TestClock, until

ADA = User("demo", "1001", name_first_name="Ada")
CRM = Actor(key_id="k1", domain="demo", address="192.0.2.7", user_agent="crm", request_id="r1", operation="update-user")


class Trail:
    """A bus, a replica that follows it, and the entries that came there."""

    def __init__(self, bus: Bus, replica: Replica, store: MemoryStore, clock: TestClock) -> None:
        self.bus, self.replica, self.store, self.clock = bus, replica, store, clock

    async def entries(self, sequence: int) -> list[AuditEntry]:
        """Return the entries, oldest first, once `sequence` is applied."""
        assert await self.replica.wait_directory(sequence, timeout_s=5)
        found = await self.store.records("audit")
        return [one for one in reversed(found) if isinstance(one, AuditEntry)]


@pytest.fixture(params=["memory", "nats"])
async def trail(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Trail]:
    clock = TestClock()
    store = MemoryStore(clock)
    if request.param == "memory":
        memory = MemoryBus()
        replica = Replica(MemoryFeed(memory.hub), store, clock=clock, commit_pause_s=0.001)
        async for one in _followed(Trail(memory, replica, store, clock)):
            yield one
        return
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    url = await server.start()
    try:
        async with NatsBus(BusSettings((url,), "n1")) as bus:
            replica = Replica(bus.feed, store, clock=clock, commit_pause_s=0.001)
            async for one in _followed(Trail(bus, replica, store, clock)):
                yield one
    finally:
        await server.stop()


async def _followed(trail: Trail) -> AsyncIterator[Trail]:
    await trail.replica.start()
    task = asyncio.create_task(trail.replica.run())
    try:
        yield trail
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_each_change_leaves_an_entry_that_says_who_what_and_which_fields(trail: Trail) -> None:
    with acting(CRM, trail.clock):
        await trail.bus.put_record(ADA, only_new=True)
        trail.clock.at += 1
        stored = await trail.bus.read_record("user", ADA.key)
        assert stored is not None
        renamed = msgspec.structs.replace(ADA, name_first_name="Eva", caller_id_number="4570101001")
        await trail.bus.put_record(renamed, revision=stored.revision)
        trail.clock.at += 1
        last = await trail.bus.delete_record("user", ADA.key)
    made, changed, deleted = await trail.entries(last)
    assert [one.action for one in (made, changed, deleted)] == ["create", "update", "delete"]
    assert {(one.of, one.of_key, one.domain, one.by) for one in (made, changed, deleted)} == {
        ("user", ("demo", "1001"), "demo", CRM)
    }
    assert set(changed.fields) == {"name-first-name", "caller-id-number"}
    assert made.fields == deleted.fields == ()
    assert made.at < changed.at < deleted.at


async def test_a_write_that_loses_leaves_no_entry(trail: Trail) -> None:
    with acting(CRM, trail.clock):
        first = await trail.bus.put_record(ADA, only_new=True)
        for revision, only_new in ((None, True), (first + 100, False)):
            with pytest.raises(Conflict):
                await trail.bus.put_record(ADA, only_new=only_new, revision=revision)
        with pytest.raises(Conflict):
            await trail.bus.delete_record("user", ADA.key, revision=first + 100)
        last = await trail.bus.put_record(User("demo", "1002"), only_new=True)
    assert {one.of_key for one in await trail.entries(last)} == {("demo", "1001"), ("demo", "1002")}


async def test_a_deleted_record_can_be_made_again_and_changed_without_a_revision(trail: Trail) -> None:
    with acting(CRM, trail.clock):
        await trail.bus.put_record(ADA, only_new=True)
        await trail.bus.delete_record("user", ADA.key)
        await trail.bus.put_record(ADA, only_new=True)
        last = await trail.bus.put_record(msgspec.structs.replace(ADA, name_first_name="Eva"))
    assert sorted(one.action for one in await trail.entries(last)) == ["create", "create", "delete", "update"]


async def test_many_at_once_leave_an_entry_each(trail: Trail) -> None:
    with acting(CRM, trail.clock):
        writes = [trail.bus.put_record(User("demo", str(number)), only_new=True) for number in range(200)]
        last = max(await asyncio.gather(*writes))
    entries = await trail.entries(last)
    assert {one.of_key for one in entries} == {("demo", str(number)) for number in range(200)}


async def test_what_nobody_does_leaves_none(trail: Trail) -> None:
    last = await trail.bus.put_record(ADA, only_new=True)
    assert await trail.entries(last) == []


def _has_applied(replica: Replica, sequence: int) -> bool:
    return replica.applied(Stream.DIRECTORY) >= sequence


async def test_entries_expire_and_the_replica_forgets_them(tmp_path: Path) -> None:
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    clock = TestClock()
    store = MemoryStore(clock)
    async with NatsBus(BusSettings((await server.start(),), "n1", audit_kept_s=1)) as bus:
        trail = Trail(bus, Replica(bus.feed, store, clock=clock, commit_pause_s=0.001), store, clock)
        async for _ in _followed(trail):
            with acting(CRM, clock):
                last = await bus.put_record(ADA, only_new=True)
            assert len(await trail.entries(last)) == 1
            await until(partial(_has_applied, trail.replica, last + 1))  # the notice that it expired
            assert await trail.entries(last) == []
            assert await bus.read_record("user", ADA.key) is not None
    await server.stop()


async def test_buckets_of_an_earlier_version_take_what_expires_too(tmp_path: Path) -> None:
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    url = await server.start()
    link = Link(LinkSettings((url,), "test"))
    task = asyncio.create_task(link.run())
    assert await link.wait_up(2)
    for stream in (Stream.DIRECTORY, Stream.LIMITS):
        old = msgspec.structs.replace(wanted(stream, replicas=1), allow_msg_ttl=False, subject_delete_marker_ttl=0)
        await Streams(link).call(f"STREAM.CREATE.{stream}", old)
    task.cancel()
    await asyncio.wait([task])
    clock = TestClock()
    async with NatsBus(BusSettings((url,), "n1")) as bus:
        assert bus.faults == []
        with acting(CRM, clock):
            first = await bus.put_record(ADA, only_new=True)
        assert first == 2
        assert await bus.write_limit(("failures", "pair", "0123"), b"a", after=0, ttl_s=600) == 1
    await server.stop()
