"""One live event stream from its opening to its end, whatever carries it: what is told, and when.

`ready`, or `reset` where what was missed cannot be told any more; then `call` or `cdr` as they happen and `heartbeat`
where nothing does; `end` with the reason, after which the client comes back unless its token is void. Every frame has
the id to come back with. A message of the bus may make several frames: only the last of them has the id behind it, so
that whoever is cut off between them gets all of them again, never too few.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from ringbridge.api.events.slots import StreamSettings
from ringbridge.api.http.answers import encode
from ringbridge.calls.events.live import Happening, LiveEvents, Reach, Reader
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.event_marks import Mark

END_MESSAGES: Final = {
    "node-stops": "this node stops; come back to another, or in a moment",
    "too-long-open": "streams end after a while; come back at once",
}
TOO_OLD: Final = "what happened since this id cannot be told any more; read the lists of calls again, then go on here"


class Frame(NamedTuple):
    """What a client is told at one time."""

    event: str
    id: str
    data: bytes = b""
    """JSON; empty for a heartbeat."""


class Ready(msgspec.Struct, frozen=True, rename="kebab"):
    """Data of `ready`: from here on everything is told."""

    node: str
    heartbeat_seconds: float
    resumed: bool


class Notice(msgspec.Struct, frozen=True):
    """Data of `reset` and `end`: why."""

    code: str
    message: str


class TooSlow(Exception):
    """The client takes less than happens: cut it off."""


class EventSession:
    """What one client is told."""

    def __init__(
        self,
        live: LiveEvents,
        reader: Reader,
        *,
        settings: StreamSettings,
        node: str,
        resumed: bool,
        recheck: Callable[[], Awaitable[Reach]],
    ) -> None:
        """`recheck` returns what the token lets see now, or raises `CallError` when it no longer holds."""
        self._live = live
        self._reader = reader
        self._settings = settings
        self._node = node
        self._resumed = resumed
        self._recheck = recheck
        self._refusal: CallError | None = None

    def gone(self) -> None:
        """Note that the client has gone."""
        self._reader.end("gone")

    def cut(self) -> None:
        """Note that the client takes less than happens, and is cut off."""
        self._reader.ended = "slow"

    @property
    def ended(self) -> str:
        """Why it ended, for metrics."""
        return self._reader.ended

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """Yield what is to be told until the end.

        Raises:
            TooSlow: more happened than is kept for one that does not take it.
        """
        loop, settings, reader = asyncio.get_running_loop(), self._settings, self._reader
        ends_at = loop.time() + settings.life_s
        check_at = loop.time() + settings.recheck_s
        if not reader.has_gap:
            ready = Ready(self._node, settings.heartbeat_s, self._resumed)
            yield Frame("ready", reader.seen.text, encode(ready))
        beat_at = loop.time() + settings.heartbeat_s
        while not reader.ended:
            for frame in self._due():
                yield frame
                beat_at = loop.time() + settings.heartbeat_s
                await asyncio.sleep(0)  # a client that takes all at once leaves the others their share
            now = loop.time()
            if now >= check_at:
                await self._check()
                check_at = loop.time() + settings.recheck_s
            if now >= ends_at:
                reader.end("too-long-open")
            if now >= beat_at and not reader.ended:
                yield Frame("heartbeat", self._live.caught_up(reader).text)
                beat_at = loop.time() + settings.heartbeat_s
            await reader.news(timeout_s=max(0.0, min(ends_at, check_at, beat_at) - loop.time()))
        if reader.ended == "overrun":
            raise TooSlow
        if reader.ended in END_MESSAGES:
            yield self._end(reader.ended, END_MESSAGES[reader.ended])
        elif self._refusal is not None:
            yield self._end(self._refusal.code, self._refusal.message)

    def _end(self, code: str, message: str) -> Frame:
        return Frame("end", self._reader.seen.text, encode(Notice(code, message)))

    def _due(self) -> list[Frame]:
        """Return what is to be told of the next thing that happened."""
        reader = self._reader
        if reader.has_gap:
            reader.has_gap = False
            return [Frame("reset", reader.seen.text, encode(Notice("too-old", TOO_OLD)))]
        happening = reader.take()
        if happening is None or not reader.reach.covers(happening.change):
            return []
        before, reader.seen = reader.seen, _behind(reader.seen, happening)
        told = happening.told(reader.reach.model)
        ids = [before.text] * (len(told) - 1) + [reader.seen.text]
        return [Frame(reader.reach.model, name, data) for name, data in zip(ids, told, strict=False)]

    async def _check(self) -> None:
        """Look whether the token holds still, and for what."""
        try:
            self._live.change(self._reader, await self._recheck())
        except CallError as refusal:
            if refusal.refusal is Refusal.UNAVAILABLE:
                return  # the copy cannot be asked now; who was let in stays in
            self._refusal = refusal
            self._reader.end("refused")


def _behind(seen: Mark, happening: Happening) -> Mark:
    return seen.joined(happening.mark) if seen.tag == happening.mark.tag else happening.mark
