"""Who may do what (contract §2): single rules; every operation with every wrong token is `test_access_walk`."""

from __future__ import annotations

import httpx

from tests.api.walk import ask_operation
from tests.api.world import CALLS, World, order


async def ask(world: World, name: str, key: str, *, domain: str = "demo", user: str = "1001") -> httpx.Response:
    operation = next(one for one in world.operations if one.name == name)
    return await ask_operation(world, operation, key, domain=domain, user=user)


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
    assert "ringbridge_ready 1.0" in metrics
