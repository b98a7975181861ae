"""An answer that is made while it is sent: in chunks, for as long as somebody takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from ringbridge.adapters.store.batch import StoreBatch
from ringbridge.api.cdrs import cdrs as cdrs_module
from ringbridge.api.http.server import ApiServer
from ringbridge.api.http.streamed import StreamedAnswer
from tests.adapters.bus_calls import until
from tests.adapters.cdr_samples import cdr
from tests.api.world import World


class Client:
    """What an ASGI server hands to an application, with a client that can go away or stop reading."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.sent.append(dict(message))

    async def take(self, answer: StreamedAnswer) -> None:
        await answer(cast("Any", {}), self.receive, self.send)


async def endless(made: list[int]) -> AsyncIterator[bytes]:
    while True:
        made.append(len(made))
        yield b"x"
        await asyncio.sleep(0)


async def test_chunks_are_sent_one_by_one_and_then_an_end() -> None:
    async def two() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    client = Client()
    await client.take(StreamedAnswer(two(), content_type=b"text/csv"))
    start, *rest = client.sent
    assert (b"content-type", b"text/csv") in start["headers"]
    assert [(one["body"], one["more_body"]) for one in rest] == [(b"a", True), (b"b", True), (b"", False)]


async def test_nothing_more_is_made_for_a_client_that_is_gone() -> None:
    client, made = Client(), list[int]()
    taking = asyncio.create_task(client.take(StreamedAnswer(endless(made), content_type=b"text/csv")))
    await until(lambda: len(made) > 3)
    client.gone.set()
    await asyncio.wait_for(taking, 2)
    assert client.sent[-1]["more_body"], "an export that was cut does not look whole"


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    client, made = Client(), list[int]()
    answer = StreamedAnswer(endless(made), content_type=b"text/csv", send_s=0.02)
    taking = asyncio.create_task(client.take(answer))
    await until(lambda: len(made) > 3)
    client.reads.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(taking, 2)


async def test_an_export_that_breaks_in_the_middle_does_not_look_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a real socket: the connection is cut before the body's end."""
    monkeypatch.setattr(cdrs_module, "AT_ONCE", 1)
    now = world.clock.now()
    await world.store.apply(StoreBatch(cdrs=[cdr(f"{number}", started_at=now - number) for number in range(9)]))
    server = ApiServer(world.app, port=0)
    await server.start()
    headers = {"authorization": f"Bearer {world.manager_key}", "accept": "text/csv"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        whole = await client.get("/ns-api/v2/domains/demo/cdrs")
        assert whole.text.count("\r\n") == 10
        async with client.stream("GET", "/ns-api/v2/domains/demo/cdrs") as answer:
            assert answer.status_code == 200
            monkeypatch.setattr(cdrs_module, "csv_text", None)
            with pytest.raises(httpx.RemoteProtocolError):
                await answer.aread()
    await server.stop()
