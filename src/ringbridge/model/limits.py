"""Limits that hold in the whole cluster: what the bus keeps of one limited subject, and what fits (contract §4).

A subject is a user, a domain, its calls that leave it, or a connection. Of each that has a limit the bus keeps one
value: the slots of its calls, and how many calls began in which second. Whoever wants to place a call writes the value
with its own slot in it, compared and set, so that two nodes never take the last slot both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from ringbridge.model.call import Call, Leg, LegState, Side
from ringbridge.model.directory import Connection, Domain, User
from ringbridge.model.errors import Fault
from ringbridge.model.events import Target
from ringbridge.model.ids import CallId, SessionId

MINUTE_S: Final = 60
NO_LIMIT: Final = (None, 0)
"""Values of a limit that set none."""

TARGET: Final = "call-term-user"
"""The field that names whom a call or transfer is to."""

USER, DOMAIN, OFFNET, CONNECTION = "user", "domain", "offnet", "connection"
"""What a subject's key begins with. Of a connection legs have slots, of the others calls."""

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
    once_a_call: bool = True
    """A call that has a slot of it already needs no other."""
    is_up: bool = False
    """What it is for is up already, in another call: it has its place there, and needs no room for this one."""


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """A call that counts, or the target of its transfer. `at` is when it was taken, epoch seconds."""

    call_id: CallId
    session_id: SessionId
    at: float
    count: int = 1
    transfer: int = 0
    """Which transfer of the call it is for; 0: for the call as it was requested."""


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

    def has_place(self, claim: Claim, slot: Slot) -> bool:
        """Return whether the call of `slot` has a place already, and needs no other.

        One that was taken for another transfer, ordered at the same time, is none: that may be refused, and give it
        back. So each of the two takes one.
        """
        return claim.once_a_call and any(
            one.call_id == slot.call_id and (not slot.transfer or one.transfer < slot.transfer) for one in self.slots
        )

    def has_room(self, claim: Claim, slot: Slot) -> bool:
        """Return whether there is room for `slot` whatever else there is: what it is for counts already."""
        return claim.is_up or (claim.once_a_call and any(one.call_id == slot.call_id for one in self.slots))

    def without(self, slot: Slot) -> Held:
        """Return this without one slot, as it was taken; others of the same call are of other requests."""
        left = list(self.slots)
        if slot in left:
            left.remove(slot)
        return msgspec.structs.replace(self, slots=tuple(left))

    def of_calls(self) -> dict[SessionId, list[Slot]]:
        """Return the slots of each call, oldest first."""
        found: dict[SessionId, list[Slot]] = {}
        for slot in self.slots:
            found.setdefault(slot.session_id, []).append(slot)
        return found

    def cut(self, needed: Mapping[SessionId, int]) -> Held:
        """Return this with no more for each call than it needs; what it took first goes first."""
        left, slots = dict(needed), []
        for slot in reversed(self.slots):
            count = min(slot.count, left.get(slot.session_id, 0))
            left[slot.session_id] = left.get(slot.session_id, 0) - count
            if count:
                slots.append(msgspec.structs.replace(slot, count=count))
        return msgspec.structs.replace(self, slots=tuple(reversed(slots)))

    def with_slot(self, claim: Claim, slot: Slot) -> Held:
        """Return this with one call more, or one more of its legs."""
        if claim.is_up:
            return msgspec.structs.replace(self, slots=(*self.slots, slot))
        slots, seconds, now = self.slots, dict(self.seconds), slot.at
        if claim.active is not None:
            slots = (*slots, slot)
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
            (USER, domain.domain, user.user),
            f"user {user.user}",
            active=_limit(user.limits_max_active_calls_total),
            per_minute=_limit(user.limits_max_calls_per_minute),
            field="user",
        ),
        Claim(
            (DOMAIN, domain.domain),
            f"domain {domain.domain}",
            active=_limit(domain.limits_max_active_calls_total),
            per_minute=_limit(domain.limits_max_calls_per_minute),
            field="domain",
        ),
    ]
    if is_offnet:
        named, active = f"domain {domain.domain}, to numbers outside,", _limit(domain.limits_max_active_calls_offnet)
        found.append(Claim((OFFNET, domain.domain), named, active=active, field=TARGET))
    for place, (field, connection) in enumerate(connections):
        name = connection.connection_orig_match_pattern
        if name in [one.connection_orig_match_pattern for _, one in connections[:place]]:
            continue
        found.append(
            Claim(
                (CONNECTION, connection.domain, name),
                f"connection {name}",
                active=_least(connection.limits_max_active_calls_total, connection.limits_max_active_calls_term),
                per_minute=_limit(connection.limits_max_calls_per_minute),
                slots=sum(one.connection_orig_match_pattern == name for _, one in connections),
                field=field,
            )
        )
    return tuple(one for one in found if one.active is not None or one.per_minute is not None)


def claims_of_transfer(
    domain: Domain, user: User, connections: tuple[tuple[str, Connection], ...], *, is_offnet: bool
) -> tuple[Claim, ...]:
    """Return what the target of a transfer by `user` needs beside what its call has.

    The call goes on: it is one of its user and its domain already, so these only count who is called in a minute.
    """
    claims = [
        msgspec.structs.replace(
            claim,
            active=None if claim.subject[0] in (USER, DOMAIN) else claim.active,
            once_a_call=claim.subject[0] == OFFNET,
        )
        for claim in claims_of(domain, user, connections, is_offnet=is_offnet)
    ]
    return tuple(one for one in claims if one.active is not None or one.per_minute is not None)


def claims_of_join(domain: Domain, connection: Connection, *, user: User) -> tuple[Claim, ...]:
    """Return what a call needs for a leg through `connection` that it takes over from another call.

    The leg is up and has its place: the other call's until that is over, and this one's from then on. So both have one
    while both go on; nobody new is called, and no limit is in the way.
    """
    claims = claims_of_transfer(domain, user, ((TARGET, connection),), is_offnet=True)
    return tuple(
        msgspec.structs.replace(claim, per_minute=None, is_up=True) for claim in claims if claim.active is not None
    )


def slots_needed(call: Call, subject: SubjectKey) -> int:
    """Return how many slots of `subject` a call needs that has some: of a connection, for its legs that are not over.

    Legs that are still to be dialled count, those of the plan and those of a transfer that was ordered.
    """
    if call.is_over:
        return 0
    return _legs_through(call, subject[-1]) if subject[0] == CONNECTION else 1


def _legs_through(call: Call, connection: str) -> int:
    parties: dict[tuple[int, Side], list[Leg]] = {}
    for leg in call.legs:
        parties.setdefault((leg.transfer, leg.side), []).append(leg)
    dialled = sum(
        _is_through((leg.target for leg in legs if leg.state is not LegState.RELEASED), connection)
        for legs in parties.values()
    )
    planned = {
        side: targets
        for side, targets in (
            (Side.ORIGINATION, call.plan.origination if call.plan else ()),
            (Side.TERMINATION, call.plan.termination if call.plan else ()),
        )
        if (0, side) not in parties
    }
    ordered = call.order.plan if call.order and not call.of_transfer(call.order.transfer) else None
    targets = [*planned.values(), *([ordered.targets] if ordered else [])]
    return dialled + sum(_is_through(one, connection) for one in targets)


def _is_through(targets: Iterable[Target], connection: str) -> bool:
    return any(target.connection == connection for target in targets)
