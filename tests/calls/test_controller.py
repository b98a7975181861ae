"""One call from claim to CDR, every way it can go."""

from __future__ import annotations

import pytest

from ringbridge.calls.actions import Finish, Timer
from ringbridge.calls.controller import Controller
from ringbridge.calls.ports import Answered, HungUp, MediaLost, Refused, Ringing, Updated
from ringbridge.calls.transferring import LATE_S
from ringbridge.model import release
from ringbridge.model.call import CallState, LegState, Side
from ringbridge.model.events import (
    CallClaimed,
    CallEnded,
    CallEnding,
    EndRequested,
    LegAnswered,
    LegInvited,
    LegReleased,
)
from ringbridge.model.ids import LegId
from ringbridge.model.release import ReleaseCause, Result, of_sip_status
from tests.calls.bench import Bench
from tests.calls.samples import NODE, O1, O2, START, T1, T2, requested, requested_call

FORKED = requested(origination=("1001", "1001m"), termination=("1002", "1002m"))


def joined() -> Bench:
    return Bench().start().ring(O1).answer(O1).ring(T1).answer(T1)


def ended_by(bench: Bench) -> tuple[ReleaseCause, str]:
    cdr = bench.check_over().cdr
    return cdr.cause, cdr.ended_by


# --- claim and the first leg ---


def test_claim_and_first_invites_are_one_batch() -> None:
    bench = Bench(FORKED).start()
    claim = bench.world.batches[1]
    assert [type(event) for event in claim] == [CallClaimed, LegInvited, LegInvited]
    assert bench.world.invited == [O1, O2]
    assert bench.stored.owner == NODE


def test_a_request_that_is_too_old_rings_nobody() -> None:
    bench = Bench()
    bench.now = START + 30
    bench.start()
    assert ended_by(bench) == (release.DIALLED_TOO_LATE, "system")
    assert bench.world.invited == []
    assert bench.stored.owner == NODE


def test_a_request_that_grew_old_while_the_bus_was_slow_rings_nobody() -> None:
    bench = Bench(FORKED)
    bench.store_takes_s = 30.0
    bench.start()
    assert ended_by(bench) == (release.DIALLED_TOO_LATE, "system")
    assert bench.world.invited == []
    assert {leg for leg, _ in bench.releases} == {O1, O2}, "what was prepared is dropped"
    assert bench.timers == {}


def test_a_second_leg_is_not_dialled_after_a_long_wait_for_the_bus() -> None:
    bench = Bench().start().ring(O1)
    bench.store_takes_s = LATE_S
    bench.answer(O1)
    assert ended_by(bench) == (release.DIALLED_TOO_LATE, "system")
    assert bench.world.invited == [O1]


@pytest.mark.parametrize("side", list(Side))
def test_a_side_that_cannot_be_prepared_ends_the_call(side: Side) -> None:
    bench = Bench()
    bench.unpreparable[side] = ReleaseCause(Result.FAILED, "relay-unavailable")
    bench.start()
    if side is Side.TERMINATION:
        bench.answer(O1)
    assert ended_by(bench) == (ReleaseCause(Result.FAILED, "relay-unavailable"), side.value)
    assert bench.stored.owner == NODE


# --- answered and ended by either side ---


def test_a_call_is_answered_and_ended_by_the_termination() -> None:
    bench = joined()
    assert bench.stored.state is CallState.CONNECTED
    bench.advance(10).hang_up(T1)
    assert ended_by(bench) == (release.HUNG_UP, "termination")
    cdr = bench.cdr
    assert (cdr.talking_s, cdr.disconnect_reason_text) == (10.0, "Term: Bye")
    legs = {leg.leg_id: leg.cause for leg in bench.stored.legs}
    assert legs == {O1: release.OTHER_LEG_ENDED, T1: release.HUNG_UP}


def test_a_call_is_answered_and_ended_by_the_origination() -> None:
    bench = joined().hang_up(O1)
    assert ended_by(bench) == (release.HUNG_UP, "origination")
    assert bench.releases == [(T1, release.OTHER_LEG_ENDED)]


