import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.headers import MAX_SECONDS, CSeq, MediaType, Via, parse_count, parse_seconds, parse_tokens
from ringbridge.sip.names import KNOWN, canonical, reason_phrase
from ringbridge.sip.params import format_params, parse_params, quote, split, unquote
from ringbridge.sip.peer import Peer, Transport

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)


def status_of(text: str, read: object) -> int | None:
    assert callable(read)
    with pytest.raises(ProtocolError) as caught:
        read(text)
    return caught.value.status


@given(text=TEXT)
def test_quoted_strings_survive(text: str) -> None:
    assert unquote(quote(text)) == text
    assert split(f"{quote(text)},x", ",") == [quote(text), "x"]


@given(
    params=st.dictionaries(st.from_regex(r"[a-z0-9\-.!%*_+`'~]{1,10}", fullmatch=True), st.none() | TEXT.filter(bool))
)
def test_parameters_survive(params: dict[str, str | None]) -> None:
    assert parse_params(format_params(params)[1:]) == params if params else format_params(params) == ""


@pytest.mark.parametrize("name", ["a b", "", "a;b", "a=b", "ä", "a\r\n"])
def test_parameter_names_are_tokens(name: str) -> None:
    with pytest.raises(UnsafeHeader, match="parameter name"):
        format_params({name: "x"})


def test_split_leaves_quotes_and_brackets_whole() -> None:
    text = r'"a,\",b" <sip:c,d@e>, f , <g>'
    assert split(text, ",") == [r'"a,\",b" <sip:c,d@e>', "f", "<g>"]
    assert split("a;b;;c", ";") == ["a", "b", "", "c"]


@pytest.mark.parametrize("text", ['"a', "<a", 'a"', '"\\"', "a,<b"])
def test_split_refuses_what_never_closes(text: str) -> None:
    assert status_of(text, lambda each: split(each, ",")) == 400


@pytest.mark.parametrize(
    ("text", "transport", "host", "port", "branch", "rfc3261"),
    [
        ("SIP/2.0/UDP h;branch=z9hG4bKx", "UDP", "h", None, "z9hG4bKx", True),
        ("sip / 2.0 / tcp [::1] : 5061 ;rport;Branch=Z9HG4BKx", "TCP", "[::1]", 5061, "Z9HG4BKx", True),
        ("SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK", "WS", "df7jal23ls0d.invalid", None, "z9hG4bK", False),
        ("SIP/2.0/UDP 192.0.2.1", "UDP", "192.0.2.1", None, None, False),
    ],
)
def test_vias(text: str, transport: str, host: str, port: int | None, branch: str | None, rfc3261: bool) -> None:  # noqa: FBT001
    via = Via.parse(text)
    assert (via.transport, via.host, via.port, via.branch) == (transport, host, port, branch)
    assert via.has_cookie is rfc3261
    assert Via.parse(via.serialize()) == via


@pytest.mark.parametrize(
    "text",
    ["", "SIP/2.0/UDP", "SIP/2.0 h", "SIP/3.0/UDP h", "SIP/2.0/UDP h:0", "SIP/2.0/UDP h:70000", "SIP/2.0/UDP h;;a",
     "SIP/2.0/UDP h;branch=a;branch=b", "SIP/2.0/UDP h x", "SIP/2.0/UDP [::1", "SIP/2.0/UDP h:5060x"],
)  # fmt: skip
def test_bad_vias(text: str) -> None:
    assert status_of(text, Via.parse) == 400


@pytest.mark.parametrize("params", ["branch=a<b", "branch=a,b", 'branch=a"b"c', "branch=a b", "x=<y>", 'x="y'])
def test_parameter_values_are_tokens_or_quoted(params: str) -> None:
    assert status_of(params, parse_params) == 400


def test_unsafe_via() -> None:
    with pytest.raises(UnsafeHeader, match="Via"):
        Via("UDP", "h\r\nX: y", None, {}).serialize()


def test_sent_by_is_compared_without_case() -> None:
    assert Via.parse("SIP/2.0/UDP Host:5060").sent_by == "host:5060"
    assert Via.parse("SIP/2.0/UDP Host").sent_by == "host"


def test_stamp_is_idle_when_nothing_differs() -> None:
    via = Via.parse("SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKx")
    assert via.stamped(Peer(Transport.UDP, "2001:db8::1", 9)) is via


def test_cseq_range() -> None:
    assert str(CSeq.parse("0002147483647   INVITE")) == "2147483647 INVITE"
    assert status_of("2147483648 INVITE", CSeq.parse) == 400


def test_media_types_and_ranges() -> None:
    assert MediaType.parse("Application / SDP ; Charset=utf-8") == MediaType("application/sdp", {"charset": "utf-8"})
    ranges = {"*/*": True, "application/*": True, "application/sdp": True, "text/*": False, "application/json": False}
    for text, covers in ranges.items():
        assert MediaType.parse(text).covers("application/sdp") is covers
    assert status_of("application", MediaType.parse) == 400


def test_numbers() -> None:
    assert parse_count("X", "0068", 255) == 68
    assert parse_seconds("Expires", "3600;x=y") == 3600
    assert parse_seconds("Retry-After", "18 (in a meeting)") == 18
    assert parse_seconds("Expires", "1" + "0" * 100) == MAX_SECONDS
    for text in ("", "-1", "1.5", "256", "x", "²", "9" * 5000):
        assert status_of(text, lambda each: parse_count("X", each, 255)) == 400
    for text in ("", "-1", "soon", "²"):
        assert status_of(text, lambda each: parse_seconds("Expires", each)) == 400


def test_token_lists() -> None:
    assert parse_tokens("timer , 100rel,,replaces,") == ["timer", "100rel", "replaces"]
    assert parse_tokens("") == []


def test_names() -> None:
    assert [canonical(name) for name in ("v", "VIA", "call-id", "www-authenticate", "X-Odd", "a b", "")] == [
        "Via", "Via", "Call-ID", "WWW-Authenticate", "X-Odd", None, None,
    ]  # fmt: skip
    assert all(canonical(name.upper()) == name for name in KNOWN)


def test_reason_phrases() -> None:
    assert [reason_phrase(status) for status in (200, 299, 487, 699, 799)] == [
        "OK", "OK", "Request Terminated", "Busy Everywhere", "Unknown",
    ]  # fmt: skip
