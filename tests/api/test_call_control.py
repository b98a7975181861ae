"""Orders to calls over HTTP, carried out by a real owner with virtual phones (contract §3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ringbridge.adapters.memory.engine import MemoryEngine
from ringbridge.adapters.memory.phones import RINGS, MemoryPhones, Phone, Script
from ringbridge.calls import control
from ringbridge.calls.owner import Owner
from ringbridge.model.call import CallState
from ringbridge.model.directory import Connection, DialRule, Location
from ringbridge.model.events import CallClaimed
from ringbridge.model.ids import CallId, DomainName, NodeId
from tests.api.logins import settle
from tests.api.world import CALLS, NODE, World, order

ONE = f"{CALLS}/click-1"


@pytest.fixture
async def phones(world: World) -> AsyncIterator[MemoryPhones]:
    """The phones that an engine of the world rings."""
    phones = MemoryPhones(world.clock)
    engine = MemoryEngine(phones)
    owner = Owner(node=NODE, bus=world.bus, store=world.store, engine=engine, clock=world.clock)
    await owner.start()
    yield phones
    await owner.stop()


def with_a_phone(world: World, user: str) -> None:
    """Register a user's device."""
    world.store.put_location(
        Location(
            domain="demo",
            device=f"{user}_desk",
            contact=f"sip:{user}_desk@127.0.0.1:5070",
            expires_at=world.clock.now() + 1e9,
            peer_host="127.0.0.1",
            peer_port=5070,
        )
    )


async def in_state(world: World, state: CallState, call_id: str = "click-1") -> None:
    """Return once the local copy shows the call in `state`."""
    async with asyncio.timeout(5):
        while True:
            call = await world.store.call(DomainName("demo"), CallId(call_id))
            if call is not None and call.state is state:
                return
            await asyncio.sleep(0.005)


async def connected(world: World, client: httpx.AsyncClient) -> None:
    assert (await client.post(CALLS, json=order())).status_code == 202
    await in_state(world, CallState.CONNECTED)


async def ordered(client: httpx.AsyncClient) -> dict[str, Any]:
    """Return the call once its last order has been carried out, or was not."""
    async with asyncio.timeout(5):
        while True:
            call: dict[str, Any] = (await client.get(ONE)).json()
            if call["call-order"] is not None and call["call-order"]["done-datetime"]:
                return call
            await asyncio.sleep(0.005)


async def test_hold_and_unhold_answer_202_and_show(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    await connected(world, client)
    answer = await client.patch(f"{ONE}/hold")
    assert (answer.status_code, answer.json()) == (202, {"code": 202, "message": "Accepted", "call-id": "click-1"})
    await in_state(world, CallState.HELD)
    call = (await client.get(ONE)).json()
    assert (call["call-state"], call["call-order"]["action"]) == ("held", "hold")
    assert call["call-order"]["by"].startswith("key ")
    assert (await client.patch(f"{ONE}/unhold", json={})).status_code == 202
    await in_state(world, CallState.CONNECTED)
    assert [leg["flow"] for leg in (await client.get(ONE)).json()["call-legs"]] == ["talk", "talk"]
    assert len(phones.busy()) == 2


async def held_with_a_phone_to_be_told(world: World, client: httpx.AsyncClient, phones: MemoryPhones) -> Phone:
    """Hold a call; return the holder's phone, which has not answered its offer yet."""
    phones.scripts["1001_desk"] = Script(offer_status=None)
    await connected(world, client)
    assert (await client.patch(f"{ONE}/hold")).status_code == 202
    await in_state(world, CallState.HELD)
    mine = next(phone for phone in phones.busy() if phone.order.target.device == "1001_desk")
    async with asyncio.timeout(5):
        while True:
            if mine.offers:
                return mine
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("verb", "body"), [("unhold", {}), ("transfer", {"call-term-user": "1003"})])
async def test_whoever_sees_a_call_held_may_give_the_next_order(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones, verb: str, body: dict[str, str]
) -> None:
    with_a_phone(world, "1003")
    mine = await held_with_a_phone_to_be_told(world, client, phones)
    asyncio.get_running_loop().call_later(0.1, mine.answer_offer)
    assert (await client.patch(f"{ONE}/{verb}", json=body)).status_code == 202


