"""Whatever arrives: a message, or a ProtocolError that can be answered; nothing else, and nothing slow."""

import re
from time import process_time

from ringbridge.sip import headers, uri
from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.framing import StreamFramer
from ringbridge.sip.message import Request, parse, response_to
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.registrar import check_register, register
from ringbridge.sip.validation import validate_request, validate_response
from tests.sip.mutate import mutated

PEER = Peer(Transport.UDP, "198.51.100.7", 5060)
BARE = re.compile(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")


def digest_one(data: bytes) -> str:
    """Do with a message what an endpoint does, and say what became of it."""
    try:
        message = parse(data)
    except ProtocolError as error:
        if error.status is None:
            return "dropped"
        answer(error.request, error)
        return "unreadable"
    if not isinstance(message, Request):
        validate_response(message)
        try:
            _ = message.contacts, message.record_routes
        except ProtocolError:
            return "response"
        return "response"
    message.stamp(PEER)
    fault = validate_request(message)
    if fault is None and message.method == "REGISTER":
        fault = check_register(message)
        if fault is None:
            register(message, (), peer=PEER, now=0.0)
    if fault is not None:
        answer(message, fault)
        return "refused"
    answer(message, ProtocolError(200, "OK"))
    return "request"


def answer(request: Request | None, fault: ProtocolError) -> None:
    assert request is not None
    assert fault.status is not None
    sent = response_to(request, fault.status, headers=fault.headers, to_tag="ours").serialize()
    head = sent.partition(b"\r\n\r\n")[0]
    assert not BARE.search(head)
    assert head.count(b"\r\nContent-Length:") == 1


def test_20_000_mutated_messages_are_read_or_refused() -> None:
    began = process_time()
    became: dict[str, int] = {}
    for data in mutated(seed=4475, count=20_000):
        kind = digest_one(data)
        became[kind] = became.get(kind, 0) + 1
    assert process_time() - began < 20
    assert set(became) == {"dropped", "unreadable", "response", "refused", "request"}
    assert min(became.values()) > 500  # the wounds are neither all deadly nor all harmless


def test_remembered_readings_are_bounded() -> None:
    for data in mutated(seed=2, count=2_000):
        digest_one(data)
    for cache in (headers._short_via, headers._short_cseq, uri._short_address):
        info = cache.cache_info()
        assert info.maxsize is not None
        assert info.currsize <= info.maxsize


def test_mutated_streams_never_yield_more_than_went_in() -> None:
    for number, data in enumerate(mutated(seed=99, count=2_000)):
        framer = StreamFramer()
        out: list[bytes] = []
        for begin in range(0, len(data), 1 + number % 97):
            framed = framer.feed(data[begin : begin + 1 + number % 97])
            out += framed.messages
            if framed.fault:
                break
        assert sum(map(len, out)) <= len(data)
        for message in out:
            digest_one(message)


def nasty(pattern: bytes, length: int) -> bytes:
    head = (
        b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nTo: <sip:a@b>\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"Call-ID: 1\r\nCSeq: 1 INVITE\r\n"
    )
    return head + pattern * (length // len(pattern)) + b"\r\n\r\n"


def test_64_kib_of_anything_costs_linear_time() -> None:
    patterns = (
        *(b"Contact: " + each * 1000 for each in (b"<", b"a;", b"a b", b"<sip:a>,", b'"', b"\\", b'a"', b'"\\')),
        *(b"Contact: <sip:" + each * 1000 for each in (b"a@", b"a.-", b"%41", b";a", b"a:", b"[:", b"?a=")),
        b"Contact: <tel:" + b"-(" * 1000,
        b"Contact: a" + b" " * 1000 + b"<",
        b"Via: " + b"SIP / 2.0 / " * 100,
        b"Via: SIP/2.0/UDP " + b" " * 1000,
        b"Require: " + b", " * 1000,
        b"Accept: " + b"a/" * 1000,
        b"X: " + b"\t" * 1000,
        b"\r\n" + b" " * 999,
        b" \r\n ",
        b"a: b\r\n",
        b"=;,<" * 64,
    )
    for pattern in patterns:
        for data in (nasty(pattern, 60_000), nasty(pattern + b"\r\n", 60_000)):
            began = process_time()
            digest_one(data)
            assert process_time() - began < 0.25, pattern[:20]
