"""Writes to the bus: compared and set, and told apart from lost acknowledgements.

A write carries the sequence that must be the last under its subject tree (`Nats-Expected-Last-Subject-Sequence…`), so
the bus itself decides who was first. An acknowledgement can be lost: with the connection, or while a cluster has no
leader. Then the write is sent again until the deadline. If it was stored the first time, the second is refused as a
conflict (10071); so whoever gets that answer after a lost one looks at the message that follows the expected
sequence: by the comparison only one can, and ours carries our `Rb-Batch`. That is made of this process and the
content, so that a writer who was told `BusUnavailable` and comes again with the same write learns that it was stored.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
import structlog

from ringbridge.adapters.nats.link import Link, LinkDown, NoResponders, RequestTimedOut
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.nats.wire import header_line
from ringbridge.model.errors import BusUnavailable, Conflict

log = structlog.get_logger(__name__)

WRONG_LAST_SEQUENCE = 10071
MESSAGE_NOT_FOUND = 10037
NO_ROOM = {10023, 10047, 10077}  # insufficient resources, insufficient storage, stream store failed (it is full)
ACK_TIMEOUT_S = 2.0  # under full load an acknowledgement takes a tenth of it
IN_FLIGHT = 64  # writes to one stream; more would only wait inside the server, and time out there when it is slow
RETRY_FIRST_S = 0.05
RETRY_LAST_S = 0.5
DOUBTS_KEPT = 10_000

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_EXPECTED_TREE = "Nats-Expected-Last-Subject-Sequence-Subject"
BATCH = "Rb-Batch"


class ApiError(msgspec.Struct, frozen=True):
    """The `error` of a JetStream answer."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct, frozen=True):
    seq: int = 0
    error: ApiError | None = None


class _StoredMessage(msgspec.Struct, frozen=True):
    subject: str = ""
    seq: int = 0
    data: str = ""
    hdrs: str = ""


