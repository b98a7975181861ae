"""Any name becomes one subject token, and comes back."""

from __future__ import annotations

import pytest

from ringbridge.adapters.nats import subjects
from ringbridge.adapters.nats.subjects import (
    CALL_STREAMS,
    call_of,
    call_stream,
    call_tree,
    decode_token,
    encode_token,
    location_key,
    location_of,
    position,
    record_key,
    record_of,
    sequence_of,
    stream_of,
)
from ringbridge.model.ids import CallId, DomainName

NAMES = ["", "=", "abc", "A-b_9", "a.b", "*", ">", "a b", "x@y:+=-", "é\x00\n", "~", "=3D", "日本", ".." * 64]


@pytest.mark.parametrize("name", NAMES)
def test_a_token_is_safe_and_reversible(name: str) -> None:
    token = encode_token(name)
    assert token
    assert not set(token) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-=")
    assert decode_token(token) == name


def test_what_is_no_name_fills_no_memory() -> None:
    before = subjects._kept_token.cache_info().currsize
    assert decode_token(encode_token("." * 100_000)) == "." * 100_000
    assert subjects._kept_token.cache_info().currsize == before


def test_different_names_have_different_tokens() -> None:
    assert len({encode_token(name) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("token", ["a.b", "=41", "=zz", "*", ""])
def test_a_foreign_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        decode_token(token)


def test_subjects_tell_whose_they_are() -> None:
    domain, call_id = DomainName("a.example"), CallId("x.y@z")
    assert call_of(call_tree(domain, call_id) + ".events") == (domain, call_id)
    assert record_of(record_key("dialrule", ("a.example", "plan", "sip:1*@*"))) == (
        "dialrule",
        ("a.example", "plan", "sip:1*@*"),
    )
    assert location_of(location_key("a.example", "1001", "sip:x"))[:2] == ("a.example", "1001")


def test_positions_name_their_stream_and_grow() -> None:
    for stream in CALL_STREAMS:
        for sequence in (1, 2, 10**12):
            place = position(stream, sequence)
            assert (stream_of(place), sequence_of(place)) == (stream, sequence)
        assert position(stream, 1) < position(stream, 2)
    assert sequence_of(0) == 0


def test_calls_spread_over_all_streams_for_ever_alike() -> None:
    streams = [call_stream(DomainName("demo"), CallId(f"c{number}")) for number in range(1000)]
    assert set(streams) == set(CALL_STREAMS)
    assert min(streams.count(stream) for stream in CALL_STREAMS) > 80
    # Written down: another answer would lose every call that was made before.
    assert [stream.value for stream in streams[:4]] == ["CALLS0", "CALLS6", "CALLS4", "CALLS2"]
