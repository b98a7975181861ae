"""A reseller's key sees exactly the domains of that reseller, by every operation (contract §2)."""

from __future__ import annotations

import pytest

from ringbridge.api.document.operations import Access
from ringbridge.model.directory import Connection, Domain, PhoneNumber, User
from ringbridge.model.errors import Refusal
from tests.api.walk import BY_PATH, ask_operation
from tests.api.world import World

THEIRS = ("other", "second")
NOT_THEIRS = ("demo", "rivals", "star", "nowhere")
"""Of nobody, of another reseller, of one who is called as the wildcard, and missing."""


@pytest.fixture
def reseller(world: World) -> str:
    """Give the reseller `acme` a second domain, put others beside them, and return its key."""
    for domain, whose in (("second", "acme"), ("rivals", "rival"), ("star", "*")):
        world.put(
            Domain(domain, reseller=whose),
            User(domain, "1001"),
            PhoneNumber(domain, f"457010{len(domain)}"),
            Connection(domain, "carrier"),
        )
    world.put(Connection("demo", "carrier"), Connection("other", "carrier"), PhoneNumber("other", "4570102031"))
    return world.add_key("*", "*", "Reseller", reseller="acme", can_create_keys="yes")


async def test_operations_of_a_domain_are_for_its_own_domains_alone(world: World, reseller: str) -> None:
    for operation in world.operations:
        if operation.access not in BY_PATH or operation.at_least is not None:
            continue
        for domain in THEIRS:
            status = (await ask_operation(world, operation, reseller, domain=domain)).status_code
            assert status not in (401, 403), (operation.name, domain)
        for domain in NOT_THEIRS:
            answer = await ask_operation(world, operation, reseller, domain=domain)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "no-such-domain"), operation.name


@pytest.mark.parametrize("path", ["/domains", "/connections", "/phonenumbers"])
async def test_lists_of_everything_hold_its_own_domains_alone(world: World, reseller: str, path: str) -> None:
    async with world.client(reseller) as client:
        answer = await client.get("/ns-api/v2" + path)
        assert [one["domain"] for one in answer.json()] == list(THEIRS)
        assert (await client.get(f"/ns-api/v2{path}/count")).json() == {"total": 2}
    async with world.client(world.add_key("*", "*", "Reseller", reseller="nobody")) as client:
        assert (await client.get("/ns-api/v2" + path)).json() == []


async def test_what_it_exports_are_its_own_domains(world: World, reseller: str) -> None:
    async with world.client(reseller) as client:
        exported = (await client.get("/ringbridge/v1/directory")).json()
    assert [one["domain"] for one in exported["domains"]] == list(THEIRS)


async def test_a_domain_that_changes_hands_is_the_other_s_at_once(world: World, reseller: str) -> None:
    second = "/ns-api/v2/domains/second"
    async with world.client(reseller) as client, world.client(world.super_key) as above:
        assert (await client.put(second, json={"reseller": "rival"})).status_code == 403, "it gives away nothing"
        assert (await above.put(second, json={"reseller": "rival"})).status_code == 202
        assert (await client.get(second)).status_code == 404
    async with world.client(world.add_key("*", "*", "Reseller", reseller="rival")) as rival:
        assert (await rival.get(second)).status_code == 200


async def test_its_keys_are_of_its_domains(world: World, reseller: str) -> None:
    foreign = world.add_key("rivals", "*", "Office Manager")
    own = [world.add_key(domain, "*", "Office Manager") for domain in THEIRS]
    keys = "/ns-api/v2/apikeys"
    async with world.client(reseller) as client:
        seen = {one["key-id"] for one in (await client.get(keys)).json()}
        assert (await client.get(f"{keys}/{foreign[4:16]}")).status_code == 404
        for domain, status in (("second", 200), ("demo", 403), ("star", 403)):
            body = {"description": "key of a test program", "domain": domain}
            assert (await client.post(keys, json=body)).status_code == status, domain
    # Those of domain `other` that the world has, its own, and those just made.
    whole = {world.foreign_key, world.foreign_manager_key, reseller, *own}
    assert seen == {key[4:16] for key in whole}


async def test_what_is_everybody_s_is_not_its_own(world: World, reseller: str) -> None:
    for operation in world.operations:
        if operation.access is Access.SUPER:
            answer = await ask_operation(world, operation, reseller)
            assert answer.status_code == Refusal.FORBIDDEN.value, operation.name
