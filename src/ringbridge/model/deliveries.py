"""How far the deliveries of one subscription are: a state machine without I/O (contract §5).

Calls are read from the bus in the order of their streams, and delivered call by call. A message is *open* from when it
was read until it is delivered or its call is *parked*: something of it failed, and it waits for its next attempt with
everything behind it. What is stored is small whatever happens: for each stream the position below which nothing is
open, and the parked calls, each with the position of its first undelivered message. Whoever takes up from that delivers
every message at least once, and those of one call in order.

    read ── take ──► open ── delivered ──► done
                      │
                      └──── failed ──────► parked ── retried: delivered, failed again, or given up ──► done

A receiver that fails for some calls and takes others has the others: those that fail are parked, at most `MOST_PARKED`,
and when one more fails, the one that has failed most often is given up for it. A receiver that took nothing the last
`MOST_FAILED` times is *away*: one new call is tried every `PROBE_S`, the rest is not read, and the bus keeps it.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final, NamedTuple

import msgspec

SCHEDULE_S: Final = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds from one attempt at a message to the next (contract §5); the last failure gives it up."""
MOST_OPEN: Final = 64
"""Messages that are read and not delivered: what is sent again after a crash, at the most."""
MOST_PARKED: Final = 1024
"""Calls that wait for another attempt: about 100 bytes each in the stored state, which may have a megabyte."""
MOST_RETRIED: Final = 16
"""Parked calls that are in work at one time: each is read from the bus again."""
MOST_FAILED: Final = 64
"""New calls in a row that failed, after which the receiver is taken to be away."""
PROBE_S: Final = 10.0
"""How often a receiver that is away is tried with a new call."""


class CallName(NamedTuple):
    """A call in the whole cluster: what is told in order. Of presence that is a user, named in place of the call."""

    domain: str
    call_id: str


class Parked(msgspec.Struct, frozen=True, array_like=True):
    """A call that waits: `position` is its first undelivered message, `attempts` how often that failed."""

    domain: str
    call_id: str
    position: int
    attempts: int
    due_at: float
    since: float = 0.0
    """When it was read first, in epoch seconds; 0: not known."""

    @property
    def name(self) -> CallName:
        return CallName(self.domain, self.call_id)


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the bus keeps of a subscription's deliveries; `node` delivers now, empty when none does."""

    node: str = ""
    positions: tuple[int, ...] = ()
    parked: tuple[Parked, ...] = ()
    posts: int = 0
    errors: int = 0
    is_failing: bool = False
    """Whether the last attempt failed."""
    ended_restarts: int = -1
    """`restarts` of the subscription when its receiver answered 410; it is over while they are the same."""
    logged: int = 0
    """How many parts of the log were written."""


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt, as the log has it. `at` is epoch seconds; `status` is 0 where no answer came."""

    delivery_id: str
    at: float
    number: int
    outcome: str
    """`delivered`, `failed` (another follows), `given-up`, `ended` (410)."""
    kind: str = "event"
    """`event`, `resend` or `test`."""
    status: int = 0
    duration_ms: int = 0
    error: str = ""
    excerpt: str = ""
    """The beginning of the receiver's answer."""
    call_id: str = ""
    events: tuple[str, ...] = ()
    """Ids of the objects that were sent."""
    next_at: float = 0.0


class Item(msgspec.Struct, frozen=True):
    """One message to deliver: the body of its POST and the ids of the objects in it."""

    name: CallName
    position: int
    body: bytes
    events: tuple[str, ...]
    call_id: str = ""
    """The call that it tells of, where it is one."""
    read_at: float = 0.0
    """Epoch seconds."""


def next_attempt_s(failed_attempts: int) -> float | None:
    """Return the seconds until the next attempt after so many failed ones; None when there is none."""
    return SCHEDULE_S[failed_attempts] if failed_attempts < len(SCHEDULE_S) else None


