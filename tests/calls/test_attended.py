"""Attended transfer: what each of the two calls does, whatever the phones and the other call do meanwhile."""

from __future__ import annotations

from functools import partial

import pytest

from ringbridge.calls.commands import RejectWish
from ringbridge.calls.handing_over import Decision, decision_of
from ringbridge.calls.transferring import LATE_S
from ringbridge.model import release
from ringbridge.model.call import Call, CallState, LegState, fold_one
from ringbridge.model.errors import CallError
from ringbridge.model.events import CallEnded, Flow, HandoverOrdered, LegInvited, OrderDone, TransferOrdered
from ringbridge.model.release import ReleaseCause, Result, of_sip_status
from tests.calls.bench import Bench, held, joined, leg, state
from tests.calls.samples import O1, O2, START, T1, target

NEW = O2
"""The leg that is taken over."""


# --- the first call ---------------------------------------------------------------------------------------------------


def test_the_second_call_is_asked_once_the_order_is_stored() -> None:
    bench = held().join(O1, "1003", begun=False)
    assert [type(event) for event in bench.world.batches[-1]] == [TransferOrdered]
    assert bench.asks == []
    bench.begin_orders()
    assert [(ask.consultation.call_id, ask.transfer) for ask in bench.asks] == [("c2", 1)]
    assert bench.world.invited == [O1, T1]


def test_the_leg_is_this_call_s_before_anything_is_offered_to_it() -> None:
    bench = held().join(O1, "1003").asked()
    (taken,) = bench.world.batches[-1]
    assert isinstance(taken, LegInvited)
    assert (taken.leg_id, taken.sip_call_id, taken.dialog, taken.transfer) == (NEW, "sip-there", b"state there", 1)
    assert bench.world.invited == [O1, T1, NEW]
    assert bench.stored.state is CallState.HELD


def test_a_leg_that_is_up_is_taken_over_however_long_the_bus_took() -> None:
    bench = held()
    bench.join(O1, "1003")
    bench.store_takes_s = LATE_S
    bench.asked()
    assert bench.world.invited == [O1, T1, NEW]
    bench.answer(NEW)
    assert bench.world.up == {T1, NEW}


def test_the_far_parties_are_joined_and_the_asker_is_released() -> None:
    bench = held().advance(4).join(O1, "1003").asked().answer(NEW)
    assert bench.world.up == {T1, NEW}
    assert bench.attached == [NEW]
    assert leg(bench, O1).cause == release.TRANSFERRED
    assert bench.offers == [(T1, Flow.TALK)], "whoever remains is taken back from hold"
    bench.take_offer(T1)
    assert (bench.stored.state, bench.stored.order) == (CallState.CONNECTED, None)
    cdr = bench.advance(5).hang_up(T1).check_over().cdr
    assert (cdr.orig_user, cdr.term_user, cdr.through_user) == ("1002", "1003", "1001")
    assert (cdr.through_action, cdr.through_sip_call_id, cdr.term_sip_call_id) == ("transfer", "sip-o1", "sip-there")
    assert (cdr.held_s, cdr.talking_s) == (4.0, 9.0)


@pytest.mark.parametrize("reason", ["destination-party-left", "destination-owner-away"])
def test_a_second_call_that_gives_nobody_leaves_the_first_as_it_was(reason: str) -> None:
    bench = held().join(O1, "1003").asked(ReleaseCause(Result.FAILED, reason))
    assert state(bench) is CallState.HELD
    assert bench.world.up == {O1, T1}
    assert bench.stored.orders[-1].cause == ReleaseCause(Result.FAILED, reason)
    bench.hold("c1", on=False).take_offer(T1).take_offer(O1)
    assert state(bench) is CallState.CONNECTED


def test_a_leg_that_will_not_go_over_leaves_the_first_call_as_it_was() -> None:
    bench = held().join(O1, "1003").asked().refuse(NEW, 488)
    assert bench.world.up == {O1, T1}
    assert bench.stored.orders[-1].cause == of_sip_status(488)
    bench.delete().check_over()


def test_a_leg_that_says_nothing_is_released() -> None:
    bench = held().join(O1, "1003").asked().advance(45)
    assert bench.releases[-1] == (NEW, release.RING_TIMEOUT)
    bench.confirm()
    assert bench.world.up == {O1, T1}


