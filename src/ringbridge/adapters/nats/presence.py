"""The stream of presence: `calls.events.ports.PresenceBus`. One message a change of a user, under a subject a user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from ringbridge.adapters.nats.link import LinkDown, NoResponders, RequestTimedOut
from ringbridge.adapters.nats.publish import Publisher, Stored, Write
from ringbridge.adapters.nats.streams import Streams
from ringbridge.adapters.nats.subjects import Stream, presence_filter
from ringbridge.adapters.nats.wire import header_line
from ringbridge.calls.events.ports import PresenceMessage
from ringbridge.model.errors import BusUnavailable
from ringbridge.model.presence import UserPresence

KEPT_S: Final = 4 * 86_400
"""A day more than the last attempt at a delivery takes."""

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(UserPresence)


class NatsPresence:
    """Reads and writes for `NatsBus`; `store` is its own way to write, `need` raises when the bus is away."""

    def __init__(
        self,
        *,
        streams: Streams,
        publisher: Publisher,
        store: Callable[[Stream, Write], Awaitable[int]],
        need: Callable[[Stream], None],
    ) -> None:
        self._streams = streams
        self._publisher = publisher
        self._store = store
        self._need = need

    async def position(self) -> int:
        try:
            info = await self._streams.info(Stream.PRESENCE)
        except (LinkDown, RequestTimedOut, NoResponders) as error:
            raise BusUnavailable from error
        if info.error is not None:
            raise BusUnavailable
        return info.state.last_seq

    async def next(self, after: int, domain: str | None, user: str | None = None) -> PresenceMessage | None:
        self._need(Stream.PRESENCE)
        return _read(await self._publisher.next(Stream.PRESENCE, presence_filter(domain, user), start=after + 1))

    async def last(self, domain: str, user: str) -> PresenceMessage | None:
        self._need(Stream.PRESENCE)
        return _read(await self._publisher.last(Stream.PRESENCE, presence_filter(domain, user)))

    async def put(self, one: UserPresence, *, after: int) -> int:
        subject = presence_filter(one.domain, one.user)
        ttl = header_line("Nats-TTL", f"{KEPT_S}s")
        return await self._store(Stream.PRESENCE, Write(subject, _encode(one), subject, after, ttl))


def _read(found: Stored | None) -> PresenceMessage | None:
    return None if found is None else PresenceMessage(_decoder.decode(found.payload), found.sequence)
