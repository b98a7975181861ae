"""Which node delivers which subscription (contract §5).

Every node that delivers beats on the bus (`node_beats`). All see the same nodes alive and so choose the same one for a
subscription: its `preferred-server` while that is up, else by a hash of both names, so that work is spread and little
moves when a node comes or goes. The chosen node takes the subscription once its holder has let go of it or is dead;
taking is a compare-and-set on the stored progress (`webhooks.courier`), so that two who think that they are the one
cannot both be.

Where no subscription is, nothing is written and no call is looked at; for a domain without one, a call costs a look
into a dictionary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from ringbridge.adapters.node_beats import NodeBeats
from ringbridge.adapters.presence.feed import FeedParts
from ringbridge.adapters.presence.feeds import Following as FollowingPresence
from ringbridge.adapters.presence.feeds import PresenceFeeds
from ringbridge.adapters.presence.watch import PresenceWatch
from ringbridge.adapters.rounds import go_rounds
from ringbridge.adapters.store.batch import RecordChange
from ringbridge.adapters.webhooks.courier import Courier
from ringbridge.adapters.webhooks.parts import CourierParts, decode_progress, state_key
from ringbridge.adapters.webhooks.sharing import chosen, chosen_node
from ringbridge.calls.access.standing import Standing, Void, actors_behind
from ringbridge.calls.events.ports import PresenceMessage
from ringbridge.calls.ports import Bus, Store
from ringbridge.model.access import ANY
from ringbridge.model.actors import Actor
from ringbridge.model.call import Call
from ringbridge.model.deliveries import Progress
from ringbridge.model.directory import Subscription
from ringbridge.model.errors import BusUnavailable, Conflict
from ringbridge.model.subscriptions import ACTIVE_MODELS

log = structlog.get_logger(__name__)

PRESENCE = "presence"
TICK_S = 2.0
WAKING = frozenset({"subscription", "apikey", "revocation"})
"""Kinds of records whose change is looked at at once; the next tick sees the others."""
DEAD_AFTER_S = 8.0
STOP_S = 1.0
"""What releasing may take when the node stops; the rest is taken over as if the node had died."""

_encode = msgspec.json.Encoder().encode


class Following(FollowingPresence, Protocol):
    """The replica as deliveries follow it."""

    def follow_records(self, listener: Callable[[RecordChange], None]) -> Callable[[], None]: ...


class _Held:
    """A subscription that this node delivers."""

    def __init__(self, courier: Courier, on_over: Callable[[], None]) -> None:
        self.courier = courier
        self.task = asyncio.create_task(courier.run(), name=f"webhook-{courier.subscription.id}")
        self.task.add_done_callback(lambda _: on_over())

    async def stop(self) -> None:
        """Stop delivering and let go."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.courier.release()


