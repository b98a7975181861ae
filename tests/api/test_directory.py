"""The directory as a document: PUT makes it match, GET exports it."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from ringbridge.model.directory import ApiKey, Connection, Device, DialRule, PhoneNumber, Record, User
from ringbridge.model.errors import BusUnavailable, Conflict
from ringbridge.model.keys import hash_of, is_well_formed, key_id_of
from tests.api.world import World

PATH = "/ringbridge/v1/directory"


def acme() -> dict[str, Any]:
    """Return a document with one of everything."""
    return {
        "domains": [
            {
                "domain": "acme",
                "description": "Acme",
                "caller-id-number": "+45 70 10 10 10",
                "users": [
                    {
                        "user": "1001",
                        "name-first-name": "Ada",
                        "ring-no-answer-timeout-seconds": "25",
                        "devices": [
                            {
                                "device": "1001",
                                "device-sip-registration-password": "secret-one",
                                "auto-answer-enabled": True,
                            }
                        ],
                        "api-keys": [
                            {
                                "description": "click-to-call of the CRM",
                                "allowed-models": "call, cdr",
                                "expires-datetime": "2099-01-01 00:00:00",
                            }
                        ],
                    },
                    {"user": 1002},
                ],
                "phonenumbers": [{"phonenumber": "+45 7010-2030", "user": "1002"}],
                "dialrules": [
                    {
                        "dail-rule-matching-to-uri": "sip:XXXXXXXX@*",
                        "dial-rule-application": "to-connection",
                        "dial-rule-parameter": "carrier",
                    }
                ],
                "connections": [
                    {
                        "connection-orig-match-pattern": "carrier",
                        "connection-address": "127.0.0.1:5070",
                        "connection-sip-registration-username": "acme",
                        "connection-sip-registration-password": "trunk-secret",
                    }
                ],
            }
        ]
    }


@pytest.fixture
async def put(world: World) -> Any:
    async def send(document: dict[str, Any], *, key: str | None = None, query: str = "") -> httpx.Response:
        async with world.client(world.super_key if key is None else key) as client:
            return await client.put(PATH + query, json=document)

    return send


async def test_a_document_is_applied_in_full_and_said(world: World, put: Any) -> None:
    answer = await put(acme())
    assert answer.status_code == 200, answer.text
    changes = {(change["action"], change["kind"], change["key"]) for change in answer.json()["changes"]}
    assert changes == {
        ("create", "domain", "acme"),
        ("create", "connection", "acme/carrier"),
        ("create", "dialrule", "acme/acme/sip:XXXXXXXX@*"),
        ("create", "user", "acme/1001"),
        ("create", "user", "acme/1002"),
        ("create", "device", "acme/1001"),
        ("create", "phonenumber", "acme/4570102030"),
        ("create", "apikey", "acme/1001/click-to-call of the CRM"),
    }
    user = await world.store.user("acme", "1001")
    assert isinstance(user, User)
    assert user.ring_no_answer_timeout_seconds == 25
    device = await world.store.device("acme", "1001")
    assert isinstance(device, Device)
    assert (device.user, device.auto_answer_enabled) == ("1001", "yes")
    assert device.ha1_md5 == md5(b"1001:acme:secret-one", usedforsecurity=False).hexdigest()
    assert len(device.ha1_sha256) == 64
    assert "secret" not in repr(device)
    assert isinstance((await world.store.phone_numbers("acme"))[0], PhoneNumber)
    assert isinstance((await world.store.dial_rules("acme", "acme"))[0], DialRule)


async def test_a_new_key_works_at_once_and_is_shown_once(world: World, put: Any) -> None:
    (key,) = (await put(acme())).json()["keys"]
    assert is_well_formed(key["key"])
    assert key["key"].startswith("nsu_")
    async with world.client(key["key"]) as client:
        assert (await client.get("/ns-api/v2/domains/~/users/~/calls")).status_code == 200
    again = (await put(acme())).json()
    assert again["keys"] == []
    record = await world.store.api_key(key["key-id"])
    assert record is not None
    assert record.key_sha256 not in (key["key"], "")


async def test_applying_twice_changes_nothing(world: World, put: Any) -> None:
    await put(acme())
    writes = world.writes
    answer = await put(acme())
    assert answer.json()["changes"] == []
    assert world.writes == writes


async def test_a_dry_run_says_the_same_and_writes_nothing(world: World, put: Any) -> None:
    said = (await put(acme(), query="?dry-run=yes")).json()
    assert world.writes == 0
    assert said["dry-run"] is True
    assert said["keys"] == []
    done = (await put(acme())).json()
    assert said["changes"] == done["changes"]


async def test_export_then_apply_changes_nothing(world: World, put: Any) -> None:
    await put(acme())
    async with world.client(world.super_key) as client:
        exported = await client.get(PATH)
    assert "secret" not in exported.text
    assert "ha1" not in exported.text
    key = next(one for one in await world.store.records("apikey") if "CRM" in getattr(one, "description", ""))
    assert (getattr(key, "allowed_models", ()), getattr(key, "expires_at", 0)) == (("call", "cdr"), 4_070_908_800.0)
    answer = await put(exported.json())
    assert answer.json()["changes"] == [], answer.text


async def test_updates_name_the_fields_and_the_rest_is_deleted(world: World, put: Any) -> None:
    await put(acme())
    document = acme()
    domain = document["domains"][0]
    domain["users"][0]["devices"][0]["device-sip-registration-password"] = "another"
    domain["users"][0]["name-last-name"] = "Lovelace"
    domain["phonenumbers"] = []
    del domain["users"][1]
    changes = (await put(document)).json()["changes"]
    assert changes == [
        {"action": "update", "kind": "user", "key": "acme/1001", "fields": ["name-last-name"]},
        {
            "action": "update",
            "kind": "device",
            "key": "acme/1001",
            "fields": ["device-sip-registration-password"],
        },
        {"action": "delete", "kind": "phonenumber", "key": "acme/4570102030"},
        {"action": "delete", "kind": "user", "key": "acme/1002"},
    ]
    assert await world.store.user("acme", "1002") is None
    connection = await world.store.connection("acme", "carrier")
    assert isinstance(connection, Connection)
    assert connection.connection_sip_registration_password == "trunk-secret"


async def test_other_domains_are_left_alone_unless_pruned(world: World, put: Any) -> None:
    await put(acme())
    assert (await put({"domains": []})).json()["changes"] == []
    assert await world.store.domain("acme") is not None
    said = (await put({"domains": [], "prune": "yes"}, query="?dry-run=yes")).json()["changes"]
    assert ("delete", "domain", "acme") in {(one["action"], one["kind"], one["key"]) for one in said}
    assert (await put({"domains": [], "prune": "yes"})).status_code == 200
    assert await world.store.domain("acme") is None
    assert [one for one in await world.store.records("apikey") if one.domain == "acme"] == []


async def test_keys_that_a_place_does_not_list_are_left_alone(world: World, put: Any) -> None:
    await put(acme())
    document = acme()
    del document["domains"][0]["users"][0]["api-keys"]
    assert (await put(document)).json()["changes"] == []
    document["domains"][0]["users"][0]["api-keys"] = []
    assert [one["action"] for one in (await put(document)).json()["changes"]] == ["delete"]


async def test_keys_without_a_domain_are_for_super_users(world: World, put: Any) -> None:
    answer = await put({"api-keys": [{"description": "the operator's own key"}]})
    (key,) = answer.json()["keys"]
    assert key["key"].startswith("nss_")
    async with world.client(key["key"]) as client:
        assert (await client.get("/ns-api/v2/domains/demo/calls")).status_code == 200


async def test_every_fault_of_a_document_is_named_by_its_path(world: World, put: Any) -> None:
    document = acme()
    domain = document["domains"][0]
    domain["users"][0]["user-scope"] = "Emperor"
    domain["users"][0]["devices"][0]["device"] = "a b"
    domain["users"][0]["api-keys"][0]["description"] = "short"
    domain["users"].append({"user": "1002", "colour": "red"})
    domain["phonenumbers"][0]["user"] = "1999"
    domain["connections"][0]["connection-address"] = "no address"
    domain["dialrules"][0]["dial-rule-parameter"] = "nowhere"
    domain["description"] = "two\r\nlines"
    domain["dialrules"].append({"dail-rule-matching-to-uri": "sip:1*2*3*4*@*"})
    document["domain"] = []
    document["domains"].append(7)
    document["prune"] = "perhaps"
    answer = await put(document)
    assert answer.status_code == 400
    assert {error["field"]: error["code"] for error in answer.json()["errors"]} == {
        "domain": "unknown-field",
        "domains[0].description": "control-character",
        "domains[0].users[0].user-scope": "bad-value",
        "domains[0].users[0].devices[0].device": "bad-value",
        "domains[0].users[0].api-keys[0].description": "too-short",
        "domains[0].users[2].colour": "unknown-field",
        "domains[0].phonenumbers[0].user": "unknown-user",
        "domains[0].dialrules[0].dial-rule-parameter": "unknown-connection",
        "domains[0].dialrules[1].dail-rule-matching-to-uri": "bad-value",
        "domains[0].connections[0].connection-address": "bad-value",
        "domains[1]": "wrong-type",
        "prune": "not-one-of",
    }
    assert world.writes == 0


async def test_a_new_device_needs_a_password(put: Any) -> None:
    document = acme()
    del document["domains"][0]["users"][0]["devices"][0]["device-sip-registration-password"]
    answer = await put(document)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "domains[0].users[0].devices[0].device-sip-registration-password"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"domains": [{"domain": "other"}]}, "domains[0].domain"),
        ({"domains": [{"domain": "new"}]}, "domains[0].domain"),
        ({"domains": [{"domain": "demo"}], "prune": "yes"}, "prune"),
        ({"api-keys": [{"description": "the operator's own key"}]}, "api-keys"),
        ({"domains": [{"domain": "demo", "reseller": "acme"}]}, "domains[0].reseller"),
        (
            {"domains": [{"domain": "demo", "users": [{"user": "1", "user-scope": "Super User"}]}]},
            "domains[0].users[0].user-scope",
        ),
        (
            {"domains": [{"domain": "demo", "api-keys": [{"description": "a wider key", "user-scope": "Reseller"}]}]},
            "domains[0].api-keys[0].description",
        ),
    ],
)
async def test_a_manager_changes_only_the_own_domain_and_grants_nothing_wider(
    world: World, put: Any, document: dict[str, Any], field: str
) -> None:
    answer = await put(document, key=world.manager_key)
    assert answer.status_code in (400, 403)
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert world.writes == 0


async def test_a_manager_exports_and_applies_the_own_domain(world: World, put: Any) -> None:
    async with world.client(world.manager_key) as client:
        document = (await client.get(PATH)).json()
    assert [domain["domain"] for domain in document["domains"]] == ["demo"]
    assert (await put(document, key=world.manager_key)).json()["changes"] == []
    async with world.client(world.manager_key) as client:  # the key that asked was not deleted with the rest
        assert (await client.get(PATH)).status_code == 200


async def test_two_appliers_of_one_name_conflict(world: World, put: Any) -> None:
    world.feed.hold()
    assert (await put({"domains": [{"domain": "race"}]})).status_code == 200
    answer = await put({"domains": [{"domain": "race"}]})
    assert answer.status_code == 409
    world.feed.go_on()


def some_keys(count: int) -> dict[str, Any]:
    """Return a document of users with a new key each, which leaves out what `acme` has beside them."""
    users = [{"user": f"20{n:02}", "api-keys": [{"description": f"the key of 20{n:02}"}]} for n in range(count)]
    return {"domains": [{"domain": "acme", "users": users}]}


async def is_stored(world: World, told: dict[str, str]) -> bool:
    stored = await world.bus.read_record("apikey", (told["key-id"],))
    return stored is not None and isinstance(stored.record, ApiKey) and stored.record.key_sha256 == hash_of(told["key"])


async def test_no_key_is_made_where_a_delete_fails(world: World, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await put(acme())).status_code == 200

    async def fail(*_: object, **__: object) -> int:
        raise BusUnavailable

    monkeypatch.setattr(world.bus, "delete_record", fail)
    answer = await put(some_keys(3))
    assert answer.status_code == 503
    assert "keys" not in answer.json()
    assert not [one for one in await world.store.records("apikey") if isinstance(one, ApiKey) and one.user[:2] == "20"]


@pytest.mark.parametrize("accept", ["application/json", "application/problem+json"])
async def test_keys_that_were_made_before_a_failure_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    write, keys = world.bus.put_record, []

    async def fail_at_the_third(record: Record, **more: Any) -> int:
        if isinstance(record, ApiKey):
            keys.append(record.key_id)
            if len(keys) == 3:
                raise Conflict
        return await write(record, **more)

    monkeypatch.setattr(world.bus, "put_record", fail_at_the_third)
    async with world.client(world.super_key) as client:
        answer = await client.put(PATH, json=some_keys(4), headers={"accept": accept})
    assert answer.status_code == 409
    told = answer.json()
    assert [one["key-id"] for one in told["keys"]] == keys[:2]
    assert told["errors"][0]["code"] == "directory-changed"
    for one in told["keys"]:
        assert await is_stored(world, one)


async def test_a_key_that_may_have_been_stored_is_told(world: World, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write = world.bus.put_record

    async def lose_the_answer(record: Record, **more: Any) -> int:
        sequence = await write(record, **more)
        if isinstance(record, ApiKey):
            raise BusUnavailable
        return sequence

    monkeypatch.setattr(world.bus, "put_record", lose_the_answer)
    answer = await put(some_keys(1))
    assert answer.status_code == 503
    (key,) = answer.json()["keys"]
    assert await is_stored(world, key)


@pytest.mark.parametrize("what", ["changed", "deleted"])
async def test_what_this_node_does_not_know_yet_is_not_overwritten(world: World, put: Any, what: str) -> None:
    assert (await put(acme())).status_code == 200
    ada = await world.store.user("acme", "1001")
    assert ada is not None
    world.feed.hold()
    if what == "changed":
        await world.bus.put_record(replace(ada, name_last_name="Lovelace"))
    else:
        await world.bus.delete_record("user", ada.key)
    document = acme()
    document["domains"][0]["users"][0]["name-first-name"] = "Augusta"
    answer = await put(document)
    world.feed.go_on()
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "directory-changed")
    assert f"just {what}" in answer.json()["message"]
    stored = await world.bus.read_record("user", ada.key)
    assert (None if stored is None else stored.record) == (
        replace(ada, name_last_name="Lovelace") if what == "changed" else None
    )


CRM = "click-to-call of the CRM"


async def exported(world: World, key: str) -> dict[str, Any]:
    async with world.client(key) as client:
        return dict((await client.get(PATH)).json())


def faults_of(answer: httpx.Response) -> dict[str, str]:
    return {error["field"]: error["code"] for error in answer.json()["errors"]}


@pytest.fixture
def plain_key(world: World) -> str:
    """A key that rules over domain demo and may not make keys."""
    return world.add_key("demo", "*", "Office Manager")


async def test_a_key_gives_itself_no_right_that_it_has_not(world: World, put: Any, plain_key: str) -> None:
    record = await world.store.api_key(key_id_of(plain_key))
    assert record is not None
    document = await exported(world, plain_key)
    for key in document["domains"][0]["api-keys"]:
        if key["description"] == record.description:
            key["can-create-keys"] = "yes"
    answer = await put(document, key=plain_key)
    assert (answer.status_code, "may-not-create-keys" in faults_of(answer).values()) == (403, True), answer.text
    assert world.writes == 0


async def test_a_key_without_the_right_changes_nothing_of_other_keys(world: World, put: Any, plain_key: str) -> None:
    await put(acme())
    plain_key = world.add_key("acme", "*", "Office Manager")
    limits = {"allowed-models": "call", "ip-address": "192.0.2.1", "user-scope": "Advanced User", "readonly": "yes"}
    for name, text in limits.items():
        document = await exported(world, plain_key)
        (key,) = document["domains"][0]["users"][0]["api-keys"]
        key[name] = text
        answer = await put(document, key=plain_key)
        place = "domains[0].users[0].api-keys[0]"
        assert (answer.status_code, faults_of(answer).get(place)) == (403, "may-not-create-keys"), name


async def test_a_key_without_the_right_ends_no_other_key(world: World, put: Any, plain_key: str) -> None:
    document = await exported(world, plain_key)
    document["domains"][0]["api-keys"] = []
    answer = await put(document, key=plain_key)
    assert (answer.status_code, faults_of(answer)) == (403, {"domains[0].api-keys": "may-not-create-keys"})
    assert (await put(document, key=world.manager_key)).status_code == 200


async def test_a_key_without_the_right_applies_what_it_exported(world: World, put: Any, plain_key: str) -> None:
    answer = await put(await exported(world, plain_key), key=plain_key)
    assert (answer.status_code, answer.json()["changes"]) == (200, [])


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("user-scope", "Reseller"),
        ("readonly", "no"),
        ("can-create-keys", "yes"),
        ("expires-datetime", "2098-01-01 00:00:00"),
    ],
)
async def test_what_a_key_may_do_it_may_for_its_whole_life(world: World, put: Any, field: str, text: str) -> None:
    first = {"user-scope": "Office Manager", "readonly": "yes", "expires-datetime": "2099-01-01 00:00:00"}
    made = {"domains": [{"domain": "demo", "users": [], "api-keys": [{"description": CRM} | first]}]}
    assert (await put(made)).status_code == 200
    maker = world.add_key("demo", "*", "Office Manager", can_create_keys="yes")
    document = await exported(world, maker)
    at = [one["description"] for one in document["domains"][0]["api-keys"]].index(CRM)
    document["domains"][0]["api-keys"][at][field] = text
    answer = await put(document, key=maker)
    assert answer.status_code == 403, answer.text
    code = "scope-too-wide" if field == "user-scope" else "kept-for-life"
    assert faults_of(answer) == {f"domains[0].api-keys[{at}].{field}": code}


async def test_keys_of_another_tenant_are_not_told_by_faults(world: World, put: Any, plain_key: str) -> None:
    document = {"domains": [{"domain": "other", "api-keys": []}]}
    answer = await put(document, key=plain_key)
    assert faults_of(answer) == {"domains[0].domain": "not-allowed"}


async def test_an_export_that_holds_more_than_its_maker_may_is_applied(world: World, put: Any) -> None:
    """A user of a wider scope, and keys that reach further, stay as they are, and that takes no right."""
    world.put(User("demo", "1009", name_first_name="Eve", user_scope="Super User"))
    world.add_key("demo", "1009", "Super User", ip_address="192.0.2.0/24", allowed_models=("user", "call"))
    near = world.add_key("demo", "*", "Office Manager", ip_address="127.0.0.0/8", expires_at=world.clock.now() + 60.5)
    document = await exported(world, world.manager_key)
    for key in (world.manager_key, near):
        answer = await put(document, key=key)
        assert (answer.status_code, answer.json()["changes"]) == (200, []), answer.text
    document["domains"][0]["users"][-1]["user-scope"] = "Reseller"
    answer = await put(document, key=world.manager_key)
    assert (answer.status_code, list(faults_of(answer).values())) == (403, ["scope-too-wide"])
