"""What a connection does with what is written to it."""

from __future__ import annotations

import asyncio

from ringbridge.api.http.protocol import MOST_HELD_BYTES, JoinedWrites


class Wire(asyncio.Transport):
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


def joined() -> tuple[JoinedWrites, Wire]:
    wire = Wire()
    return JoinedWrites(wire, asyncio.get_running_loop()), wire


async def test_head_and_body_of_an_answer_leave_at_once_and_the_next_answer_behind_them() -> None:
    transport, wire = joined()
    transport.write(b"head")
    transport.write(b"body")
    assert wire.sent == []
    await asyncio.sleep(0)
    assert wire.sent == [b"headbody"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert wire.sent == [b"headbody", b"next"]
    assert transport.get_extra_info("peername") == ("127.0.0.1", 1)


async def test_a_long_answer_does_not_wait_so_that_the_transport_can_say_stop() -> None:
    transport, wire = joined()
    part = bytes(MOST_HELD_BYTES // 4)
    for _ in range(9):
        transport.write(part)
    assert [len(sent) for sent in wire.sent] == [5 * len(part)]
    await asyncio.sleep(0)
    assert [len(sent) for sent in wire.sent] == [5 * len(part), 4 * len(part)]


async def test_what_was_written_before_the_end_is_sent_and_after_an_abort_nothing() -> None:
    transport, wire = joined()
    transport.write(b"last")
    transport.close()
    await asyncio.sleep(0)
    assert wire.sent == [b"last"]
    transport, wire = joined()
    transport.write(b"last")
    transport.abort()
    await asyncio.sleep(0)
    assert wire.sent == []
