"""The UDP transport on real loopback sockets."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ringbridge.adapters.sip.udp import UdpTransport, bind_udp
from ringbridge.sip.peer import Peer, Transport
from tests.adapters.loops import LoopFactory, on_both_loops, run, until


class Seen:
    """What a transport told."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[bytes, Peer]]] = []
        self.failed: list[Peer] = []

    @property
    def datagrams(self) -> list[bytes]:
        return [data for batch in self.batches for data, _ in batch]


@contextmanager
def transport(seen: Seen, host: str = "127.0.0.1") -> Iterator[tuple[UdpTransport, Peer]]:
    """Run a transport; gives it and its address."""
    sock = bind_udp(host, 0)
    udp = UdpTransport(sock, on_datagrams=seen.batches.append, on_failed=seen.failed.append)
    try:
        yield udp, Peer(Transport.UDP, host, int(sock.getsockname()[1]))
    finally:
        udp.close()


def dead_peer(host: str = "127.0.0.1") -> Peer:
    """Return an address where nobody listens any more."""
    with bind_udp(host, 0) as sock:
        return Peer(Transport.UDP, host, int(sock.getsockname()[1]))


@on_both_loops
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_come_with_the_peer_they_came_from(loop_factory: LoopFactory, host: str) -> None:
    async def main() -> None:
        one, other = Seen(), Seen()
        with transport(one, host) as (_, address), transport(other, host) as (sender, from_address):
            assert sender.send(b"OPTIONS", address)
            assert sender.send(b"x" * 9000, address)
            await until(lambda: len(one.datagrams) == 2)
            assert one.datagrams == [b"OPTIONS", b"x" * 9000]
            assert {peer for batch in one.batches for _, peer in batch} == {from_address}

    run(main(), loop_factory)


@on_both_loops
def test_what_waits_in_the_socket_comes_as_one_batch(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        seen = Seen()
        with transport(seen) as (_, address), socket.socket(type=socket.SOCK_DGRAM) as client:
            for n in range(30):
                client.sendto(b"%d" % n, (address.host, address.port))
            await until(lambda: len(seen.datagrams) == 30)
            assert len(seen.batches) <= 2
            assert seen.datagrams == [b"%d" % n for n in range(30)]

    run(main(), loop_factory)


@on_both_loops
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_peer_that_is_gone_is_reported_and_the_others_are_still_heard(loop_factory: LoopFactory, host: str) -> None:
    async def main() -> None:
        seen, other = Seen(), Seen()
        with transport(seen, host) as (udp, address), transport(other, host) as (sender, other_address):

            async def one_dies(number: int) -> None:
                gone = dead_peer(host)
                assert udp.send(b"INVITE", gone)
                await until(lambda: seen.failed[-1:] == [gone])
                assert sender.send(b"still here", address)
                await until(lambda: len(seen.datagrams) == number)
                assert udp.send(b"answer", other_address)
                await until(lambda: len(other.datagrams) == number)

            for number in range(1, 4):
                await one_dies(number)

    run(main(), loop_factory)


@on_both_loops
def test_an_error_left_by_one_peer_does_not_swallow_the_datagram_to_another(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        seen, other = Seen(), Seen()
        gone = dead_peer()
        with transport(seen) as (udp, _), transport(other) as (_, other_address):
            assert udp.send(b"to nobody", gone)
            assert udp.send(b"to somebody", other_address)  # the ICMP error is in the socket by now
            await until(lambda: other.datagrams == [b"to somebody"] and gone in seen.failed)

    run(main(), loop_factory)


@on_both_loops
def test_what_cannot_be_sent_is_refused(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        with transport(Seen()) as (udp, address):
            assert not udp.send(b"x" * 70_000, address)
            assert not udp.send(b"x", Peer(Transport.UDP, "::1", 5060))
            assert not udp.send(b"x", Peer(Transport.UDP, "127.0.0.1", 65_536))

    run(main(), loop_factory)


def test_an_address_that_is_taken_is_an_error() -> None:
    with bind_udp("127.0.0.1", 0) as sock, pytest.raises(OSError, match="in use"):
        bind_udp("127.0.0.1", int(sock.getsockname()[1]))