def test_both_hang_up_at_once() -> None:
    bench = joined().hang_up(O1).hang_up(T1)
    assert ended_by(bench) == (release.HUNG_UP, "origination")


def test_a_phone_that_rings_not_but_answers_is_answered() -> None:
    bench = Bench().start().answer(O1).answer(T1)
    assert bench.stored.state is CallState.CONNECTED


def test_a_hold_and_its_end_are_told() -> None:
    bench = joined()
    bench.signal(Updated(T1, b"held", held=True)).advance(5)
    assert bench.stored.state is CallState.HELD
    bench.signal(Updated(T1, b"back", held=False))
    assert (bench.stored.state, bench.stored.held_s) == (CallState.CONNECTED, 5.0)
    assert bench.hang_up(T1).cdr.held_s == 5.0


def test_an_update_of_a_leg_that_is_not_up_is_ignored() -> None:
    bench = Bench().start()
    before = len(bench.world.batches)
    bench.signal(Updated(O1, b"x", held=True))
    assert len(bench.world.batches) == before


def test_the_relay_is_lost() -> None:
    bench = joined().signal(MediaLost(release.RELAY_LOST))
    assert ended_by(bench) == (release.RELAY_LOST, "system")
    assert {leg for leg, _ in bench.releases} == {O1, T1}


def test_a_call_has_its_longest_duration() -> None:
    bench = Bench(requested(max_duration_s=100.0)).start().answer(O1).answer(T1).advance(99.9)
    assert not bench.stored.is_over
    bench.advance(0.2)
    assert ended_by(bench) == (release.CALL_TOO_LONG, "system")
    assert bench.cdr.talking_s == 100.0


# --- the first leg ---


@pytest.mark.parametrize("status", [486, 603, 480, 404, 408, 503, 302, 500, 487])
def test_a_first_leg_that_refuses_ends_the_call_with_its_cause(status: int) -> None:
    bench = Bench().start().ring(O1).refuse(O1, status)
    assert ended_by(bench) == (of_sip_status(status), "origination")
    assert bench.world.invited == [O1], "the second leg never rang"


def test_a_first_leg_that_does_not_answer_is_cancelled_in_time() -> None:
    bench = Bench().start().ring(O1).advance(29.9)
    assert bench.releases == []
    bench.advance(0.1)
    assert bench.releases == [(O1, release.RING_TIMEOUT)]
    assert not bench.stored.is_over, "not before the CANCEL is confirmed"
    bench.confirm()
    assert ended_by(bench) == (release.RING_TIMEOUT, "origination")


def test_a_first_leg_that_never_rang_is_unreachable() -> None:
    """The ring time is shorter than Timer B, which would say so."""
    bench = Bench().start().advance(30).confirm()
    assert ended_by(bench) == (release.NEVER_RANG, "origination")


def test_a_second_leg_of_which_one_phone_is_busy_and_one_gone_is_busy() -> None:
    bench = Bench(FORKED).start().answer(O1).confirm().refuse(T1, 486).advance(60).confirm()
    assert ended_by(bench) == (of_sip_status(486), "termination")


def test_the_first_phone_to_answer_wins_and_the_others_are_cancelled() -> None:
    bench = Bench(FORKED).start().ring(O1).ring(O2).answer(O2)
    assert bench.releases == [(O1, release.ANSWERED_ELSEWHERE)]
    assert bench.world.invited == [O1, O2, T1, T2], "the second leg does not wait for the CANCEL"
    bench.confirm().answer(T1).confirm().hang_up(T1)
    assert ended_by(bench) == (release.HUNG_UP, "termination")
    assert bench.cdr.orig_uri == "sip:1001m@demo.example"


def test_two_phones_answer_at_once_and_one_wins() -> None:
    bench = Bench(FORKED).start().answer(O1).answer(O2)
    assert bench.world.up == {O1}
    loser = bench.stored.leg(O2)
    assert loser is not None
    assert (loser.state, loser.cause, loser.answered_at) == (LegState.RELEASED, release.ANSWERED_ELSEWHERE, 0.0)
    assert bench.answer(T1).answer(T2).world.up == {O1, T1}
    assert ended_by(bench.hang_up(O1)) == (release.HUNG_UP, "origination")


