"""One call of the demo, told as it happens: the API's ladder and what the phones notice, merged by time.

The API is asked every few milliseconds, the phones speak at once; so each line waits `HOLD_S` before it is written, and
lines come out in the order of their times.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from ringbridge.cli.client import ApiClient, ApiError, CdrResource, Ladder
from ringbridge.cli.steps import HEADING, word_of, write_step
from ringbridge.cli.terminal import Style, Terminal
from ringbridge.phone.settings import PhoneEvent, PhoneEventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

HOLD_S = 0.3
POLL_S = 0.05
CDR_WITHIN_S = 3.0
TOLERANCE_HZ = 10.0
RINGBACK = "the relay's ringback"

Entry: TypeAlias = tuple[float, int, Callable[[], tuple[str, str, str]]]


class Verdict:
    """What a call of the demo has to show: both legs answered, each phone hears the other's tone."""

    def __init__(self, phones: Mapping[str, int]) -> None:
        """`phones` are the tones in hertz that the two users' phones play."""
        self._phones = dict(phones)
        self.answered: set[str] = set()
        self.heard: set[str] = set()
        self.both_heard = asyncio.Event()

    def other(self, user: str) -> str:
        """Return the other phone's user."""
        return next(name for name in self._phones if name != user)

    def hear(self, user: str, tones_hz: tuple[float, ...]) -> bool:
        """Take the tones that the phone of `user` measured; return whether the other phone's is among them."""
        wanted = self._phones[self.other(user)]
        found = any(abs(tone - wanted) <= TOLERANCE_HZ for tone in tones_hz)
        if found:
            self.heard.add(user)
            if len(self.heard) == len(self._phones):
                self.both_heard.set()
        return found

    def missing(self) -> list[str]:
        """Return what has not happened, in words."""
        legs = [leg for leg in ("origination", "termination") if leg not in self.answered]
        deaf = [user for user in self._phones if user not in self.heard]
        return [
            *(f"the {leg} was not answered" for leg in legs),
            *(f"{user} did not hear {self.other(user)} ({self._phones[self.other(user)]} Hz)" for user in deaf),
        ]


class Story:
    """Follows one call from its POST to its CDR and writes it; `run` returns when it is told to the end."""

    def __init__(
        self,
        terminal: Terminal,
        api: ApiClient,
        *,
        domain: str,
        user: str,
        call_id: str,
        posted_at: float | None,
        verdict: Verdict,
    ) -> None:
        """`posted_at` in epoch seconds is when the client sent the request; None: not known, the API's time serves."""
        self.call_id = call_id
        self.verdict = verdict
        self.joined = asyncio.Event()
        self._terminal = terminal
        self._api = api
        self._owner = (domain, user)
        self._started_at = posted_at
        self._waiting: list[Entry] = []
        self._serial = 0
        self._seen: set[tuple[str, str]] = set()
        self._legs: dict[str, str] = {}

    def add(self, at: float, *, leg: str = "", step: str, detail: str = "") -> None:
        """Tell something that the demo itself did."""
        self._push(at, lambda: (leg, step, detail))

    def phone_event(self, user: str, event: PhoneEvent, *, is_other: bool) -> None:
        """Tell what the phone of `user` noticed; `is_other`: the stream is what the other phone sends."""
        other = self.verdict.other(user)
        told: tuple[str, str] | None = None
        match event.kind:
            case PhoneEventKind.FIRST_AUDIO:
                source = other if is_other else RINGBACK
                told = ("first audio", f"{user} hears {source}")
            case PhoneEventKind.TONE:
                is_tone = self.verdict.hear(user, event.tones_hz)
                told = ("tone", f"{user} {event.detail}" + (f": the tone of {other}" if is_tone else ""))
            case PhoneEventKind.HANGING_UP:
                told = (event.detail, f"sent by {user}")
            case PhoneEventKind.ENDED if event.detail.startswith("BYE received"):
                told = ("BYE", f"received by {user}")
            case _:
                return
        step, detail = told
        self._push(event.at, lambda: (self._legs.get(event.sip_call_id, ""), step, detail))

    async def run(self) -> None:
        """Follow the call to its CDR, and write it.

        Raises:
            ApiError: the API does not answer.
        """
        writer = asyncio.get_running_loop().create_task(self._write_on())
        try:
            await self._follow()
            await asyncio.sleep(HOLD_S)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            self._write_until(time.time())

    async def _follow(self) -> None:
        while True:
            ladder = await self._read()
            if ladder is not None:
                await self._take(ladder)
                if ladder.release_cause is not None:
                    break
            await asyncio.sleep(POLL_S)
        await self._read_cdr()

    async def _read(self) -> Ladder | None:
        try:
            return await self._api.ladder(*self._owner, self.call_id)
        except ApiError as error:
            if error.status == 404:  # accepted, and not yet in the local copy
                return None
            raise

    async def _take(self, ladder: Ladder) -> None:
        new = [rung for rung in ladder.steps if (rung.step, rung.leg_id) not in self._seen]
        if not new:
            return
        if any(rung.leg_id for rung in new):
            call = await self._api.call(*self._owner, self.call_id)
            self._legs |= {leg.sip_call_id: leg.leg for leg in call.call_legs}
        requested_at = datetime.fromisoformat(ladder.steps[0].at).timestamp()
        if self._started_at is None:
            self._started_at = requested_at
        for rung in new:
            self._seen.add((rung.step, rung.leg_id))
            at = max(requested_at, self._started_at) + rung.ms / 1000
            self.add(at, leg=rung.leg, step=word_of(rung), detail=rung.detail)
            if rung.step == "answered":
                self.verdict.answered.add(rung.leg)
            if rung.step == "joined":
                self.joined.set()

    async def _read_cdr(self) -> None:
        deadline = time.monotonic() + CDR_WITHIN_S
        cdr: CdrResource | None = None
        while cdr is None:
            try:
                cdr = await self._api.cdr(*self._owner, self.call_id)
            except ApiError as error:
                if error.status != 404 or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_S)
        talked, total = cdr.call_talking_duration_seconds, cdr.call_total_duration_seconds
        detail = f"{cdr.call_disconnect_reason_text}, {cdr.release_cause}, {total} s, of which {talked} s joined"
        self.add(time.time(), step="CDR", detail=detail)

    def _push(self, at: float, told: Callable[[], tuple[str, str, str]]) -> None:
        self._serial += 1
        heapq.heappush(self._waiting, (at, self._serial, told))

    async def _write_on(self) -> None:
        while True:
            self._write_until(time.time() - HOLD_S)
            await asyncio.sleep(POLL_S)

    def _write_until(self, until: float) -> None:
        if self._started_at is None:
            return
        while self._waiting and self._waiting[0][0] <= until:
            at, _, told = heapq.heappop(self._waiting)
            leg, step, detail = told()
            self._head()
            write_step(self._terminal, (at - self._started_at) * 1000, leg=leg, step=step, detail=detail)

    def _head(self) -> None:
        """Say which call the next line is of, where the last line was of another."""
        if self._terminal.topic != self.call_id:
            self._terminal.topic = self.call_id
            self._terminal.line()
            self._terminal.line(f"call-id {self.call_id}", Style.BOLD)
            self._terminal.line(HEADING, Style.DIM)
