"""One delivering node over the in-memory bus, with a clock that tests move, and calls to tell of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

from ringbridge.adapters.memory.bus import MemoryBus, MemoryFeed, MemoryHub
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.bus import NatsBus
from ringbridge.adapters.replica.replica import Replica
from ringbridge.adapters.webhooks.desk import WebhookDesk
from ringbridge.adapters.webhooks.parts import CourierParts, Places
from ringbridge.adapters.webhooks.post import Poster, PostSettings
from ringbridge.adapters.webhooks.webhooks import Webhooks
from ringbridge.model.directory import Domain, Subscription, User
from ringbridge.model.events import CallClaimed, CallEnded, CallEvent, LegAnswered, LegInvited, LegReleased, LegRinging
from ringbridge.model.ids import CallId, DomainName, LegId, NodeId
from ringbridge.model.release import ReleaseCause, Result
from tests.adapters.bus_calls import DOMAIN, requested, target

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
LOOPBACK = (ip_network("127.0.0.0/8"),)
DONE = ReleaseCause(Result.COMPLETED, "hung-up")


class WallClock:
    """Wall time and what a test adds: signatures are checked against the real one."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        loop = asyncio.get_running_loop()
        return 1_800_000_000.0 + loop.time() + self.ahead


def life(call_id: str) -> list[list[CallEvent]]:
    """Return the bus messages of a call behind its request."""
    o1, t1 = LegId("o1"), LegId("t1")
    return [
        [
            CallClaimed(NodeId("n1"), 1, at=1_000_000.1),
            LegInvited(o1, target("1001"), f"sip-o-{call_id}", b"", at=1_000_000.2),
        ],
        [LegRinging(o1, at=1_000_001.0)],
        [LegAnswered(o1, b"", "PCMU", at=1_000_002.0, acked_at=1_000_002.0)],
        [LegInvited(t1, target("1002"), f"sip-t-{call_id}", b"", at=1_000_002.1), LegRinging(t1, at=1_000_003.0)],
        [LegAnswered(t1, b"", "PCMU", at=1_000_004.0, acked_at=1_000_004.0)],
        [
            LegReleased(o1, DONE, at=1_000_009.0),
            LegReleased(t1, DONE, at=1_000_009.0),
            CallEnded(DONE, "origination", at=1_000_009.0),
        ],
    ]


STATES = ["requested", "claimed", "orig-ringing", "orig-answered", "term-ringing", "connected", "ended"]
"""`call-state`s that a subscriber sees of a whole call, repetitions left out."""


def states(events: list[dict[str, object]]) -> list[str]:
    """Return the states that were told, each once where it stayed."""
    found: list[str] = []
    for event in events:
        if not found or found[-1] != event["call-state"]:
            found.append(str(event["call-state"]))
    return found


class Calls:
    """Calls on a bus."""

    def __init__(self, bus: MemoryBus | NatsBus) -> None:
        self._bus = bus
        self._last: dict[str, int] = {}
        self._left: dict[str, list[list[CallEvent]]] = {}

    async def begin(self, call_id: str, *, domain: DomainName = DOMAIN, user: str = "1001") -> None:
        self._left[call_id] = life(call_id)
        events = [requested(call_id, domain=domain, user=user)]
        self._last[call_id] = await self._bus.create_call(domain, CallId(call_id), events)

    async def step(self, call_id: str, *, domain: DomainName = DOMAIN) -> None:
        events = self._left[call_id].pop(0)
        self._last[call_id] = await self._bus.append_call(domain, CallId(call_id), events, after=self._last[call_id])

    def adopt(self, other: Calls) -> Calls:
        """Go on with the calls of `other`."""
        self._last, self._left = other._last, other._left
        return self

    async def whole(self, call_id: str, *, domain: DomainName = DOMAIN, user: str = "1001") -> None:
        await self.begin(call_id, domain=domain, user=user)
        for _ in range(len(self._left[call_id])):
            await self.step(call_id, domain=domain)


class Node:
    """One node's deliveries."""

    def __init__(self, bus: MemoryBus | NatsBus, name: str = "n1", *, timeout_s: float = 2.0) -> None:
        self.name = name
        self.clock = WallClock()
        self.bus = bus
        self.store = MemoryStore(self.clock)
        feed = bus.feed if isinstance(bus, NatsBus) else MemoryFeed(bus.hub)
        self.replica = Replica(feed, self.store, clock=self.clock, commit_pause_s=0.001)
        self.poster = Poster(PostSettings(timeout_s=timeout_s, allowed=LOOPBACK), RealClock())
        self.parts = CourierParts(
            bus=self.bus, directory=self.store, poster=self.poster, clock=self.clock, places=Places(), node=name
        )
        self.webhooks = Webhooks(self.parts, bus=self.bus, store=self.store, replica=self.replica)
        self.desk = WebhookDesk(self.parts, self.webhooks.courier, couriers=lambda: self.webhooks.couriers)
        self.calls = Calls(self.bus)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.replica.start()
        self._tasks = [asyncio.create_task(self.replica.run()), asyncio.create_task(self.webhooks.run())]

    def die(self) -> None:
        """End as with kill -9: nothing more is written."""
        if isinstance(self.bus, MemoryBus):
            self.bus.hub = MemoryHub()
            self.bus.hub.is_up = False
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.poster.close()

    async def subscribe(self, url: str, name: str = "s1", **more: object) -> Subscription:
        """Put a subscription to the calls of the sample domain that begins now."""
        since = await self.bus.call_positions()
        fields: dict[str, object] = {"model": "call", "domain": DOMAIN, "expires_at": 9e9, "since": since, **more}
        one = Subscription(id=name, post_url=url, secret=SECRET, **fields)  # type: ignore[arg-type] # fields of it
        await self.bus.put_record(one)
        return one


class RealClock:
    """The time that receivers have too."""

    def now(self) -> float:
        return time.time()


@asynccontextmanager
async def delivering(
    bus: MemoryHub | NatsBus | None = None, name: str = "n1", *, timeout_s: float = 2.0
) -> AsyncIterator[Node]:
    """Run a node that delivers."""
    node = Node(bus if isinstance(bus, NatsBus) else MemoryBus(bus), name, timeout_s=timeout_s)
    await node.bus.put_record(Domain(DOMAIN, reseller="acme"))
    for user in ("1001", "1002"):
        await node.bus.put_record(User(DOMAIN, user))
    await node.start()
    try:
        yield node
    finally:
        await node.stop()