class Ledger:
    """The open and parked messages of one subscription. `streams` is how many streams positions go round."""

    def __init__(self, progress: Progress, *, streams: int) -> None:
        self._streams = streams
        self._read = list(progress.positions)
        self._open: list[set[int]] = [set() for _ in range(streams)]
        self._queues: dict[CallName, deque[Item]] = {}
        self._parked = {one.name: one for one in progress.parked}
        self._passed: dict[CallName, int] = {}
        self._retrying: set[CallName] = set()
        self._dropped: list[Parked] = []
        self._probe_at = 0.0
        self._refusals = MOST_FAILED if progress.is_failing and len(progress.parked) >= MOST_FAILED else 0
        """New calls that failed since the receiver took anything."""
        self.posts = progress.posts
        self.errors = progress.errors
        self.is_failing = progress.is_failing

    # --- reading ---

    @property
    def open(self) -> int:
        """How many messages were read and are not delivered."""
        return sum(map(len, self._open))

    @property
    def is_away(self) -> bool:
        """Whether the receiver takes nothing at all."""
        return self._refusals >= MOST_FAILED

    def has_room(self, now: float) -> bool:
        """Return whether another message may be read."""
        if self.is_away:
            return self.next_probe_at is not None and self._probe_at <= now
        return self.open < MOST_OPEN

    @property
    def next_probe_at(self) -> float | None:
        """When a receiver that is away may be tried with a new call; None while that is done, or it is not away."""
        return self._probe_at if self.is_away and not self.open and not self.is_full else None

    @property
    def oldest_at(self) -> float | None:
        """When the oldest of what was read and is not delivered was read, in epoch seconds; None: there is none."""
        waiting = [queue[0].read_at for queue in self._queues.values() if queue]
        return min((at for at in (*waiting, *(one.since for one in self._parked.values())) if at), default=None)

    def read_up_to(self, stream: int) -> int:
        """Return the position up to which a stream was read."""
        return self._read[stream]

    def pass_by(self, position: int) -> None:
        """Note a message that nobody is sent."""
        self._read[position % self._streams] = position

    def take(self, item: Item) -> bool:
        """Take a message to deliver; return whether its call has to be started on now."""
        self.pass_by(item.position)
        if item.name in self._parked:
            self._passed[item.name] = item.position
            return False
        self._open[item.position % self._streams].add(item.position)
        queue = self._queues.get(item.name)
        if queue is not None:
            queue.append(item)
            return False
        self._queues[item.name] = deque([item])
        return True

    # --- delivering ---

    def head(self, name: CallName) -> Item | None:
        """Return the message of a call that is next; None when there is no more, and the call is let go."""
        queue = self._queues.get(name)
        if queue:
            return queue[0]
        self._queues.pop(name, None)
        return None

    def delivered(self, name: CallName) -> None:
        """Note that a call's head was taken by its receiver."""
        self._close(self._queues[name].popleft())
        self._took()

    def _took(self) -> None:
        self.posts += 1
        self.is_failing = False
        self._refusals = 0

    def failed(self, name: CallName, now: float) -> Parked | None:
        """Park a call whose head failed for the first time; None when there is no room, and it stays the head."""
        self.errors += 1
        self.is_failing = True
        self._refusals += 1
        self._probe_at = now + PROBE_S
        if self.is_full and (self.is_away or not self._drop_one()):
            return None
        queue = self._queues.pop(name)
        since = queue[0].read_at
        parked = Parked(name.domain, name.call_id, queue[0].position, 1, now + SCHEDULE_S[1], since)
        self._parked[name] = parked
        self._passed[name] = queue[-1].position
        for item in queue:
            self._close(item)
        return parked

    def _drop_one(self) -> bool:
        """Give up the parked call that has failed most often; False: all are in work."""
        free = [one for one in self._parked.values() if one.name not in self._retrying]
        if not free:
            return False
        dropped = max(free, key=lambda one: (one.attempts, -one.position))
        del self._parked[dropped.name]
        self._passed.pop(dropped.name, None)
        self._dropped.append(dropped)
        return True

    def take_dropped(self) -> list[Parked]:
        """Return the calls that were given up for others since it was asked last."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def _close(self, item: Item) -> None:
        self._open[item.position % self._streams].discard(item.position)

    def refused(self) -> None:
        """Note an attempt at which the receiver ended the subscription."""
        self.errors += 1
        self.is_failing = True

    # --- parked calls ---

    def start_due(self, now: float) -> list[Parked]:
        """Return the parked calls whose time has come; each is in work until `parked_again` or `unpark`."""
        free = (one for one in self._parked.values() if one.due_at <= now and one.name not in self._retrying)
        due = list(islice(free, MOST_RETRIED - len(self._retrying)))
        self._retrying.update(one.name for one in due)
        return due

    @property
    def next_due_at(self) -> float | None:
        """When the next parked call is due; None while so many are in work that none is begun."""
        if len(self._retrying) >= MOST_RETRIED:
            return None
        return min((one.due_at for one in self._parked.values() if one.name not in self._retrying), default=None)

    def hasten(self, now: float) -> None:
        """Make every parked call due: the receiver is back."""
        for name, one in self._parked.items():
            self._parked[name] = msgspec.structs.replace(one, due_at=min(one.due_at, now))

    def retried(self, parked: Parked, item: Item, *, attempts: int, now: float) -> float | None:
        """Note that an attempt at a parked call's `item` failed, the `attempts`th.

        Returns when the next one is due; None when the schedule is through and the item is given up.
        """
        self.errors += 1
        self.is_failing = True
        wait_s = next_attempt_s(attempts)
        if wait_s is None:
            return None
        self._parked[parked.name] = msgspec.structs.replace(
            parked, position=item.position, attempts=attempts, due_at=now + wait_s
        )
        self._retrying.discard(parked.name)
        return now + wait_s

    def took(self, parked: Parked, item: Item) -> None:
        """Note that a parked call's `item` was delivered."""
        self._took()
        self.gone_by(parked, item)

    def gone_by(self, parked: Parked, item: Item) -> None:
        """Note that a parked call stands right behind `item` now, delivered or given up."""
        position = item.position + self._streams
        self._parked[parked.name] = msgspec.structs.replace(parked, position=position, attempts=0)

    def put_off(self, parked: Parked, until: float) -> None:
        """Leave a parked call as it stands until then: nothing could be tried."""
        self._parked[parked.name] = msgspec.structs.replace(self._parked[parked.name], due_at=until)
        self._retrying.discard(parked.name)

    def unpark(self, name: CallName, seen: int) -> bool:
        """Let a parked call go whose messages up to the position `seen` are through.

        Returns False when more of it was passed by meanwhile: then it has to be tried again.
        """
        if self._passed.get(name, seen) > seen:
            return False
        self._passed.pop(name, None)
        self._parked.pop(name, None)
        self._retrying.discard(name)
        return True

    # --- what is stored ---

    def positions(self) -> tuple[int, ...]:
        """Return for each stream the position up to which nothing is open."""
        return tuple(
            min(open_) - self._streams if open_ else read for open_, read in zip(self._open, self._read, strict=True)
        )

    @property
    def is_full(self) -> bool:
        """Whether no more calls can be parked, unless one is given up for it."""
        return len(self._parked) >= MOST_PARKED

    @property
    def parked(self) -> tuple[Parked, ...]:
        return tuple(self._parked.values())
