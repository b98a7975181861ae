"""The webhooks bucket, and single messages of calls in order: `calls.events.ports.EventBus`, less `read_call`.

The bucket is no part of any replica: only the node that delivers reads and writes it, and the API on request. Lists
are one batched direct get (`multi_last`, nats-server 2.11 on), answered by any server of the cluster: a moment old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from ringbridge.adapters.nats.link import Link, LinkDown
from ringbridge.adapters.nats.publish import Publisher, Write
from ringbridge.adapters.nats.subjects import (
    CALL_STREAMS,
    Stream,
    call_of,
    decode_token,
    encode_token,
    kept_subject,
    position,
    sequence_of,
    stream_of,
)
from ringbridge.adapters.nats.wire import Message, header_line
from ringbridge.calls.events.ports import CallMessage, Kept
from ringbridge.model.deliveries import CallName
from ringbridge.model.errors import BusUnavailable
from ringbridge.model.events import decode

log = structlog.get_logger(__name__)

LIST_TIMEOUT_S = 3.0
MOST_LISTED = 1024
REMOVED_TTL_S = 60
_REMOVED: Final = header_line("KV-Operation", "DEL")


def calls_filter(after: int, domain: str | None) -> str:
    """Return the subject filter of the calls of a domain, or of all, in the stream of the position `after`."""
    shard = CALL_STREAMS.index(stream_of(after))
    return f"call.{shard}.>" if domain is None else f"call.{shard}.{encode_token(domain)}.>"


def _ttl(ttl_s: int) -> bytes:
    return header_line("Nats-TTL", f"{ttl_s}s") if ttl_s else b""


class KeptValues:
    """Reads and writes for `NatsBus`; `store` is its own way to write, which knows when the bus is away."""

    def __init__(self, link: Link, publisher: Publisher, store: Callable[[Stream, Write], Awaitable[int]]) -> None:
        self._link = link
        self._publisher = publisher
        self._store = store

    async def next_call_message(self, after: int, domain: str | None) -> CallMessage | None:
        stream = stream_of(after)
        found = await self._publisher.next(stream, calls_filter(after, domain), start=sequence_of(after) + 1)
        if found is None:
            return None
        try:
            events = decode(found.payload)
        except msgspec.DecodeError:
            log.warning("bus_message_unreadable", subject=found.subject, sequence=found.sequence)
            events = []
        return CallMessage(CallName(*call_of(found.subject)), events, position(stream, found.sequence))

    async def read(self, key: tuple[str, ...]) -> Kept | None:
        found = await self._publisher.last(Stream.WEBHOOKS, kept_subject(key))
        if found is None or b"KV-Operation:" in found.headers or b"Nats-Marker-Reason:" in found.headers:
            return None
        return Kept(found.payload, found.sequence)

    async def put(self, key: tuple[str, ...], payload: bytes, revision: int | None, ttl_s: int) -> int:
        subject = kept_subject(key)
        if revision == 0:
            last = await self._publisher.last(Stream.WEBHOOKS, subject)
            removed = last is not None and (b"KV-Operation:" in last.headers or b"Nats-Marker" in last.headers)
            revision = last.sequence if last is not None and removed else 0
        return await self._store(Stream.WEBHOOKS, Write(subject, payload, subject, revision, _ttl(ttl_s)))

    async def delete(self, key: tuple[str, ...]) -> None:
        write = Write(kept_subject(key), b"", headers=_REMOVED + _ttl(REMOVED_TTL_S))
        await self._store(Stream.WEBHOOKS, write)

    async def list(self, key: tuple[str, ...]) -> dict[str, Kept]:
        found = await last_of_each(self._link, Stream.WEBHOOKS, f"{kept_subject(key)}.*")
        return {decode_token(subject.rpartition(".")[2]): kept for subject, kept in found.items()}


async def last_of_each(link: Link, stream: Stream, subjects: str) -> dict[str, Kept]:
    """Return what is kept under each of the `subjects` of a bucket, by subject.

    Raises:
        BusUnavailable: no server answers.
    """
    found: dict[str, Kept] = {}
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(message: Message) -> None:
        if message.status is not None:
            if not over.done():
                over.set_result(None)
            return
        name, sequence = message.header(b"Nats-Subject"), message.header(b"Nats-Sequence")
        if name and sequence and b"KV-Operation:" not in message.headers and b"Nats-Marker" not in message.headers:
            found[name] = Kept(message.payload, int(sequence))

    inbox = link.new_inbox()
    stop = link.subscribe(inbox, take)
    try:
        question = {"multi_last": [subjects], "batch": MOST_LISTED}
        link.publish(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(question), reply=inbox)
        async with asyncio.timeout(LIST_TIMEOUT_S):
            await over
    except (LinkDown, TimeoutError) as error:
        raise BusUnavailable from error
    finally:
        stop()
    return found
