"""HTTP/1.1 on one connection, as uvicorn has it, but nobody holds a connection by being slow or endless with a head.

What a body may take is `api.http.requests`' to say; what a silent connection may take between two requests is uvicorn's
`timeout_keep_alive`. What is written in one turn of the event loop leaves as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

HEAD_LIMIT_BYTES: Final = 65_536
"""Request line and headers; the longest that any client of ours sends are a few hundred bytes and a token."""
ABORT: Final = "ringbridge.abort"
"""Extension of a scope: drops the connection, and with it what waits to be sent."""
MOST_HELD_BYTES: Final = 65_536
"""Written in one turn and not sent yet; beyond it the transport must say whether the client keeps up."""


def http_protocol(head_deadline_s: float) -> type[asyncio.Protocol]:
    """Return the protocol class of a server that waits `head_deadline_s` seconds for a request's whole head."""

    class BoundedProtocol(_BoundedProtocol):
        deadline_s = head_deadline_s

    return BoundedProtocol


class JoinedWrites:
    """A transport that sends at once what is written in one turn of the event loop.

    Uvicorn writes the head of an answer and its body apart; each would be a system call of its own, and a packet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._held_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MOST_HELD_BYTES:
            self._send()

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts.clear()
        self._held_bytes = 0


class _BoundedProtocol(HttpToolsProtocol):
    deadline_s = 10.0

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        joined = JoinedWrites(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(cast("asyncio.Transport", joined))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT_BYTES:
                self._cut(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._has_head()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.deadline_s, self._cut, HTTPStatus.REQUEST_TIMEOUT)

    def _has_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut(self, status: HTTPStatus) -> None:
        """Close the connection; say why where no answer to an earlier request is under way."""
        self._has_head()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr] # None before the first
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket as uvicorn has it, that can be dropped."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.transport.is_closing():
            self.scope["extensions"][ABORT] = {"abort": self.transport.abort}


async def cut_off(scope: Mapping[str, Any]) -> None:
    """Drop the connection of a request whose client takes nothing: closing it would wait for the client."""
    abort = (scope.get("extensions") or {}).get(ABORT)
    if abort is not None:
        abort["abort"]()
        await asyncio.sleep(0)  # the server hears of it before the answer is over
