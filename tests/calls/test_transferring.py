"""Blind transfer: who is rung, who is joined, and what becomes of everybody when nobody answers."""

from __future__ import annotations

import pytest

from ringbridge.calls.commands import RejectWish
from ringbridge.calls.transferring import LATE_S
from ringbridge.model import release
from ringbridge.model.call import CallState, LegState, Side
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.events import Flow, LegInvited, TransferOrdered
from ringbridge.model.ids import LegId
from ringbridge.model.release import ReleaseCause, Result, of_sip_status
from tests.calls.bench import Bench, joined, leg, state
from tests.calls.samples import O1, O2, O3, T1, T2, requested

NEW, NEW2 = O2, O3
"""The target's legs: a call of one phone a side has o1 and t1 alone."""


def refusal(bench: Bench, leg_id: LegId = O1) -> str:
    with pytest.raises(CallError) as refused:
        bench.transfer(leg_id, "1003")
    assert refused.value.refusal is Refusal.CONFLICT
    return refused.value.code


def test_the_order_is_stored_before_the_target_is_prepared_and_its_leg_before_it_is_dialled() -> None:
    bench = joined().transfer(O1, "1003", begun=False)
    assert [type(event) for event in bench.world.batches[-1]] == [TransferOrdered]
    assert bench.world.invited == [O1, T1]
    bench.begin_orders()
    assert [type(event) for event in bench.world.batches[-1]] == [LegInvited]
    assert bench.world.invited == [O1, T1, NEW]
    assert (leg(bench, NEW).target.user, leg(bench, NEW).transfer) == ("1003", 1)


def test_the_other_party_hears_ringback_once_a_phone_rings() -> None:
    bench = joined().transfer(O1, "1003")
    assert not bench.ringback
    bench.ring(NEW)
    assert (bench.ringback, bench.ringback_side) == (True, Side.TERMINATION)
    assert state(bench) is CallState.CONNECTED


def test_early_media_of_the_target_is_heard_in_place_of_ringback() -> None:
    bench = joined().transfer(O1, "1003").ring(NEW).ring(NEW, early_media=True)
    assert not bench.ringback


def test_the_answer_joins_the_target_and_releases_the_asker() -> None:
    bench = joined().transfer(O1, "1003").ring(NEW).answer(NEW)
    assert bench.world.up == {T1, NEW}
    assert bench.attached == [NEW]
    assert not bench.ringback
    assert leg(bench, O1).cause == release.TRANSFERRED
    assert (state(bench), bench.stored.order) == (CallState.CONNECTED, None)
    bench.advance(5).hang_up(T1).check_over()
    assert bench.cdr.cause == release.HUNG_UP


def test_the_second_leg_is_replaced_the_same_way() -> None:
    bench = joined().transfer(T1, "1003").ring(T2)
    assert (bench.ringback, bench.ringback_side) == (True, Side.ORIGINATION)
    bench.answer(T2)
    assert bench.world.up == {O1, T2}
    bench.hang_up(T2).check_over()


def test_a_busy_target_leaves_both_as_they_were() -> None:
    bench = joined().transfer(O1, "1003").ring(NEW).refuse(NEW, 486)
    assert (state(bench), bench.world.up) == (CallState.CONNECTED, {O1, T1})
    assert bench.attached == [O1]
    assert not bench.ringback
    assert bench.stored.orders[-1].cause == of_sip_status(486)
    bench.transfer(O1, "1003").answer(NEW2)
    assert bench.world.up == {T1, NEW2}, "another try may succeed"


def test_a_held_party_stays_on_hold_when_the_target_refuses() -> None:
    bench = joined().hold("c1").take_offer(T1).take_offer(O1).transfer(O1, "1003").refuse(NEW, 486)
    assert state(bench) is CallState.HELD
    assert bench.offers == []


def test_a_held_party_is_taken_back_when_the_target_answers() -> None:
    bench = joined().hold("c1").take_offer(T1).take_offer(O1).advance(4).transfer(O1, "1003").answer(NEW)
    assert bench.offers == [(T1, Flow.TALK)]
    assert bench.stored.order is not None
    bench.take_offer(T1)
    assert (state(bench), bench.stored.held_s) == (CallState.CONNECTED, 4.0)
    assert not any(order.ended_at == 0 for order in bench.stored.orders)


def test_a_held_party_that_refuses_to_be_taken_back_shows() -> None:
    bench = (
        joined().hold("c1").take_offer(T1).take_offer(O1).transfer(O1, "1003").answer(NEW).take_offer(T1, status=488)
    )
    assert state(bench) is CallState.HELD
    assert bench.stored.orders[-1].cause == of_sip_status(488)
    bench.hold("sip-o2", on=False).take_offer(T1)
    assert state(bench) is CallState.CONNECTED, "the target can take it back"


