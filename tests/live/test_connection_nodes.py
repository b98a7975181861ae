"""Two nodes on one bus and a carrier's registrar: one of them is registered, and when it dies the other."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from tests.adapters.test_connection_registration import PASSWORD, Registrar
from tests.adapters.trunk import trunk
from tests.live.node import Node, connection, document, node, until


def contact_of(one: Node) -> str:
    return f"sip:line7@127.0.0.1:{one.sip_port}"


async def test_one_is_registered_and_when_it_is_killed_the_other(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = NatsServer(ServerSettings(tmp_path / "bus"))
        settings = {"bus.url": await server.start(), "log.level": "warning"}
        stack.push_async_callback(server.stop)
        edge = await stack.enter_async_context(trunk())
        edge.says = registrar = Registrar()
        line = connection(
            "line",
            int(edge.address.rpartition(":")[2]),
            connection_sip_registration_enabled="yes",
            connection_sip_registration_username="line7",
            connection_sip_registration_password=PASSWORD,
        )
        first, _ = await stack.enter_async_context(node(document(connections=[line]), settings=settings))
        second = Node(settings=settings)
        stack.push_async_callback(second.close)
        second.key = first.key
        await second.start()
        await asyncio.sleep(5)  # two looks of each at who is there
        await until(lambda: len(registrar.bound) == 1, within_s=15)
        killed, left = (first, second) if contact_of(first) in registrar.bound else (second, first)
        assert contact_of(killed) in registrar.bound
        await killed.kill()
        await until(lambda: contact_of(left) in registrar.bound, within_s=30)
        await killed.start()
        # One of them again: whoever is chosen has it, and the other has taken its own binding back.
        await until(lambda: len(registrar.bound) == 1, within_s=30)
        assert not first.faults()
        assert not second.faults()
