"""Bounds that hold for every operation: size, depth, time, and the request id in what is logged."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
import structlog
from litestar.types import Receive, Scope, Send
from prometheus_client import CollectorRegistry

from ringbridge import logs
from ringbridge.api.http.answers import json_answer
from ringbridge.api.http.edge import Edge
from ringbridge.api.http.metrics import HttpMetrics
from ringbridge.api.http.protocol import HEAD_LIMIT_BYTES
from ringbridge.api.http.server import ApiServer
from ringbridge.config import LogConfig, LogFormat
from tests.api.walk import path_of
from tests.api.world import CALLS, World

DEEP = b'{"call-id": ' + b"[" * 25 + b"]" * 25 + b"}"
LARGE = json.dumps({"junk": "x" * 70_000}).encode()
BEFORE_THE_BODY = {403, 404, 409}
"""What an operation may find wrong with its path and token before it reads a body."""


async def test_no_operation_takes_a_body_that_is_too_deep_or_too_large(world: World) -> None:
    seen: dict[bytes, set[int]] = {DEEP: set(), LARGE: set()}
    async with world.client(world.super_key) as client:
        for operation in world.operations:
            if operation.body is None:
                continue
            for body, refused in ((DEEP, 400), (LARGE, 413)):
                if body is LARGE and operation.name == "apply-directory":
                    continue  # documents may be larger, and are walked by their own tests
                path = path_of(operation, domain="demo", user="1001")
                headers = {"content-type": "application/json"}
                answer = await client.request(operation.method, path, content=body, headers=headers)
                assert answer.status_code in {refused, *BEFORE_THE_BODY}, (operation.name, answer.text)
                seen[body].add(answer.status_code)
    assert 400 in seen[DEEP]
    assert 413 in seen[LARGE]


@asynccontextmanager
async def connected(world: World, head_deadline_s: float) -> AsyncIterator[tuple[Any, Any, str]]:
    server = ApiServer(world.app, port=0, head_deadline_s=head_deadline_s)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        yield reader, writer, server.url
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        await server.stop()


async def answered_and_closed(reader: asyncio.StreamReader) -> bytes:
    """Return the head of the answer once the connection is closed; by a reset, where more was sent than was read."""
    head = await reader.readuntil(b"\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        await reader.read()
    return head


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_a_head_that_does_not_end_is_cut_off_however_it_dribbles(world: World, sent: bytes) -> None:
    async with connected(world, 0.2) as (reader, writer, _):

        async def dribble() -> None:
            writer.write(sent)
            while sent:
                writer.write(b"a")
                await asyncio.sleep(0.02)

        dribbling = asyncio.create_task(dribble())
        answer = await asyncio.wait_for(answered_and_closed(reader), 5)
        dribbling.cancel()
        await asyncio.wait([dribbling])
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_head_without_end_is_not_kept(world: World) -> None:
    async with connected(world, 5.0) as (reader, writer, _):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X-More: abcdefgh\r\n" * (HEAD_LIMIT_BYTES // 16))
        assert (await asyncio.wait_for(answered_and_closed(reader), 5)).startswith(b"HTTP/1.1 431 ")


async def test_a_kept_connection_has_its_time_for_each_head(world: World) -> None:
    async with connected(world, 0.3) as (_, _, url), httpx.AsyncClient(base_url=url) as client:
        for _ in range(3):
            assert (await client.get("/healthz")).status_code == 200
            await asyncio.sleep(0.2)


async def test_what_is_logged_while_a_request_is_answered_names_it() -> None:
    stream = io.StringIO()
    logs.set_up(LogConfig(format=LogFormat.JSON), stream)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def work() -> None:
            structlog.get_logger().info("worked")

        await asyncio.create_task(work())
        if scope["path"] == "/bug":
            raise ValueError("a bug")
        await json_answer({})(scope, receive, send)

    asgi = cast("Any", app)
    edge = Edge(asgi, HttpMetrics(CollectorRegistry()), sockets=asgi)
    transport: Any = httpx.ASGITransport(cast("Any", edge))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://ringbridge.test") as client:
            await client.get("/", headers={"x-request-id": "ticket-4711"})
            answer = await client.get("/bug", headers={"x-request-id": "ticket-4712"})
        structlog.get_logger().info("later")
    finally:
        structlog.reset_defaults()
    assert answer.json()["request-id"] == "ticket-4712"
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [(line["event"], line.get("request_id")) for line in lines]
    assert told == [
        ("worked", "ticket-4711"),
        ("worked", "ticket-4712"),
        ("request_failed", "ticket-4712"),
        ("later", None),
    ]


async def test_calls_are_still_made_over_the_bounded_protocol(world: World) -> None:
    async with connected(world, 1.0) as (_, _, url), httpx.AsyncClient(base_url=url) as client:
        answer = await client.get(CALLS, headers={"authorization": f"Bearer {world.user_key}"})
        assert answer.status_code == 200
