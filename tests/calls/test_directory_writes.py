"""Single records of the directory, written by several nodes at once on one bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from ringbridge.adapters.memory.bus import Fault, MemoryBus, MemoryFeed, MemoryHub
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.replica.replica import Replica
from ringbridge.calls.directory.writes import DirectoryWrites
from ringbridge.model.directory import Device, Domain, PhoneNumber, Record, User
from ringbridge.model.errors import BusUnavailable, CallError, Refusal
from ringbridge.model.resources import DOMAIN, USER, change, etag_of, make, others_of
from tests.adapters.bus_calls import TestClock

ADA = ("demo", "1001")


@dataclass(frozen=True, slots=True)
class Node:
    writes: DirectoryWrites
    bus: MemoryBus
    store: MemoryStore
    replica: Replica
    clock: TestClock


@asynccontextmanager
async def running(hub: MemoryHub) -> AsyncIterator[Node]:
    clock = TestClock()
    store, bus = MemoryStore(clock), MemoryBus(hub)
    replica = Replica(MemoryFeed(hub), store, clock=clock, commit_pause_s=0.001)
    await replica.start()
    task = asyncio.create_task(replica.run())
    try:
        yield Node(DirectoryWrites(store=store, bus=bus, replica=replica, clock=clock), bus, store, replica, clock)
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def nodes() -> AsyncIterator[list[Node]]:
    hub = MemoryHub()
    async with running(hub) as one, running(hub) as two, running(hub) as three:
        yield [one, two, three]


def setting(name: str, text: str) -> partial[Record]:
    def changed(record: Record) -> Record:
        return change(USER, record, {name: text})

    return partial(changed)


async def test_changes_on_three_nodes_at_once_all_hold(nodes: list[Node]) -> None:
    await nodes[0].writes.create(USER, make(USER, {"domain": "demo", "user": "1001"}))
    names = ["site", "department", "service-code", "status-message", "name-first-name", "area-code"]
    await asyncio.gather(
        *(nodes[place % 3].writes.update(USER, ADA, setting(name, "7")) for place, name in enumerate(names))
    )
    stored = await nodes[0].bus.read_record("user", ADA)
    assert stored is not None
    record = stored.record
    assert isinstance(record, User)
    assert all(others_of(record)[name] == "7" for name in names[:4])
    assert (record.name_first_name, record.area_code) == ("7", "7")


async def test_creates_of_one_name_on_three_nodes_make_one(nodes: list[Node]) -> None:
    creates = (node.writes.create(USER, make(USER, {"domain": "demo", "user": "1001"})) for node in nodes)
    results = await asyncio.gather(*creates, return_exceptions=True)
    conflicts = [one for one in results if isinstance(one, CallError)]
    assert [one.refusal for one in conflicts] == [Refusal.CONFLICT] * 2


async def test_of_two_writers_with_one_tag_one_is_refused(nodes: list[Node]) -> None:
    written = await nodes[0].writes.create(USER, make(USER, {"domain": "demo", "user": "1001"}))
    tags = {etag_of(written.record)}
    updates = (
        node.writes.update(USER, ADA, setting("site", name), if_match=tags)
        for node, name in zip(nodes, ("London", "Paris", "Rome"), strict=True)
    )
    results = await asyncio.gather(*updates, return_exceptions=True)
    refused = [one for one in results if isinstance(one, CallError)]
    assert [one.refusal for one in refused] == [Refusal.STALE] * 2


async def test_a_record_of_another_node_is_found_before_this_one_s_copy_has_it(nodes: list[Node]) -> None:
    made = await nodes[0].writes.create(DOMAIN, Domain("demo"))
    assert await nodes[1].writes.find("domain", ("demo",)) == made.record
    assert await nodes[1].writes.find("domain", ("other",)) is None


async def test_a_cascade_takes_more_than_one_part(nodes: list[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringbridge.calls.directory.uses.AT_ONCE", 7)
    one = nodes[0]
    records: list[Record] = [Domain("demo"), Domain("other"), User("other", "1")]
    for number in range(20):
        records += [
            User("demo", f"{number}"),
            Device("demo", f"{number}", f"{number}d"),
            PhoneNumber("demo", f"{number}"),
        ]
    sequence = max([await one.bus.put_record(record) for record in records])
    await one.replica.wait_directory(sequence, timeout_s=5)
    last = await one.writes.delete("domain", ("demo",), cascade=True)
    await one.replica.wait_directory(last, timeout_s=5)
    kinds = ("domain", "user", "device", "phonenumber")
    left = [record.key for kind in kinds for record in await one.store.records(kind)]
    assert left == [("other",), ("other", "1")]


async def test_a_create_whose_acknowledgement_is_lost_is_refused_and_can_be_read(nodes: list[Node]) -> None:
    nodes[0].bus.hub.faults.append(Fault.STORED)
    with pytest.raises(BusUnavailable):
        await nodes[0].writes.create(DOMAIN, Domain("demo"))
    found = await nodes[1].writes.find("domain", ("demo",))
    assert found is not None
    assert found.key == ("demo",)


def logged_in_by(login: str, user: str = "1001", domain: str = "demo") -> User:
    return User(domain, user, login_username=login)


async def test_two_nodes_give_a_name_to_one_user(nodes: list[Node]) -> None:
    made = await asyncio.gather(
        *(
            node.writes.create(USER, logged_in_by("ada", str(number)))
            for number, node in enumerate(nodes * 5, start=1001)
        ),
        return_exceptions=True,
    )
    refused = [one for one in made if isinstance(one, CallError)]
    assert len(made) - len(refused) == 1
    assert {one.refusal for one in refused} <= {Refusal.CONFLICT, Refusal.UNAVAILABLE}


async def test_a_name_is_free_again_whose_user_was_never_written(nodes: list[Node]) -> None:
    one, two, _ = nodes
    one.bus.hub.faults.extend([None, Fault.LOST])  # the claim is stored, and its user is not
    with pytest.raises(BusUnavailable):
        await one.writes.create(USER, logged_in_by("ada"))
    await two.writes.create(USER, logged_in_by("ada", "1002"))


async def test_a_claim_of_a_node_that_died_holds_for_a_minute(nodes: list[Node]) -> None:
    one, two, _ = nodes
    one.bus.hub.faults.extend([None, Fault.LOST, Fault.LOST])  # nor can it be given back
    with pytest.raises(BusUnavailable):
        await one.writes.create(USER, logged_in_by("ada"))
    with pytest.raises(CallError, match="logs in with"):
        await two.writes.create(USER, logged_in_by("ada", "1002"))
    await one.writes.create(USER, logged_in_by("ada"))  # whose it was has it
    two.clock.at += 61
    with pytest.raises(CallError, match="logs in with"):
        await two.writes.create(USER, logged_in_by("ada", "1002"))
    await one.writes.delete("user", ADA)
    one.bus.hub.faults.extend([None, Fault.LOST, Fault.LOST])
    with pytest.raises(BusUnavailable):
        await one.writes.create(USER, logged_in_by("ada", "1003"))
    two.clock.at += 61
    await two.writes.create(USER, logged_in_by("ada", "1002"))


async def test_a_user_who_is_made_twice_at_once_keeps_the_name(nodes: list[Node]) -> None:
    one, two, three = nodes
    made = await asyncio.gather(
        *(node.writes.create(USER, logged_in_by("ada")) for node in (one, two)), return_exceptions=True
    )
    assert sum(isinstance(one, CallError) for one in made) == 1
    with pytest.raises(CallError, match="logs in with"):
        await three.writes.create(USER, logged_in_by("ada", "1002"))
