"""Engine nodes on one in-memory bus, and how they die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from ringbridge.adapters.memory.bus import MemoryBus, MemoryFeed, MemoryHub
from ringbridge.adapters.memory.engine import MemoryEngine
from ringbridge.adapters.memory.phones import MemoryPhones
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.subjects import CALL_STREAMS, call_stream, call_tree
from ringbridge.adapters.replica.replica import Replica
from ringbridge.calls.control import Control
from ringbridge.calls.owner import Owner
from ringbridge.model.call import Call, fold
from ringbridge.model.events import CallEnded, CallEvent, CallRequested, decode
from ringbridge.model.ids import CallId, DomainName, NodeId
from tests.calls.samples import DOMAIN, NODE, VirtualClock


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait for `condition` to hold."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - conditions of all kinds, on objects that know nothing of tests
            await asyncio.sleep(0.001)


async def settled() -> None:
    """Let everything that can happen now happen."""
    for _ in range(30):
        await asyncio.sleep(0)


class MortalBus(MemoryBus):
    """One node's connection to the hub. When the node dies, nothing it does reaches the hub any more.

    It dies at its `dies_at`th append, before that is stored or after; `bugs` are raised by the next appends.
    """

    def __init__(self, hub: MemoryHub, *, dies_at: int = 0, after_storing: bool = True) -> None:
        super().__init__(hub)
        self.dies_at = dies_at
        self.after_storing = after_storing
        self.appends = 0
        self.dead = asyncio.Event()
        self.bugs: list[Exception] = []
        self.on_death: Callable[[], None] = lambda: None

    async def append_call(
        self, domain: DomainName, call_id: CallId, events: Sequence[CallEvent], *, after: int, requested: bool = False
    ) -> int:
        self.appends += 1
        last = self.appends == self.dies_at
        if last and not self.after_storing:
            self.die()
        await self._alive()
        if self.bugs:
            raise self.bugs.pop(0)
        sequence = await super().append_call(domain, call_id, events, after=after, requested=requested)
        if last:
            self.die()
        await self._alive()
        return sequence

    def die(self) -> None:
        self.dead.set()
        self.on_death()

    async def _alive(self) -> None:
        if self.dead.is_set():
            await asyncio.get_running_loop().create_future()


class EngineNode:
    """One node: bus, store, replica, engine, owner, and an API's control."""

    def __init__(self, phones: MemoryPhones, hub: MemoryHub, *, name: NodeId = NODE, bus: MortalBus | None = None):
        self.name = name
        self.hub = hub
        self.phones = phones
        self.clock = phones.clock
        self.bus = bus or MortalBus(hub)
        self.store = MemoryStore(self.clock)
        self.replica = Replica(MemoryFeed(hub), self.store, clock=self.clock, commit_pause_s=0.001)
        self.engine = MemoryEngine(phones)
        self.bus.on_death = self.engine.crash
        self.owner = Owner(node=name, bus=self.bus, store=self.store, engine=self.engine, clock=self.clock)
        self.control = Control(bus=self.bus, clock=self.clock)
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> EngineNode:
        await self.replica.start()
        self._following = asyncio.create_task(self.replica.run())
        assert await self.replica.caught_up(timeout_s=5)
        await self.owner.start()
        return self

    async def stop(self) -> None:
        await self.owner.stop()
        await self._unfollow()

    async def kill(self) -> None:
        """End it as kill -9 does: at once, with no last word to anybody."""
        self.bus.die()
        tasks = [*self.owner._serving, *self.owner._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._unfollow()

    async def _unfollow(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def place(self, event: CallRequested) -> None:
        """Store a call as an API node would."""
        await self.bus.create_call(event.domain, event.call_id, [event])


@asynccontextmanager
async def running(phones: MemoryPhones, hub: MemoryHub, *, name: NodeId = NODE) -> AsyncIterator[EngineNode]:
    node = await EngineNode(phones, hub, name=name).start()
    try:
        yield node
    finally:
        await node.stop()


def new_phones() -> MemoryPhones:
    return MemoryPhones(VirtualClock())


def messages(hub: MemoryHub, call_id: str = "c1") -> list[list[CallEvent]]:
    """Return what the hub holds of a call, one list a message."""
    prefix = call_tree(DOMAIN, CallId(call_id)) + "."
    entries = hub.streams[call_stream(DOMAIN, CallId(call_id))].entries
    return [decode(entry.payload) for entry in entries if entry.subject.startswith(prefix)]


def on_bus(hub: MemoryHub, call_id: str = "c1") -> Call:
    """Return a call as the hub's messages tell it."""
    call: Call | None = None
    for sequence, batch in enumerate(messages(hub, call_id), start=1):
        call = fold(call, batch, sequence)
    assert call is not None
    return call


def ends(hub: MemoryHub, call_id: str = "c1") -> int:
    return sum(isinstance(event, CallEnded) for batch in messages(hub, call_id) for event in batch)


def offer_again(hub: MemoryHub) -> None:
    """Offer every request once more, as a bus does whose acknowledgement was lost."""
    for stream in CALL_STREAMS:
        for entry in hub.streams[stream].entries:
            if entry.subject.endswith(".requested"):
                hub.offer(entry)


def dialled(phones: MemoryPhones) -> dict[tuple[str, str], int]:
    """Return how many INVITEs each leg had, by session and leg."""
    counts: dict[tuple[str, str], int] = {}
    for invite in phones.invites:
        key = (invite.order.session_id, invite.order.leg_id)
        counts[key] = counts.get(key, 0) + 1
    return counts
