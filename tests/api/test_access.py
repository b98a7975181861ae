"""Who may do what (contract §2): every operation of the OpenAPI document, with every wrong token."""

from __future__ import annotations

import httpx
import pytest

from ringbridge.api.operations import Access
from ringbridge.model.keys import make_key
from tests.api.world import CALLS, World, order

BODIES = {"make-call": order(), "apply-directory": {"domains": []}}


async def ask(world: World, name: str, key: str, *, domain: str = "demo", user: str = "1001") -> httpx.Response:
    """Call one operation with a valid body."""
    operation = next(one for one in world.operations if one.name == name)
    path = operation.path.replace("{domain}", domain).replace("{user}", user).replace("{call-id}", "click-9")
    async with world.client(key) as client:
        return await client.request(operation.method, path, json=BODIES.get(name))


def guarded(world: World) -> list[str]:
    return [operation.name for operation in world.operations if operation.access is not Access.OPEN]


async def test_the_walk_sees_every_operation_of_the_document(world: World) -> None:
    async with world.client("") as client:
        document = (await client.get("/openapi.json")).json()
    secured = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
        if operation["security"]
    }
    assert secured == set(guarded(world))
    assert len(secured) >= 12


async def test_without_a_good_token_everything_is_401(world: World) -> None:
    wrong_checksum = world.user_key[:-1] + ("0" if world.user_key[-1] != "0" else "1")
    unknown = make_key("nsu_", "z" * 48)
    for name in guarded(world):
        for key in ("", "abc", wrong_checksum, unknown, world.user_key + "x", world.user_key.upper(), "ü" * 60):
            answer = await ask(world, name, key)
            assert answer.status_code == 401, (name, key)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert key == "" or key not in answer.text
    assert world.writes == 0


async def test_another_tenant_s_domain_is_404_that_tells_nothing(world: World) -> None:
    for name in guarded(world):
        operation = next(one for one in world.operations if one.name == name)
        if operation.access is Access.TOKEN:
            continue
        for key in (world.foreign_key, world.foreign_manager_key):
            there = await ask(world, name, key, domain="demo")
            missing = await ask(world, name, key, domain="none")
            assert (there.status_code, missing.status_code) == (404, 404), name
            assert there.json()["message"].replace("demo", "none") == missing.json()["message"]
    assert world.writes == 0


async def test_another_user_of_the_own_domain_is_403(world: World) -> None:
    for name in guarded(world):
        answer = await ask(world, name, world.other_user_key)
        assert answer.status_code == 403, name
    assert world.writes == 0


async def test_a_read_only_key_reads_and_writes_nothing(world: World) -> None:
    for operation in world.operations:
        if operation.access is Access.OPEN:
            continue
        answer = await ask(world, operation.name, world.readonly_key)
        if operation.writes:
            assert answer.status_code == 403, operation.name
            assert answer.json()["errors"][0]["code"] == "read-only"
        else:
            assert answer.status_code in (200, 404), operation.name
    assert world.writes == 0


@pytest.mark.parametrize("scope", ["No Portal", "NDP", "Something Else"])
async def test_scopes_that_allow_nothing_allow_nothing(world: World, scope: str) -> None:
    user_key, domain_key = world.add_key("demo", "1001", scope), world.add_key("demo", "*", scope)
    for name in guarded(world):
        for key in (user_key, domain_key):
            assert (await ask(world, name, key)).status_code == 403, name
    assert world.writes == 0


async def test_a_domain_key_below_office_manager_rules_nothing(world: World) -> None:
    key = world.add_key("demo", "*", "Call Center Supervisor")
    assert (await ask(world, "list-domain-calls", key)).status_code == 403


async def test_a_key_s_scope_is_the_least_of_its_own_and_its_user_s(world: World) -> None:
    user = await world.store.user("demo", "1001")
    assert user is not None
    world.store.put(type(user)("demo", "1001", user_scope="No Portal"))
    assert (await ask(world, "list-user-calls", world.user_key)).status_code == 403


async def test_the_key_of_a_user_that_is_gone_is_no_key(world: World) -> None:
    key = world.add_key("demo", "1999", "Basic User")
    assert (await ask(world, "list-user-calls", key, user="1999")).status_code == 401


async def test_wider_keys_reach_further(world: World) -> None:
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")
    assert (await ask(world, "list-domain-calls", world.super_key)).status_code == 200
    assert (await ask(world, "list-user-calls", world.manager_key, user="1002")).status_code == 200
    assert (await ask(world, "list-domain-calls", reseller, domain="other")).status_code == 200
    assert (await ask(world, "list-domain-calls", reseller, domain="demo")).status_code == 404


async def test_a_key_may_be_bound_to_addresses(world: World) -> None:
    key = world.add_key("demo", "1001", "Basic User", ip_address="192.0.2.0/24, 2001:db8::1")
    for address, status in [("192.0.2.7", 200), ("2001:db8::1", 200), ("::ffff:192.0.2.7", 200), ("198.51.100.1", 403)]:
        async with world.client(key, address=address) as client:
            assert (await client.get(CALLS)).status_code == status, address


async def test_a_revoked_key_ends_within_a_second(world: World) -> None:
    async with world.client() as client:
        assert (await client.get(CALLS)).status_code == 200
        world.store._records["apikey"].clear()
        world.clock.time += 1.1
        assert (await client.get(CALLS)).status_code == 401


async def test_a_user_key_rings_no_other_user_s_phone_first(world: World) -> None:
    async with world.client() as client:
        answer = await client.post(CALLS, json=order(call_orig_user="1002", call_term_user="1001"))
    assert answer.status_code == 403
    assert world.writes == 0


async def test_open_operations_need_no_token(world: World) -> None:
    async with world.client("") as client:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/ns-api/v2/version"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/ns-api/v2/version")).json()["apiversion"]
        ready = (await client.get("/readyz")).json()
        assert {"ready", "bus", "durability", "relay", "replica-lag"} <= set(ready)
        metrics = (await client.get("/metrics")).text
    assert 'ringbridge_http_requests_total{operation="check-alive",status="200"} 1.0' in metrics
