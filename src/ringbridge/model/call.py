"""A call as its events tell it: states, legs, and the fold.

State of the call      it is
-----------------      -----
requested              accepted; no engine has it yet
claimed                an engine owns it; the first leg's INVITE may have left
orig-ringing           a phone of the first leg rings
orig-answered          the first leg is up; the second is being dialled
term-ringing           a phone of the second leg rings
connected              both are up and joined
held                   joined, and one party put the other on hold, by the API or at its phone
ended                  over; `release` says why
barred                 never was: DELETE came before the POST (contract §3)

`fold` is total: an event that does not fit (a late ring after the answer, a release of a leg that is over) changes
nothing, so every replica that applies the same events has the same call, and applying twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from ringbridge.model.events import (
    CallBarred,
    CallClaimed,
    CallEnded,
    CallEnding,
    CallEvent,
    CallPlan,
    CallRequest,
    CallRequested,
    EndRequested,
    Flow,
    HandoverOrdered,
    HoldOrdered,
    LegAnswered,
    LegInvited,
    LegReleased,
    LegRinging,
    LegUpdated,
    OrderDone,
    Target,
    TransferOrdered,
)
from ringbridge.model.ids import CallId, DomainName, LegId, NodeId, SessionId, UserName
from ringbridge.model.orders import Order, after_event
from ringbridge.model.release import ReleaseCause

replace = msgspec.structs.replace


class CallState(StrEnum):
    """`call-state` on the wire (contract §3)."""

    REQUESTED = "requested"
    CLAIMED = "claimed"
    ORIG_RINGING = "orig-ringing"
    ORIG_ANSWERED = "orig-answered"
    TERM_RINGING = "term-ringing"
    CONNECTED = "connected"
    HELD = "held"
    ENDED = "ended"
    BARRED = "barred"


OVER = frozenset({CallState.ENDED, CallState.BARRED})


class LegState(StrEnum):
    """How far one leg is."""

    INVITED = "invited"
    RINGING = "ringing"
    ANSWERED = "answered"
    RELEASED = "released"


class Side(StrEnum):
    """Which half of the call (glossary: a leg is `origination` or `termination`)."""

    ORIGINATION = "origination"
    TERMINATION = "termination"

    @property
    def other(self) -> Side:
        return Side.TERMINATION if self is Side.ORIGINATION else Side.ORIGINATION


def side_of(leg_id: LegId) -> Side:
    """Return the side that a leg id stands for: `o…` origination, `t…` termination."""
    return Side.ORIGINATION if leg_id.startswith("o") else Side.TERMINATION


class Leg(msgspec.Struct, frozen=True, omit_defaults=True):
    """One party's half. Times are epoch seconds, 0 where it has not happened."""

    leg_id: LegId
    target: Target
    sip_call_id: str
    dialog: bytes
    invited_at: float
    state: LegState = LegState.INVITED
    ringing_at: float = 0.0
    early_media: bool = False
    answered_at: float = 0.0
    acked_at: float = 0.0
    released_at: float = 0.0
    codec: str = ""
    remote_media: str = ""
    transfer: int = 0
    """Which transfer it is of; 0: it is of the call as it was requested."""
    held: bool = False
    """Its party put us on hold at its phone."""
    flow: Flow = Flow.TALK
    cause: ReleaseCause | None = None

    @property
    def side(self) -> Side:
        return side_of(self.leg_id)


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """One click-to-call. `sequence` is that of its last bus message: what the next append must expect."""

    domain: DomainName
    user: UserName
    call_id: CallId
    state: CallState
    requested_at: float
    sequence: int = 0
    events: int = 0
    """How many it had, those among them that did not fit; behind a bar they are counted anew."""
    session_id: SessionId = SessionId("")
    request: CallRequest | None = None
    plan: CallPlan | None = None
    dial_before: float = 0.0
    owner: NodeId = NodeId("")
    generation: int = 0
    claimed_at: float = 0.0
    legs: tuple[Leg, ...] = ()
    joined_at: float = 0.0
    held_since: float = 0.0
    held_s: float = 0.0
    ended_at: float = 0.0
    ended_by: str = ""
    release: ReleaseCause | None = None
    orders: tuple[Order, ...] = ()
    """Oldest first, at most `MOST_ORDERS`; only the last can be under way."""
    transfers: int = 0
    """How many have been ordered."""
    end_requested_by: str = ""
    ending: ReleaseCause | None = None
    """Why it is being ended, while legs are still being cancelled."""
    ending_by: str = ""
    ending_at: float = 0.0
    barred_until: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def order(self) -> Order | None:
        """The order that is under way."""
        return self.orders[-1] if self.orders and not self.orders[-1].ended_at else None

    def leg(self, leg_id: LegId) -> Leg | None:
        for leg in self.legs:
            if leg.leg_id == leg_id:
                return leg
        return None

    def answered(self, side: Side) -> Leg | None:
        """Return the leg of `side` that answered and is still up."""
        for leg in self.legs:
            if leg.state is LegState.ANSWERED and leg.side is side:
                return leg
        return None

    def of_transfer(self, number: int) -> list[Leg]:
        """Return the legs that were rung for a transfer."""
        return [leg for leg in self.legs if leg.transfer == number]

    def pending(self, side: Side) -> list[Leg]:
        """Return the legs of `side` whose INVITE has no final response yet."""
        waiting = (LegState.INVITED, LegState.RINGING)
        return [leg for leg in self.legs if leg.state in waiting and leg.side is side]


