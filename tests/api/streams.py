"""Clients of live event streams, over real sockets: what `api.events.streams` and `api.events.sockets` tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

EVENTS = "/ringbridge/v1/events"


@dataclass
class Told:
    """One event as a client of either kind reads it."""

    event: str
    id: str
    data: Any


async def read_events(lines: AsyncIterator[str]) -> AsyncGenerator[Told, None]:
    """Read server-sent events as HTML §9.2.6 has it; a block without data is a heartbeat."""
    event, last_id, data = "", "", ""
    async for line in lines:
        field, _, value = line.partition(": ")
        match field:
            case "event":
                event = value
            case "id":
                last_id = value
            case "data":
                data = value
            case "" if not line and last_id:
                yield Told(event or "heartbeat", last_id, json.loads(data) if data else None)
                event, data = "", ""
            case _:
                continue


class Stream:
    """An open stream: what comes next, each within five seconds."""

    def __init__(self, told: AsyncGenerator[Told, None], answer: httpx.Response) -> None:
        self._told = told
        self.answer = answer
        self.last_id = ""

    async def next(self) -> Told:
        """Return what is told next.

        Raises:
            StopAsyncIteration: the stream is over.
        """
        async with asyncio.timeout(5):
            told = await anext(self._told)
        self.last_id = told.id
        return told

    async def of(self, event: str) -> Told:
        """Return the next event of a kind; others are passed over."""
        while (told := await self.next()).event != event:
            pass
        return told

    async def state(self, *, call: str, state: str) -> Told:
        """Return the event that tells that a call has come to a state."""
        while True:
            told = await self.of("call")
            if (told.data["call-id"], told.data["call-state"]) == (call, state):
                return told

    async def rest(self) -> list[Told]:
        """Return what is told until the stream ends."""
        found: list[Told] = []
        try:
            while True:
                found.append(await self.next())
        except StopAsyncIteration:
            return found


@asynccontextmanager
async def follow(url: str, key: str, *, last_event_id: str = "", **query: str) -> AsyncIterator[Stream]:
    """Follow a server's events; `_` in names of the query is `-`."""
    sent = {"Authorization": f"Bearer {key}"}
    if last_event_id:
        sent["Last-Event-ID"] = last_event_id
    params = {name.replace("_", "-"): value for name, value in query.items()}
    async with (
        httpx.AsyncClient(base_url=url, headers=sent, timeout=5, trust_env=False) as client,
        client.stream("GET", EVENTS, params=params) as answer,
        aclosing(read_events(answer.aiter_lines())) as told,
    ):
        if answer.status_code != 200:
            await answer.aread()
        yield Stream(told, answer)
