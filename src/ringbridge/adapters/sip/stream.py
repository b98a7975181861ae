"""SIP over TCP: one listener, and connections that are used in both directions.

What goes to a peer goes over the connection that stands to exactly that address and port, whoever opened it (RFC 3261
§18: a response goes back the way the request came, a request to a phone behind NAT the way its REGISTER came); only
where there is none is one opened.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import cast

from typing_extensions import override

from ringbridge.adapters.sip.udp import ReceiveDatagrams
from ringbridge.sip.framing import StreamFramer
from ringbridge.sip.peer import Peer, Transport

MAX_CONNECTIONS = 4096
"""Connections at once that others opened; file descriptors are finite, and each may hold a message being read."""
MESSAGE_DEADLINE_S = 30.0
"""A connection that brings no message at first, or half of one, is closed after so many seconds."""
MAX_UNSENT_BYTES = 1024 * 1024
"""A peer that does not read what it is sent is cut off."""
MAX_WAITING = 256
"""Messages that wait for a connection being opened."""
_BACKLOG = 256


class StreamTransport:
    """The TCP side of a SIP node. Messages go to `on_messages`, peers that are lost to `on_failed`."""

    def __init__(
        self, *, on_messages: ReceiveDatagrams, on_failed: Callable[[Peer], None], connect_deadline_s: float
    ) -> None:
        self._on_messages = on_messages
        self._on_failed = on_failed
        self._connect_deadline_s = connect_deadline_s
        self._server: asyncio.Server | None = None
        self._connections: dict[Peer, _Connection] = {}
        self._waiting: dict[Peer, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def connections(self) -> int:
        """How many connections stand."""
        return len(self._connections)

    async def listen(self, sock: socket.socket) -> None:
        """Take connections on a socket of `bind_tcp`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self, opened_by_us=None), sock=sock, backlog=_BACKLOG
        )

    def send(self, data: bytes, peer: Peer) -> None:
        """Send a message over the connection to `peer`, opening one if there is none. `peer.host` is an address."""
        connection = self._connections.get(peer)
        if connection is not None:
            connection.write(data)
        elif peer.transport is not Transport.TCP:
            self._on_failed(peer)  # TLS and WebSocket are not spoken here, and nothing goes out in the clear instead
        elif peer in self._waiting:
            if len(self._waiting[peer]) < MAX_WAITING:
                self._waiting[peer].append(data)
        elif not self._closed:
            self._waiting[peer] = [data]
            task = asyncio.get_running_loop().create_task(self._connect(peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def is_connected(self, peer: Peer) -> bool:
        """Whether a connection stands to exactly that address and port."""
        return peer in self._connections

    def drop(self, peer: Peer) -> None:
        """Cut the connection to `peer`, if there is one."""
        connection = self._connections.get(peer)
        if connection is not None:
            connection.abort()

    async def close(self) -> None:
        """Close everything; what has been written still leaves."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections.values()):
            connection.close()
        self._connections.clear()
        await asyncio.sleep(0)

    async def _connect(self, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_deadline_s):
                await loop.create_connection(lambda: _Connection(self, opened_by_us=peer), peer.host, peer.port)
        except OSError:  # TimeoutError is one
            if self._waiting.pop(peer, None) is not None:
                self._on_failed(peer)

    def opened(self, connection: _Connection) -> bool:
        """Take note of a connection and send what waited for it; False when there are too many."""
        if self._closed or (len(self._connections) >= MAX_CONNECTIONS and not connection.opened_by_us):
            return False
        self._connections[connection.peer] = connection
        for data in self._waiting.pop(connection.peer, ()):
            connection.write(data)
        return True

    def lost(self, connection: _Connection) -> None:
        """Forget a connection, and say so to whoever waits for its peer."""
        if self._connections.get(connection.peer) is connection:
            del self._connections[connection.peer]
            if not self._closed:
                self._on_failed(connection.peer)

    def received(self, messages: Sequence[bytes], connection: _Connection) -> None:
        """Hand on what a connection brought."""
        self._on_messages([(message, connection.peer) for message in messages])


class _Connection(asyncio.Protocol):
    """One connection, from `connection_made` to `connection_lost`."""

    def __init__(self, owner: StreamTransport, *, opened_by_us: Peer | None) -> None:
        self.opened_by_us = opened_by_us is not None
        self.peer = opened_by_us or Peer(Transport.TCP, "", 0)
        self._owner = owner
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.opened_by_us:
            host, port, *_ = transport.get_extra_info("peername")
            self.peer = Peer(Transport.TCP, str(host).partition("%")[0], int(port))
            self._expect_message()
        if not self._owner.opened(self):
            self.abort()

    @override
    def data_received(self, data: bytes) -> None:
        framed = self._framer.feed(data)
        if framed.messages:
            self._forget_deadline()
            self._owner.received(framed.messages, self)
        if framed.reply:
            self.write(framed.reply)
        if framed.fault is not None:
            self.close()
        elif self._framer.waiting and self._deadline is None:
            self._expect_message()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        self._owner.lost(self)

    def write(self, data: bytes) -> None:
        """Send `data`; cut the connection when the peer has stopped reading."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._transport.abort()

    def close(self) -> None:
        """Close once all that was written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _expect_message(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(MESSAGE_DEADLINE_S, self.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bind_tcp(host: str, port: int) -> socket.socket:
    """Return a TCP socket to listen on, on an IPv4 or IPv6 address.

    Raises:
        OSError: the address is taken or is not of this machine.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