async def test_whoever_holds_may_give_the_next_order_before_this_node_sees_the_first(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    phones.scripts["1001_desk"] = phones.scripts["1002_desk"] = Script(offer_status=None)
    await connected(world, client)
    world.feed.hold()
    assert (await client.patch(f"{ONE}/hold")).status_code == 202
    for number, phone in enumerate(phones.busy()):
        asyncio.get_running_loop().call_later(0.1 * (2 - number), phone.answer_offer)
    assert (await client.patch(f"{ONE}/unhold")).status_code == 202
    world.feed.go_on()


async def test_an_order_is_not_waited_for_long(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PAUSES_S", (0.01, 0.01))
    await held_with_a_phone_to_be_told(world, client, phones)
    answer = await client.patch(f"{ONE}/unhold")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "order-under-way")


@pytest.mark.parametrize("verb", ["hold", "unhold"])
@pytest.mark.usefixtures("phones")
async def test_an_unknown_call_is_404(client: httpx.AsyncClient, verb: str) -> None:
    assert (await client.patch(f"{ONE}/{verb}")).status_code == 404
    assert (await client.patch(f"{CALLS}/%0d%0a/{verb}")).status_code == 404


async def test_another_users_call_is_404(world: World, client: httpx.AsyncClient, phones: MemoryPhones) -> None:
    await connected(world, client)
    async with world.client(world.add_key("demo", "1003", "Basic User")) as other:
        answer = await other.patch(f"{CALLS.replace('1001', '1003')}/click-1/hold")
        assert answer.status_code == 404
        assert (await other.patch(f"{ONE}/hold")).status_code == 403
    assert all(phone.offers == [] for phone in phones.busy())


async def test_a_call_that_still_rings_is_409(world: World, client: httpx.AsyncClient, phones: MemoryPhones) -> None:
    phones.default = RINGS
    await client.post(CALLS, json=order())
    await in_state(world, CallState.ORIG_RINGING)
    answer = await client.patch(f"{ONE}/hold")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "call-not-connected")


async def test_a_call_that_nobody_has_claimed_is_409(client: httpx.AsyncClient) -> None:
    await client.post(CALLS, json=order(synchronous="yes"))
    answer = await client.patch(f"{ONE}/hold")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "call-not-connected")


async def test_a_call_that_is_over_is_409(world: World, client: httpx.AsyncClient, phones: MemoryPhones) -> None:
    await connected(world, client)
    phones.busy()[0].hang_up()
    await in_state(world, CallState.ENDED)
    answer = await client.patch(f"{ONE}/hold")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "call-ended")


async def test_a_phone_that_refuses_is_told_of(world: World, client: httpx.AsyncClient, phones: MemoryPhones) -> None:
    phones.default = Script(offer_status=488)
    await connected(world, client)
    assert (await client.patch(f"{ONE}/hold")).status_code == 202
    call = await ordered(client)
    assert call["call-state"] == "connected"
    assert call["call-order"]["release-cause"] == {"result": "failed", "reason": "sip-488", "sip-status": 488}


async def test_without_the_owner_it_is_503(world: World, client: httpx.AsyncClient, phones: MemoryPhones) -> None:
    await connected(world, client)
    del world.hub.handlers[NODE]
    answer = await client.patch(f"{ONE}/hold")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "owner-away")
    assert all(phone.offers == [] for phone in phones.busy())


