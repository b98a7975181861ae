"""A call as a ladder: what happened, on which leg, how long after the request was accepted."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringbridge.model.call import Call, Leg, LegState, side_of
from ringbridge.model.orders import Order
from ringbridge.model.release import ReleaseCause


class Step(StrEnum):
    """One kind of rung; their order here is the order of steps that share an instant."""

    REQUESTED = "requested"
    CLAIMED = "claimed"
    INVITE = "invite"
    RINGING = "ringing"
    ANSWERED = "answered"
    ACK = "ack"
    JOINED = "joined"
    ORDERED = "ordered"
    HELD = "held"
    DONE = "done"
    REFUSED = "refused"
    RELEASED = "released"
    ENDED = "ended"


_ORDER = {step: place for place, step in enumerate(Step)}


class Rung(msgspec.Struct, frozen=True):
    """One step. `at` is epoch seconds, `ms` milliseconds since the POST was accepted; `leg` is empty for the call."""

    at: float
    ms: float
    step: Step
    leg: str = ""
    leg_id: str = ""
    detail: str = ""


def cause_text(cause: ReleaseCause | None) -> str:
    """Return a release cause in one line: `busy (486 busy)`, `completed (hung-up)`."""
    if cause is None:
        return ""
    status = "" if cause.sip_status is None else f"{cause.sip_status} "
    return f"{cause.result.value} ({status}{cause.reason})"


def _of_leg(leg: Leg) -> list[tuple[float, Step, str]]:
    # The ACK's time is the endpoint's own, the answer's is when it was taken note of, a little later.
    answered_at = min(leg.answered_at, leg.acked_at or leg.answered_at)
    steps = [
        (leg.invited_at, Step.INVITE, leg.target.label),
        (leg.ringing_at, Step.RINGING, "early media" if leg.early_media else ""),
        (answered_at, Step.ANSWERED, leg.codec),
        (leg.acked_at, Step.ACK, ""),
    ]
    if leg.state is LegState.RELEASED:
        steps.append((leg.released_at, Step.RELEASED, cause_text(leg.cause)))
    return steps


def _of_call(call: Call) -> list[tuple[float, Step, str]]:
    ended = f"by {call.ended_by}: {cause_text(call.release)}" if call.ended_by else cause_text(call.release)
    return [
        (call.requested_at, Step.REQUESTED, call.request.call_term_user if call.request else ""),
        (call.claimed_at, Step.CLAIMED, call.owner),
        (call.joined_at, Step.JOINED, ""),
        (call.held_since, Step.HELD, ""),
        (call.ended_at, Step.ENDED, ended),
    ]


def _of_order(order: Order) -> list[tuple[float, Step, str]]:
    kind = order.kind.value
    if order.cause is not None:
        return [
            (order.at, Step.ORDERED, f"{kind}, {order.by}"),
            (order.ended_at, Step.REFUSED, cause_text(order.cause)),
        ]
    return [(order.at, Step.ORDERED, f"{kind}, {order.by}"), (order.ended_at, Step.DONE, kind)]


def ladder(call: Call) -> list[Rung]:
    """Return the steps of `call` in the order in which they happened; what has not happened is not there."""
    start = call.requested_at
    rungs = [Rung(at, round((at - start) * 1000, 3), step, detail=text) for at, step, text in _of_call(call) if at]
    for leg in call.legs:
        rungs += [
            Rung(at, round((at - start) * 1000, 3), step, leg.side.value, leg.leg_id, text)
            for at, step, text in _of_leg(leg)
            if at
        ]
    for order in call.orders:
        rungs += [
            Rung(at, round((at - start) * 1000, 3), step, side_of(order.leg_id).value, order.leg_id, text)
            for at, step, text in _of_order(order)
            if at
        ]
    rungs.sort(key=lambda rung: (rung.at, _ORDER[rung.step], rung.leg_id))
    return rungs
