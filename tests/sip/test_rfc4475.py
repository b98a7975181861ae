"""All 49 torture messages, at the level of parsing and validating."""

import pytest

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.message import Request, Response, parse, response_to
from ringbridge.sip.registrar import check_register
from ringbridge.sip.uri import Uri
from ringbridge.sip.validation import validate_request, validate_response
from tests.sip.rfc4475.expectations import EXPECTED, FOLDER, read


def verdict(data: bytes) -> int | str:
    """Return the refusal's status, "accepted" or "discarded", and prove that a refusal can be sent."""
    try:
        message = parse(data)
    except ProtocolError as error:
        fault = error
    else:
        if isinstance(message, Response):
            return "accepted" if validate_response(message) is None else "discarded"
        refused = validate_request(message)
        if refused is None and message.method == "REGISTER":
            refused = check_register(message)
        if refused is None:
            return "accepted"
        fault = refused
    if fault.status is None:
        return "discarded"
    assert fault.request is not None
    answer = response_to(fault.request, fault.status, headers=fault.headers, to_tag="ours").serialize()
    assert answer.startswith(f"SIP/2.0 {fault.status} ".encode())
    assert b"\r\nVia:" in answer
    return fault.status


def request(name: str) -> Request:
    message = parse(read(name))
    assert isinstance(message, Request)
    return message


def response(name: str) -> Response:
    message = parse(read(name))
    assert isinstance(message, Response)
    return message


def test_there_are_49_messages() -> None:
    assert sorted(EXPECTED) == sorted(path.stem for path in FOLDER.glob("*.dat"))
    assert len(EXPECTED) == 49


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_torture_message_gets_what_the_rfc_says(name: str) -> None:
    expected = EXPECTED[name]
    found = verdict(read(name))
    if found == "accepted":
        assert expected.accepted
    elif found == "discarded":
        assert not expected.accepted
        assert not expected.refusals
    else:
        assert found in expected.refusals


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_no_prefix_of_a_torture_message_raises_anything_else(name: str) -> None:
    data = read(name)
    for end in range(0, len(data), 7):
        verdict(data[:end])


def test_wsinv_fields_are_read_through_folding_and_white_space() -> None:
    message = request("wsinv")
    assert message.uri == "sip:vivekg@chair-dnrc.example.com;unknownparam"
    assert (message.to.uri, message.to.tag) == ("sip:vivekg@chair-dnrc.example.com", "1918181833n")
    assert message.from_.display == 'J Rosenberg \\"'
    assert (message.from_.uri, message.from_.tag) == ("sip:jdrosen@example.com", "98asjd8")
    assert message.max_forwards == 68
    assert message.call_id == "wsinv.ndaksdj@192.0.2.1"
    assert str(message.cseq) == "9 INVITE"
    assert (message.via.transport, message.via.host, message.via.branch) == ("UDP", "192.0.2.2", "390skdjuw")
    assert not message.via.has_cookie
    assert len(message.all("Via")) == 3
    assert message.first("Subject") == ""
    assert message.first("newfangledheader") == "newfangled value continued newfangled value"
    assert message.first("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    (route,) = message.routes
    assert route.parsed_uri().params == {"lr": None, "unknownwith": "value", "unknown-no-value": None}
    (contact,) = message.contacts
    assert contact.display == 'Quoted string ""'
    assert contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert message.content_type == "application/sdp"
    assert len(message.body) == 150
    assert message.body.startswith(b"v=0\r\n")


def test_intmeth_odd_characters_are_tokens_and_display_names_are_made_harmless() -> None:
    message = request("intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.cseq.method == message.method
    uri = Uri.parse(message.uri)
    assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.to.display == "BEL:  NUL:  DEL: "
    assert message.from_.display == "token1~` token2'+_ token3*%!.-"
    assert message.from_.param("fromparam''~+*_!.-%") == "работающий"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.max_forwards == 255
    assert message.first("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_esc01_escapes_are_decoded_once_and_kept_in_place() -> None:
    message = request("esc01")
    uri = Uri.parse(message.uri)
    assert (uri.user, uri.host) == ("sips:user@example.com", "example.net")
    assert uri.serialize() == "sip:sips%3Auser%40example.com@example.net"
    assert message.to.parsed_uri().user == "user"
    assert message.from_.parsed_uri().user == "I have spaces"
    (contact,) = message.contacts
    assert contact.parsed_uri().user == "caller"
    assert contact.parsed_uri().params == {"lr": None, "name": "value%41"}


def test_escnull_does_not_truncate() -> None:
    message = request("escnull")
    assert message.to.parsed_uri().user == "null-\x00-null"
    users = [contact.parsed_uri().user for contact in message.contacts]
    assert users == ["\x00", "\x00\x00"]
    assert not message.contacts[0].parsed_uri().equivalent(message.contacts[1].parsed_uri())
    assert message.contacts[0].parsed_uri().serialize() == "sip:%00@host5.example.com"


def test_esc02_escapes_in_a_method_or_header_name_mean_nothing() -> None:
    message = request("esc02")
    assert message.method == "RE%47IST%45R"
    assert message.to.display == "%Z%45"
    assert [contact.uri for contact in message.contacts] == [
        "sip:alias1@host1.example.com",
        "sip:alias3@host3.example.com",
    ]


def test_lwsdisp_needs_no_space_before_the_bracket() -> None:
    assert request("lwsdisp").from_.display == "caller"


def test_longreq_is_read_whole() -> None:
    message = request("longreq")
    assert message.to.parsed_uri().port == 6000
    assert message.from_.tag is not None
    assert message.from_.tag.startswith("12982982982")
    assert len(message.all("Via")) == 34
    assert message.via.host == "sip33.example.com"
    (contact,) = message.contacts
    assert contact.uri.startswith("sip:amazinglylongcallername")
    assert message.content_type == "application/sdp"


def test_dblreq_ignores_what_trails() -> None:
    message = request("dblreq")
    assert (message.method, message.body) == ("REGISTER", b"")


def test_semiuri_semicolon_belongs_to_the_user() -> None:
    uri = Uri.parse(request("semiuri").uri)
    assert uri.user == "user;par=u@example.net"
    assert uri.params == {}
    assert uri.serialize() == "sip:user;par=u%40example.net@example.com"


def test_transports_of_any_name_are_read() -> None:
    message = request("transports")
    assert message.via.transport == "UDP"
    assert len(message.all("Via")) == 5


def test_mpart01_binary_body_is_kept() -> None:
    message = request("mpart01")
    assert len(message.body) == 553
    assert b"\x00" in message.body
    assert message.content_type == "multipart/mixed"


def test_unreason_and_noreason() -> None:
    assert response("unreason").reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert (response("noreason").status, response("noreason").reason) == (100, "")


def test_bext01_names_what_is_unsupported() -> None:
    fault = validate_request(request("bext01"))
    assert fault is not None
    assert fault.headers == (("Unsupported", "nothingSupportsThis, nothingSupportsThisEither"),)


def test_baddn_without_the_final_line_end_is_refused_too() -> None:
    assert verdict(read("baddn")[:-2]) == 400


def test_cparam_parameters_stay_where_they_stood() -> None:
    (header_param,) = request("cparam01").contacts
    assert header_param.params == {"unknownparam": None}
    (uri_param,) = request("cparam02").contacts
    assert uri_param.params == {}
    assert uri_param.parsed_uri().params == {"unknownparam": None}


def test_inv2543_without_branch_tag_or_length() -> None:
    message = request("inv2543")
    assert message.via.branch is None
    assert message.from_.tag is None
    assert message.body.endswith(b"m=audio 49217 RTP/AVP 0\r\n")
