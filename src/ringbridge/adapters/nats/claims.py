"""Requested calls, as the bus offers them to engines: pull requests to the consumers that all engines share.

For each stream of calls a pull request is always open while there is room; the server answers it as calls come, so a
call is offered within a round trip. A batch that has to fill up first, as a client library's `fetch` has, would cost
50 ms. Heartbeats tell a request that is open from one that was lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from ringbridge.adapters.nats.link import Link, LinkDown
from ringbridge.adapters.nats.streams import ENGINES
from ringbridge.adapters.nats.subjects import CALL_STREAMS, SHARDS, Stream, position
from ringbridge.adapters.nats.wire import Message
from ringbridge.adapters.replica.recent_events import RecentEvents
from ringbridge.calls.ports import Claimable
from ringbridge.model.events import CallRequested

log = structlog.get_logger(__name__)

SECOND = 1_000_000_000
EXPIRES_S = 30
HEARTBEAT_S = 1.0
SILENCE_S = 2.5
ASK_AGAIN_S = 0.1  # after a request was refused, as while a leader is chosen


class _Offer(Claimable):
    """One requested call, and how to answer for it."""

    def __init__(self, link: Link, stream: Stream, requested: CallRequested, message: Message) -> None:
        self._link = link
        self._requested = requested
        self._reply = message.reply.decode()
        self._position = position(stream, stream_sequence(message.reply))

    @property
    def requested(self) -> CallRequested:
        return self._requested

    @property
    def sequence(self) -> int:
        return self._position

    def done(self) -> None:
        self._answer(b"+ACK")

    def again(self, after_s: float) -> None:
        self._answer(b"-NAK " + msgspec.json.encode({"delay": int(after_s * SECOND)}))

    def _answer(self, word: bytes) -> None:
        try:
            self._link.publish(self._reply, word)
        except LinkDown:
            # The bus offers it again after `ack_wait`; the claim's comparison keeps that harmless.
            log.info("claim_answer_lost", position=self._position)


def stream_sequence(reply: bytes) -> int:
    """Return the stream sequence that an acknowledgement subject names (`nats.feed` has its form)."""
    words = reply.split(b".")
    return int(words[-5] if len(words) > 9 else words[-4])


class _Pull:
    """The open request to one stream."""

    def __init__(
        self,
        link: Link,
        stream: Stream,
        recent: RecentEvents,
        *,
        arrived: Callable[[_Offer], None],
        ran_out: Callable[[], None],
    ) -> None:
        self._link = link
        self._stream = stream
        self._recent = recent
        self._arrived = arrived
        self._ran_out = ran_out
        self._open = 0
        self._heard = 0.0
        self._inbox = link.new_inbox()
        self.stop = link.subscribe(self._inbox, self._take)

    def ask(self, room: int, now: float) -> None:
        """Open a request for `room` calls when none is open, or the one that is fell silent."""
        if self._open > 0 and now - self._heard <= SILENCE_S:
            return
        question = {"batch": room, "expires": EXPIRES_S * SECOND, "idle_heartbeat": int(HEARTBEAT_S * SECOND)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{ENGINES}"
        try:
            self._link.publish(subject, msgspec.json.encode(question), reply=self._inbox)
        except LinkDown:
            self._open = 0
            return
        self._open = room
        self._heard = now

    def _take(self, message: Message) -> None:
        self._heard = asyncio.get_running_loop().time()
        status = message.status
        if status is not None:
            if status != 100:
                unused = message.header(b"Nats-Pending-Messages")
                self._open = max(0, self._open - int(unused)) if unused is not None else 0
                if status == 408:
                    self._ran_out()
            return
        self._open = max(0, self._open - 1)
        try:
            events = self._recent.read(message.payload)
        except msgspec.DecodeError:
            events = []
        first = events[0] if events else None
        if isinstance(first, CallRequested):
            self._recent.keep(message.payload, events)
            self._arrived(_Offer(self._link, self._stream, first, message))
        else:
            log.error("claimable_unreadable", subject=message.subject.decode())
            self._link.publish(message.reply.decode(), b"+TERM")


class Claims:
    """Runs one engine's claiming; `run` until cancelled."""

    def __init__(
        self, link: Link, handler: Callable[[Claimable], Awaitable[None]], *, at_most: int, recent: RecentEvents
    ) -> None:
        self._link = link
        self._recent = recent
        self._handler = handler
        self._at_most = at_most
        self._running = 0
        self._wake = asyncio.Event()
        self._waiting: deque[_Offer] = deque()

    async def run(self) -> None:
        """Claim until cancelled; what is being handled then is cancelled too."""
        loop = asyncio.get_running_loop()
        pulls = [
            _Pull(self._link, stream, self._recent, arrived=self._arrived, ran_out=self._wake.set)
            for stream in CALL_STREAMS
        ]
        room = max(1, self._at_most // SHARDS)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    while self._waiting and self._running < self._at_most:
                        self._running += 1
                        group.create_task(self._handle(self._waiting.popleft()))
                    if self._running < self._at_most:
                        for pull in pulls:
                            pull.ask(room, loop.time())
                    self._wake.clear()
                    try:
                        async with asyncio.timeout(ASK_AGAIN_S):
                            await self._wake.wait()
                    except TimeoutError:
                        continue
        finally:
            for pull in pulls:
                pull.stop()

    def _arrived(self, offer: _Offer) -> None:
        self._waiting.append(offer)
        self._wake.set()

    async def _handle(self, offer: _Offer) -> None:
        try:
            await self._handler(offer)
        finally:
            self._running -= 1
            self._wake.set()
