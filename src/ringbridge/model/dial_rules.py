"""Dial rules: which pattern matches a dialled number, what it captured, and the translation (contract §4 "Dial rule").

A pattern is a URI such as `sip:1NXXNXXXXXX@*`. In it `X` is a digit 0–9, `N` 2–9, `Z` 1–9, `?` one character, `*`
the rest; anything else is itself. A leading `+` makes no difference, in the pattern or in the number. The more
specific rule goes first: more literal characters, then fewer wildcards; a rule for a source before one for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from ringbridge.model.directory import DialRule

CLASSES = {"X": "[0-9]", "N": "[2-9]", "Z": "[1-9]", "?": "."}
CAPTURED = "[*]"
MAX_WILDCARDS = 3
"""More than this many `*` in one pattern would let matching time grow with a high power of the input's length."""


class Match(msgspec.Struct, frozen=True):
    """A rule that matches, and what its wildcard in the user part matched (the whole user part where it has none)."""

    rule: DialRule
    captured: str


class Destination(msgspec.Struct, frozen=True):
    """Where a matched rule sends the call: application, parameter, and the translated user and host."""

    application: str
    parameter: str
    user: str
    host: str
    pattern: str


def _without_plus(uri: str) -> str:
    scheme, colon, rest = uri.partition(":")
    if not colon:
        return uri.removeprefix("+")
    return f"{scheme}:{rest.removeprefix('+')}"


@lru_cache(maxsize=65_536)
def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern != "*" and ":" not in pattern:
        pattern = f"sip:{pattern}"
    user, at, host = _without_plus(pattern).partition("@")
    if pattern.count("*") > MAX_WILDCARDS:
        raise ValueError(f"a pattern has at most {MAX_WILDCARDS} '*'")

    def translated(part: str) -> str:
        # `sip:` itself has no class letters; only digits' places do.
        return "".join("(.*)" if one == "*" else CLASSES.get(one, re.escape(one)) for one in part)

    scheme, _, number = user.partition(":")
    head = f"{re.escape(scheme)}:{translated(number)}"
    if pattern == "*":
        return re.compile(r"(?:[a-z]+:)?(.*?)(?:@.*)?", re.DOTALL)
    host_part = translated(host).replace("(.*)", ".*") if at else ".*"
    return re.compile(f"{head}(?:@{host_part})?", re.DOTALL)


def check_pattern(pattern: str) -> str | None:
    """Return what is wrong with a matching pattern, or None."""
    if not pattern:
        return "a pattern is not empty; '*' matches everything"
    if pattern.count("*") > MAX_WILDCARDS:
        return f"a pattern has at most {MAX_WILDCARDS} '*'"
    return None


def _specificity(rule: DialRule) -> tuple[int, int, int, int, str]:
    pattern = rule.dail_rule_matching_to_uri
    wildcards = pattern.count("*")
    classes = sum(pattern.count(letter) for letter in CLASSES)
    literals = len(pattern) - wildcards - classes
    from_any = 1 if rule.dail_rule_matching_from_uri in ("*", "") else 0
    return (-literals, -classes, wildcards, from_any, rule.dialrule)


def match(rules: Iterable[DialRule], *, to_uri: str, from_uri: str, application: str) -> Match | None:
    """Return the rule that a dialled `to_uri` (`sip:4531…@domain`) from `from_uri` takes, or None.

    Rules that carry the request's `application` are tried first, then those that carry none of their own
    (contract §3 `dial-rule-application`); inside each, the more specific first.
    """
    to_uri, from_uri = _without_plus(to_uri), _without_plus(from_uri)
    enabled = sorted((rule for rule in rules if rule.enabled == "yes"), key=_specificity)
    asked = [rule for rule in enabled if rule.dial_rule_application == application]
    for rule in (*asked, *(rule for rule in enabled if rule.dial_rule_application != application)):
        found = _compiled(rule.dail_rule_matching_to_uri).fullmatch(to_uri)
        if found is None or _compiled(rule.dail_rule_matching_from_uri or "*").fullmatch(from_uri) is None:
            continue
        user = to_uri.partition(":")[2].partition("@")[0]
        return Match(rule, found.group(1) if found.groups() else user)
    return None


def translate(found: Match, *, dialled: str, domain: str) -> Destination:
    """Return where the matched rule sends a call to `dialled`, a user part without its leading `+`."""
    rule = found.rule

    def filled(template: str, otherwise: str) -> str:
        if template in ("", CAPTURED):
            return otherwise
        return template.replace(CAPTURED, found.captured).replace("<OwnDomain>", domain)

    user = rule.dial_rule_translation_destination_user
    wildcard = "*" in rule.dail_rule_matching_to_uri.partition("@")[0]
    return Destination(
        application=rule.dial_rule_application,
        parameter=rule.dial_rule_parameter.replace("<OwnDomain>", domain),
        user=filled(user, found.captured if wildcard else dialled),
        host=filled(rule.dial_rule_translation_destination_host, ""),
        pattern=rule.dail_rule_matching_to_uri,
    )
