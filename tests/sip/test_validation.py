import pytest

from ringbridge.sip.message import Request, Response, parse
from ringbridge.sip.validation import METHODS, Rules, validate_request, validate_response
from tests.sip import samples


def invite(
    *headers: tuple[str, str], method: str = "INVITE", uri: str = "sip:a@b", body: bytes = b"v=0\r\n"
) -> Request:
    mandatory = [
        ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"),
        ("To", "<sip:a@b>"),
        ("From", "<sip:c@d>;tag=1"),
        ("Call-ID", "x"),
        ("CSeq", f"1 {method}"),
    ]
    return Request(method, uri, [*mandatory, *headers], body)


SDP = ("Content-Type", "application/sdp")


@pytest.mark.parametrize("data", [samples.INVITE, samples.BYE, samples.REGISTER, samples.OPTIONS])
def test_ordinary_requests_pass(data: bytes) -> None:
    request = parse(data)
    assert isinstance(request, Request)
    assert validate_request(request, Rules(options=frozenset({"path", "outbound"}))) is None


@pytest.mark.parametrize(
    ("request_", "status", "header"),
    [
        (invite(SDP, method="REFER"), 405, ("Allow", ", ".join(sorted(METHODS)))),
        (invite(SDP, method="FROBNICATE"), 501, None),
        (invite(SDP, uri="http://x"), 416, None),
        (invite(SDP, uri="sip:a@b?Route=x"), 400, None),
        (invite(SDP, uri="sip:a@@b"), 400, None),
        (invite(SDP, ("Max-Forwards", "256")), 400, None),
        (invite(SDP, ("Contact", "<sip:a@b>, <sip:c@d>")), 400, None),
        (invite(SDP, ("Contact", "<http://x>")), 416, None),
        (invite(SDP, ("Contact", "*")), 400, None),
        (invite(SDP, ("Route", "nonsense")), 400, None),
        (invite(SDP, ("Record-Route", "<sip:a")), 400, None),
        (invite(SDP, ("Require", "Timer, precondition"), ("Require", "x")), 420, ("Unsupported", "precondition, x")),
        (invite(("Content-Type", "text/plain")), 415, ("Accept", "application/sdp")),
        (invite(("Content-Type", "text")), 400, None),
        (invite(), 400, None),
        (invite(SDP, ("Content-Encoding", "gzip")), 415, ("Accept-Encoding", "identity")),
        (invite(SDP, ("Accept", "text/html")), 406, ("Accept", "application/sdp")),
        (invite(SDP, ("Accept", "")), 406, None),
    ],
)
def test_refusals(request_: Request, status: int, header: tuple[str, str] | None) -> None:
    fault = validate_request(request_)
    assert fault is not None
    assert fault.status == status
    assert fault.request is request_
    if header is not None:
        assert fault.headers == (header,)


@pytest.mark.parametrize(
    "request_",
    [
        invite(body=b""),
        invite(SDP, ("Accept", "text/html, application/*;q=0.1")),
        invite(("Content-Type", "text/plain"), ("Content-Disposition", "render; handling = optional")),
        invite(("Require", "precondition"), method="CANCEL", body=b""),
        invite(("Content-Type", "application/dtmf-relay"), method="INFO"),
        invite(SDP, ("Contact", '"A" <sips:a@[::1]:5061;transport=tcp>')),
        invite(SDP, uri="tel:+4930123"),
    ],
)
def test_tolerated(request_: Request) -> None:
    assert validate_request(request_) is None


def test_a_response_has_one_via() -> None:
    response = parse(samples.RINGING)
    assert isinstance(response, Response)
    assert validate_response(response) is None
    response.add("Via", "SIP/2.0/UDP other;branch=z9hG4bK2")
    fault = validate_response(response)
    assert fault is not None
    assert fault.status is None
    response.set("Via", "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2")
    assert validate_response(response) is not None
