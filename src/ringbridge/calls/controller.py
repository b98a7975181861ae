"""One call, from claim to CDR: events in, actions out. This file is the life of a call, top to bottom.

The theory. A controller's whole memory is the `Call` that its own events fold to, so it can be made again from the
bus at any moment (`resume`). Four rules give the order of actions:

1. An INVITE leaves only after `LegInvited` is stored: a lost owner never means a second INVITE, because whoever
   takes the call up sees that one may have left.
2. A leg's end is published after it was brought about (BYE sent; CANCEL confirmed by the INVITE's final response):
   a crash between the two repeats a BYE, which harms nobody, and leaves no leg up.
3. An answer is confirmed to the phone only after `LegAnswered` is stored (`calls.run` does it, for it acts on what is
   stored): until then the phone repeats it, so a crash in between loses nothing.
4. `CallEnded` comes last, when no leg is pending or up: so one CDR tells it all.

Origination rings first; its first answer wins and the others are cancelled. Then termination, the same way, offered
the codecs that origination took. Whoever hangs up, the other side is released.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from ringbridge.calls.actions import (
    Action,
    Finish,
    Invite,
    Prepare,
    Release,
    Ringback,
    StartTimer,
    StopTimer,
    Timer,
)
from ringbridge.calls.causes import delete_cause, leg_cause, ring_cause, side_cause
from ringbridge.calls.commands import Wish
from ringbridge.calls.handing_over import Decision
from ringbridge.calls.holding import conflict, go_on, take_arranged
from ringbridge.calls.ordering import Orders
from ringbridge.calls.ports import (
    Answered,
    Arranged,
    HungUp,
    LegSignal,
    MediaLost,
    PreparedLeg,
    Refused,
    Ringing,
    Updated,
)
from ringbridge.calls.resuming import RING_TIMER, resume_dialling, resume_joined
from ringbridge.calls.story import Story
from ringbridge.calls.transferring import LATE_S, Transfer
from ringbridge.model import release
from ringbridge.model.call import Call, CallState, Leg, LegState, Side
from ringbridge.model.events import (
    CallClaimed,
    CallEnded,
    CallEnding,
    CallPlan,
    EndRequested,
    LegAnswered,
    LegInvited,
    LegReleased,
    LegRinging,
    LegUpdated,
)
from ringbridge.model.ids import LegId, NodeId
from ringbridge.model.release import ReleaseCause

STOP_TIMERS = tuple(StopTimer(timer) for timer in Timer)


class Controller:
    """The state machine of one call. Every method returns the actions to perform, in order."""

    def __init__(self, call: Call, node: NodeId) -> None:
        if call.plan is None:
            raise ValueError("a call without a plan cannot be controlled")
        self._story = Story(call)
        self._record = self._story.record
        self._flush = self._story.flush
        self._orders = Orders(self._story, end=self._end)
        self._plan: CallPlan = call.plan
        self.node = node
        self._ending: tuple[ReleaseCause, str] | None = (call.ending, call.ending_by) if call.ending else None

    @property
    def call(self) -> Call:
        """The call as all events so far tell it."""
        return self._story.call

    # --- 1. claim and dial the first leg ------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """Begin a call that nobody owns yet. The claim itself goes out with the first INVITEs, in one batch."""
        if now >= self.call.dial_before:
            self._claim(now)
            return self._end(release.DIALLED_TOO_LATE, "system", now)
        return [Prepare(Side.ORIGINATION)]

    def prepared(self, side: Side, legs: Sequence[PreparedLeg], now: float) -> list[Action]:
        """The legs of `side` can be dialled: store that, then dial."""
        if not self._ending and (transfer := self._transfer):
            return transfer.prepared(legs, now)
        if self.call.state is CallState.REQUESTED:
            self._claim(now)
        if self._ending or (side is Side.TERMINATION and self.call.answered(Side.ORIGINATION) is None):
            return [*(Release(leg.leg_id, release.CALLER_GAVE_UP) for leg in legs), *self._flush()]
        for leg in legs:
            self._record(LegInvited(leg.leg_id, leg.target, leg.sip_call_id, leg.dialog, now))
        return [
            *self._flush(),
            *(Invite(leg.leg_id) for leg in legs),
            StartTimer(RING_TIMER[side], now + self._ring_timeout_s(side)),
        ]

    def unprepared(self, side: Side, cause: ReleaseCause, now: float) -> list[Action]:
        """No leg of `side` can be dialled at all."""
        if not self._ending and (transfer := self._transfer):
            return transfer.unprepared(cause, now)
        if self.call.state is CallState.REQUESTED:
            self._claim(now)
        return self._end(cause, side.value, now)

    def is_too_late(self, leg_id: LegId, now: float) -> bool:
        """Whether a prepared leg must not be dialled any more, because storing that it may be took too long."""
        leg = self.call.leg(leg_id)
        if leg is None:
            return True
        if (transfer := self._transfer_of(leg)) and transfer.takes_over:
            return False  # it is up already, and whoever gave it has read that it is this call's
        if leg.side is Side.ORIGINATION and not leg.transfer:
            return now >= self.call.dial_before
        return now - leg.invited_at >= LATE_S

    def on_too_late(self, side: Side, now: float) -> list[Action]:
        """None of the prepared legs of `side` was dialled: drop them and end the call. Nobody is dialled late."""
        if transfer := self._transfer:
            return transfer.on_too_late(now)
        dropped = self.call.pending(side)
        for leg in dropped:
            self._record(LegReleased(leg.leg_id, release.DIALLED_TOO_LATE, now))
        return [
            *(Release(leg.leg_id, release.DIALLED_TOO_LATE) for leg in dropped),
            *self._end(release.DIALLED_TOO_LATE, "system", now),
        ]

    # --- 2. what the legs tell ----------------------------------------------------------------------------------------

    def on_signal(self, signal: LegSignal, now: float) -> list[Action]:
        """Go on by what the call engine saw."""
        match signal:
            case Ringing():
                return self._on_ringing(signal, now)
            case Answered():
                return self._on_answered(signal, now)
            case Updated():
                return self._on_updated(signal, now)
            case Arranged():
                return self._on_arranged(signal, now)
            case Refused():
                return self._on_refused(signal, now)
            case HungUp():
                return self._on_hung_up(signal, now)
            case MediaLost():
                return self._end(signal.cause, "system", now)
            case _:
                assert_never(signal)

    def _on_ringing(self, signal: Ringing, now: float) -> list[Action]:
        leg = self.call.leg(signal.leg_id)
        if leg is None or leg.state not in (LegState.INVITED, LegState.RINGING):
            return []
        if transfer := self._transfer_of(leg):
            return transfer.on_ringing(leg, signal, now)
        actions: list[Action] = []
        heard = leg.side is Side.TERMINATION and self._ending is None and self._hears_ringback()
        if heard and (leg.state is LegState.INVITED or signal.early_media):
            actions.append(Ringback(Side.ORIGINATION, on=not signal.early_media))
        if leg.state is LegState.INVITED:
            self._record(LegRinging(leg.leg_id, now, signal.early_media))
        return [*actions, *self._flush()]

    def _on_answered(self, signal: Answered, now: float) -> list[Action]:
        leg = self.call.leg(signal.leg_id)
        if leg is None or leg.state in (LegState.ANSWERED, LegState.RELEASED):
            return []
        if (transfer := self._transfer_of(leg)) and not transfer.is_joined:
            return transfer.on_answered(leg, signal, now)
        side = leg.side
        if self._ending or self.call.answered(side) is not None:
            # Too late: another phone won, or the call is on its way out. The 200 is already ACKed; a BYE ends it.
            cause = leg_cause(self.call, leg, *self._ending) if self._ending else release.ANSWERED_ELSEWHERE
            self._record(LegReleased(leg.leg_id, cause, now))
            return [Release(leg.leg_id, cause), *self._settle(now)]
        self._record(LegAnswered(leg.leg_id, signal.dialog, signal.codec, now, signal.acked_at, signal.remote_media))
        losers: list[Action] = [Release(one.leg_id, release.ANSWERED_ELSEWHERE) for one in self.call.pending(side)]
        if side is Side.ORIGINATION:
            return [*losers, StopTimer(Timer.RING_ORIGINATION), *self._flush(), Prepare(Side.TERMINATION)]
        return [
            *losers,
            Ringback(Side.ORIGINATION, on=False),
            StopTimer(Timer.RING_TERMINATION),
            *self._flush(),
            StartTimer(Timer.MAX_DURATION, now + self._plan.max_duration_s),
        ]

    def _on_updated(self, signal: Updated, now: float) -> list[Action]:
        leg = self.call.leg(signal.leg_id)
        if leg is None or leg.state is not LegState.ANSWERED:
            return []
        self._record(LegUpdated(leg.leg_id, signal.dialog, now, signal.held, leg.flow))
        return self._flush()

    def _on_arranged(self, signal: Arranged, now: float) -> list[Action]:
        if self._ending or not take_arranged(self._story, signal, now):
            return []
        if transfer := self._transfer:
            return transfer.on_arranged(signal, now)
        if self._orders.handover:
            return self._flush()
        return go_on(self._story, signal, now)

    def _on_refused(self, signal: Refused, now: float) -> list[Action]:
        leg = self.call.leg(signal.leg_id)
        if leg is None or leg.state is LegState.RELEASED:
            return []
        if (transfer := self._transfer_of(leg)) and not transfer.is_joined:
            return transfer.on_refused(leg, signal.cause, now)
        self._record(LegReleased(leg.leg_id, signal.cause, now))
        pending = self.call.pending(leg.side)
        if self._ending or self.call.answered(leg.side) is not None or leg.transfer:
            # Of a transfer that is over, it says nothing about this call, even where another has replaced its side.
            return self._settle(now)
        if pending and signal.cause.sip_status is not None and signal.cause.sip_status >= 600:
            # RFC 3261 §21.6: a 6xx speaks for the user everywhere; no other phone of theirs is worth ringing on.
            return self._end(signal.cause, leg.side.value, now)
        if pending:
            return self._flush()
        return self._end(side_cause(self.call, leg.side), leg.side.value, now)

    def _on_hung_up(self, signal: HungUp, now: float) -> list[Action]:
        leg = self.call.leg(signal.leg_id)
        if leg is None or leg.state is not LegState.ANSWERED:
            return []
        joined = bool(self.call.joined_at)
        self._record(LegReleased(leg.leg_id, signal.cause, now))
        if not self._ending and (transfer := self._transfer) and transfer.asks(leg.leg_id):
            return self._flush()  # the target goes on ringing
        if not self._ending and (handover := self._orders.handover) and handover.asks(leg):
            return self._flush()  # the other call decides about the far party
        cause = signal.cause if joined or leg.side is Side.TERMINATION else release.CALLER_GAVE_UP
        return self._end(cause, leg.side.value, now)

    # --- 3. clocks and commands ---------------------------------------------------------------------------------------

    def on_timer(self, timer: Timer, now: float) -> list[Action]:
        """A clock ran out."""
        match timer:
            case Timer.RING_ORIGINATION:
                return self._on_ring_timeout(Side.ORIGINATION, now)
            case Timer.RING_TERMINATION:
                return self._on_ring_timeout(Side.TERMINATION, now)
            case Timer.RING_TRANSFER:
                transfer = None if self._ending else self._transfer
                return transfer.on_ring_timeout(now) if transfer else []
            case Timer.MAX_DURATION:
                return self._end(release.CALL_TOO_LONG, "system", now)
            case Timer.HANDOVER:
                return self._orders.look_up()
            case _:
                assert_never(timer)

    def _on_ring_timeout(self, side: Side, now: float) -> list[Action]:
        if self.call.answered(side) is not None:
            return []  # the answer was first; the clock had run out before it could be stopped
        return self._end(ring_cause(self.call, side), side.value, now)

    def request_end(self, by: str, now: float) -> list[Action]:
        """Somebody wants the call over (DELETE). The wish is stored first, so that no crash forgets it."""
        if self.call.is_over or self.call.end_requested_by:
            return []
        self._record(EndRequested(by, now))
        return [*self._flush(), *self._end(delete_cause(self.call), "system", now)]

    def order(self, wish: Wish, now: float) -> list[Action]:
        """Somebody wants something of a call that is up. It is stored first; `order_stored` begins with it.

        Raises:
            CallError: the state of the call does not allow it; nothing was done.
        """
        if self._ending is not None or self.call.is_over:
            raise conflict("call-ended", "the call is over")
        return self._orders.take(wish, now)

    def order_stored(self, now: float) -> list[Action]:
        """The last order is stored, so no crash forgets it: begin with it."""
        return [] if self._ending is not None else self._orders.stored(now)

    def asked(self, answer: bytes | ReleaseCause, now: float) -> list[Action]:
        """What another call says to giving a leg to this one."""
        transfer = None if self._ending else self._transfer
        return transfer.asked(answer, now) if transfer else []

    def decided(self, decision: Decision, now: float) -> list[Action]:
        """What has become of a leg that was given to another call."""
        return self._orders.decided(decision, now)

    def stop(self, now: float) -> list[Action]:
        """This engine is being stopped for good."""
        return self._end(release.ENGINE_STOPPED, "system", now)

    def give_up(self, cause: ReleaseCause, now: float) -> list[Action]:
        """End the call at once, whatever its legs do: a bug hit it, and its legs were told to end already."""
        if self.call.is_over:
            return [*self._flush(), Finish()]
        self._ending = (cause, "system")
        for leg in self.call.legs:
            if leg.state is not LegState.RELEASED:
                self._record(LegReleased(leg.leg_id, cause, now))
        return self._settle(now)

    # --- 4. after a restart -------------------------------------------------------------------------------------------

    def resume(self, now: float) -> list[Action]:
        """Go on with a call that this node owned before it restarted; its legs are restored already."""
        call = self.call
        if call.is_over:
            return [Finish()]
        if self._ending is not None:
            return self._end(*self._ending, now)
        if call.end_requested_by:
            return self._end(delete_cause(self.call), "system", now)
        if call.joined_at:
            ringing = self._transfer.legs if self._transfer else []
            longest = StartTimer(Timer.MAX_DURATION, call.joined_at + self._plan.max_duration_s)
            return [*resume_joined(call, ringing), longest, *self.order_stored(now)]
        return resume_dialling(call, now, end=self._end, ring_timeout_s=self._ring_timeout_s)

    # --- the end, from wherever it comes ------------------------------------------------------------------------------

    def _end(self, cause: ReleaseCause, ended_by: str, now: float) -> list[Action]:
        """Release what is up or pending; the first cause given is the one that the CDR tells."""
        if self.call.is_over:
            return []
        if self._ending is None:
            self._ending = (cause, ended_by)
        releases: list[Action] = []
        if transfer := self._transfer:
            releases.append(Ringback(transfer.side.other, on=False))
        elif self._hears_ringback():
            releases.append(Ringback(Side.ORIGINATION, on=False))
        handover = self._orders.handover
        for leg in self.call.legs:
            if leg.state is LegState.RELEASED or (handover is not None and handover.gives(leg)):
                continue
            why = leg_cause(self.call, leg, cause, ended_by)
            releases.append(Release(leg.leg_id, why))
            if leg.state is LegState.ANSWERED:
                self._record(LegReleased(leg.leg_id, why, now))
        looks = self._orders.look_up() if handover is not None else []
        return [*releases, *self._settle(now), *looks]

    def _settle(self, now: float) -> list[Action]:
        """Publish; and once no leg is left, end the call."""
        if self._ending is None:
            return self._flush()
        cause, ended_by = self._ending
        if any(leg.state is not LegState.RELEASED for leg in self.call.legs):
            if self.call.ending is None:
                self._record(CallEnding(cause, ended_by, now))
            return self._flush()
        self._record(CallEnded(cause, ended_by, now))
        return [*STOP_TIMERS, *self._flush(), Finish()]

    def _hears_ringback(self) -> bool:
        return self.call.answered(Side.ORIGINATION) is not None and not self.call.joined_at

    # --- small things -------------------------------------------------------------------------------------------------

    @property
    def _transfer(self) -> Transfer | None:
        return self._orders.transfer

    def _transfer_of(self, leg: Leg) -> Transfer | None:
        """The transfer that is under way, if `leg` was rung for it and the call goes on."""
        transfer = None if self._ending else self._transfer
        return transfer if transfer is not None and leg in transfer.legs else None

    def _claim(self, now: float) -> None:
        self._record(CallClaimed(self.node, self.call.generation + 1, now))

    def _ring_timeout_s(self, side: Side) -> float:
        if side is Side.ORIGINATION:
            return self._plan.origination_ring_timeout_s
        return self._plan.termination_ring_timeout_s