def test_the_asker_may_hang_up_at_any_moment() -> None:
    early = held().join(O1, "1003").hang_up(O1).asked().answer(NEW)
    late = held().join(O1, "1003").asked().hang_up(O1).answer(NEW)
    for bench in (early, late):
        assert bench.world.up == {T1, NEW}
        assert leg(bench, O1).cause == release.HUNG_UP
    gone = held().join(O1, "1003").asked().hang_up(O1).refuse(NEW, 488).check_over()
    assert gone.cdr.cause == release.TRANSFER_FAILED


def test_whoever_remains_ends_it_and_an_answer_that_comes_late_takes_nobody() -> None:
    bench = held().join(O1, "1003").hang_up(T1).check_over()
    bench.asked()
    assert NEW not in bench.world.invited


def test_delete_ends_the_leg_that_is_being_taken_over_too() -> None:
    bench = held().join(O1, "1003").asked().delete()
    assert (NEW, release.DELETED_WHILE_UP) in bench.releases
    bench.confirm().check_over()


def test_an_engine_that_was_killed_asks_again_or_goes_on_with_the_leg() -> None:
    again = held().join(O1, "1003", begun=False).resumed()
    assert len(again.asks) == 1
    third = again.asked().resumed()
    assert third.asks == []
    third.answer(NEW)
    assert third.world.up == {T1, NEW}
    assert third.world.invited == [O1, T1, NEW]


def test_an_order_from_before_a_long_restart_asks_nobody() -> None:
    bench = held().join(O1, "1003", begun=False)
    bench.now += LATE_S + 1
    again = bench.resumed()
    assert again.asks == []
    assert again.stored.orders[-1].cause == release.DIALLED_TOO_LATE


def test_nobody_rejects_a_party_that_is_up() -> None:
    bench = held().join(O1, "1003").asked()
    with pytest.raises(CallError) as refused:
        bench.perform(bench.controller.order(RejectWish("key 1"), bench.now))
    assert refused.value.code == "nothing-rings"


# --- the second call --------------------------------------------------------------------------------------------------


def giving() -> Bench:
    return joined().hand_over(T1)


def test_the_leg_is_given_once_that_is_stored() -> None:
    bench = joined().hand_over(T1, begun=False)
    (ordered,) = bench.world.batches[-1]
    assert isinstance(ordered, HandoverOrdered)
    assert (ordered.leg_id, ordered.given, ordered.session_id) == (O1, T1, "s-c0")
    assert bench.looks == []
    bench.begin_orders().advance(0.2)
    assert [look.sip_call_id for look in bench.looks] == ["sip-t1"]


def test_the_same_order_again_changes_nothing_and_another_is_refused() -> None:
    bench = giving()
    stored = len(bench.world.batches)
    bench.hand_over(T1)
    assert len(bench.world.batches) == stored
    for order in (partial(bench.hold, "c1"), partial(bench.transfer, O1, "1003"), partial(bench.join, O1, "1003")):
        with pytest.raises(CallError) as refused:
            order()
        assert refused.value.code == "order-under-way"


def test_a_leg_that_is_taken_is_let_go_of_and_the_call_ends_as_transferred() -> None:
    bench = giving().advance(3).decide(Decision.TAKEN).check_over()
    assert bench.let_go == [T1]
    assert bench.releases == [(O1, release.TRANSFERRED)]
    cdr = bench.cdr
    assert (cdr.cause, cdr.ended_by, cdr.disconnect_reason_text) == (release.TRANSFERRED, "origination", "Orig: Bye")
    assert (cdr.orig_user, cdr.term_user, cdr.through_user, cdr.through_action) == ("1001", "1002", "1001", "transfer")
    assert cdr.talking_s == 3.0


def test_a_first_leg_is_given_the_same_way() -> None:
    bench = joined().hand_over(O1).decide(Decision.TAKEN).check_over()
    assert (bench.let_go, bench.releases) == ([O1], [(T1, release.TRANSFERRED)])
    assert (bench.cdr.ended_by, bench.cdr.through_user) == ("termination", "1002")


def test_a_leg_that_is_not_taken_after_all_stays() -> None:
    bench = giving().decide(Decision.OPEN).advance(1).decide(Decision.DROPPED)
    assert bench.world.up == {O1, T1}
    assert bench.stored.orders[-1].cause == release.HANDOVER_REFUSED
    bench.hold("c1").take_offer(T1).take_offer(O1)
    assert bench.stored.state is CallState.HELD
    bench.delete().check_over()
    assert bench.cdr.through_action == ""


