"""Limits that hold in the whole cluster: what the bus keeps of one limited subject, and what fits (contract §4).

A subject is a user, a domain, its calls that leave it, or a connection. Of each that has a limit the bus keeps one
value: the slots of its calls, and how many calls began in which second. Whoever wants to place a call writes the value
with its own slot in it, compared and set, so that two nodes never take the last slot both.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ringbridge.model.directory import Connection, Domain, User
from ringbridge.model.errors import Fault
from ringbridge.model.ids import CallId, SessionId

MINUTE_S: Final = 60
NO_LIMIT: Final = (None, 0)
"""Values of a limit that set none."""

SubjectKey = tuple[str, ...]


class Claim(msgspec.Struct, frozen=True):
    """What one call needs of one subject. None: no such limit."""

    subject: SubjectKey
    named: str
    """As people say it: `user 1001`."""
    active: int | None = None
    per_minute: int | None = None
    slots: int = 1
    """How many of its slots the call takes: both legs may go through one connection."""
    field: str = ""
    """The request's field that a refusal names."""


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """A call that counts. `at` is when it was placed, epoch seconds."""

    call_id: CallId
    session_id: SessionId
    at: float
    count: int = 1


class Held(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a subject: slots, and calls by the second in which they began, of the last minute."""

    slots: tuple[Slot, ...] = ()
    seconds: tuple[tuple[int, int], ...] = ()

    @property
    def active(self) -> int:
        return sum(slot.count for slot in self.slots)

    def recent(self, now: float) -> int:
        """Return how many calls began in the minute before `now`."""
        return sum(count for second, count in self.seconds if second > now - MINUTE_S)

    def holds(self, call_id: CallId) -> bool:
        return any(slot.call_id == call_id for slot in self.slots)

    def without(self, gone: frozenset[SessionId]) -> Held:
        """Return this without the slots of these calls."""
        return msgspec.structs.replace(self, slots=tuple(one for one in self.slots if one.session_id not in gone))

    def with_call(self, claim: Claim, call_id: CallId, session_id: SessionId, now: float) -> Held:
        """Return this with one call more."""
        slots, seconds = self.slots, dict(self.seconds)
        if claim.active is not None:
            slots = (*slots, Slot(call_id, session_id, now, claim.slots))
        if claim.per_minute is not None:
            second = int(now)
            seconds = {one: count for one, count in seconds.items() if one > now - MINUTE_S}
            seconds[second] = seconds.get(second, 0) + 1
        return Held(slots, tuple(sorted(seconds.items())) if claim.per_minute is not None else ())


def fault_of(claim: Claim, held: Held, now: float) -> Fault | None:
    """Return which limit of `claim` is reached, or None where the call fits."""
    if claim.active is not None and held.active + claim.slots > claim.active:
        message = f"{claim.named} has {held.active} active calls, and may have {claim.active}"
        return Fault(
            claim.field, "too-many-active-calls", message, str(held.active), f"at most {claim.active} at a time"
        )
    if claim.per_minute is not None and held.recent(now) >= claim.per_minute:
        message = f"{claim.named} has made {held.recent(now)} calls in the last minute, and may make {claim.per_minute}"
        return Fault(claim.field, "too-many-calls-a-minute", message, allowed=f"at most {claim.per_minute} a minute")
    return None


def retry_after_s(claim: Claim, held: Held, now: float) -> int:
    """Return when it is worth trying again, in seconds: for calls a minute, when the oldest second is a minute ago."""
    recent = [second for second, _ in held.seconds if second > now - MINUTE_S]
    if claim.per_minute is None or held.recent(now) < claim.per_minute or not recent:
        return 1
    return max(1, int(recent[0] + MINUTE_S - now) + 1)


def _limit(value: int | None) -> int | None:
    return None if value in NO_LIMIT else value


def _least(*values: int | None) -> int | None:
    return min((value for value in map(_limit, values) if value is not None), default=None)


def claims_of(
    domain: Domain, user: User, connections: tuple[tuple[str, Connection], ...], *, is_offnet: bool
) -> tuple[Claim, ...]:
    """Return what a call needs: one claim for each subject that has a limit.

    `connections` are those of its legs, each with the request's field that leads there.
    """
    found = [
        Claim(
            ("user", domain.domain, user.user),
            f"user {user.user}",
            active=_limit(user.limits_max_active_calls_total),
            per_minute=_limit(user.limits_max_calls_per_minute),
        ),
        Claim(
            ("domain", domain.domain),
            f"domain {domain.domain}",
            active=_limit(domain.limits_max_active_calls_total),
            per_minute=_limit(domain.limits_max_calls_per_minute),
        ),
    ]
    if is_offnet:
        named = f"domain {domain.domain}, to numbers outside,"
        found.append(Claim(("offnet", domain.domain), named, active=_limit(domain.limits_max_active_calls_offnet)))
    for place, (field, connection) in enumerate(connections):
        name = connection.connection_orig_match_pattern
        if name in [one.connection_orig_match_pattern for _, one in connections[:place]]:
            continue
        found.append(
            Claim(
                ("connection", connection.domain, name),
                f"connection {name}",
                active=_least(connection.limits_max_active_calls_total, connection.limits_max_active_calls_term),
                per_minute=_limit(connection.limits_max_calls_per_minute),
                slots=sum(one.connection_orig_match_pattern == name for _, one in connections),
                field=field,
            )
        )
    return tuple(one for one in found if one.active is not None or one.per_minute is not None)
