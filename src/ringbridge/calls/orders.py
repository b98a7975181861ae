"""What the call engine is asked to dial: the legs of one side of a call, or of a transfer."""

from __future__ import annotations

from ringbridge.calls.ports import LegOrder
from ringbridge.model.call import Call, Side
from ringbridge.model.events import TransferPlan
from ringbridge.model.ids import LegId
from ringbridge.model.orders import OrderKind

PREFIX = {Side.ORIGINATION: "o", Side.TERMINATION: "t"}


def leg_orders(call: Call, side: Side) -> list[LegOrder]:
    """Return the legs to prepare for `side`: those of the transfer that is under way, else those of the request.

    Raises:
        ValueError: the call has no plan.
    """
    order = call.order
    if order is not None and order.kind is OrderKind.TRANSFER and order.plan is not None:
        return _of_transfer(call, side, order.plan, order.transfer)
    plan = call.plan
    if plan is None:
        raise ValueError("a call without a plan cannot be dialled")
    first = side is Side.ORIGINATION
    sides = {Side.ORIGINATION: plan.origination, Side.TERMINATION: plan.termination}
    targets = sides[side]
    learn = tuple(one for one, some in sides.items() if any(target.nat for target in some))
    pcmu_only = any(target.pcmu_only for some in sides.values() for target in some)
    caller_id = plan.origination_caller_id if first else plan.termination_caller_id
    return [
        LegOrder(
            session_id=call.session_id,
            leg_id=LegId(f"{PREFIX[side]}{number}"),
            target=target,
            caller_id=caller_id,
            domain=call.domain,
            auto_answer=first and (plan.auto_answer or target.auto_answer),
            added_header=None if first else plan.added_header,
            learn=learn,
            pcmu_only=pcmu_only,
        )
        for number, target in enumerate(targets, start=1)
    ]


def _of_transfer(call: Call, side: Side, plan: TransferPlan, number: int) -> list[LegOrder]:
    there = sum(leg.side is side for leg in call.legs)
    return [
        LegOrder(
            session_id=call.session_id,
            leg_id=LegId(f"{PREFIX[side]}{place}"),
            target=target,
            caller_id=plan.caller_id,
            domain=call.domain,
            transfer=number,
            learn=(side,) if target.nat else (),
        )
        for place, target in enumerate(plan.targets, start=there + 1)
    ]
