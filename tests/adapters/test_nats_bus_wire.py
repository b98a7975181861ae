"""The client protocol, however the bytes are cut."""

from __future__ import annotations

import asyncio

import pytest

from ringbridge.adapters.nats.wire import CONTROL_LINE_LIMIT, Message, Wire, header_block, header_line

INFO = b'INFO {"server_name":"s","version":"2.15.1","jetstream":true,"headers":true,"max_payload":99}\r\n'


class Written(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += bytes(data)

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever kept back here."""


class Peer:
    """A wire, what it wrote, and what it handed on."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, Message]] = []
        self.transport = Written()
        self.wire = Wire(lambda sid, message: self.messages.append((sid, message)))
        self.wire.connection_made(self.transport)


BLOCK = header_block(header_line("Rb-Batch", "x-1") + header_line("Nats-Expected-Last-Subject-Sequence", 7))
STATUS = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n"
STREAM = b"".join(
    (
        INFO,
        b"MSG a.b 1 5\r\nhello\r\n",
        b"MSG a.b 2 reply.to 0\r\n\r\n",
        b"+OK\r\n",
        b"HMSG c 3 %d %d\r\n%bend\r\n" % (len(BLOCK), len(BLOCK) + 3, BLOCK),
        b"PING\r\n",
        b"HMSG inbox 4 r %d %d\r\n%b\r\n" % (len(STATUS), len(STATUS), STATUS),
        b"MSG d 5 4\r\n\r\n\r\n\r\n",
    )
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, len(STREAM)])
async def test_messages_are_found_however_the_bytes_are_cut(size: int) -> None:
    peer = Peer()
    for start in range(0, len(STREAM), size):
        peer.wire.data_received(STREAM[start : start + size])
    assert (await peer.wire.info_received).max_payload == 99
    assert [sid for sid, _ in peer.messages] == [1, 2, 3, 4, 5]
    first, second, third, fourth, fifth = (message for _, message in peer.messages)
    assert (first.subject, first.reply, first.payload) == (b"a.b", b"", b"hello")
    assert (second.reply, second.payload) == (b"reply.to", b"")
    assert third.payload == b"end"
    assert third.header(b"Rb-Batch") == "x-1"
    assert third.header(b"Rb") is None
    assert third.status is None
    assert (fourth.status, fourth.status_text) == (408, "Request Timeout")
    assert fourth.header(b"Nats-Pending-Messages") == "3"
    assert fifth.payload == b"\r\n\r\n"
    await asyncio.sleep(0)
    assert peer.transport.data == b"PONG\r\n"


async def test_what_is_sent_in_one_turn_leaves_in_one_write() -> None:
    peer = Peer()
    peer.wire.send(b"PUB a 1\r\n", b"x", b"\r\n")
    pong = peer.wire.ping()
    assert peer.transport.data == b""
    await asyncio.sleep(0)
    assert peer.transport.data == b"PUB a 1\r\nx\r\nPING\r\n"
    assert peer.wire.pings_unanswered == 1
    peer.wire.data_received(b"PONG\r\n")
    await pong
    assert peer.wire.pings_unanswered == 0


async def test_the_server_s_error_is_kept_as_the_reason() -> None:
    peer = Peer()
    pong = peer.wire.ping()
    peer.wire.data_received(b"-ERR 'Authorization Violation'\r\n")
    peer.wire.connection_lost(None)
    assert peer.wire.lost.is_set()
    assert "Authorization Violation" in peer.wire.fault
    with pytest.raises(ConnectionError, match="Authorization"):
        await pong


async def test_a_line_without_end_breaks_the_connection() -> None:
    peer = Peer()
    peer.wire.data_received(b"X" * (CONTROL_LINE_LIMIT + 1))
    assert peer.transport.aborted


def test_a_header_takes_no_line_break() -> None:
    for value in ("a\r\nb: c", "a\nb", "a\r"):
        with pytest.raises(ValueError, match="line break"):
            header_line("Rb-Batch", value)