class Webhooks:
    """One node's part in delivering events: `run` it as a task."""

    def __init__(self, parts: CourierParts, *, bus: Bus, store: Store, replica: Following) -> None:
        self._parts = parts
        self._bus = bus
        self._store = store
        self._replica = replica
        self._standing = Standing(directory=store, clock=parts.clock)
        self._presence = PresenceFeeds(
            FeedParts(bus=parts.bus, store=store, clock=parts.clock, node=parts.node), replica
        )
        self._watch = PresenceWatch(parts.bus.presence, on_begin=self._on_presence_before, on_message=self._on_presence)
        self._watching: asyncio.Task[None] | None = None
        self._held: dict[str, _Held] = {}
        self._ended: dict[str, int] = {}
        self._by_domain: dict[str, tuple[Courier, ...]] = {}
        self._everywhere: tuple[Courier, ...] = ()
        self._beats = NodeBeats(parts.bus, "node", parts.node, dead_after_s=DEAD_AFTER_S)
        self._wake = asyncio.Event()
        self._unfollow: Callable[[], None] | None = None

    @property
    def held(self) -> frozenset[str]:
        """Names of the subscriptions that this node delivers now."""
        return frozenset(self._held)

    @property
    def couriers(self) -> list[Courier]:
        """The couriers of those."""
        return [held.courier for held in self._held.values()]

    def courier(self, subscription_id: str) -> Courier | None:
        """Return the courier of a subscription that this node delivers."""
        held = self._held.get(subscription_id)
        return held.courier if held else None

    async def run(self) -> None:
        """Deliver until cancelled, then let go of everything."""
        stop = self._replica.follow_records(self._on_record)
        try:
            await go_rounds("webhooks", self._tick, self._wake, every_s=TICK_S)
        finally:
            stop()
            await self._let_go()

    # --- what is there ---

    def _on_record(self, change: RecordChange) -> None:
        if change.kind in WAKING:
            self._wake.set()

    def _on_call(self, call: Call) -> None:
        for courier in self._by_domain.get(call.domain, ()):
            courier.news(call.sequence)
        for courier in self._everywhere:
            courier.news(call.sequence)

    def _on_presence_before(self, position: int) -> None:
        for courier in self._of_presence():
            courier.news(position)

    def _on_presence(self, message: PresenceMessage) -> None:
        one = message.presence
        for courier in self._of_presence():
            about = courier.subscription
            if about.domain in (ANY, one.domain) and about.user in (ANY, one.user):
                courier.news(message.position)

    def _of_presence(self) -> list[Courier]:
        return [held.courier for held in self._held.values() if _is_presence(held.courier.subscription)]

    def _watch_presence(self) -> None:
        """Look at presence while anybody is told of it."""
        is_wanted = bool(self._of_presence())
        if self._watching is not None and self._watching.done():
            log.error("presence_watch_left_by_a_bug", exc_info=self._watching.exception())
            self._watching = None
        if is_wanted and self._watching is None:
            self._watching = asyncio.create_task(self._watch.run(), name="presence-watch")
        elif not is_wanted and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def _index(self) -> None:
        """Note who is told of which calls."""
        by_domain: dict[str, tuple[Courier, ...]] = {}
        everywhere: tuple[Courier, ...] = ()
        for held in self._held.values():
            domain = held.courier.subscription.domain
            if _is_presence(held.courier.subscription):
                continue
            if domain == ANY:
                everywhere += (held.courier,)
            else:
                by_domain[domain] = (*by_domain.get(domain, ()), held.courier)
        self._by_domain, self._everywhere = by_domain, everywhere
        if self._held and self._unfollow is None:
            self._unfollow = self._replica.follow_calls(self._on_call)
        elif not self._held and self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
        self._watch_presence()

    # --- who delivers ---

    async def _tick(self) -> None:
        stored = [one for one in await self._store.records("subscription") if isinstance(one, Subscription)]
        now = self._parts.clock.now()
        over = [one for one in stored if one.expires_at <= now or not await self._has_somebody(one)]
        silent = {one.id: found for one in stored if (found := await self._standing.why_silent(one)) is not None}
        wanted = {
            one.id: one
            for one in stored
            if one.model in ACTIVE_MODELS and one not in over and not one.ended and one.id not in silent
        }
        await self._drop_gone(wanted)
        if not stored:
            await self._presence.share_out([], frozenset())
        else:
            nodes = await self._beats.alive()
            await self._share_out(wanted, nodes)
            await self._presence.share_out([one for one in wanted.values() if _is_presence(one)], nodes)
            for one in over:
                if chosen(one.id, nodes) == self._parts.node:  # though nobody may deliver it where it prefers
                    await self._bus.delete_record("subscription", one.key)
                    await self._parts.bus.delete_kept(state_key(one.id))
                    silent.pop(one.id, None)
            for one in stored:
                if one.id in silent and not one.ended and chosen(one.id, nodes) == self._parts.node:
                    await self._end(one, *silent[one.id])
        self._index()

    async def _end(self, one: Subscription, actor: Actor, why: Void) -> None:
        """Note for good that a subscription is over, where who made it can never be good again."""
        if not why.is_final or not await self._standing.is_sure(actor, why, self._bus):
            return
        stored = await self._bus.read_record("subscription", one.key)
        now = stored.record if stored is not None else None
        if stored is None or not isinstance(now, Subscription) or now.ended or actor not in actors_behind(now):
            return  # deleted, ended, or taken over, before this node's copy has it
        await self._bus.put_record(msgspec.structs.replace(now, ended=why.value), revision=stored.revision)
        log.info("subscription_ended", subscription=one.id, why=why.name.lower())

    async def _has_somebody(self, one: Subscription) -> bool:
        """Return whether those that a subscription is about are there: who comes later under their name is another."""
        for domain, user in ((one.domain, one.user), (one.holder_domain, one.holder_user)):
            if domain != ANY and await self._store.domain(domain) is None:
                return False
            if user != ANY and await self._store.user(domain, user) is None:
                return False
        return True

    async def _drop_gone(self, wanted: dict[str, Subscription]) -> None:
        """Let go of what was deleted, ran out, or ended by itself."""
        for name, held in list(self._held.items()):
            if held.task.done():
                if not held.task.cancelled() and (bug := held.task.exception()):
                    log.error("webhook_left_by_a_bug", subscription=name, exc_info=bug)
                try:
                    await held.courier.release()
                finally:
                    del self._held[name]
            elif name not in wanted or _is_presence(wanted[name]) != _is_presence(held.courier.subscription):
                del self._held[name]
                await held.stop()
                if await self._store.subscription(name) is None:
                    await self._parts.bus.delete_kept(state_key(name))

    async def _share_out(self, wanted: dict[str, Subscription], nodes: frozenset[str]) -> None:
        for name, subscription in wanted.items():
            mine = chosen_node(subscription, nodes) == self._parts.node
            held = self._held.get(name)
            if held is not None and mine:
                held.courier.change(subscription)
            elif held is not None:
                del self._held[name]
                await held.stop()
            elif mine and self._ended.get(name) != subscription.restarts:
                await self._take(subscription, nodes)
        for name in self._ended.keys() - wanted.keys():
            del self._ended[name]

    async def _take(self, subscription: Subscription, nodes: frozenset[str]) -> None:
        """Begin to deliver a subscription, unless another node holds it still."""
        bus, node = self._parts.bus, self._parts.node
        kept = await bus.read_kept(state_key(subscription.id))
        progress = decode_progress(kept.payload) if kept else Progress()
        if progress.node not in ("", node) and progress.node in nodes:
            return
        if progress.ended_restarts == subscription.restarts:
            self._ended[subscription.id] = subscription.restarts
            return
        positions = await self._positions(subscription, progress)
        begins_again = progress.ended_restarts != -1
        if len(progress.positions) not in (0, len(positions)):
            progress = msgspec.structs.replace(progress, parked=())  # of what it was about before
        progress = msgspec.structs.replace(progress, node=node, positions=positions, ended_restarts=-1)
        try:
            revision = await bus.put_kept(
                state_key(subscription.id), _encode(progress), revision=kept.revision if kept else 0
            )
        except Conflict:
            return
        log.info("webhook_taken", subscription=subscription.id)
        courier = Courier(self._parts, subscription, progress, revision=revision)
        if begins_again:
            courier.hasten()
        self._held[subscription.id] = _Held(courier, self._wake.set)

    async def _positions(self, subscription: Subscription, progress: Progress) -> tuple[int, ...]:
        """Return where to go on: where it stood, where it begins, or now, for one that was changed to presence or back.

        A subscription to calls has a position in each of their streams, one to presence a single one.
        """
        streams = await self._bus.call_positions()
        if _is_presence(subscription):
            begins = subscription.since[:1] if len(subscription.since) > len(streams) else ()
            return (
                progress.positions[:1]
                if len(progress.positions) == 1
                else begins or (await self._bus.presence_position(),)
            )
        found = (positions for positions in (progress.positions, subscription.since) if len(positions) == len(streams))
        return next(found, streams)

    async def _let_go(self) -> None:
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
        held, self._held = list(self._held.values()), {}
        self._watch_presence()
        try:
            async with asyncio.timeout(STOP_S):
                await self._presence.stop()
                if not held:
                    return
                await asyncio.gather(*(one.stop() for one in held), return_exceptions=True)
                await self._beats.stop()
        except (TimeoutError, BusUnavailable):
            log.info("webhooks_not_released")


def _is_presence(subscription: Subscription) -> bool:
    return subscription.model == PRESENCE
