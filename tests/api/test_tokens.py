"""Logins, refreshing, second factors and JWTs (contract §2)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from ringbridge.adapters.memory.bus import MemoryBus, MemoryFeed
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.replica.replica import Replica
from ringbridge.calls.access.accounts import make_accounts
from ringbridge.calls.access.tokens import Tokens
from ringbridge.model.access import Scope
from ringbridge.model.accounts import OAuthClient
from ringbridge.model.directory import Domain
from ringbridge.model.keys import hash_of
from ringbridge.model.second_factor import code_at
from tests.api.logins import CLIENT, JWT, PASSWORD, TOKENS, ask, give_password, log_in, settle, token
from tests.api.world import CALLS, World

DOMAIN_CALLS = "/ns-api/v2/domains/demo/calls"
USER = "/ns-api/v2/domains/demo/users/1001"


async def test_a_password_becomes_tokens_that_work(world: World) -> None:
    await give_password(world)
    answer = await log_in(world)
    assert answer.status_code == 200
    got = answer.json()
    assert (got["token_type"], got["expires_in"], got["scope"]) == ("Bearer", 3600, "Basic User")
    assert (got["user"], got["domain"], got["uid"], got["client_id"]) == ("1001", "demo", "1001@demo", "ringbridge")
    assert (await ask(world, got["access_token"], "GET", "/ns-api/v2/domains/~/users/~/calls")).status_code == 200
    assert (await ask(world, got["access_token"], "GET", DOMAIN_CALLS)).status_code == 403
    assert (await ask(world, got["refresh_token"], "GET", CALLS)).status_code == 401


@pytest.mark.parametrize("path", ["/ns-api/oauth2/token/", "/ns-api/oauth2/token", TOKENS])
async def test_a_form_does_too_on_every_path(world: World, path: str) -> None:
    await give_password(world)
    async with world.client("") as client:
        form = CLIENT | {"grant_type": "password", "username": "1001@demo", "password": PASSWORD, "format": "json"}
        answer = await client.post(path, data=form)
        twice = await client.post(
            path, content=b"a=1&a=2", headers={"content-type": "application/x-www-form-urlencoded"}
        )
    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"]
    assert twice.status_code == 400


@pytest.mark.parametrize("path", ["/ns-api/oauth2/token/", TOKENS])
async def test_so_does_a_query_beside_a_body_or_without_one(world: World, path: str) -> None:
    await give_password(world)
    grant = CLIENT | {"grant_type": "password", "username": "1001@demo", "password": PASSWORD}
    secret = {"password": grant.pop("password")}
    form, json_body = {"data": secret}, {"json": secret}
    async with world.client("") as client:
        for sent in ({"params": grant | secret}, {"params": grant} | form, {"params": grant} | json_body):
            answer = await client.post(path, **sent)  # type: ignore[arg-type] # arguments of one request each
            assert answer.status_code == 200, answer.text
        both = await client.post(path, params=grant | {"password": "another password"}, json=secret)
        assert both.status_code == 200, "the body's fields count"
        neither = await client.post(path)
        named = {one["field"] for one in (await client.post(path, params={"client_id": "x"})).json()["errors"]}
        broken = await client.post(path, params=grant, content=b"{", headers={"content-type": "application/json"})
        other = await client.post(path, params=grant, content=b"x", headers={"content-type": "text/plain"})
    assert (neither.status_code, broken.status_code, other.status_code) == (400, 400, 415)
    assert named == {"username", "password"}


async def test_a_jwt_is_made_by_query_too(world: World) -> None:
    await give_password(world)
    grant = CLIENT | {"grant_type": "password", "username": "1001@demo", "password": PASSWORD}
    async with world.client("") as client:
        jwt = (await client.post(JWT, params=grant)).json()["token"]
    assert (await ask(world, jwt, "GET", JWT)).json()["sub"] == "1001@demo"


async def test_a_login_name_does_too(world: World) -> None:
    await give_password(world)
    user = await world.store.user("demo", "1001")
    assert user is not None
    world.put(msgspec.structs.replace(user, login_username="Ada@Example.com"))
    assert (await log_in(world, username="ada@example.COM")).json()["login"] == "Ada@Example.com"
    other = await world.store.user("other", "1001")
    assert other is not None
    world.put(msgspec.structs.replace(other, login_username="ada@example.com"))
    assert (await log_in(world, username="ada@example.com")).status_code == 401


async def test_whatever_is_wrong_is_answered_alike(world: World) -> None:
    await give_password(world)
    bodies = []
    for fields in (
        {"password": "wrong password"},
        {"username": "1002@demo"},
        {"username": "9999@demo"},
        {"username": "1001@none"},
        {"username": "nobody"},
    ):
        answer = await log_in(world, **fields)
        assert answer.status_code == 401
        assert "wrong password" not in answer.text
        bodies.append(answer.json() | {"request-id": ""})
    assert all(body == bodies[0] for body in bodies)


async def test_faults_of_a_login_are_named_without_secrets(world: World) -> None:
    async with world.client("") as client:
        answer = await client.post(TOKENS, json={"grant_type": "magic", "password": "se\u0000cret"})
        missing = await client.post(TOKENS, json={"grant_type": "mfa", "client_id": "x"})
        unused = await client.post(
            JWT, json={"grant_type": "refresh_token", "ns_id_type": "x", "mfa_type": "x" * 5000, "user": [], **CLIENT}
        )
    assert {one["field"] for one in unused.json()["errors"]} == {"ns_id_type", "mfa_type", "user", "refresh_token"}
    assert {one["field"] for one in answer.json()["errors"]} == {"grant_type", "client_id", "password"}
    assert "cret" not in answer.text
    fields = {one["field"] for one in missing.json()["errors"]}
    assert fields == {"username", "password", "passcode", "access_token"}


async def test_clients_are_registered_with_a_secret(world: World) -> None:
    await give_password(world)
    world.put(OAuthClient(client_id="crm", secret_sha256=hash_of("its secret")))
    assert (await log_in(world, client_id="crm", client_secret="its secret")).status_code == 200
    for client in ({"client_id": "crm", "client_secret": "guess"}, {"client_id": "none"}):
        answer = await log_in(world, **client)
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["code"] == "bad-client"


async def test_clients_are_registered_by_super_users_and_removed(world: World) -> None:
    await give_password(world)
    path = "/ringbridge/v1/oauth-clients"
    made = (await ask(world, world.super_key, "POST", path, {"client-id": "crm", "description": "the CRM"})).json()
    client = {"client_id": "crm", "client_secret": made["client-secret"]}
    login = await log_in(world, **client)
    assert login.status_code == 200
    assert (await ask(world, world.super_key, "POST", path, {"client-id": "crm"})).status_code == 409
    assert (await ask(world, world.super_key, "POST", path, {"client-id": "c r m"})).status_code == 400
    listed = (await ask(world, world.super_key, "GET", path)).json()
    assert [one["client-id"] for one in listed] == ["crm"]
    assert "client-secret" not in listed[0]
    assert (await ask(world, world.super_key, "DELETE", f"{path}/crm")).status_code == 202
    assert (await ask(world, world.super_key, "DELETE", f"{path}/crm")).status_code == 404
    refresh = {"grant_type": "refresh_token", "refresh_token": login.json()["refresh_token"]}
    assert (await log_in(world, **client | refresh)).status_code == 401


async def test_what_one_node_revokes_is_void_on_the_others(world: World) -> None:
    await give_password(world)
    jwt, other = [(await log_in(world, JWT)).json()["token"] for _ in range(2)]
    async with other_node(world) as (tokens, replica):
        assert await tokens.principal(jwt) is not None, "the key of the cluster verifies on every node"
        assert (await ask(world, jwt, "DELETE", JWT)).status_code == 202
        await replica.wait_directory(world.directory_sequence, timeout_s=2)
        assert await tokens.principal(jwt) is None
        assert await tokens.principal(other) is not None
        assert (await ask(world, world.manager_key, "DELETE", f"{JWT}/1001@demo")).status_code == 202
        await replica.wait_directory(world.directory_sequence, timeout_s=2)
        assert await tokens.principal(other) is None


@asynccontextmanager
async def other_node(world: World) -> AsyncIterator[tuple[Tokens, Replica]]:
    """Yield the tokens of a second node on the same bus, with a store of its own."""
    store = MemoryStore(world.clock)
    bus = MemoryBus(world.hub)
    replica = Replica(MemoryFeed(world.hub), store, clock=world.clock, commit_pause_s=0.001)
    await replica.start()
    task = asyncio.create_task(replica.run())
    accounts = make_accounts(
        store=store, bus=bus, clock=world.clock, random_part=lambda: "z" * 48, passwords=world.passwords
    )
    try:
        assert await replica.wait_directory(world.directory_sequence, timeout_s=2)
        yield accounts.tokens, replica
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_the_scope_of_a_login_is_its_reach(world: World) -> None:
    await give_password(world, scope=Scope.OFFICE_MANAGER)
    manager = await token(world)
    assert (await ask(world, manager, "GET", DOMAIN_CALLS)).status_code == 200
    assert (await ask(world, manager, "GET", "/ns-api/v2/domains/other/calls")).status_code == 404
    await give_password(world, scope=Scope.BASIC_USER)
    assert (await ask(world, await token(world), "GET", DOMAIN_CALLS)).status_code == 403


async def test_a_token_has_no_more_than_its_user_has_now(world: World) -> None:
    await give_password(world, scope=Scope.OFFICE_MANAGER)
    manager = await token(world)
    user = await world.store.user("demo", "1001")
    assert user is not None
    world.put(msgspec.structs.replace(user, user_scope="Basic User"))
    assert (await ask(world, manager, "GET", DOMAIN_CALLS)).status_code == 403


async def test_a_reseller_logs_in_to_its_domains(world: World) -> None:
    world.put(Domain("demo", reseller="acme"))
    await give_password(world, scope=Scope.RESELLER)
    reseller = await token(world)
    assert (await ask(world, reseller, "GET", "/ns-api/v2/domains/other/calls")).status_code == 200


async def test_tokens_end_with_time(world: World) -> None:
    await give_password(world)
    access = await token(world)
    world.clock.time += 3600 + 29
    assert (await ask(world, access, "GET", CALLS)).status_code == 200, "clocks may differ by half a minute"
    world.clock.time += 2
    assert (await ask(world, access, "GET", CALLS)).status_code == 401


async def test_a_new_password_ends_every_login(world: World) -> None:
    await give_password(world)
    got = (await log_in(world)).json()
    await give_password(world)
    world.clock.time += 1.1
    assert (await ask(world, got["access_token"], "GET", CALLS)).status_code == 401
    again = await log_in(world, grant_type="refresh_token", refresh_token=got["refresh_token"])
    assert again.status_code == 401


async def test_a_deleted_user_is_out_and_so_is_who_gets_the_name(world: World) -> None:
    await give_password(world)
    access = await token(world)
    assert (await ask(world, world.manager_key, "DELETE", USER + "?cascade=yes")).status_code == 202
    world.clock.time += 1.1
    assert (await ask(world, access, "GET", CALLS)).status_code == 401
    created = await ask(world, world.manager_key, "POST", "/ns-api/v2/domains/demo/users", NEW_USER)
    assert created.status_code == 202, created.text
    world.clock.time += 1.1
    assert (await ask(world, access, "GET", CALLS)).status_code == 401
    assert (await log_in(world)).status_code == 401


NEW_USER = {
    "user": "1001",
    "name-first-name": "Bob",
    "name-last-name": "Next",
    "email-address": "bob@example.com",
    "user-scope": "Basic User",
}


# --- refreshing ---


async def refresh(world: World, refresh_token: str) -> tuple[int, str, str]:
    answer = await log_in(world, grant_type="refresh_token", refresh_token=refresh_token)
    body = answer.json()
    return answer.status_code, body.get("access_token", ""), body.get("refresh_token", "")


async def test_a_refresh_token_is_good_once(world: World) -> None:
    await give_password(world)
    first = (await log_in(world)).json()["refresh_token"]
    status, access, second = await refresh(world, first)
    assert status == 200
    assert second != first
    assert (await ask(world, access, "GET", CALLS)).status_code == 200
    world.clock.time += 11
    status, _, third = await refresh(world, second)
    assert status == 200
    world.clock.time += 11
    assert (await refresh(world, first))[0] == 401, "somebody has stolen one of them"
    world.clock.time += 1.1
    assert (await refresh(world, third))[0] == 401, "the whole login is over"
    assert (await ask(world, access, "GET", CALLS)).status_code == 401


async def test_a_repeated_refresh_gets_the_same_answer(world: World) -> None:
    await give_password(world)
    first = (await log_in(world)).json()["refresh_token"]
    answers = await asyncio.gather(*(refresh(world, first) for _ in range(3)))
    assert {status for status, _, _ in answers} == {200}
    assert len({again for _, _, again in answers}) == 1
    assert (await refresh(world, answers[0][2]))[0] == 200


async def test_the_first_login_is_refreshed_and_used_before_the_copy_has_what_signed_it(world: World) -> None:
    await give_password(world)
    world.feed.hold()
    async with world.client("") as client:
        grant = CLIENT | {"grant_type": "password", "username": "1001@demo", "password": PASSWORD}
        got = (await client.post(TOKENS, json=grant)).json()
        for _ in range(5):
            again = CLIENT | {"grant_type": "refresh_token", "refresh_token": got["refresh_token"]}
            answer = await client.post(TOKENS, json=again)
            assert answer.status_code == 200, answer.text
            got = answer.json()
            used = await client.get(CALLS, headers={"authorization": f"Bearer {got['access_token']}"})
            assert used.status_code == 200
    world.feed.go_on()


async def test_a_made_up_key_name_asks_the_bus_for_no_key_but_the_next(world: World) -> None:
    await give_password(world)
    jwt = (await log_in(world, JWT)).json()["token"]
    payload = jwt.split(".", 1)[1]
    world.hub.is_up = False  # whatever asks the bus now is 503
    for number, status in (("7", 401), ("0", 401), ("2", 503)):
        head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": number}).encode()).decode().rstrip("=")
        async with world.client(f"{head}.{payload}") as client:
            assert (await client.get(CALLS)).status_code == status, number


async def test_a_refresh_token_is_its_client_s(world: World) -> None:
    await give_password(world)
    world.put(OAuthClient(client_id="crm", secret_sha256=hash_of("its secret")))
    first = (await log_in(world)).json()["refresh_token"]
    stolen = await log_in(
        world, grant_type="refresh_token", refresh_token=first, client_id="crm", client_secret="its secret"
    )
    assert stolen.status_code == 401
    assert (await refresh(world, await token(world)))[0] == 401, "an access token refreshes nothing"


# --- throttling ---


async def test_guessing_is_throttled_for_known_and_unknown_alike(world: World) -> None:
    await give_password(world)
    for username in ("1001@demo", "9999@demo"):
        statuses = [(await log_in(world, username=username, password="guess")).status_code for _ in range(9)]
        assert statuses == [401] * 8 + [429]
    refused = await log_in(world)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert (await log_in(world, address="192.0.2.1")).status_code == 200, "its owner elsewhere is not locked out"
    world.clock.time += 601
    assert (await log_in(world)).status_code == 200


async def test_many_guesses_at_once_gain_nothing(world: World) -> None:
    await give_password(world)
    answers = await asyncio.gather(*(log_in(world, password="guess") for _ in range(20)))
    assert sum(answer.status_code == 401 for answer in answers) == 8


async def test_a_user_is_guessed_at_once_by_both_names(world: World) -> None:
    await give_password(world)
    user = await world.store.user("demo", "1001")
    assert user is not None
    world.put(msgspec.structs.replace(user, login_username="ada"))
    names = ["1001@demo", "ada"] * 5
    statuses = [(await log_in(world, username=name, password="guess")).status_code for name in names]
    assert statuses == [401] * 8 + [429] * 2


@pytest.mark.parametrize("what", ["password", "mfa"])
async def test_whoever_has_a_token_guesses_no_secret_behind_it(world: World, what: str) -> None:
    await give_password(world)
    await enrol(world)
    statuses = []
    for number in range(9):
        if what == "password":
            body = {"user-login-password": "a new password", "current-password": "guess"}
            answer = await ask(world, world.user_key, "PUT", USER + "/password", body)
        else:
            answer = await ask(world, world.user_key, "DELETE", f"{USER}/mfa?passcode=12345{number}")
        statuses.append(answer.status_code)
    assert statuses == [403 if what == "password" else 400] * 8 + [429]
    assert (await ask(world, world.manager_key, "DELETE", USER + "/mfa")).status_code == 202, "who need not guess does"


# --- JWT ---


async def test_a_jwt_by_password_tells_itself(world: World) -> None:
    await give_password(world)
    writes = world.writes
    answer = await log_in(world, JWT)
    assert set(answer.json()) == {"token"}
    assert world.writes - writes <= 1, "of the signing key, once"
    jwt = answer.json()["token"]
    read = (await ask(world, jwt, "GET", JWT)).json()
    assert (read["sub"], read["domain"], read["user"], read["user_scope"]) == (
        "1001@demo",
        "demo",
        "1001",
        "Basic User",
    )
    assert read["exp"] - read["iat"] == 86_400
    assert read["time_out"] == 86_400_000
    assert (await ask(world, world.user_key, "GET", JWT)).status_code == 400


async def test_what_we_did_not_sign_is_no_token(world: World) -> None:
    await give_password(world)
    jwt = (await log_in(world, JWT)).json()["token"]
    header, payload, signature = jwt.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "==")) | {"user_scope": "Super User"}
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"1"}').decode().rstrip("=")
    for wrong in (
        f"{header}.{forged}.{signature}",
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        f"{header}.{payload}.",
        "..",
        "a.b.c",
        jwt + "x",
        "e30." + "A" * 5000 + ".x",
    ):
        assert (await ask(world, wrong, "GET", CALLS)).status_code == 401, wrong


async def test_the_token_in_use_is_voided(world: World) -> None:
    await give_password(world)
    jwt, other = [(await log_in(world, JWT)).json()["token"] for _ in range(2)]
    assert (await ask(world, jwt, "DELETE", JWT)).status_code == 202
    world.clock.time += 1.1
    assert (await ask(world, jwt, "GET", CALLS)).status_code == 401
    assert (await ask(world, other, "GET", CALLS)).status_code == 200
    assert (await ask(world, world.user_key, "DELETE", JWT)).status_code == 400


async def test_logging_out_ends_the_refresh_token_too(world: World) -> None:
    await give_password(world)
    got = (await log_in(world)).json()
    assert (await ask(world, got["access_token"], "DELETE", JWT)).status_code == 202
    assert (await refresh(world, got["refresh_token"]))[0] == 401
    world.clock.time += 1.1
    assert (await ask(world, got["access_token"], "GET", CALLS)).status_code == 401


@pytest.mark.parametrize(
    ("who", "ends"),
    [("super", True), ("manager", True), ("user", True), ("other_user", False), ("foreign_manager", False)],
)
async def test_a_revocation_holds_for_the_users_that_the_token_rules_over(
    world: World, who: str, *, ends: bool
) -> None:
    await give_password(world)
    jwt = (await log_in(world, JWT)).json()["token"]
    jti = (await ask(world, jwt, "GET", JWT)).json()["jti"]
    answer = await ask(world, getattr(world, f"{who}_key"), "DELETE", f"{JWT}/{jti}")
    assert answer.status_code == 202, "whether there is such a token is not told"
    world.clock.time += 1.1
    assert (await ask(world, jwt, "GET", CALLS)).status_code == (401 if ends else 200)


async def test_all_tokens_of_a_user_are_voided_by_uid(world: World) -> None:
    await give_password(world)
    tokens = [await token(world), (await log_in(world, JWT)).json()["token"]]
    for key in (world.foreign_manager_key, world.other_user_key):
        there = await ask(world, key, "DELETE", f"{JWT}/1001@demo")
        nowhere = await ask(world, key, "DELETE", f"{JWT}/9999@demo")
        assert (there.status_code, nowhere.status_code) == (404, 404)
    assert (await ask(world, world.manager_key, "DELETE", f"{JWT}/1001@demo")).status_code == 202
    world.clock.time += 1.1
    for one in tokens:
        assert (await ask(world, one, "GET", CALLS)).status_code == 401
    assert (await ask(world, await token(world), "GET", CALLS)).status_code == 200


async def delegated(world: World, maker: str, *, domain: str = "demo", user: str = "1001") -> tuple[int, str]:
    answer = await ask(world, maker, "POST", JWT, {"domain": domain, "user": user})
    return answer.status_code, answer.json().get("token", "")


async def test_delegated_access_is_for_those_whom_the_token_rules_over(world: World) -> None:
    status, jwt = await delegated(world, world.manager_key)
    assert status == 200
    assert (await ask(world, jwt, "GET", "/ns-api/v2/domains/~/users/~/calls")).status_code == 200
    assert (await ask(world, jwt, "GET", DOMAIN_CALLS)).status_code == 403
    assert (await delegated(world, world.user_key))[0] == 200
    assert (await delegated(world, world.other_user_key))[0] == 403
    assert (await delegated(world, world.foreign_manager_key))[0] == 404
    assert (await delegated(world, world.readonly_key))[0] == 403
    assert (await delegated(world, world.manager_key, user="9999"))[0] == 404
    assert (await delegated(world, ""))[0] == 401
    assert (await delegated(world, jwt))[0] == 403, "a delegated token makes no further one"
    assert (await delegated(world, world.manager_key, user="10 01"))[0] == 400


async def test_delegated_access_reaches_no_further_than_its_maker(world: World) -> None:
    await give_password(world, scope=Scope.SUPER_USER)
    _, by_manager = await delegated(world, world.manager_key)
    assert (await ask(world, by_manager, "GET", DOMAIN_CALLS)).status_code == 200
    assert (await ask(world, by_manager, "GET", "/ns-api/v2/domains/other/calls")).status_code == 404
    _, by_user = await delegated(world, world.add_key("demo", "1001", "Super User"))
    assert (await ask(world, by_user, "GET", DOMAIN_CALLS)).status_code == 403
    limited = world.add_key("demo", "*", "Office Manager", allowed_models=("jwt", "call"), ip_address="127.0.0.1")
    _, jwt = await delegated(world, limited)
    assert (await ask(world, jwt, "GET", CALLS)).status_code == 200
    assert (await ask(world, jwt, "GET", "/ns-api/v2/domains/demo/cdrs")).status_code == 403
    async with world.client(jwt, address="192.0.2.1") as client:
        assert (await client.get(CALLS)).status_code == 403


async def test_delegated_access_ends_with_its_maker(world: World) -> None:
    maker = world.add_key("demo", "*", "Office Manager")
    _, by_key = await delegated(world, maker)
    await give_password(world, "1002", scope=Scope.OFFICE_MANAGER)
    login = await token(world, username="1002@demo")
    _, by_login = await delegated(world, login)
    for jwt in (by_key, by_login):
        assert (await ask(world, jwt, "GET", CALLS)).status_code == 200
    world.store._records["apikey"].pop((maker[4:16],))
    assert (await ask(world, login, "DELETE", JWT)).status_code == 202
    world.clock.time += 1.1
    for jwt in (by_key, by_login):
        assert (await ask(world, jwt, "GET", CALLS)).status_code == 401


# --- the second factor ---


async def enrol(world: World) -> tuple[str, list[str]]:
    """Give 1001 a confirmed second factor; return its secret and the backup codes."""
    got = (await ask(world, world.manager_key, "POST", USER + "/mfa")).json()
    code = code_at(got["secret"], world.clock.now())
    assert (await ask(world, world.manager_key, "PUT", USER + "/mfa", {"passcode": code})).status_code == 202
    return got["secret"], got["backup-codes"]


async def with_code(world: World, code: str) -> int:
    waiting = (await log_in(world)).json()
    answer = await log_in(world, grant_type="mfa", passcode=code, access_token=waiting["access_token"])
    return answer.status_code


async def test_a_second_factor_is_asked_for_once_confirmed(world: World) -> None:
    await give_password(world)
    own = await token(world)
    got = (await ask(world, own, "POST", USER + "/mfa", {"current-password": PASSWORD})).json()
    assert got["uri"].startswith("otpauth://totp/Ringbridge:1001%40demo?secret=")
    assert (await log_in(world)).json()["scope"] == "Basic User", "not before it was shown to work"
    assert (await ask(world, own, "PUT", USER + "/mfa", {"passcode": "000000"})).status_code == 400
    code = code_at(got["secret"], world.clock.now())
    assert (await ask(world, own, "PUT", USER + "/mfa", {"passcode": code})).status_code == 202
    waiting = (await log_in(world)).json()
    assert (waiting["scope"], waiting["mfa_type"], waiting["refresh_token"]) == ("mfa_required", "authenticator", "")
    assert (await ask(world, waiting["access_token"], "GET", CALLS)).status_code == 401
    world.clock.time += 30
    code = code_at(got["secret"], world.clock.now())
    answer = await log_in(world, grant_type="mfa", passcode=code, access_token=waiting["access_token"])
    assert answer.status_code == 200
    assert (await ask(world, answer.json()["access_token"], "GET", CALLS)).status_code == 200


async def test_a_code_is_good_once_and_for_a_minute(world: World) -> None:
    await give_password(world)
    secret, _ = await enrol(world)
    world.clock.time += 60
    code = code_at(secret, world.clock.now())
    assert await with_code(world, code) == 200
    assert await with_code(world, code) == 401
    assert await with_code(world, code_at(secret, world.clock.now() - 90)) == 401
    assert await with_code(world, code_at(secret, world.clock.now() + 30)) == 200


async def test_a_backup_code_is_good_once(world: World) -> None:
    await give_password(world)
    _, codes = await enrol(world)
    assert await with_code(world, codes[0].upper()) == 200
    assert await with_code(world, codes[0]) == 401
    left = (await ask(world, world.user_key, "GET", USER + "/mfa")).json()
    assert left == {"enabled": "yes", "backup-codes-left": 9}


async def test_the_second_factor_needs_the_first(world: World) -> None:
    await give_password(world)
    await give_password(world, "1002")
    _, codes = await enrol(world)
    waiting = (await log_in(world)).json()["access_token"]
    wrong = {"password": "guess guess"}, {"access_token": await token(world, username="1002@demo")}
    for fields in wrong:
        asked = {"grant_type": "mfa", "passcode": codes[0], "access_token": waiting} | fields
        assert (await log_in(world, **asked)).status_code == 401
    world.clock.time += 331
    asked = {"grant_type": "mfa", "passcode": codes[0], "access_token": waiting}
    assert (await log_in(world, **asked)).status_code == 401, "five minutes are over"


async def test_guessing_codes_is_throttled(world: World) -> None:
    await give_password(world)
    await enrol(world)
    waiting = (await log_in(world)).json()["access_token"]
    asked = {"grant_type": "mfa", "passcode": "123456", "access_token": waiting}
    statuses = [(await log_in(world, **asked)).status_code for _ in range(9)]
    assert statuses == [401] * 8 + [429]


async def test_enrolling_takes_the_password_and_no_key_of_the_user(world: World) -> None:
    await give_password(world)
    own = await token(world)
    world.clock.time += 1
    right = {"current-password": PASSWORD}
    for key, body, status in (
        (world.user_key, right, 403),
        (own, {}, 400),
        (own, {"current-password": "guess"}, 403),
    ):
        assert (await ask(world, key, "POST", USER + "/mfa", body)).status_code == status, body
    answer = await ask(world, own, "POST", USER + "/mfa", right)
    assert answer.status_code == 200, answer.text
    code = code_at(answer.json()["secret"], world.clock.now())
    assert (await ask(world, world.user_key, "PUT", USER + "/mfa", {"passcode": code})).status_code == 403
    delegated = (await ask(world, world.manager_key, "POST", JWT, {"domain": "demo", "user": "1001"})).json()["token"]
    again = await ask(world, delegated, "POST", USER + "/mfa", right)
    assert (again.status_code, again.json()["errors"][0]["code"]) == (403, "key-not-allowed")
    guesses = [await ask(world, own, "PUT", USER + "/mfa", {"passcode": "000000"}) for _ in range(8)]
    assert [one.status_code for one in guesses] == [400] * 7 + [429], "the wrong password counts too"


async def test_a_manager_s_own_account_takes_what_everybody_s_takes(world: World) -> None:
    await give_password(world, scope=Scope.OFFICE_MANAGER)
    manager = await token(world)
    new = {"user-login-password": "taken over from the desk"}
    assert (await ask(world, manager, "PUT", USER + "/password", new)).status_code == 400
    for path, body in ((USER, new), (USER + "/password", new | {"current-password": "guess"})):
        assert (await ask(world, manager, "PUT", path, body)).status_code == 403, path
    assert (await ask(world, manager, "POST", USER + "/mfa", {})).status_code == 400
    await enrol(world)
    assert (await ask(world, manager, "DELETE", USER + "/mfa")).status_code == 400, "takes a code"
    assert (
        await ask(world, manager, "PUT", USER + "/password", new | {"current-password": PASSWORD})
    ).status_code == 202


async def test_removing_one_s_own_second_factor_takes_a_code(world: World) -> None:
    await give_password(world)
    _, codes = await enrol(world)
    assert (await ask(world, world.manager_key, "POST", USER + "/mfa")).status_code == 409
    assert (await ask(world, world.user_key, "DELETE", USER + "/mfa")).status_code == 400
    assert (await ask(world, world.user_key, "DELETE", f"{USER}/mfa?passcode={codes[1]}")).status_code == 202
    assert (await log_in(world)).json()["scope"] == "Basic User"
    await enrol(world)
    assert (await ask(world, world.manager_key, "DELETE", USER + "/mfa")).status_code == 202


# --- passwords ---


async def test_passwords_are_set_by_their_user_and_by_managers(world: World) -> None:
    path = USER + "/password"
    field = "user-login-password"
    assert (await ask(world, world.manager_key, "PUT", path, {field: PASSWORD})).status_code == 202
    assert (await log_in(world)).status_code == 200
    new = "another fine password"
    wrong = await ask(world, world.user_key, "PUT", path, {field: new, "current-password": "guess"})
    assert wrong.status_code == 403
    assert (await ask(world, world.user_key, "PUT", path, {field: new})).status_code == 400
    right = await ask(world, world.user_key, "PUT", path, {field: new, "current-password": PASSWORD})
    assert right.status_code == 202
    assert (await log_in(world)).status_code == 401
    assert (await log_in(world, password=new)).status_code == 200
    for bad in ("short", "x" * 129, "tab\tinside it"):
        answer = await ask(world, world.manager_key, "PUT", path, {field: bad})
        assert answer.status_code == 400
        assert bad not in answer.text


async def test_nobody_sets_the_password_of_a_user_who_may_more(world: World) -> None:
    await give_password(world, scope=Scope.SUPER_USER)
    for method, path, body in (
        ("PUT", "/password", {"user-login-password": "taken over by manager"}),
        ("DELETE", "/mfa", None),
        ("POST", "/mfa", None),
    ):
        assert (await ask(world, world.manager_key, method, USER + path, body)).status_code == 403


async def test_secrets_of_users_are_in_no_answer(world: World) -> None:
    await give_password(world)
    secret, codes = await enrol(world)
    async with world.client(world.super_key) as client:
        texts = [
            (await client.get(path)).text
            for path in (USER, "/ringbridge/v1/directory", "/ns-api/v2/domains/demo/users", USER + "/mfa", "/metrics")
        ]
    for text in texts:
        assert "argon2" not in text
        assert secret not in text
        assert codes[0] not in text


async def test_signing_keys_are_followed_by_the_next(world: World) -> None:
    await give_password(world)
    old = (await log_in(world, JWT)).json()["token"]
    assert await world.store.record("signingkey", ("1",)) is not None
    world.clock.time += 30 * 86_400 + 1
    await log_in(world)
    assert await world.store.record("signingkey", ("2",)) is not None
    first = (await log_in(world, JWT)).json()["token"]
    world.clock.time += 61
    second = (await log_in(world, JWT)).json()["token"]
    kids = [json.loads(base64.urlsafe_b64decode(one.split(".")[0] + "=="))["kid"] for one in (old, first, second)]
    assert kids == ["1", "1", "2"], "a new key signs when every node has it"
    for one in (first, second):
        assert (await ask(world, one, "GET", CALLS)).status_code == 200
    for _ in range(2):
        world.clock.time += 30 * 86_400 + 1
        await log_in(world)
        await settle(world)
    assert await world.store.record("signingkey", ("1",)) is None, "nothing alive was signed with it"
