"""Names to log in with: one user's each in the whole installation, and good for the password grant."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from ringbridge.model.directory import User
from tests.api.logins import PASSWORD, ask, give_password, log_in, settle
from tests.api.world import World

USERS = "/ns-api/v2/domains/{}/users"
DIRECTORY = "/ringbridge/v1/directory"


def body(user: str, login: str) -> dict[str, str]:
    return {
        "user": user,
        "name-first-name": "Ada",
        "name-last-name": "Lovelace",
        "email-address": "ada@demo.example",
        "user-scope": "Basic User",
        "login-username": login,
    }


async def make(world: World, user: str, login: str, *, domain: str = "demo") -> httpx.Response:
    return await ask(world, world.super_key, "POST", USERS.format(domain), body(user, login))


async def change(world: World, user: str, *, domain: str = "demo", **fields: str) -> httpx.Response:
    named = {name.replace("_", "-"): text for name, text in fields.items()}
    return await ask(world, world.super_key, "PUT", f"{USERS.format(domain)}/{user}", named)


def is_taken(answer: httpx.Response, field: str = "login-username") -> bool:
    fault = answer.json()["errors"][0]
    return (answer.status_code, fault["field"], fault["code"]) == (409, field, "already-taken")


async def test_a_name_is_one_user_s_in_the_whole_installation(world: World) -> None:
    assert (await make(world, "2001", "Ada@Example.com")).status_code == 202
    for domain in ("demo", "other"):
        assert is_taken(await make(world, "2002", "ada@example.COM", domain=domain))
        assert await world.store.user(domain, "2002") is None
        assert is_taken(await change(world, "1001", domain=domain, login_username=" ada@example.com "))
    assert (await make(world, "2003", "")).status_code == 202
    assert (await make(world, "2004", "")).status_code == 202, "none at all is many users'"


async def test_its_user_keeps_it_through_changes(world: World) -> None:
    assert (await make(world, "2001", "ada")).status_code == 202
    for fields in ({"name_first_name": "Eva"}, {"login_username": "ada"}, {"login_username": "ADA"}):
        assert (await change(world, "2001", **fields)).status_code == 202
        assert is_taken(await change(world, "1001", login_username="ada"))


@pytest.mark.parametrize("end", ["changed", "emptied", "deleted", "cascaded", "replaced"])
async def test_a_name_that_is_given_up_is_free_at_once(world: World, end: str) -> None:
    assert (await make(world, "2001", "ada")).status_code == 202
    match end:
        case "changed":
            assert (await change(world, "2001", login_username="eva")).status_code == 202
        case "emptied":
            assert (await change(world, "2001", login_username="")).status_code == 202
        case "deleted":
            path = USERS.format("demo") + "/2001"
            assert (await ask(world, world.super_key, "DELETE", path)).status_code == 202
        case "cascaded":
            path = "/ns-api/v2/domains/demo?cascade=yes"
            assert (await ask(world, world.super_key, "DELETE", path)).status_code == 202
        case _:
            document: dict[str, Any] = {"domains": [{"domain": "demo", "users": []}]}
            assert (await ask(world, world.super_key, "PUT", DIRECTORY, document)).status_code == 200
    assert (await make(world, "2002", "ada", domain="other")).status_code == 202


async def test_a_user_who_is_there_already_leaves_the_name_to_others(world: World) -> None:
    answer = await make(world, "1001", "ada")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "already-exists")
    assert (await make(world, "2001", "ada")).status_code == 202


async def test_the_user_domain_of_another_is_no_name(world: World) -> None:
    assert is_taken(await change(world, "1001", login_username="1002@demo"))
    assert is_taken(await make(world, "2001", "1002@other"))
    assert (await change(world, "1001", login_username="1001@demo")).status_code == 202
    assert (await make(world, "2001", "9999@demo")).status_code == 202


async def test_users_of_before_names_were_kept_apart_are_told(world: World) -> None:
    for domain in ("demo", "other"):
        user = await world.store.user(domain, "1001")
        assert user is not None
        world.put(msgspec.structs.replace(user, login_username="ada"))
    await settle(world)
    assert is_taken(await make(world, "2001", "ada"))
    assert (await change(world, "1001", name_first_name="Eva")).status_code == 202, "it changes nothing about that"
    assert (await change(world, "1001", login_username="eva")).status_code == 202
    assert is_taken(await make(world, "2001", "ada"))
    assert (await change(world, "1001", domain="other", login_username="")).status_code == 202
    assert (await make(world, "2001", "ada")).status_code == 202


async def test_both_names_log_the_user_in(world: World) -> None:
    await give_password(world)
    assert (await change(world, "1001", login_username="Ada@Example.com")).status_code == 202
    for username in ("1001@demo", "ada@example.com", "ADA@example.com"):
        answer = await log_in(world, username=username)
        assert (answer.status_code, answer.json().get("uid")) == (200, "1001@demo"), username
    assert (await log_in(world, username="ada@example.org")).status_code == 401
    assert (await change(world, "1001", login_username="eva")).status_code == 202
    assert (await log_in(world, username="ada@example.com")).status_code == 401
    assert (await log_in(world, username="eva", password=PASSWORD)).status_code == 200


# --- documents ---


def document(**logins: str) -> dict[str, Any]:
    users = [
        {"user": user.removeprefix("u"), "name-first-name": "Ada"} | ({"login-username": login} if login else {})
        for user, login in logins.items()
    ]
    return {"domains": [{"domain": "demo", "users": users}]}


async def apply(world: World, wanted: dict[str, Any], *, dry_run: str = "no") -> httpx.Response:
    return await ask(world, world.super_key, "PUT", f"{DIRECTORY}?dry-run={dry_run}", wanted)


async def test_a_document_has_each_name_once(world: World) -> None:
    answer = await apply(world, document(u1="ada", u2="ADA"))
    assert answer.status_code == 400
    assert [(one["field"], one["code"]) for one in answer.json()["errors"]] == [
        ("domains[0].users[1].login-username", "twice")
    ]


@pytest.mark.parametrize("dry_run", ["yes", "no"])
async def test_a_document_takes_no_name_of_others(world: World, dry_run: str) -> None:
    assert (await make(world, "2001", "ada", domain="other")).status_code == 202
    answer = await apply(world, document(u1="eva", u2="ada"), dry_run=dry_run)
    assert is_taken(answer, "domains[0].users[1].login-username")
    assert await world.store.user("demo", "1") is None


async def test_a_document_hands_names_on_inside(world: World) -> None:
    assert (await apply(world, document(u1="ada", u2="eva", u3="ida"))).status_code == 200
    assert (await apply(world, document(u1="eva", u2="ada", u4="ida"))).status_code == 200
    for user, login in (("1", "eva"), ("2", "ada"), ("4", "ida")):
        record = await world.store.user("demo", user)
        assert isinstance(record, User)
        assert record.login_username == login
        assert is_taken(await make(world, "2001", login, domain="other"))
    exported = (await ask(world, world.super_key, "GET", DIRECTORY)).json()
    again = await apply(world, exported)
    assert (again.status_code, again.json()["changes"]) == (200, [])
