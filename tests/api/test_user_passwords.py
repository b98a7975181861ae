"""A password in the body of a user: taken as by `PUT …/password`, and told nowhere."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ringbridge.adapters.memory.bus import Fault
from ringbridge.calls.access.credentials import Credentials
from ringbridge.model.access import Scope
from ringbridge.model.errors import BusUnavailable, CallError, Refusal
from tests.api.logins import PASSWORD, ask, give_password, log_in, token
from tests.api.world import CALLS, World

USER = "/ns-api/v2/domains/demo/users/1001"
USERS = "/ns-api/v2/domains/demo/users"
FIELD = "user-login-password"


def new_user(**fields: str) -> dict[str, Any]:
    body = {
        "user": "2001",
        "name-first-name": "Bob",
        "name-last-name": "Next",
        "email-address": "bob@example.com",
        "user-scope": "Basic User",
    }
    return body | {name.replace("_", "-"): text for name, text in fields.items()}


@pytest.mark.parametrize("synchronous", ["yes", "no"])
async def test_a_user_is_made_with_a_password_that_is_read_back_nowhere(world: World, synchronous: str) -> None:
    body = new_user(user_login_password=PASSWORD, synchronous=synchronous)
    made = await ask(world, world.manager_key, "POST", USERS, body)
    assert made.status_code == (200 if synchronous == "yes" else 202), made.text
    assert "x-ringbridge-ignored" not in made.headers
    assert (await log_in(world, username="2001@demo")).status_code == 200
    async with world.client(world.super_key) as client:
        texts = [
            (await client.get(path)).text
            for path in (f"{USERS}/2001", USERS, "/ringbridge/v1/directory", "/ringbridge/v1/audit")
        ]
    for text in (made.text, *texts):
        assert PASSWORD not in text
        assert "argon2" not in text
    kept = [entry.payload for stream in world.hub.streams.values() for entry in stream.entries]
    assert all(PASSWORD.encode() not in payload for payload in kept)
    user = await world.store.user("demo", "2001")
    assert FIELD not in str(user)
    (entry,) = [one for one in json.loads(texts[-1]) if one["kind"] == "credential"]
    assert (entry["action"], entry["operation"]) == ("create", "create-user")


async def test_a_change_of_a_user_sets_the_password_and_ends_the_logins(world: World) -> None:
    await give_password(world)
    old = await token(world)
    new = "another fine password"
    body = {"name-first-name": "Eva", FIELD: new}
    assert (await ask(world, world.manager_key, "PUT", USER, body)).status_code == 202
    world.clock.time += 1.1
    assert (await ask(world, old, "GET", CALLS)).status_code == 401
    assert (await log_in(world)).status_code == 401
    assert (await log_in(world, password=new)).json()["displayName"] == "Eva"
    for unchanged in ({"name-first-name": "Ida"}, {FIELD: ""}, {FIELD: None}):
        assert (await ask(world, world.manager_key, "PUT", USER, unchanged)).status_code == 202
        assert (await log_in(world, password=new)).status_code == 200
    (entry,) = [
        one
        for one in (await ask(world, world.manager_key, "GET", "/ringbridge/v1/domains/demo/audit")).json()
        if one["kind"] == "credential"
    ]
    assert FIELD in entry["fields"]


async def test_a_password_in_a_user_is_checked_as_everywhere(world: World) -> None:
    for bad in ("short", "x" * 129, "tab\tinside it", ["a list of them"]):
        for method, path, body in (("POST", USERS, new_user()), ("PUT", USER, {})):
            answer = await ask(world, world.manager_key, method, path, body | {FIELD: bad})
            assert answer.status_code == 400
            assert [one["field"] for one in answer.json()["errors"]] == [FIELD]
            assert str(bad) not in answer.text
    assert await world.store.user("demo", "2001") is None
    document = {"domains": [{"domain": "demo", "users": [{"user": "1001", FIELD: PASSWORD}]}]}
    refused = await ask(world, world.super_key, "PUT", "/ringbridge/v1/directory", document)
    faults = {one["field"]: one["code"] for one in refused.json()["errors"]}
    assert (refused.status_code, faults[f"domains[0].users[0].{FIELD}"]) == (400, "not-in-documents")
    assert PASSWORD not in refused.text


async def test_a_password_in_a_change_is_for_users_who_may_no_more(world: World) -> None:
    await give_password(world, scope=Scope.SUPER_USER)
    taken_over = {FIELD: "taken over by manager"}
    for body in (taken_over, taken_over | {"user-scope": "Basic User"}):
        answer = await ask(world, world.manager_key, "PUT", USER, body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (403, FIELD)
    assert (await log_in(world)).status_code == 200
    assert (await ask(world, world.user_key, "PUT", USER, taken_over)).status_code == 403


async def test_a_user_whose_password_cannot_be_stored_is_not_made(world: World) -> None:
    world.hub.faults.extend([None, Fault.LOST])
    body = new_user(user_login_password=PASSWORD)
    assert (await ask(world, world.manager_key, "POST", USERS, body)).status_code == 503
    assert (await ask(world, world.manager_key, "GET", f"{USERS}/2001")).status_code == 404
    assert (await ask(world, world.manager_key, "POST", USERS, body)).status_code == 202
    assert (await log_in(world, username="2001@demo")).status_code == 200


@pytest.mark.parametrize("how", ["refused", "cancelled"])
async def test_a_user_whose_password_is_not_stored_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    reached, refusal = asyncio.Event(), CallError(Refusal.CONFLICT, "contended", "is being changed by others")

    async def set_hash(*_: object) -> int:
        reached.set()
        if how == "refused":
            raise refusal
        await asyncio.sleep(60)
        return 0

    monkeypatch.setattr(Credentials, "set_hash", set_hash)
    body = new_user(user_login_password=PASSWORD)
    asked = asyncio.create_task(ask(world, world.manager_key, "POST", USERS, body))
    await reached.wait()
    if how == "refused":
        assert (await asked).status_code == 409
    else:
        asked.cancel()
        await asyncio.wait([asked])
    assert await world.bus.read_record("user", ("demo", "2001")) is None


async def test_a_change_of_which_the_password_is_not_stored_says_what_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def set_hash(*_: object) -> int:
        raise BusUnavailable

    monkeypatch.setattr(Credentials, "set_hash", set_hash)
    both = {"name-first-name": "Eva", FIELD: PASSWORD}
    answer = await ask(world, world.manager_key, "PUT", f"{USERS}/1001", both)
    assert answer.status_code == 503
    assert answer.json()["message"].startswith(f"{FIELD} may not be stored, name-first-name is: ")
    assert answer.headers["retry-after"] == "2"
    alone = await ask(world, world.manager_key, "PUT", f"{USERS}/1001", {FIELD: PASSWORD})
    assert alone.json()["message"] == BusUnavailable().message


LIMITS: dict[str, dict[str, Any]] = {
    "ip-address": {"ip_address": "127.0.0.0/8"},
    "allowed-models": {"allowed_models": ("user",)},
    "expires-datetime": {"expires_at": 1_900_000_000.0},
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_no_token_sheds_its_limits_by_a_password(world: World, limit: str) -> None:
    await give_password(world)
    key = world.add_key("demo", "*", "Office Manager", can_create_keys="yes", **LIMITS[limit])
    taken = {FIELD: "taken over by a key"}
    answers = [
        await ask(world, key, "PUT", f"{USER}/password", taken),
        await ask(world, key, "PUT", USER, taken),
        await ask(world, key, "POST", USERS, new_user() | taken),
        await ask(world, key, "POST", f"{USER}/mfa"),
        await ask(world, key, "DELETE", f"{USER}/mfa"),
        await ask(world, key, "PUT", USER, {"user-scope": "Advanced User"}),
    ]
    assert [(one.status_code, one.json()["errors"][0]["code"]) for one in answers] == [(403, "limited-token")] * 6
    assert all(limit in one.json()["message"] for one in answers)
    assert (await log_in(world)).status_code == 200
    assert (await ask(world, key, "POST", USERS, new_user())).status_code == 202, "who cannot log in yet"
    assert (await ask(world, key, "PUT", USER, {"name-first-name": "Eva"})).status_code == 202


async def test_a_delegated_token_gives_nobody_a_password(world: World) -> None:
    await give_password(world, scope=Scope.OFFICE_MANAGER)
    body = {"domain": "demo", "user": "1001"}
    delegated = (await ask(world, world.manager_key, "POST", "/ns-api/v2/jwt", body)).json()["token"]
    answer = await ask(world, delegated, "PUT", f"{USERS}/1002/password", {FIELD: "taken over by a key"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "limited-token")


async def test_a_key_that_makes_no_keys_gives_passwords_to_who_makes_none_either(world: World) -> None:
    key = world.add_key("demo", "*", "Office Manager")
    made = await ask(world, key, "POST", USERS, new_user(user_login_password=PASSWORD))
    assert made.status_code == 202
    assert (await log_in(world, username="2001@demo")).status_code == 200
    manager = new_user(user="2002", user_scope="Office Manager")
    refused = [
        await ask(world, key, "POST", USERS, manager | {FIELD: PASSWORD}),
        await ask(world, key, "PUT", f"{USERS}/2001", {"user-scope": "Office Manager"}),
    ]
    assert (await ask(world, key, "POST", USERS, manager)).status_code == 202
    refused.append(await ask(world, key, "PUT", f"{USERS}/2002/password", {FIELD: PASSWORD}))
    document = {"domains": [{"domain": "demo", "users": [{"user": "2001", "user-scope": "Office Manager"}]}]}
    refused.append(await ask(world, key, "PUT", "/ringbridge/v1/directory", document))
    assert [(one.status_code, one.json()["errors"][0]["code"]) for one in refused] == [(403, "may-not-create-keys")] * 4
    assert (await ask(world, world.manager_key, "PUT", f"{USERS}/2002/password", {FIELD: PASSWORD})).status_code == 202
