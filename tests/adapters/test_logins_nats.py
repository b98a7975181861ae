"""Logins on a real bus: what one node has just told is good on every node, however late its copy is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.adapters.replica.replica import Replica
from ringbridge.calls.access.accounts import Accounts, make_accounts
from ringbridge.calls.access.logins import Grant
from ringbridge.calls.access.passwords import Passwords
from ringbridge.main import random_part
from ringbridge.model.directory import Domain, User
from tests.adapters.bus_calls import TestClock

PASSWORD = "correct horse battery"
LATE_S = 0.3
"""How old the copies of the nodes are: far older than a login takes."""
ROUNDS = 40


@asynccontextmanager
async def node(url: str, name: str) -> AsyncIterator[tuple[Accounts, NatsBus, Replica]]:
    clock = TestClock()
    store = MemoryStore(clock)
    passwords = Passwords(memory_kib=64, passes=1)
    async with NatsBus(BusSettings((url,), name)) as bus:
        replica = Replica(bus.feed, store, clock=clock, commit_pause_s=LATE_S)
        await replica.start()
        task = asyncio.create_task(replica.run())
        try:
            yield (
                make_accounts(store=store, bus=bus, clock=clock, random_part=random_part, passwords=passwords),
                bus,
                replica,
            )
        finally:
            task.cancel()
            await asyncio.wait([task])
            passwords.close()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[tuple[Accounts, Accounts]]:
    """Two nodes on one bus, on which nobody has logged in yet."""
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    url = await server.start()
    try:
        async with AsyncExitStack() as stack:
            here, bus, copy = await stack.enter_async_context(node(url, "n1"))
            there, _, other_copy = await stack.enter_async_context(node(url, "n2"))
            await bus.put_record(Domain("demo"))
            await bus.put_record(User("demo", "1001"))
            last = await here.credentials.set_password("demo", "1001", PASSWORD)
            for replica in (copy, other_copy):
                assert await replica.wait_directory(last, timeout_s=5)
            yield here, there
    finally:
        await server.stop()


def by_password() -> Grant:
    return Grant(
        grant_type="password", client_id="ringbridge", client_secret="", username="1001@demo", password=PASSWORD
    )


def by_refresh(refresh_token: str) -> Grant:
    return Grant(grant_type="refresh_token", client_id="ringbridge", client_secret="", refresh_token=refresh_token)


async def test_a_login_is_refreshed_and_used_at_once_on_either_node(nodes: tuple[Accounts, Accounts]) -> None:
    for number in range(ROUNDS):
        here, there = nodes if number % 2 else reversed(nodes)
        login = await here.logins.login(by_password(), address="192.0.2.1", refreshable=True)
        assert await there.tokens.principal(login.token) is not None
        for asked in (here, there, there):
            login = await asked.logins.login(by_refresh(login.refresh_token), address="192.0.2.1", refreshable=True)
            for one in nodes:
                assert await one.tokens.principal(login.token) is not None


async def test_the_first_logins_of_a_cluster_at_once_are_all_good(nodes: tuple[Accounts, Accounts]) -> None:
    """All of them need the signing key, and one of them makes it."""
    asked = [
        nodes[number % 2].logins.login(by_password(), address=f"192.0.2.{number}", refreshable=True)
        for number in range(16)
    ]
    for login in await asyncio.gather(*asked):
        for one in nodes:
            assert await one.tokens.principal(login.token) is not None
            again = await one.logins.login(by_refresh(login.refresh_token), address="192.0.2.1", refreshable=True)
            assert await one.tokens.principal(again.token) is not None
