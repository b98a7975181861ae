"""A subscription ends with the key or login that made it, and waits while its maker's account is not active."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from ringbridge.adapters.memory.bus import MemoryHub
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.webhooks import webhooks
from ringbridge.model.accounts import Credential, Revocation
from ringbridge.model.actors import Actor
from ringbridge.model.directory import ApiKey, Subscription, User
from tests.adapters.bus_calls import DOMAIN
from tests.adapters.receiver import Receiver, receiving
from tests.adapters.webhook_node import STATES, Node, delivering, states

KEY = ApiKey(key_id="k" * 12, key_sha256="x", description="of a test", domain=DOMAIN)
BY_KEY: dict[str, Any] = {"actors": (Actor(sub=DOMAIN, key_id=KEY.key_id),)}
BY_LOGIN: dict[str, Any] = {"actors": (Actor(sub=f"1001@{DOMAIN}", jti="j1", sid="s1"),)}


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TICK_S", 0.02)


async def stored(node: Node, name: str) -> Subscription:
    one = await node.store.subscription(name)
    assert one is not None
    return one


async def why_ended(node: Node, name: str = "s1") -> str:
    """Return why a subscription is over, once it is."""
    async with asyncio.timeout(10):
        while not (one := await stored(node, name)).ended:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    return one.ended


async def tells_no_more(node: Node, receiver: Receiver) -> None:
    """Check that a call from now on is told to nobody but those whose subscription is `other`."""
    await receiver.wait(lambda: node.webhooks.held == {"other"})
    await node.calls.whole("late")
    await receiver.wait(lambda: states(receiver.events("late")) == STATES)
    assert not [got for got in receiver.got if got.path == "/hook/s1" and got.events[0]["call-id"] == "late"]


@pytest.mark.parametrize("legacy", [False, True])
async def test_it_ends_when_the_key_that_made_it_is_revoked(*, legacy: bool) -> None:
    async with receiving() as receiver, delivering() as node:
        await node.bus.put_record(KEY)
        behind: dict[str, Any] = {"holder_domain": DOMAIN, "holder_key_id": KEY.key_id} if legacy else dict(BY_KEY)
        await node.subscribe(f"{receiver.url}/s1", **behind)
        await node.subscribe(f"{receiver.url}/other", "other")
        await node.calls.begin("c1")
        await receiver.wait(lambda: len(receiver.got) == 2)
        await node.bus.delete_record("apikey", KEY.key)
        assert await why_ended(node) == "the API key was revoked"
        await tells_no_more(node, receiver)


async def test_it_ends_when_the_key_that_made_it_expires() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.bus.put_record(msgspec.structs.replace(KEY, expires_at=node.clock.now() + 60))
        await node.subscribe(f"{receiver.url}/s1", **BY_KEY)
        await node.subscribe(f"{receiver.url}/other", "other")
        await receiver.wait(lambda: len(node.webhooks.held) == 2)
        node.clock.ahead += 61
        assert await why_ended(node) == "the API key has expired"
        await tells_no_more(node, receiver)


async def test_it_ends_with_the_login_that_made_it() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.subscribe(f"{receiver.url}/s1", **BY_LOGIN)
        await node.subscribe(f"{receiver.url}/by-password", "password", **BY_LOGIN)
        await node.subscribe(f"{receiver.url}/other", "other")
        await receiver.wait(lambda: len(node.webhooks.held) == 3)
        await node.bus.put_record(Revocation(name="s1", reach=DOMAIN, expires_at=9e9))
        assert await why_ended(node) == "the token or its login was revoked"
        await node.bus.put_record(Credential(domain=DOMAIN, user="1001", epoch=1))
        await node.bus.delete_record("revocation", ("s1", DOMAIN))
        await receiver.wait(lambda: node.webhooks.held == {"other"})
        assert (await stored(node, "s1")).ended == "the token or its login was revoked", "what is over stays over"


async def test_it_ends_when_the_manager_who_made_it_for_the_domain_goes() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.bus.put_record(User(DOMAIN, "1009"))
        await node.subscribe(receiver.url, actors=(Actor(sub=f"1009@{DOMAIN}"),))
        await receiver.wait(lambda: node.webhooks.held)
        await node.bus.delete_record("user", (DOMAIN, "1009"))
        assert await why_ended(node) == "the user is gone"


async def test_it_waits_while_its_maker_s_account_is_not_active() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.subscribe(receiver.url, **BY_LOGIN)
        await node.calls.begin("c1")
        await receiver.wait(lambda: len(receiver.got) == 1)
        await node.bus.put_record(User(DOMAIN, "1001", account_status="reset"))
        await receiver.wait(lambda: not node.webhooks.held)
        told = len(receiver.got)
        for _ in range(6):
            await node.calls.step("c1")
        await asyncio.sleep(0.1)
        assert len(receiver.got) == told
        assert (await stored(node, "s1")).ended == ""
        await node.bus.put_record(User(DOMAIN, "1001"))
        await receiver.wait(lambda: states(receiver.events("c1")) == STATES)


async def test_what_a_copy_does_not_have_yet_ends_nothing() -> None:
    """A copy that is made again gets records in the order of their last change: the key may come behind."""
    async with receiving() as receiver, delivering() as node:
        await node.bus.put_record(KEY)
        await node.subscribe(receiver.url, **BY_KEY)
        await receiver.wait(lambda: node.webhooks.held)
        known = node.store._records["apikey"].pop(KEY.key)
        await receiver.wait(lambda: not node.webhooks.held)
        await asyncio.sleep(0.1)
        assert (await stored(node, "s1")).ended == ""
        node.store.put(known)
        await node.calls.whole("c1")
        await receiver.wait(lambda: states(receiver.events("c1")) == STATES)


async def test_one_that_is_taken_over_goes_on_where_it_stood() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.bus.put_record(KEY)
        one = await node.subscribe(receiver.url, **BY_KEY)
        await node.calls.begin("c1")
        await receiver.wait(lambda: len(receiver.got) == 1)
        await node.bus.delete_record("apikey", KEY.key)
        await why_ended(node)
        await receiver.wait(lambda: not node.webhooks.held)
        for _ in range(6):
            await node.calls.step("c1")
        await node.bus.put_record(msgspec.structs.replace(one, restarts=1, actors=(Actor(sub=f"1002@{DOMAIN}"),)))
        await receiver.wait(lambda: states(receiver.events("c1")) == STATES)


async def test_of_two_nodes_one_says_that_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "DEAD_AFTER_S", 5.0)
    hub = MemoryHub()
    async with receiving() as receiver, delivering(hub, "a") as one, delivering(hub, "b") as two:
        await one.bus.put_record(KEY)
        for number in range(6):
            await one.subscribe(receiver.url, f"s{number}", **BY_KEY)
        await receiver.wait(lambda: len(one.webhooks.held | two.webhooks.held) == 6)
        await one.bus.delete_record("apikey", KEY.key)
        for number in range(6):
            await why_ended(one, f"s{number}")
        await asyncio.sleep(0.1)
        entries = hub.streams[Stream.DIRECTORY].entries
        writes = [entry for entry in entries if entry.subject.startswith("$KV.directory.subscription.")]
        assert len(writes) == 12, "each was made, and ended once"