def _with_leg(call: Call, leg: Leg, **changes: object) -> Call:
    legs = tuple(leg if one.leg_id == leg.leg_id else one for one in call.legs)
    return replace(call, legs=legs, **changes)


def _invited(call: Call, event: LegInvited) -> Call:
    if call.leg(event.leg_id) is not None:
        return call
    leg = Leg(
        leg_id=event.leg_id,
        target=event.target,
        sip_call_id=event.sip_call_id,
        dialog=event.dialog,
        invited_at=event.at,
        transfer=event.transfer,
    )
    return replace(call, legs=(*call.legs, leg))


def _rung(call: Call, event: LegRinging) -> Call:
    leg = call.leg(event.leg_id)
    if leg is None or leg.state is not LegState.INVITED:
        return call
    leg = replace(leg, state=LegState.RINGING, ringing_at=event.at, early_media=event.early_media)
    if leg.side is Side.ORIGINATION:
        return _with_leg(call, leg, state=CallState.ORIG_RINGING if call.state is CallState.CLAIMED else call.state)
    return _with_leg(call, leg, state=CallState.TERM_RINGING if call.state is CallState.ORIG_ANSWERED else call.state)


def _answered(call: Call, event: LegAnswered) -> Call:
    leg = call.leg(event.leg_id)
    if leg is None or leg.state in (LegState.ANSWERED, LegState.RELEASED):
        return call
    leg = replace(
        leg,
        state=LegState.ANSWERED,
        dialog=event.dialog,
        codec=event.codec,
        answered_at=event.at,
        acked_at=event.acked_at,
        remote_media=event.remote_media,
    )
    if leg.transfer:
        return _with_leg(call, leg)
    if leg.side is Side.ORIGINATION:
        return _with_leg(call, leg, state=CallState.ORIG_ANSWERED)
    return _held_or_not(_with_leg(call, leg, state=CallState.CONNECTED, joined_at=event.at), event.at)


def _held_until(call: Call, at: float) -> float:
    """Return the seconds on hold, with those up to `at`; a clock that stepped back takes none away."""
    return call.held_s + max(0.0, at - call.held_since)


def _updated(call: Call, event: LegUpdated) -> Call:
    leg = call.leg(event.leg_id)
    if leg is None or leg.state is LegState.RELEASED:
        return call
    return _held_or_not(_with_leg(call, replace(leg, dialog=event.dialog, held=event.held, flow=event.flow)), event.at)


