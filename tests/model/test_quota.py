from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.model.quota import Quota, parse_quota, whole_seconds

THREE = Quota(3, 60)


def take(quota: Quota, times: list[float]) -> list[bool]:
    """Return which of the requests at `times` got through."""
    whole_at, passed = 0.0, []
    for now in times:
        free = quota.wait_s(whole_at, now) == 0.0
        if free:
            whole_at = quota.taken(whole_at, now)
        passed.append(free)
    return passed


def test_a_whole_quota_can_be_taken_at_once_and_comes_back_one_by_one() -> None:
    assert take(THREE, [1000.0] * 4) == [True, True, True, False]
    assert take(THREE, [1000.0] * 3 + [1019.5, 1020.0, 1020.1, 1040.0]) == [True] * 3 + [False, True, False, True]


def test_what_is_left_counts_down_and_is_whole_after_a_window() -> None:
    whole_at, left = 0.0, []
    for _ in range(3):
        whole_at = THREE.taken(whole_at, 1000.0)
        left.append(THREE.remaining(whole_at, 1000.0))
    assert left == [2, 1, 0]
    assert THREE.wait_s(whole_at, 1000.0) == pytest.approx(20.0)
    assert THREE.remaining(whole_at, 1060.0) == 3


def test_a_clock_that_was_put_back_costs_one_window_at_most() -> None:
    whole_at = THREE.taken(0.0, 1_000_000.0)
    assert THREE.wait_s(whole_at, 1000.0) <= 60.0
    assert THREE.wait_s(THREE.taken(whole_at, 1000.0), 1080.0) == 0.0


@given(st.integers(1, 5000), st.sampled_from([1, 60, 3600]))
def test_exactly_the_amount_passes_in_an_instant(amount: int, window_s: int) -> None:
    quota = Quota(amount, window_s)
    now = 10_000_000.0  # a process that runs for four months
    assert sum(take(quota, [now] * (amount + 3))) == amount
    assert quota.remaining(quota.taken(0.0, now), now) == amount - 1


def test_quotas_are_written_as_people_say_them() -> None:
    assert parse_quota("5000/second") == Quota(5000, 1)
    assert parse_quota("60/minute") == Quota(60, 60)
    assert parse_quota("999999/hour") == Quota(999_999, 3600)
    assert parse_quota("off") is None
    for wrong in ("", "0/second", "5/day", "5", "5 / second", "-1/hour", "5/second\n"):
        with pytest.raises(ValueError, match="no quota"):
            parse_quota(wrong)


def test_seconds_to_wait_are_rounded_up() -> None:
    assert [whole_seconds(one) for one in (0.0, 0.2, 1.0, 1.01)] == [1, 1, 1, 2]
