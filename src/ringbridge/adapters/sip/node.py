"""One SIP endpoint on real sockets: UDP and TCP on one port, one timer, one drain.

After whatever reaches the endpoint — a batch of datagrams, stream messages, a timer, or an order of the application
followed by `wake` — what it has to send leaves first and its events are told then, so that an ACK is on the wire when
`Answered` is heard. Event handlers may order more from the endpoint; nothing else need be done about that.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from ringbridge.adapters.sip.rate_limit import RateLimit
from ringbridge.adapters.sip.stream import StreamTransport, bind_tcp
from ringbridge.adapters.sip.udp import UdpTransport, bind_udp
from ringbridge.model.addresses import PeerRules
from ringbridge.sip.endpoint import Endpoint
from ringbridge.sip.endpoint_settings import EndpointSettings
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import EndpointEvent
from ringbridge.sip.timers import Timers

log = structlog.get_logger()

_KEEP_ALIVE_BYTES = 4
"""A datagram up to this size is a NAT keep-alive (CRLF CRLF, four NULs), not a message (RFC 5626 §3.5.1)."""
_NAME_LIFE_S = 30.0
"""How long the address of a host name is used before it is asked for again."""
_PORT_ATTEMPTS = 20
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class SipNodeSettings:
    """Where a node listens, who it says it is, and its limits."""

    host: str = "127.0.0.1"
    """Address to listen on, UDP and TCP."""
    port: int = 5060
    """0 takes one that is free for both."""
    public_address: str | None = None
    """Address in our Via and Contact; None: `host`."""
    user_agent: str = "Ringbridge"
    contact_user: str = "ringbridge"
    timers: Timers = field(default_factory=Timers)
    tcp_over_bytes: int = 1300
    tcp_connect_deadline_s: float = 4.0
    max_packets_per_source_per_s: int = 10_000
    session_expires_s: int | None = None
    """Session interval that our INVITEs ask for; None: none."""
    ack_within_s: float = 0.0
    """As `EndpointSettings.ack_within_s`."""
    peers: PeerRules | None = None
    """Where may be sent to; None: anywhere, for a phone that only its owner tells what to do."""


class SipNode:
    """An `Endpoint` with its sockets, from `start` to `stop`."""

    def __init__(self, settings: SipNodeSettings, *, on_event: Callable[[EndpointEvent], None]) -> None:
        """`on_event` runs on the event loop; what it raises is reported there and stops nothing."""
        self._settings = settings
        self._on_event = on_event
        self._limit = RateLimit(settings.max_packets_per_source_per_s)
        self._events: deque[EndpointEvent] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._draining = False
        self._woken = False
        self._addresses: set[str] = set()
        """Hosts that are addresses and may be sent to: found out once, not for every message."""
        self._refused: set[str] = set()
        self._resolved: dict[Peer, tuple[Peer, float]] = {}
        self._look_ups: set[asyncio.Task[None]] = set()
        self._endpoint: Endpoint | None = None
        self._udp: UdpTransport | None = None
        self._streams: StreamTransport | None = None
        self.host = settings.public_address or reachable_address(settings.host)
        """The address in our Via and Contact."""
        self.port = settings.port
        """The port of both sockets, once started."""

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint.

        Raises:
            RuntimeError: the node has not been started.
        """
        if self._endpoint is None:
            raise RuntimeError("the SIP node has not been started")
        return self._endpoint

    @property
    def refused_packets(self) -> int:
        """How many packets were dropped because their source sent too many."""
        return self._limit.refused

    @staticmethod
    def now() -> float:
        """Return the clock reading that the endpoint is to be given: monotonic seconds."""
        return time.monotonic()

    async def start(self) -> None:
        """Open the sockets and begin.

        Raises:
            OSError: the address is taken or is not of this machine.
        """
        settings = self._settings
        udp, tcp = _bind_both(settings.host, settings.port)
        self.port = int(udp.getsockname()[1])
        endpoint_settings = EndpointSettings(
            host=self.host,
            udp_port=self.port,
            tcp_port=self.port,
            user_agent=settings.user_agent,
            contact_user=settings.contact_user,
            timers=settings.timers,
            tcp_over_bytes=settings.tcp_over_bytes,
            session_expires_s=settings.session_expires_s,
            ack_within_s=settings.ack_within_s,
        )
        self._endpoint = Endpoint(endpoint_settings, new_token=new_token)
        self._udp = UdpTransport(udp, on_datagrams=self._take_in, on_failed=self._peer_failed)
        self._streams = StreamTransport(
            on_messages=self._take_in,
            on_failed=self._peer_failed,
            connect_deadline_s=settings.tcp_connect_deadline_s,
        )
        await self._streams.listen(tcp)

    async def stop(self) -> None:
        """Close all sockets; what the endpoint has to send leaves first. Calls that are up are not ended."""
        if self._endpoint is None:
            return
        self._drain()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._look_ups:
            task.cancel()
        await asyncio.gather(*self._look_ups, return_exceptions=True)
        if self._streams is not None:
            await self._streams.close()
        if self._udp is not None:
            self._udp.close()
        self._udp = self._streams = None

    def wake(self) -> None:
        """Have what was just ordered from the endpoint sent; once per turn of the loop, however often it is called."""
        if not self._woken and not self._draining:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _take_in(self, batch: list[tuple[bytes, Peer]]) -> None:
        endpoint, now, admits = self.endpoint, time.monotonic(), self._limit.admits
        for data, peer in batch:
            if not admits(peer.host, now):
                if peer.transport.reliable and self._streams is not None:
                    self._streams.drop(peer)  # a stream has no packets to lose
                continue
            if len(data) > _KEEP_ALIVE_BYTES:
                endpoint.receive(data, peer, now)
        self._drain()

    def _peer_failed(self, peer: Peer) -> None:
        now = time.monotonic()
        self.endpoint.peer_failed(peer, now)
        for named, (address, _) in self._resolved.items():
            if address == peer:
                self.endpoint.peer_failed(named, now)
        self.wake()

    def _drain(self) -> None:
        if self._draining or self._udp is None:
            return
        self._woken = False
        self._draining = True
        endpoint, events = self.endpoint, self._events
        try:
            while True:
                outgoing = endpoint.take_outgoing()
                for peer, data in outgoing:
                    self._send(data, peer)
                events.extend(endpoint.take_events())
                if not events and not outgoing:  # what could not be sent may have led to more
                    break
                while events:
                    self._on_event(events.popleft())
        finally:
            self._draining = False
            if events:  # a handler raised: the loop reports it, and the others get their events all the same
                self.wake()
            self._arm()

    def _arm(self) -> None:
        due = self.endpoint.next_timeout()
        if self._timer is not None:
            if due is not None and self._timer_at <= due:
                return  # wakes up too early at worst, and arms again
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_at = due
            delay = max(due - time.monotonic(), 0.001)  # uvloop counts milliseconds
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        """Fire what is due, but read first what has arrived: one turn of the loop reads no more than a batch.

        On a loop that is late the answer to a request would otherwise lie in the buffer while the request is sent
        again, to a peer that has answered it; and every needless retransmission makes a busy loop later still.
        """
        self._timer = None
        if self._udp is not None:
            self._udp.read_waiting()
        self.endpoint.handle_timeout(time.monotonic())
        self._drain()

    def refusal_of(self, address: str) -> str | None:
        """Return why neither SIP nor media may be sent to an address that did not send to us first; None: they may.

        Tenants say where their phones are, and this program reaches much that they must not: a phone's Record-Route, a
        connection's address or the c= of an answer may name the bus or the metadata service of a cloud.
        """
        if address in self._addresses:
            return None
        rules = self._settings.peers
        if rules is not None and (reason := rules.refusal_of(address)) is not None:
            return reason
        if len(self._addresses) > _MOST_REMEMBERED:
            self._addresses.clear()
        self._addresses.add(address)
        return None

    def refused(self, address: str, reason: str) -> None:
        """Say, once for each address, that something was to be sent where nothing may be."""
        if address in self._refused:
            return
        if len(self._refused) > _MOST_REMEMBERED:
            self._refused.clear()
        self._refused.add(address)
        log.warning("address_refused", address=address, reason=reason)

    def _send(self, data: bytes, peer: Peer) -> None:
        if peer.host in self._addresses:
            self._send_to(data, peer)
            return
        if _is_address(peer.host):
            self._send_checked(data, peer, peer)
            return
        known = self._resolved.get(peer)
        if known is not None and known[1] > time.monotonic():
            self._send_checked(data, known[0], peer)
            return
        task = asyncio.get_running_loop().create_task(self._send_by_name(data, peer))
        self._look_ups.add(task)
        task.add_done_callback(self._look_ups.discard)

    def _send_checked(self, data: bytes, address: Peer, named: Peer) -> None:
        """Send to an address, `named` being what the endpoint calls it, unless nothing may go there."""
        reason = self.refusal_of(address.host)
        # A response goes where its request came from; and whoever has spoken to us from there is there.
        if reason is None or data.startswith(b"SIP/2.0 ") or self._has_heard(address):
            self._send_to(data, address)
            return
        self.refused(address.host, reason)
        self.endpoint.peer_refused(named, time.monotonic())
        self.wake()

    def _has_heard(self, peer: Peer) -> bool:
        if peer.transport is Transport.UDP:
            return self._udp is not None and self._udp.has_heard(peer)
        return self._streams is not None and self._streams.is_connected(peer)

    def _send_to(self, data: bytes, address: Peer) -> None:
        if self._udp is None or self._streams is None:
            return
        if address.transport is not Transport.UDP:
            self._streams.send(data, address)
        elif not self._udp.send(data, address):
            self._peer_failed(address)

    async def _send_by_name(self, data: bytes, peer: Peer) -> None:
        try:
            address = await resolve(peer, deadline_s=self._settings.tcp_connect_deadline_s)
        except OSError:
            self._peer_failed(peer)
            return
        if len(self._resolved) > 1_000:
            self._resolved.clear()
        self._resolved[peer] = (address, time.monotonic() + _NAME_LIFE_S)
        self._send_checked(data, address, peer)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(peer: Peer, *, deadline_s: float = 4.0) -> Peer:
    """Return `peer` with its host name as an address (A or AAAA; the port is known, so RFC 3263 §4.2 asks no SRV).

    Raises:
        OSError: the name does not resolve within `deadline_s`.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(deadline_s):
            found = await loop.getaddrinfo(peer.host, peer.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise OSError(f"{peer.host} does not resolve: {str(error) or 'no answer in time'}") from error
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    return Peer(peer.transport, str(found[0][4][0]), peer.port)


class _Tokens:
    """Random hex digits drawn many at a time: one system call a token would be 2 % of a call's CPU."""

    LENGTH = 24
    DRAWN_BYTES = 3072

    def __init__(self) -> None:
        self._digits = ""
        self._used = 0

    def next(self) -> str:
        if self._used >= len(self._digits):
            self._digits = secrets.token_hex(self.DRAWN_BYTES)
            self._used = 0
        token = self._digits[self._used : self._used + self.LENGTH]
        self._used += self.LENGTH
        return token


new_token = _Tokens().next
"""Returns an unpredictable SIP token with 96 random bits: for tags, branches and Call-IDs."""


def reachable_address(host: str) -> str:
    """Return what peers can be told: `host`, or for `0.0.0.0` and `::` the address of the default route."""
    unspecified = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
    if host not in unspecified:
        return host
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((unspecified[host], 9))  # sends nothing; asks the routing table
        except OSError:
            return "::1" if ":" in host else "127.0.0.1"
        return str(probe.getsockname()[0])


def _bind_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Bind UDP and TCP to one port; with port 0 try until one is free for both."""
    for attempt in range(_PORT_ATTEMPTS):
        udp = bind_udp(host, port)
        try:
            return udp, bind_tcp(host, int(udp.getsockname()[1]))
        except OSError:
            udp.close()
            if port or attempt == _PORT_ATTEMPTS - 1:
                raise
    raise AssertionError("the loop returns or raises")
