"""Transfer: another party takes the place of whoever asks for it. This file is the life of one, top to bottom.

The theory. Three parties: the *asker*, whose leg is replaced; the *other*, who remains; the *target*, who is rung. The
order is stored first, then the target's legs, then its INVITEs leave: a crash in between dials nobody twice and nobody
late. Until the target answers, asker and other stay joined, so that the asker may hang up at once (the usual way) or
wait; the other hears ringback as soon as a phone of the target rings, and what the target says before it answers.

    target answers         the asker's leg is released, target and other are joined, hold is over
    target does not        asker and other go on as before, also on hold; was the asker gone, the call is over
    asker hangs up         the target goes on ringing
    other hangs up         the call is over, whatever the target does

In an attended transfer the target is up already, as the far party of a second call of the asker's. It is asked for
there and taken over (`handing_over`); its INVITE is then an offer in the dialog that it has, its answer joins as above.

All of it is told by events, so `proceed` finds the next step also after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ringbridge.calls.actions import (
    Action,
    Arrange,
    Ask,
    Attach,
    Invite,
    Prepare,
    Release,
    Ringback,
    StartTimer,
    StopTimer,
    TakeOver,
    Timer,
)
from ringbridge.calls.causes import worst_cause
from ringbridge.calls.holding import check_up, conflict
from ringbridge.calls.ports import Answered, Arranged, PreparedLeg, Ringing
from ringbridge.calls.story import Story
from ringbridge.model import release
from ringbridge.model.call import Leg, LegState, side_of
from ringbridge.model.events import (
    Consultation,
    Flow,
    LegAnswered,
    LegInvited,
    LegReleased,
    LegRinging,
    OrderDone,
    TransferOrdered,
    TransferPlan,
)
from ringbridge.model.ids import LegId
from ringbridge.model.orders import Order
from ringbridge.model.release import ReleaseCause

LATE_S = 10.0
"""How old an order may be when its target is dialled: after a restart, or a long wait for the bus."""


def order_transfer(story: Story, leg_id: LegId, plan: TransferPlan, *, by: str, now: float) -> list[Action]:
    """Take the order that the targets of `plan` take the place of `leg_id`.

    Raises:
        CallError: the state of the call does not allow it; nothing was done.
    """
    check_up(story.call, leg_id)
    story.record(TransferOrdered(leg_id, plan, by, now))
    return story.flush()


class Transfer:
    """The transfer of one call that is under way. `end` ends the whole call."""

    def __init__(self, story: Story, order: Order, *, end: Callable[[ReleaseCause, str, float], list[Action]]) -> None:
        self._story = story
        self._order = order
        self._end = end
        self.side = side_of(order.leg_id)

    @property
    def legs(self) -> list[Leg]:
        """The target's legs, all that were ever rung."""
        return self._story.call.of_transfer(self._order.transfer)

    @property
    def is_joined(self) -> bool:
        """Whether the target has taken the asker's place; what may still be missing is the end of a hold."""
        return any(leg.answered_at for leg in self.legs)

    @property
    def takes_over(self) -> bool:
        """Whether the target is up already, in another call."""
        return self._consultation is not None

    def asks(self, leg_id: LegId) -> bool:
        """Whether this is the asker's leg."""
        return leg_id == self._order.leg_id

    # --- dialling -----------------------------------------------------------------------------------------------------

    def proceed(self, now: float) -> list[Action]:
        """Take the next step of the order, which is stored: also the first one, and the one after a restart."""
        if self.is_joined:
            return self._unhold(now)
        legs = self.legs
        if not legs:
            if now - self._order.at > LATE_S:
                return self._fail(release.DIALLED_TOO_LATE, now)
            consultation = self._consultation
            if consultation is None:
                return [Prepare(self.side)]
            return [Ask(consultation, self._order.transfer, self._order.by)]
        pending = self._pending()
        if not pending:
            return self._fail(worst_cause(legs), now)
        ringing = any(leg.state is LegState.RINGING and not leg.early_media for leg in pending)
        return [
            *([Ringback(self.side.other, on=True)] if ringing else []),
            StartTimer(Timer.RING_TRANSFER, min(leg.invited_at for leg in pending) + self._ring_timeout_s),
        ]

    def asked(self, answer: bytes | ReleaseCause, now: float) -> list[Action]:
        """What the second call says to giving its far party away: the state of that leg, or why not."""
        consultation = self._consultation
        if self.legs or consultation is None:
            return []
        if isinstance(answer, ReleaseCause):
            return self._fail(answer, now)
        return [TakeOver(self.side, answer, consultation.session_id)]

    def prepared(self, legs: Sequence[PreparedLeg], now: float) -> list[Action]:
        """The target can be dialled: store that, then dial."""
        for leg in legs:
            invited = LegInvited(leg.leg_id, leg.target, leg.sip_call_id, leg.dialog, now, self._order.transfer)
            self._story.record(invited)
        return [
            *self._story.flush(),
            *(Invite(leg.leg_id) for leg in legs),
            StartTimer(Timer.RING_TRANSFER, now + self._ring_timeout_s),
        ]

    # --- what the target's legs tell ----------------------------------------------------------------------------------

    def on_ringing(self, leg: Leg, signal: Ringing, now: float) -> list[Action]:
        """The other party hears that it rings, or what the target says before the answer."""
        actions: list[Action] = []
        if leg.state is LegState.INVITED or signal.early_media:
            actions.append(Ringback(self.side.other, on=not signal.early_media))
        if leg.state is LegState.INVITED:
            self._story.record(LegRinging(leg.leg_id, now, signal.early_media))
        return [*actions, *self._story.flush()]

    def on_answered(self, leg: Leg, signal: Answered, now: float) -> list[Action]:
        """Join: the target takes the asker's place."""
        self._story.record(
            LegAnswered(leg.leg_id, signal.dialog, signal.codec, now, signal.acked_at, signal.remote_media)
        )
        releases: list[Action] = [Release(one.leg_id, release.ANSWERED_ELSEWHERE) for one in self._pending()]
        asker = self._story.call.leg(self._order.leg_id)
        if asker is not None and asker.state is LegState.ANSWERED:
            self._story.record(LegReleased(asker.leg_id, release.TRANSFERRED, now))
            releases.append(Release(asker.leg_id, release.TRANSFERRED))
        return [
            *releases,
            Attach(leg.leg_id),
            Ringback(self.side.other, on=False),
            StopTimer(Timer.RING_TRANSFER),
            *self._unhold(now),
        ]

    def on_refused(self, leg: Leg, cause: ReleaseCause, now: float) -> list[Action]:
        """One phone of the target refuses; the last one, or one that speaks for all (RFC 3261 §21.6), ends it."""
        self._story.record(LegReleased(leg.leg_id, cause, now))
        speaks_for_all = cause.sip_status is not None and cause.sip_status >= 600
        if self._pending() and not speaks_for_all:
            return self._story.flush()
        return self._fail(cause if speaks_for_all else worst_cause(self.legs), now)

    def on_ring_timeout(self, now: float) -> list[Action]:
        """Nobody has answered in time."""
        return [] if self.is_joined else self._fail(release.RING_TIMEOUT, now)

    def reject(self, now: float) -> list[Action]:
        """Refuse it on behalf of the target.

        Raises:
            CallError: the target is not being rung (any more).
        """
        if self.is_joined or not self._pending() or self.takes_over:
            raise conflict("nothing-rings", "no phone of this call is being rung")
        return self._fail(release.REJECTED, now)

    def on_too_late(self, now: float) -> list[Action]:
        """None of the prepared legs was dialled: drop them. Nobody is dialled late."""
        dropped = self._pending()
        for leg in dropped:
            self._story.record(LegReleased(leg.leg_id, release.DIALLED_TOO_LATE, now))
        releases: list[Action] = [Release(leg.leg_id, release.DIALLED_TOO_LATE) for leg in dropped]
        return [*releases, *self._fail(release.DIALLED_TOO_LATE, now)]

    # --- the end ------------------------------------------------------------------------------------------------------

    def unprepared(self, cause: ReleaseCause, now: float) -> list[Action]:
        """No leg of the target can be dialled at all."""
        return self._fail(cause, now)

    def _unhold(self, now: float) -> list[Action]:
        """Let the one who remains talk, if somebody was on hold; then the order is done."""
        other = self._story.call.answered(self.side.other)
        if other is not None and other.flow is not Flow.TALK:
            return [*self._story.flush(), Arrange(other.leg_id, Flow.TALK)]
        self._story.record(OrderDone(now))
        return self._story.flush()

    def on_arranged(self, signal: Arranged, now: float) -> list[Action]:
        """What the one who remains said to the end of the hold: a refusal leaves it on hold, and the order says so."""
        if self.is_joined and side_of(signal.leg_id) is self.side.other:
            self._story.record(OrderDone(now, signal.cause))
        return self._story.flush()

    def _fail(self, cause: ReleaseCause, now: float) -> list[Action]:
        """Nobody takes the asker's place: asker and other go on as before, or the call is over."""
        releases: list[Action] = [Release(leg.leg_id, cause) for leg in self._pending()]
        asker = self._story.call.leg(self._order.leg_id)
        self._story.record(OrderDone(now, cause))
        actions = [*releases, Ringback(self.side.other, on=False), StopTimer(Timer.RING_TRANSFER)]
        if asker is None or asker.state is not LegState.ANSWERED:
            return [*actions, *self._end(release.TRANSFER_FAILED, self.side.value, now)]
        return [*actions, Attach(asker.leg_id), *self._story.flush()]

    # --- small things -------------------------------------------------------------------------------------------------

    def _pending(self) -> list[Leg]:
        return [leg for leg in self.legs if leg.state in (LegState.INVITED, LegState.RINGING)]

    @property
    def _consultation(self) -> Consultation | None:
        return self._order.plan.consultation if self._order.plan else None

    @property
    def _ring_timeout_s(self) -> float:
        return self._order.plan.ring_timeout_s if self._order.plan else 60.0
