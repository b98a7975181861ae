"""The fold: a call is what its events say, in whatever order and however often they come."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbridge.model.call import Call, CallState, LegState, Side, fold, fold_one
from ringbridge.model.events import (
    CallBarred,
    CallClaimed,
    CallEnded,
    CallEnding,
    CallEvent,
    EndRequested,
    LegAnswered,
    LegInvited,
    LegReleased,
    LegRinging,
    LegUpdated,
)
from ringbridge.model.release import DELETED, HUNG_UP, OTHER_LEG_ENDED, of_sip_status
from tests.calls.samples import DOMAIN, NODE, O1, O2, START, T1, USER, requested, requested_call, target

LEG = st.sampled_from([O1, O2, T1])
AT = st.floats(START - 10, START + 1000)
DIALOG = st.binary(max_size=4)
EVENT: st.SearchStrategy[CallEvent] = st.one_of(
    st.just(requested()),
    st.builds(CallBarred, st.just(DOMAIN), st.just(USER), st.just(requested().call_id), AT, AT),
    st.builds(CallClaimed, st.sampled_from([NODE]), st.integers(1, 3), AT),
    st.builds(LegInvited, LEG, st.just(target("1001")), st.just("sip-id"), DIALOG, AT),
    st.builds(LegRinging, LEG, AT, st.booleans()),
    st.builds(LegAnswered, LEG, DIALOG, st.just("PCMU"), AT, AT, st.just("h:1")),
    st.builds(LegUpdated, LEG, DIALOG, AT, st.booleans()),
    st.builds(LegReleased, LEG, st.just(HUNG_UP), AT),
    st.builds(EndRequested, st.just("somebody"), AT),
    st.builds(CallEnding, st.just(HUNG_UP), st.just("origination"), AT),
    st.builds(CallEnded, st.just(HUNG_UP), st.just("origination"), AT),
)
BATCHES = st.lists(st.lists(EVENT, min_size=1, max_size=4), max_size=12)


def folded(*batches: list[CallEvent]) -> Call:
    call: Call | None = None
    for sequence, batch in enumerate(batches, start=1):
        call = fold(call, batch, sequence)
    assert call is not None
    return call


STORY: list[list[CallEvent]] = [
    [requested()],
    [
        CallClaimed(NODE, 1, START + 1),
        LegInvited(O1, target("1001"), "sip-o1", b"o", START + 1),
        LegInvited(O2, target("1001m"), "sip-o2", b"o", START + 1),
    ],
    [LegRinging(O1, START + 2), LegRinging(O2, START + 2)],
    [LegAnswered(O1, b"O", "PCMU", START + 3, START + 3.001, "h:1")],
    [LegReleased(O2, of_sip_status(487), START + 3.5)],
    [LegInvited(T1, target("1002"), "sip-t1", b"t", START + 4)],
    [LegRinging(T1, START + 5, early_media=True)],
    [LegAnswered(T1, b"T", "PCMA", START + 6, START + 6.001, "h:2")],
    [LegUpdated(T1, b"T2", START + 10, held=True)],
    [LegUpdated(T1, b"T3", START + 14, held=False)],
    [
        LegReleased(T1, HUNG_UP, START + 20),
        LegReleased(O1, OTHER_LEG_ENDED, START + 20),
        CallEnded(HUNG_UP, "termination", START + 20),
    ],
]
STATES = [
    CallState.REQUESTED,
    CallState.CLAIMED,
    CallState.ORIG_RINGING,
    CallState.ORIG_ANSWERED,
    CallState.ORIG_ANSWERED,
    CallState.ORIG_ANSWERED,
    CallState.TERM_RINGING,
    CallState.CONNECTED,
    CallState.HELD,
    CallState.CONNECTED,
    CallState.ENDED,
]


def test_a_whole_call_goes_through_the_states_of_the_contract() -> None:
    assert [folded(*STORY[: end + 1]).state for end in range(len(STORY))] == STATES


def test_a_whole_call_leaves_what_a_cdr_needs() -> None:
    call = folded(*STORY)
    assert (call.joined_at, call.ended_at, call.held_s, call.ended_by) == (START + 6, START + 20, 4.0, "termination")
    assert call.release == HUNG_UP
    assert [leg.state for leg in call.legs] == [LegState.RELEASED] * 3
    assert [leg.dialog for leg in call.legs] == [b""] * 3, "a leg that is over keeps no dialog"


def test_a_call_that_ends_on_hold_counts_the_hold() -> None:
    call = folded(*STORY[:9], STORY[10])
    assert (call.held_s, call.held_since) == (10.0, 0.0)


def test_hold_time_is_never_negative_when_the_clock_steps_back() -> None:
    story: list[list[CallEvent]] = [*STORY[:9], [LegUpdated(T1, b"T3", START - 14, held=False)], STORY[10]]
    assert folded(*story).held_s >= 0.0


def test_a_first_leg_that_held_while_the_second_rang_is_held_once_they_are_joined() -> None:
    early = LegUpdated(O1, b"O", START + 5.5, held=True)
    call = folded(*STORY[:7], [early], STORY[7])
    assert (call.state, call.joined_at, call.held_since) == (CallState.HELD, START + 6, START + 6)


def test_two_legs_on_hold_are_held_until_both_are_back() -> None:
    call = folded(
        *STORY[:9], [LegUpdated(O1, b"", START + 12, held=True)], [LegUpdated(T1, b"", START + 13, held=False)]
    )
    assert call.state is CallState.HELD
    call = folded(*STORY[:9], [LegUpdated(O1, b"", START + 12, held=True), LegUpdated(T1, b"", START + 13, held=False)])
    after = fold(call, [LegUpdated(O1, b"", START + 15, held=False)], 99)
    assert after is not None
    assert (after.state, after.held_s) == (CallState.CONNECTED, 5.0)


def test_answered_and_pending_tell_the_sides_apart() -> None:
    call = folded(*STORY[:6])
    answered = call.answered(Side.ORIGINATION)
    assert answered is not None
    assert answered.leg_id == O1
    assert call.answered(Side.TERMINATION) is None
    assert [leg.leg_id for leg in call.pending(Side.TERMINATION)] == [T1]
    assert call.pending(Side.ORIGINATION) == []
    assert call.leg(O2) is not None
    assert call.leg(T1).side.other is Side.ORIGINATION  # type: ignore[union-attr] # it is there, line above but one


def test_a_second_owner_keeps_the_first_claim_time() -> None:
    call = folded(*STORY[:2], [CallClaimed(NODE, 2, START + 9)])
    assert (call.generation, call.claimed_at) == (2, START + 1)


def test_a_late_ring_changes_nothing() -> None:
    call = folded(*STORY[:4])
    assert fold_one(call, LegRinging(O1, START + 9)) == call


def test_a_second_answer_of_one_leg_changes_nothing() -> None:
    call = folded(*STORY[:8])
    assert fold_one(call, LegAnswered(T1, b"x", "G722", START + 9, START + 9)) == call


def test_a_bar_gives_way_to_a_request_and_to_nothing_else() -> None:
    bar = CallBarred(DOMAIN, USER, requested().call_id, START, START + 86_400)
    call = folded([bar])
    assert (call.state, call.is_over) == (CallState.BARRED, True)
    assert fold_one(call, CallClaimed(NODE, 1, START)) == call
    assert fold_one(call, CallEnded(DELETED, "system", START)) == call
    assert folded([bar], [requested()]).state is CallState.REQUESTED


def test_a_call_is_not_requested_twice() -> None:
    call = folded(*STORY[:4])
    other = msgspec.structs.replace(requested(), session_id="another")
    assert fold_one(call, other) == call


def test_events_without_a_beginning_make_no_call() -> None:
    assert fold(None, STORY[3], 1) is None


@settings(max_examples=50)
@given(BATCHES)
def test_any_events_in_any_order_fold(batches: list[list[CallEvent]]) -> None:
    call: Call | None = None
    for sequence, batch in enumerate(batches, start=1):
        call = fold(call, batch, sequence)
        if call is not None:
            assert call.sequence == sequence
            assert call.held_s >= 0.0


@settings(max_examples=50)
@given(BATCHES)
def test_a_message_applied_twice_changes_nothing(batches: list[list[CallEvent]]) -> None:
    call: Call | None = None
    for sequence, batch in enumerate(batches, start=1):
        call = fold(call, batch, sequence)
        assert fold(call, batch, sequence) == call
        for earlier in range(1, sequence):
            assert fold(call, batches[earlier - 1], earlier) == call


@settings(max_examples=50)
@given(st.lists(EVENT, max_size=10))
def test_ended_stays_ended(events: list[CallEvent]) -> None:
    ended: Call | None = folded(*STORY)
    for event in events:
        assert fold_one(ended, event) == ended


@settings(max_examples=50)
@given(st.lists(EVENT, max_size=20))
def test_a_released_leg_stays_released(events: list[CallEvent]) -> None:
    call: Call | None = folded(*STORY[:5])
    for event in events:
        call = fold_one(call, event)
        assert call is not None
        leg = call.leg(O2)
        assert leg is not None
        assert leg.state is LegState.RELEASED


@settings(max_examples=50)
@given(BATCHES)
def test_a_call_survives_being_stored_as_json_and_msgpack(batches: list[list[CallEvent]]) -> None:
    """Stores keep calls as documents."""
    call: Call | None = requested_call()
    for sequence, batch in enumerate(batches, start=2):
        call = fold(call, batch, sequence)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(call), type=Call) == call
    assert msgspec.json.decode(msgspec.json.encode(call), type=Call) == call
