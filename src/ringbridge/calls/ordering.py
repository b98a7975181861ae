"""The orders to one call that is up: what may be asked of it, the one that is under way, and how that goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from ringbridge.calls.actions import Action, LookUp
from ringbridge.calls.commands import HandoverWish, HoldWish, RejectWish, TransferWish, Wish
from ringbridge.calls.handing_over import Decision, Handover, order_handover
from ringbridge.calls.holding import asking_leg, conflict, order_hold, proceed
from ringbridge.calls.story import Story
from ringbridge.calls.transferring import Transfer, order_transfer
from ringbridge.model import release
from ringbridge.model.call import LegState, Side
from ringbridge.model.orders import OrderKind
from ringbridge.model.release import ReleaseCause


class Orders:
    """The orders of one call. `end` ends the whole call."""

    def __init__(self, story: Story, *, end: Callable[[ReleaseCause, str, float], list[Action]]) -> None:
        self._story = story
        self._end = end

    @property
    def transfer(self) -> Transfer | None:
        """The transfer that is under way."""
        order = self._story.call.order
        if order is None or order.kind is not OrderKind.TRANSFER:
            return None
        return Transfer(self._story, order, end=self._end)

    @property
    def handover(self) -> Handover | None:
        """The handover that is under way: also of a call that is being ended, whose last leg waits for it."""
        order = self._story.call.order
        given = order.handover if order else None
        return Handover(self._story, given, end=self._end) if given else None

    def take(self, wish: Wish, now: float) -> list[Action]:
        """Take an order. It is stored first; `stored` begins with it.

        Raises:
            CallError: the state of the call does not allow it; nothing was done.
        """
        match wish:
            case HoldWish():
                leg_id = asking_leg(self._story.call, wish.name, wish.user)
                return order_hold(self._story, leg_id, on=wish.on, by=wish.by, now=now)
            case TransferWish():
                return order_transfer(self._story, wish.leg_id, wish.plan, by=wish.by, now=now)
            case RejectWish():
                return self._reject(now)
            case HandoverWish():
                return order_handover(self._story, wish, now=now)
            case _:
                assert_never(wish)

    def _reject(self, now: float) -> list[Action]:
        if transfer := self.transfer:
            return transfer.reject(now)
        call = self._story.call
        ringing = [side for side in Side if call.pending(side) and call.answered(side) is None]
        if not ringing:
            raise conflict("nothing-rings", "no phone of this call is being rung")
        return self._end(release.REJECTED, ringing[-1].value, now)

    def stored(self, now: float) -> list[Action]:
        """The last order is stored, so no crash forgets it: begin with it."""
        order = self._story.call.order
        if order is None:
            return []
        if transfer := self.transfer:
            return transfer.proceed(now)
        if handover := self.handover:
            return handover.proceed(now)
        return proceed(self._story, order, now)

    def decided(self, decision: Decision, now: float) -> list[Action]:
        """What has become of a leg that was given to another call."""
        handover = self.handover
        return handover.decided(decision, now) if handover and not self._story.call.is_over else []

    def look_up(self) -> list[Action]:
        """Return how to learn what has become of a leg that was given away, if one was."""
        call = self._story.call
        given = call.order.handover if call.order else None
        leg = call.leg(given.given) if given else None
        if given is None or leg is None or leg.state is not LegState.ANSWERED:
            return []
        return [LookUp(given, leg.sip_call_id)]
