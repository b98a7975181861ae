"""Live calls kept up to date over the API's event stream; while there is none, by reading the list now and then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from ringbridge.cli.client import ApiClient, ApiError
from ringbridge.cli.lists import places_of, read_list, widest
from ringbridge.cli.live_calls import LiveCalls
from ringbridge.cli.server_events import EventReader, ServerEvent
from ringbridge.cli.tables import Item, text_of

EVENTS: Final = "/ringbridge/v1/events"
SILENCE_S: Final = 60.0
"""Four heartbeats: a line that is silent for longer is dead, whatever the network says."""
DELAYS_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""How long to wait before the stream is opened again, by how often that has failed."""
READ_EVERY_S: Final = 2.0
"""How often the list is read while there is no stream, and at the most where events do not say it all."""
MOST_CALLS: Final = 1000
_FINAL: Final = frozenset({400, 401, 403, 404})
"""Refusals that waiting does not mend."""


class Watch:
    """Live calls, and how they are told."""

    def __init__(self, api: ApiClient, *, domain: str | None, user: str | None) -> None:
        self._api = api
        self._domain = domain
        self._user = user
        self._place = ""
        self._needs_reading = False
        self._last_id = ""
        self._one_reads = asyncio.Lock()
        self.calls = LiveCalls()
        self.state = "connecting"
        """`live`, or why it is not, as people are told it."""
        self.changed = asyncio.Event()
        """Set whenever there is something new to show."""

    async def begin(self) -> None:
        """Read the list once.

        Raises:
            ApiError: it cannot be read.
        """
        self._place = await widest(self._api, places_of("calls", domain=self._domain, user=self._user))
        await self._read()

    async def run(self) -> None:
        """Keep the calls up to date.

        Raises:
            ApiError: the key does not hold any more.
        """
        reading = asyncio.create_task(self._keep_reading())
        following = asyncio.create_task(self._keep_following())
        try:
            done, _ = await asyncio.wait((reading, following), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (reading, following):
                task.cancel()
            await asyncio.gather(reading, following, return_exceptions=True)

    async def _keep_reading(self) -> None:
        while True:
            await asyncio.sleep(READ_EVERY_S)
            if self.state == "live" and not self._needs_reading:
                continue
            try:
                await self._read()
            except ApiError as error:
                if error.status in _FINAL:
                    raise
                self._show(error.message)

    async def _read(self) -> None:
        async with self._one_reads:
            self._needs_reading = False
            self.calls.begin_reading()
            try:
                listed = await read_list(self._api, self._place, limit=MOST_CALLS)
            except BaseException:
                self._needs_reading = True
                self.calls.end_reading(time.monotonic())
                raise
            self.calls.read(listed.items, time.monotonic())
        self.changed.set()

    async def _keep_following(self) -> None:
        failures = 0
        while True:
            why = "the stream has ended"
            try:
                if await self._follow():
                    failures = 0
            except ApiError as error:
                if error.status in {401, 403}:
                    raise
                why = error.message
            failures += 1
            self._show(f"read every {READ_EVERY_S:g} s: {why}")
            await asyncio.sleep(DELAYS_S[min(failures, len(DELAYS_S)) - 1])

    async def _follow(self) -> bool:
        """Take events until the stream ends; return whether it told anything."""
        query: Mapping[str, str | None] = {"domain": self._domain, "user": self._user}
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._last_id} if self._last_id else {})
        given = {name: value for name, value in query.items() if value is not None}
        reader, is_told = EventReader(), False
        async with self._api.stream(EVENTS, query=given, headers=headers, silence_s=SILENCE_S) as answer:
            async for text in answer.aiter_text():
                for event in reader.feed(text):
                    is_told = True
                    await self._take(event)
        return is_told

    async def _take(self, event: ServerEvent) -> None:
        self._last_id = event.id or self._last_id
        told: Item = msgspec.json.decode(event.data, type=Item) if event.data else {}
        match event.event:
            case "ready" | "reset":
                self._show("live")
                if not told.get("resumed"):
                    await self._read()  # opened first, read then: nothing falls between the two
            case "call":
                if self.calls.tell(told, time.monotonic()):
                    self._needs_reading = True
                self.changed.set()
            case "end":
                self._show(text_of(told, "message"))
            case _:
                pass

    def _show(self, state: str) -> None:
        self.state = state
        self.changed.set()