def _held_or_not(call: Call, at: float) -> Call:
    """Return the call as on hold or not, by the legs that are up."""
    up = [one for one in call.legs if one.state is LegState.ANSWERED]
    held = any(one.held or one.flow is not Flow.TALK for one in up)
    if held and call.state is CallState.CONNECTED:
        return replace(call, state=CallState.HELD, held_since=at)
    if not held and call.state is CallState.HELD:
        return replace(call, state=CallState.CONNECTED, held_s=_held_until(call, at), held_since=0.0)
    return call


def _released(call: Call, event: LegReleased) -> Call:
    leg = call.leg(event.leg_id)
    if leg is None or leg.state is LegState.RELEASED:
        return call
    call = _with_leg(call, replace(leg, state=LegState.RELEASED, released_at=event.at, cause=event.cause, dialog=b""))
    # Whoever has taken its place holds nobody.
    return call if call.answered(leg.side) is None else _held_or_not(call, event.at)


def _ending(call: Call, event: CallEnding) -> Call:
    if call.ending:
        return call
    return replace(call, ending=event.cause, ending_by=event.ended_by, ending_at=event.at)


def _ended(call: Call, event: CallEnded) -> Call:
    # A phone that does not answer our CANCEL holds the last event up for half a minute; the parties parted before.
    at = call.ending_at or event.at
    return replace(
        call,
        state=CallState.ENDED,
        ended_at=at,
        ended_by=event.ended_by,
        release=event.cause,
        held_s=_held_until(call, at) if call.held_since else call.held_s,
        held_since=0.0,
    )


def _begin(call: Call | None, event: CallEvent) -> Call | None:
    match event:
        case CallRequested() if call is None or call.state is CallState.BARRED:
            return Call(
                domain=event.domain,
                user=event.user,
                call_id=event.call_id,
                state=CallState.REQUESTED,
                requested_at=event.at,
                session_id=event.session_id,
                request=event.request,
                plan=event.plan,
                dial_before=event.dial_before,
            )
        case CallBarred() if call is None:
            return Call(
                domain=event.domain,
                user=event.user,
                call_id=event.call_id,
                state=CallState.BARRED,
                requested_at=event.at,
                barred_until=event.until,
            )
        case _:
            return call


def fold_one(call: Call | None, event: CallEvent) -> Call | None:
    """Return `call` after `event`; an event that does not fit returns `call` as it was."""
    return _begin(call, event) if call is None or call.is_over else _go_on(call, event)


def _go_on(call: Call, event: CallEvent) -> Call:
    match event:  # those that every call has come first: to compare a class takes 0.2 µs
        case LegInvited():
            return _invited(call, event)
        case LegRinging():
            return _rung(call, event)
        case LegAnswered():
            return _answered(call, event)
        case LegReleased():
            return _released(call, event)
        case CallClaimed():
            state = CallState.CLAIMED if call.state is CallState.REQUESTED else call.state
            return replace(
                call,
                state=state,
                owner=event.node,
                generation=event.generation,
                claimed_at=call.claimed_at or event.at,
            )
        case CallEnded():
            return _ended(call, event)
        case CallEnding():
            return _ending(call, event)
        case LegUpdated():
            return _updated(call, event)
        case HoldOrdered() | TransferOrdered() | HandoverOrdered() | OrderDone():
            orders = after_event(call.orders, event, transfers=call.transfers)
            return replace(call, orders=orders, transfers=call.transfers + isinstance(event, TransferOrdered))
        case EndRequested():
            return replace(call, end_requested_by=event.by)
        case CallRequested() | CallBarred():
            return call


def fold(call: Call | None, events: Sequence[CallEvent], sequence: int) -> Call | None:
    """Return `call` after one bus message: its `events`, stored at stream `sequence`.

    A message that was applied before (`sequence` not above the call's own) changes nothing.
    """
    if call is not None and sequence <= call.sequence:
        return call
    for event in events:
        call = fold_one(call, event)
    return None if call is None else replace(call, sequence=sequence, events=call.events + len(events))
