"""Every operation of the OpenAPI document with every wrong token: nothing is open (contract §2).

An operation that is added later is walked by itself. It fails here when it is open to anybody, or leaves the decision
to its handler (`Access.TOKEN`), and nobody has said so below. What a handler decides inside is its own tests' to show.
"""

from __future__ import annotations

import pytest

from ringbridge.api.document.openapi import PATH_FIELDS
from ringbridge.api.document.operations import Access, Operation
from ringbridge.model.keys import make_key
from tests.api.walk import BY_PATH, ask_operation, path_of
from tests.api.world import World

OPEN = {"read-version", "check-alive", "check-ready", "read-metrics", "read-recording-file"}
"""What needs no token: nothing of a tenant is told, but to whoever has a sealed link to a recording."""
SUBSCRIPTIONS = dict.fromkeys(
    (
        "list-subscriptions",
        "count-subscriptions",
        "create-subscription",
        "read-subscription",
        "update-subscription",
        "delete-subscription",
        "list-deliveries",
        "resend-delivery",
        "test-subscription",
    ),
    "tests/api/test_subscriptions.py: test_a_user_sees_its_own…, test_a_reseller_sees…, test_nobody_subscribes_beyond…",
)
LOGINS = {"log-in", "log-in-legacy", "make-jwt"}
"""What asks for a password, a refresh token or a code instead of a token."""
DECIDED_INSIDE = SUBSCRIPTIONS | {
    "follow-calls": "test_event_streams: a token is told what it sees in the lists",
    "create-apikey": "test_apikeys: nothing wider than its maker",
    "list-apikeys": "test_apikeys: the keys that a token rules over",
    "count-apikeys": "test_apikeys: the keys that a token rules over",
    "read-apikey": "test_apikeys: another's key is 404",
    "update-apikey": "test_apikeys: another's key is 404",
    "revoke-apikey": "test_apikeys: another's key is 404",
    "read-jwt": "test_tokens: tells the token in use",
    "revoke-own-jwt": "test_tokens: voids the token in use",
    "list-requests": "test_request_history: everybody sees what is theirs",
    "count-requests": "test_request_history: everybody sees what is theirs",
    "read-request": "test_request_history: another's request is 404",
    "resend-request": "test_request_history: resent under the permissions of whoever asks",
    "revoke-jwt": "test_tokens: holds for the users that the token rules over",
}
"""Operations for any token, and the test that shows what their handlers let through."""
BELOW = {
    Access.TOKEN: ("No Portal", "NDP"),
    Access.USER: ("No Portal", "NDP", "Something Else"),
    Access.DOMAIN: ("No Portal", "Basic User", "Call Center Supervisor", "Site Manager"),
    Access.MANAGER: ("No Portal", "Basic User", "Call Center Supervisor", "Site Manager"),
    Access.RESELLER: ("No Portal", "Basic User", "Office Manager"),
    Access.SUPER: ("No Portal", "Basic User", "Office Manager", "Reseller"),
}
"""Scopes that are below what a class asks."""


def guarded(world: World) -> list[Operation]:
    return [one for one in world.operations if one.access not in (Access.OPEN, Access.LOGIN)]


def is_unseen(operation: Operation, status: int) -> bool:
    """Return whether `status` refuses somebody who may not act for the path; another tenant's is not told apart."""
    return status == (404 if operation.access in BY_PATH else 403)


async def test_the_walk_sees_every_operation_of_the_document(world: World) -> None:
    async with world.client("") as client:
        document = (await client.get("/openapi.json")).json()
    described = [operation for path in document["paths"].values() for operation in path.values()]
    needs_token = {one["operationId"] for one in described if one["security"] and {} not in one["security"]}
    assert needs_token == {one.name for one in guarded(world)}
    unguarded = {one["operationId"] for one in described} - needs_token
    documents = {"read-openapi", "read-openapi-yaml"}
    assert unguarded == OPEN | LOGINS | documents, "an operation without a token is said to be one, in OPEN or LOGINS"
    assert {one.name for one in guarded(world) if one.access is Access.TOKEN} == set(DECIDED_INSIDE)


async def test_every_operation_can_be_walked(world: World) -> None:
    for operation in guarded(world):
        assert operation.access in BELOW, "a new class of access says what is below it"
        assert "{" not in path_of(operation, domain="demo", user="1001"), PATH_FIELDS.keys()
        assert (operation.body is None) == (operation.body_example is None), operation.name
        assert operation.model, f"{operation.name}: model.access.MODELS does not know its path"
        if "{domain}" in operation.path:
            assert operation.access in BY_PATH, f"{operation.name} has a domain in its path and does not ask for it"
        if operation.access is Access.USER:
            assert "{user}" in operation.path, operation.name


async def test_without_a_good_token_everything_is_401(world: World) -> None:
    wrong_checksum = world.user_key[:-1] + ("0" if world.user_key[-1] != "0" else "1")
    unknown = make_key("nsu_", "z" * 48)
    for operation in guarded(world):
        for key in ("", "abc", wrong_checksum, unknown, world.user_key + "x", world.user_key.upper(), "ü" * 60):
            answer = await ask_operation(world, operation, key)
            assert answer.status_code == 401, (operation.name, key)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert key == "" or key not in answer.text
    assert world.writes == 0


