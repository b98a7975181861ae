"""Which nodes that do one kind of work are alive, by the beats that each of them leaves on the bus.

Clocks are not compared: a node is dead when its beat has not changed for a while by the watch of whoever looks.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from ringbridge.calls.events.ports import Kept

BEAT_TTL_S: Final = 60


class BeatBus(Protocol):
    """What beating needs of the bus (`calls.events.ports.EventBus`)."""

    async def list_kept(self, key: tuple[str, ...]) -> dict[str, Kept]: ...

    async def put_kept(
        self, key: tuple[str, ...], payload: bytes, *, revision: int | None = None, ttl_s: int = 0
    ) -> int: ...

    async def delete_kept(self, key: tuple[str, ...]) -> None: ...


class NodeBeats:
    """One node's beats for one kind of `work`, and what it sees of others'."""

    def __init__(self, bus: BeatBus, work: str, node: str, *, dead_after_s: float) -> None:
        self._bus = bus
        self._work = work
        self._node = node
        self._dead_after_s = dead_after_s
        self._seen: dict[str, tuple[int, float]] = {}

    async def alive(self) -> frozenset[str]:
        """Beat, and return the nodes whose beats go on, this one among them.

        Raises:
            BusUnavailable: the bus is away, so nobody knows.
        """
        await self._bus.put_kept((self._work, self._node), b"{}", ttl_s=BEAT_TTL_S)
        now = asyncio.get_running_loop().time()
        found = await self._bus.list_kept((self._work,))
        self._seen = {
            name: before
            if (before := self._seen.get(name)) is not None and before[0] == kept.revision
            else (kept.revision, now)
            for name, kept in found.items()
        }
        alive = {name for name, (_, changed_at) in self._seen.items() if now - changed_at < self._dead_after_s}
        return frozenset(alive | {self._node})

    async def stop(self) -> None:
        """Say that this node beats no longer.

        Raises:
            BusUnavailable: the bus is away; the others find out by themselves.
        """
        await self._bus.delete_kept((self._work, self._node))