async def test_transfer_rings_the_new_party_and_shows(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    with_a_phone(world, "1003")
    await connected(world, client)
    body = {"destination": "1003", "hostname": "node-1", "uid": "x"}
    answer = await client.patch(f"{ONE}/transfer", json=body)
    assert (answer.status_code, answer.headers["x-ringbridge-ignored"]) == (202, "uid")
    call = await ordered(client)
    assert call["call-order"]["action"] == "transfer"
    assert (call["call-order"]["to"], call["call-order"]["release-cause"]) == ("1003", None)
    assert (call["call-orig-user"], call["call-term-user"], call["call-by-user"]) == ("1002", "1003", "1001")
    assert (call["call-by-action"], call["call-state"]) == ("transfer", "connected")
    assert sorted(phone.order.target.user for phone in phones.busy()) == ["1002", "1003"]
    new = phones.of("session-1", "o2")
    assert new.order.caller_id.number == "457011002", "the one who remains, as if it had called"


async def test_every_fault_of_a_transfer_is_named(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    await connected(world, client)
    for body in ({}, {"call-term-user": ""}, {"call-term-user": ["1003"]}, {"call-term-user": "a b!"}):
        answer = await client.patch(f"{ONE}/transfer", json=body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "call-term-user"
    assert len(phones.invites) == 2


async def consulting(world: World, client: httpx.AsyncClient) -> str:
    """Bring a second call up, of 1001 with 1003; return its session id."""
    with_a_phone(world, "1003")
    await connected(world, client)
    await client.post(CALLS, json=order("click-2", call_term_user="1003"))
    await in_state(world, CallState.CONNECTED, "click-2")
    return str((await client.get(f"{CALLS}/click-2")).json()["call-session-id"])


async def test_an_attended_transfer_joins_the_other_parties_of_two_calls(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    session_id = await consulting(world, client)
    assert (await client.patch(f"{ONE}/hold")).status_code == 202
    await in_state(world, CallState.HELD)
    body = {"call-destination-session-id": session_id, "hostname": "core1"}
    answer = await client.patch(f"{ONE}/transfer", json=body)
    assert (answer.status_code, answer.json()["call-id"]) == (202, "click-1")
    assert "x-ringbridge-ignored" not in answer.headers
    await in_state(world, CallState.CONNECTED)
    await in_state(world, CallState.ENDED, "click-2")
    assert sorted(phone.order.target.user for phone in phones.busy()) == ["1002", "1003"]
    first, second = [(await client.get(f"{CALLS}/click-{number}")).json() for number in (1, 2)]
    assert (first["call-orig-user"], first["call-term-user"], first["call-dialed-number"]) == ("1002", "1003", "1003")
    assert (second["call-orig-user"], second["call-term-user"]) == ("1001", "1003")
    for call in (first, second):
        assert (call["call-by-action"], call["call-by-user"]) == ("transfer", "1001")
    assert second["call-order"]["action"] == "handover"
    assert second["call-order"]["to"] == first["call-session-id"]
    assert second["release-cause"]["reason"] == "transferred"
    cdr = (await client.get(f"{CALLS}/click-2/cdr")).json()
    assert (cdr["call-through-action"], cdr["call-through-user"]) == ("transfer", "1001")


@pytest.mark.parametrize("by", ["call-id", "leg"])
async def test_the_second_call_goes_by_any_of_its_names(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones, by: str
) -> None:
    await consulting(world, client)
    second = (await client.get(f"{CALLS}/click-2")).json()
    name = second["call-id"] if by == "call-id" else second["call-term-call-id"]
    body = {"action": "transfer", "call-destination-session-id": name, "call-term-user": None}
    assert (await client.patch(ONE, json=body)).status_code == 202
    await in_state(world, CallState.ENDED, "click-2")
    assert sorted(phone.order.target.user for phone in phones.busy()) == ["1002", "1003"]


async def test_faults_of_an_attended_transfer_are_named(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    session_id = await consulting(world, client)
    own = (await client.get(ONE)).json()["call-session-id"]
    for body, field, code in (
        ({"call-destination-session-id": session_id, "call-term-user": "1003"}, "second", "not-both"),
        ({"call-destination-session-id": session_id, "destination": "1003"}, "second", "not-both"),
        ({"call-destination-session-id": "nobody"}, "second", "no-such-call"),
        ({"call-destination-session-id": own}, "second", "same-call"),
        ({"call-destination-session-id": ["x"]}, "second", "wrong-type"),
        ({"call-destination-session-id": "a b"}, "second", "bad-characters"),
        ({"call-destination-session-id": ""}, "term", "missing"),
        ({"hostname": "core1"}, "term", "missing"),
    ):
        answer = await client.patch(f"{ONE}/transfer", json=body)
        fault = answer.json()["errors"][0]
        name = {"second": "call-destination-session-id", "term": "call-term-user"}[field]
        assert (answer.status_code, fault["field"], fault["code"]) == (400, name, code), body
    assert len(phones.busy()) == 4


async def test_a_second_call_of_another_tenant_or_user_is_none_and_one_that_is_over_says_so(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    await consulting(world, client)
    async with world.client(world.foreign_key) as foreign:
        of_other = CALLS.replace("demo", "other")
        await foreign.post(of_other, json=order("theirs"))
        async with asyncio.timeout(5):
            while True:
                theirs = (await foreign.get(f"{of_other}/theirs")).json()
                if theirs["call-state"] == "connected":
                    break
                await asyncio.sleep(0.005)
    async with world.client(world.other_user_key) as other:
        of_1002 = CALLS.replace("1001", "1002")
        await other.post(of_1002, json=order("click-3", call_term_user="1003"))
        await in_state(world, CallState.CONNECTED, "click-3")
    for name in (theirs["call-session-id"], "theirs", "click-3"):
        answer = await client.patch(f"{ONE}/transfer", json={"call-destination-session-id": name})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "no-such-call")
    await client.delete(f"{CALLS}/click-2")
    await in_state(world, CallState.ENDED, "click-2")
    answer = await client.patch(f"{ONE}/transfer", json={"call-destination-session-id": "click-2"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "destination-ended")
    phones.scripts["1003_desk"] = RINGS
    await client.post(CALLS, json=order("click-4", call_term_user="1003"))
    await in_state(world, CallState.TERM_RINGING, "click-4")
    answer = await client.patch(f"{ONE}/transfer", json={"call-destination-session-id": "click-4"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "destination-call-not-connected")


async def test_a_transfer_to_nowhere_is_refused_and_the_call_goes_on(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    await connected(world, client)
    for target, code in (("1003", "no-registered-device"), ("+4599999999", "no-route")):
        answer = await client.patch(f"{ONE}/transfer", json={"call-term-user": target})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)
    assert len(phones.busy()) == 2


async def test_a_transfer_that_a_connection_has_no_place_for_rings_nobody_and_changes_nothing(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    world.put(
        Connection("demo", "trunk", connection_address="gw.example", limits_max_active_calls_total=1),
        DialRule(
            "demo", "demo", "out", "sip:45*@*", dial_rule_application="to-connection", dial_rule_parameter="trunk"
        ),
    )
    await connected(world, client)
    assert (await client.post(CALLS, json=order("click-2", call_term_user="4531234567"))).status_code == 202
    await in_state(world, CallState.CONNECTED, "click-2")
    before = (await client.get(ONE)).json()
    answer = await client.patch(f"{ONE}/transfer", json={"call-term-user": "4531234568"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    (error,) = answer.json()["errors"]
    assert (error["field"], error["code"]) == ("call-term-user", "too-many-active-calls")
    assert error["message"] == "connection trunk has 1 active calls, and may have 1"
    assert len(phones.busy()) == 4
    after = (await client.get(ONE)).json()
    assert [after[name] for name in ("call-state", "call-order", "call-legs")] == [
        before[name] for name in ("call-state", "call-order", "call-legs")
    ]
    assert (await client.delete(f"{CALLS}/click-2")).status_code == 202
    await in_state(world, CallState.ENDED, "click-2")
    assert (await client.patch(f"{ONE}/transfer", json={"call-term-user": "4531234568"})).status_code == 202
    assert (await ordered(client))["call-order"]["release-cause"] is None
    answer = await client.post(CALLS, json=order("click-3", call_term_user="4531234567"))
    assert answer.status_code == 429, "the leg of the transfer has the place now"


async def test_a_busy_target_is_told_of_and_the_call_goes_on(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    with_a_phone(world, "1003")
    phones.scripts["1003_desk"] = Script(status=486)
    await connected(world, client)
    assert (await client.patch(ONE, json={"action": "transfer", "call-term-user": 1003})).status_code == 202
    call = await ordered(client)
    assert call["call-order"]["release-cause"]["reason"] == "busy"
    assert (call["call-state"], call["call-term-user"]) == ("connected", "1002")


async def test_answer_is_409_and_reject_refuses(world: World, client: httpx.AsyncClient, phones: MemoryPhones) -> None:
    phones.default = RINGS
    await client.post(CALLS, json=order())
    await in_state(world, CallState.ORIG_RINGING)
    answer = await client.patch(f"{ONE}/answer")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "answered-at-phone")
    assert (await client.patch(f"{ONE}/reject")).status_code == 202
    await in_state(world, CallState.ENDED)
    assert (await client.get(ONE)).json()["release-cause"]["reason"] == "rejected"
    answer = await client.patch(f"{ONE}/answer")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "nothing-rings")


@pytest.mark.parametrize("action", ["hold", "unhold", "end"])
async def test_the_same_orders_by_an_action(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones, action: str
) -> None:
    await connected(world, client)
    assert (await client.patch(ONE, json={"action": action})).status_code == 202
    await in_state(world, {"hold": CallState.HELD, "unhold": CallState.CONNECTED, "end": CallState.ENDED}[action])
    assert len(phones.busy()) == (0 if action == "end" else 2)


async def test_an_unknown_action_is_400(client: httpx.AsyncClient) -> None:
    for body, code in (({}, "missing"), ({"action": "fly"}, "not-one-of"), ({"action": None}, "missing")):
        answer = await client.patch(ONE, json=body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


async def trail(world: World, **asked: str) -> list[tuple[str, str, list[str], str]]:
    """Return what the audit trail tells of orders to calls, oldest first."""
    await settle(world)
    async with world.client(world.manager_key) as manager:
        found = (await manager.get("/ringbridge/v1/domains/demo/audit", params={"kind": "call"} | asked)).json()
    return [(one["action"], one["key"][-1], one["fields"], one["user"]) for one in reversed(found)]


async def test_every_order_to_a_call_is_in_the_audit_trail(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    with_a_phone(world, "1003")
    await connected(world, client)
    orders: list[tuple[str, dict[str, str] | None]] = [
        ("hold", None),
        ("unhold", None),
        ("transfer", {"call-term-user": "1003"}),
    ]
    for verb, body in orders:
        world.clock.time += 1
        assert (await client.patch(f"{ONE}/{verb}", json=body)).status_code == 202
        await ordered(client)
    world.clock.time += 1
    assert (await client.delete(ONE)).status_code == 202
    await in_state(world, CallState.ENDED)
    updates = [("update", "click-1", [verb], "1001") for verb in ("hold", "unhold", "transfer")]
    assert await trail(world) == [*updates, ("delete", "click-1", ["end"], "1001")]
    assert len(await trail(world, user="1001", object="click-1")) == 4
    assert (await client.delete(ONE)).status_code == 202
    assert len(await trail(world)) == 4, "it was over already"


async def test_an_order_that_is_refused_is_not_in_the_trail(
    world: World, client: httpx.AsyncClient, phones: MemoryPhones
) -> None:
    phones.scripts["1002_desk"] = RINGS
    assert (await client.post(CALLS, json=order())).status_code == 202
    await in_state(world, CallState.TERM_RINGING)
    assert (await client.patch(f"{ONE}/hold")).status_code == 409
    assert (await client.delete(f"{CALLS}/no-such-call")).status_code == 404
    assert await trail(world) == []
    world.clock.time += 1
    assert (await client.patch(f"{ONE}/reject")).status_code == 202
    assert [fields for _, _, fields, _ in await trail(world)] == [["reject"]]


async def test_an_order_of_which_nobody_knows_stays_in_the_trail(world: World, client: httpx.AsyncClient) -> None:
    assert (await client.post(CALLS, json=order())).status_code == 202
    await in_state(world, CallState.REQUESTED)
    call = await world.store.call(DomainName("demo"), CallId("click-1"))
    assert call is not None
    events = [CallClaimed(NodeId("gone"), 1, at=world.clock.now())]
    await world.bus.append_call(call.domain, call.call_id, events, after=call.sequence)
    await in_state(world, CallState.CLAIMED)
    assert (await client.delete(ONE)).status_code == 503
    assert await trail(world) == [("delete", "click-1", ["end"], "1001")]
