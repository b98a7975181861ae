"""The in-memory twin of the stream of presence (`calls.events.ports.PresenceBus`)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ringbridge.adapters.nats.subjects import Stream, presence_filter
from ringbridge.calls.events.ports import PresenceMessage
from ringbridge.model.errors import BusUnavailable
from ringbridge.model.presence import UserPresence

if TYPE_CHECKING:
    from ringbridge.adapters.memory.bus import MemoryHub
    from ringbridge.adapters.memory.stream import MemoryStream


class MemoryPresence:
    """Reads and writes of one `MemoryBus`; `hub` says what that is connected to."""

    def __init__(self, hub: Callable[[], MemoryHub]) -> None:
        self._hub = hub

    async def _stream(self) -> MemoryStream:
        await asyncio.sleep(0)
        if not self._hub().is_up:
            raise BusUnavailable
        return self._hub().streams[Stream.PRESENCE]

    async def position(self) -> int:
        return len((await self._stream()).entries)

    async def next(self, after: int, domain: str | None, user: str | None = None) -> PresenceMessage | None:
        for entry in itertools.islice((await self._stream()).entries, after, None):
            one = msgspec.json.decode(entry.payload, type=UserPresence)
            if domain in (None, one.domain) and user in (None, one.user):
                return PresenceMessage(one, entry.sequence)
        return None

    async def last(self, domain: str, user: str) -> PresenceMessage | None:
        entry = (await self._stream()).last.get(presence_filter(domain, user))
        if entry is None:
            return None
        return PresenceMessage(msgspec.json.decode(entry.payload, type=UserPresence), entry.sequence)

    async def put(self, one: UserPresence, *, after: int) -> int:
        subject = presence_filter(one.domain, one.user)
        return await self._hub().write(Stream.PRESENCE, subject, msgspec.json.encode(one), tree=subject, expected=after)
