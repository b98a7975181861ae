"""The clock of the SIP stack: how long each timer of RFC 3261 runs, and a queue of what is due when.

Nothing here reads a clock. `now` is any float of seconds that never runs backwards.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Timers:
    """Durations in seconds. The defaults are RFC 3261 §17.1.1.1 and Table 4; the rest follows from them."""

    t1_s: float = 0.5
    """Round-trip estimate: the first retransmission."""
    t2_s: float = 4.0
    """Longest gap between retransmissions of a non-INVITE request and of a response to INVITE."""
    t4_s: float = 5.0
    """How long a message may linger in the network."""
    give_up_s: float = field(init=False)
    """64*T1: Timers B, F, H, J, L and M, and the wait for a final response after CANCEL."""
    wait_d_s: float = field(init=False)
    """Timer D over UDP: at least 32 s, whatever T1 is (RFC 3261 §17.1.1.2)."""

    def __post_init__(self) -> None:
        if not 0 < self.t1_s <= self.t2_s or self.t4_s <= 0:
            raise ValueError(f"timers must be positive and T1 not above T2: {self.t1_s=}, {self.t2_s=}, {self.t4_s=}")
        object.__setattr__(self, "give_up_s", 64 * self.t1_s)
        object.__setattr__(self, "wait_d_s", max(32.0, 64 * self.t1_s))


class TimerOwner(Protocol):
    """Whoever sets a timer; `name` is its own word for it."""

    def on_timer(self, name: int, now: float) -> None: ...


class Timer:
    """One pending timer; cancelled by forgetting its owner."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: TimerOwner, name: int) -> None:
        self.owner: TimerOwner | None = owner
        self.name = name


class TimerQueue:
    """A heap with lazy deletion: O(log n) to set, O(1) to cancel; the dead are swept out once they are the majority."""

    __slots__ = ("_dead", "_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self._dead = 0

    def __len__(self) -> int:
        """Return how many timers are pending, the cancelled not counted."""
        return len(self._heap) - self._dead

    def set(self, at: float, owner: TimerOwner, name: int) -> Timer:
        """Arrange for `owner.on_timer(name, now)` once `at` has come."""
        timer = Timer(owner, name)
        self._serial += 1
        heapq.heappush(self._heap, (at, self._serial, timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Make sure that `timer` never fires; None and a timer that has fired are fine."""
        if timer is None or timer.owner is None:
            return
        timer.owner = None
        self._dead += 1
        if self._dead > 512 and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].owner is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    def next_at(self) -> float | None:
        """Return when the next timer is due; None when there is none."""
        heap = self._heap
        while heap and heap[0][2].owner is None:
            heapq.heappop(heap)
            self._dead -= 1
        return heap[0][0] if heap else None

    def fire_due(self, now: float) -> None:
        """Fire all that is due at `now`, in order; also what firing sets for `now` or before."""
        while (at := self.next_at()) is not None and at <= now:
            timer = heapq.heappop(self._heap)[2]
            owner = timer.owner
            timer.owner = None
            if owner is not None:
                owner.on_timer(timer.name, now)