def test_the_asker_s_hang_up_ends_nothing_before_it_is_decided() -> None:
    bench = giving().hang_up(O1)
    assert bench.world.up == {T1}
    assert bench.releases == []
    bench.decide(Decision.TAKEN).check_over()
    assert leg(bench, T1).cause == release.TRANSFERRED
    bench = giving().hang_up(O1).decide(Decision.DROPPED).check_over()
    assert bench.releases == [(T1, release.OTHER_LEG_ENDED)]
    assert bench.cdr.cause == release.TRANSFER_FAILED


@pytest.mark.parametrize("decision", [Decision.TAKEN, Decision.DROPPED])
def test_delete_waits_for_the_decision_about_the_given_leg_alone(decision: Decision) -> None:
    bench = giving().delete()
    assert bench.world.up == {T1}
    assert bench.releases == [(O1, release.DELETED_WHILE_UP)]
    assert not bench.finished
    assert len(bench.looks) == 1, "and asks for it at once"
    bench.decide(Decision.OPEN).advance(1)
    assert len(bench.looks) == 2
    bench.decide(decision).check_over()
    assert (T1 in bench.let_go) is (decision is Decision.TAKEN)
    assert bench.cdr.cause == release.DELETED_WHILE_UP


def test_the_given_party_may_hang_up_before_it_is_decided() -> None:
    bench = giving().hang_up(T1).check_over()
    assert (bench.cdr.cause, bench.cdr.ended_by) == (release.HUNG_UP, "termination")
    bench.decide(Decision.TAKEN)
    assert bench.let_go == []


def test_an_engine_that_was_killed_looks_again() -> None:
    again = giving().resumed().advance(0.2)
    assert len(again.looks) == 1
    again.decide(Decision.TAKEN).check_over()
    again = giving().delete().resumed()
    assert len(again.looks) == 1
    again.decide(Decision.DROPPED).check_over()


def test_calls_that_are_in_no_state_to_give_a_leg() -> None:
    for bench, leg_id, code in (
        (Bench().start().answer(O1), O1, "party-left"),
        (joined().hang_up(T1), O1, "call-ended"),
        (joined().transfer(O1, "1003"), T1, "order-under-way"),
        (joined().transfer(O1, "1003").answer(NEW), O1, "party-left"),
    ):
        with pytest.raises(CallError) as refused:
            bench.hand_over(leg_id)
        assert refused.value.code == code


# --- the decision -----------------------------------------------------------------------------------------------------


def seen(*, drop: int = 0) -> tuple[Call, HandoverOrdered, Bench]:
    """Return a first call that has taken a leg, without its last `drop` messages, and what the second waits for."""
    bench = held().join(O1, "1003").asked()
    call = bench.world.stored(len(bench.world.batches) - drop)
    wanted = HandoverOrdered(O1, T1, call.call_id, call.session_id, 1, "key 1", START)
    return call, wanted, bench


def test_what_the_other_call_s_events_say() -> None:
    call, wanted, _ = seen()
    assert decision_of(call, wanted, "sip-there") is Decision.TAKEN
    assert decision_of(call, wanted, "sip-of-another") is Decision.OPEN
    ended = fold_one(call, CallEnded(release.HUNG_UP, "origination", START))
    assert decision_of(ended, wanted, "sip-there") is Decision.TAKEN, "also when that is over"
    asking, wanted, _ = seen(drop=1)
    assert decision_of(asking, wanted, "sip-there") is Decision.OPEN
    for event in (OrderDone(START), CallEnded(release.HUNG_UP, "origination", START)):
        assert decision_of(fold_one(asking, event), wanted, "sip-there") is Decision.DROPPED
    assert decision_of(None, wanted, "sip-there") is Decision.DROPPED


def test_a_copy_that_is_behind_decides_nothing() -> None:
    before, wanted, _ = seen(drop=2)
    assert before.transfers == 0
    assert decision_of(before, wanted, "sip-there") is Decision.OPEN


def test_the_taken_leg_is_no_stranger_s() -> None:
    call, _, bench = seen()
    assert [one.state for one in call.legs] == [LegState.ANSWERED, LegState.ANSWERED, LegState.INVITED]
    assert leg(bench, NEW).target == target("1003")
