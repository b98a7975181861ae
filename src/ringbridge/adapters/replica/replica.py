"""The loop that keeps a node's store up to date with the bus (design.md "The bus, the replica").

For each stream there is a cursor: what was received, what is committed, what waits between. One committer takes what
waits, folds it, and writes it with the offsets in one transaction; while that runs, more arrives, so that the load
itself makes the batches. Several messages of one call become one row. A commit waits a little for company unless
somebody waits for a sequence in it (`synchronous: yes`).

The offset is in the same transaction, messages at or below it are passed over, and `model.call.fold` changes nothing
the second time: applying twice is harmless, and a store that is dropped fills again from the beginning.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
import structlog

from ringbridge.adapters.nats.subjects import (
    CALL_STREAMS,
    REPLICATED,
    Stream,
    call_of,
    call_tree,
    location_of,
    position,
    record_of,
    sequence_of,
    stream_of,
)
from ringbridge.adapters.replica.cursor import Cursor, Entry
from ringbridge.adapters.replica.feed import Feed
from ringbridge.adapters.store.batch import (
    LegName,
    LocationChange,
    Offset,
    PurgeBounds,
    RecordChange,
    ReplicaStore,
    StoreBatch,
    TakesPart,
)
from ringbridge.calls.events.ports import CallChange
from ringbridge.calls.ports import Clock
from ringbridge.model.call import Call, fold
from ringbridge.model.cdr import cdr_of
from ringbridge.model.directory import Location, Record
from ringbridge.model.errors import StoreUnavailable
from ringbridge.model.event_marks import Mark, tag_of
from ringbridge.model.events import CallEvent, CallRequested, LegInvited, decode
from ringbridge.model.taking_part import users_in

log = structlog.get_logger(__name__)

ENTRIES_OF_A_STREAM = 48  # in one commit; folding them from all streams takes the loop for about 8 ms
RECORDS_AT_ONCE = 1024  # of the directory: reading one takes 5 µs, and a new node has a million to read
ENTRIES_PER_COMMIT = 256  # waiting for company is over
COMMIT_PAUSE_S = 0.04  # a GET may be this old; a commit costs as much as ten messages
PURGE_EVERY_S = 600.0
PURGE_PAUSE_S = 1.0  # while there is more than one purge takes at once
STORE_RETRY_S = 0.5
CALLS_READABLE_S = 24 * 3600.0  # contract §3: ended calls stay readable by GET for 24 hours
LOCATIONS_KEPT_S = 60.0  # rows that ran out are not read any more; the marker of the bus usually comes first

_record_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_location_decoder = msgspec.json.Decoder(Location)

T = TypeVar("T")


def _users_changed(before: Call | None, after: Call) -> dict[TakesPart, bool]:
    """Return who takes part in a call since (true), and who no longer."""
    was, now = users_in(before) if before else frozenset(), users_in(after)
    return {TakesPart(after.domain, user, after.call_id): user in now for user in was ^ now}


def _follow(listeners: list[T], listener: T) -> Callable[[], None]:
    listeners.append(listener)

    def stop() -> None:
        if listener in listeners:
            listeners.remove(listener)

    return stop


class Replica:
    """`calls.ports.Replica`: `run` it as a task; `start` before, to learn where the store stands."""

    def __init__(
        self,
        feed: Feed,
        store: ReplicaStore,
        *,
        clock: Clock,
        commit_pause_s: float = COMMIT_PAUSE_S,
        cdrs_kept_s: float = math.inf,
        read: Callable[[bytes], list[CallEvent]] = decode,
    ) -> None:
        """`read` returns the events of a message, as `model.events.decode` does."""
        self._feed = feed
        self._read = read
        self._store = store
        self._clock = clock
        self._commit_pause_s = commit_pause_s
        self._cdrs_kept_s = cdrs_kept_s
        self._cursors: dict[Stream, Cursor] = {}
        self._live: dict[str, Call] = {}
        self._listeners: list[Callable[[Call], None]] = []
        self._record_listeners: list[Callable[[RecordChange], None]] = []
        self._location_listeners: list[Callable[[LocationChange], None]] = []
        self._change_listeners: list[Callable[[Sequence[CallChange], Mark], None]] = []
        self._changes: list[CallChange] = []
        self._wake = asyncio.Event()
        self._fault = ""
        self.bad_messages = 0
        """How many messages could not be read and were passed over."""

    async def start(self) -> None:
        """Read from the store how far each stream is applied, and the calls that are not over."""
        for stream in REPLICATED:
            self._cursors[stream] = Cursor(stream, await self._store.offset(stream), self._wake.set)
        users: dict[TakesPart, bool] = {}
        for call in await self._store.live_calls():
            self._live[call_tree(call.domain, call.call_id)] = call
            users |= _users_changed(None, call)
        if users:  # an earlier version may not have noted them
            await self._apply(StoreBatch(users=users))

    async def run(self) -> None:
        """Follow the bus until cancelled."""
        if not self._cursors:
            await self.start()
        async with asyncio.TaskGroup() as group:
            for stream, cursor in self._cursors.items():
                group.create_task(self._feed.run(stream, cursor), name=f"replica-{stream}")
            group.create_task(self._commit_loop(), name="replica-commit")
            group.create_task(self._purge_loop(), name="replica-purge")

    @property
    def fault(self) -> str:
        return self._fault

    @property
    def lag(self) -> int:
        """How many bus messages have come and are not applied yet."""
        return sum(cursor.backlog for cursor in self._cursors.values())

    @property
    def is_started(self) -> bool:
        """Whether it knows where the store stands; before that nobody can wait for anything."""
        return bool(self._cursors)

    async def caught_up(self, *, timeout_s: float) -> bool:
        """Return whether the store has what the bus held when the streams were joined.

        Gives up when nothing at all was applied for `timeout_s`: a million records may take longer than that.
        """
        applied = -1
        while (now := sum(cursor.applied for cursor in self._cursors.values())) > applied:
            applied = now
            try:
                async with asyncio.timeout(timeout_s):
                    for cursor in self._cursors.values():
                        await cursor.met.wait()
                        if cursor.applied < cursor.received:
                            await cursor.wait(cursor.received)
                return True
            except TimeoutError:
                continue
        return False

    def applied(self, stream: Stream) -> int:
        """Return the sequence up to which `stream` is applied."""
        return self._cursors[stream].applied

    async def wait_calls(self, sequence: int, *, timeout_s: float) -> bool:
        return await self._wait(stream_of(sequence), sequence_of(sequence), timeout_s=timeout_s)

    async def wait_directory(self, sequence: int, *, timeout_s: float) -> bool:
        return await self._wait(Stream.DIRECTORY, sequence, timeout_s=timeout_s)

    async def wait_locations(self, sequence: int, *, timeout_s: float) -> bool:
        return await self._wait(Stream.LOCATIONS, sequence, timeout_s=timeout_s)

    async def _wait(self, stream: Stream, sequence: int, *, timeout_s: float) -> bool:
        cursor = self._cursors[stream]
        if cursor.applied >= sequence:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                return await cursor.wait(sequence)
        except TimeoutError:
            return False

    def follow_calls(self, listener: Callable[[Call], None]) -> Callable[[], None]:
        return _follow(self._listeners, listener)

    @property
    def listeners(self) -> int:
        """How many follow calls."""
        return len(self._listeners)

    def follow_records(self, listener: Callable[[RecordChange], None]) -> Callable[[], None]:
        """Call `listener` with each directory record that a batch changed; returns how to stop that."""
        return _follow(self._record_listeners, listener)

    def follow_locations(self, listener: Callable[[LocationChange], None]) -> Callable[[], None]:
        """Call `listener` with each location that a batch changed; returns how to stop that."""
        return _follow(self._location_listeners, listener)

    def calls_mark(self) -> Mark:
        cursors = [self._cursors[stream] for stream in CALL_STREAMS]
        return Mark(
            tag=tag_of(cursor.incarnation for cursor in cursors),
            positions=tuple(position(cursor.stream, cursor.applied) for cursor in cursors),
        )

    def follow_changes(self, listener: Callable[[Sequence[CallChange], Mark], None]) -> Callable[[], None]:
        return _follow(self._change_listeners, listener)

    # --- committing ---

    async def _commit_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._has_work():
                await self._wait_for_company()
                await self._commit()

    async def _wait_for_company(self) -> None:
        """Return after the pause, or at once when what somebody waits for is here, or a batch is full."""
        ends = asyncio.get_running_loop().time() + self._commit_pause_s
        while not self._is_time():
            try:
                async with asyncio.timeout_at(ends):
                    await self._wake.wait()
            except TimeoutError:
                return
            self._wake.clear()

    def _has_work(self) -> bool:
        return any(cursor.pending or cursor.dropped for cursor in self._cursors.values())

    def _is_time(self) -> bool:
        cursors = self._cursors.values()
        return any(cursor.is_urgent for cursor in cursors) or (
            sum(cursor.backlog for cursor in cursors) >= ENTRIES_PER_COMMIT
        )

    async def _commit(self) -> None:
        batch = StoreBatch()
        changed: dict[str, Call] = {}
        for cursor in self._cursors.values():
            if cursor.dropped:
                self._drop(cursor, batch)
            if cursor.pending:
                at_once = RECORDS_AT_ONCE if cursor.stream is Stream.DIRECTORY else ENTRIES_OF_A_STREAM
                taken = [cursor.pending.popleft() for _ in range(min(len(cursor.pending), at_once))]
                batch.offsets[cursor.stream] = Offset(cursor.incarnation, taken[-1][1])
                await self._take(cursor.stream, taken, batch, changed)
        batch.calls = list(changed.values())
        batch.cdrs = [cdr_of(call) for call in batch.calls if call.is_over and call.release and call.plan]
        await self._apply(batch)
        self._committed(batch, changed)

    async def _apply(self, batch: StoreBatch) -> None:
        """Write `batch`, however long the store is locked, full or away."""
        while True:
            try:
                await self._store.apply(batch)
            except StoreUnavailable as fault:
                log.warning("store_write_failed", fault=fault.message)
                self._fault = fault.message
                await asyncio.sleep(STORE_RETRY_S)
            else:
                self._fault = ""
                return

    async def _take(self, stream: Stream, taken: list[Entry], batch: StoreBatch, changed: dict[str, Call]) -> None:
        if stream is Stream.DIRECTORY:
            batch.records = list(self._records(taken))
        elif stream is Stream.LOCATIONS:
            batch.locations = list(self._locations(taken))
        else:
            await self._fold_calls(stream, taken, batch, changed)

    def _committed(self, batch: StoreBatch, changed: dict[str, Call]) -> None:
        """Tell those who wait and those who follow, and let go of calls that are over."""
        for tree, call in changed.items():
            if call.is_over and self._live.get(tree) is call:
                del self._live[tree]
        for cursor in self._cursors.values():
            offset = batch.offsets.get(cursor.stream)
            if offset is not None and offset.incarnation == cursor.incarnation:
                cursor.committed(offset.sequence)
        for listener in tuple(self._listeners):
            for call in batch.calls:
                listener(call)
        for told in tuple(self._record_listeners):
            for change in batch.records:
                told(change)
        for mover in tuple(self._location_listeners):
            for moved in batch.locations:
                mover(moved)
        changes, self._changes = self._changes, []
        for follower in tuple(self._change_listeners):
            follower(changes, self.calls_mark())

    def _drop(self, cursor: Cursor, batch: StoreBatch) -> None:
        cursor.dropped = False
        batch.dropped.append(cursor.stream)
        if cursor.stream in CALL_STREAMS:
            self._live = {
                tree: call for tree, call in self._live.items() if stream_of(call.sequence) is not cursor.stream
            }

    async def _fold_calls(
        self, stream: Stream, taken: Iterable[Entry], batch: StoreBatch, changed: dict[str, Call]
    ) -> None:
        """Put into `changed`, by subject tree, the calls that `taken` changes, as they are after it."""
        for subject, sequence, payload, removed in taken:
            if removed:
                continue
            tree = subject[: subject.rfind(".")]
            call = self._live.get(tree)
            try:
                events = self._read(payload)
                if call is None and not (events and isinstance(events[0], CallRequested)):
                    call = await self._store.stored_call(*call_of(subject))
            except (msgspec.DecodeError, ValueError):
                self._passed_over(subject, sequence)
                continue
            after = fold(call, events, position(stream, sequence))
            if after is None:
                continue
            if self._change_listeners and after is not call:
                self._changes.append(CallChange(call, events, after))
            changed[tree] = self._live[tree] = after
            batch.users |= _users_changed(call, after)
            if call is not None and call.session_id != after.session_id:
                batch.replaced.append(after)
            batch.leg_names += [
                LegName(after.domain, event.sip_call_id, after.call_id)
                for event in events
                if isinstance(event, LegInvited)
            ]

    def _records(self, taken: Iterable[Entry]) -> Iterable[RecordChange]:
        last = {entry[0]: entry for entry in taken}
        for subject, sequence, payload, removed in last.values():
            try:
                kind, key = record_of(subject)
                yield RecordChange(kind, key, None if removed else _record_decoder.decode(payload))
            except (msgspec.DecodeError, ValueError):
                self._passed_over(subject, sequence)

    def _locations(self, taken: Iterable[Entry]) -> Iterable[LocationChange]:
        last = {entry[0]: entry for entry in taken}
        for subject, sequence, payload, removed in last.values():
            try:
                domain, device, digest = location_of(subject)
                yield LocationChange(domain, device, digest, None if removed else _location_decoder.decode(payload))
            except (msgspec.DecodeError, ValueError):
                self._passed_over(subject, sequence)

    def _passed_over(self, subject: str, sequence: int) -> None:
        self.bad_messages += 1
        log.error("bus_message_unreadable", subject=subject, sequence=sequence)

    async def _purge_loop(self) -> None:
        while True:
            now = self._clock.now()
            bounds = PurgeBounds(
                calls_ended_before=now - CALLS_READABLE_S,
                locations_expired_before=now - LOCATIONS_KEPT_S,
                cdrs_before=now - self._cdrs_kept_s,
            )
            try:
                more = await self._store.purge(bounds)
            except StoreUnavailable as fault:
                log.warning("purge_failed", fault=fault.message)
                more = False
            await asyncio.sleep(PURGE_PAUSE_S if more else PURGE_EVERY_S)
