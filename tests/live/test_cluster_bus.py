"""The bus as a cluster of three servers: what was acknowledged stays, whoever is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.replica.replica import Replica
from ringbridge.adapters.store.batch import ReplicaStore
from ringbridge.adapters.store.store import SqlStore
from ringbridge.calls.ports import Claimable
from ringbridge.model.errors import BusUnavailable, Conflict
from ringbridge.model.events import CallClaimed
from ringbridge.model.ids import CallId, NodeId
from tests.adapters.bus_calls import DOMAIN, TestClock, requested, until
from tests.live.cluster import Cluster, three_servers

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """One for all tests here, as it takes seconds to form; each test has call-ids of its own."""
    async with three_servers(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


class Node:
    """A node's bus, store and replica on the cluster."""

    def __init__(self, bus: NatsBus, store: ReplicaStore) -> None:
        self.bus = bus
        self.store = store
        self.replica = Replica(bus.feed, store, clock=TestClock())


async def join(stack: AsyncExitStack, cluster: Cluster, name: str, store: ReplicaStore) -> Node:
    """Return a running node that prefers another server than the node before."""
    turn = len(name) % 3
    urls = cluster.urls[turn:] + cluster.urls[:turn]
    bus = await stack.enter_async_context(NatsBus(BusSettings(urls, name, replicas=3)))
    node = Node(bus, store)
    await node.replica.start()
    task = asyncio.create_task(node.replica.run())

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)
    assert await node.replica.caught_up(timeout_s=10)
    return node


async def test_fifty_creates_of_one_call_over_two_nodes_make_one(cluster: Cluster) -> None:
    async with AsyncExitStack() as stack:
        nodes = [await join(stack, cluster, name, MemoryStore(TestClock())) for name in ("n", "nn")]
        creates = [
            nodes[number % 2].bus.create_call(DOMAIN, CallId("once"), [requested("once", at=number)])
            for number in range(50)
        ]
        results = await asyncio.gather(*creates, return_exceptions=True)
        sequences = [one for one in results if isinstance(one, int)]
        assert len(sequences) == 1
        assert len([one for one in results if isinstance(one, Conflict)]) == 49
        for node in nodes:
            assert await node.replica.wait_calls(sequences[0], timeout_s=1)
            call = await node.store.call(DOMAIN, "once")
            assert call is not None
            assert call.sequence == sequences[0]


async def test_no_acknowledged_call_is_lost_when_the_leader_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    prefix = "posted-"
    acknowledged: dict[str, int] = {}
    refused: list[str] = []
    claimed: list[str] = []
    twice: list[str] = []
    async with AsyncExitStack() as stack:
        on_disk = SqlStore.open(tmp_path / "n.db", TestClock())
        stack.push_async_callback(on_disk.close)
        nodes = [
            await join(stack, cluster, "n", on_disk),
            await join(stack, cluster, "nn", MemoryStore(TestClock())),
        ]

        async def take(claimable: Claimable) -> None:
            name = claimable.requested.call_id
            try:
                await nodes[0].bus.append_call(
                    DOMAIN, name, [CallClaimed(NodeId("n"), 1, at=2.0)], after=claimable.sequence
                )
                claimed.append(name)
            except Conflict:
                twice.append(name)  # offered again as our answer was lost: the bus tells
            except BusUnavailable:
                claimable.again(0.2)
                return
            claimable.done()

        claims = asyncio.create_task(nodes[0].bus.claims(take, at_most=64))

        async def post(number: int) -> None:
            name = f"{prefix}{number}"
            try:
                acknowledged[name] = await nodes[number % 2].bus.create_call(DOMAIN, CallId(name), [requested(name)])
            except BusUnavailable:
                refused.append(name)

        posts: list[asyncio.Task[None]] = []
        for number in range(500):
            posts.append(asyncio.create_task(post(number)))
            await asyncio.sleep(0.02)
            if number in (100, 300):
                (await cluster.leader(Stream.CALLS0)).kill()
        await asyncio.gather(*posts)
        assert len(acknowledged) + len(refused) == 500
        assert len(acknowledged) > 400
        for node in nodes:
            for name, sequence in acknowledged.items():
                assert await node.replica.wait_calls(sequence, timeout_s=15)
                call = await node.store.call(DOMAIN, name)
                assert call is not None, name
                assert call.sequence >= sequence
        await until(lambda: set(claimed) >= set(acknowledged), timeout_s=30)
        print(f"{len(acknowledged)} acknowledged, {len(refused)} refused, {len(twice)} offered twice")  # noqa: T201
        assert len(claimed) == len(set(claimed))
        claims.cancel()
        await asyncio.gather(claims, return_exceptions=True)


async def test_a_replica_goes_on_whichever_server_is_killed(cluster: Cluster) -> None:
    async with AsyncExitStack() as stack:
        prefix = "killed-"
        node = await join(stack, cluster, "n", MemoryStore(TestClock()))
        writer = await join(stack, cluster, "nn", MemoryStore(TestClock()))
        for number, server in enumerate(cluster.servers.values()):
            starts = server.starts
            server.kill()
            sequence = await writer.bus.create_call(
                DOMAIN, CallId(f"{prefix}{number}"), [requested(f"{prefix}{number}")]
            )
            assert await node.replica.wait_calls(sequence, timeout_s=8)
            await until(lambda old=starts, one=server: one.starts > old, timeout_s=10)  # type: ignore[misc] # bound now
            await cluster.ready()
        calls = (await node.store.active_calls(limit=1000)).calls
        assert len([call for call in calls if call.call_id.startswith(prefix)]) == 3


async def test_a_cluster_without_quorum_refuses_and_still_reads(tmp_path: Path) -> None:
    async with three_servers(tmp_path / "cluster", restarts=False) as cluster, AsyncExitStack() as stack:
        store = MemoryStore(TestClock())
        bus = await stack.enter_async_context(
            NatsBus(BusSettings(cluster.urls, "n", replicas=3, publish_deadline_s=1.5))
        )
        replica = Replica(bus.feed, store, clock=TestClock())
        await replica.start()
        task = asyncio.create_task(replica.run())
        sequence = await bus.create_call(DOMAIN, CallId("once"), [requested("once")])
        assert await replica.wait_calls(sequence, timeout_s=2)
        for name in ("b", "c"):
            cluster.servers[name].kill()
        with pytest.raises(BusUnavailable):
            await bus.create_call(DOMAIN, CallId("c2"), [requested("c2")])
        assert not bus.is_up
        assert await store.call(DOMAIN, "once") is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
