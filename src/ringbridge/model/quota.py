"""How much somebody may ask in a window of time, and how much of it is left: the arithmetic, without clock or I/O.

The generic cell rate algorithm (ITU-T I.371): a quota of `amount` in `window_s` seconds is one unit every
`window_s / amount` seconds, and up to `amount` of them at once after a quiet window. Of each holder one number is
kept: the time at which its quota is whole again.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final

SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600}
QUOTA_PATTERN: Final = r"^([1-9][0-9]{0,5}/(second|minute|hour)|off)\Z"
_QUOTA: Final = re.compile(QUOTA_PATTERN)


ROUNDING_S: Final = 1e-5
"""What the sum of thousands of floating-point seconds may be off, but never more than a tenth of one unit. Times count
from the start of the process, not from 1970: a millionth of a second is lost in epoch seconds."""


@dataclass(frozen=True, slots=True)
class Quota:
    """So many in so many seconds."""

    amount: int
    window_s: int
    interval_s: float = field(init=False)
    """Seconds after which one that was used is there again."""

    rounding_s: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval_s", self.window_s / self.amount)
        object.__setattr__(self, "rounding_s", min(ROUNDING_S, self.interval_s / 10))

    def remaining(self, whole_at: float, now: float) -> int:
        """Return how many are left of a quota that is whole again at `whole_at`."""
        return max(0, int((self.window_s - max(0.0, whole_at - now) + self.rounding_s) / self.interval_s))

    def taken(self, whole_at: float, now: float) -> float:
        """Return when the quota is whole again once one more was taken at `now`, whether there was one or not.

        A clock that was put back costs its holder one window at most.
        """
        return min(max(whole_at, now), now + self.window_s) + self.interval_s

    def wait_s(self, whole_at: float, now: float) -> float:
        """Return the seconds until one is there; 0 when there is."""
        wait = min(whole_at, now + self.window_s) + self.interval_s - now - self.window_s
        return wait if wait > self.rounding_s else 0.0


def parse_quota(text: str) -> Quota | None:
    """Return the quota that `5000/second` names; None for `off`.

    Raises:
        ValueError: it names none.
    """
    if not _QUOTA.match(text):
        raise ValueError(f"no quota: {text!r}")
    amount, _, unit = text.partition("/")
    return Quota(int(amount), SECONDS[unit]) if unit else None


def whole_seconds(seconds: float) -> int:
    """Return `seconds` rounded up, at least 1: what `Retry-After` can say."""
    return max(1, math.ceil(seconds))
