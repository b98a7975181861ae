"""The bus's contract, held by the one in memory and by NATS alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from ringbridge.adapters.memory.bus import MemoryBus, MemoryHub
from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.calls.events.ports import EventBus, Kept
from ringbridge.calls.limits import LimitBus
from ringbridge.calls.ports import Bus, Claimable, NodeAway, StoredRecord
from ringbridge.model.directory import Location, User
from ringbridge.model.errors import Conflict
from ringbridge.model.events import CallBarred, CallClaimed, EndRequested
from ringbridge.model.ids import CallId, DomainName, NodeId, UserName
from tests.adapters.bus_calls import DOMAIN, requested, until

C1 = CallId("c1.*>@x")
NODE = NodeId("n1")


@pytest.fixture(params=["memory", "nats"])
async def buses(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Bus, Bus]]:
    """Return two connections to one bus."""
    if request.param == "memory":
        hub = MemoryHub()
        yield MemoryBus(hub), MemoryBus(hub)
        return
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    url = await server.start()
    try:
        async with NatsBus(BusSettings((url,), "n1")) as one, NatsBus(BusSettings((url,), "n2")) as other:
            yield one, other
    finally:
        await server.stop()


@pytest.fixture
def bus(buses: tuple[Bus, Bus]) -> Bus:
    return buses[0]


@asynccontextmanager
async def claiming(bus: Bus, taken: asyncio.Queue[Claimable], *, at_most: int = 10) -> AsyncIterator[None]:
    async def take(claimable: Claimable) -> None:
        taken.put_nowait(claimable)

    task = asyncio.create_task(bus.claims(take, at_most=at_most))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_call_is_created_once(buses: tuple[Bus, Bus]) -> None:
    one, other = buses
    assert one.is_up
    first = await one.create_call(DOMAIN, C1, [requested(C1)])
    for bus in buses:
        with pytest.raises(Conflict):
            await bus.create_call(DOMAIN, C1, [requested(C1, at=2.0)])
    elsewhere = DomainName("other")
    await other.create_call(elsewhere, C1, [requested(C1, domain=elsewhere)])
    assert [message.sequence for message in await other.read_call(DOMAIN, C1)] == [first]


async def test_fifty_creates_at_once_make_one_call(buses: tuple[Bus, Bus]) -> None:
    creates = [buses[number % 2].create_call(DOMAIN, C1, [requested(C1, at=number)]) for number in range(50)]
    results = await asyncio.gather(*creates, return_exceptions=True)
    assert len([one for one in results if isinstance(one, int)]) == 1
    assert len([one for one in results if isinstance(one, Conflict)]) == 49
    assert len(await buses[1].read_call(DOMAIN, C1)) == 1


async def test_appends_are_compared_and_set(buses: tuple[Bus, Bus]) -> None:
    one, other = buses
    first = await one.create_call(DOMAIN, C1, [requested(C1)])
    claim = CallClaimed(NODE, 1, at=2.0)
    second = await one.append_call(DOMAIN, C1, [claim, EndRequested("x", at=3.0)], after=first)
    with pytest.raises(Conflict):
        await other.append_call(DOMAIN, C1, [CallClaimed(NodeId("n2"), 1, at=2.0)], after=first)
    third = await other.append_call(DOMAIN, C1, [EndRequested("y", at=4.0)], after=second)
    messages = await one.read_call(DOMAIN, C1)
    assert [message.sequence for message in messages] == [first, second, third]
    assert messages[1].events == [claim, EndRequested("x", at=3.0)]


async def test_an_unknown_call_has_no_messages(bus: Bus) -> None:
    assert await bus.read_call(DOMAIN, CallId("none")) == []


async def test_a_requested_call_is_offered_once(bus: Bus) -> None:
    taken: asyncio.Queue[Claimable] = asyncio.Queue()
    async with asyncio.timeout(5), claiming(bus, taken):
        sequence = await bus.create_call(DOMAIN, C1, [requested(C1)])
        offer = await taken.get()
        assert offer.requested == requested(C1)
        assert offer.sequence == sequence
        offer.done()
        await bus.create_call(DOMAIN, CallId("c2"), [requested("c2")])
        assert (await taken.get()).requested.call_id == "c2"
        assert taken.empty()


async def test_a_call_that_is_given_back_is_offered_again(bus: Bus) -> None:
    taken: asyncio.Queue[Claimable] = asyncio.Queue()
    async with asyncio.timeout(5), claiming(bus, taken):
        await bus.create_call(DOMAIN, C1, [requested(C1)])
        (await taken.get()).again(0.05)
        offer = await taken.get()
        assert offer.requested.call_id == C1
        offer.done()


async def test_two_engines_share_the_calls(buses: tuple[Bus, Bus]) -> None:
    taken: asyncio.Queue[Claimable] = asyncio.Queue()
    async with asyncio.timeout(10), claiming(buses[0], taken, at_most=3), claiming(buses[1], taken, at_most=3):
        for number in range(20):
            await buses[0].create_call(DOMAIN, CallId(f"c{number}"), [requested(f"c{number}")])
        names = set()
        for _ in range(20):
            offer = await taken.get()
            names.add(offer.requested.call_id)
            offer.done()
        assert len(names) == 20
        assert taken.empty()


async def test_no_more_are_offered_than_are_wanted(bus: Bus) -> None:
    running = 0
    most = 0
    seen: list[str] = []

    async def take(claimable: Claimable) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        seen.append(claimable.requested.call_id)
        claimable.done()

    task = asyncio.create_task(bus.claims(take, at_most=2))
    for number in range(10):
        await bus.create_call(DOMAIN, CallId(f"c{number}"), [requested(f"c{number}")])
    await until(lambda: len(seen) == 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(seen) == sorted(f"c{number}" for number in range(10))
    assert most == 2


async def test_a_bar_is_not_offered_and_gives_way(bus: Bus) -> None:
    taken: asyncio.Queue[Claimable] = asyncio.Queue()
    async with asyncio.timeout(5), claiming(bus, taken):
        bar = CallBarred(DOMAIN, UserName("1001"), C1, at=1.0, until=2.0)
        first = await bus.create_call(DOMAIN, C1, [bar])
        with pytest.raises(Conflict):
            await bus.create_call(DOMAIN, C1, [requested(C1)])
        assert taken.empty()
        second = await bus.append_call(DOMAIN, C1, [requested(C1)], after=first, requested=True)
        offer = await taken.get()
        assert offer.sequence == second
        offer.done()


async def test_commands_reach_the_node_that_serves_them(buses: tuple[Bus, Bus]) -> None:
    one, other = buses

    async def answer(payload: bytes) -> bytes:
        await asyncio.sleep(0)
        return payload.upper()

    with pytest.raises(NodeAway):
        await other.command(NODE, b"hello", timeout_s=0.5)
    serving = asyncio.create_task(one.serve_commands(NODE, answer))
    await asyncio.sleep(0.05)
    assert await other.command(NODE, b"hello", timeout_s=2) == b"HELLO"
    assert await one.command(NODE, b"you", timeout_s=2) == b"YOU"
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    await asyncio.sleep(0.05)
    with pytest.raises(NodeAway):
        await other.command(NODE, b"hello", timeout_s=0.5)


async def test_a_node_that_does_not_answer_in_time_is_away(buses: tuple[Bus, Bus]) -> None:
    async def never(_: bytes) -> bytes:
        await asyncio.sleep(5)
        return b""

    serving = asyncio.create_task(buses[0].serve_commands(NODE, never))
    await asyncio.sleep(0.05)
    with pytest.raises(NodeAway):
        await buses[1].command(NODE, b"hello", timeout_s=0.2)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_records_are_created_compared_and_deleted(buses: tuple[Bus, Bus]) -> None:
    one, other = buses
    user = User(DOMAIN, "1001")
    first = await one.put_record(user, only_new=True)
    with pytest.raises(Conflict):
        await other.put_record(user, only_new=True)
    second = await other.put_record(User(DOMAIN, "1001", area_code="45"), revision=first)
    with pytest.raises(Conflict):
        await one.put_record(user, revision=first)
    third = await one.put_record(user)
    assert first < second < third
    assert await other.read_record("user", user.key) == StoredRecord(user, third)
    assert await other.read_record("user", (DOMAIN, "1002")) is None
    with pytest.raises(Conflict):
        await one.delete_record("user", user.key, revision=second)
    assert await one.delete_record("user", user.key, revision=third) > third
    assert await other.read_record("user", user.key) is None
    await one.put_record(user)
    assert await one.delete_record("user", user.key) > third
    assert await other.put_record(user, only_new=True) > third


async def test_fifty_creates_of_a_record_make_one(buses: tuple[Bus, Bus]) -> None:
    creates = [buses[number % 2].put_record(User(DOMAIN, "1"), only_new=True) for number in range(50)]
    results = await asyncio.gather(*creates, return_exceptions=True)
    assert len([one for one in results if isinstance(one, int)]) == 1
    assert len([one for one in results if isinstance(one, Conflict)]) == 49


async def test_locations_are_put_and_deleted(bus: Bus) -> None:
    location = Location(DOMAIN, "1001", "sip:1001@127.0.0.1", expires_at=1.0)
    first = await bus.put_location(location, ttl_s=60)
    assert await bus.delete_location(DOMAIN, "1001", location.contact) == first + 1
    with pytest.raises(ValueError, match="ttl_s"):
        await bus.put_location(location, ttl_s=0)


async def test_positions_of_calls_are_those_of_the_last_messages(bus: Bus) -> None:
    before = await bus.call_positions()
    position = await bus.create_call(DOMAIN, C1, [requested(C1)])
    after = await bus.call_positions()
    assert len(before) == len(after)
    assert [found for found in after if found not in before] == [position]


async def test_messages_of_calls_are_read_in_stream_order(buses: tuple[Bus, Bus]) -> None:
    bus = cast("EventBus", buses[0])
    names = [CallId(f"c{number}") for number in range(20)]
    other = DomainName("other")
    for name in names:
        await buses[0].create_call(DOMAIN, name, [requested(name)])
        await buses[0].create_call(other, name, [requested(name, domain=other)])
    for domain, expected in ((DOMAIN, 20), (None, 40)):
        found = []
        for last in await buses[1].call_positions():
            after = last % len(await buses[1].call_positions())
            while (message := await bus.next_call_message(after, domain)) is not None:
                assert message.position > after
                after = message.position
                found.append(message)
        assert len({(one.name, one.position) for one in found}) == expected
        assert {one.name.domain for one in found} == ({DOMAIN} if domain else {DOMAIN, other})


async def test_kept_values_are_compared_and_set_and_listed(buses: tuple[Bus, Bus]) -> None:
    one, other = (cast("EventBus", bus) for bus in buses)
    key = ("state", "a.*")
    assert await one.read_kept(key) is None
    first = await one.put_kept(key, b"1", revision=0)
    with pytest.raises(Conflict):
        await other.put_kept(key, b"x", revision=0)
    second = await other.put_kept(key, b"2", revision=first)
    assert await one.read_kept(key) == Kept(b"2", second)
    await one.put_kept(("state", "b"), b"3", ttl_s=3600)
    await one.put_kept(("log", "b", "0"), b"4")
    assert {name: kept.payload for name, kept in (await other.list_kept(("state",))).items()} == {
        "a.*": b"2",
        "b": b"3",
    }
    assert set(await other.list_kept(("log", "b"))) == {"0"}
    assert await other.list_kept(("none",)) == {}
    await one.delete_kept(key)
    assert await other.read_kept(key) is None
    assert set(await other.list_kept(("state",))) == {"b"}
    await other.put_kept(key, b"5", revision=0)


async def test_limits_are_compared_and_set(buses: tuple[LimitBus, LimitBus]) -> None:
    one, other = buses
    subject = ("user", "demo.example", "1001 *>")
    assert await one.read_limit(subject) == (b"", 0)
    first = await one.write_limit(subject, b"a", after=0)
    with pytest.raises(Conflict):
        await other.write_limit(subject, b"b", after=0)
    assert await other.read_limit(subject) == (b"a", first)
    second = await other.write_limit(subject, b"b", after=first)
    assert await one.read_limit(subject) == (b"b", second)
    assert await one.read_limit(("domain", "demo.example")) == (b"", 0)
    third = await one.write_limit(subject, b"c", after=second, ttl_s=600)
    assert await other.read_limit(subject) == (b"c", third)
