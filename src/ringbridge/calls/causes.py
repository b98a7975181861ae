"""Which cause a leg, a side or a call is said to have ended for."""

from __future__ import annotations

from collections.abc import Sequence

from ringbridge.model import release
from ringbridge.model.call import Call, Leg, Side
from ringbridge.model.release import ReleaseCause, Result

CAUSE_RANK = (
    Result.BUSY,
    Result.REJECTED,
    Result.NO_ANSWER,
    Result.CANCELLED,
    Result.FAILED,
    Result.UNREACHABLE,
)
"""Which refusal speaks for phones that all refused: the one that a caller can do most with comes first."""


def leg_cause(call: Call, leg: Leg, cause: ReleaseCause, ended_by: str) -> ReleaseCause:
    """Return why a leg is released when the call ends for `cause`, by `ended_by`."""
    if ended_by in ("system", leg.side.value):
        return cause
    if leg.side is Side.TERMINATION and not call.joined_at:
        return release.CALLER_GAVE_UP
    return release.OTHER_LEG_ENDED


def side_cause(call: Call, side: Side) -> ReleaseCause:
    """Return why a side of which no leg is left has ended."""
    legs = [leg for leg in call.legs if leg.side is side and leg.cause is not None]
    was_up = [leg for leg in legs if leg.answered_at]
    if was_up:
        cause = was_up[0].cause
        return cause if cause and call.joined_at else release.CALLER_GAVE_UP
    return worst_cause(legs)


def ring_cause(call: Call, side: Side) -> ReleaseCause:
    """Return why a side whose ring time ran out was not answered: it rang, or refused, or nobody is there."""
    legs = [leg for leg in call.legs if leg.side is side]
    if any(leg.ringing_at for leg in legs):
        return release.RING_TIMEOUT
    return side_cause(call, side) if any(leg.cause for leg in legs) else release.NEVER_RANG


def worst_cause(legs: Sequence[Leg]) -> ReleaseCause:
    """Return what speaks for phones that have all refused."""
    causes = [leg.cause for leg in legs if leg.cause is not None]
    if not causes:
        return release.ENGINE_RESTARTED
    ranked = [cause for cause in causes if cause.result in CAUSE_RANK]
    return min(ranked, key=lambda cause: CAUSE_RANK.index(cause.result), default=causes[-1])


def delete_cause(call: Call) -> ReleaseCause:
    """Return why a call ends that somebody wants over."""
    return release.DELETED_WHILE_UP if call.joined_at else release.DELETED
