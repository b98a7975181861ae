"""Throttling of logins."""

from __future__ import annotations

import pytest

from ringbridge.calls.throttle import ACCOUNT, ADDRESS, MOST_KEPT, PAIR, LoginThrottle
from ringbridge.model.errors import CallError


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


def refused(throttle: LoginThrottle, account: str, address: str) -> int:
    """Return the seconds to wait, 0 when the attempt passes."""
    try:
        throttle.begin(account, address)
    except CallError as error:
        return error.retry_after_s or -1
    return 0


def test_a_guesser_waits_and_others_do_not() -> None:
    clock = Clock()
    throttle = LoginThrottle(clock)
    for _ in range(PAIR.failures):
        assert refused(throttle, "ada", "192.0.2.1") == 0
    assert refused(throttle, "ada", "192.0.2.1") == 601
    assert refused(throttle, "ada", "192.0.2.2") == 0
    assert refused(throttle, "bob", "192.0.2.1") == 0
    clock.time += PAIR.window_s
    assert refused(throttle, "ada", "192.0.2.1") == 0


def test_success_does_not_count() -> None:
    throttle = LoginThrottle(Clock())
    for _ in range(1000):
        throttle.begin("ada", "192.0.2.1")
        throttle.succeeded("ada", "192.0.2.1")


def test_an_account_guessed_from_everywhere_and_an_address_that_guesses_all_are_stopped() -> None:
    throttle = LoginThrottle(Clock())
    passed = [refused(throttle, "ada", f"192.0.2.{number}") == 0 for number in range(ACCOUNT.failures + 1)]
    assert passed == [True] * ACCOUNT.failures + [False]
    passed = [refused(throttle, f"user{number}", "198.51.100.1") == 0 for number in range(ADDRESS.failures + 1)]
    assert passed == [True] * ADDRESS.failures + [False]


def test_memory_is_bounded() -> None:
    throttle = LoginThrottle(Clock())
    for number in range(MOST_KEPT):
        throttle.begin(f"user{number}", f"2001:db8::{number:x}")
    assert len(throttle._failures) <= MOST_KEPT


@pytest.mark.parametrize("limit", [PAIR, ACCOUNT, ADDRESS])
def test_limits_leave_room_for_people(limit: tuple[int, float]) -> None:
    assert limit[0] >= 5