def test_the_asker_may_hang_up_while_the_target_rings() -> None:
    bench = joined().transfer(O1, "1003").ring(NEW).hang_up(O1)
    assert not bench.stored.is_over
    assert bench.ringback
    bench.answer(NEW)
    assert bench.world.up == {T1, NEW}
    assert leg(bench, O1).cause == release.HUNG_UP


def test_nobody_is_left_when_the_asker_has_gone_and_the_target_refuses() -> None:
    bench = joined().transfer(O1, "1003").hang_up(O1).ring(NEW).refuse(NEW, 486).check_over()
    assert (bench.cdr.cause, bench.cdr.ended_by) == (release.TRANSFER_FAILED, "origination")
    assert leg(bench, T1).cause == release.OTHER_LEG_ENDED


def test_the_target_is_cancelled_when_the_other_party_hangs_up() -> None:
    bench = joined().transfer(O1, "1003").ring(NEW).hang_up(T1)
    assert not bench.finished
    bench.confirm().check_over()
    assert (bench.cdr.cause, bench.cdr.ended_by) == (release.HUNG_UP, "termination")


def test_delete_ends_all_three() -> None:
    bench = joined().transfer(O1, "1003").ring(NEW).delete().confirm().check_over()
    assert bench.cdr.cause == release.DELETED_WHILE_UP


def test_a_target_that_does_not_answer_is_cancelled_in_time() -> None:
    bench = joined().transfer(O1, "1003", ring_timeout_s=20.0).ring(NEW).advance(19.9)
    assert bench.stored.order is not None
    bench.advance(0.1)
    assert bench.stored.orders[-1].cause == release.RING_TIMEOUT
    assert not bench.ringback
    bench.confirm()
    assert bench.world.up == {O1, T1}
    assert leg(bench, NEW).state is LegState.RELEASED


def test_a_target_that_answers_after_its_cancel_is_released() -> None:
    bench = joined().transfer(O1, "1003", ring_timeout_s=20.0).ring(NEW).advance(20).answer(NEW)
    assert bench.world.up == {O1, T1}
    assert state(bench) is CallState.CONNECTED


def test_the_first_of_several_phones_wins() -> None:
    bench = joined().transfer(O1, "1003", "1003m").ring(NEW).ring(NEW2).answer(NEW2).confirm()
    assert bench.world.up == {T1, NEW2}
    assert leg(bench, NEW).cause == release.ANSWERED_ELSEWHERE


def test_two_phones_that_answer_at_once_are_not_both_joined() -> None:
    bench = joined().transfer(O1, "1003", "1003m").answer(NEW).answer(NEW2)
    assert bench.world.up == {T1, NEW}


def test_one_busy_phone_of_several_is_not_the_end_and_a_6xx_is() -> None:
    bench = joined().transfer(O1, "1003", "1003m").refuse(NEW, 486)
    assert bench.stored.order is not None
    bench.refuse(NEW2, 480)
    assert bench.stored.orders[-1].cause == of_sip_status(486)
    bench = joined().transfer(O1, "1003", "1003m").refuse(NEW, 603)
    assert bench.stored.orders[-1].cause == of_sip_status(603)
    bench.confirm()
    assert bench.world.pending == set()


def test_a_target_that_cannot_be_prepared_leaves_both_as_they_were() -> None:
    bench = joined()
    bench.unpreparable[Side.ORIGINATION] = ReleaseCause(Result.FAILED, "relay-unavailable")
    bench.transfer(O1, "1003")
    assert (state(bench), bench.world.up) == (CallState.CONNECTED, {O1, T1})
    assert bench.stored.orders[-1].cause == ReleaseCause(Result.FAILED, "relay-unavailable")


def test_nobody_is_dialled_late() -> None:
    bench = joined()
    bench.store_takes_s = LATE_S
    bench.transfer(O1, "1003")
    assert NEW not in bench.world.invited
    assert bench.stored.orders[-1].cause == release.DIALLED_TOO_LATE
    assert (state(bench), bench.world.up) == (CallState.CONNECTED, {O1, T1})


def test_a_late_refusal_of_an_earlier_target_says_nothing_about_the_next_transfer() -> None:
    bench = joined().transfer(O1, "1003", ring_timeout_s=20.0).ring(NEW).advance(20)
    bench.transfer(O1, "1004", begun=False).hang_up(O1)
    bench.confirm()
    assert leg(bench, NEW).state is LegState.RELEASED
    assert state(bench) is CallState.CONNECTED
    bench.begin_orders()
    bench.answer(NEW2)
    assert bench.world.up == {T1, NEW2}


def test_states_that_allow_no_transfer() -> None:
    assert refusal(Bench().start().answer(O1)) == "call-not-connected"
    assert refusal(joined().transfer(O1, "1003")) == "order-under-way"
    assert refusal(joined().hold("c1")) == "order-under-way"
    assert refusal(joined().hang_up(T1)) == "call-ended"
    assert refusal(joined().transfer(O1, "1003").answer(NEW)) == "party-left"


