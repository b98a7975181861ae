"""SIP over UDP: one socket, read in batches.

Reading with `add_reader` and a loop of `recvfrom` costs 11 µs for a datagram in and one out, a protocol of
`create_datagram_endpoint` 14 µs (uvloop, 600 bytes); and what a batch brings is handled in one go.

ICMP errors come through Linux's error queue (`IP_RECVERR`), which names the destination that could not be reached, so
that a phone that is gone is known at once and not after Timer B (RFC 3261 §18.4). libuv stops polling a socket after
an error: whatever raises is followed by a new `add_reader`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
from collections.abc import Callable
from typing import TypeAlias

from ringbridge.sip.peer import Peer, Transport

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
BATCH = 64
"""Datagrams read per wake-up: enough to be quick, few enough to let timers and other sockets have their turn."""
READ_AHEAD = 1024
"""Most datagrams read ahead of timers on a loop that is late: half a second of work, so that timers get their turn."""

_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h; Python has no names for them
_EXTENDED_ERROR = struct.Struct("=IBBBx")  # struct sock_extended_err: errno, origin, type, code
_FROM_ICMP, _FROM_ICMP6 = 2, 3

ReceiveDatagrams: TypeAlias = Callable[[list[tuple[bytes, Peer]]], None]


class UdpTransport:
    """A bound UDP socket on the event loop. Datagrams go to `on_datagrams` by batch, dead peers to `on_failed`."""

    def __init__(
        self, sock: socket.socket, *, on_datagrams: ReceiveDatagrams, on_failed: Callable[[Peer], None]
    ) -> None:
        self._socket = sock
        self._on_datagrams = on_datagrams
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._peers: dict[tuple[str | int, ...], Peer] = {}
        self._loop.add_reader(sock.fileno(), self._read)

    def send(self, data: bytes, peer: Peer) -> bool:
        """Send one datagram; False when the system refuses it for good. `peer.host` must be an address.

        A full send buffer drops it silently, as the network would: retransmissions make up for it.
        """
        for _ in range(2):  # an error left over from an earlier datagram is raised instead of sending this one
            try:
                self._socket.sendto(data, (peer.host, peer.port))
            except BlockingIOError:
                return True
            except OverflowError:  # a port that is none
                return False
            except OSError as error:
                if not self._take_errors() and error.errno != errno.ECONNREFUSED:
                    return False
            else:
                return True
        return False

    def has_heard(self, peer: Peer) -> bool:
        """Whether a datagram came from there; forgotten when many others came."""
        return (peer.host, peer.port) in self._peers or (peer.host, peer.port, 0, 0) in self._peers

    def close(self) -> None:
        """Stop reading and give the socket back."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def read_waiting(self) -> None:
        """Hand over what has arrived by now, before the loop gets to it: at most `READ_AHEAD` datagrams."""
        for _ in range(READ_AHEAD // BATCH):
            if self._read() < BATCH:
                return

    def _read(self) -> int:
        batch: list[tuple[bytes, Peer]] = []
        receive, peers = self._socket.recvfrom, self._peers
        for _ in range(BATCH):
            try:
                data, address = receive(65536)
            except BlockingIOError:
                break
            except OSError:
                self._take_errors()
                continue
            peer = peers.get(address)
            if peer is None:
                peer = self._remember(address)
            batch.append((data, peer))
        if batch:
            self._on_datagrams(batch)
        return len(batch)

    def _remember(self, address: tuple[str | int, ...]) -> Peer:
        """Return the peer of a socket address; kept, since the same ones come again and again."""
        if len(self._peers) > 10_000:
            self._peers.clear()
        peer = self._peers[address] = Peer(Transport.UDP, str(address[0]).partition("%")[0], int(address[1]))
        return peer

    def _take_errors(self) -> bool:
        """Report the peers in the error queue as failed; return whether there were any."""
        found = False
        while (entry := self._take_error()) is not None:
            found = True
            peer, unreachable = entry
            if unreachable:
                self._on_failed(peer)
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.add_reader(self._socket.fileno(), self._read)
        return found

    def _take_error(self) -> tuple[Peer, bool] | None:
        if sys.platform != "linux":
            return None
        try:
            _, ancillary, _, address = self._socket.recvmsg(1, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return None
        unreachable = any(
            level in (socket.IPPROTO_IP, socket.IPPROTO_IPV6) and _means_unreachable(data)
            for level, _, data in ancillary
        )
        return self._remember(address), unreachable


def _means_unreachable(extended_error: bytes) -> bool:
    """Tell from a `sock_extended_err` whether RFC 3261 §18.4 counts it: unreachable yes, TTL or MTU no."""
    if len(extended_error) < _EXTENDED_ERROR.size:
        return False
    _, origin, kind, code = _EXTENDED_ERROR.unpack_from(extended_error)
    if origin == _FROM_ICMP:
        return bool(kind == 3 and code != 4)
    return bool(origin == _FROM_ICMP6 and kind == 1)


def bind_udp(host: str, port: int) -> socket.socket:
    """Return a non-blocking UDP socket on an IPv4 or IPv6 address; port 0 takes any.

    Raises:
        OSError: the address is taken or is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform == "linux":
            level, option = (
                (socket.IPPROTO_IPV6, _IPV6_RECVERR) if family == socket.AF_INET6 else (socket.IPPROTO_IP, _IP_RECVERR)
            )
            sock.setsockopt(level, option, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
