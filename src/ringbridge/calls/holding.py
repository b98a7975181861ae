"""Hold and unhold, for the party of one leg: the other hears music and is not heard (RFC 3264 §8.4, RFC 3725 §10).

The theory. An order is stored before any phone is asked, so a crash in between resumes it. Then one leg at a time is
offered what it should have, the other party's first, until both have it:

    hold      other party: MUSIC, asker: SILENT        unhold      other party: TALK, asker: TALK

`proceed` looks only at how the legs stand, so it is the next step, and the first, and the one after a restart. A phone
that refuses ends the order with its cause and everything else stays as it is, but for one: an asker whose phone will
not be silent still holds, since the other party neither hears nor is heard by then.

A phone that holds by itself (`Leg.held`) is none of this: it alone can take that back.
"""

from __future__ import annotations

from collections.abc import Iterator

from ringbridge.calls.actions import Action, Arrange
from ringbridge.calls.ports import Arranged
from ringbridge.calls.story import Story
from ringbridge.model.call import Call, Leg, LegState, Side
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.events import Flow, HoldOrdered, LegUpdated, OrderDone
from ringbridge.model.ids import LegId
from ringbridge.model.orders import Order, OrderKind
from ringbridge.model.taking_part import is_theirs

UNDER_WAY = "order-under-way"
"""The refusal of an order while an earlier one is being carried out."""
HELD = {OrderKind.HOLD: (Flow.MUSIC, Flow.SILENT), OrderKind.UNHOLD: (Flow.TALK, Flow.TALK)}
"""What the other party has in the end, and what the asker has."""


def conflict(code: str, message: str) -> CallError:
    """Return the refusal of an order that the call's state does not allow."""
    return CallError(Refusal.CONFLICT, code, message)


def asking_leg(call: Call, name: str, user: str) -> LegId:
    """Return the leg whose party asks for something: `user`, who names the call by `name`.

    A leg's own id stands for that leg; any other name of the call for the user's own. Of a call that they made that is
    the first leg unless the second alone is theirs, and once they have left it, whoever has taken their place: a call
    is its maker's to the end. Whoever else took part asks for themselves alone.

    Raises:
        CallError: no phone of theirs is in the call, or the leg that they name is another's.
    """
    maker = user in ("", call.user)
    for leg in call.legs:
        if name == leg.sip_call_id:
            if maker or is_theirs(call, leg, user):
                return leg.leg_id
            raise conflict("not-your-leg", "the leg is another party's")
    if not call.joined_at:
        raise not_connected(call)
    own = [leg for leg in call.legs if leg.answered_at and is_theirs(call, leg, user or call.user)]
    up = next((leg for leg in own if leg.state is LegState.ANSWERED), None)
    if not maker:
        if not own:
            raise conflict("party-left", "no phone of this user is in the call")
        return (up or own[-1]).leg_id
    begun = _begun(call)
    if begun.state is LegState.ANSWERED:
        return begun.leg_id
    return (up or call.answered(begun.side) or begun).leg_id


def _begun(call: Call) -> Leg:
    """Return the leg with which the maker of a call that was joined began."""
    legs = [leg for leg in call.legs if leg.answered_at and not leg.transfer]
    first = next(leg for leg in legs if leg.side is Side.ORIGINATION)
    second = next(leg for leg in legs if leg.side is Side.TERMINATION)
    mine = call.plan.origination_user if call.plan else ""
    return second if second.target.user == call.user and mine not in ("", call.user) else first


def not_connected(call: Call) -> CallError:
    """Return the refusal of what needs both parties."""
    message = f"the call is {call.state.value}: both parties have to be connected first"
    return conflict("call-not-connected", message)


def check_up(call: Call, leg_id: LegId) -> tuple[Leg, Leg]:
    """Return the asker's leg and the other party's, both up and free for an order.

    Raises:
        CallError: they are not.
    """
    asker = call.leg(leg_id)
    if not call.joined_at:
        raise not_connected(call)
    if asker is None or asker.state is not LegState.ANSWERED:
        raise conflict("party-left", "the party that this is asked for is not in the call any more")
    other = call.answered(asker.side.other)
    if call.order is not None or other is None:
        raise conflict(UNDER_WAY, "the call is still carrying out an earlier order; try again")
    return asker, other


def order_hold(story: Story, leg_id: LegId, *, on: bool, by: str, now: float) -> list[Action]:
    """Take the order that the party of `leg_id` hold the other, or take it back; nothing to do is a success.

    Raises:
        CallError: the state of the call does not allow it; nothing was done.
    """
    call = story.call
    kind = OrderKind.HOLD if on else OrderKind.UNHOLD
    under_way = call.order
    if under_way is not None and (under_way.kind, under_way.leg_id) == (kind, leg_id):
        return []
    asker, other = check_up(call, leg_id)
    flows = (other.flow, asker.flow)
    if on and asker.flow is Flow.MUSIC:
        raise conflict("held-by-other-party", "the other party holds this call, so this one cannot")
    if not on and flows == (Flow.SILENT, Flow.MUSIC):
        raise conflict("held-by-other-party", "the other party holds this call: it alone can take that back")
    if not on and flows == (Flow.TALK, Flow.TALK) and (asker.held or other.held):
        raise conflict("held-at-phone", "the call was put on hold at a phone, and can only be taken back there")
    if all(wanted is leg.flow for leg, wanted in _wanted(call, kind, leg_id)) or (on and other.flow is Flow.MUSIC):
        return []
    story.record(HoldOrdered(leg_id, on, by, now))
    return story.flush()


def proceed(story: Story, order: Order, now: float) -> list[Action]:
    """Take the next step of an order that is stored; the last one is to say that it is done."""
    for leg, flow in _wanted(story.call, order.kind, order.leg_id):
        if leg.flow is not flow:
            return [Arrange(leg.leg_id, flow)]
    story.record(OrderDone(now))
    return story.flush()


def take_arranged(story: Story, signal: Arranged, now: float) -> bool:
    """Note what a leg took; false: the leg is not up any more, so nothing follows from it."""
    leg = story.call.leg(signal.leg_id)
    if leg is None or leg.state is not LegState.ANSWERED:
        return False
    if signal.cause is None:
        story.record(LegUpdated(leg.leg_id, signal.dialog, now, signal.held, signal.flow))
    return True


def go_on(story: Story, signal: Arranged, now: float) -> list[Action]:
    """Go on with a hold or its end by what a leg said to its offer, which `take_arranged` has noted."""
    order = story.call.order
    if order is None:
        return story.flush()
    if signal.cause is None:
        return [*story.flush(), *proceed(story, order, now)]
    still_holds = order.kind is OrderKind.HOLD and signal.leg_id == order.leg_id
    story.record(OrderDone(now, None if still_holds else signal.cause))
    return story.flush()


def _wanted(call: Call, kind: OrderKind, leg_id: LegId) -> Iterator[tuple[Leg, Flow]]:
    """Return the legs that are up, the other party's first, each with what it should have."""
    asker = call.leg(leg_id)
    if asker is None:
        return
    for_other, for_asker = HELD[kind]
    other = call.answered(asker.side.other)
    if other is not None:
        yield other, for_other
    if asker.state is LegState.ANSWERED:
        yield asker, for_asker
