"""`POST …/calls?dry-run=yes`: what would ring and every reason against it; nothing is stored, nothing rings."""

from __future__ import annotations

from typing import Any

import httpx

from ringbridge.model.directory import Connection, DialRule, User
from tests.api.world import CALLS, World, order


async def explained(world: World, body: dict[str, Any], *, key: str | None = None) -> httpx.Response:
    before = world.writes
    async with world.client(key) as client:
        answer = await client.post(CALLS, json=body, params={"dry-run": "yes"})
    assert world.writes == before
    return answer


async def told(world: World, **fields: object) -> dict[str, Any]:
    answer = await explained(world, order(**fields))  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def put_trunk(world: World) -> None:
    world.store.put(
        Connection("demo", "trunk", connection_address="gw.example:5080"),
        DialRule(
            "demo",
            "demo",
            "abroad",
            "sip:46*@*",
            dial_rule_application="to-connection-add-header",
            dial_rule_parameter="trunk;X-Account: 7",
            dial_rule_translation_destination_user="0046[*]",
            dial_rule_translation_source_host="pbx.example",
        ),
    )


async def test_it_tells_what_would_ring(world: World) -> None:
    put_trunk(world)
    found = await told(
        world,
        call_term_user="+46701234567",
        call_term_added_sip_header="X-Ticket: 4711",
        auto_answer_enabled="yes",
    )
    assert (found["call-id"], found["would-ring"], found["reasons"]) == ("click-1", "yes", [])
    orig, term = found["origination"], found["termination"]
    assert [(one["target"], one["device"], one["sent-to"]) for one in orig["rings"]] == [
        ("1001_desk", "1001_desk", "udp:127.0.0.1:5070")
    ]
    assert (orig["auto-answer"], orig["dialrule"], orig["ring-timeout-seconds"]) == ("yes", "", 30.0)
    assert [(one["target-uri"], one["sent-to"]) for one in term["rings"]] == [
        ("sip:0046701234567@gw.example:5080", "udp:gw.example:5080")
    ]
    assert (term["dialrule"], term["dial-rule-application"], term["connection"]) == (
        "abroad",
        "to-connection-add-header",
        "trunk",
    )
    assert (term["dialled"], term["caller-id-number"], term["caller-id-host"]) == (
        "0046701234567",
        "457011001",
        "pbx.example",
    )
    assert term["headers"] == ["X-Account: 7", "X-Ticket: 4711"]
    assert [(one["dialrule"], one["matched"]) for one in term["tried"]] == [("abroad", "yes")]


async def test_it_tells_a_local_number_with_its_area(world: World) -> None:
    world.store.put(
        Connection("demo", "trunk", connection_address="gw.example:5080"),
        DialRule(
            "demo",
            "demo",
            "area",
            "sip:NXXNXXXXXX@*",
            dial_rule_application="to-connection",
            dial_rule_parameter="trunk",
        ),
        User("demo", "1001", caller_id_number="457011001", area_code="212"),
    )
    term = (await told(world, call_term_user="555-0123"))["termination"]
    assert (term["dialled"], term["dialrule"]) == ("2125550123", "area")


async def test_every_reason_is_told_at_once(world: World) -> None:
    put_trunk(world)
    world.store.put(User("demo", "1001", dial_policy="internal", limits_max_active_calls_total=1))
    async with world.client() as client:
        assert (await client.post(CALLS, json=order("first"))).status_code == 202
    found = await told(world, call_term_user="+46701234567", caller_id_number="+4599999999", auto_answer_enabled="x")
    assert found["would-ring"] == "no"
    assert [one["code"] for one in found["reasons"]] == [
        "not-one-of",
        "dial-policy",
        "caller-id-not-allowed",
        "too-many-active-calls",
    ]
    assert found["termination"]["connection"] == "trunk"


async def test_who_only_asks_needs_no_name_for_the_call(world: World) -> None:
    answer = await explained(world, {"call-term-user": "1002"})
    assert (answer.json()["would-ring"], answer.json()["reasons"]) == ("yes", [])


async def test_a_party_that_cannot_ring_is_a_reason(world: World) -> None:
    found = await told(world, call_term_user="1003")
    assert found["termination"]["rings"] == []
    assert [one["code"] for one in found["reasons"]] == ["no-registered-device"]


async def test_a_call_id_that_is_taken_is_a_reason(world: World) -> None:
    async with world.client() as client:
        await client.post(CALLS, json=order("taken", synchronous="yes"))
    assert (await told(world, call_id="taken"))["reasons"][0]["code"] == "call-id-replayed"
    assert (await told(world, call_id="taken", call_term_user="1001"))["reasons"][0]["code"] == "call-id-conflict"


async def test_it_takes_the_same_rights_as_a_call(world: World) -> None:
    assert (await explained(world, order(), key=world.other_user_key)).status_code == 403
    assert (await explained(world, order(), key=world.foreign_key)).status_code == 404
    async with world.client() as client:
        answer = await client.post(CALLS, json=order(), params={"dry-run": "perhaps"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "dry-run")


async def test_a_refused_call_is_counted_by_its_reasons(world: World) -> None:
    put_trunk(world)
    world.store.put(User("demo", "1001", dial_policy="internal"))
    async with world.client() as client:
        for _ in range(2):
            assert (await client.post(CALLS, json=order(call_term_user="+46701234567"))).status_code == 403
        metrics = (await client.get("/metrics")).text
    assert 'ringbridge_calls_refused_total{reason="dial-policy"} 2.0' in metrics
