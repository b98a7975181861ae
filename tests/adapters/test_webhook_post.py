"""One POST: exactly the checked address, the name of the URL, nothing of the environment, and nothing without end."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest

from ringbridge.adapters.webhooks import post as webhook_post
from ringbridge.adapters.webhooks.post import Outcome, Poster, PostSettings
from ringbridge.model.access import Network
from tests.adapters.receiver import answer, receiving
from tests.adapters.webhook_node import LOOPBACK, SECRET, RealClock

NAME = "crm.example.com"


async def post(url: str, *, timeout_s: float = 5.0, allowed: tuple[Network, ...] = LOOPBACK) -> Outcome:
    poster = Poster(PostSettings(timeout_s=timeout_s, allowed=allowed), RealClock())
    try:
        return await poster.post(url, "msg_1", b"[]", SECRET)
    finally:
        poster.close()


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the addresses that every name has; empty for none."""
    addresses: list[str] = ["127.0.0.1"]
    monkeypatch.setattr(webhook_post, "addresses_of", lambda _host, _port: list(addresses))
    return addresses


async def test_the_address_that_was_checked_is_connected_to_under_the_url_s_name(resolved: list[str]) -> None:
    async with receiving() as receiver:
        outcome = await post(f"http://{NAME}:{receiver.port}/hook?x=1")
        assert outcome.status == 204
        (got,) = receiver.got
        got.check(SECRET)
        assert got.path == "/hook?x=1"
        assert got.headers["host"] == f"{NAME}:{receiver.port}"
        assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize("second", ["127.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "169.254.169.254"])
async def test_one_forbidden_address_among_many_is_enough_to_refuse(resolved: list[str], second: str) -> None:
    resolved[:] = ["127.0.0.9", second]
    async with receiving() as receiver:
        outcome = await post(f"http://{NAME}:{receiver.port}/", allowed=(ip_network("127.0.0.9/32"),))
        assert outcome.status == 0
        assert "leads to an address that is not allowed" in outcome.error
        assert second not in outcome.error, "what a name of the inside leads to is nothing for a tenant"
        assert receiver.got == []


async def test_every_attempt_resolves_anew(resolved: list[str]) -> None:
    async with receiving() as receiver:
        url = f"http://{NAME}:{receiver.port}/"
        assert (await post(url)).is_taken
        resolved[:] = ["192.168.1.1"]
        assert "not allowed" in (await post(url)).error
        assert len(receiver.got) == 1


async def test_the_next_address_is_tried_when_one_does_not_answer(resolved: list[str]) -> None:
    resolved[:] = ["127.0.0.2", "127.0.0.1"]
    async with receiving() as receiver:
        assert (await post(f"http://{NAME}:{receiver.port}/")).is_taken


async def test_a_name_without_address_is_a_failure(resolved: list[str]) -> None:
    resolved.clear()
    assert (await post(f"http://{NAME}/")).error.endswith("has no address")


async def test_a_proxy_of_the_environment_is_not_used(resolved: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, receiving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await post(f"http://{NAME}:{receiver.port}/")).is_taken
        assert proxy.got == []


async def test_tls_asks_for_the_url_s_name(resolved: list[str]) -> None:
    hellos: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hellos.append(await reader.read(2048))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        outcome = await post(f"https://{NAME}:{port}/")
        assert outcome.status == 0
        assert outcome.error
        assert NAME.encode() in hellos[0], "the server name of the ClientHello (RFC 6066 §3)"
    finally:
        server.close()
        await server.wait_closed()


async def test_an_answer_that_is_none_is_a_failure(resolved: list[str]) -> None:
    async with receiving() as receiver:
        receiver.respond = lambda _: b"SSH-2.0-OpenSSH_9.2\r\n"
        outcome = await post(f"http://{NAME}:{receiver.port}/")
        assert (outcome.status, outcome.is_taken) == (0, False)
        assert outcome.error


async def test_an_answer_without_end_is_cut(resolved: list[str]) -> None:
    async with receiving() as receiver:
        receiver.respond = lambda _: answer(200, b"x" * 5_000_000)
        outcome = await post(f"http://{NAME}:{receiver.port}/")
        assert outcome.is_taken
        assert len(outcome.excerpt) == 256


async def test_what_takes_too_long_is_given_up() -> None:
    async with receiving() as receiver:
        receiver.delay_s = 5.0
        outcome = await post(receiver.url, timeout_s=0.1)
        assert outcome.error == "no whole answer within 0.1 s"
        assert outcome.duration_ms < 4000
