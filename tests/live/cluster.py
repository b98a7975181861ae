"""A cluster of three NATS servers on this machine, made of the same server that `serve` starts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from ringbridge.adapters.nats.link import Link, LinkDown, LinkSettings, NoResponders, RequestTimedOut
from ringbridge.adapters.nats.server import ClusterSettings, NatsServer, ServerSettings
from ringbridge.adapters.nats.streams import Streams
from ringbridge.adapters.nats.subjects import Stream

PASSWORD = "cluster-of-the-tests"


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody uses at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Cluster:
    """The servers by name, and what they say of each other."""

    def __init__(self, servers: dict[str, NatsServer]) -> None:
        self.servers = servers
        self.urls = tuple(server.url for server in servers.values())

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Streams]:
        link = Link(LinkSettings(self.urls, "cluster-test"))
        task = asyncio.create_task(link.run())
        try:
            assert await link.wait_up(10)
            yield Streams(link)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def ready(self, *, timeout_s: float = 20.0) -> None:
        """Return when JetStream has a leader of its own."""
        async with asyncio.timeout(timeout_s), self._asking() as streams:
            while True:
                try:
                    if b'"error"' not in await streams.call("INFO"):
                        return
                except (LinkDown, RequestTimedOut, NoResponders):
                    pass
                await asyncio.sleep(0.1)

    async def leader(self, stream: Stream) -> NatsServer:
        """Return the server that leads `stream`."""
        async with asyncio.timeout(15), self._asking() as streams:
            while True:
                try:
                    info = await streams.info(stream)
                except (LinkDown, RequestTimedOut, NoResponders):
                    continue
                if info.cluster is not None and info.cluster.leader in self.servers:
                    return self.servers[info.cluster.leader]
                await asyncio.sleep(0.1)

    async def consumer_leaders(self, stream: Stream) -> set[str]:
        """Return the names of the servers that replicas' consumers of `stream` run on."""
        async with asyncio.timeout(10), self._asking() as streams:
            answer = msgspec.json.decode(await streams.call(f"CONSUMER.LIST.{stream}", {"offset": 0}))
            return {one["cluster"]["leader"] for one in answer["consumers"] if one["config"].get("deliver_subject")}


@asynccontextmanager
async def three_servers(folder: Path, *, restarts: bool = True) -> AsyncIterator[Cluster]:
    """Run a cluster of three for as long as the context lasts."""
    ports = free_ports(6)
    routes = tuple(ports[3:])
    servers = {
        name: NatsServer(
            ServerSettings(
                folder / name,
                name=name,
                port=ports[number],
                password=PASSWORD,
                cluster=ClusterSettings("ringbridge-test", routes[number], routes),
                restarts=restarts,
            )
        )
        for number, name in enumerate(("a", "b", "c"))
    }
    try:
        await asyncio.gather(*(server.start() for server in servers.values()))
        cluster = Cluster(servers)
        await cluster.ready()
        yield cluster
    finally:
        await asyncio.gather(*(server.stop() for server in servers.values()))