@pytest.mark.parametrize("name", ["c1", "sip-o2"])
def test_whoever_came_holds_by_its_own_name_and_by_that_of_the_call(name: str) -> None:
    """The maker of a call who has transferred it still says what becomes of it, for their side of it."""
    bench = joined().transfer(O1, "1003").answer(NEW)
    bench.hold(name).take_offer(T1).take_offer(NEW)
    assert state(bench) is CallState.HELD
    assert (leg(bench, T1).flow, leg(bench, NEW).flow) == (Flow.MUSIC, Flow.SILENT)


def test_who_left_by_their_leg_s_own_name_asks_for_nothing_more() -> None:
    bench = joined().transfer(O1, "1003").answer(NEW)
    with pytest.raises(CallError) as refused:
        bench.hold("sip-o1")
    assert refused.value.code == "party-left"


def test_a_call_may_be_transferred_again_by_who_is_in_it() -> None:
    bench = joined().transfer(O1, "1003").answer(NEW).transfer(NEW, "1004").answer(NEW2)
    assert bench.world.up == {T1, NEW2}
    assert (leg(bench, NEW2).transfer, bench.stored.transfers) == (2, 2)


def test_an_order_from_before_a_long_restart_dials_nobody() -> None:
    bench = joined().transfer(O1, "1003", begun=False)
    bench.now += LATE_S + 1
    again = bench.resumed()
    assert again.world.invited == [O1, T1]
    assert again.stored.orders[-1].cause == release.DIALLED_TOO_LATE
    assert state(again) is CallState.CONNECTED


def test_an_engine_that_was_killed_goes_on_with_a_fresh_order() -> None:
    again = joined().transfer(O1, "1003", begun=False).resumed()
    assert again.world.invited == [O1, T1, NEW]
    again.ring(NEW)
    third = again.resumed()
    assert third.ringback
    assert third.world.invited == [O1, T1, NEW], "nobody is dialled twice"
    third.answer(NEW)
    assert third.world.up == {T1, NEW}


def test_an_engine_that_was_killed_takes_the_held_party_back() -> None:
    bench = joined().hold("c1").take_offer(T1).take_offer(O1).transfer(O1, "1003").answer(NEW)
    again = bench.resumed()
    assert again.offers == [(T1, Flow.TALK)]
    again.take_offer(T1)
    assert (state(again), again.stored.order) == (CallState.CONNECTED, None)


def test_a_forked_call_numbers_the_targets_after_its_own_legs() -> None:
    bench = Bench(requested(origination=("1001", "1001m"))).start().answer(O1).answer(T1).transfer(O1, "1003")
    assert bench.world.invited == [O1, O2, T1, O3]
    bench.refuse(O2, 487).answer(O3)
    assert bench.world.up == {T1, O3}
    bench.hang_up(T1).check_over()


def test_the_cdr_tells_who_remained_who_came_and_through_whom() -> None:
    cdr = joined().transfer(O1, "1003").answer(NEW).advance(5).hang_up(T1).cdr
    assert (cdr.orig_user, cdr.term_user, cdr.through_user) == ("1002", "1003", "1001")
    assert (cdr.through_action, cdr.through_sip_call_id, cdr.term_sip_call_id) == ("transfer", "sip-o1", "sip-o2")
    assert (cdr.term_caller_id, cdr.dialled) == ("1002", "1003")
    assert cdr.talking_s == 5.0


def test_the_cdr_of_a_transfer_that_failed_is_that_of_the_call() -> None:
    cdr = joined().transfer(O1, "1003").refuse(NEW, 486).hang_up(T1).cdr
    assert (cdr.orig_user, cdr.term_user, cdr.through_user, cdr.through_action) == ("1001", "1002", "", "")


def test_reject_is_a_refusal_by_whoever_rings() -> None:
    bench = Bench().start().ring(O1)
    bench.perform(bench.controller.order(RejectWish("key 1"), bench.now))
    bench.confirm().check_over()
    assert (bench.cdr.cause, bench.cdr.ended_by) == (release.REJECTED, "origination")
    bench = Bench().start().answer(O1).ring(T1)
    bench.perform(bench.controller.order(RejectWish("key 1"), bench.now))
    bench.confirm().check_over()
    assert (bench.cdr.cause, bench.cdr.ended_by) == (release.REJECTED, "termination")


def test_reject_of_a_transfers_target_leaves_the_call_as_it_was() -> None:
    bench = joined().transfer(O1, "1003").ring(NEW)
    bench.perform(bench.controller.order(RejectWish("key 1"), bench.now))
    bench.confirm()
    assert (state(bench), bench.world.up) == (CallState.CONNECTED, {O1, T1})
    assert bench.stored.orders[-1].cause == release.REJECTED


def test_reject_of_a_call_that_does_not_ring_is_refused() -> None:
    for bench in (joined(), joined().transfer(O1, "1003").answer(NEW)):
        with pytest.raises(CallError) as refused:
            bench.controller.order(RejectWish("key 1"), bench.now)
        assert refused.value.code == "nothing-rings"
