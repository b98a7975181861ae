"""Parties and numbers as people and programs write them (contract §3)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbridge.model.numbers import CALLER_ID, NAME, NUMBER, Party, is_number, parse_party, plain_number, same_number


@pytest.mark.parametrize(
    ("text", "party"),
    [
        ("1002", Party("1002")),
        (" 1002 ", Party("1002")),
        ("1001_mobile", Party("1001_mobile")),
        ("1001m@demo.example", Party("1001m", "demo.example")),
        ("1004@demo.example", Party("1004", "demo.example")),
        ("sip:1002@demo.example", Party("1002", "demo.example", is_uri=True)),
        ("SIP:1002@demo.example", Party("1002", "demo.example", is_uri=True)),
        ("sip:1002", Party("1002", is_uri=True)),
        ("+4531234567", Party("+4531234567")),
        ("+45 31 23-45 67", Party("+4531234567")),
        ("10-02", Party("1002", written="10-02")),
        ("100.1@demo.example", Party("1001", "demo.example", written="100.1")),
        ("+45 (0)31.23/45 67", Party("+45031234567")),
        ("(212) 555-0199", Party("2125550199")),
        ("+1\u00a0212\u00a0555\u00a00199", Party("+12125550199")),
        ("*97", Party("*97")),
        ("#31#4531234567", Party("#31#4531234567")),
        ("alice", Party("alice")),
    ],
)
def test_a_party_is_read(text: str, party: Party) -> None:
    assert parse_party(text) == party


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "@demo.example",
        "1002@",
        "sip:",
        "sip:@demo.example",
        "tel:+4531234567",
        "https://example.com",
        "1002@a@b",
        "1002@demo example",
        "alice bob",
        "<script>",
        "1002;phone-context=x",
        "1002\r\nX: y",
        "1002\x00",
        "1" * 33 + "@" + "d" * 65,
        "n" * 65,
        "\uff11\uff10\uff10\uff12",
    ],
)
def test_what_names_no_party_is_refused(text: str) -> None:
    assert parse_party(text) is None


@given(st.text(max_size=80))
@settings(max_examples=200)
def test_a_party_holds_nothing_that_could_harm_a_message(text: str) -> None:
    party = parse_party(text)
    if party is not None:
        assert NUMBER.fullmatch(party.name) or NAME.fullmatch(party.name)
        assert party.name.isascii()
        assert not set(party.host) & set(" \t\r\n\x00;<>@:/?")


@given(st.text(alphabet="+0123456789 -.()/[]\u00a0", max_size=40))
@settings(max_examples=200)
def test_separators_make_no_difference(text: str) -> None:
    plain = "".join(one for one in text if one in "+0123456789")
    assert plain_number(text) == (plain if CALLER_ID.fullmatch(plain) else None)
    if NUMBER.fullmatch(plain):
        party = parse_party(text)
        assert party is not None
        assert party.name == plain
        assert party.written in ("", text.strip())


@pytest.mark.parametrize("text", ["+4570101010", "45376199", "1001", "00 45 70 10 10 10"])
def test_a_caller_id_is_a_number(text: str) -> None:
    assert plain_number(text) == text.replace(" ", "")


@pytest.mark.parametrize("text", ["", "+", "abc", "+45+31", "1" * 21, "12#4", "*97", "70\t10", "70\r\n10", "٣٤٥"])
def test_what_is_no_caller_id_is_refused(text: str) -> None:
    assert plain_number(text) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("+4570101010", "4570101010", True),
        ("+45 70 10 10 10", "+4570101010", True),
        ("4570101010", "70101010", False),
        ("004570101010", "+4570101010", False),
    ],
)
def test_a_plus_and_separators_make_no_other_number(one: str, other: str, *, same: bool) -> None:
    assert same_number(one, other) is same
    assert same_number(other, one) is same


def test_names_are_no_numbers() -> None:
    assert is_number("+4531234567")
    assert is_number("*97")
    assert not is_number("1001m")
    assert not is_number("")
    assert not is_number("+")


def test_nasty_input_is_read_in_linear_time() -> None:
    started = time.process_time()
    for text in ("(" * 65_536, "+" * 65_536, "1-" * 32_768, "sip:" * 16_384, "a@" * 32_768, " " * 65_536):
        parse_party(text)
        plain_number(text)
    assert time.process_time() - started < 0.5