async def test_an_expired_key_is_401(world: World) -> None:
    key = world.add_key("*", "*", "Super User", expires_at=world.clock.now() + 1)
    for operation in guarded(world):
        assert (await ask_operation(world, operation, key)).status_code != 401, operation.name
    writes = world.writes
    world.clock.time += 1
    for operation in guarded(world):
        answer = await ask_operation(world, operation, key)
        assert answer.status_code == 401, operation.name
        assert answer.json()["errors"][0]["code"] == "expired-token"
    assert world.writes == writes


async def test_from_a_wrong_address_everything_is_403(world: World) -> None:
    key = world.add_key("*", "*", "Super User", ip_address="192.0.2.0/24")
    for operation in guarded(world):
        answer = await ask_operation(world, operation, key, address="198.51.100.1")
        assert answer.status_code == 403, operation.name
        assert answer.json()["errors"][0]["code"] == "address-not-allowed"
    assert world.writes == 0


async def test_another_tenant_s_domain_is_404_that_tells_nothing(world: World) -> None:
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")
    for operation in guarded(world):
        if operation.access not in BY_PATH:
            continue
        for key in (world.foreign_key, world.foreign_manager_key, reseller):
            there = await ask_operation(world, operation, key, domain="demo")
            missing = await ask_operation(world, operation, key, domain="none")
            assert (there.status_code, missing.status_code) == (404, 404), operation.name
            assert there.json()["message"].replace("demo", "none") == missing.json()["message"]
    assert world.writes == 0


async def test_another_user_of_the_own_domain_is_403(world: World) -> None:
    for operation in guarded(world):
        if operation.access is not Access.TOKEN:
            answer = await ask_operation(world, operation, world.other_user_key)
            assert answer.status_code == 403, operation.name
    assert world.writes == 0


async def test_a_lower_scope_is_403(world: World) -> None:
    for operation in guarded(world):
        for scope in BELOW[operation.access]:
            for domain, user, reseller in (("demo", "1001", "*"), ("demo", "*", "*"), ("*", "*", "*")):
                key = world.add_key(domain, user, scope, reseller=reseller)
                answer = await ask_operation(world, operation, key)
                assert answer.status_code == 403, (operation.name, scope, domain, user)
    assert world.writes == 0


async def test_a_wide_scope_makes_a_narrow_key_no_wider(world: World) -> None:
    """`nsu_` sees its user and `nsd_` its domain, whatever scope they were given (contract §2)."""
    user_key = world.add_key("demo", "1002", "Super User")
    domain_key = world.add_key("other", "*", "Super User")
    reseller_key = world.add_key("*", "*", "Super User", reseller="acme")
    for operation in guarded(world):
        if operation.access is Access.TOKEN:
            continue
        assert (await ask_operation(world, operation, user_key)).status_code == 403, operation.name
        if operation.access is not Access.MANAGER:
            assert is_unseen(operation, (await ask_operation(world, operation, domain_key)).status_code), operation.name
        if operation.access in BY_PATH or operation.access is Access.SUPER:
            status = (await ask_operation(world, operation, reseller_key)).status_code
            assert is_unseen(operation, status), operation.name
    assert world.writes == 0


async def test_a_read_only_key_reads_and_writes_nothing(world: World) -> None:
    readonly = world.add_key("*", "*", "Super User", readonly="yes")
    for operation in guarded(world):
        for key in (readonly, world.readonly_key):
            answer = await ask_operation(world, operation, key)
            if operation.writes:
                assert answer.status_code == 403, operation.name
            elif key == readonly:
                assert answer.status_code not in (401, 403), operation.name
        if operation.writes:
            answer = await ask_operation(world, operation, readonly)
            assert answer.json()["errors"][0]["code"] == "read-only", operation.name
    assert world.writes == 0


async def test_a_key_for_other_models_is_403(world: World) -> None:
    for operation in guarded(world):
        others = tuple({"call", "cdr", "user"} - {operation.model})
        key = world.add_key("*", "*", "Super User", allowed_models=others)
        answer = await ask_operation(world, operation, key)
        assert answer.status_code == 403, operation.name
        assert answer.json()["errors"][0]["code"] == "model-not-allowed", operation.name
    assert world.writes == 0


@pytest.mark.parametrize("access", [Access.DOMAIN, Access.USER])
async def test_the_own_domain_s_manager_is_let_in(world: World, access: Access) -> None:
    """The walk would find nothing open either if nothing were open to anybody."""
    for operation in guarded(world):
        if operation.access is access and operation.at_least is None:
            answer = await ask_operation(world, operation, world.manager_key)
            assert answer.status_code not in (401, 403), operation.name
            assert answer.status_code != 404 or "domain" not in answer.json()["message"], operation.name
