"""Handing a far party over to another call: the second call's part in an attended transfer.

The theory. Two calls, each with events of its own, have to agree on whose a leg is, and either owner may die at any
moment. So the first call decides, by one event in its own stream, and this one keeps the leg until it has seen that:

    asked       `HandoverOrdered` is stored, then the leg's state is given away; nothing more is sent in its dialog
    taken       the other call's events have the leg: here it is let go of without a word, the asker's leg is released,
                and the call ends as `transferred`
    dropped     the other call's order ended without it: this call goes on as it was; was the asker gone, it is over
    open        look again in a while

Whatever ends this call meanwhile, the given leg alone waits for the decision. So no leg is ended by one call while the
other has it, and none is left to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from ringbridge.calls.actions import Action, LetGo, StartTimer, StopTimer, Timer
from ringbridge.calls.commands import HandoverWish
from ringbridge.calls.holding import check_up, conflict
from ringbridge.calls.story import Story
from ringbridge.model import release
from ringbridge.model.call import Call, Leg, LegState, side_of
from ringbridge.model.events import HandoverOrdered, LegReleased, OrderDone
from ringbridge.model.release import ReleaseCause

FIRST_LOOK_S = 0.2
"""The other call decides within some 10 ms where all is well."""
LOOK_AGAIN_S = 1.0


class Decision(Enum):
    """What has become of a leg that was given away."""

    TAKEN = "taken"
    DROPPED = "dropped"
    OPEN = "open"


def decision_of(other: Call | None, handover: HandoverOrdered, sip_call_id: str) -> Decision:
    """Return what the `other` call, as the bus has it, has decided about the leg `sip_call_id`."""
    if other is None or other.session_id != handover.session_id:
        return Decision.DROPPED
    if any((leg.transfer, leg.sip_call_id) == (handover.transfer, sip_call_id) for leg in other.legs):
        return Decision.TAKEN
    if other.transfers < handover.transfer:
        return Decision.OPEN  # a copy of the bus that is behind: it asked before it had this leg
    order = other.order
    is_open = not other.is_over and order is not None and order.transfer == handover.transfer
    return Decision.OPEN if is_open else Decision.DROPPED


def order_handover(story: Story, wish: HandoverWish, *, now: float) -> list[Action]:
    """Take the order that a far party go over to another call; the same order again is a success.

    Raises:
        CallError: the state of the call does not allow it; nothing was done.
    """
    call = story.call
    under_way = call.order.handover if call.order else None
    if under_way is not None and (under_way.session_id, under_way.transfer) == (wish.session_id, wish.transfer):
        return []
    given = next((leg for leg in call.legs if leg.sip_call_id == wish.sip_call_id), None)
    asker = call.answered(given.side.other) if given is not None else None
    if given is None or given.state is not LegState.ANSWERED or asker is None:
        raise conflict("party-left", "the party that is wanted is not in the call any more")
    check_up(call, asker.leg_id)
    story.record(
        HandoverOrdered(asker.leg_id, given.leg_id, wish.call_id, wish.session_id, wish.transfer, wish.by, now)
    )
    return story.flush()


class Handover:
    """The handover of one call that is under way. `end` ends the whole call."""

    def __init__(
        self, story: Story, order: HandoverOrdered, *, end: Callable[[ReleaseCause, str, float], list[Action]]
    ) -> None:
        self._story = story
        self._order = order
        self._end = end

    def asks(self, leg: Leg) -> bool:
        """Whether this is the leg of whoever transfers."""
        return leg.leg_id == self._order.leg_id

    def gives(self, leg: Leg) -> bool:
        """Whether this is the leg that goes over, so that this call may not end it before it is decided whose it is."""
        return leg.leg_id == self._order.given

    def proceed(self, now: float) -> list[Action]:
        """The order is stored: see in a while what has come of it."""
        return [StartTimer(Timer.HANDOVER, now + FIRST_LOOK_S)]

    def decided(self, decision: Decision, now: float) -> list[Action]:
        """Go on by what the other call has decided; before the call is told of its end, if it is to end."""
        if decision is Decision.OPEN:
            return [StartTimer(Timer.HANDOVER, now + LOOK_AGAIN_S)]
        given = self._story.call.leg(self._order.given)
        side = side_of(self._order.leg_id).value
        if given is None or given.state is not LegState.ANSWERED:
            return []  # it has hung up, and ended the call
        if decision is Decision.TAKEN:
            self._story.record(LegReleased(given.leg_id, release.TRANSFERRED, now))
            self._story.record(OrderDone(now))
            return [LetGo(given.leg_id), StopTimer(Timer.HANDOVER), *self._end(release.TRANSFERRED, side, now)]
        self._story.record(OrderDone(now, release.HANDOVER_REFUSED))
        asker = self._story.call.leg(self._order.leg_id)
        if asker is None or asker.state is not LegState.ANSWERED:
            return [StopTimer(Timer.HANDOVER), *self._end(release.TRANSFER_FAILED, side, now)]
        return [StopTimer(Timer.HANDOVER), *self._story.flush()]
