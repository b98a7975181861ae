"""One stream's place in a replica: what was received, what is committed, and who waits for it."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import structlog

from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.store.batch import Offset

log = structlog.get_logger(__name__)

Entry: TypeAlias = tuple[str, int, bytes, bool]
"""Subject, sequence, payload, and whether it was removed."""


class Cursor:
    """One stream's place: `FeedSink` for the feed, a queue for the committer."""

    def __init__(self, stream: Stream, offset: Offset | None, wake: Callable[[], None]) -> None:
        self.stream = stream
        self.incarnation = offset.incarnation if offset else ""
        self.received = offset.sequence if offset else 0
        self.applied = self.received
        self.known = self.received
        self.dropped = False
        self.pending: deque[Entry] = deque()
        self.waiters: list[tuple[int, int, asyncio.Future[bool]]] = []
        self.met = asyncio.Event()
        self._wake = wake
        self._count = 0

    @property
    def backlog(self) -> int:
        return len(self.pending)

    def joined(self, incarnation: str) -> None:
        if self.incarnation == incarnation:
            return
        if self.incarnation:
            log.error("stream_made_again", stream=self.stream.value, applied=self.applied)
            self.dropped = True
        self.incarnation = incarnation
        self.received = self.applied = self.known = 0
        self.pending.clear()
        self._wake()

    def entry(self, subject: str, sequence: int, payload: bytes, removed: bool) -> None:  # noqa: FBT001 - as FeedSink
        if sequence > self.received:
            self.received = sequence
            self.pending.append((subject, sequence, payload, removed))
            self._wake()

    def caught_up(self) -> None:
        self.met.set()

    def wait(self, sequence: int) -> asyncio.Future[bool]:
        """Return a future that is done when `sequence`, which the bus holds, is applied."""
        self.known = max(self.known, sequence)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self.waiters, (sequence, self._count, future))
        self._wake()
        return future

    @property
    def is_urgent(self) -> bool:
        """Whether somebody waits for what is here but not committed."""
        return bool(self.waiters) and self.waiters[0][0] <= self.received

    def committed(self, sequence: int) -> None:
        self.applied = max(self.applied, sequence)
        while self.waiters and self.waiters[0][0] <= self.applied:
            _, _, future = heapq.heappop(self.waiters)
            if not future.done():
                future.set_result(True)
