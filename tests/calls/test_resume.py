"""A call taken up again: from whatever the bus had stored when its engine died, it goes on or ends, never twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ringbridge.model import release
from ringbridge.model.call import CallState, LegState, fold
from ringbridge.model.events import CallClaimed, CallEnding, CallEvent, EndRequested, LegAnswered, LegReleased
from ringbridge.model.ids import LegId
from ringbridge.model.release import of_sip_status
from tests.calls.bench import Bench, World
from tests.calls.samples import NODE, O1, O2, O3, START, T1, T2, requested, requested_call

FORKED = requested(origination=("1001", "1001m"), termination=("1002", "1002m"))

O4, T3 = LegId("o4"), LegId("t3")


def joined(bench: Bench) -> Bench:
    return bench.answer(O1).confirm().answer(T1).confirm()


STORIES: dict[str, Callable[[Bench], Bench]] = {
    "joined": lambda b: b.ring(O1).answer(O1).confirm().ring(T1).answer(T1).confirm().hang_up(T1),
    "losers cancelled late": lambda b: b.ring(O1).ring(O2).answer(O2).ring(T2).answer(T2).hang_up(T2).confirm(),
    "both answer": lambda b: b.answer(O1).answer(O2).answer(T2).answer(T1).hang_up(O1),
    "first leg busy": lambda b: b.ring(O1).refuse(O1, 486).refuse(O2, 480),
    "first leg declines": lambda b: b.ring(O1).ring(O2).refuse(O1, 603).confirm(),
    "first leg silent": lambda b: b.ring(O1).advance(30).confirm(),
    "second leg busy": lambda b: b.answer(O1).confirm().refuse(T1, 486).refuse(T2, 486),
    "second leg silent": lambda b: b.answer(O1).confirm().ring(T1).advance(60).confirm(),
    "caller gives up": lambda b: b.answer(O1).ring(T1).hang_up(O1).confirm(),
    "caller gives up, late answer": lambda b: b.answer(O1).confirm().ring(T1).hang_up(O1).answer(T1).confirm(),
    "deleted at once": lambda b: b.delete().confirm(),
    "deleted ringing": lambda b: b.ring(O1).delete().answer(O1).confirm(),
    "deleted dialling": lambda b: b.answer(O1).ring(T1).delete().confirm(),
    "deleted while up": lambda b: b.answer(O1).confirm().answer(T1).confirm().delete(),
    "held and taken back": lambda b: (
        b.answer(O1)
        .confirm()
        .answer(T1)
        .confirm()
        .hold("c1")
        .take_offer(T1)
        .take_offer(O1)
        .advance(7)
        .hold("c1", on=False)
        .take_offer(T1)
        .take_offer(O1)
        .hang_up(O1)
    ),
    "hold refused": lambda b: (
        b.answer(O1).confirm().answer(T1).confirm().hold("c1").take_offer(T1, status=488).hang_up(T1)
    ),
    "transferred": lambda b: (
        joined(b).transfer(O1, "1003", "1003m").ring(O3).ring(O4).answer(O3).confirm().advance(5).hang_up(T1)
    ),
    "transferred while held": lambda b: (
        joined(b)
        .hold("c1")
        .take_offer(T1)
        .take_offer(O1)
        .transfer(O1, "1003")
        .ring(O3)
        .answer(O3)
        .take_offer(T1)
        .hang_up(O3)
    ),
    "transfer refused": lambda b: joined(b).transfer(O1, "1003").ring(O3).refuse(O3, 486).advance(3).hang_up(T1),
    "transferred, asker gone": lambda b: joined(b).transfer(T1, "1003").hang_up(T1).ring(T3).answer(T3).hang_up(O1),
    "transfer refused, asker gone": lambda b: joined(b).transfer(T1, "1003").ring(T3).hang_up(T1).refuse(T3, 486),
    "other hangs up in a transfer": lambda b: joined(b).transfer(O1, "1003").ring(O3).hang_up(T1).confirm(),
    "stopped": lambda b: b.answer(O1).ring(T1).stop().confirm(),
}


def told(name: str) -> Bench:
    """Return the whole story of that name."""
    return STORIES[name](Bench(FORKED).start()).check_over()


def killed_after(name: str, batches: int) -> Bench:
    """Return a new engine's bench: the one before was killed when `batches` batches were stored.

    The phones are as they were then; a CANCEL or a BYE that had left with a later batch has not.
    """
    whole = told(name)
    world = World(FORKED)
    world.batches = whole.world.batches[:batches]
    call = world.stored()
    world.invited = [leg.leg_id for leg in call.legs]
    world.pending = {leg.leg_id for leg in call.legs if leg.state in (LegState.INVITED, LegState.RINGING)}
    world.up = {leg.leg_id for leg in call.legs if leg.state is LegState.ANSWERED}
    again = Bench(world=world, call=call)
    again.now = START + 5
    again.perform(again.controller.resume(again.now))
    return again


PREFIXES = [(name, end) for name in STORIES for end in range(2, len(told(name).world.batches) + 1)]


@pytest.mark.parametrize(("name", "batches"), PREFIXES)
def test_a_resumed_call_that_nobody_touches_ends_by_its_clocks(name: str, batches: int) -> None:
    again = killed_after(name, batches)
    again.confirm().advance(30).confirm().advance(60).confirm().advance(20_000).confirm()
    again.check_over()


@pytest.mark.parametrize(("name", "batches"), PREFIXES)
def test_a_resumed_call_can_be_deleted(name: str, batches: int) -> None:
    again = killed_after(name, batches).delete().confirm()
    again.check_over()


@pytest.mark.parametrize(("name", "batches"), PREFIXES)
def test_a_resumed_call_goes_on_as_far_as_its_phones_do(name: str, batches: int) -> None:
    """Whoever rings answers, whoever is up hangs up in the end."""
    again = killed_after(name, batches).confirm()
    for _ in range(4):
        for leg_id in sorted(again.world.pending - set(again.cancelled)):
            again.answer(leg_id)
        again.confirm()
    for leg_id in sorted(again.world.up):
        if leg_id in again.world.up:
            again.hang_up(leg_id).confirm()
    again.check_over()


@pytest.mark.parametrize(("name", "batches"), PREFIXES)
def test_a_call_killed_again_and_again_still_ends(name: str, batches: int) -> None:
    again = killed_after(name, batches)
    for _ in range(5):
        if not again.finished:
            again = again.resumed()
    again.delete().confirm().check_over()


@pytest.mark.parametrize("name", list(STORIES))
def test_the_cdr_tells_the_same_end_however_late_the_engine_was_killed(name: str) -> None:
    """From the batch that says why on, a restart changes neither cause nor who ended it."""
    whole = told(name)
    for end in range(2, len(whole.world.batches) + 1):
        batch = whole.world.batches[end - 1]
        if not any(isinstance(event, EndRequested | CallEnding) for event in batch):
            continue
        again = killed_after(name, end).confirm().check_over()
        assert (again.cdr.cause, again.cdr.ended_by) == (whole.cdr.cause, whole.cdr.ended_by)


def test_a_ringing_first_leg_keeps_its_ring_time() -> None:
    bench = Bench().start().ring(O1).advance(20)
    again = bench.resumed().advance(9.9)
    assert again.releases == []
    again.advance(0.1).confirm().check_over()
    assert again.cdr.cause == release.RING_TIMEOUT


def test_a_ring_time_that_ran_out_while_the_engine_was_away_ends_the_call() -> None:
    bench = Bench().start().ring(O1)
    bench.now += 500
    again = bench.resumed().advance(0).confirm().check_over()
    assert again.cdr.cause == release.RING_TIMEOUT


def test_a_joined_call_keeps_its_longest_duration() -> None:
    bench = Bench(requested(max_duration_s=100.0)).start().answer(O1).answer(T1).advance(60)
    again = bench.resumed()
    assert again.stored.state is CallState.CONNECTED
    again.advance(40).check_over()
    assert (again.cdr.cause, again.cdr.talking_s) == (release.CALL_TOO_LONG, 100.0)


def test_a_call_whose_first_leg_was_just_answered_dials_the_second() -> None:
    world = World(requested())
    whole = Bench().start().answer(O1)
    world.batches = [batch for batch in whole.world.batches if all(getattr(one, "leg_id", "") != T1 for one in batch)]
    world.invited, world.up = [O1], {O1}
    again = Bench(world=world, call=world.stored())
    again.now = START + 2
    again.perform(again.controller.resume(again.now))
    assert again.world.invited == [O1, T1]
    again.answer(T1).hang_up(O1).check_over()


def test_a_first_leg_that_waited_too_long_for_the_engine_is_let_go() -> None:
    world = World(requested())
    whole = Bench().start().answer(O1)
    world.batches = [batch for batch in whole.world.batches if all(getattr(one, "leg_id", "") != T1 for one in batch)]
    world.invited, world.up = [O1], {O1}
    again = Bench(world=world, call=world.stored())
    again.now = START + 61
    again.perform(again.controller.resume(again.now))
    assert again.world.invited == [O1]
    again.check_over()
    assert again.cdr.cause == release.ENGINE_RESTARTED


def test_a_call_without_a_word_on_why_its_caller_is_gone_still_ends_truly() -> None:
    """Events of an engine that knew no `CallEnding`: the leg that was up speaks, not one that lost to it."""
    batches: list[list[CallEvent]] = [
        [CallClaimed(NODE, 1, START)],
        *[list(batch) for batch in Bench(FORKED).start().answer(O1).refuse(O2, 487).world.batches[1:]],
        [LegReleased(O1, release.HUNG_UP, START + 9)],
    ]
    call = requested_call(FORKED)
    for sequence, batch in enumerate(batches, start=2):
        folded = fold(call, batch, sequence)
        assert folded is not None
        call = folded
    assert any(isinstance(event, LegAnswered) for batch in batches for event in batch)
    world = World(FORKED)
    world.batches += [tuple(batch) for batch in batches]
    world.invited, world.pending = [O1, O2, T1, T2], {T1, T2}
    again = Bench(world=world, call=call)
    again.perform(again.controller.resume(again.now))
    again.confirm().check_over()
    assert (again.cdr.cause, again.cdr.ended_by) == (release.CALLER_GAVE_UP, "origination")


def test_refusals_that_were_stored_still_speak_after_a_restart() -> None:
    bench = Bench(FORKED).start().refuse(O1, 486).resumed()
    bench.refuse(O2, 503).check_over()
    assert bench.cdr.cause == of_sip_status(486)
