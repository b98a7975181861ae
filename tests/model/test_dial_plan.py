"""A dial plan chooses as its rules say, however many they are: held against a matcher that tries each rule."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from ringbridge.model.dial_plan import Dialling, DialPlan, order_of
from ringbridge.model.directory import DialRule, YesNo
from tests.calls.samples import DOMAIN

MONDAY_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SUNDAY_NIGHT = datetime(2026, 11, 22, 23, tzinfo=UTC)


def rule(to: str, name: str = "", **fields: str) -> DialRule:
    return DialRule(
        domain=DOMAIN,
        dial_rule_dial_plan=DOMAIN,
        dialrule=name or to,
        dail_rule_matching_to_uri=to,
        **fields,  # type: ignore[arg-type] # `enabled` is one of two
    )


def dialling(to: str, *, source: str = "1001", application: str = "call", at: datetime = MONDAY_NOON) -> Dialling:
    return Dialling(f"sip:{to}@{DOMAIN}", f"sip:{source}@{DOMAIN}", application, at)


def chosen(rules: list[DialRule], call: Dialling) -> str | None:
    found = DialPlan(rules).choose(call)
    return found.rule.dialrule if found else None


# --- the reference: every rule, character by character, without an index or a regular expression ---


def naive_match(pattern: str, text: str) -> list[str] | None:
    """Return what the wildcards matched, the first as much as it can, or None."""
    if not pattern:
        return [] if not text else None
    first, rest = pattern[0], pattern[1:]
    if first == "*":
        for length in range(len(text), -1, -1):
            found = naive_match(rest, text[length:])
            if found is not None:
                return [text[:length], *found]
        return None
    classes = {"X": "0123456789", "N": "23456789", "Z": "123456789"}
    if not text or not (first == "?" or text[0] in classes.get(first, first)):
        return None
    return naive_match(rest, text[1:])


def naive_specificity(pattern: str) -> tuple[int, ...]:
    user = pattern.removeprefix("sip:").removeprefix("+").partition("@")[0]
    kinds = [sum(one in kind for one in user) for kind in ("XNZ", "?", "*")]
    return (-(len(user) - sum(kinds)), -kinds[0], -kinds[1], kinds[2])


def naive_choice(rules: list[DialRule], to: str, source: str, application: str, *, weekend: bool) -> str | None:
    def user(pattern: str) -> str:
        return pattern.removeprefix("sip:").removeprefix("+").partition("@")[0]

    fit = []
    for one in rules:
        timed = one.dial_rule_matching_day_of_week != "*"
        if one.enabled != "yes" or (timed and weekend):
            continue
        if naive_match(user(one.dail_rule_matching_to_uri), to.removeprefix("+")) is None:
            continue
        if naive_match(user(one.dail_rule_matching_from_uri), source) is None:
            continue
        place = (
            one.dial_rule_application != application,
            naive_specificity(one.dail_rule_matching_to_uri),
            naive_specificity(one.dail_rule_matching_from_uri),
            not timed,
            one.dialrule,
        )
        fit.append((place, one.dialrule))
    return min(fit)[1] if fit else None


USERS = st.text("0123N?X*", min_size=1, max_size=6).filter(lambda text: text.count("*") <= 2)
APPLICATIONS = ("to-user", "to-connection", "hangup")


@st.composite
def plans(draw: st.DrawFn) -> list[DialRule]:
    rules = []
    for number in range(draw(st.integers(0, 12))):
        source = draw(st.one_of(st.just("*"), USERS.map(lambda user: f"sip:{user}@*")))
        enabled: YesNo = draw(st.sampled_from(("yes", "yes", "yes", "no")))
        rules.append(
            rule(
                f"sip:{draw(st.sampled_from(('', '+')))}{draw(USERS)}@*",
                f"r{number:02}",
                dail_rule_matching_from_uri=source,
                enabled=enabled,
                dial_rule_application=draw(st.sampled_from(APPLICATIONS)),
                dial_rule_matching_day_of_week=draw(st.sampled_from(("*", "*", "1-5"))),
            )
        )
    return draw(st.permutations(rules))


@given(
    plans(),
    st.text("0123+*", min_size=1, max_size=7),
    st.text("0123", min_size=1, max_size=4),
    st.sampled_from(("call", *APPLICATIONS)),
    st.booleans(),
)
@settings(max_examples=60)
def test_the_index_chooses_what_trying_every_rule_does(
    rules: list[DialRule],
    to: str,
    source: str,
    application: str,
    weekend: bool,  # noqa: FBT001 - as hypothesis gives it
) -> None:
    at = SUNDAY_NIGHT if weekend else MONDAY_NOON
    call = dialling(to, source=source, application=application, at=at)
    assert chosen(rules, call) == naive_choice(rules, to, source, application, weekend=weekend)


@given(USERS, st.text("0123456789*#ab", max_size=10))
@settings(max_examples=60)
def test_a_wildcard_captures_what_the_reference_does(pattern: str, dialled: str) -> None:
    found = DialPlan([rule(f"sip:{pattern}@*")]).choose(dialling(dialled))
    reference = naive_match(pattern.removeprefix("+"), dialled)
    if reference is None or found is None:
        assert found is None
        assert reference is None
    else:
        assert found.captured == (reference[0] if reference else dialled)


# --- order ---


def test_a_rule_for_certain_hours_goes_before_the_same_for_all() -> None:
    rules = [rule("sip:45*@*", "a-always"), rule("sip:45*@*", "z-weekdays", dial_rule_matching_day_of_week="1-5")]
    assert chosen(rules, dialling("4531")) == "z-weekdays"
    assert chosen(rules, dialling("4531", at=SUNDAY_NIGHT)) == "a-always"


def test_the_more_specific_source_goes_first() -> None:
    rules = [
        rule("sip:45*@*", "a", dail_rule_matching_from_uri="sip:1*@*"),
        rule("sip:45*@*", "b", dail_rule_matching_from_uri="sip:1001@*"),
        rule("sip:45*@*", "c", dail_rule_matching_from_uri="sip:1XXX@*"),
    ]
    assert chosen(rules, dialling("4531")) == "b"
    assert chosen(rules, dialling("4531", source="1002")) == "c"
    assert chosen(rules, dialling("4531", source="12")) == "a"


def test_equal_rules_go_by_name() -> None:
    assert chosen([rule("sip:45*@*", "b"), rule("sip:45*@*", "a")], dialling("4531")) == "a"


# --- what was tried ---


def test_every_rule_that_could_have_won_says_why_it_did_not() -> None:
    rules = [
        rule("sip:4531*@*", "off", enabled="no"),
        rule("sip:453NXX@*", "longer"),
        rule("sip:453*@*", "others", dail_rule_matching_from_uri="sip:2X@*"),
        rule("sip:453*@*", "weekdays", dial_rule_matching_day_of_week="1-5"),
        rule("sip:453*@*", "broken", dial_rule_matching_start_time="noon", dial_rule_matching_end_time="13:00"),
        rule("sip:45*@*", "winner"),
        rule("sip:*@*", "never-tried"),
        rule("sip:46*@*", "elsewhere"),
    ]
    tried = []
    for one in DialPlan(rules).tries(dialling("4531", source="2001", at=SUNDAY_NIGHT)):
        tried.append((one.rule.dialrule, one.reason))
        if one.match is not None:
            break
    assert dict(tried) == {
        "off": "is switched off",
        "longer": "sip:453NXX@* does not match 4531",
        "others": "is for callers sip:2X@*, not 2001",
        "weekdays": "does not hold on Sunday",
        "broken": "never holds: must be a time of day, HH:MM or HH:MM:SS",
        "winner": "",
    }
    assert tried[-1][0] == "winner"


# --- ten thousand rules ---


def test_of_ten_thousand_rules_a_call_tries_a_handful() -> None:
    """What a call costs: the number of rules that are tried for it, whatever the plan."""
    prefixes = [rule(f"sip:45{number:04}XX@*") for number in range(10_000)]
    suffixes = [rule(f"sip:*{number:05}@*") for number in range(2000)]
    middles = [rule(f"sip:NXX{number:05}@*") for number in range(2000)]
    sources = [rule("sip:*@*", f"r{number}", dail_rule_matching_from_uri=f"sip:{number}@*") for number in range(2000)]
    for rules, dialled in ((prefixes, "45123499"), (suffixes, "4500099"), (middles, "21201234"), (sources, "45")):
        plan = DialPlan([*rules, rule("*")])
        tried = list(plan.tries(dialling(dialled, source="1001")))
        assert len(tried) <= 5
        assert plan.choose(dialling(dialled, source="1001")) is not None


def test_rules_that_cannot_be_read_are_counted_and_never_tried() -> None:
    plan = DialPlan([rule("sip:*1*2*3*@*"), rule("sip:45*@*")])
    assert len(plan) == 2
    assert [one.rule.dialrule for one in plan.tries(dialling("4531"))] == ["sip:45*@*"]
    assert order_of(rule("sip:*1*2*3*@*"))[0] == ()


def test_the_reference_agrees_with_regular_expressions() -> None:
    assert naive_match("1*2", "1992") == ["99"]
    assert naive_match("X?", "1a") == []
    assert naive_match("N", "1") is None
    assert re.fullmatch("[2-9]", "1") is None
