"""Dial rules: which pattern matches a dialled number, what it captured, and the translation (contract §4 "Dial rule").

A pattern is a URI such as `sip:1NXXNXXXXXX@*`. In it `X` is a digit 0–9, `N` 2–9, `Z` 1–9, `?` one character, `*`
the rest; anything else is itself. A leading `+` makes no difference, in the pattern or in the number. The more
specific rule goes first: more literal characters in the user part, then more classes, then fewer wildcards; a rule for
a source before one for all. In the host only `*` and `?` are special. A pattern that is none matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from ringbridge.model.directory import DialRule

CLASSES = {"X": "[0-9]", "N": "[2-9]", "Z": "[1-9]", "?": "[^\\n]"}
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


class _Parts(msgspec.Struct, frozen=True):
    """A pattern or a URI, taken apart; without the `+` that makes no difference."""

    scheme: str
    user: str
    host: str


def _take_apart(text: str) -> _Parts:
    scheme, colon, rest = text.partition(":")
    if not colon:
        scheme, rest = "sip", text
    user, at, host = rest.removeprefix("+").partition("@")
    return _Parts(scheme.lower(), user, host if at else "*")


@lru_cache(maxsize=65_536)
def _parts(pattern: str) -> _Parts:
    return _take_apart(pattern)


@lru_cache(maxsize=65_536)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return what matches the user part, a line feed (no URI has one) and the host; group 1 is the first wildcard."""
    parts = _parts(pattern)
    user = "".join("([^\\n]*)" if one == "*" else CLASSES.get(one, re.escape(one)) for one in parts.user)
    host = "".join("[^\\n]*" if one == "*" else CLASSES["?"] if one == "?" else re.escape(one) for one in parts.host)
    return re.compile(f"{user}\n{host}")


def _matched(pattern: str, uri: _Parts) -> re.Match[str] | None:
    if check_pattern(pattern) is not None or _parts(pattern).scheme != uri.scheme:
        return None
    return _compiled(pattern).fullmatch(f"{uri.user}\n{uri.host}")


def check_pattern(pattern: str) -> str | None:
    """Return what is wrong with a matching pattern, or None."""
    if not pattern:
        return "a pattern is not empty; '*' matches everything"
    if pattern.count("*") > MAX_WILDCARDS:
        return f"a pattern has at most {MAX_WILDCARDS} '*'"
    return None


def _specificity(rule: DialRule) -> tuple[int, int, int, int, int, str]:
    parts = _parts(rule.dail_rule_matching_to_uri)
    wildcards = parts.user.count("*")
    classes = sum(parts.user.count(letter) for letter in CLASSES)
    literals = len(parts.user) - wildcards - classes
    from_any = 1 if rule.dail_rule_matching_from_uri in ("*", "") else 0
    return (-literals, -classes, wildcards, from_any, -len(parts.host.replace("*", "")), rule.dialrule)


def match(rules: Iterable[DialRule], *, to_uri: str, from_uri: str, application: str) -> Match | None:
    """Return the rule that a dialled `to_uri` (`sip:4531…@domain`) from `from_uri` takes, or None.

    Rules that carry the request's `application` are tried first, then those that carry none of their own
    (contract §3 `dial-rule-application`); inside each, the more specific first.
    """
    to_parts, from_parts = _take_apart(to_uri), _take_apart(from_uri)
    enabled = sorted((rule for rule in rules if rule.enabled == "yes"), key=_specificity)
    asked = [rule for rule in enabled if rule.dial_rule_application == application]
    for rule in (*asked, *(rule for rule in enabled if rule.dial_rule_application != application)):
        found = _matched(rule.dail_rule_matching_to_uri, to_parts)
        if found is None or _matched(rule.dail_rule_matching_from_uri or "*", from_parts) is None:
            continue
        return Match(rule, found.group(1) if found.groups() else to_parts.user)
    return None


def translate(found: Match, *, dialled: str, domain: str) -> Destination:
    """Return where the matched rule sends a call to `dialled`, a user part without its leading `+`."""
    rule = found.rule

    def filled(template: str, otherwise: str) -> str:
        if template in ("", CAPTURED):
            return otherwise
        return template.replace(CAPTURED, found.captured).replace("<OwnDomain>", domain)

    user = rule.dial_rule_translation_destination_user
    wildcard = "*" in _parts(rule.dail_rule_matching_to_uri).user
    return Destination(
        application=rule.dial_rule_application,
        parameter=rule.dial_rule_parameter.replace("<OwnDomain>", domain),
        user=filled(user, found.captured if wildcard else dialled),
        host=filled(rule.dial_rule_translation_destination_host, ""),
        pattern=rule.dail_rule_matching_to_uri,
    )
