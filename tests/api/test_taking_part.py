"""A user's calls are those that they made and those that they take part in: lists, reads and orders by permission."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ringbridge.adapters.memory.phones import RINGS, MemoryPhones
from ringbridge.model.call import CallState
from tests.api.test_call_control import connected, in_state, phones, with_a_phone
from tests.api.world import CALLS, World, order

__all__ = ["phones"]

OF_1002 = CALLS.replace("1001", "1002")
OF_1003 = CALLS.replace("1001", "1003")
ONE = f"{CALLS}/click-1"


@pytest.fixture
async def called(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of 1002, whom 1001 calls."""
    async with world.client(world.other_user_key) as client:
        yield client


@pytest.fixture
async def third(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of 1003."""
    async with world.client(world.add_key("demo", "1003", "Basic User")) as client:
        yield client


async def listed(client: httpx.AsyncClient, path: str) -> list[str]:
    """Return the calls of a list, which agrees with its count."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    names = [call["call-id"] for call in answer.json()]
    assert (await client.get(f"{path}/count")).json() == {"total": len(names)}
    assert answer.headers["x-total-count"] == str(len(names))
    return names


async def comes_to(client: httpx.AsyncClient, path: str, field: str, value: object) -> None:
    """Return once a GET shows a field so."""
    async with asyncio.timeout(5):
        while True:
            if (await client.get(path)).json()[field] == value:
                return
            await asyncio.sleep(0.005)


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def transferred(world: World, client: httpx.AsyncClient, call_id: str = "click-1") -> None:
    """Let 1003 take the place of 1001, who made the call."""
    with_a_phone(world, "1003")
    assert (await client.patch(f"{CALLS}/{call_id}/transfer", json={"call-term-user": "1003"})).status_code == 202
    await comes_to(client, f"{CALLS}/{call_id}", "call-orig-user", "1002")


async def test_a_call_is_in_the_lists_of_its_maker_and_of_whoever_is_called(
    world: World, client: httpx.AsyncClient, called: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    assert await listed(called, OF_1002) == []
    await connected(world, client)
    assert await listed(client, CALLS) == await listed(called, OF_1002) == ["click-1"]
    found: dict[str, Any] = (await called.get(f"{OF_1002}/click-1")).json()
    assert (found["call-orig-user"], found["call-term-user"]) == ("1001", "1002")
    async with world.client(world.manager_key) as manager:
        users = "/ns-api/v2/domains/demo/users"
        assert (await manager.get(f"{users}/1002")).json()["active-calls-total-current"] == 1
        assert await listed(manager, "/ns-api/v2/domains/demo/calls") == ["click-1"]
    phones.busy()[0].hang_up()
    await in_state(world, CallState.ENDED)
    assert await listed(called, OF_1002) == []
    for path in ("click-1", "click-1/ladder", "click-1/cdr"):
        assert (await called.get(f"{OF_1002}/{path}")).status_code == 200, "who was in it may read of it"


@pytest.mark.usefixtures("phones")
async def test_whoever_was_not_rung_knows_of_no_call(
    world: World, client: httpx.AsyncClient, called: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    phones.scripts["1001_desk"] = RINGS
    await client.post(CALLS, json=order())
    await in_state(world, CallState.ORIG_RINGING)
    assert await listed(called, OF_1002) == []
    for answer in (await called.get(f"{OF_1002}/click-1"), await called.delete(f"{OF_1002}/click-1")):
        assert refused(answer) == (404, "no-such-call")


async def test_whoever_is_called_holds_with_their_own_leg_alone(
    world: World, client: httpx.AsyncClient, called: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    await connected(world, client)
    assert (await called.patch(f"{OF_1002}/click-1/hold")).status_code == 202
    await in_state(world, CallState.HELD)
    flows = {leg["user"]: leg["flow"] for leg in (await called.get(f"{OF_1002}/click-1")).json()["call-legs"]}
    assert flows == {"1001": "music", "1002": "silent"}
    assert refused(await client.patch(f"{ONE}/unhold")) == (409, "held-by-other-party")
    leg = phones.of("session-1", "o1").sip_call_id
    for verb in ("unhold", "transfer"):
        answer = await called.patch(f"{OF_1002}/{leg}/{verb}", json={"call-term-user": "1003"})
        assert refused(answer) == (403, "not-your-leg")
    assert (await called.patch(f"{OF_1002}/click-1/unhold")).status_code == 202


async def test_whoever_is_called_transfers_and_is_out_of_it(
    world: World,
    client: httpx.AsyncClient,
    called: httpx.AsyncClient,
    third: httpx.AsyncClient,
    phones: MemoryPhones,
) -> None:
    with_a_phone(world, "1003")
    await connected(world, client)
    answer = await called.patch(f"{OF_1002}/click-1/transfer", json={"call-term-user": "1003"})
    assert answer.status_code == 202
    await comes_to(called, f"{OF_1002}/count", "total", 0)
    assert await listed(third, OF_1003) == await listed(client, CALLS) == ["click-1"]
    assert sorted(phone.order.target.user for phone in phones.busy()) == ["1001", "1003"]
    for answer in (await called.patch(f"{OF_1002}/click-1/hold"), await called.delete(f"{OF_1002}/click-1")):
        assert refused(answer) == (409, "party-left")
    assert (await called.get(f"{OF_1002}/click-1")).status_code == 200
    assert (await third.delete(f"{OF_1003}/click-1")).status_code == 202
    await in_state(world, CallState.ENDED)
    assert phones.busy() == []
    assert (await called.delete(f"{OF_1002}/click-1")).status_code == 202, "what is over is over: safe to repeat"


async def test_the_maker_of_a_call_rules_over_it_after_a_transfer(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    """Whoever made it holds it, takes it back and ends it, for the side that was theirs."""
    await connected(world, client)
    await transferred(world, client)
    assert await listed(client, CALLS) == ["click-1"]
    assert (await client.patch(f"{ONE}/hold")).status_code == 202
    await in_state(world, CallState.HELD)
    assert (await client.patch(f"{ONE}/unhold")).status_code == 202
    await in_state(world, CallState.CONNECTED)
    assert (await client.patch(f"{ONE}/transfer", json={"call-term-user": "1001"})).status_code == 202
    await comes_to(client, ONE, "call-term-user", "1001")
    assert sorted(phone.order.target.user for phone in phones.busy()) == ["1001", "1002"]
    assert (await client.delete(ONE)).status_code == 202
    await in_state(world, CallState.ENDED)
    assert phones.busy() == []


async def test_whoever_is_only_being_rung_refuses_and_ends_nothing(
    world: World, client: httpx.AsyncClient, third: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    with_a_phone(world, "1003")
    phones.scripts["1003_desk"] = RINGS
    await connected(world, client)
    assert (await client.patch(f"{ONE}/transfer", json={"call-term-user": "1003"})).status_code == 202
    await comes_to(third, f"{OF_1003}/count", "total", 1)
    assert (await third.delete(f"{OF_1003}/click-1")).status_code == 202
    await comes_to(third, f"{OF_1003}/count", "total", 0)
    assert sorted(phone.order.target.user for phone in phones.busy()) == ["1001", "1002"]
    assert (await client.get(ONE)).json()["call-state"] == "connected"


@pytest.mark.usefixtures("phones")
async def test_a_user_s_key_reads_no_other_user_s_list(
    world: World, client: httpx.AsyncClient, called: httpx.AsyncClient
) -> None:
    await connected(world, client)
    assert (await called.get(CALLS)).status_code == 403
    assert (await called.get(ONE)).status_code == 403