def test_one_phone_that_refuses_leaves_the_others_ringing() -> None:
    bench = Bench(FORKED).start().refuse(O1, 486)
    assert not bench.stored.is_over
    assert bench.answer(O2).stored.state is CallState.ORIG_ANSWERED


def test_a_6xx_of_one_phone_speaks_for_all() -> None:
    bench = Bench(FORKED).start().ring(O2).refuse(O1, 603)
    assert bench.releases == [(O2, of_sip_status(603))]
    bench.confirm()
    assert ended_by(bench) == (of_sip_status(603), "origination")


def test_of_all_refusals_the_one_that_says_most_is_told() -> None:
    event = requested(origination=("a", "b", "c"))
    bench = Bench(event).start().refuse(LegId("o1"), 503).refuse(LegId("o2"), 486).refuse(LegId("o3"), 480)
    assert ended_by(bench) == (of_sip_status(486), "origination")


def test_the_caller_hangs_up_while_the_second_leg_rings() -> None:
    bench = Bench().start().answer(O1).ring(T1).hang_up(O1)
    assert bench.releases == [(T1, release.CALLER_GAVE_UP)]
    assert not bench.stored.is_over
    bench.confirm()
    assert ended_by(bench) == (release.CALLER_GAVE_UP, "origination")
    assert bench.cdr.disconnect_reason_text == "Orig: Cancel"


# --- the second leg ---


@pytest.mark.parametrize("status", [486, 603, 480, 404, 408, 503, 302, 500])
def test_a_second_leg_that_refuses_ends_the_call_with_its_cause(status: int) -> None:
    bench = Bench().start().answer(O1).ring(T1).refuse(T1, status)
    assert ended_by(bench) == (of_sip_status(status), "termination")
    assert bench.releases == [(O1, release.OTHER_LEG_ENDED)]
    assert (bench.cdr.orig_answered_at, bench.cdr.answered_at) == (START, 0.0)


def test_a_second_leg_that_does_not_answer_is_cancelled_in_time() -> None:
    bench = Bench().start().answer(O1).ring(T1).advance(60)
    assert bench.releases == [(O1, release.OTHER_LEG_ENDED), (T1, release.RING_TIMEOUT)]
    bench.confirm()
    assert ended_by(bench) == (release.RING_TIMEOUT, "termination")


def test_a_second_legs_phones_fork_too() -> None:
    bench = Bench(FORKED).start().answer(O1).confirm().ring(T1).ring(T2).answer(T2)
    assert bench.releases[-1] == (T1, release.ANSWERED_ELSEWHERE)
    assert bench.confirm().stored.state is CallState.CONNECTED
    assert bench.hang_up(T2).check_over().cdr.term_uri == "sip:1002m@demo.example"


def test_the_call_goes_on_when_a_loser_refuses_after_the_answer() -> None:
    bench = Bench(FORKED).start().answer(O1).refuse(O2, 486).answer(T1).refuse(T2, 603)
    assert bench.stored.state is CallState.CONNECTED


def test_a_loser_that_does_not_answer_its_cancel_makes_no_call_longer() -> None:
    """A phone that has gone: its CANCEL waits for half a minute, and the last event of the call for it."""
    bench = Bench(FORKED).start().answer(O1).answer(T1).refuse(T2, 487).advance(10).hang_up(T1)
    assert not bench.stored.is_over, "not before every phone is known to have stopped"
    bench.advance(22).confirm().check_over()
    assert (bench.cdr.ended_at, bench.cdr.talking_s, bench.cdr.total_s) == (START + 10, 10.0, 10.0)


# --- ringback and early media ---


def test_the_caller_hears_ringback_while_the_second_leg_rings() -> None:
    bench = Bench().start().ring(O1)
    assert not bench.ringback
    bench.answer(O1)
    assert not bench.ringback
    assert bench.ring(T1).ringback
    assert not bench.answer(T1).ringback


