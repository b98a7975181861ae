"""Which users a call is of: who made it, and who takes part in it (contract §3, lists of a user's calls).

A user takes part from when a phone of theirs is rung until the last of their legs is over. Whoever was never rung
knows nothing of the call.
"""

from __future__ import annotations

from ringbridge.model.call import Call, CallState, Leg, LegState


def is_theirs(call: Call, leg: Leg, user: str) -> bool:
    """Return whether a leg of `call` rang a phone of `user`, who is in the call's own domain."""
    return leg.target.user == user and leg.target.domain == call.domain


def users_in(call: Call) -> frozenset[str]:
    """Return the users, its maker aside, of whom a phone rings or is up in `call`; nobody's is once it is over."""
    if call.is_over:
        return frozenset()
    there = {
        leg.target.user
        for leg in call.legs
        if leg.state is not LegState.RELEASED and leg.target.user and is_theirs(call, leg, leg.target.user)
    }
    return frozenset(there - {call.user})


def is_up(call: Call, user: str) -> bool:
    """Return whether a phone of `user` is in the conversation."""
    return any(leg.state is LegState.ANSWERED and is_theirs(call, leg, user) for leg in call.legs)


def is_of(call: Call, user: str) -> bool:
    """Return whether `user` made `call`, takes part in it or did: who may know of it."""
    if call.state is CallState.BARRED:
        return False
    return call.user == user or any(is_theirs(call, leg, user) for leg in call.legs)
