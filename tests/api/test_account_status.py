"""A user whose `account-status` is another than `standard` is not let in, by whatever token; calls go on."""

from __future__ import annotations

import pytest

from ringbridge.model.access import Scope
from tests.api.logins import JWT, PASSWORD, ask, give_password, log_in
from tests.api.world import CALLS, World, order

USER = "/ns-api/v2/domains/demo/users/1001"
OTHERS = ("new", "reset", "pwd reset")
CODE = "account-not-active"


async def set_status(world: World, status: str, user: str = USER) -> None:
    assert (await ask(world, world.manager_key, "PUT", user, {"account-status": status})).status_code == 202
    world.clock.time += 1.1


def code_of(answer: object) -> object:
    return answer.json()["errors"][0]["code"]  # type: ignore[attr-defined] # an answer of httpx


@pytest.mark.parametrize("status", OTHERS)
async def test_nothing_of_a_user_whose_account_is_not_active_is_taken(world: World, status: str) -> None:
    await give_password(world)
    login = (await log_in(world)).json()
    jwt = (await log_in(world, JWT)).json()["token"]
    delegated = (await ask(world, world.manager_key, "POST", JWT, {"domain": "demo", "user": "1001"})).json()["token"]
    tokens = (login["access_token"], jwt, delegated, world.user_key)
    for one in tokens:
        assert (await ask(world, one, "GET", CALLS)).status_code == 200
    await set_status(world, status)
    for one in tokens:
        refused = await ask(world, one, "GET", CALLS)
        assert (refused.status_code, code_of(refused)) == (401, CODE)
        assert status in refused.json()["message"]
    again = await log_in(world, grant_type="refresh_token", refresh_token=login["refresh_token"])
    assert (again.status_code, code_of(again)) == (401, CODE)
    for path in ("/ns-api/v2/tokens", JWT):
        refused = await log_in(world, path)
        assert (refused.status_code, code_of(refused)) == (403, CODE)
    made = await ask(world, world.manager_key, "POST", JWT, {"domain": "demo", "user": "1001"})
    assert (made.status_code, code_of(made)) == (403, CODE)
    await set_status(world, "standard")
    for one in tokens:
        assert (await ask(world, one, "GET", CALLS)).status_code == 200
    again = await log_in(world, grant_type="refresh_token", refresh_token=login["refresh_token"])
    assert again.status_code == 200


async def test_who_does_not_know_the_password_learns_nothing_of_the_status(world: World) -> None:
    await give_password(world)
    wrong = await log_in(world, password="a wrong one")
    await set_status(world, "new")
    assert (await log_in(world, password="a wrong one")).json() | {"request-id": ""} == wrong.json() | {
        "request-id": ""
    }
    for _ in range(10):
        assert (await log_in(world, password=PASSWORD)).status_code == 403, "it counts as no guess"


async def test_who_acts_for_others_acts_no_more(world: World) -> None:
    await give_password(world, "1002", scope=Scope.OFFICE_MANAGER)
    login = (await log_in(world, username="1002@demo")).json()["access_token"]
    key = world.add_key("demo", "1002", "Basic User")
    by_login = (await ask(world, login, "POST", JWT, {"domain": "demo", "user": "1001"})).json()["token"]
    by_key = (await ask(world, key, "POST", JWT, {"domain": "demo", "user": "1002"})).json()["token"]
    assert (await ask(world, by_login, "GET", CALLS)).status_code == 200
    await set_status(world, "reset", "/ns-api/v2/domains/demo/users/1002")
    for one in (by_login, by_key):
        assert (await ask(world, one, "GET", CALLS)).status_code == 401
    assert (await ask(world, world.user_key, "GET", CALLS)).status_code == 200


async def test_calls_that_a_manager_makes_for_the_user_go_on(world: World) -> None:
    await set_status(world, "new")
    assert (await ask(world, world.manager_key, "POST", CALLS, order())).status_code == 202
    assert (await ask(world, world.manager_key, "GET", f"{CALLS}/click-1")).status_code == 200
    assert (await ask(world, world.manager_key, "DELETE", f"{CALLS}/click-1")).status_code == 202


async def test_an_emptied_status_is_the_active_one(world: World) -> None:
    await set_status(world, "new")
    await set_status(world, "")
    assert (await ask(world, world.user_key, "GET", CALLS)).status_code == 200
