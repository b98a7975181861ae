"""The NATS client protocol on one TCP or TLS connection: bytes in, messages out (see `nats.link` for why own)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

import msgspec

MSG, HMSG, PING, PONG, INFO, ERR = b"MSG", b"HMSG", b"PING", b"PONG", b"INFO", b"-ERR"
CONTROL_LINE_LIMIT = 64 * 1024  # an INFO of a large cluster is a few thousand bytes
WRITE_HIGH_WATER_BYTES = 8 * 1024 * 1024  # a server that takes no more for so long is as good as away
_STATUS = b"NATS/1.0 "


class ServerInfo(msgspec.Struct, frozen=True):
    """What we read of a server's INFO."""

    server_name: str = ""
    version: str = "0.0.0"
    jetstream: bool = False
    headers: bool = False
    max_payload: int = 1_048_576
    tls_required: bool = False
    connect_urls: tuple[str, ...] = ()
    ldm: bool = False
    cluster: str = ""


_info_decoder = msgspec.json.Decoder(ServerInfo)


class Message:
    """One message as it came; everything is bytes, and headers are decoded only when asked for."""

    __slots__ = ("headers", "payload", "reply", "subject")

    def __init__(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        self.subject = subject
        self.reply = reply
        self.headers = headers
        self.payload = payload

    @property
    def status(self) -> int | None:
        """The status of a message that the server itself made, as 100 for a heartbeat; None for all others."""
        if not self.headers.startswith(_STATUS):
            return None
        return int(self.headers[9:12])

    @property
    def status_text(self) -> str:
        """The words behind the status."""
        return self.headers[12 : self.headers.find(b"\r\n")].strip().decode()

    @property
    def is_removal(self) -> bool:
        """Whether it says that a key is gone: deleted, or expired."""
        headers = self.headers
        return bool(headers) and (b"KV-Operation:" in headers or b"Nats-Marker-Reason:" in headers)

    def header(self, name: bytes) -> str | None:
        """Return the value of header `name`, spelled as the sender did."""
        start = self.headers.find(b"\r\n" + name + b":")
        if start < 0:
            return None
        start += len(name) + 3
        return self.headers[start : self.headers.find(b"\r\n", start)].strip().decode()


def header_line(name: str, value: str | int) -> bytes:
    """Return one header line.

    Raises:
        ValueError: `value` holds a line break.
    """
    line = f"{name}: {value}"
    if "\r" in line or "\n" in line:
        raise ValueError(f"header {name}: a line break in its value")
    return line.encode() + b"\r\n"


def header_block(lines: bytes) -> bytes:
    """Return the header block of a message from its `lines`."""
    return b"NATS/1.0\r\n" + lines + b"\r\n"


class Wire(asyncio.Protocol):
    """One connection; `handle` gets (subscription number, message) for each message, and must not raise."""

    def __init__(self, handle: Callable[[int, Message], None]) -> None:
        loop = asyncio.get_running_loop()
        self._handle = handle
        self._loop = loop
        self._transport: asyncio.WriteTransport | None = None
        self._rest = b""
        self._out: list[bytes] = []
        self._pongs: deque[asyncio.Future[None]] = deque()
        self.info_received: asyncio.Future[ServerInfo] = loop.create_future()
        self.lost = asyncio.Event()
        self.fault = ""
        self.is_lame_duck = False
        self.is_clogged = False

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own are no subclasses
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)

    def secured(self, transport: asyncio.Transport) -> None:
        """Go on over TLS."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.fault = self.fault or str(exc or "closed by the server")
        self.lost.set()
        gone = ConnectionError(self.fault)
        waiting: list[asyncio.Future[ServerInfo] | asyncio.Future[None]] = [self.info_received, *self._pongs]
        for future in waiting:
            if not future.done():
                future.set_exception(gone)
                future.exception()  # read here, since nobody else may be there to

    def pause_writing(self) -> None:
        self.is_clogged = True

    def resume_writing(self) -> None:
        self.is_clogged = False

    def data_received(self, data: bytes) -> None:
        buffer = self._rest + data if self._rest else data
        at, size = 0, len(buffer)
        while at < size:
            end = buffer.find(b"\r\n", at)
            if end < 0:
                break
            words = buffer[at:end].split(b" ")
            operation = words[0]
            if operation in (MSG, HMSG):
                start = end + 2
                after = start + int(words[-1])
                if after + 2 > size:
                    break
                self._message(words, buffer, start, after)
                at = after + 2
                continue
            self._control(operation, buffer[at:end])
            at = end + 2
        self._rest = buffer[at:] if at < size else b""
        if len(self._rest) > CONTROL_LINE_LIMIT and b"\r\n" not in self._rest:
            self.fault = "a control line without end"
            self.abort()

    def _message(self, words: list[bytes], buffer: bytes, start: int, after: int) -> None:
        """`MSG subject sid [reply] size`, `HMSG subject sid [reply] header-size size`."""
        if words[0] == MSG:
            headers, body = b"", buffer[start:after]
            reply = words[3] if len(words) == 5 else b""
        else:
            split = start + int(words[-2])
            headers, body = buffer[start:split], buffer[split:after]
            reply = words[3] if len(words) == 6 else b""
        self._handle(int(words[2]), Message(words[1], reply, headers, body))

    def _control(self, operation: bytes, line: bytes) -> None:
        if operation == PING:
            self.send(b"PONG\r\n")
        elif operation == PONG:
            if self._pongs:
                pong = self._pongs.popleft()
                if not pong.done():
                    pong.set_result(None)
        elif operation == INFO:
            info = _info_decoder.decode(line[5:])
            self.is_lame_duck = info.ldm
            if not self.info_received.done():
                self.info_received.set_result(info)
        elif operation == ERR:
            self.fault = line[4:].strip().decode(errors="replace")

    # --- sending ---

    def send(self, *parts: bytes) -> None:
        """Send when the loop comes round: what is sent in one turn leaves in one write."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.extend(parts)

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def ping(self) -> asyncio.Future[None]:
        """Send PING and return a future of its PONG."""
        pong: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append(pong)
        self.send(b"PING\r\n")
        return pong

    @property
    def pings_unanswered(self) -> int:
        return len(self._pongs)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
