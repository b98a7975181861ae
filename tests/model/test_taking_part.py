"""Of whom a call is: its maker, and everybody of whom a phone rings or is up."""

from __future__ import annotations

from ringbridge.model.call import fold
from ringbridge.model.events import CallBarred
from ringbridge.model.ids import CallId
from ringbridge.model.taking_part import is_of, is_up, users_in
from tests.calls.bench import Bench
from tests.calls.samples import DOMAIN, O1, O2, START, T1, USER, requested_call


def test_nobody_takes_part_who_was_never_rung() -> None:
    call = requested_call()
    assert users_in(call) == frozenset()
    assert is_of(call, USER)
    assert not is_of(call, "1002")


def test_whoever_is_rung_takes_part_until_their_last_leg_is_over() -> None:
    bench = Bench().start().answer(O1)
    assert users_in(bench.stored) == {"1002"}
    assert not is_up(bench.stored, "1002")
    bench.answer(T1)
    assert is_up(bench.stored, "1002")
    bench.transfer(T1, "1003")
    assert users_in(bench.stored) == {"1002", "1003"}
    bench.answer(bench.world.invited[-1])
    assert users_in(bench.stored) == {"1003"}
    assert is_of(bench.stored, "1002"), "who was in it may still know of it"


def test_nobody_takes_part_in_what_is_over() -> None:
    bench = Bench().start().answer(O1).answer(T1).hang_up(T1).check_over()
    assert users_in(bench.stored) == frozenset()
    assert is_of(bench.stored, "1002")


def test_its_maker_is_no_taker_and_comes_back_as_one_who_may() -> None:
    bench = Bench().start().answer(O1).answer(T1).transfer(O1, "1003").answer(O2)
    assert users_in(bench.stored) == {"1002", "1003"}
    assert is_of(bench.stored, USER)


def test_a_bar_is_nobodys_call() -> None:
    bar = fold(None, [CallBarred(DOMAIN, USER, CallId("c1"), START, START + 1)], 1)
    assert bar is not None
    assert not is_of(bar, USER)
