"""A load of HTTP requests at a set rate, with little CPU of its own: keep-alive connections, one request at a time.

Requests leave by the clock whether or not earlier ones were answered (an open loop), so a slow server shows as
latency instead of hiding as a lower rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Self, cast

import msgspec

LAST_ANSWERS_S = 15.0
"""How long the last answers are waited for; longer than the API's own deadline for a write."""


class Outcome(msgspec.Struct):
    """What came of a load: statuses, and seconds from each request's due time to its answer."""

    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    latencies_s: list[float] = msgspec.field(default_factory=list)
    lasted_s: float = 0.0

    def percentile_ms(self, percent: float) -> float:
        """Return a latency percentile in milliseconds."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


class Request(msgspec.Struct, frozen=True):
    """One request, ready to send."""

    due_at: float
    data: bytes


class _Connection(asyncio.Protocol):
    """One keep-alive connection; answers must have Content-Length, as the API's have."""

    def __init__(self, load: HttpLoad) -> None:
        self._load = load
        self._buffer = b""
        self._current: Request | None = None
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's own classes do not inherit it
        self._load.idle(self)

    def send(self, request: Request) -> None:
        self._current = request
        if self.transport is not None:
            self.transport.write(request.data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or self._current is None:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._load.answered(int(head[9:12]), self._current)
        self._current = None
        self._load.idle(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if self._current is not None:
            self._load.answered(0, self._current)
            self._current = None


class HttpLoad:
    """Sends requests to one server."""

    def __init__(self, host: str, port: int, *, connections: int = 64) -> None:
        self._host, self._port = host, port
        self._count = connections
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[Request] = deque()
        self._open = 0
        self._outcome = Outcome()
        self._drained = asyncio.Event()
        self._all: list[_Connection] = []
        self._make: Callable[[int], bytes] | None = None
        self._until = 0.0
        self._sent = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            _, protocol = await loop.create_connection(lambda: _Connection(self), self._host, self._port)
            self._all.append(protocol)
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._all:
            if connection.transport is not None:
                connection.transport.close()

    def idle(self, connection: _Connection) -> None:
        """A connection is free for the next request."""
        if self._make is not None and (now := time.perf_counter()) < self._until:
            connection.send(self._next(now))
        elif self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _next(self, now: float) -> Request:
        self._open += 1
        self._sent += 1
        return Request(now, self._make(self._sent - 1) if self._make else b"")

    def answered(self, status: int, request: Request) -> None:
        """Count an answer; status 0 is a lost connection."""
        self._open -= 1
        if not self._open:
            self._drained.set()
        self._outcome.statuses[status] += 1
        self._outcome.latencies_s.append(time.perf_counter() - request.due_at)

    async def run(self, make: Callable[[int], bytes], *, rate: float, seconds: float) -> Outcome:
        """Send `rate` requests a second for `seconds`; `make` returns the bytes of request number n."""
        self._outcome = Outcome()
        began = time.perf_counter()
        total = int(rate * seconds)
        sent = 0
        while sent < total:
            due = min(total, int((time.perf_counter() - began) * rate) + 1)
            for number in range(sent, due):
                self._open += 1
                request = Request(max(began + number / rate, began), make(number))
                if self._idle:
                    self._idle.popleft().send(request)
                else:
                    self._waiting.append(request)
            sent = due
            await asyncio.sleep(0.002)
        await self._drain()
        self._outcome.lasted_s = time.perf_counter() - began
        return self._outcome

    async def flat_out(self, make: Callable[[int], bytes], *, seconds: float) -> Outcome:
        """Send for `seconds` as much as is answered: every connection sends its next request behind an answer."""
        self._outcome = Outcome()
        began = time.perf_counter()
        self._sent, self._make, self._until = 0, make, began + seconds
        for connection in [self._idle.popleft() for _ in range(len(self._idle))]:
            connection.send(self._next(time.perf_counter()))
        await asyncio.sleep(seconds)
        self._make = None
        await self._drain()
        self._outcome.lasted_s = time.perf_counter() - began
        return self._outcome

    async def _drain(self) -> None:
        if self._open:
            self._drained.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), LAST_ANSWERS_S)


def get(host: str, path: str, key: str) -> bytes:
    """Return a GET, to the byte."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def post(host: str, path: str, key: str, body: bytes) -> bytes:
    """Return a POST with a JSON body, to the byte."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
