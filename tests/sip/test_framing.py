from time import process_time

import pytest

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.framing import StreamFramer
from ringbridge.sip.message import Limits, parse
from tests.sip import samples
from tests.sip.rfc4475.expectations import EXPECTED, read


def test_messages_are_cut_at_any_border() -> None:
    stream = b"".join(samples.ALL)
    for step in (1, 2, 3, 7, 100, 1460, len(stream)):
        framer = StreamFramer()
        found: list[bytes] = []
        for begin in range(0, len(stream), step):
            framed = framer.feed(stream[begin : begin + step])
            assert framed.fault is None
            assert framed.reply == b""
            found += framed.messages
        assert found == list(samples.ALL)
        assert not framer.waiting


def test_compact_and_folded_content_length() -> None:
    data = b"OPTIONS sip:a SIP/2.0\r\nL :\r\n  3\r\nX: y\r\n\r\nabcNEXT"
    framed = StreamFramer().feed(data.replace(b"L :", b"L:"))
    assert framed.messages == (data.replace(b"L :", b"L:")[:-4],)
    assert StreamFramer().feed(data).messages == (data[:-4],)


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_pings_get_pongs(step: int) -> None:
    stream = b"\r\n\r\n" + samples.ACK + b"\r\n\r\n\r\n\r\n" + samples.BYE
    framer = StreamFramer()
    messages: list[bytes] = []
    reply = b""
    for begin in range(0, len(stream), step):
        framed = framer.feed(stream[begin : begin + step])
        messages += framed.messages
        reply += framed.reply
    assert messages == [samples.ACK, samples.BYE]
    assert reply == b"\r\n" * 3


def test_a_single_empty_line_is_a_pong_and_gets_nothing() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n").reply == b""
    assert framer.feed(samples.ACK).messages == (samples.ACK,)
    assert framer.feed(b"\r\n").reply == b""


@pytest.mark.parametrize(
    "line",
    [b"Content-Length: -1", b"Content-Length: x", b"l: 1\r\nContent-Length: 1", b"Content-Length: ", b"l: 99999999999"],
)
def test_nonsense_length_is_answered_and_ends_the_connection(line: bytes) -> None:
    framer = StreamFramer()
    framed = framer.feed(
        samples.ACK + b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n" + line + b"\r\n\r\nrest" + samples.BYE
    )
    assert framed.fault is not None
    first, second = framed.messages
    assert first == samples.ACK
    with pytest.raises(ProtocolError) as caught:
        parse(second)
    assert caught.value.status == 400
    assert framer.feed(samples.BYE).messages == ()
    assert framer.feed(b"").fault is framed.fault


def test_missing_length_ends_the_connection() -> None:
    framed = StreamFramer().feed(read("inv2543"))
    assert framed.messages == ()
    assert framed.fault is not None


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"\x00", b"{", b"\xff\xfe", b"\n\n"])
def test_what_cannot_be_sip_ends_at_its_first_byte(data: bytes) -> None:
    assert StreamFramer().feed(data).fault is not None


def test_limits() -> None:
    small = Limits(message_bytes=1000)
    assert StreamFramer(small).feed(b"a" * 1001).fault is not None
    assert StreamFramer(small).feed(b"OPTIONS sip:a SIP/2.0\r\nl: 990\r\n\r\n").fault is not None
    assert StreamFramer(small).feed(b"OPTIONS sip:a SIP/2.0\r\nl: 10\r\n\r\n").fault is None


def test_half_a_message_is_waited_for() -> None:
    framer = StreamFramer()
    framed = framer.feed(read("clerr"))
    assert framed.messages == ()
    assert framed.fault is None
    assert framer.waiting


def test_a_drip_costs_linear_time() -> None:
    head = b"OPTIONS sip:a SIP/2.0\r\nX: " + b"a" * 60_000
    framer = StreamFramer()
    began = process_time()
    for index in range(len(head)):
        framer.feed(head[index : index + 1])
    assert process_time() - began < 2.0


def test_torture_on_a_stream_closes_where_it_must() -> None:
    closed = {name for name in EXPECTED if StreamFramer().feed(read(name)).fault}
    of_datagrams = {"inv2543", "dblreq"}  # the one has no Content-Length, the other a byte more than it says
    assert {name for name, each in EXPECTED.items() if each.stream_closes} | of_datagrams == closed
