import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.message import Request, Response, parse
from ringbridge.sip.names import KNOWN
from ringbridge.sip.serializer import check_sdp, check_value, serialize

ANY = st.text(max_size=40)  # surrogates and control characters too
NAME = st.sampled_from(sorted(KNOWN)) | st.from_regex(r"[A-Za-z-]{1,12}", fullmatch=True) | ANY
VIA = [
    ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"),
    ("To", "<sip:a@b>"),
    ("From", "<sip:c@d>;tag=1"),
    ("Call-ID", "x"),
    ("CSeq", "1 OPTIONS"),
]


def bare(head: bytes) -> bytes:
    return head.replace(b"\r\n", b"")


@given(start=ANY, headers=st.lists(st.tuples(NAME, ANY), max_size=5), body=st.binary(max_size=50))
def test_nothing_leaves_with_a_line_of_its_own(start: str, headers: list[tuple[str, str]], body: bytes) -> None:
    try:
        data = serialize(start, headers, body)
    except UnsafeHeader:
        return
    head = data[: len(data) - len(body)]
    assert head.endswith(b"\r\n\r\n")
    sent = sum(1 for name, _ in headers if name != "Content-Length") + 1
    assert head.count(b"\r\n") == sent + 2
    assert not any(byte < 32 or byte == 127 for byte in bare(head))


@given(value=ANY, name=st.from_regex(r"X-[A-Za-z]{1,12}", fullmatch=True))
def test_an_accepted_header_is_read_back(name: str, value: str) -> None:
    try:
        data = Request("OPTIONS", "sip:a@b", [*VIA, (name, value)]).serialize()
    except UnsafeHeader:
        assert any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in value)
        return
    message = parse(data)
    assert message.first(name) == value.strip(" ")


@given(reason=ANY)
def test_an_accepted_reason_is_read_back(reason: str) -> None:
    try:
        data = Response(200, reason, VIA).serialize()
    except UnsafeHeader:
        assert any(char < " " or char == "\x7f" for char in reason)
        return
    message = parse(data)
    assert isinstance(message, Response)
    assert message.reason == reason


@pytest.mark.parametrize("char", ["\r", "\n", "\r\n", "\x00", "\t", "\x0b", "\x1f", "\x7f", "\ud800"])
def test_the_field_is_named(char: str) -> None:
    with pytest.raises(UnsafeHeader, match="Subject") as caught:
        serialize("OPTIONS sip:a SIP/2.0", [("Subject", f"a{char}b")], b"")
    assert caught.value.field == "Subject"
    with pytest.raises(UnsafeHeader, match="header name"):
        serialize("OPTIONS sip:a SIP/2.0", [(f"X{char}Y", "a")], b"")
    with pytest.raises(UnsafeHeader, match="start line"):
        serialize(f"OPTIONS sip:{char} SIP/2.0", [], b"")
    with pytest.raises(UnsafeHeader, match="caller ID"):
        check_value("caller ID", f"49{char}30")


@pytest.mark.parametrize("line", [b"a=x\ny\r\n", b"a=x\ry\r\n", b"a=\x00\r\n", b"a=x\n", b"\r"])
def test_sdp_lines_end_in_cr_lf_and_hold_nothing_else(line: bytes) -> None:
    with pytest.raises(UnsafeHeader, match="SDP line"):
        check_sdp(b"v=0\r\n" + line)
    with pytest.raises(UnsafeHeader, match="SDP line"):
        serialize("x", [("Content-Type", "application/SDP;charset=x")], line)
    assert serialize("x", [("Content-Type", "application/octet-stream")], line).endswith(line)


def test_a_refused_message_is_no_protocol_error() -> None:
    assert not issubclass(UnsafeHeader, ProtocolError)
    assert issubclass(UnsafeHeader, ValueError)