def test_early_media_takes_the_place_of_ringback() -> None:
    bench = Bench().start().answer(O1).ring(T1)
    assert bench.ringback
    assert not bench.ring(T1, early_media=True).ringback
    assert not bench.ring(T1).ringback, "a 180 after early media brings no ringback back"


def test_early_media_at_once_means_no_ringback_at_all() -> None:
    assert not Bench().start().answer(O1).ring(T1, early_media=True).ringback


def test_ringback_stops_when_the_second_leg_refuses() -> None:
    bench = Bench().start().answer(O1).ring(T1)
    assert bench.ringback
    assert not bench.refuse(T1, 486).ringback


def test_a_180_that_crosses_the_cancel_starts_no_ringback() -> None:
    bench = Bench().start().answer(O1).delete().ring(T1)
    assert not bench.ringback
    bench.confirm().check_over()


# --- DELETE, in every state ---


def test_delete_before_the_first_leg_rings() -> None:
    bench = Bench().start().delete()
    assert bench.releases == [(O1, release.DELETED)]
    bench.confirm()
    assert ended_by(bench) == (release.DELETED, "system")
    assert bench.cdr.disconnect_reason_text == "Orig: Cancel"


def test_delete_while_the_first_leg_rings() -> None:
    assert ended_by(Bench().start().ring(O1).delete().confirm()) == (release.DELETED, "system")


def test_delete_while_the_second_leg_is_dialled() -> None:
    bench = Bench().start().answer(O1).delete().confirm()
    assert ended_by(bench) == (release.DELETED, "system")
    assert dict(bench.releases) == {O1: release.DELETED, T1: release.DELETED}


def test_delete_while_the_second_leg_rings() -> None:
    assert ended_by(Bench().start().answer(O1).ring(T1).delete().confirm()) == (release.DELETED, "system")


def test_delete_while_joined_completes_the_call() -> None:
    bench = joined().advance(3).delete()
    assert ended_by(bench) == (release.DELETED_WHILE_UP, "system")
    assert bench.cdr.talking_s == 3.0


def test_delete_while_on_hold() -> None:
    bench = joined().signal(Updated(O1, b"", held=True)).advance(2).delete()
    assert ended_by(bench) == (release.DELETED_WHILE_UP, "system")
    assert bench.cdr.held_s == 2.0


def test_delete_is_stored_before_anything_is_done() -> None:
    bench = Bench().start()
    actions = bench.controller.request_end("key-1", bench.now)
    assert [type(event) for event in getattr(actions[0], "events", ())] == [EndRequested]


def test_delete_twice_changes_nothing() -> None:
    bench = Bench().start().ring(O1).delete()
    before = len(bench.world.batches)
    bench.delete()
    assert len(bench.world.batches) == before
    assert ended_by(bench.confirm()) == (release.DELETED, "system")
    assert bench.controller.request_end("key-1", bench.now) == []


def test_delete_while_the_call_ends_by_itself_keeps_the_first_cause() -> None:
    bench = Bench().start().answer(O1).ring(T1).hang_up(O1).delete().confirm()
    assert ended_by(bench) == (release.CALLER_GAVE_UP, "origination")


# --- races ---


def test_an_answer_that_crosses_the_cancel_of_a_delete_is_ended() -> None:
    bench = Bench().start().ring(O1).delete().answer(O1)
    assert ended_by(bench) == (release.DELETED, "system")
    assert bench.world.invited == [O1]
    leg = bench.stored.leg(O1)
    assert leg is not None
    assert (leg.cause, leg.answered_at) == (release.DELETED, 0.0)


def test_a_second_leg_that_answers_as_the_caller_gives_up_is_ended() -> None:
    bench = Bench().start().answer(O1).ring(T1).hang_up(O1).answer(T1)
    assert ended_by(bench) == (release.CALLER_GAVE_UP, "origination")
    leg = bench.stored.leg(T1)
    assert leg is not None
    assert leg.cause == release.CALLER_GAVE_UP


