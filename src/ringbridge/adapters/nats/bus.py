"""The bus, on NATS JetStream: `calls.ports.Bus`.

`NatsBus` owns the connection. Enter it as a context: it connects, makes or checks the streams, and refuses a bus that
cannot keep what a 202 promises. `feed` gives a replica its streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
import structlog

from ringbridge.adapters.nats.claims import Claims
from ringbridge.adapters.nats.directory import KV_REMOVED, DirectoryBucket
from ringbridge.adapters.nats.feed import NatsFeed
from ringbridge.adapters.nats.kept import KeptValues, last_of_each
from ringbridge.adapters.nats.link import Link, LinkDown, LinkSettings, NoResponders, RequestTimedOut
from ringbridge.adapters.nats.presence import NatsPresence
from ringbridge.adapters.nats.publish import Publisher, Write
from ringbridge.adapters.nats.streams import Streams, UnfitBus
from ringbridge.adapters.nats.subjects import (
    CALL_STREAMS,
    Stream,
    call_stream,
    call_tree,
    command_subject,
    limit_key,
    location_key,
    locations_filter,
    position,
    sequence_of,
)
from ringbridge.adapters.nats.wire import Message, header_line
from ringbridge.adapters.replica.recent_events import RecentEvents
from ringbridge.calls.events.ports import CallMessage, Kept
from ringbridge.calls.ports import Claimable, CommandHandler, NodeAway, StoredCallMessage, StoredRecord
from ringbridge.model.directory import Location, Record
from ringbridge.model.errors import BusUnavailable
from ringbridge.model.events import CallEvent, CallRequested, decode, encode
from ringbridge.model.ids import CallId, DomainName, NodeId

log = structlog.get_logger(__name__)

AWAY_AFTER_S = 1.5  # a restart of our own server takes less; a client is not made to wait for longer
PROBE_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Which bus, and what it must be.

    `servers` are URLs as `LinkSettings` has them; `replicas` is how many copies of each stream; `relaxed` takes a bus
    that may lose what it acknowledged, and only says so. `claim_deadline_s` is how long an engine has to claim a call
    before the bus offers it to another; `audit_kept_s` is how long audit entries live, 0 for ever. Times in seconds.
    """

    servers: tuple[str, ...]
    name: str
    replicas: int = 1
    relaxed: bool = False
    connect_deadline_s: float = 10.0
    publish_deadline_s: float = 8.0
    claim_deadline_s: float = 5.0
    audit_kept_s: int = 400 * 86400


