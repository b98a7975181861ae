"""API keys over HTTP (contract §2): made, never wider than their maker, read, changed, revoked."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ringbridge.model.access import Scope
from ringbridge.model.keys import is_well_formed
from tests.api.logins import JWT, give_password, token
from tests.api.world import CALLS, World

KEYS = "/ns-api/v2/apikeys"


async def create(world: World, maker: str, *, address: str = "127.0.0.1", **fields: object) -> httpx.Response:
    body = {"description": "key of a test program"} | {name.replace("_", "-"): one for name, one in fields.items()}
    async with world.client(maker, address=address) as client:
        return await client.post(KEYS, json=body)


async def ask(world: World, key: str, method: str, path: str, body: object = None) -> httpx.Response:
    async with world.client(key) as client:
        return await client.request(method, path, json=body)


def codes_of(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 403, answer.text
    return [one["code"] for one in answer.json()["errors"]]


def codes(answer: httpx.Response) -> dict[str, str]:
    return {one["field"]: one["code"] for one in answer.json()["errors"]}


async def test_a_key_is_shown_once_and_works_at_once(world: World) -> None:
    answer = await create(world, world.manager_key, user="1001", readonly="yes", allowed_models=["call"])
    assert answer.status_code == 200
    made = answer.json()
    assert is_well_formed(made["key"])
    assert made["key"].startswith("nsu_")
    assert made["key"][4:16] == made["key-id"]
    assert (made["domain"], made["user"], made["user-scope"], made["readonly"]) == ("demo", "1001", "Basic User", "yes")
    async with world.client(made["key"]) as client:
        assert (await client.get(CALLS)).status_code == 200
        assert (await client.post(CALLS, json={})).status_code == 403
        own = await client.get(KEYS + "/~")
    assert own.status_code == 403  # it may be used for calls alone
    read = (await ask(world, world.manager_key, "GET", f"{KEYS}/{made['key-id']}")).json()
    assert "key" not in read
    assert read["description"] == "key of a test program"
    assert read["created-datetime"].endswith("+00:00")
    stored = await world.store.api_key(made["key-id"])
    assert made["key"] not in str(stored)


async def test_a_key_without_the_right_makes_none(world: World) -> None:
    for key in (world.user_key, world.foreign_manager_key):
        assert (await create(world, key)).status_code == 403
    assert (await create(world, world.readonly_key)).json()["errors"][0]["code"] == "read-only"


async def test_a_manager_who_logs_in_makes_keys_that_outlive_the_login(world: World) -> None:
    await give_password(world, scope=Scope.OFFICE_MANAGER)
    login = await token(world)
    made = (await create(world, login)).json()
    assert (made["domain"], made["user"], made["expires-datetime"]) == ("demo", "*", None)
    assert (await create(world, login, domain="other")).status_code == 403
    assert (await create(world, login, user_scope="Super User")).status_code == 403
    world.clock.time += 10_000
    assert (await ask(world, login, "GET", CALLS)).status_code == 401
    assert (await ask(world, made["key"], "GET", CALLS)).status_code == 200


async def test_nobody_else_makes_keys_by_a_login(world: World) -> None:
    await give_password(world)
    assert codes_of(await create(world, await token(world))) == ["may-not-create-keys"]
    await give_password(world, "1002", scope=Scope.OFFICE_MANAGER)
    delegated = await ask(world, world.manager_key, "POST", JWT, {"domain": "demo", "user": "1002"})
    assert codes_of(await create(world, delegated.json()["token"])) == ["may-not-create-keys"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"domain": "other"}, "domain"),
        ({"domain": "*"}, "reseller"),
        ({"domain": "other", "user": "1001"}, "user"),
        ({"domain": "*", "reseller": "acme"}, "reseller"),
        ({"user-scope": "Super User"}, "user-scope"),
        ({"user": "1001", "user-scope": "Reseller"}, "user-scope"),
    ],
)
async def test_nothing_wider_than_its_maker(world: World, fields: dict[str, Any], field: str) -> None:
    answer = await create(world, world.manager_key, **fields)
    assert answer.status_code == 403, answer.text
    assert field in codes(answer)
    assert world.writes == 0


async def test_every_excess_is_named_at_once(world: World) -> None:
    answer = await create(world, world.manager_key, domain="other", user_scope="Super User")
    assert set(codes(answer)) == {"domain", "user-scope"}


async def test_limits_of_the_maker_are_handed_on_and_not_widened(world: World) -> None:
    ends = world.clock.now() + 1000
    maker = world.add_key(
        "demo",
        "*",
        "Office Manager",
        can_create_keys="yes",
        ip_address="127.0.0.0/8",
        allowed_models=("apikey", "call"),
        expires_at=ends,
    )
    made = (await create(world, maker)).json()
    assert made["ip-address"] == "127.0.0.0/8"
    assert made["allowed-models"] == ["apikey", "call"]
    assert made["expires-datetime"] is not None
    narrower = await create(world, maker, ip_address="127.0.0.1", allowed_models="call")
    assert narrower.status_code == 200
    wider = await create(
        world, maker, ip_address="127.0.0.1,192.0.2.1", allowed_models=["cdr"], expires_datetime="2099-01-01 00:00:00"
    )
    assert set(codes(wider)) == {"ip-address", "allowed-models", "expires-datetime"}
    update = await ask(world, maker, "PUT", f"{KEYS}/{made['key-id']}", {"ip-address": "", "allowed-models": []})
    assert set(codes(update)) == {"ip-address", "allowed-models"}


async def test_all_faults_are_named(world: World) -> None:
    answer = await create(
        world,
        world.super_key,
        description="short",
        domain="demo",
        user="10 01",
        user_scope="Emperor",
        ip_address="everywhere",
        readonly="perhaps",
        allowed_models=["tea"],
        expires_datetime="tomorrow",
    )
    assert answer.status_code == 400
    assert set(codes(answer)) == {
        "description",
        "user",
        "user-scope",
        "ip-address",
        "readonly",
        "allowed-models",
        "expires-datetime",
    }
    missing = await create(world, world.super_key, domain="none")
    assert codes(missing) == {"domain": "no-such-domain"}
    assert codes(await create(world, world.super_key, domain="demo", user="9999")) == {"user": "no-such-user"}


async def test_super_users_and_resellers_make_keys_of_their_kind(world: World) -> None:
    made = (await create(world, world.super_key, domain="*", reseller="acme", can_create_keys="yes")).json()
    assert made["key"].startswith("nsr_")
    assert made["user-scope"] == "Reseller"
    reseller = made["key"]
    assert (await create(world, reseller, domain="other")).json()["key"].startswith("nsd_")
    assert (await create(world, reseller, domain="demo")).status_code == 403
    assert (await create(world, world.super_key)).json()["key"].startswith("nss_")


async def test_the_keys_that_a_token_rules_over_are_listed(world: World) -> None:
    domains = {one["domain"] for one in (await ask(world, world.manager_key, "GET", KEYS)).json()}
    assert domains == {"demo"}
    own = (await ask(world, world.user_key, "GET", KEYS)).json()
    assert {(one["domain"], one["user"]) for one in own} == {("demo", "1001")}
    answer = await ask(world, world.super_key, "GET", KEYS + "?limit=2")
    assert len(answer.json()) == 2
    assert int(answer.headers["x-total-count"]) == 7
    assert 'rel="next"' in answer.headers["link"]
    assert "sha256" not in answer.text
    for key, total in ((world.super_key, 7), (world.manager_key, 4), (world.user_key, 1)):
        assert (await ask(world, key, "GET", KEYS + "/count")).json() == {"total": total}


async def test_another_s_key_is_404(world: World) -> None:
    foreign = world.foreign_key[4:16]
    missing = "A" * 12
    for method, body in (("GET", None), ("PUT", {"description": "taken over by another"}), ("DELETE", None)):
        for key in (world.manager_key, world.user_key):
            there = await ask(world, key, method, f"{KEYS}/{foreign}", body)
            nowhere = await ask(world, key, method, f"{KEYS}/{missing}", body)
            assert (there.status_code, nowhere.status_code) == (404, 404), method
            assert there.json()["message"].replace(foreign, missing) == nowhere.json()["message"]
    assert await world.store.api_key(foreign) is not None
    assert world.writes == 0


async def test_a_key_reads_itself(world: World) -> None:
    for key in (world.user_key, world.super_key):
        answer = await ask(world, key, "GET", KEYS + "/~")
        assert answer.json()["key-id"] == key[4:16]
    assert (await ask(world, world.user_key, "GET", KEYS + "/%7E")).status_code == 200


async def test_update_changes_what_it_names(world: World) -> None:
    made = (await create(world, world.manager_key, user="1001", ip_address="192.0.2.1")).json()
    path = f"{KEYS}/{made['key-id']}"
    answer = await ask(world, world.manager_key, "PUT", path, {"description": "another description"})
    assert answer.status_code == 202
    read = (await ask(world, world.manager_key, "GET", path)).json()
    assert (read["description"], read["ip-address"]) == ("another description", "192.0.2.1")
    assert (await ask(world, world.manager_key, "PUT", path, {"user-scope": "Super User"})).status_code == 202
    assert (await ask(world, world.manager_key, "GET", path)).json()["user-scope"] == "Basic User"


async def test_a_revoked_key_ends(world: World) -> None:
    made = (await create(world, world.manager_key, user="1001")).json()
    assert (await ask(world, made["key"], "GET", CALLS)).status_code == 200
    assert (await ask(world, world.manager_key, "DELETE", f"{KEYS}/{made['key-id']}")).status_code == 202
    world.clock.time += 1.1
    assert (await ask(world, made["key"], "GET", CALLS)).status_code == 401


async def test_a_key_without_the_right_revokes_itself_alone(world: World) -> None:
    first = world.add_key("demo", "1001", "Basic User")
    second = (await create(world, world.manager_key, user="1001")).json()
    assert (await ask(world, first, "DELETE", f"{KEYS}/{second['key-id']}")).status_code == 403
    assert (await ask(world, second["key"], "DELETE", KEYS + "/~")).status_code == 202


async def test_last_use_is_written_seldom(world: World) -> None:
    made = (await create(world, world.manager_key, user="1001")).json()
    read = f"{KEYS}/{made['key-id']}"
    assert (await ask(world, world.manager_key, "GET", read)).json()["lastused-datetime"] is None
    for _ in range(5):
        await ask(world, made["key"], "GET", CALLS)
    await world.accounts.uses.flush()
    writes = world.writes
    for _ in range(10):
        world.clock.time += 60
        await ask(world, made["key"], "GET", CALLS)
        await world.accounts.uses.flush()
    assert world.writes == writes
    assert (await ask(world, world.manager_key, "GET", read)).json()["lastused-datetime"].startswith("2027-01-15T08:")
    world.clock.time += 3600
    await ask(world, made["key"], "GET", CALLS)
    world.hub.is_up = False
    await world.accounts.uses.flush()
    world.hub.is_up = True
    await world.accounts.uses.flush()
    assert world.writes > writes


async def test_without_the_bus_no_key_is_made(world: World) -> None:
    world.hub.is_up = False
    assert (await create(world, world.manager_key)).status_code == 503
