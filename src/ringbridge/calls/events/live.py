"""Live events on one node: what the local copy applies, told to readers that follow it, as it happens.

The last changes are kept in a window that all readers share; whoever comes back with a mark inside it gets what it has
missed, on any node, since every node applies all messages. Whoever comes from before the window is told so and reads
the lists, which a node keeps longer. Nothing is made for a reader but a reference to a shared change, and the JSON of
a change is made once, when the first reader takes it; a reader that takes nothing falls out of the window and is cut.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from ringbridge.calls.events.ports import CallChange, CallChanges
from ringbridge.model.access import ANY
from ringbridge.model.event_marks import Mark
from ringbridge.model.event_payloads import Told
from ringbridge.model.taking_part import is_of

KEPT: Final = 16_384
"""Changes in the window: half an hour at one call a second, a few seconds at the most that a node can do; some 20 MB,
since neighbouring states of a call share nearly all of it."""

EventModel: TypeAlias = Literal["call", "cdr"]

_encode = msgspec.json.Encoder().encode


def _nothing() -> None:
    """Nothing is followed yet."""


class Reach(msgspec.Struct, frozen=True):
    """What a reader is told of: what its token may see, and of that what it asked for."""

    domains: frozenset[str] | None
    """None: every domain."""
    user: str = ANY
    """The one user whose calls are told: those made and those taken part in."""
    call: str = ""
    """The one call, by its call-id or session id."""
    model: EventModel = "call"
    since: float = 0.0
    """Epoch seconds: calls from before are of whoever had these names then."""

    def covers(self, change: CallChange) -> bool:
        """Return whether a change is told at all."""
        call = change.after
        if self.domains is not None and call.domain not in self.domains:
            return False
        if self.call not in ("", call.call_id, call.session_id):
            return False
        if self.model == "cdr" and not call.is_over:
            return False
        if call.requested_at < self.since:
            return False
        return self.user == ANY or is_of(call, self.user)


class Happening:
    """One change, and the mark of whoever has followed everything up to it."""

    __slots__ = ("_told", "change", "mark")

    def __init__(self, change: CallChange, mark: Mark) -> None:
        self.change = change
        self.mark = mark
        self._told: dict[EventModel, tuple[bytes, ...]] = {}

    @property
    def position(self) -> int:
        """Where the bus holds it."""
        return self.change.after.sequence

    def told(self, model: EventModel) -> tuple[bytes, ...]:
        """Return what a reader of `model` is sent of it, as subscribers are: objects in JSON, one an event."""
        found = self._told.get(model)
        if found is None:
            before = self.change.before
            told = Told(before, before.events if before else 0)
            objects = told.tell(model, self.change.events, self.position)
            found = self._told[model] = tuple(map(_encode, objects))
        return found


class Reader:
    """One who follows; made by `LiveEvents.open`."""

    def __init__(self, reach: Reach, seen: Mark, *, most: int) -> None:
        self.reach = reach
        self.seen = seen
        """The mark of what was taken."""
        self.has_gap = False
        """Whether something was missed that cannot be had any more: taken back by whoever has told it."""
        self.ended = ""
        """Why nothing more comes; `overrun` for one that was too slow."""
        self._pending: deque[Happening] = deque()
        self._most = most
        self._news = asyncio.Event()

    def put(self, happening: Happening) -> None:
        """Take what happened; one that has ended takes nothing."""
        if self.ended:
            return
        if len(self._pending) >= self._most:
            self.end("overrun")
            return
        self._pending.append(happening)
        self._news.set()

    def lose(self, now: Mark) -> None:
        """Go on from `now`; what was before cannot be told."""
        self._pending.clear()
        self.seen = now
        self.has_gap = True
        self._news.set()

    def end(self, why: str) -> None:
        """Tell nothing more."""
        self.ended = self.ended or why
        self._pending.clear()
        self._news.set()

    @property
    def is_idle(self) -> bool:
        """Whether everything so far was taken."""
        return not self._pending

    def take(self) -> Happening | None:
        """Return what happened next; None when nothing more has. `seen` is the taker's to move on."""
        return self._pending.popleft() if self._pending else None

    async def news(self, *, timeout_s: float) -> None:
        """Return when there is something to take or to tell, or after `timeout_s`."""
        if not self._pending and not self.has_gap and not self.ended:
            self._news.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return


class LiveEvents:
    """One node's readers and the window that they share."""

    def __init__(self, changes: CallChanges, *, kept: int = KEPT) -> None:
        self._changes = changes
        self._kept = kept
        self._now = self._floor = Mark("", ())
        self._window: deque[Happening] = deque()
        self._by_domain: dict[str, set[Reader]] = {}
        self._widely: set[Reader] = set()
        self._is_closed = False
        self._stop: Callable[[], None] = _nothing

    def start(self) -> None:
        """Begin with what the local copy applies from now on; it has met the bus."""
        self._now = self._floor = self._changes.calls_mark()
        self._stop = self._changes.follow_changes(self._take)

    @property
    def now(self) -> Mark:
        """The mark of whoever has followed everything."""
        return self._now

    def open(self, reach: Reach, *, after: Mark | None) -> Reader:
        """Return a reader of what happens from now on, or `after` an earlier mark."""
        reader = Reader(reach, after or self._now, most=self._kept)
        if after is not None and not after.reaches(self._floor):
            reader.lose(self._now)
        elif after is not None:
            for happening in self._window:
                if not after.has(happening.position) and reach.covers(happening.change):
                    reader.put(happening)
        self._add(reader)
        if self._is_closed:
            reader.end("node-stops")
        return reader

    def leave(self, reader: Reader) -> None:
        """Forget a reader; safe to repeat."""
        self._widely.discard(reader)
        for domain in reader.reach.domains or ():
            readers = self._by_domain.get(domain)
            if readers is not None:
                readers.discard(reader)
                if not readers:
                    del self._by_domain[domain]

    def change(self, reader: Reader, reach: Reach) -> None:
        """Let a reader have another reach from now on."""
        if reach != reader.reach:
            self.leave(reader)
            reader.reach = reach
            self._add(reader)

    def caught_up(self, reader: Reader) -> Mark:
        """Return the mark of a reader, who has had everything so far that it is told of if it is idle."""
        if reader.is_idle and reader.seen.tag == self._now.tag:
            reader.seen = reader.seen.joined(self._now)
        return reader.seen

    def close(self) -> None:
        """End every reader: the node stops."""
        self._is_closed = True
        self._stop()
        for reader in self._widely.union(*self._by_domain.values()):
            reader.end("node-stops")

    def _add(self, reader: Reader) -> None:
        domains = reader.reach.domains
        if domains is None or len(domains) > 1:
            self._widely.add(reader)
            return
        for domain in domains:
            self._by_domain.setdefault(domain, set()).add(reader)

    def _take(self, changes: Sequence[CallChange], now: Mark) -> None:
        if now.tag != self._now.tag:
            self._begin_again(now)
            return
        for change in changes:
            self._now = self._now.passing(change.after.sequence)
            happening = Happening(change, self._now)
            self._window.append(happening)
            for reader in itertools.chain(self._by_domain.get(change.after.domain, ()), self._widely):
                if reader.reach.covers(change):
                    reader.put(happening)
        self._now = self._now.joined(now)
        while len(self._window) > self._kept:
            self._floor = self._floor.passing(self._window.popleft().position)

    def _begin_again(self, now: Mark) -> None:
        """A stream was made again: what marks said of it means nothing any more."""
        self._window.clear()
        self._now = self._floor = now
        for reader in self._widely.union(*self._by_domain.values()):
            reader.lose(now)
