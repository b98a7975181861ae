"""The TCP transport on real loopback sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from ringbridge.adapters.sip import stream as sip_stream
from ringbridge.adapters.sip.stream import StreamTransport, bind_tcp
from ringbridge.sip.peer import Peer, Transport
from tests.adapters.loops import LoopFactory, on_both_loops, run, until


def message(body: bytes = b"", call_id: str = "a") -> bytes:
    head = f"MESSAGE sip:demo SIP/2.0\r\nCall-ID: {call_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Seen:
    """What a transport told."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, Peer]] = []
        self.failed: list[Peer] = []

    @property
    def messages(self) -> list[bytes]:
        return [data for data, _ in self.received]


@asynccontextmanager
async def transport(
    seen: Seen, host: str = "127.0.0.1", deadline_s: float = 2.0
) -> AsyncIterator[tuple[StreamTransport, Peer]]:
    """Run a transport; gives it and its address."""
    sock = bind_tcp(host, 0)
    address = Peer(Transport.TCP, host, int(sock.getsockname()[1]))
    streams = StreamTransport(
        on_messages=seen.received.extend, on_failed=seen.failed.append, connect_deadline_s=deadline_s
    )
    await streams.listen(sock)
    try:
        yield streams, address
    finally:
        await streams.close()


@on_both_loops
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_one_connection_serves_both_directions(loop_factory: LoopFactory, host: str) -> None:
    async def main() -> None:
        one, other = Seen(), Seen()
        async with transport(one, host) as (listening, address), transport(other, host) as (calling, _):
            calling.send(message(b"x" * 5000), address)
            calling.send(message(b"second"), address)
            await until(lambda: len(one.received) == 2)
            assert one.messages == [message(b"x" * 5000), message(b"second")]
            listening.send(message(b"answer"), one.received[0][1])
            await until(lambda: other.messages == [message(b"answer")])
            assert other.received[0][1] == address
            assert (listening.connections, calling.connections) == (1, 1)

    run(main(), loop_factory)


@on_both_loops
def test_messages_are_found_however_the_bytes_arrive(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        seen = Seen()
        async with transport(seen) as (_, address):
            _, writer = await asyncio.open_connection(address.host, address.port)
            stream = message(b"one" * 100) + message(b"two") + message()
            for start in range(0, len(stream), 37):
                writer.write(stream[start : start + 37])
                await writer.drain()
                await asyncio.sleep(0.001)
            await until(lambda: len(seen.received) == 3)
            assert seen.messages == [message(b"one" * 100), message(b"two"), message()]
            writer.write(stream)
            await until(lambda: len(seen.received) == 6)
            writer.close()
            await writer.wait_closed()

    run(main(), loop_factory)


@on_both_loops
def test_a_ping_is_answered_with_a_pong(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with transport(Seen()) as (_, address):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"\r\n"
            writer.close()
            await writer.wait_closed()

    run(main(), loop_factory)


@on_both_loops
def test_a_stream_that_is_no_sip_is_closed(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        seen = Seen()
        async with transport(seen) as (_, address):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(b"\x16\x03\x01 this is TLS")
            assert await reader.read() == b""
            assert seen.received == []
            writer.close()
            await writer.wait_closed()

    run(main(), loop_factory)


@on_both_loops
def test_a_connection_that_closes_is_a_peer_that_failed(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        seen = Seen()
        async with transport(seen) as (streams, address):
            _, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(message())
            await until(lambda: len(seen.received) == 1)
            writer.close()
            await writer.wait_closed()
            await until(lambda: seen.failed == [seen.received[0][1]])
            assert streams.connections == 0

    run(main(), loop_factory)


@on_both_loops
def test_a_peer_that_refuses_the_connection_fails_once(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        seen = Seen()
        with bind_tcp("127.0.0.1", 0) as sock:
            gone = Peer(Transport.TCP, "127.0.0.1", int(sock.getsockname()[1]))
        async with transport(seen) as (streams, _):
            for _ in range(3):
                streams.send(message(), gone)
            await until(lambda: bool(seen.failed))
            await asyncio.sleep(0.02)
            assert seen.failed == [gone]

    run(main(), loop_factory)


@on_both_loops
@pytest.mark.parametrize("secure", [Transport.TLS, Transport.WS, Transport.WSS])
def test_what_is_meant_for_tls_never_leaves_in_the_clear(loop_factory: LoopFactory, secure: Transport) -> None:
    async def main() -> None:
        seen, heard = Seen(), Seen()
        async with transport(seen) as (streams, _), transport(heard) as (_, address):
            peer = Peer(secure, address.host, address.port)
            streams.send(message(), peer)
            await until(lambda: seen.failed == [peer])
            await asyncio.sleep(0.05)
            assert heard.received == []

    run(main(), loop_factory)


@on_both_loops
def test_a_peer_that_does_not_answer_fails_at_the_deadline(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        seen = Seen()
        with bind_tcp("127.0.0.1", 0) as full:
            full.listen(0)
            silent = Peer(Transport.TCP, "127.0.0.1", int(full.getsockname()[1]))
            fillers = [asyncio.create_task(asyncio.open_connection(silent.host, silent.port)) for _ in range(4)]
            await asyncio.sleep(0.05)  # the backlog is full now: a further SYN gets no answer
            async with transport(seen, deadline_s=0.2) as (streams, _):
                streams.send(message(), silent)
                await until(lambda: seen.failed == [silent])
            for filler in fillers:
                filler.cancel()
            for result in await asyncio.gather(*fillers, return_exceptions=True):
                if isinstance(result, tuple):
                    result[1].close()

    run(main(), loop_factory)


@on_both_loops
def test_half_a_message_does_not_hold_a_connection_for_ever(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip_stream, "MESSAGE_DEADLINE_S", 0.1)

    async def main() -> None:
        async with transport(Seen()) as (_, address):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(message() + message()[:20])
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 2) == b""
            writer.transport.abort()

    run(main(), loop_factory)


@on_both_loops
def test_a_peer_that_stops_reading_is_cut_off(loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_stream, "MAX_UNSENT_BYTES", 100_000)

    async def main() -> None:
        seen = Seen()
        async with transport(seen) as (streams, address):
            _, writer = await asyncio.open_connection(address.host, address.port, limit=1024)
            writer.write(message())
            await until(lambda: len(seen.received) == 1)
            peer = seen.received[0][1]
            for _ in range(1000):
                streams.send(message(b"x" * 60_000), peer)
                await asyncio.sleep(0)
                if seen.failed:
                    break
            assert seen.failed == [peer]
            writer.transport.abort()

    run(main(), loop_factory)


@on_both_loops
def test_no_more_connections_are_held_than_allowed(loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_stream, "MAX_CONNECTIONS", 2)

    async def main() -> None:
        async with transport(Seen()) as (streams, address):
            opened = [await asyncio.open_connection(address.host, address.port) for _ in range(2)]
            await until(lambda: streams.connections == 2)
            reader, writer = await asyncio.open_connection(address.host, address.port)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            assert streams.connections == 2
            for one in [writer, *[writer for _, writer in opened]]:
                one.transport.abort()

    run(main(), loop_factory)
