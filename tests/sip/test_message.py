import pytest

from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.message import Limits, Request, Response, parse, request, response_to
from ringbridge.sip.peer import Peer, Transport
from tests.sip import samples

HEAD = (
    "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nTo: <sip:a@b>\r\nFrom: <sip:c@d>;tag=1\r\n"
    "Call-ID: x\r\nCSeq: 1 OPTIONS\r\n"
)


def options(extra: str = "", body: bytes = b"") -> bytes:
    return (HEAD + extra + "\r\n").encode() + body


def read(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def refusal(data: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse(data)
    return caught.value


def test_invite_is_read() -> None:
    message = read(samples.INVITE)
    assert (message.method, message.uri) == ("INVITE", "sip:1001@192.0.2.10:5060;transport=udp")
    assert (message.via.host, message.via.port, message.via.params["rport"]) == ("192.0.2.1", 5060, None)
    assert (message.from_.display, message.from_.tag, message.to.tag) == ("Click To Call", "9fxced76sl", None)
    assert (message.cseq.number, message.cseq.method) == (1, "INVITE")
    assert message.tokens("allow") == ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE"]
    assert message.body == samples.SDP
    assert (message.expires, message.max_forwards, message.content_type) == (None, 70, "application/sdp")
    assert message.via is message.via


def test_compact_forms_and_lists_over_several_lines() -> None:
    message = parse(samples.RINGING)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (180, "Ringing")
    assert [route.uri for route in message.record_routes] == [
        "sip:proxy.example.com;lr",
        "sip:192.0.2.99;lr;ftag=9fxced76sl",
    ]
    answer = parse(samples.OK)
    assert answer.first("Supported") == "replaces, 100rel, timer"
    assert answer.all("m") == ["<sip:1001@192.0.2.10:5060;transport=udp>"]
    assert answer.call_id == message.call_id


@pytest.mark.parametrize("data", samples.ALL)
def test_what_is_serialized_is_read_the_same(data: bytes) -> None:
    message = parse(data)
    again = parse(message.serialize())
    assert again.headers == message.headers
    assert again.body == message.body


def test_unknown_headers_are_found_in_any_case_and_sent_as_written() -> None:
    message = read(options("x-Thing: 1\r\nX-THING: 2\r\n"))
    assert message.first("X-Thing") == "1"
    assert message.lines("X-Thing") == ["1", "2"]
    assert b"\r\nx-Thing: 1\r\nX-THING: 2\r\n" in message.serialize()


def test_headers_can_be_changed_and_readings_follow() -> None:
    message = read(options("Contact: <sip:a@b>\r\nX-A: 1\r\nContact: <sip:c@d>\r\n"))
    assert len(message.contacts) == 2
    message.set("m", "<sip:e@f>")
    assert [contact.uri for contact in message.contacts] == ["sip:e@f"]
    assert [name for name, _ in message.headers][-2:] == ["Contact", "X-A"]
    message.add("contact", "<sip:g@h>")
    assert len(message.contacts) == 2
    message.remove("Contact")
    assert message.contacts == []
    message.set("Expires", "60")
    assert message.expires == 60


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ("To: <sip:a@b>\r\n", 400),
        ("CSeq: 1 OPTIONS\r\n", 400),
        ("Content-Length: 1\r\n", 400),
        ("Content-Length: x\r\n", 400),
        ("Content-Length: -1\r\n", 400),
        ("Content-Length: 0\r\nl: 0\r\n", 400),
        ("no colon\r\n", 400),
        (": no name\r\n", 400),
        ("bad name: x\r\n", 400),
        ("X-A: a\x00b\r\n", 400),
        ("X-A: a\nY: b\r\n", 400),
        ("X-A: a\rY: b\r\n", 400),
        ("X-A: 1\r\n" * 200, 400),
    ],
)
def test_broken_heads_are_refused_and_can_be_answered(extra: str, status: int) -> None:
    fault = refusal(options(extra))
    assert fault.status == status
    assert fault.request is not None
    sent = response_to(fault.request, 400, to_tag="t").serialize()
    assert parse(sent).call_id == "x"


@pytest.mark.parametrize("name", ["Via", "To", "From", "Call-ID", "CSeq"])
def test_mandatory_headers(name: str) -> None:
    data = "".join(line + "\r\n" for line in HEAD.split("\r\n") if not line.startswith(name + ":"))
    fault = refusal(data.encode())
    assert fault.status == (None if name == "Via" else 400)


@pytest.mark.parametrize(
    "value", ["", "0", "x OPTIONS", "1", "1 OPTIONS x", "-1 OPTIONS", "2147483648 OPTIONS", "9" * 500]
)
def test_bad_cseq(value: str) -> None:
    assert refusal(options().replace(b"1 OPTIONS", value.encode())).status == 400


