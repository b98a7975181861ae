"""Throttling of logins by account and by address, on this node alone.

Only failures count. Known and unknown accounts are counted alike, so that the answer tells nothing. An account is
counted together with the address first: whoever guesses from one place is stopped soon, and its owner elsewhere is not
locked out; only a guess from many places reaches the account's own, wider limit.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, NamedTuple

from ringbridge.calls.ports import Clock
from ringbridge.model.errors import CallError, Refusal

MOST_KEPT: Final = 10_000
"""Counts in memory; the one that failed longest ago goes first."""


class Limit(NamedTuple):
    """So many failures in so many seconds."""

    failures: int
    window_s: float


PAIR: Final = Limit(8, 600.0)
ACCOUNT: Final = Limit(50, 600.0)
ADDRESS: Final = Limit(60, 600.0)


class LoginThrottle:
    """Counts failed logins."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def begin(self, account: str, address: str) -> None:
        """Let an attempt pass, or not. It counts as failed until it has `succeeded`: many at once gain nothing.

        Raises:
            CallError: 429; the wait is until the oldest failure that counts is forgotten.
        """
        now = self._clock.now()
        wait_s = max(self._wait_s(key, limit, now) for key, limit in _keys(account, address))
        if wait_s > 0:
            message = "too many failed logins; try again later"
            raise CallError(Refusal.TOO_MANY, "too-many-failed-logins", message, retry_after_s=int(wait_s) + 1)
        for key, limit in _keys(account, address):
            self._failures.setdefault(key, deque(maxlen=limit.failures)).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > MOST_KEPT:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """Take an attempt back from the count."""
        for key, _ in _keys(account, address):
            times = self._failures.get(key)
            if times:
                times.pop()

    def _wait_s(self, key: tuple[str, ...], limit: Limit, now: float) -> float:
        times = self._failures.get(key)
        if times is None or len(times) < limit.failures:
            return 0.0
        return times[0] + limit.window_s - now


def _keys(account: str, address: str) -> tuple[tuple[tuple[str, ...], Limit], ...]:
    return (("pair", account, address), PAIR), (("account", account), ACCOUNT), (("address", address), ADDRESS)
