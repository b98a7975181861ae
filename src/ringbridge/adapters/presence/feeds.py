"""Which node derives the presence of which domain: as with deliveries, chosen by all nodes alike (`webhooks.sharing`).

A domain has a feed while somebody subscribes to its presence; one for all domains stands in for them where somebody
subscribes to that of more than one. There is no lock: two that run side by side for a moment do each other no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from ringbridge.adapters.presence.feed import FeedParts, PresenceFeed, feed_key, kept_positions
from ringbridge.adapters.presence.phones import phones_key
from ringbridge.adapters.store.batch import LocationChange
from ringbridge.adapters.webhooks.sharing import chosen
from ringbridge.model.access import ANY
from ringbridge.model.call import Call
from ringbridge.model.directory import Subscription
from ringbridge.model.errors import BusUnavailable

log = structlog.get_logger(__name__)


class Following(Protocol):
    """The replica as feeds follow it."""

    def follow_calls(self, listener: Callable[[Call], None]) -> Callable[[], None]: ...

    def follow_locations(self, listener: Callable[[LocationChange], None]) -> Callable[[], None]: ...


class _Running:
    """A feed of this node."""

    def __init__(self, feed: PresenceFeed) -> None:
        self.feed = feed
        self.task = asyncio.create_task(feed.run(), name=f"presence-{feed.domain}")

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class PresenceFeeds:
    """One node's feeds."""

    def __init__(self, parts: FeedParts, replica: Following) -> None:
        self._parts = parts
        self._replica = replica
        self._running: dict[str, _Running] = {}
        self._unfollow: list[Callable[[], None]] = []

    async def share_out(self, wanted: Sequence[Subscription], nodes: frozenset[str]) -> None:
        """Run what is this node's, by the subscriptions to presence and the nodes that are alive.

        Raises:
            BusUnavailable: it cannot be told how far a feed is, so it is not begun.
        """
        domains = {one.domain for one in wanted}
        if ANY in domains:
            domains = {ANY}
        mine = {name for name in domains if chosen(f"presence {name}", nodes) == self._parts.node}
        for name in mine - self._running.keys():
            await self._start(name, [one for one in wanted if name in (ANY, one.domain)])
        for name, running in list(self._running.items()):
            if running.task.done():
                if not running.task.cancelled() and (bug := running.task.exception()):
                    log.error("presence_left_by_a_bug", domain=name, exc_info=bug)
                del self._running[name]
            elif name not in mine:
                del self._running[name]
                await running.stop()
                if name not in domains:
                    await self._parts.bus.delete_kept(feed_key(name))
                    await self._parts.bus.delete_kept(phones_key(name))
        self._follow()

    async def _start(self, name: str, wanted: Sequence[Subscription]) -> None:
        """Begin a feed where the last one stopped, or where the first who wants it came."""
        bus = self._parts.bus
        first, new_since = await kept_positions(bus, name), None
        if not first:
            now = await bus.call_positions()
            kept = {one: await kept_positions(bus, one) for one in {ANY, *(each.domain for each in wanted)}}
            begins = [
                kept[one.domain] or kept[ANY] or (one.since[1:] if len(one.since) > len(now) else now) for one in wanted
            ]
            first = tuple(map(min, zip(*begins, strict=True)))
            new_since = max(one.created_at for one in wanted)
        self._follow(first_too=True)
        self._running[name] = _Running(PresenceFeed(self._parts, name, first, new_since=new_since))
        log.info("presence_feed_begins", domain=name)

    def _follow(self, *, first_too: bool = False) -> None:
        """Follow the local copy while there is a feed, or when the first is about to begin."""
        is_wanted = first_too or bool(self._running)
        if is_wanted and not self._unfollow:
            replica = self._replica
            self._unfollow = [replica.follow_calls(self._on_call), replica.follow_locations(self._on_location)]
        elif not is_wanted:
            for stop in self._unfollow:
                stop()
            self._unfollow = []

    def _of(self, domain: str) -> list[PresenceFeed]:
        return [running.feed for name in (domain, ANY) if (running := self._running.get(name)) is not None]

    def _on_call(self, call: Call) -> None:
        for feed in self._of(call.domain):
            feed.news(call.sequence)

    def _on_location(self, change: LocationChange) -> None:
        for feed in self._of(change.domain):
            feed.moved(change.domain, change.device)

    async def stop(self) -> None:
        """End all feeds, and note how far they are."""
        running, self._running = list(self._running.values()), {}
        self._follow()
        for one in running:
            await one.stop()
            try:
                await one.feed.flush()
            except BusUnavailable:
                log.info("presence_feed_not_noted", domain=one.feed.domain)
