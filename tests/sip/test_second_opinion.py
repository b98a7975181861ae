"""What the `sipmessage` library, written by others, reads in a message, we read too."""

import pytest
import sipmessage
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.headers import CSeq, Via
from ringbridge.sip.message import Request, parse
from ringbridge.sip.message_base import Message
from ringbridge.sip.uri import NameAddress, Uri
from tests.sip import samples
from tests.sip.rfc4475.expectations import EXPECTED, read

TOKEN = st.from_regex(r"[A-Za-z0-9.!%*_+`'~-]{1,10}", fullmatch=True).filter(lambda each: "%" not in each)
HOST = st.sampled_from(["example.com", "192.0.2.1", "[2001:db8::1]", "a-b.c-d.example"])
PORT = st.none() | st.integers(1, 65535)

# Theirs are not well-formed, by RFC 4475, and they read them all the same.
LENIENT = {"clerr", "ncl", "mcl01", "multi01", "mismatch01", "mismatch02", "bigcode", "scalarlg"}


def same_uri(ours: str, theirs: sipmessage.URI) -> None:
    uri = Uri.parse(ours)
    assert (uri.scheme, uri.user, uri.host, uri.port) == (theirs.scheme, theirs.user, theirs.host, theirs.port)
    assert dict(uri.params) == {name.lower(): value for name, value in theirs.parameters.items()}


def same(ours: Message, theirs: sipmessage.Request | sipmessage.Response) -> None:
    if isinstance(ours, Request):
        assert isinstance(theirs, sipmessage.Request)
        assert ours.method == theirs.method
        same_uri(ours.uri, theirs.uri)
    assert (ours.cseq.number, ours.cseq.method) == (theirs.cseq.sequence, theirs.cseq.method)
    assert ours.call_id == theirs.call_id
    via = theirs.via[0]
    assert (ours.via.transport, ours.via.host, ours.via.port) == (via.transport, via.host, via.port)
    assert ours.via.branch == via.parameters.get("branch")
    for mine, other in ((ours.from_, theirs.from_address), (ours.to, theirs.to_address)):
        same_uri(mine.uri, other.uri)
        assert mine.tag == other.parameters.get("tag")


@pytest.mark.parametrize("data", samples.ALL)
def test_ordinary_messages(data: bytes) -> None:
    same(parse(data), sipmessage.Message.parse(data))


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - LENIENT))
def test_torture_messages_that_both_read(name: str) -> None:
    try:
        theirs = sipmessage.Message.parse(read(name))
        _ = theirs.cseq, theirs.call_id, theirs.via, theirs.from_address, theirs.to_address
    except (ValueError, KeyError):
        with_us = EXPECTED[name]
        assert with_us.refusals or name in ("semiuri", "regescrt", "wsinv")
        return
    if name not in ("esc02", "intmeth"):  # a `%` in a branch: theirs decodes it, though a token knows no escapes
        same(parse(read(name)), theirs)


@given(
    user=st.text("abcXYZ019 -_.!~*'()&=+$,;?/@%ü", min_size=1),
    host=HOST,
    port=PORT,
    params=st.dictionaries(TOKEN, st.none() | TOKEN),
)
def test_uris(user: str, host: str, port: int | None, params: dict[str, str | None]) -> None:
    params = {name.lower(): value for name, value in params.items() if name != "self"}
    sent = Uri("sip", user, host, port, params).serialize()
    try:
        theirs = sipmessage.URI.parse(sent)
    except ValueError:
        assert any(char in name for name in params for char in "%`") or "`" in sent
        return
    same_uri(sent, theirs)


@given(transport=st.sampled_from(["UDP", "TCP", "WSS"]), host=HOST, port=PORT, branch=TOKEN)
def test_vias(transport: str, host: str, port: int | None, branch: str) -> None:
    sent = Via(transport, host, port, {"branch": branch, "rport": None}).serialize()
    theirs = sipmessage.Via.parse(sent)
    assert (theirs.transport, theirs.host, theirs.port) == (transport, host, port)
    assert dict(theirs.parameters) == {"branch": branch, "rport": None}


@given(number=st.integers(0, 2**31 - 1), method=TOKEN)
def test_cseqs(number: int, method: str) -> None:
    sent = str(sipmessage.CSeq(number, method))
    assert CSeq.parse(sent) == CSeq(number, method)


@given(display=st.text("abc ÄÖ\\.,;<>@\"'", max_size=10), tag=TOKEN)
def test_addresses_of_theirs(display: str, tag: str) -> None:
    address = sipmessage.Address(
        uri=sipmessage.URI(scheme="sip", user="a", host="example.com"),
        name=display,
        parameters=sipmessage.Parameters(tag=tag),
    )
    try:
        mine = NameAddress.parse(str(address))
    except ProtocolError:
        assert "%" in str(address)
        return
    assert mine.display == display
    assert mine.uri == "sip:a@example.com"