def test_faults_in_responses_and_acks_are_dropped() -> None:
    assert refusal(samples.OK.replace(b"CSeq: 1", b"CSeq: x")).status is None
    assert refusal(samples.ACK.replace(b"CSeq: 1 ACK", b"CSeq: 1 BYE")).status is None
    assert refusal(samples.OK.replace(b"200 OK", b"700 OK")).status is None
    assert refusal(samples.OK.replace(b"SIP/2.0 200", b"SIP/2.0 0200")).status is None


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\x00\x00\x00\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"jaK\r\n"]
)
def test_what_is_not_sip_is_dropped(data: bytes) -> None:
    assert refusal(data).status is None


def test_versions() -> None:
    assert refusal(options().replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia")).status == 505
    assert read(options().replace(b"SIP/2.0\r\nVia", b"sip/2.0\r\nVia")).method == "OPTIONS"


def test_size_limits() -> None:
    assert refusal(options("X-A: " + "a" * 65536 + "\r\n")).status is None
    assert read(options("X-A: 1\r\n" * 195)).method == "OPTIONS"
    with pytest.raises(ProtocolError):
        parse(options("X-A: 1\r\n"), Limits(headers=5))


def test_leading_empty_lines_and_trailing_bytes_are_ignored() -> None:
    message = read(b"\r\n\r\n" + options("Content-Length: 2\r\n", b"okREST"))
    assert message.body == b"ok"


def test_folding_tabs_and_latin_1() -> None:
    message = read(options("Subject: a\r\n\t b\tc\r\nX-A:\r\n y\r\n"))
    assert (message.first("Subject"), message.first("X-A")) == ("a b c", "y")
    assert read(options().replace(b"<sip:c@d>", b'"J\xfcrgen" <sip:c@d>')).from_.display == "Jürgen"


def test_stamp_notes_where_a_request_came_from() -> None:
    here = Peer(Transport.UDP, "198.51.100.7", 40000)
    message = read(samples.REGISTER)
    message.stamp(here)
    assert message.via.params["received"] == "198.51.100.7"
    assert message.via.params["rport"] == "40000"
    assert message.first("Via") == (
        "SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bK1701109339;rport=40000;received=198.51.100.7"
    )
    same = read(options())
    same.stamp(Peer(Transport.UDP, "h", 5060))
    assert "received" not in same.via.params
    two = read(samples.OPTIONS)
    two.stamp(here)
    assert two.all("Via")[0].endswith(";received=198.51.100.7")
    assert two.all("Via")[1] == "SIP/2.0/UDP 192.0.2.8:5070;branch=z9hG4bK2;received=192.0.2.77"
    six = read(samples.BYE)
    six.stamp(Peer(Transport.TCP, "2001:db8::10", 7000))
    assert parse(six.serialize()).via.params["received"] == "2001:db8::10"


def test_response_copies_what_the_rfc_says() -> None:
    invite = read(samples.INVITE)
    invite.add("Record-Route", "<sip:p;lr>")
    invite.add("Timestamp", "54")
    ok = response_to(invite, 200, headers=[("Contact", "<sip:x@y>")], body=samples.SDP, to_tag="tt")
    assert (ok.status, ok.reason, ok.to.tag) == (200, "OK", "tt")
    assert ok.lines("Via") == invite.lines("Via")
    assert ok.lines("Record-Route") == ["<sip:p;lr>"]
    assert ok.first("Timestamp") is None
    trying = response_to(invite, 100)
    assert (trying.to.tag, trying.first("Timestamp"), trying.first("Record-Route")) == (None, "54", None)
    assert response_to(invite, 486).lines("Record-Route") == []
    register = read(samples.REGISTER)
    register.add("Record-Route", "<sip:p;lr>")
    assert response_to(register, 200).lines("Record-Route") == []
    assert response_to(read(samples.BYE), 200, to_tag="other").to.tag == "9fxced76sl"
    assert response_to(invite, 499).reason == "Bad Request"


def test_content_length_is_always_true() -> None:
    message = request("OPTIONS", "sip:a@b", [("Content-Length", "99"), ("Call-ID", "x")], b"abc")
    assert message.serialize() == b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: x\r\nContent-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize("uri", ["sip:a@b\r\nX: y", "sip:a b", "no-scheme", "sip:<a>", 'sip:"'])
def test_unsafe_request_uri(uri: str) -> None:
    with pytest.raises(UnsafeHeader, match="URI"):
        request("OPTIONS", uri, []).serialize()


def test_unsafe_method_and_reason() -> None:
    with pytest.raises(UnsafeHeader, match="method"):
        request("OPTIONS x", "sip:a@b", []).serialize()
    with pytest.raises(UnsafeHeader, match="reason"):
        Response(200, "OK\r\nX: y").serialize()
