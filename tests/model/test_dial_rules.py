"""Dial rules: which one matches, what it captured, where it sends the call (contract §4)."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbridge.model.dial_patterns import check_pattern
from ringbridge.model.dial_plan import Dialling, DialPlan
from ringbridge.model.dial_rules import Destination, Match, Shown, rule_of, translate
from ringbridge.model.directory import DialRule, PhoneNumber
from tests.calls.samples import DOMAIN

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def rule(pattern: str, name: str = "", **fields: str) -> DialRule:
    """Return a rule; `fields` are those of `DialRule` without their long prefixes."""
    long = {
        "source": "dail_rule_matching_from_uri",
        "application": "dial_rule_application",
        "parameter": "dial_rule_parameter",
        "user": "dial_rule_translation_destination_user",
        "host": "dial_rule_translation_destination_host",
        "source_name": "dial_rule_translation_source_name",
        "source_user": "dial_rule_translation_source_user",
        "source_host": "dial_rule_translation_source_host",
    }
    return DialRule(
        domain=DOMAIN,
        dial_rule_dial_plan=DOMAIN,
        dialrule=name or pattern,
        dail_rule_matching_to_uri=pattern,
        **{long.get(key, key): value for key, value in fields.items()},  # type: ignore[arg-type] # `enabled` is one of two
    )


def found(rules: list[DialRule], dialled: str, *, source: str = "1001", application: str = "call") -> Match | None:
    call = Dialling(f"sip:{dialled}@{DOMAIN}", f"sip:{source}@{DOMAIN}", application, NOON)
    return DialPlan(rules).choose(call)


def taken(rules: list[DialRule], dialled: str, *, source: str = "1001", application: str = "call") -> str | None:
    hit = found(rules, dialled, source=source, application=application)
    return hit.rule.dialrule if hit else None


def sent_to(one: DialRule, dialled: str) -> Destination:
    hit = found([one], dialled)
    assert hit is not None
    return translate(hit, dialled=dialled.removeprefix("+"), domain=DOMAIN)


@pytest.mark.parametrize(
    ("pattern", "dialled", "matches"),
    [
        ("sip:1002@*", "1002", True),
        ("sip:1002@*", "10021", False),
        ("sip:1002@*", "002", False),
        ("sip:X@*", "0", True),
        ("sip:X@*", "a", False),
        ("sip:N@*", "2", True),
        ("sip:N@*", "1", False),
        ("sip:Z@*", "1", True),
        ("sip:Z@*", "0", False),
        ("sip:?@*", "#", True),
        ("sip:?@*", "", False),
        ("sip:1NXXNXXXXXX@*", "12125550199", True),
        ("sip:1NXXNXXXXXX@*", "11125550199", False),
        ("sip:1NXXNXXXXXX@*", "+12125550199", True),
        ("sip:+1NXXNXXXXXX@*", "12125550199", True),
        ("sip:+1NXXNXXXXXX@*", "+12125550199", True),
        ("sip:45*@*", "4531234567", True),
        ("sip:45*@*", "45", True),
        ("sip:45*@*", "46", False),
        ("sip:45*@other.example", "4531234567", False),
        ("sip:45*@demo.example", "4531234567", True),
        ("sip:45*@*.example", "4531234567", True),
        ("sip:45*", "4531234567", True),
        ("45*", "+4531234567", True),
        ("*", "anything", True),
        ("sip:*@*", "anything", True),
        ("sip:*@*", "*97", True),
        ("sip:1.2@*", "1x2", False),
        ("sip:(1|2)@*", "1", False),
        ("sip:[0-9]@*", "5", False),
        ("sip:1002@demoXexample", "1002", False),
    ],
)
def test_a_pattern_matches(pattern: str, dialled: str, *, matches: bool) -> None:
    assert (found([rule(pattern)], dialled) is not None) is matches


@pytest.mark.parametrize(
    ("pattern", "dialled", "captured"),
    [
        ("sip:9*@*", "94531234567", "4531234567"),
        ("sip:9*", "94531234567", "4531234567"),
        ("9*", "94531234567", "4531234567"),
        ("sip:*@*", "4531234567", "4531234567"),
        ("*", "4531234567", "4531234567"),
        ("sip:*@demo.example", "4531234567", "4531234567"),
        ("sip:00*@*", "004531234567", "4531234567"),
        ("sip:+*@*", "+4531234567", "4531234567"),
        ("sip:*99@*", "123499", "1234"),
        ("sip:9*@*", "9", ""),
        ("sip:1002@*", "1002", "1002"),
        ("sip:1NXXNXXXXXX@*", "12125550199", "12125550199"),
    ],
)
def test_a_wildcard_captures_the_user_part_and_no_more(pattern: str, dialled: str, captured: str) -> None:
    hit = found([rule(pattern)], dialled)
    assert hit is not None
    assert hit.captured == captured


def test_the_more_specific_rule_goes_first_however_they_are_ordered() -> None:
    rules = [rule("*"), rule("sip:45*@*"), rule("sip:4531*@*"), rule("sip:45NXXXXXXX@*"), rule("sip:4531234567@*")]
    for order in (rules, rules[::-1], rules[2:] + rules[:2]):
        assert taken(order, "4531234567") == "sip:4531234567@*"
        assert taken(order, "4531999999") == "sip:4531*@*"
        assert taken(order, "45999999999") == "sip:45*@*"
        assert taken(order, "1002") == "*"


def test_a_pattern_of_classes_goes_before_a_wildcard_with_as_many_literals() -> None:
    rules = [rule("sip:45*@*"), rule("sip:45XXXXXXXX@*")]
    assert taken(rules, "4531234567") == "sip:45XXXXXXXX@*"


@pytest.mark.parametrize("other", ["4531*", "sip:4531*", "sip:+4531*@*", "sip:4531*@*"])
def test_how_a_pattern_is_written_makes_it_no_more_specific(other: str) -> None:
    """Scheme, plus and host are spelling; only what is dialled counts first."""
    assert taken([rule("sip:45*@demo.example"), rule(other)], "4531234567") == other


def test_a_rule_for_one_source_goes_before_one_for_all() -> None:
    rules = [rule("sip:45*@*", "all"), rule("sip:45*@*", "mine", source="sip:1001@*")]
    assert taken(rules, "4531234567", source="1001") == "mine"
    assert taken(rules, "4531234567", source="1002") == "all"


def test_a_rule_for_another_source_is_passed_over() -> None:
    assert taken([rule("sip:45*@*", source="sip:2*@*")], "4531234567") is None


def test_the_requested_application_goes_before_a_more_specific_rule() -> None:
    rules = [rule("sip:4531*@*", "user"), rule("sip:45*@*", "trunk", application="to-connection")]
    assert taken(rules, "4531234567", application="to-connection") == "trunk"
    assert taken(rules, "4531234567", application="call") == "user"
    assert taken(rules, "4531234567", application="nobody-has-this") == "user"


def test_a_rule_that_is_off_is_passed_over() -> None:
    rules = [rule("sip:4531*@*", "off", enabled="no"), rule("sip:45*@*", "on")]
    assert taken(rules, "4531234567") == "on"
    assert taken(rules[:1], "4531234567") is None


def test_a_rule_that_cannot_be_read_spoils_no_other() -> None:
    assert check_pattern("sip:*1*2*3*@*") is not None
    rules = [rule("sip:*1*2*3*@*"), rule("*", "source-bad", source="****"), rule("sip:45*@*", "good")]
    assert taken(rules, "4531234567") == "good"


@pytest.mark.parametrize("pattern", ["*", "sip:*@*", "1002", "sip:1NXXNXXXXXX@*"])
def test_a_good_pattern_has_no_fault(pattern: str) -> None:
    assert check_pattern(pattern) is None


def test_an_empty_pattern_is_refused() -> None:
    assert check_pattern("") is not None


def test_a_translation_fills_in_what_the_wildcard_matched() -> None:
    one = rule(
        "sip:9*@*", application="to-connection", parameter="trunk.<OwnDomain>", user="45[*]", host="gw.<OwnDomain>"
    )
    assert sent_to(one, "931234567") == Destination(
        application="to-connection",
        parameter=f"trunk.{DOMAIN}",
        user="4531234567",
        host=f"gw.{DOMAIN}",
        pattern="sip:9*@*",
        rule="sip:9*@*",
        plan=DOMAIN,
    )


@pytest.mark.parametrize(
    ("pattern", "template", "dialled", "user"),
    [
        ("sip:9*@*", "[*]", "931234567", "31234567"),
        ("sip:9*@*", "", "931234567", "31234567"),
        ("sip:9*@*", "1002", "931234567", "1002"),
        ("sip:1NXXNXXXXXX@*", "[*]", "+12125550199", "12125550199"),
        ("sip:1NXXNXXXXXX@*", "00[*]", "12125550199", "0012125550199"),
        ("*", "[*]", "+4531234567", "4531234567"),
        ("sip:*@*", "[*][*]", "12", "1212"),
    ],
)
def test_a_destination_is_translated(pattern: str, template: str, dialled: str, user: str) -> None:
    assert sent_to(rule(pattern, user=template), dialled).user == user


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, Shown()),
        ({"source_user": "45[*]"}, Shown(user="45001")),
        ({"source_user": "+4570101000", "source_name": "Sales <OwnDomain>"}, Shown(f"Sales {DOMAIN}", "+4570101000")),
        ({"source_name": "<Null>", "source_user": "<Null>"}, Shown("", "")),
        ({"source_host": "gw.<OwnDomain>"}, Shown(host=f"gw.{DOMAIN}")),
        ({"source_name": "", "source_user": "[*]", "source_host": "[*]"}, Shown()),
    ],
)
def test_a_source_is_translated(fields: dict[str, str], shown: Shown) -> None:
    assert sent_to(rule("sip:9*@*", source="sip:1*@*", **fields), "91").shown == shown


def test_a_rule_may_send_a_number_to_nobody_in_particular() -> None:
    assert sent_to(rule("sip:9*@*", user="<Null>"), "91").user == ""


def test_a_rule_without_an_application_rings_a_user() -> None:
    assert sent_to(rule("sip:9*@*", application=""), "91").application == "to-user"


def test_a_phone_number_stands_for_a_rule() -> None:
    number = PhoneNumber(DOMAIN, "4570101021", user="1002")
    assert sent_to(rule_of(number), "4570101021").user == "1002"
    sent = sent_to(
        rule_of(msgspec.structs.replace(number, dial_rule_translation_destination_user="1003")), "4570101021"
    )
    assert sent.user == "1003"
    assert found([rule_of(msgspec.structs.replace(number, enabled="no"))], "4570101021") is None
    assert taken([rule("sip:45*@*"), rule_of(number)], "+4570101021") == "4570101021"


def test_a_host_is_left_alone_unless_the_rule_names_one() -> None:
    assert sent_to(rule("sip:9*@*"), "91").host == ""


@pytest.mark.parametrize("dialled", ["1" * 128, "12" * 64, "1" * 127 + "x", "45" * 63 + "!"])
@pytest.mark.parametrize("pattern", ["sip:*1*2*", "sip:1*1*1*", "sip:*?*?*", "*?1*?2*", "sip:" + "?" * 120 + "*1*"])
def test_no_number_takes_long_to_match(pattern: str, dialled: str) -> None:
    """128 characters are as long as the API lets a destination be."""
    started = time.process_time()
    found([rule(pattern)], dialled)
    assert time.process_time() - started < 0.1


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=150)
def test_matching_is_total(pattern: str, source: str, dialled: str) -> None:
    hit = found([rule(pattern, source=source)], dialled)
    if hit is not None:
        assert len(translate(hit, dialled=dialled, domain=DOMAIN).user) <= len(dialled) + len(DOMAIN) + 1