def test_an_answer_that_comes_with_the_end_of_the_ring_time_is_an_answer() -> None:
    """The clock ran out after the answer was seen and before it could be stopped."""
    bench = Bench().start().answer(O1)
    bench.perform(bench.controller.on_timer(Timer.RING_ORIGINATION, bench.now))
    assert not bench.stored.is_over
    bench.answer(T1)
    bench.perform(bench.controller.on_timer(Timer.RING_TERMINATION, bench.now))
    assert bench.stored.state is CallState.CONNECTED


def test_an_answer_after_the_end_of_the_ring_time_is_too_late() -> None:
    bench = Bench().start().ring(O1).advance(30).answer(O1)
    assert ended_by(bench) == (release.RING_TIMEOUT, "origination")


def test_a_timer_after_the_end_changes_nothing() -> None:
    bench = joined().hang_up(T1)
    for timer in Timer:
        assert bench.controller.on_timer(timer, bench.now) == []


@pytest.mark.parametrize(
    "signal",
    [
        Ringing(O1, early_media=False),
        Answered(O1, b"", "PCMU", START),
        Updated(O1, b"", held=True),
        Refused(O1, of_sip_status(486)),
        HungUp(O1, release.HUNG_UP),
        MediaLost(release.RELAY_LOST),
    ],
    ids=lambda signal: type(signal).__name__,
)
def test_a_signal_after_the_end_changes_nothing(signal: Refused) -> None:
    bench = joined().hang_up(T1)
    assert bench.controller.on_signal(signal, bench.now) == []


def test_signals_of_unknown_legs_change_nothing() -> None:
    bench = Bench().start()
    ghost = LegId("t9")
    for signal in (
        Ringing(ghost, early_media=True),
        Answered(ghost, b"", "PCMU", START),
        HungUp(ghost, release.HUNG_UP),
    ):
        assert bench.controller.on_signal(signal, bench.now) == []


# --- the engine's own ends ---


def test_a_stopped_engine_ends_its_calls() -> None:
    assert ended_by(joined().stop()) == (release.ENGINE_STOPPED, "system")
    assert ended_by(Bench().start().stop().confirm()) == (release.ENGINE_STOPPED, "system")


def test_giving_up_ends_the_call_at_once() -> None:
    bench = Bench(FORKED).start().answer(O1)
    bench.perform(bench.controller.give_up(release.INTERNAL_ERROR, bench.now))
    assert bench.stored.release == release.INTERNAL_ERROR
    assert bench.finished == 1


def test_giving_up_tells_what_was_not_told_yet() -> None:
    """A bug may strike between an event and its batch: the story has no gap all the same."""
    bench = Bench().start().answer(O1)
    bench.controller._record(LegAnswered(T1, b"d", "PCMU", START, START, ""))
    bench.perform(bench.controller.give_up(release.INTERNAL_ERROR, bench.now))
    assert bench.stored.joined_at == START
    bench = joined()
    bench.controller._record(LegReleased(O1, release.HUNG_UP, START))
    bench.controller._record(LegReleased(T1, release.HUNG_UP, START))
    bench.controller._record(CallEnded(release.HUNG_UP, "origination", START))
    bench.perform(bench.controller.give_up(release.INTERNAL_ERROR, bench.now))
    assert bench.stored.release == release.HUNG_UP


def test_why_a_call_is_being_ended_is_stored_while_legs_are_being_cancelled() -> None:
    bench = Bench(FORKED).start().ring(O2).refuse(O1, 603)
    assert isinstance(bench.world.batches[-1][-1], CallEnding)
    assert (bench.stored.ending, bench.stored.ending_by) == (of_sip_status(603), "origination")


def test_a_call_that_ends_at_once_says_it_once() -> None:
    bench = joined().hang_up(T1)
    assert not any(isinstance(event, CallEnding) for batch in bench.world.batches for event in batch)


def test_a_resumed_call_that_is_over_is_only_forgotten() -> None:
    bench = joined().hang_up(T1)
    assert Controller(bench.stored, NODE).resume(bench.now) == [Finish()]


def test_a_call_without_a_plan_is_refused() -> None:
    call = requested_call()
    with pytest.raises(ValueError, match="without a plan"):
        Controller(type(call)(call.domain, call.user, call.call_id, CallState.BARRED, 0.0), NODE)
