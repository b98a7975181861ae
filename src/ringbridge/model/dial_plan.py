"""A dial plan: its rules in the order in which they are tried, and an index of them.

Order. Rules that carry the request's application go first (contract §3 `dial-rule-application`). Inside each group the
more specific goes first: by the pattern for the destination (`dial_patterns`), then by that for the source, then a rule
that holds at some times before one that always does, then a rule of the plan before a phone number, then by name. The
first that matches and holds wins.

Index. A plan may have ten thousand rules, and a call must not look at each. Every pattern has its longest run of
literal characters at a fixed place ("45" at the beginning, "112" at the end); destination and source together give
each rule a *shape* (where these runs are, and how long) and a *key* (the runs). Plans have few shapes, so a call takes
its own characters at each shape's places, and looks up which rules have them. What is left is tried by its pattern.
Rules that share both runs, such as those that differ in their hours alone, are tried one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from ringbridge.model.dial_patterns import Address, Literal, Pattern, Rank, read_pattern, take_apart
from ringbridge.model.dial_rules import NUMBERS_PLAN, Match
from ringbridge.model.dial_times import Window, window_of
from ringbridge.model.directory import DialRule

ANY_SOURCE: Final = "*"
LONGEST_RUN: Final = 16
"""Characters of a run that the index looks at."""


class Dialling(msgspec.Struct, frozen=True):
    """A call that looks for its rule: URIs, the application asked for, and the local time of who calls."""

    to_uri: str
    from_uri: str
    application: str
    at: datetime


class Tried(msgspec.Struct, frozen=True):
    """A rule that was tried: it won with `match`, or was passed over for `reason`."""

    rule: DialRule
    match: Match | None = None
    reason: str = ""


class _Shape(NamedTuple):
    to_offset: int
    to_length: int
    from_offset: int
    from_length: int


_Key = tuple[str, str]
Order = tuple[Rank, Rank, bool, bool, str]


class _Entry(NamedTuple):
    order: Order
    rule: DialRule
    to: Pattern | None
    source: Pattern | None


def order_of(rule: DialRule) -> Order:
    """Return the place of `rule` among others that carry the same application; the smallest is tried first."""
    to, source = _patterns(rule)
    always, is_number = window_of(rule) is None, rule.dial_rule_dial_plan == NUMBERS_PLAN
    nothing: Rank = ()
    return (to.rank if to else nothing, source.rank if source else nothing, always, is_number, rule.dialrule)


def _patterns(rule: DialRule) -> tuple[Pattern | None, Pattern | None]:
    return read_pattern(rule.dail_rule_matching_to_uri), read_pattern(rule.dail_rule_matching_from_uri or ANY_SOURCE)


def _cut(literal: Literal) -> Literal:
    return Literal(literal.offset, literal.text[:LONGEST_RUN])


def _run(user: str, offset: int, length: int) -> str | None:
    """Return the characters of `user` at a shape's place; None where it is too short for that."""
    start = offset if offset >= 0 else len(user) + offset
    end = start + length
    return user[start:end] if start >= 0 and end <= len(user) else None


class DialPlan:
    """The rules of one plan. Made once for all its rules; a change of any makes a new one."""

    def __init__(self, rules: Iterable[DialRule]) -> None:
        self._entries = sorted((_Entry(order_of(rule), rule, *_patterns(rule)) for rule in rules), key=_by_order)
        self._index: dict[_Shape, dict[_Key, list[int]]] = {}
        for number, entry in enumerate(self._entries):
            if entry.to is None or entry.source is None:
                continue
            to, source = _cut(entry.to.literal), _cut(entry.source.literal)
            shape = _Shape(to.offset, len(to.text), source.offset, len(source.text))
            self._index.setdefault(shape, {}).setdefault((to.text, source.text), []).append(number)

    def __len__(self) -> int:
        return len(self._entries)

    def choose(self, call: Dialling) -> Match | None:
        """Return the rule that a call takes, or None."""
        return next((tried.match for tried in self.tries(call) if tried.match is not None), None)

    def tries(self, call: Dialling) -> Iterator[Tried]:
        """Yield the rules that could match by the index, in order; the caller stops at the one that wins."""
        to, source = take_apart(call.to_uri), take_apart(call.from_uri)
        candidates = [self._entries[number] for number in sorted(self._candidates(to, source))]
        asked = [one for one in candidates if one.rule.dial_rule_application == call.application]
        for entry in (*asked, *(one for one in candidates if one.rule.dial_rule_application != call.application)):
            yield _try(entry, to, source, call.at)

    def _candidates(self, to: Address, source: Address) -> Iterator[int]:
        for shape, keys in self._index.items():
            to_run = _run(to.user, shape.to_offset, shape.to_length)
            from_run = _run(source.user, shape.from_offset, shape.from_length)
            if to_run is not None and from_run is not None:
                yield from keys.get((to_run, from_run), ())


def first_of(matches: Iterable[Match], application: str) -> Match | None:
    """Return which of `matches` goes first for a call that asks for `application`; None of none."""
    return min(
        matches, key=lambda one: (one.rule.dial_rule_application != application, order_of(one.rule)), default=None
    )


def _by_order(entry: _Entry) -> Order:
    return entry.order


def _try(entry: _Entry, to: Address, source: Address, at: datetime) -> Tried:
    """Return whether a rule matches, and if not, why."""
    rule = entry.rule
    if rule.enabled != "yes":
        return Tried(rule, reason="is switched off")
    captured = entry.to.captured(to) if entry.to else None
    if captured is None:
        return Tried(rule, reason=f"{rule.dail_rule_matching_to_uri} does not match {to.user}")
    captured_source = entry.source.captured(source) if entry.source else None
    if captured_source is None:
        return Tried(rule, reason=f"is for callers {rule.dail_rule_matching_from_uri}, not {source.user}")
    match window_of(rule):
        case None:
            closed = None
        case Window() as window:
            closed = window.closed_by(at)
        case unreadable:
            closed = f"never holds: {unreadable}"
    if closed is not None:
        return Tried(rule, reason=closed)
    return Tried(rule, Match(rule, captured, captured_source))
