"""Hold and unhold by order: one leg at a time, resumed wherever it stood, refused where phone or state say so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from ringbridge.calls.actions import Arrange
from ringbridge.calls.commands import HoldWish
from ringbridge.calls.holding import asking_leg
from ringbridge.calls.ports import Arranged, Updated
from ringbridge.model.call import Call, CallState
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.events import Flow, HoldOrdered, OrderDone
from ringbridge.model.ids import LegId
from ringbridge.model.ladder import ladder
from ringbridge.model.orders import MOST_ORDERS, OrderKind
from ringbridge.model.release import ReleaseCause, Result, of_sip_status
from tests.calls.bench import Bench, held, joined, state
from tests.calls.samples import O1, O2, T1, T2, USER, requested

CALL = "c1"


def flows(call: Call) -> dict[LegId, Flow]:
    return {leg.leg_id: leg.flow for leg in call.legs}


def refusal(order: Callable[[], object]) -> str:
    with pytest.raises(CallError) as refused:
        order()
    assert refused.value.refusal is Refusal.CONFLICT
    return refused.value.code


def test_hold_is_stored_before_any_phone_is_asked() -> None:
    bench = joined().hold(CALL, begun=False)
    assert [type(event) for event in bench.world.batches[-1]] == [HoldOrdered]
    assert bench.offers == []
    assert bench.begin_orders().offers == [(T1, Flow.MUSIC)]


def test_the_other_party_hears_music_before_the_asker_falls_silent() -> None:
    bench = joined().hold(CALL)
    assert state(bench) is CallState.CONNECTED
    bench.take_offer(T1)
    assert state(bench) is CallState.HELD
    assert bench.offers == [(O1, Flow.SILENT)]
    bench.take_offer(O1)
    assert flows(bench.stored) == {O1: Flow.SILENT, T1: Flow.MUSIC}
    assert bench.stored.order is None
    assert bench.offers == []


def test_unhold_lets_both_talk_and_the_seconds_are_counted() -> None:
    bench = held().advance(7).hold(CALL, on=False)
    bench.take_offer(T1)
    assert state(bench) is CallState.HELD, "until the asker is back too"
    bench.take_offer(O1)
    assert (bench.stored.state, bench.stored.held_s) == (CallState.CONNECTED, 7.0)
    assert flows(bench.stored) == {O1: Flow.TALK, T1: Flow.TALK}
    assert bench.advance(3).hang_up(T1).cdr.held_s == 7.0


def test_a_call_that_ends_on_hold_was_held_until_then() -> None:
    assert held().advance(9).hang_up(T1).check_over().cdr.held_s == 9.0


def test_a_legs_own_name_lets_its_party_hold() -> None:
    bench = joined().hold("sip-t1").take_offer(O1).take_offer(T1)
    assert flows(bench.stored) == {O1: Flow.MUSIC, T1: Flow.SILENT}
    assert state(bench) is CallState.HELD


def test_who_is_on_hold_can_neither_hold_nor_take_back() -> None:
    bench = held()
    assert refusal(partial(bench.hold, "sip-t1")) == "held-by-other-party"
    assert refusal(partial(bench.hold, "sip-t1", on=False)) == "held-by-other-party"


def test_hold_again_is_a_success_and_does_nothing() -> None:
    for bench in (joined().hold(CALL), held()):
        batches = len(bench.world.batches)
        bench.hold(CALL)
        assert len(bench.world.batches) == batches


def test_unhold_of_a_call_that_is_not_held_is_a_success_and_does_nothing() -> None:
    bench = joined()
    batches = len(bench.world.batches)
    assert len(bench.hold(CALL, on=False).world.batches) == batches


def test_a_party_that_refuses_is_not_held_and_the_call_goes_on() -> None:
    bench = joined().hold(CALL).take_offer(T1, status=488)
    assert state(bench) is CallState.CONNECTED
    assert bench.stored.orders[-1].cause == of_sip_status(488)
    assert bench.offers == []
    bench.hold(CALL).take_offer(T1).take_offer(O1)
    assert state(bench) is CallState.HELD, "another try may succeed"


def test_an_asker_whose_phone_will_not_be_silent_still_holds() -> None:
    bench = joined().hold(CALL).take_offer(T1).take_offer(O1, status=488)
    assert state(bench) is CallState.HELD
    assert bench.stored.orders[-1].cause is None
    bench.hold(CALL, on=False).take_offer(T1)
    assert state(bench) is CallState.CONNECTED
    assert bench.offers == []


def test_a_refused_unhold_stays_held() -> None:
    bench = held().hold(CALL, on=False).take_offer(T1, status=488)
    assert state(bench) is CallState.HELD
    assert bench.stored.orders[-1].cause == of_sip_status(488)


def test_hold_before_both_are_connected_is_refused() -> None:
    for bench in (Bench().start(), Bench().start().answer(O1), Bench().start().answer(O1).ring(T1)):
        assert refusal(partial(bench.hold, CALL)) == "call-not-connected"


def test_hold_of_a_call_on_its_way_out_is_refused() -> None:
    bench = joined().hang_up(T1)
    assert refusal(lambda: bench.hold(CALL)) == "call-ended"
    ending = Bench().start().ring(O1).delete()
    assert refusal(lambda: ending.hold(CALL)) == "call-ended"


def test_unhold_while_hold_is_under_way_is_refused() -> None:
    bench = joined().hold(CALL)
    assert refusal(lambda: bench.hold(CALL, on=False)) == "order-under-way"


def test_what_a_phone_holds_only_the_phone_takes_back() -> None:
    bench = joined().signal(Updated(T1, b"dialog", held=True))
    assert state(bench) is CallState.HELD
    assert refusal(lambda: bench.hold(CALL, on=False)) == "held-at-phone"


def test_a_phones_own_hold_and_an_ordered_one_are_two() -> None:
    bench = held().signal(Updated(O1, b"dialog", held=True))
    assert flows(bench.stored) == {O1: Flow.SILENT, T1: Flow.MUSIC}
    bench.hold(CALL, on=False).take_offer(T1).take_offer(O1, held=True)
    assert state(bench) is CallState.HELD, "the phone still holds"
    bench.signal(Updated(O1, b"dialog", held=False))
    assert state(bench) is CallState.CONNECTED


def test_a_late_answer_to_an_offer_of_an_ended_call_is_ignored() -> None:
    bench = joined().hold(CALL).hang_up(O1)
    batches = len(bench.world.batches)
    bench.perform(bench.controller.on_signal(Arranged(T1, Flow.MUSIC, b"dialog", held=False), bench.now))
    assert len(bench.world.batches) == batches


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_an_engine_that_was_killed_goes_on_with_the_hold(steps: int) -> None:
    bench = joined().hold(CALL, begun=False)
    for leg_id in (T1, O1)[:steps]:
        bench.begin_orders().take_offer(leg_id)
    again = bench.resumed()
    for leg_id in (T1, O1)[steps:]:
        assert [leg for leg, _ in again.offers] == [leg_id]
        again.take_offer(leg_id)
    assert again.offers == []
    assert state(again) is CallState.HELD
    assert again.stored.order is None
    assert sum(isinstance(event, OrderDone) for batch in again.world.batches for event in batch) == 1


def test_the_ladder_tells_orders_and_what_became_of_them() -> None:
    bench = joined().hold(CALL).take_offer(T1).take_offer(O1).advance(1).hold(CALL, on=False)
    bench.take_offer(T1, status=488)
    told = [(rung.step.value, rung.leg_id, rung.detail) for rung in ladder(bench.stored)]
    assert ("ordered", "o1", "hold, key 1") in told
    assert ("done", "o1", "hold") in told
    assert ("refused", "o1", "failed (488 sip-488)") in told


def test_a_call_remembers_its_last_orders() -> None:
    bench = joined()
    for _ in range(MOST_ORDERS):
        for on in (True, False):
            bench.hold(CALL, on=on).take_offer(T1).take_offer(O1)
    assert len(bench.stored.orders) == MOST_ORDERS
    assert bench.stored.orders[-1].kind is OrderKind.UNHOLD


def test_an_order_that_is_told_twice_asks_once_more_at_most() -> None:
    bench = held()
    assert bench.controller.order_stored(bench.now) == []
    order = joined().hold(CALL)
    assert order.controller.order_stored(order.now) == [Arrange(T1, Flow.MUSIC)]


def test_glare_without_end_is_a_refusal() -> None:
    bench = joined().hold(CALL).take_offer(T1, status=491)
    assert bench.stored.orders[-1].cause == ReleaseCause(Result.FAILED, "sip-491", 491)


def test_who_asks_is_the_first_leg_unless_the_second_alone_is_the_users() -> None:
    assert asking_leg(joined().stored, CALL, USER) == O1
    event = requested(origination=("1002",), termination=("1001",))
    event = replace(event, plan=replace(event.plan, origination_user="1002"))
    assert asking_leg(Bench(event).start().answer(O1).answer(T1).stored, CALL, USER) == T1


def test_whoever_was_called_asks_for_themselves_alone() -> None:
    bench = joined()
    assert asking_leg(bench.stored, CALL, "1002") == T1
    assert asking_leg(bench.stored, "sip-t1", "1002") == T1
    for user, name, code in (("1002", "sip-o1", "not-your-leg"), ("1009", CALL, "party-left")):
        with pytest.raises(CallError) as refused:
            asking_leg(bench.stored, name, user)
        assert refused.value.code == code
    assert asking_leg(bench.stored, "sip-t1", USER) == T1, "its maker rules over both legs"
    bench.perform(bench.controller.order(HoldWish(CALL, True, "key 2", "1002"), bench.now))
    bench.begin_orders()
    assert bench.offers == [(O1, Flow.MUSIC)]


def test_a_maker_who_was_transferred_back_asks_for_their_own_phone() -> None:
    bench = joined().transfer(O1, "1003").answer(O2)
    assert asking_leg(bench.stored, CALL, USER) == O2, "who has taken their place"
    assert asking_leg(bench.stored, CALL, "1003") == O2
    bench.transfer(T1, "1001").answer(T2)
    assert asking_leg(bench.stored, CALL, USER) == T2