class NatsBus:
    """One node's connection to the bus."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._link = Link(LinkSettings(settings.servers, settings.name), self._on_change)
        self._streams = Streams(self._link)
        self._publisher = Publisher(self._link, deadline_s=settings.publish_deadline_s)
        self._kept = KeptValues(self._link, self._publisher, self._store)
        self._directory = DirectoryBucket(self._publisher, self._store, audit_kept_s=settings.audit_kept_s)
        self.presence = NatsPresence(
            streams=self._streams, publisher=self._publisher, store=self._store, need=self._need
        )
        self._lost_at: float | None = None
        self._suspect: set[Stream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.feed = NatsFeed(self._link)
        self.recent = RecentEvents()
        """What need not be read again when the feed brings it."""
        self.faults: list[str] = []
        """Why this bus may lose acknowledged writes; empty unless `relaxed`. For the readiness page."""

    async def __aenter__(self) -> Self:
        """Connect, and make and check the streams.

        Raises:
            UnfitBus: cannot be reached, or cannot keep the promise and `relaxed` is not set.
        """
        self._start(self._link.run())
        try:
            if not await self._link.wait_up(self._settings.connect_deadline_s):
                deadline_s = self._settings.connect_deadline_s
                raise UnfitBus([f"cannot be reached within {deadline_s:g} s: {self._link.last_fault}"])
            self.faults = await self._streams.ensure(
                replicas=self._settings.replicas,
                claim_deadline_s=self._settings.claim_deadline_s,
                deadline_s=self._settings.connect_deadline_s,
            )
            if self.faults and not self._settings.relaxed:
                raise UnfitBus(self.faults)
        except BaseException:
            await self.close()
            raise
        self._start(self._probe())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the bus; waiting writes end with `BusUnavailable`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- whether it is there ---

    @property
    def is_up(self) -> bool:
        return not self._suspect and not self._is_away

    @property
    def _is_away(self) -> bool:
        return self._lost_at is not None and asyncio.get_running_loop().time() - self._lost_at >= AWAY_AFTER_S

    def _on_change(self, up: bool) -> None:  # noqa: FBT001 - a callback of one truth
        self._lost_at = None if up else asyncio.get_running_loop().time()

    async def _probe(self) -> None:
        """After a write failed, ask for the leader until there is one: writes meanwhile are refused at once."""
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            for stream in tuple(self._suspect):
                try:
                    info = await self._streams.info(stream)
                except (LinkDown, RequestTimedOut, NoResponders):
                    continue
                if info.error is None and (info.cluster is None or info.cluster.leader):
                    log.info("bus_back", stream=stream.value)
                    self._suspect.discard(stream)

    def _need(self, stream: Stream) -> None:
        """Return if a read or write of `stream` can be expected to work.

        Raises:
            BusUnavailable: it cannot.
        """
        if self._is_away or stream in self._suspect:
            raise BusUnavailable

    async def _store(self, stream: Stream, write: Write) -> int:
        self._need(stream)
        try:
            return await self._publisher.store(stream, write)
        except BusUnavailable:
            self._suspect.add(stream)
            raise

    # --- calls ---

    async def create_call(self, domain: DomainName, call_id: CallId, events: Sequence[CallEvent]) -> int:
        claimable = isinstance(events[0], CallRequested)
        return await self._write_call(domain, call_id, events, expected=0, claimable=claimable)

    async def append_call(
        self, domain: DomainName, call_id: CallId, events: Sequence[CallEvent], *, after: int, requested: bool = False
    ) -> int:
        return await self._write_call(domain, call_id, events, expected=after, claimable=requested)

    async def _write_call(
        self, domain: DomainName, call_id: CallId, events: Sequence[CallEvent], *, expected: int, claimable: bool
    ) -> int:
        tree = call_tree(domain, call_id)
        subject = tree + (".requested" if claimable else ".events")
        stream = call_stream(domain, call_id)
        message = encode(events)
        self.recent.keep(message, events)
        sequence = await self._store(stream, Write(subject, message, f"{tree}.>", sequence_of(expected)))
        return position(stream, sequence)

    async def call_positions(self) -> tuple[int, ...]:
        try:
            found = await asyncio.gather(*(self._streams.info(stream) for stream in CALL_STREAMS))
        except (LinkDown, RequestTimedOut, NoResponders) as error:
            raise BusUnavailable from error
        if any(info.error is not None for info in found):
            raise BusUnavailable
        return tuple(position(stream, info.state.last_seq) for stream, info in zip(CALL_STREAMS, found, strict=True))

    async def presence_position(self) -> int:
        return await self.presence.position()

    async def read_call(self, domain: DomainName, call_id: CallId) -> list[StoredCallMessage]:
        stream, tree = call_stream(domain, call_id), call_tree(domain, call_id) + ".>"
        if self._is_away or stream in self._suspect:
            raise BusUnavailable
        messages: list[StoredCallMessage] = []
        last = await self._publisher.last(stream, tree)
        start = 1
        while last is not None and start <= last.sequence:
            found = await self._publisher.next(stream, tree, start=start)
            if found is None:
                break
            messages.append(StoredCallMessage(decode(found.payload), position(stream, found.sequence)))
            start = found.sequence + 1
        return messages

    async def next_call_message(self, after: int, domain: str | None) -> CallMessage | None:
        if self._is_away:
            raise BusUnavailable
        return await self._kept.next_call_message(after, domain)

    async def claims(self, handler: Callable[[Claimable], Awaitable[None]], *, at_most: int) -> None:
        await Claims(self._link, handler, at_most=at_most, recent=self.recent).run()

    # --- commands ---

    async def serve_commands(self, node: NodeId, handler: CommandHandler) -> None:
        async with asyncio.TaskGroup() as group:

            def take(message: Message) -> None:
                group.create_task(self._answer(message, handler))

            stop = self._link.subscribe(command_subject(node), take)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                stop()

    async def _answer(self, message: Message, handler: CommandHandler) -> None:
        answer = await handler(message.payload)
        try:
            self._link.publish(message.reply.decode(), answer)
        except LinkDown:
            log.warning("command_answer_lost")

    async def command(self, node: NodeId, payload: bytes, *, timeout_s: float) -> bytes:
        try:
            answer = await self._link.request(command_subject(node), payload, timeout_s=timeout_s)
        except (LinkDown, RequestTimedOut, NoResponders) as error:
            raise NodeAway(node) from error
        return answer.payload

    # --- directory and locations ---

    async def put_record(self, record: Record, *, only_new: bool = False, revision: int | None = None) -> int:
        self._need(Stream.DIRECTORY)
        return await self._directory.put(record, only_new=only_new, revision=revision)

    async def read_record(self, kind: str, key: tuple[str, ...]) -> StoredRecord | None:
        self._need(Stream.DIRECTORY)
        return await self._directory.read(kind, key)

    async def delete_record(self, kind: str, key: tuple[str, ...], *, revision: int | None = None) -> int:
        self._need(Stream.DIRECTORY)
        return await self._directory.delete(kind, key, revision=revision)

    async def put_location(self, location: Location, *, ttl_s: int) -> int:
        if ttl_s < 1:
            raise ValueError(f"ttl_s must be at least 1 second, not {ttl_s}")
        subject = location_key(location.domain, location.device, location.contact)
        payload = msgspec.json.encode(location)
        return await self._store(
            Stream.LOCATIONS, Write(subject, payload, headers=header_line("Nats-TTL", f"{ttl_s}s"))
        )

    async def delete_location(self, domain: str, device: str, contact: str) -> int:
        subject = location_key(domain, device, contact)
        return await self._store(Stream.LOCATIONS, Write(subject, b"", headers=KV_REMOVED))

    async def read_locations(self, domain: str, device: str) -> list[Location]:
        self._need(Stream.LOCATIONS)
        found = await last_of_each(self._link, Stream.LOCATIONS, locations_filter(domain, device))
        return [msgspec.json.decode(kept.payload, type=Location) for kept in found.values()]

    # --- the webhooks bucket: `calls.events.ports.EventBus` ---

    async def read_kept(self, key: tuple[str, ...]) -> Kept | None:
        if self._is_away:
            raise BusUnavailable
        return await self._kept.read(key)

    async def list_kept(self, key: tuple[str, ...]) -> dict[str, Kept]:
        if self._is_away:
            raise BusUnavailable
        return await self._kept.list(key)

    async def put_kept(
        self, key: tuple[str, ...], payload: bytes, *, revision: int | None = None, ttl_s: int = 0
    ) -> int:
        return await self._kept.put(key, payload, revision, ttl_s)

    async def delete_kept(self, key: tuple[str, ...]) -> None:
        await self._kept.delete(key)

    # --- limits ---

    async def read_limit(self, subject: tuple[str, ...]) -> tuple[bytes, int]:
        if self._is_away or Stream.LIMITS in self._suspect:
            raise BusUnavailable
        last = await self._publisher.last(Stream.LIMITS, limit_key(subject))
        return (b"", 0) if last is None else (last.payload, last.sequence)

    async def write_limit(self, subject: tuple[str, ...], payload: bytes, *, after: int, ttl_s: int = 0) -> int:
        key = limit_key(subject)
        headers = header_line("Nats-TTL", f"{ttl_s}s") if ttl_s else b""
        return await self._store(Stream.LIMITS, Write(key, payload, key, after, headers))
