"""Devices, phone numbers, dial rules, connections and answer rules: what each has of its own (contract §4)."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import httpx
import pytest

from ringbridge.api.directory import answer_rules
from ringbridge.model.directory import Domain, Location, PhoneNumber
from tests.api.world import World

DEMO = "/ns-api/v2/domains/demo"
DEVICES = f"{DEMO}/users/1001/devices"
NUMBERS = f"{DEMO}/phonenumbers"
PLANS = f"{DEMO}/dialplans"
RULES = f"{PLANS}/demo/dialrules"
CONNECTIONS = f"{DEMO}/connections"
ANSWER_RULES = f"{DEMO}/users/1001/answerrules"
PASSWORD = "device-sip-registration-password"


def dial_rule(to_uri: str = "sip:1NXXNXXXXXX@*", **fields: object) -> dict[str, Any]:
    body = {"dail-rule-matching-to-uri": to_uri, "dial-rule-translation-destination-user": "[*]"}
    return body | {name.replace("_", "-"): value for name, value in fields.items()}


def answer_rule(frame: str, **fields: object) -> dict[str, Any]:
    body = {"time-frame": frame, "enabled": "yes", "is-active": True}
    return body | {name.replace("_", "-"): value for name, value in fields.items()}


@pytest.fixture
async def manager(world: World) -> Any:
    async with world.client(world.manager_key) as client:
        yield client


# --- names in paths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "collection", [f"{DEMO}/users/1001/devices", NUMBERS, RULES, f"{PLANS}/{'p' * 20_000}/dialrules", CONNECTIONS]
)
async def test_a_name_that_nothing_can_have_is_not_looked_up(
    world: World, manager: httpx.AsyncClient, method: str, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look_up(*_: object) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(world.bus, "read_record", look_up)
    monkeypatch.setattr(world.store, "record", look_up)
    answer = await manager.request(method, f"{collection}/{'9' * 20_000}", json={} if method == "PUT" else None)
    assert answer.status_code == 404
    assert len(answer.content) < 400


@pytest.mark.parametrize("name", ["a%20b", "%C3%A9", "1001%3Bx", "count%00"])
async def test_a_name_that_no_device_can_have_is_404(manager: httpx.AsyncClient, name: str) -> None:
    assert (await manager.get(f"{DEVICES}/{name}")).status_code == 404


# --- devices ---------------------------------------------------------------------------------------------------------


async def test_a_device_s_password_becomes_ha1_and_is_never_read_back(world: World, manager: httpx.AsyncClient) -> None:
    body = {
        "device": "1001_new",
        PASSWORD: "a-long-secret",
        "device-sip-auto-answer-enabled": "yes",
        "synchronous": "yes",
    }
    made = await manager.post(DEVICES, json=body)
    assert made.status_code == 200
    read = await manager.get(f"{DEVICES}/1001_new")
    assert read.json() == made.json()
    assert "secret" not in read.text
    assert read.json()["auto-answer-enabled"] == "yes"
    assert read.json()["device-sip-registration-uri"] == "sip:1001_new@demo"
    device = await world.store.device("demo", "1001_new")
    assert device is not None
    assert device.ha1_md5 == md5(b"1001_new:demo:a-long-secret", usedforsecurity=False).hexdigest()
    assert "secret" not in repr(device)


@pytest.mark.parametrize("synchronous", ["yes", "no"])
async def test_a_device_without_a_password_gets_one_that_is_told_once(
    world: World, manager: httpx.AsyncClient, synchronous: str
) -> None:
    made = await manager.post(DEVICES, json={"device": "1001_new", "synchronous": synchronous})
    password = made.json()[PASSWORD]
    assert len(password) >= 20
    device = await world.store.device("demo", "1001_new")
    assert device is not None
    assert device.ha1_md5 == md5(f"1001_new:demo:{password}".encode(), usedforsecurity=False).hexdigest()
    assert PASSWORD not in (await manager.get(f"{DEVICES}/1001_new")).json()


async def test_a_new_password_replaces_the_old_one_and_nothing_else(world: World, manager: httpx.AsyncClient) -> None:
    await manager.post(DEVICES, json={"device": "1001_new", "device-models-model": "Yealink T54W"})
    assert (await manager.put(f"{DEVICES}/1001_new", json={PASSWORD: "another"})).status_code == 202
    device = await world.store.device("demo", "1001_new")
    assert device is not None
    assert device.ha1_md5 == md5(b"1001_new:demo:another", usedforsecurity=False).hexdigest()
    assert device.device_models_model == "Yealink T54W"
    assert (await manager.put(f"{DEVICES}/1001_new", json={"device-push-enabled": "no"})).status_code == 202
    after = await world.store.device("demo", "1001_new")
    assert after is not None
    assert after.ha1_md5 == device.ha1_md5


async def test_a_device_tells_its_registration(world: World, manager: httpx.AsyncClient) -> None:
    now = world.clock.now()
    world.store.put_location(
        Location(
            domain="demo",
            device="1001_desk",
            contact="sip:1001_desk@127.0.0.1:5099",
            expires_at=now + 60,
            registered_at=now,
            peer_host="192.0.2.9",
            user_agent="Yealink SIP-T54W",
            node="n1",
            q=2.0,
        )
    )
    read = (await manager.get(f"{DEVICES}/1001_desk")).json()
    told = {name.removeprefix("device-sip-registration-"): value for name, value in read.items()}
    assert told["state"] == "registered"
    assert told["contact"] == "sip:1001_desk@127.0.0.1:5099"
    assert (told["ip-address"], told["user-agent"], told["core-server"]) == ("192.0.2.9", "Yealink SIP-T54W", "n1")
    assert told["expires-datetime"] == "2027-01-15T08:01:00.000+00:00"
    assert read["name-full-name"] == "Ada"
    gone = (await manager.get(f"{DEMO}/users/1003/devices/1003_desk")).json()
    assert gone["device-sip-registration-state"] == "unregistered"
    assert "device-sip-registration-contact" not in gone


async def test_devices_are_their_user_s(manager: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    assert [one["device"] for one in (await manager.get(DEVICES)).json()] == ["1001_desk"]
    assert (await manager.get(f"{DEVICES}/count")).json() == {"total": 1}
    assert (await manager.get(f"{DEVICES}/1002_desk")).status_code == 404
    assert (await manager.put(f"{DEVICES}/1002_desk", json={"device-push-enabled": "no"})).status_code == 404
    assert (await manager.delete(f"{DEVICES}/1002_desk")).status_code == 404
    assert (await manager.post(f"{DEMO}/users/1999/devices", json={"device": "x"})).status_code == 404
    assert (await manager.post(DEVICES, json={"device": "1002_desk"})).status_code == 409
    assert (await client.get("/ns-api/v2/domains/~/users/~/devices")).status_code == 200
    assert (await client.delete("/ns-api/v2/domains/~/users/~/devices/1001_desk")).status_code == 403


# --- phone numbers ---------------------------------------------------------------------------------------------------


async def test_a_number_is_kept_in_digits_and_found_however_it_is_written(manager: httpx.AsyncClient) -> None:
    body = {"phonenumber": "+45 7010-2031", "dial-rule-translation-destination-user": "1001", "user": "1001"}
    assert (await manager.post(NUMBERS, json=body)).status_code == 202
    for written in ("4570102031", "+4570102031", "%2B4570102031"):
        read = await manager.get(f"{NUMBERS}/{written}")
        assert read.json()["phonenumber"] == "4570102031"
        assert read.json()["dial-rule-application"] == "to-user"
    assert (await manager.post(NUMBERS, json=body)).status_code == 409
    assert (await manager.put(f"{NUMBERS}/4570102031", json={"enabled": "no"})).status_code == 202
    assert (await manager.get(f"{NUMBERS}/4570102031")).json()["enabled"] == "no"
    assert (await manager.delete(f"{NUMBERS}/+4570102031")).status_code == 202
    assert (await manager.get(f"{NUMBERS}/count")).json() == {"total": 1}


async def test_numbers_everywhere_are_those_that_the_token_rules_over(world: World) -> None:
    world.put(PhoneNumber("other", "4680102030"), Domain("third", reseller="rival"), PhoneNumber("third", "491"))
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")
    expected = {
        world.super_key: ["4570102030", "4680102030", "491"],
        reseller: ["4680102030"],
        world.manager_key: ["4570102030"],
    }
    for key, numbers in expected.items():
        async with world.client(key) as client:
            listed = await client.get("/ns-api/v2/phonenumbers")
            assert [one["phonenumber"] for one in listed.json()] == numbers
            assert (await client.get("/ns-api/v2/phonenumbers/count")).json() == {"total": len(numbers)}


# --- dial plans and rules --------------------------------------------------------------------------------------------


async def test_a_dial_rule_is_named_by_what_it_matches_unless_it_is_given_a_name(manager: httpx.AsyncClient) -> None:
    assert (await manager.post(RULES, json=dial_rule())).status_code == 202
    assert (await manager.post(RULES, json=dial_rule("sip:0@*", dialrule="operator"))).status_code == 202
    read = await manager.get(f"{RULES}/sip:1NXXNXXXXXX@*")
    assert read.status_code == 200
    assert read.json()["dial-rule-application"] == "to-user"
    assert read.json()["dial-rule-dial-plan"] == "demo"
    changed = await manager.put(f"{RULES}/operator", json={"dial-rule-application": "hangup"})
    assert changed.status_code == 202
    assert (await manager.get(f"{RULES}/operator")).json()["dial-rule-application"] == "hangup"
    assert (await manager.post(RULES, json=dial_rule("sip:a/b@*"))).json()["errors"][0]["field"] == "dialrule"
    assert (await manager.put(f"{RULES}/operator", json={"dail-rule-matching-to-uri": ""})).status_code == 400


async def test_dial_plans_are_those_that_have_rules(manager: httpx.AsyncClient) -> None:
    await manager.post(RULES, json=dial_rule())
    await manager.post(f"{PLANS}/night/dialrules", json=dial_rule())
    await manager.post(f"{PLANS}/night/dialrules", json=dial_rule("sip:0@*"))
    plans = (await manager.get(PLANS)).json()
    assert {plan["dial-plan"]: plan["dial-rules-count"] for plan in plans} == {"demo": 1, "night": 2}
    assert (await manager.get(f"{PLANS}/count")).json() == {"total": 2}
    assert (await manager.get(f"{PLANS}?start=2")).json()[0]["dial-plan"] == "night"
    assert (await manager.get(f"{PLANS}/night/dialrules/count")).json() == {"total": 2}
    assert (await manager.get(f"{PLANS}/a b/dialrules")).status_code == 400


async def test_faults_of_a_dial_rule_are_named(manager: httpx.AsyncClient) -> None:
    body = dial_rule(
        "sip:1*2*3*4*@*",
        dial_rule_application="to-mars",
        dial_rule_matching_start_date="never",
        dial_rule_translation_source_scheme="tel:",
    )
    answer = await manager.post(RULES, json=body)
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {
        "dail-rule-matching-to-uri",
        "dial-rule-application",
        "dial-rule-matching-start-date",
        "dial-rule-translation-source-scheme",
    }


# --- connections -----------------------------------------------------------------------------------------------------


async def test_a_connection_keeps_its_password_to_itself(world: World, manager: httpx.AsyncClient) -> None:
    body = {
        "connection-orig-match-pattern": "carrier",
        "connection-address": "127.0.0.1:5070",
        "connection-sip-registration-password": "trunk-secret",
        "limits-max-active-calls-total": "30",
        "call-routing": {"prefix": "00"},
    }
    made = await manager.post(CONNECTIONS, json=body | {"synchronous": "yes"})
    assert made.status_code == 200
    assert "secret" not in made.text
    assert made.json()["limits-max-active-calls-total"] == 30
    assert made.json()["call-routing"] == {"prefix": "00"}
    assert (await manager.put(f"{CONNECTIONS}/carrier", json={"description": "Main"})).status_code == 202
    stored = await world.store.connection("demo", "carrier")
    assert stored is not None
    assert stored.connection_sip_registration_password == "trunk-secret"


async def test_connections_everywhere_are_made_only_where_the_token_rules(
    world: World, manager: httpx.AsyncClient
) -> None:
    everywhere = "/ns-api/v2/connections"
    body = {"connection-orig-match-pattern": "carrier", "connection-address": "127.0.0.1"}
    assert (await manager.post(everywhere, json=body)).status_code == 400
    assert (await manager.post(everywhere, json=body | {"domain": "other"})).status_code == 404
    assert (await manager.post(everywhere, json=body | {"domain": "demo"})).status_code == 202
    assert [one["domain"] for one in (await manager.get(everywhere)).json()] == ["demo"]
    async with world.client(world.super_key) as root:
        assert (await root.post(everywhere, json=body | {"domain": "other"})).status_code == 202
        assert (await root.get(f"{everywhere}/count")).json() == {"total": 2}


async def test_what_calls_are_sent_to_is_kept_with_409(world: World, manager: httpx.AsyncClient) -> None:
    await manager.post(CONNECTIONS, json={"connection-orig-match-pattern": "carrier"})
    to_carrier = {"dial_rule_application": "to-connection", "dial_rule_parameter": "carrier"}
    await manager.post(RULES, json=dial_rule("sip:9*@*", dialrule="out", **to_carrier))
    await manager.post(RULES, json=dial_rule("sip:8*@*", dialrule="user", dial_rule_parameter="carrier"))
    with_header = {"dial_rule_application": "to-connection-add-header", "dial_rule_parameter": "carrier;X-A: b"}
    await manager.post(RULES, json=dial_rule("sip:7*@*", dialrule="out2", **with_header))
    to_desk = {"dial-rule-application": "to-single-device", "dial-rule-parameter": "1001_desk"}
    number = {"phonenumber": "4570102031", "dial-rule-translation-destination-user": "1001"}
    await manager.post(NUMBERS, json=number | to_desk)
    for path, users in (
        (f"{CONNECTIONS}/carrier", ["demo/demo/out", "demo/demo/out2"]),
        (f"{DEVICES}/1001_desk", ["demo/4570102031"]),
    ):
        answer = await manager.delete(path)
        assert answer.status_code == 409
        assert [error["found"] for error in answer.json()["errors"]] == users
        assert (await manager.delete(f"{path}?cascade=yes")).status_code == 202
    assert await world.store.phone_number("demo", "4570102031") is None
    assert [rule.dialrule for rule in await world.store.dial_rules("demo", "demo")] == ["user"]


# --- answer rules ----------------------------------------------------------------------------------------------------


async def test_an_answer_rule_is_kept_whole(client: httpx.AsyncClient) -> None:
    feature = {"enabled": "yes", "parameters": ["1002", "+4570102030"]}
    body = answer_rule("Holiday", forward_always=feature, order=3, synchronous="yes")
    made = await client.post(ANSWER_RULES, json=body)
    assert made.status_code == 200, made.text
    assert made.json()["forward-always"] == feature
    assert (made.json()["order"], made.json()["is-active"]) == (3, True)
    assert (await client.put(f"{ANSWER_RULES}/Holiday", json={"is-active": False})).status_code == 202
    assert (await client.get(f"{ANSWER_RULES}/Holiday")).json()["is-active"] is False
    bad = answer_rule("x", forward_always={"enabled": "sometimes"}, do_not_disturb=[])
    assert len((await client.post(ANSWER_RULES, json=bad)).json()["errors"]) == 2
    assert (await client.post("/ns-api/v2/domains/demo/users/1002/answerrules", json=body)).status_code == 403


async def test_answer_rules_are_put_in_order_by_all_their_names(client: httpx.AsyncClient) -> None:
    for frame in ("*", "Holiday", "Office hours"):
        assert (await client.post(ANSWER_RULES, json=answer_rule(frame))).status_code == 202
    reorder = f"{ANSWER_RULES}/reorder"
    assert (await client.put(reorder, json={"time-frames": ["Office hours", "Holiday", "*"]})).status_code == 202
    rules = (await client.get(ANSWER_RULES)).json()
    assert [(rule["time-frame"], rule["order"]) for rule in rules] == [("Office hours", 1), ("Holiday", 2), ("*", 3)]
    for order in (["*", "Holiday", "Office hours"], ["Holiday", "*", "Office hours"]):
        # As clients that were generated from the API's document send it, and as people write it.
        for body in ([{"time-frame": frame} for frame in order], order):
            assert (await client.put(reorder, json=body)).status_code == 202, body
            assert [rule["time-frame"] for rule in (await client.get(ANSWER_RULES)).json()] == order
    for wrong in (
        ["Office hours"],
        ["Office hours", "Holiday", "*", "Night"],
        ["Office hours", "Office hours", "Holiday", "*"],
        "Office hours",
    ):
        for bad in ({"time-frames": wrong}, wrong):
            assert (await client.put(reorder, json=bad)).status_code == 400, bad


async def test_a_new_answer_rule_goes_where_its_new_position_says(client: httpx.AsyncClient) -> None:
    for frame, position in (("*", "bottom"), ("Holiday", "top"), ("Office", "top")):
        assert (await client.post(ANSWER_RULES, json=answer_rule(frame, new_position=position))).status_code == 202
    rules = (await client.get(ANSWER_RULES)).json()
    assert [rule["time-frame"] for rule in rules] == ["Office", "Holiday", "*"]


async def test_a_user_has_no_more_answer_rules_than_can_be_put_in_order(
    manager: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_rules, "MOST_RULES", 1)
    assert (await manager.post(ANSWER_RULES, json=answer_rule("*", synchronous="yes"))).status_code == 200
    refused = await manager.post(ANSWER_RULES, json=answer_rule("Holiday"))
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "too-many-rules")
