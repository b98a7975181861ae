"""Requested calls, as the bus offers them to engines: a loop over the pull consumer that all engines share.

A pull request is always open, for as many calls as there is room for; the server answers it as calls come, so a
call is offered within a round trip. A batch that has to fill up first, as a client library's `fetch` has, would cost
50 ms. Heartbeats tell a request that is open from one that was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from ringbridge.adapters.nats_bus_link import Link, LinkDown
from ringbridge.adapters.nats_bus_streams import ENGINES
from ringbridge.adapters.nats_bus_subjects import Stream
from ringbridge.adapters.nats_bus_wire import Message
from ringbridge.calls.ports import Claimable
from ringbridge.model.events import CallRequested, decode

log = structlog.get_logger(__name__)

SECOND = 1_000_000_000
EXPIRES_S = 30
HEARTBEAT_S = 1.0
SILENCE_S = 2.5
NEXT = f"$JS.API.CONSUMER.MSG.NEXT.{Stream.CALLS}.{ENGINES}"


class _Offer(Claimable):
    """One requested call, and how to answer for it."""

    def __init__(self, link: Link, requested: CallRequested, message: Message) -> None:
        self._link = link
        self._requested = requested
        self._reply = message.reply.decode()
        self._sequence = stream_sequence(message.reply)

    @property
    def requested(self) -> CallRequested:
        return self._requested

    @property
    def sequence(self) -> int:
        return self._sequence

    def done(self) -> None:
        self._answer(b"+ACK")

    def again(self, after_s: float) -> None:
        self._answer(b"-NAK " + msgspec.json.encode({"delay": int(after_s * SECOND)}))

    def _answer(self, word: bytes) -> None:
        try:
            self._link.publish(self._reply, word)
        except LinkDown:
            # The bus offers it again after `ack_wait`; the claim's comparison keeps that harmless.
            log.info("claim_answer_lost", sequence=self._sequence)


def stream_sequence(reply: bytes) -> int:
    """Return the stream sequence that an acknowledgement subject names (`nats_bus_feed` has its form)."""
    words = reply.split(b".")
    return int(words[-5] if len(words) > 9 else words[-4])


class Claims:
    """Runs one engine's claiming; `run` until cancelled."""

    def __init__(self, link: Link, handler: Callable[[Claimable], Awaitable[None]], *, at_most: int) -> None:
        self._link = link
        self._handler = handler
        self._at_most = at_most
        self._running = 0
        self._open = 0
        """How many calls the server may still send for the requests that are open."""
        self._heard = 0.0
        self._wake = asyncio.Event()
        self._arrived: list[tuple[CallRequested, Message]] = []
        self._inbox = link.new_inbox()

    async def run(self) -> None:
        """Claim until cancelled; what is being handled then is cancelled too."""
        loop = asyncio.get_running_loop()
        stop = self._link.subscribe(self._inbox, self._take)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    for requested, message in self._arrived:
                        group.create_task(self._handle(_Offer(self._link, requested, message)))
                    self._arrived.clear()
                    self._ask(loop.time())
                    self._wake.clear()
                    try:
                        async with asyncio.timeout(HEARTBEAT_S):
                            await self._wake.wait()
                    except TimeoutError:
                        if loop.time() - self._heard > SILENCE_S:
                            self._open = 0
        finally:
            stop()

    async def _handle(self, offer: _Offer) -> None:
        try:
            await self._handler(offer)
        finally:
            self._running -= 1
            self._wake.set()

    def _ask(self, now: float) -> None:
        """Open a request for as many calls as there is room for, when that is many or none is open."""
        room = self._at_most - self._running - self._open
        if room < max(1, self._at_most // 2) and self._open > 0:
            return
        if room <= 0 or not self._link.is_up:
            return
        question = {"batch": room, "expires": EXPIRES_S * SECOND, "idle_heartbeat": int(HEARTBEAT_S * SECOND)}
        try:
            self._link.publish(NEXT, msgspec.json.encode(question), reply=self._inbox)
        except LinkDown:
            return
        self._open += room
        self._heard = now

    def _take(self, message: Message) -> None:
        self._heard = asyncio.get_running_loop().time()
        status = message.status
        if status is not None:
            if status != 100:
                unused = message.header(b"Nats-Pending-Messages")
                self._open = max(0, self._open - int(unused)) if unused is not None else 0
                self._wake.set()
            return
        self._open = max(0, self._open - 1)
        try:
            first = decode(message.payload)[0]
        except (msgspec.DecodeError, IndexError):
            first = None
        if isinstance(first, CallRequested):
            self._running += 1
            self._arrived.append((first, message))
        else:
            log.error("claimable_unreadable", subject=message.subject.decode())
            self._link.publish(message.reply.decode(), b"+TERM")
        self._wake.set()
