"""Engine nodes that keep watch of connections: what they find, and which of them it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ringbridge.adapters.connections import keeper, watch
from ringbridge.adapters.connections.keeper import ConnectionKeeper
from ringbridge.adapters.memory.bus import MemoryBus, MemoryFeed, MemoryHub
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.replica.replica import Replica
from ringbridge.adapters.sip.node import SipNode, SipNodeSettings
from ringbridge.model.connection_states import CONNECTION_STATE, ConnectionState, Health
from ringbridge.model.directory import Connection
from ringbridge.model.ids import NodeId
from ringbridge.sip.session_events import EndpointEvent, RegistrationResult, RequestResult
from tests.adapters.loops import until
from tests.adapters.trunk import Trunk, silence, status, trunk
from tests.calls.samples import VirtualClock

KEY = ("acme", "carrier")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "TICK_S", 0.05)
    monkeypatch.setattr(keeper, "DEAD_AFTER_S", 0.5)
    monkeypatch.setattr(watch, "FIRST_WITHIN_S", 0.0)
    monkeypatch.setattr(watch, "ANSWER_S", 0.2)
    monkeypatch.setattr(watch, "ASK_AGAIN_S", 0.02)


def carrier(address: str, **more: object) -> Connection:
    fields: dict[str, object] = {
        "connection_address": address,
        "connection_health_check_enabled": "yes",
        "connection_health_check_interval_seconds": 0,
        **more,
    }
    return Connection("acme", "carrier", **fields)  # type: ignore[arg-type] # fields of it


class Node:
    """One engine node, as far as it keeps connections."""

    def __init__(self, hub: MemoryHub, name: str) -> None:
        self.bus = MemoryBus(hub)
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        self.replica = Replica(MemoryFeed(hub), self.store, clock=self.clock, commit_pause_s=0.001)
        self.sip = SipNode(SipNodeSettings(port=0), on_event=self._on_event)
        self.keeper = ConnectionKeeper(
            node=self.sip,
            node_id=NodeId(name),
            bus=self.bus,
            store=self.store,
            replica=self.replica,
            clock=self.clock,
        )

    def _on_event(self, event: EndpointEvent) -> None:
        if isinstance(event, RequestResult | RegistrationResult):
            self.keeper.take(event)

    async def state(self) -> ConnectionState | None:
        found = await self.store.record(CONNECTION_STATE, KEY)
        return found if isinstance(found, ConnectionState) else None

    async def is_gone(self) -> None:
        """Return once nothing is told of it."""
        async with asyncio.timeout(5):
            while True:
                if await self.state() is None:
                    return
                await asyncio.sleep(0.005)

    async def is_found(self, health: Health, reason: str = "") -> ConnectionState:
        """Return the state once its health is so."""
        async with asyncio.timeout(5):
            while True:
                state = await self.state()
                if state is not None and state.health is health and state.health_reason.startswith(reason):
                    return state
                await asyncio.sleep(0.005)


@asynccontextmanager
async def keeping(hub: MemoryHub, name: str = "a") -> AsyncIterator[Node]:
    """Run a node that keeps connections."""
    node = Node(hub, name)
    await node.replica.start()
    await node.sip.start()
    replica = asyncio.create_task(node.replica.run())
    keeper = asyncio.create_task(node.keeper.run())
    try:
        yield node
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        replica.cancel()
        await asyncio.gather(replica, return_exceptions=True)
        await node.sip.stop()


@pytest.fixture
async def edge() -> AsyncIterator[Trunk]:
    async with trunk() as one:
        yield one


async def test_one_that_answers_is_up_and_one_that_says_503_or_nothing_is_down(edge: Trunk) -> None:
    async with keeping(MemoryHub()) as node:
        await node.bus.put_record(carrier(edge.address))
        state = await node.is_found(Health.UP, "200")
        assert state.node == "a"
        assert state.address == f"UDP {edge.address}"
        node.clock.at += 10
        edge.says = status(503)
        assert (await node.is_found(Health.DOWN, "503")).health_at == node.clock.at
        edge.says = status(405)  # who refuses OPTIONS is there
        await node.is_found(Health.UP, "405")
        edge.says = silence
        await node.is_found(Health.DOWN, "no answer")
        edge.says = status(200)
        await node.is_found(Health.UP, "200")


async def test_one_lost_question_says_nothing(edge: Trunk) -> None:
    async with keeping(MemoryHub()) as node:
        await node.bus.put_record(carrier(edge.address))
        await node.is_found(Health.UP)
        lost: list[str] = []

        def once(request: object) -> None:
            lost.append("")
            edge.says = status(200)

        edge.says = once
        asked = edge.count("OPTIONS")
        await until(lambda: edge.count("OPTIONS") > asked + 3)
        assert lost
        state = await node.state()
        assert state is not None
        assert state.health is Health.UP


async def test_what_is_not_watched_costs_nothing(edge: Trunk) -> None:
    hub = MemoryHub()
    async with keeping(hub) as node:
        await node.bus.put_record(carrier(edge.address, connection_health_check_enabled="no"))
        before = hub.writes[Stream.DIRECTORY], hub.writes[Stream.WEBHOOKS]
        await asyncio.sleep(0.3)
        assert (hub.writes[Stream.DIRECTORY], hub.writes[Stream.WEBHOOKS]) == before
        assert not edge.requests


@pytest.mark.parametrize("how", ["switched off", "deleted", "moved"])
async def test_what_is_no_longer_so_is_not_told(edge: Trunk, how: str) -> None:
    async with keeping(MemoryHub()) as node, trunk() as other:
        other.says = status(503)
        await node.bus.put_record(carrier(edge.address))
        await node.is_found(Health.UP)
        if how == "deleted":
            await node.bus.delete_record("connection", KEY)
        elif how == "moved":
            await node.bus.put_record(carrier(other.address))
            await node.is_found(Health.DOWN, "503")
            return
        else:
            await node.bus.put_record(carrier(edge.address, connection_health_check_enabled="no"))
        await until(lambda: not node.keeper.held)
        await node.is_gone()


async def test_exactly_one_of_two_nodes_asks_and_the_other_goes_on_when_it_stops(edge: Trunk) -> None:
    hub = MemoryHub()
    async with keeping(hub, "a") as one:
        await one.bus.put_record(carrier(edge.address))
        async with keeping(hub, "b") as other:
            await until(lambda: bool(one.keeper.held | other.keeper.held))
            await asyncio.sleep(0.3)  # both have seen each other's beats by now
            nodes = {"a": one, "b": other}
            keeps = [name for name, node in nodes.items() if node.keeper.held]
            assert len(keeps) == 1
        await until(lambda: one.keeper.held == {KEY})
        await until(lambda: edge.count("OPTIONS") > 3)
        assert (await one.is_found(Health.UP)).node == "a"


async def test_the_other_takes_over_when_one_has_died(edge: Trunk) -> None:
    hub = MemoryHub()
    async with keeping(hub, "a") as one, keeping(hub, "b") as other:
        await one.bus.put_record(carrier(edge.address))
        await until(lambda: bool(one.keeper.held | other.keeper.held))
        await asyncio.sleep(0.3)
        dying, living = (one, other) if one.keeper.held else (other, one)
        dead = MemoryHub()
        dead.is_up = False
        dying.bus.hub = dead  # it can say nothing more, and goes on thinking that it keeps watch
        await until(lambda: living.keeper.held == {KEY})
        edge.says = status(503)
        state = await living.is_found(Health.DOWN)
        assert state.node == ("b" if living is other else "a")
