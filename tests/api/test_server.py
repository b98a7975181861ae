"""The HTTP server inside the program's loop: real sockets on loopback."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path

import httpx
import pytest

from ringbridge.api.http.server import ApiServer
from ringbridge.api.parts import ApiSettings
from tests.api.world import CALLS, World, order, running_world


async def test_it_serves_on_a_free_port_and_stops_within_a_second_with_open_connections(world: World) -> None:
    handler = signal.getsignal(signal.SIGINT)
    server = ApiServer(world.app, port=0)
    await server.start()
    assert signal.getsignal(signal.SIGINT) is handler
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {world.user_key}"}) as client:
        assert (await client.post(CALLS, json=order(synchronous="yes"))).status_code == 200
        assert (await client.get(CALLS.replace("/1001/", "//"))).json()[0]["call-id"] == "click-1"
        started = time.monotonic()
        await server.stop()
        assert time.monotonic() - started < 1.0
    await server.stop()
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))


async def test_an_address_in_use_is_said(world: World) -> None:
    server = ApiServer(world.app, port=0)
    await server.start()
    with pytest.raises(OSError, match=r"in use"):
        await ApiServer(world.app, port=int(server.url.rpartition(":")[2])).start()
    await server.stop()


def test_a_certificate_that_is_none_is_named(world: World, tmp_path: Path) -> None:
    wrong = tmp_path / "certificate.pem"
    wrong.write_text("nothing of the kind")
    with pytest.raises(OSError, match=r"certificate\.pem"):
        ApiServer(world.app, port=0, certificate=wrong)


async def test_a_large_body_is_answered_whatever_way_it_comes(world: World) -> None:
    server = ApiServer(world.app, port=0)
    await server.start()
    large = json.dumps(order() | {"junk": "x" * 200_000}).encode()
    head = f"POST {CALLS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {world.user_key}\r\n".encode()
    for framing in (
        f"Content-Length: {len(large)}\r\n\r\n".encode() + large,
        b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(head + framing)
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()
    await server.stop()
    assert world.writes == 0


@pytest.mark.parametrize("sent", [b"", b"{"])
async def test_a_body_that_dribbles_in_is_cut_off(sent: bytes) -> None:
    async with running_world(ApiSettings(body_deadline_s=0.1)) as world:
        server = ApiServer(world.app, port=0)
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        head = f"POST {CALLS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {world.user_key}\r\n"
        writer.write(head.encode() + b"Content-Length: 100\r\n\r\n" + sent)
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()
        await server.stop()
