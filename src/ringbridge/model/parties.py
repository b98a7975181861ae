"""Who a call is between, as it is shown and as its CDR tells it: also after a transfer (contract §3, §6).

A call has two parties, each with the legs that were rung for it. After a transfer the first party is who remained and
the second who came, as if the one had called the other *through* whoever transferred: `call-orig-*`, `call-term-*` and
`call-through-*` (in the resource of an active call, `call-by-*`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ringbridge.model.call import Call, Leg, Side
from ringbridge.model.events import CallerId, Person, Target
from ringbridge.model.orders import Order, OrderKind


class Parties(msgspec.Struct, frozen=True):
    """The legs that speak for both parties; None where none was rung. `through` has left the call by a transfer.

    Of a call whose far party was handed over to another (the second call of an attended transfer) it is one of the two.
    """

    orig: Leg | None
    term: Leg | None
    through: Leg | None
    orig_target: Target | None
    """Who the first party is, rung or not."""
    term_target: Target | None
    shown_to_orig: CallerId
    shown_to_term: CallerId
    dialled: str
    """What was dialled for the second party, after translation."""
    match_uri: str
    """Pattern of the dial rule that chose the second party."""
    orig_person: Person
    term_person: Person
    replaced: bool
    """Whether one of them came by a transfer."""
    ended_by: str
    """Who ended the call: `origination` for the first party, `termination` for the second, `system`; or empty."""


NOBODY = CallerId("")


def parties(call: Call) -> Parties:
    """Return who `call` is between."""
    plan = call.plan
    came = next((leg for leg in reversed(call.legs) if leg.transfer and leg.answered_at), None)
    order = _transfer(call, came.transfer) if came is not None else None
    if came is not None and order is not None and order.plan is not None:
        remained = _last_answered(leg for leg in call.legs if leg.side is came.side.other)
        return Parties(
            orig=remained,
            term=came,
            through=_handed_over(call) or call.leg(order.leg_id),
            orig_target=remained.target if remained else None,
            term_target=came.target,
            shown_to_orig=plan.origination_caller_id if plan else NOBODY,
            shown_to_term=order.plan.caller_id,
            dialled=order.plan.dialled,
            match_uri=order.plan.match_uri,
            orig_person=_person(call, remained),
            term_person=order.plan.person,
            replaced=True,
            ended_by=_ended_by(call, first=came.side.other),
        )
    orig, term = _speaks_for(call, Side.ORIGINATION), _speaks_for(call, Side.TERMINATION)
    return Parties(
        orig=orig,
        term=term,
        through=_handed_over(call),
        orig_target=orig.target if orig else (plan.origination[0] if plan else None),
        term_target=term.target if term else (plan.termination[0] if plan else None),
        shown_to_orig=plan.origination_caller_id if plan else NOBODY,
        shown_to_term=plan.termination_caller_id if plan else NOBODY,
        dialled=plan.dialled if plan else "",
        match_uri=plan.match_uri if plan else "",
        orig_person=plan.origination_person if plan else Person(),
        term_person=plan.termination_person if plan else Person(),
        replaced=False,
        ended_by=call.ended_by,
    )


def _handed_over(call: Call) -> Leg | None:
    """Return the leg of whoever has handed the other party over to another call."""
    done = (order for order in call.orders if order.kind is OrderKind.HANDOVER and order.ended_at and not order.cause)
    return next((call.leg(order.leg_id) for order in done), None)


def _ended_by(call: Call, *, first: Side) -> str:
    """Return who ended the call, told by party; `first` is the side that the first party is on."""
    if first is Side.ORIGINATION or call.ended_by not in set(Side):
        return call.ended_by
    return Side(call.ended_by).other.value


def _transfer(call: Call, number: int) -> Order | None:
    return next((order for order in call.orders if order.transfer == number), None)


def _person(call: Call, leg: Leg | None) -> Person:
    if leg is None or call.plan is None:
        return Person()
    if leg.transfer:
        order = _transfer(call, leg.transfer)
        return order.plan.person if order and order.plan else Person()
    return call.plan.origination_person if leg.side is Side.ORIGINATION else call.plan.termination_person


def _speaks_for(call: Call, side: Side) -> Leg | None:
    """Return the leg of a side that answered, else the last one rung; none of a transfer."""
    legs = [leg for leg in call.legs if leg.side is side and not leg.transfer]
    return _last_answered(legs) or (legs[-1] if legs else None)


def _last_answered(legs: Iterable[Leg]) -> Leg | None:
    return next((leg for leg in reversed(list(legs)) if leg.answered_at), None)
