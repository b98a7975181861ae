"""Delivers one subscription, on the one node that holds it (contract §5).

What is kept on the bus is `model.deliveries.Progress`, compared and set: whoever wrote it last holds the subscription,
and a node that was thought dead and comes back loses at its next write. Everything else can be had again: after a
kill at any moment the next holder reads on from the stored positions and tries the stored parked calls. So a message
is delivered at least once; what was delivered since the last write, at most `FLUSH_S` before, is delivered again, in
the same order, with the same `webhook-id`.

Nothing is read ahead of what is delivered by more than the ledger's room, so a slow receiver costs the memory of a few
messages, and waits for nobody and lets nobody wait: the places for attempts are shared by those that answer, and apart
from them by those that do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import msgspec
import structlog

from ringbridge.adapters.webhooks.parts import (
    CourierParts,
    Turn,
    attempt_of,
    decode_progress,
    log_key,
    message_id,
    state_key,
)
from ringbridge.adapters.webhooks.source import source_of
from ringbridge.model.deliveries import SCHEDULE_S, Attempt, CallName, Item, Ledger, Parked, Progress
from ringbridge.model.directory import Subscription
from ringbridge.model.errors import BusUnavailable, Conflict

log = structlog.get_logger(__name__)

AT_ONCE = 4
"""Calls of one subscription that are delivered at one time."""
FLUSH_S = 0.2
FLUSH_PARKED = 64
"""Parked calls that are worth as long a pause again: each is in what is written."""
HOLD_S = 60.0
"""How long a message is left alone that failed when no more calls could be parked."""
BUS_AWAY_S = 1.0
LOG_PARTS = 500
"""Parts of the log that are kept, round and round; each is one write with up to `LOGGED_AT_ONCE` attempts."""
LOGGED_AT_ONCE = 50
LOG_TTL_S = 3 * 86_400
MOST_UNLOGGED = 1000
PASSED_PER_WRITE = 256
"""Messages of others that are read before their positions are worth a write."""

_encode = msgspec.json.Encoder().encode


class _Over(Exception):
    """Nothing more is delivered by this courier."""


class Courier:
    """Runs one subscription. `run` returns when it is over: ended by its receiver, or held by another node."""

    def __init__(self, parts: CourierParts, subscription: Subscription, progress: Progress, *, revision: int) -> None:
        self._parts = parts
        self.subscription = subscription
        self._revision = revision
        self._ledger = Ledger(progress, streams=len(progress.positions))
        self._source = source_of(subscription.model, parts.bus, parts.directory)
        self._logged = progress.logged
        self._wanted = [-1] * len(progress.positions)
        self._unread = set(range(len(progress.positions)))
        self._wake = asyncio.Event()
        self._dirty = asyncio.Event()
        self._room = asyncio.Event()
        self._log: list[Attempt] = []
        self._ended = progress.ended_restarts
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._passed = 0
        self._is_lost = False
        self._group: asyncio.TaskGroup | None = None

    # --- from outside ---

    def news(self, position: int) -> None:
        """Note that the stream of `position` holds a message there that may be ours."""
        stream = position % len(self._wanted)
        if position > self._ledger.read_up_to(stream):
            self._wanted[stream] = max(self._wanted[stream], position)
            self._unread.add(stream)
            self._wake.set()

    def change(self, subscription: Subscription) -> None:
        """Go on with the subscription as it is now."""
        before, self.subscription = self.subscription, subscription
        if subscription.model != before.model:
            self._source.forget()
        if subscription.restarts != before.restarts:
            self.hasten()

    @property
    def parked(self) -> tuple[Parked, ...]:
        """The calls that wait for another attempt."""
        return self._ledger.parked

    @property
    def oldest_at(self) -> float | None:
        """When the oldest of what is not delivered was read, in epoch seconds; None: all of it is."""
        return self._ledger.oldest_at

    def hasten(self) -> None:
        """Try at once what waits for another attempt: the receiver is back."""
        self._ledger.hasten(self._parts.clock.now())
        self._wake.set()

    # --- life ---

    async def run(self) -> None:
        """Deliver until cancelled, ended by the receiver, or lost to another node."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._flush_loop())
                await self._read_loop()
        except* _Over:
            pass

    async def release(self) -> None:
        """When `run` is over: write what is known, and let another node have it."""
        if self._is_lost:
            return
        try:
            await self._write(node="")
        except (Conflict, BusUnavailable) as error:
            log.info("webhook_not_released", subscription=self.subscription.id, why=type(error).__name__)

    # --- reading ---

    async def _read_loop(self) -> None:
        while True:
            self._wake.clear()
            try:
                now = self._parts.clock.now()
                for parked in self._ledger.start_due(now):
                    self._start(self._retry(parked))
                if self._unread and self._ledger.has_room(now):
                    await self._read_one(next(iter(self._unread)))
                    continue
            except BusUnavailable:
                await asyncio.sleep(BUS_AWAY_S)
                continue
            await self._wait()

    async def _wait(self) -> None:
        times = (self._ledger.next_due_at, self._ledger.next_probe_at if self._unread else None)
        due_at = min((at for at in times if at is not None), default=None)
        wait_s, poll_s = None if due_at is None else max(0.0, due_at - self._parts.clock.now()), self._source.poll_s
        try:
            async with asyncio.timeout(min(filter(None, (wait_s, poll_s)), default=wait_s)):
                await self._wake.wait()
        except TimeoutError:
            if poll_s is not None:
                self._unread.update(range(len(self._wanted)))

    async def _read_one(self, stream: int) -> None:
        after = self._ledger.read_up_to(stream)
        wanted = self._wanted[stream]
        found = await self._source.next(self.subscription, after)
        if found is None:
            if self._wanted[stream] <= wanted:
                self._unread.discard(stream)
            return
        place, item = found
        if self.subscription.expires_at <= self._parts.clock.now():
            item = None  # from then on nothing, until this is let go
        if item is None:
            self._ledger.pass_by(place)
            self._passed += 1
            if self._passed % PASSED_PER_WRITE == 0:
                self._dirty.set()
        elif self._ledger.take(msgspec.structs.replace(item, read_at=self._parts.clock.now())):
            self._start(self._deliver(item.name))
        if wanted != -1 and self._ledger.read_up_to(stream) >= self._wanted[stream]:
            self._unread.discard(stream)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        if self._group is not None:
            self._group.create_task(work)

    # --- delivering ---

    async def _deliver(self, name: CallName) -> None:
        """Deliver what is open of a call, in order."""
        while (item := self._ledger.head(name)) is not None:
            attempt = await self._attempt(item, number=1)
            if attempt.outcome == "delivered":
                self._took()
                self._ledger.delivered(name)
                self._note(attempt)
                continue
            parked = self._ledger.failed(name, self._parts.clock.now())
            self._note(msgspec.structs.replace(attempt, next_at=parked.due_at if parked else 0.0))
            for one in self._ledger.take_dropped():
                self._note(self._dropped(one))
            if parked is not None:
                return
            await self._room_again()

    def _dropped(self, one: Parked) -> Attempt:
        """Return the log's word on a call that was given up for another."""
        log.warning("webhook_call_given_up", subscription=self.subscription.id, call_id=one.call_id)
        return Attempt(
            delivery_id=message_id(self.subscription.id, one.position),
            at=self._parts.clock.now(),
            number=one.attempts,
            outcome="given-up",
            error="more calls failed than can wait for another attempt",
            call_id="" if self.subscription.model == "presence" else one.call_id,
        )

    async def _room_again(self) -> None:
        """Return when a call can be parked again, or after a while, to see whether the receiver is back."""
        self._room.clear()
        try:
            async with asyncio.timeout(HOLD_S):
                await self._room.wait()
        except TimeoutError:
            return

    async def _retry(self, parked: Parked) -> None:
        """Try a parked call's messages again, in order, until one fails."""
        seen = self._ledger.read_up_to(parked.position % len(self._wanted))
        try:
            items = await self._source.items_of(self.subscription, parked.name, start=parked.position)
        except BusUnavailable:
            self._ledger.put_off(parked, self._parts.clock.now() + BUS_AWAY_S)
            self._wake.set()
            return
        given_up = False
        for item in items:
            if not parked.position <= item.position <= seen:
                continue
            failed = parked.attempts if item.position == parked.position else 0
            if given_up:
                failed = len(SCHEDULE_S) - 1  # what waited behind a message that was given up is as old: one try each
            attempt = await self._attempt(item, number=failed + 1)
            if attempt.outcome == "delivered":
                self._took()
                self._ledger.took(parked, item)
                self._note(attempt)
                continue
            due_at = self._ledger.retried(parked, item, attempts=failed + 1, now=self._parts.clock.now())
            if due_at is not None:
                self._note(msgspec.structs.replace(attempt, next_at=due_at))
                return
            given_up = True
            self._ledger.gone_by(parked, item)
            self._note(msgspec.structs.replace(attempt, outcome="given-up"))
        if not self._ledger.unpark(parked.name, seen):
            self._ledger.put_off(parked, self._parts.clock.now())
        self._changed()

    def _took(self) -> None:
        """Before a message is noted as taken: the receiver may have been away and be back."""
        if self._ledger.is_away:
            self.hasten()

    async def _attempt(self, item: Item, *, number: int) -> Attempt:
        """Return what became of an attempt.

        Raises:
            _Over: the receiver wants no more.
        """
        subscription = self.subscription
        delivery_id = message_id(subscription.id, item.position)
        turn = Turn.FAILING if self._ledger.is_failing else Turn.WORKING
        async with self._slots, self._parts.places.of(subscription, turn):
            at = self._parts.clock.now()
            outcome = await self._parts.poster.post(subscription.post_url, delivery_id, item.body, subscription.secret)
        attempt = attempt_of(item, outcome, delivery_id=delivery_id, at=at, number=number)
        if outcome.is_gone:
            log.info("subscription_ended_by_receiver", subscription=subscription.id)
            self._ended = subscription.restarts
            self._ledger.refused()
            self._note(attempt)
            raise _Over
        return attempt

    # --- what is written ---

    def _note(self, attempt: Attempt) -> None:
        self._parts.attempts[attempt.outcome] += 1
        self._log.append(attempt)
        del self._log[:-MOST_UNLOGGED]
        self._changed()

    def _changed(self) -> None:
        self._dirty.set()
        self._wake.set()
        if not self._ledger.is_full:
            self._room.set()

    async def _flush_loop(self) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(FLUSH_S * (1 + len(self._ledger.parked) / FLUSH_PARKED))
            self._dirty.clear()
            try:
                await self._write(node=self._parts.node)
            except BusUnavailable:
                self._dirty.set()
                await asyncio.sleep(BUS_AWAY_S)
            except Conflict:
                log.warning("webhook_held_by_another", subscription=self.subscription.id)
                self._is_lost = True
                raise _Over from None

    async def _write(self, *, node: str) -> None:
        """Write the log, then the progress: what is told of an attempt may come twice, and is never missing.

        Raises:
            Conflict: another node holds the subscription.
        """
        bus, name = self._parts.bus, self.subscription.id
        part = self._log[:LOGGED_AT_ONCE]
        if part:
            slot = str(self._logged % LOG_PARTS)
            await bus.put_kept(log_key(name, slot), _encode(part), ttl_s=LOG_TTL_S)
            del self._log[: len(part)]
            self._logged += 1
        if self._log:
            self._dirty.set()
        ledger = self._ledger
        payload = _encode(
            Progress(
                node=node,
                positions=ledger.positions(),
                parked=ledger.parked,
                posts=ledger.posts,
                errors=ledger.errors,
                is_failing=ledger.is_failing,
                ended_restarts=self._ended,
                logged=self._logged,
            )
        )
        try:
            self._revision = await bus.put_kept(state_key(name), payload, revision=self._revision)
        except Conflict:
            # A write of our own may have been stored and never acknowledged; another node's bears its name.
            kept = await bus.read_kept(state_key(name))
            if kept is None or decode_progress(kept.payload).node != self._parts.node:
                raise
            self._revision = await bus.put_kept(state_key(name), payload, revision=kept.revision)
