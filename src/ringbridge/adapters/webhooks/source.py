"""Where a courier gets what it delivers: from the streams of calls, or from that of presence."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from ringbridge.adapters.webhooks.telling import Telling, concerns
from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.events.ports import EventBus, PresenceMessage
from ringbridge.model.access import ANY
from ringbridge.model.deliveries import CallName, Item
from ringbridge.model.directory import Subscription
from ringbridge.model.presence import presence_object

PRESENCE_POLL_S: Final = 60.0
"""For what was not there yet on the server that was asked, when `presence.watch` told of it from another."""

_encode = msgspec.json.Encoder().encode


class Source(Protocol):
    """Reads for one subscription. `position % streams` is the stream that a position lies in."""

    poll_s: float | None
    """After how many seconds to look by oneself, besides when `Courier.news` says; None: never."""

    async def next(self, subscription: Subscription, after: int) -> tuple[int, Item | None] | None:
        """Return the position of the message behind `after`, and what is sent of it, where it is anything."""
        ...

    async def items_of(self, subscription: Subscription, name: CallName, *, start: int) -> list[Item]:
        """Return what is sent of one call, or user, in order; at least what lies at or behind `start`."""
        ...

    async def at(self, subscription: Subscription, position: int) -> Item | None:
        """Return what is sent of the message at a position."""
        ...

    def forget(self) -> None:
        """Forget everything, as when the subscription was changed."""
        ...


class CallSource:
    """Calls and CDRs."""

    poll_s: float | None = None

    def __init__(self, bus: EventBus, directory: Directory) -> None:
        self._bus = bus
        self._telling = Telling(bus, directory)

    async def next(self, subscription: Subscription, after: int) -> tuple[int, Item | None] | None:
        domain = None if subscription.domain == ANY else subscription.domain
        message = await self._bus.next_call_message(after, domain)
        if message is None:
            return None
        return message.position, await self._telling.item(subscription, message)

    async def items_of(self, subscription: Subscription, name: CallName, *, start: int) -> list[Item]:  # noqa: ARG002 - all
        return await self._telling.items_of(subscription, name)

    async def at(self, subscription: Subscription, position: int) -> Item | None:
        before = position - len(await self._bus.call_positions())
        message = await self._bus.next_call_message(before, None) if before >= 0 else None
        if message is None or message.position != position:
            return None
        items = await self._telling.items_of(subscription, message.name)
        return next((item for item in items if item.position == position), None)

    def forget(self) -> None:
        self._telling.forget()


class PresenceSource:
    """Presence: each message of the bus has the whole of what is sent."""

    poll_s: float | None = PRESENCE_POLL_S

    def __init__(self, bus: EventBus, directory: Directory) -> None:
        self._bus = bus
        self._directory = directory

    async def next(self, subscription: Subscription, after: int) -> tuple[int, Item | None] | None:
        domain = None if subscription.domain == ANY else subscription.domain
        user = None if subscription.user == ANY else subscription.user
        message = await self._bus.presence.next(after, domain, user)
        return None if message is None else (message.position, await self._item(subscription, message))

    async def _item(self, subscription: Subscription, message: PresenceMessage) -> Item | None:
        one = message.presence
        if not one.is_told or not await concerns(self._directory, subscription, one.domain, one.user):
            return None
        told = presence_object(one, message.position)
        return Item(CallName(one.domain, one.user), message.position, _encode([told]), (told.id,), call_id=one.call_id)

    async def items_of(self, subscription: Subscription, name: CallName, *, start: int) -> list[Item]:
        items = []
        domain, user = name
        message = await self._bus.presence.next(start - 1, domain, user)
        while message is not None:
            if (item := await self._item(subscription, message)) is not None:
                items.append(item)
            message = await self._bus.presence.next(message.position, domain, user)
        return items

    async def at(self, subscription: Subscription, position: int) -> Item | None:
        message = await self._bus.presence.next(position - 1, None)
        if message is None or message.position != position:
            return None
        return await self._item(subscription, message)

    def forget(self) -> None:
        """Nothing is kept in mind."""


def source_of(model: str, bus: EventBus, directory: Directory) -> Source:
    """Return the source of a subscription to `model`."""
    return PresenceSource(bus, directory) if model == "presence" else CallSource(bus, directory)
