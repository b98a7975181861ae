"""Patterns of dial rules: what they match, what they captured, how specific they are (contract §4 "Dial rule").

A pattern is a URI such as `EXAMPLE`. In it `X` is a digit 0–9, `N` 2–9, `Z` 1–9, `?` one character, `*`
the rest; anything else is itself. A leading `+` makes no difference, in the pattern or in the number. In the host only
`*` and `?` are special. A pattern that is none matches nothing.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

import msgspec

EXAMPLE: Final = "sip:1NXXNXXXXXX@*"
"""Matches every number of North America; what the API's document shows."""
DIGITS: Final = {"X": "[0-9]", "N": "[2-9]", "Z": "[1-9]"}
ONE: Final = "[^\\n]"
REST: Final = "[^\\n]*"
SPECIAL: Final = re.compile(r"[XNZ?*]")
MAX_WILDCARDS: Final = 3
"""More than this many `*` in one pattern would let matching time grow with a high power of the input's length."""

Rank = tuple[int, ...]
"""How specific a pattern is; the smaller, the more."""


class Address(NamedTuple):
    """A URI taken apart, without the `+` that makes no difference."""

    scheme: str
    user: str
    host: str


def take_apart(text: str) -> Address:
    """Return the parts of a URI or a pattern; `sip` where it names no scheme, `*` where it names no host."""
    scheme, colon, rest = text.partition(":")
    if not colon:
        scheme, rest = "sip", text
    user, at, host = rest.removeprefix("+").partition("@")
    return Address(scheme.lower(), user, host if at else "*")


def check_pattern(pattern: str) -> str | None:
    """Return what is wrong with a matching pattern, or None."""
    if not pattern:
        return "a pattern is not empty; '*' matches everything"
    if pattern.count("*") > MAX_WILDCARDS:
        return f"a pattern has at most {MAX_WILDCARDS} '*'"
    return None


class Literal(NamedTuple):
    """Characters that a matching user part has at a fixed place: counted from its end where `offset` is negative."""

    offset: int
    text: str


class Pattern(msgspec.Struct, frozen=True, dict=True):
    """A pattern that can be read. `literal` is the longest run of characters that stands at a fixed place."""

    address: Address
    rank: Rank
    literal: Literal

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """What matches the user part, a line feed (no URI has one) and the host; group 1 is the first wildcard."""
        user = "".join(
            f"({REST})" if one == "*" else ONE if one == "?" else DIGITS.get(one, re.escape(one))
            for one in self.address.user
        )
        host = "".join(REST if one == "*" else ONE if one == "?" else re.escape(one) for one in self.address.host)
        return re.compile(f"{user}\n{host}")

    def captured(self, uri: Address) -> str | None:
        """Return what the first wildcard of the user part matched; None where the pattern does not match.

        A pattern without a wildcard there captures the whole user part.
        """
        if self.address.scheme != uri.scheme:
            return None
        found = self.expression.fullmatch(f"{uri.user}\n{uri.host}")
        if found is None:
            return None
        return found.group(1) if found.groups() else uri.user

    @property
    def has_wildcard(self) -> bool:
        return "*" in self.address.user


def _rank(address: Address) -> Rank:
    """More literal characters first, then more digits of a class, then more single ones, then fewer wildcards."""
    user = address.user
    wildcards, single = user.count("*"), user.count("?")
    digits = sum(user.count(letter) for letter in DIGITS)
    literals = len(user) - wildcards - single - digits
    return (-literals, -digits, -single, wildcards, -len(address.host.replace("*", "")))


def _literal(user: str) -> Literal:
    """Return the longest literal run before the first wildcard or behind the last one."""
    best = Literal(0, "")
    head, star, _ = user.partition("*")
    for offset, run in _runs(head):
        if len(run) > len(best.text):
            best = Literal(offset, run)
    if star:
        tail = user.rpartition("*")[2]
        for offset, run in _runs(tail):
            if len(run) > len(best.text):
                best = Literal(offset - len(tail), run)
    return best


def _runs(text: str) -> list[tuple[int, str]]:
    """Return the runs of literal characters in `text`, with where each begins."""
    runs, at = [], 0
    for run in SPECIAL.split(text):
        runs.append((at, run))
        at += len(run) + 1
    return runs


@lru_cache(maxsize=65_536)
def read_pattern(text: str) -> Pattern | None:
    """Return the pattern that `text` is, or None where it is none."""
    if check_pattern(text) is not None:
        return None
    address = take_apart(text)
    return Pattern(address, _rank(address), _literal(address.user))
