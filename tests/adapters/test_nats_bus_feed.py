"""How a replica follows a real bus whose consumers come and go, or bring nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.direct import BATCH, DirectReader, _Batch
from ringbridge.adapters.nats.link import Link, LinkSettings
from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.adapters.nats.streams import ENGINES, Streams
from ringbridge.adapters.nats.subjects import CALL_STREAMS, Stream, call_stream
from ringbridge.adapters.nats.wire import Message
from ringbridge.adapters.replica.cursor import Cursor
from ringbridge.adapters.replica.replica import Replica
from ringbridge.adapters.store.batch import Offset
from ringbridge.model.directory import Domain
from ringbridge.model.ids import CallId
from tests.adapters.bus_calls import DOMAIN, TestClock, requested
from tests.adapters.lossy_proxy import LossyProxy

LEADERS = ("$JS.API.STREAM.INFO.", "$JS.API.CONSUMER.CREATE.")
"""What nobody answers while leaders are chosen."""


class Node:
    """A node's bus, store and replica behind a proxy, and a `link` of the test's own to the server."""

    def __init__(self, bus: NatsBus, proxy: LossyProxy, link: Link) -> None:
        self.bus = bus
        self.proxy = proxy
        self.store = MemoryStore(TestClock())
        self.replica = Replica(bus.feed, self.store, clock=TestClock())
        self.link = link
        self._streams = Streams(link)

    async def create(self, *names: str) -> list[int]:
        """Store calls; return their positions."""
        return await asyncio.gather(*(self.bus.create_call(DOMAIN, CallId(name), [requested(name)]) for name in names))

    async def shows(self, positions: list[int], *, within_s: float = 5.0) -> bool:
        """Return whether the store has all that stands at `positions` in time."""
        waits = (self.replica.wait_calls(position, timeout_s=within_s) for position in positions)
        return all(await asyncio.gather(*waits))

    async def of_consumers(self, stream: Stream, order: str, question: object = None) -> None:
        """Give an `order` of the JetStream API about each consumer through which `stream` is followed."""
        answer = msgspec.json.decode(await self._streams.call(f"CONSUMER.NAMES.{stream}"))
        names = [name for name in answer["consumers"] if name != ENGINES]
        assert names
        for name in names:
            answer = msgspec.json.decode(await self._streams.call(f"CONSUMER.{order}.{stream}.{name}", question))
            assert "error" not in answer, answer


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with AsyncExitStack() as stack:
        server = NatsServer(ServerSettings(tmp_path / "bus"))
        await server.start()
        stack.push_async_callback(server.stop)
        proxy = LossyProxy(server.url)
        url = await proxy.start()
        stack.push_async_callback(proxy.stop)
        link = Link(LinkSettings((server.url,), "server"))
        tasks = [asyncio.create_task(link.run())]
        assert await link.wait_up(2)
        bus = await stack.enter_async_context(NatsBus(BusSettings((url,), "n1", publish_deadline_s=4.0)))
        one = Node(bus, proxy, link)
        await one.replica.start()
        tasks.append(asyncio.create_task(one.replica.run()))
        try:
            assert await one.replica.caught_up(timeout_s=10)
            yield one
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_was_acknowledged_is_read_while_no_consumer_can_be_made(node: Node) -> None:
    assert await node.shows(await node.create("before"))
    node.proxy.swallow(*LEADERS)
    for stream in (*CALL_STREAMS, Stream.DIRECTORY):
        await node.of_consumers(stream, "DELETE")
    assert await node.shows(await node.create(*(f"c{number}" for number in range(100))))
    assert await node.store.count_active() == 101
    revision = await node.bus.put_record(Domain(DOMAIN))
    assert await node.replica.wait_directory(revision, timeout_s=5)
    await node.bus.delete_record("domain", (DOMAIN,))
    assert await node.replica.wait_directory(revision + 1, timeout_s=5)
    assert await node.store.domain(DOMAIN) is None
    node.proxy.swallow()
    assert await node.shows(await node.create("after"))
    assert node.replica.bad_messages == 0


async def filled(node: Node, stream: Stream, *, least: int) -> int:
    """Store `least` calls or more in `stream`; return how many."""
    names = (CallId(f"c{number}") for number in range(least * 12))
    positions = await node.create(*(name for name in names if call_stream(DOMAIN, name) is stream))
    assert len(positions) >= least
    return len(positions)


async def test_a_long_stream_is_read_directly_in_batches(node: Node) -> None:
    count = await filled(node, Stream.CALLS5, least=BATCH + 1)
    cursor = Cursor(Stream.CALLS5, None, lambda: None)
    reader = DirectReader(node.link)
    assert await reader.read(Stream.CALLS5, cursor)
    assert cursor.received == BATCH
    assert not await reader.read(Stream.CALLS5, cursor)
    assert [entry[1] for entry in cursor.pending] == list(range(1, count + 1))
    assert not await reader.read(Stream.CALLS5, cursor)


async def test_what_was_asked_for_before_a_stream_was_made_again_is_not_taken(node: Node) -> None:
    await filled(node, Stream.CALLS5, least=8)
    cursor = Cursor(Stream.CALLS5, Offset("before", 5), lambda: None)
    reading = asyncio.create_task(DirectReader(node.link).read(Stream.CALLS5, cursor))
    await asyncio.sleep(0)
    cursor.joined("now")
    assert not await reading
    assert (cursor.received, cursor.backlog) == (0, 0)


async def test_a_consumer_that_lives_and_brings_nothing_holds_up_nobody_who_waits(node: Node) -> None:
    for stream in CALL_STREAMS:
        await node.of_consumers(stream, "PAUSE", {"pause_until": "2100-01-01T00:00:00Z"})
    assert await node.shows(await node.create(*(f"c{number}" for number in range(30))))


@pytest.mark.parametrize(("pending", "entries", "more"), [("7", 0, False), ("7", 1, True), ("0", 1, False)])
def test_a_batch_that_brought_nothing_is_not_asked_for_at_once_again(pending: str, entries: int, *, more: bool) -> None:
    cursor = Cursor(Stream.CALLS5, Offset("now", 5), lambda: None)
    batch = _Batch(cursor)
    for number in range(entries):
        cursor.entry("subject", 6 + number, b"", removed=False)
    headers = f"NATS/1.0 204 EOB\r\nNats-Num-Pending: {pending}\r\n\r\n".encode()
    batch.take(Message(b"_INBOX.x", b"", headers, b""))
    assert batch.over.is_set()
    assert batch.has_more is more
