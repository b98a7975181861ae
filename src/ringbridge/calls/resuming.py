"""What the engine of a call does first after a restart, by how far the call had come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ringbridge.calls.actions import Action, Prepare, Release, Ringback, StartTimer, Timer
from ringbridge.calls.causes import side_cause
from ringbridge.model import release
from ringbridge.model.call import Call, Leg, Side
from ringbridge.model.release import ReleaseCause

End: TypeAlias = Callable[[ReleaseCause, str, float], list[Action]]
"""Ends the call: the cause, by whom, when."""

RING_TIMER = {Side.ORIGINATION: Timer.RING_ORIGINATION, Side.TERMINATION: Timer.RING_TERMINATION}


def resume_joined(call: Call, ringing: Sequence[Leg]) -> list[Action]:
    """Return what a call that was joined needs; of the legs that ring, only `ringing` are still wanted."""
    losers: list[Action] = [
        Release(leg.leg_id, release.ANSWERED_ELSEWHERE)
        for side in Side
        for leg in call.pending(side)
        if leg not in ringing
    ]
    return [*losers, Ringback(Side.ORIGINATION, on=False)]


def resume_dialling(call: Call, now: float, *, end: End, ring_timeout_s: Callable[[Side], float]) -> list[Action]:
    """Return what a call needs of which one side, or none, is up."""
    orig = call.answered(Side.ORIGINATION)
    if orig is None:
        return _resume_ringing(call, Side.ORIGINATION, now, end=end, ring_timeout_s=ring_timeout_s)
    losers: list[Action] = [Release(one.leg_id, release.ANSWERED_ELSEWHERE) for one in call.pending(Side.ORIGINATION)]
    if any(leg.side is Side.TERMINATION for leg in call.legs):
        return [*losers, *_resume_ringing(call, Side.TERMINATION, now, end=end, ring_timeout_s=ring_timeout_s)]
    if now - orig.answered_at > ring_timeout_s(Side.TERMINATION):
        return [*losers, *end(release.ENGINE_RESTARTED, "system", now)]
    return [*losers, Prepare(Side.TERMINATION)]


def _resume_ringing(
    call: Call, side: Side, now: float, *, end: End, ring_timeout_s: Callable[[Side], float]
) -> list[Action]:
    pending = call.pending(side)
    if not pending or (side is Side.ORIGINATION and call.pending(Side.TERMINATION)):
        return end(side_cause(call, side), side.value, now)
    return [StartTimer(RING_TIMER[side], min(leg.invited_at for leg in pending) + ring_timeout_s(side))]
