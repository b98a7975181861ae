"""A dial plan asked for a number: which of its rules were tried, and which one wins."""

from __future__ import annotations

import msgspec

from ringbridge.calls.directory.ports import Directory
from ringbridge.model.dial_plan import Dialling, DialPlan, Tried, first_of
from ringbridge.model.dial_rules import Match, rule_of


class Tries(msgspec.Struct, frozen=True):
    """The rules of a plan that were tried for a number, in order, and the one that wins.

    `rules` is how many the plan has; those that are not among `tried` cannot match, or come after the winner.
    """

    tried: tuple[Tried, ...] = ()
    match: Match | None = None
    rules: int = 0


async def try_rules(directory: Directory, *, domain: str, plan: str, number: str, call: Dialling) -> Tries:
    """Return what `plan` says of a call to `number`: a rule of its own, or one that a phone number stands for."""
    rules = await directory.dial_plan(domain, plan)
    own = await directory.phone_number(domain, number.removeprefix("+"))
    tried: list[Tried] = []
    for one in rules.tries(call):
        tried.append(one)
        if one.match is not None:
            break
    if own is not None:
        tried += DialPlan([rule_of(own)]).tries(call)
    match = first_of((one.match for one in tried if one.match is not None), call.application)
    return Tries(tuple(tried), match, len(rules))