class _MessageAnswer(msgspec.Struct, frozen=True):
    message: _StoredMessage | None = None
    error: ApiError | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as the leader of its stream holds it."""

    subject: str
    sequence: int
    payload: bytes
    headers: bytes


_ack_decoder = msgspec.json.Decoder(_Ack)
_message_decoder = msgspec.json.Decoder(_MessageAnswer)


@dataclass(frozen=True, slots=True)
class Write:
    """One message to store. `expected`, where given, must be the last sequence under `tree` (a subject filter)."""

    subject: str
    payload: bytes
    tree: str = ""
    expected: int | None = None
    headers: bytes = b""


class Publisher:
    """Stores messages and reads single ones back, from the leader, with retries up to a deadline in seconds."""

    def __init__(self, link: Link, *, deadline_s: float) -> None:
        self._link = link
        self._deadline_s = deadline_s
        self._origin = secrets.token_hex(8)
        self._doubts: dict[str, None] = {}
        self._windows = {stream: asyncio.Semaphore(IN_FLIGHT) for stream in Stream}

    async def store(self, stream: Stream, write: Write) -> int:
        """Return the sequence under which `write` is durably stored.

        Raises:
            Conflict: something else is the last under the tree.
            BusUnavailable: not stored within the deadline; or perhaps stored, and nobody could tell.
        """
        headers = write.headers
        batch = ""
        if write.expected is not None:
            batch = f"{self._origin}-{blake2b(write.payload, digest_size=12).hexdigest()}-{write.expected}"
            headers += header_line(BATCH, batch)
            headers += header_line(_EXPECTED, write.expected) + header_line(_EXPECTED_TREE, write.tree)
        retry = _Retry(self._link, self._deadline_s)
        try:
            sequence = await self._attempt(stream, write, headers, batch, retry)
        except BusUnavailable:
            if batch:
                self._doubt(batch)
            raise
        self._doubts.pop(batch, None)
        return sequence

    def _doubt(self, batch: str) -> None:
        """Remember that `batch` may have been stored."""
        self._doubts[batch] = None
        if len(self._doubts) > DOUBTS_KEPT:
            del self._doubts[next(iter(self._doubts))]

    async def _attempt(self, stream: Stream, write: Write, headers: bytes, batch: str, retry: _Retry) -> int:
        doubtful = batch in self._doubts
        while True:
            try:
                async with self._windows[stream]:
                    answer = await self._link.request(
                        write.subject, write.payload, headers=headers, timeout_s=retry.cut(ACK_TIMEOUT_S)
                    )
            except NoResponders:
                await retry.pause("no leader")
                continue
            except (LinkDown, RequestTimedOut) as error:
                doubtful = True
                await retry.pause(type(error).__name__)
                continue
            ack = _ack_decoder.decode(answer.payload)
            if ack.error is None:
                return ack.seq
            if ack.error.err_code == WRONG_LAST_SEQUENCE:
                if doubtful and batch:
                    return await self._find_own(stream, write, batch, retry)
                raise Conflict(ack.error.description)
            if ack.error.err_code in NO_ROOM:
                log.error("bus_full", stream=stream.value, fault=ack.error.description)
                raise BusUnavailable(f"the bus has no room: {ack.error.description}")
            await retry.pause(f"{ack.error.err_code} {ack.error.description}")

    async def _find_own(self, stream: Stream, write: Write, batch: str, retry: _Retry) -> int:
        """Return the sequence of `write` if it is what follows the expected sequence."""
        found = await self._read(stream, {"seq": (write.expected or 0) + 1, "next_by_subj": write.tree}, retry)
        if found is not None and header_line(BATCH, batch) in found.headers:
            return found.sequence
        raise Conflict

    async def last(self, stream: Stream, tree: str) -> Stored | None:
        """Return the last message under the subject filter `tree`.

        Raises:
            BusUnavailable: the leader does not answer within the deadline.
        """
        return await self._read(stream, {"last_by_subj": tree}, _Retry(self._link, self._deadline_s))

    async def next(self, stream: Stream, tree: str, *, start: int) -> Stored | None:
        """Return the first message under the subject filter `tree` at or behind sequence `start`.

        Raises:
            BusUnavailable: the leader does not answer within the deadline.
        """
        return await self._read(stream, {"seq": start, "next_by_subj": tree}, _Retry(self._link, self._deadline_s))

    async def _read(self, stream: Stream, question: dict[str, int | str], retry: _Retry) -> Stored | None:
        payload = msgspec.json.encode(question)
        while True:
            try:
                answer = await self._link.request(
                    f"$JS.API.STREAM.MSG.GET.{stream}", payload, timeout_s=retry.cut(ACK_TIMEOUT_S)
                )
            except (LinkDown, RequestTimedOut, NoResponders) as error:
                await retry.pause(type(error).__name__)
                continue
            got = _message_decoder.decode(answer.payload)
            if got.message is not None:
                one = got.message
                return Stored(one.subject, one.seq, base64.b64decode(one.data), base64.b64decode(one.hdrs))
            if got.error is not None and got.error.err_code == MESSAGE_NOT_FOUND:
                return None
            await retry.pause(got.error.description if got.error else "an empty answer")


class _Retry:
    """When to try again, and when no more."""

    def __init__(self, link: Link, deadline_s: float) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._ends = self._loop.time() + deadline_s
        self._pause_s = RETRY_FIRST_S

    def cut(self, timeout_s: float) -> float:
        """Return `timeout_s`, or what is left until the deadline."""
        return max(0.05, min(timeout_s, self._ends - self._loop.time()))

    async def pause(self, why: str) -> None:
        """Return when it is time for another attempt.

        Raises:
            BusUnavailable: the deadline would pass before.
        """
        left_s = self._ends - self._loop.time()
        if left_s <= self._pause_s or self._link.is_closed:
            log.warning("bus_write_given_up", why=why)
            raise BusUnavailable
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, RETRY_LAST_S)
        if not self._link.is_up and not await self._link.wait_up(self._ends - self._loop.time()):
            log.warning("bus_write_given_up", why=why)
            raise BusUnavailable
