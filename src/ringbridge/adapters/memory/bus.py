"""The bus in memory: what tests use instead of NATS, with the same semantics and with faults on request.

A `MemoryHub` is the cluster; every `MemoryBus` on it is one node's connection. Writes compare and set as JetStream
does; `MemoryHub.is_up` cuts everybody off, and `MemoryHub.faults` makes single writes fail before or after they are
stored (an acknowledgement that was lost).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

import msgspec

from ringbridge.adapters.memory.presence import MemoryPresence
from ringbridge.adapters.memory.stream import Entry, MemoryStream
from ringbridge.adapters.nats.subjects import (
    CALL_STREAMS,
    Stream,
    call_of,
    call_stream,
    call_tree,
    decode_token,
    kept_subject,
    limit_key,
    location_key,
    location_of,
    position,
    record_key,
    record_of,
    sequence_of,
    stream_of,
)
from ringbridge.adapters.replica.feed import FeedSink
from ringbridge.calls.directory.audit import entry_of
from ringbridge.calls.events.ports import CallMessage, Kept
from ringbridge.calls.ports import Claimable, CommandHandler, NodeAway, StoredCallMessage, StoredRecord
from ringbridge.model.audit import AuditEntry
from ringbridge.model.deliveries import CallName
from ringbridge.model.directory import KINDS, Location, Record, kind_of
from ringbridge.model.errors import BusUnavailable
from ringbridge.model.events import CallEvent, CallRequested, decode, encode
from ringbridge.model.ids import CallId, DomainName, NodeId


class Fault(Enum):
    """How one write fails."""

    LOST = "lost"
    """Nothing is stored."""
    STORED = "stored"
    """It is stored, and the writer is not told; whoever comes again with the same write learns it."""


def _record_in(entry: Entry | None) -> Record | None:
    if entry is None or entry.removed:
        return None
    kind, _ = record_of(entry.subject)
    return msgspec.json.decode(entry.payload, type=KINDS[kind])


class MemoryHub:
    """What all nodes share."""

    def __init__(self) -> None:
        self.is_up = True
        self.faults: deque[Fault | None] = deque()
        """What happens to the next writes, one each; None: nothing."""
        self.streams = {stream: MemoryStream("1") for stream in Stream}
        self.waiting: deque[Entry] = deque()
        self.claimable = asyncio.Event()
        self.handlers: dict[NodeId, CommandHandler] = {}
        self.writes: dict[Stream, int] = defaultdict(int)
        """How many messages were stored, by stream."""
        self._doubts: dict[tuple[str, bytes, object], int] = {}

    def recreate(self, stream: Stream) -> None:
        """Lose a stream and make it again, empty, under its name."""
        old = self.streams[stream]
        self.streams[stream] = MemoryStream(str(int(old.incarnation) + 1))
        old.changed.set()

    def offer(self, entry: Entry) -> None:
        self.waiting.append(entry)
        self.claimable.set()

    async def write(
        self,
        stream: Stream,
        subject: str,
        payload: bytes,
        *,
        tree: str,
        entry: AuditEntry | None = None,
        **how: int | bool | None,
    ) -> int:
        await asyncio.sleep(0)
        if not self.is_up:
            raise BusUnavailable
        fault = self.faults.popleft() if self.faults else None
        if fault is Fault.LOST:
            raise BusUnavailable
        expected, removed = how.get("expected"), bool(how.get("removed"))
        doubt = (subject, payload, expected)
        if doubt in self._doubts:
            return self._doubts.pop(doubt)
        self.streams[stream].check(tree, expected)
        if entry is not None:  # NATS withdraws the entry of a write that loses
            name = record_key("audit", entry.key)
            self.streams[stream].store(name, msgspec.json.encode(entry), tree=name)
        sequence = self.streams[stream].store(subject, payload, tree=tree, removed=removed)
        self.writes[stream] += 1
        if stream in CALL_STREAMS and subject.endswith(".requested"):
            self.offer(self.streams[stream].entries[-1])
        if fault is Fault.STORED:
            self._doubts[doubt] = sequence
            raise BusUnavailable
        return sequence


class _Offer(Claimable):
    """A claimable call of the hub."""

    def __init__(self, hub: MemoryHub, entry: Entry, requested: CallRequested) -> None:
        self._hub, self._entry, self._requested = hub, entry, requested

    @property
    def requested(self) -> CallRequested:
        return self._requested

    @property
    def sequence(self) -> int:
        return position(call_stream(self._requested.domain, self._requested.call_id), self._entry.sequence)

    def done(self) -> None:
        """Nothing to do: the hub offers once."""

    def again(self, after_s: float) -> None:
        asyncio.get_running_loop().call_later(after_s, self._hub.offer, self._entry)


class MemoryBus:
    """`calls.ports.Bus` over a `MemoryHub`."""

    def __init__(self, hub: MemoryHub | None = None) -> None:
        self.hub = hub or MemoryHub()
        self.presence = MemoryPresence(lambda: self.hub)

    @property
    def is_up(self) -> bool:
        return self.hub.is_up

    async def create_call(self, domain: DomainName, call_id: CallId, events: Sequence[CallEvent]) -> int:
        claimable = isinstance(events[0], CallRequested)
        return await self._write_call(domain, call_id, events, expected=0, claimable=claimable)

    async def append_call(
        self, domain: DomainName, call_id: CallId, events: Sequence[CallEvent], *, after: int, requested: bool = False
    ) -> int:
        return await self._write_call(domain, call_id, events, expected=after, claimable=requested)

    async def _write_call(
        self, domain: DomainName, call_id: CallId, batch: Sequence[CallEvent], *, expected: int, claimable: bool
    ) -> int:
        tree = call_tree(domain, call_id)
        subject = f"{tree}.{'requested' if claimable else 'events'}"
        stream = call_stream(domain, call_id)
        sequence = await self.hub.write(stream, subject, encode(batch), tree=tree, expected=sequence_of(expected))
        return position(stream, sequence)

    async def call_positions(self) -> tuple[int, ...]:
        await asyncio.sleep(0)
        if not self.hub.is_up:
            raise BusUnavailable
        return tuple(position(stream, len(self.hub.streams[stream].entries)) for stream in CALL_STREAMS)

    async def presence_position(self) -> int:
        return await self.presence.position()

    async def read_call(self, domain: DomainName, call_id: CallId) -> list[StoredCallMessage]:
        await asyncio.sleep(0)
        if not self.hub.is_up:
            raise BusUnavailable
        prefix = call_tree(domain, call_id) + "."
        stream = call_stream(domain, call_id)
        entries = self.hub.streams[stream].entries
        return [
            StoredCallMessage(decode(entry.payload), position(stream, entry.sequence))
            for entry in entries
            if entry.subject.startswith(prefix)
        ]

    async def next_call_message(self, after: int, domain: str | None) -> CallMessage | None:
        await asyncio.sleep(0)
        if not self.hub.is_up:
            raise BusUnavailable
        stream = stream_of(after)
        for entry in itertools.islice(self.hub.streams[stream].entries, sequence_of(after), None):
            name = CallName(*call_of(entry.subject))
            if domain in (None, name.domain):
                return CallMessage(name, decode(entry.payload), position(stream, entry.sequence))
        return None

    async def claims(self, handler: Callable[[Claimable], Awaitable[None]], *, at_most: int) -> None:
        free = asyncio.Semaphore(at_most)

        async def offer(entry: Entry, requested: CallRequested) -> None:
            async with free:
                await handler(_Offer(self.hub, entry, requested))

        async with asyncio.TaskGroup() as group:
            while True:
                await self.hub.claimable.wait()
                while self.hub.waiting:
                    entry = self.hub.waiting.popleft()
                    first = decode(entry.payload)[0]
                    if isinstance(first, CallRequested):
                        group.create_task(offer(entry, first))
                    await asyncio.sleep(0)  # let the other engines have their share
                self.hub.claimable.clear()

    async def serve_commands(self, node: NodeId, handler: CommandHandler) -> None:
        self.hub.handlers[node] = handler
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.hub.handlers.pop(node, None)

    async def command(self, node: NodeId, payload: bytes, *, timeout_s: float) -> bytes:
        await asyncio.sleep(0)
        handler = self.hub.handlers.get(node)
        if handler is None or not self.hub.is_up:
            raise NodeAway(node)
        try:
            async with asyncio.timeout(timeout_s):
                return await handler(payload)
        except TimeoutError as error:
            raise NodeAway(node) from error

    async def put_record(self, record: Record, *, only_new: bool = False, revision: int | None = None) -> int:
        subject = record_key(kind_of(record), record.key)
        last = self.hub.streams[Stream.DIRECTORY].last.get(subject)
        expected = revision
        if only_new:
            expected = last.sequence if last and last.removed else 0
        entry = entry_of(kind_of(record), record.key, before=None if only_new else _record_in(last), after=record)
        return await self.hub.write(
            Stream.DIRECTORY, subject, msgspec.json.encode(record), tree=subject, expected=expected, entry=entry
        )

    async def read_record(self, kind: str, key: tuple[str, ...]) -> StoredRecord | None:
        await asyncio.sleep(0)
        if not self.hub.is_up:
            raise BusUnavailable
        last = self.hub.streams[Stream.DIRECTORY].last.get(record_key(kind, key))
        if last is None or last.removed:
            return None
        return StoredRecord(msgspec.json.decode(last.payload, type=KINDS[kind]), last.sequence)

    async def delete_record(self, kind: str, key: tuple[str, ...], *, revision: int | None = None) -> int:
        subject = record_key(kind, key)
        before = _record_in(self.hub.streams[Stream.DIRECTORY].last.get(subject))
        entry = entry_of(kind, key, before=before, after=None)
        return await self.hub.write(
            Stream.DIRECTORY, subject, b"", tree=subject, removed=True, expected=revision, entry=entry
        )

    async def put_location(self, location: Location, *, ttl_s: int) -> int:
        if ttl_s < 1:
            raise ValueError(f"ttl_s must be at least 1 second, not {ttl_s}")
        subject = location_key(location.domain, location.device, location.contact)
        return await self.hub.write(Stream.LOCATIONS, subject, msgspec.json.encode(location), tree=subject)

    async def delete_location(self, domain: str, device: str, contact: str) -> int:
        subject = location_key(domain, device, contact)
        return await self.hub.write(Stream.LOCATIONS, subject, b"", tree=subject, removed=True)

    async def read_locations(self, domain: str, device: str) -> list[Location]:
        await asyncio.sleep(0)
        if not self.hub.is_up:
            raise BusUnavailable
        last = self.hub.streams[Stream.LOCATIONS].last
        ours = [one for subject, one in last.items() if location_of(subject)[:2] == (domain, device)]
        return [msgspec.json.decode(one.payload, type=Location) for one in ours if not one.removed]

    async def read_kept(self, key: tuple[str, ...]) -> Kept | None:
        await asyncio.sleep(0)
        if not self.hub.is_up:
            raise BusUnavailable
        last = self.hub.streams[Stream.WEBHOOKS].last.get(kept_subject(key))
        return None if last is None or last.removed else Kept(last.payload, last.sequence)

    async def list_kept(self, key: tuple[str, ...]) -> dict[str, Kept]:
        await asyncio.sleep(0)
        if not self.hub.is_up:
            raise BusUnavailable
        prefix = kept_subject(key) + "."
        found = {
            subject.removeprefix(prefix): last
            for subject, last in self.hub.streams[Stream.WEBHOOKS].last.items()
            if subject.startswith(prefix) and not last.removed
        }
        return {
            decode_token(name): Kept(last.payload, last.sequence) for name, last in found.items() if "." not in name
        }

    async def put_kept(
        self,
        key: tuple[str, ...],
        payload: bytes,
        *,
        revision: int | None = None,
        ttl_s: int = 0,  # noqa: ARG002 - memory does not forget
    ) -> int:
        subject = kept_subject(key)
        last = self.hub.streams[Stream.WEBHOOKS].last.get(subject)
        expected = last.sequence if revision == 0 and last is not None and last.removed else revision
        return await self.hub.write(Stream.WEBHOOKS, subject, payload, tree=subject, expected=expected)

    async def delete_kept(self, key: tuple[str, ...]) -> None:
        subject = kept_subject(key)
        await self.hub.write(Stream.WEBHOOKS, subject, b"", tree=subject, removed=True)

    async def read_limit(self, subject: tuple[str, ...]) -> tuple[bytes, int]:
        await asyncio.sleep(0)
        if not self.hub.is_up:
            raise BusUnavailable
        last = self.hub.streams[Stream.LIMITS].last.get(limit_key(subject))
        return (b"", 0) if last is None else (last.payload, last.sequence)

    async def write_limit(
        self,
        subject: tuple[str, ...],
        payload: bytes,
        *,
        after: int,
        ttl_s: int = 0,  # noqa: ARG002 - memory does not forget
    ) -> int:
        key = limit_key(subject)
        return await self.hub.write(Stream.LIMITS, key, payload, tree=key, expected=after)


class MemoryFeed:
    """The hub's streams as a replica follows them; `hold` keeps news back, as a slow network would."""

    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub
        self._flows = asyncio.Event()
        self._flows.set()

    def hold(self) -> None:
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    async def run(self, stream: Stream, sink: FeedSink) -> None:
        while True:
            source = self._hub.streams[stream]
            sink.joined(source.incarnation)
            while source is self._hub.streams[stream]:
                changed = source.changed
                await self._flows.wait()
                for entry in itertools.islice(source.entries, sink.received, None):
                    sink.entry(entry.subject, entry.sequence, entry.payload, entry.removed)
                sink.caught_up()
                await changed.wait()
