"""Contract section 2: who may do what, by kind of token and by scope."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.accounts import made_key, made_user, short, with_key
from tests.contract.shapes import SCHEMAS
from tests.contract.wire import Json, Server, Tenant, answered, call_body, domain_body, until, user_body

LADDER = (
    ("Super User",),
    ("Reseller",),
    ("Office Manager",),
    ("Site Manager", "Call Center Supervisor"),
    ("Call Center Agent",),
    ("Advanced User",),
    ("Basic User", "Simple User"),
    ("NDP", "No Portal"),
)
"""“Super User > Reseller > Office Manager > Site Manager, Call Center Supervisor > Call Center Agent > Advanced User >
Basic User, Simple User; NDP; No Portal (nothing)”"""
RANKS = {scope: -rank for rank, peers in enumerate(LADDER) for scope in peers}
NOTHING = ("NDP", "No Portal")
EVERYBODY_ELSE = [scope for scope in RANKS if scope not in NOTHING]


@pytest.fixture(scope="module")
def foreign(api: httpx.Client) -> Iterator[Tenant]:
    """Return a domain of another reseller, with a user 1000."""
    domain = Tenant(api, f"{short()}.example")
    answered(api.post("/domains", json=domain_body(domain.domain) | {"reseller": "another"}), 202)
    answered(api.post(f"{domain.path}/users", json=user_body("1000")), 202)
    yield domain
    answered(api.delete(domain.path, params={"cascade": "yes"}), 202)


SEEN = {
    "nss_": {"{own}/users/1000": 200, "{own}/users": 200, "{other}/users": 200, "{foreign}/users": 200},
    "nsr_": {"{own}/users/1000": 200, "{own}/users": 200, "{other}/users": 200, "{foreign}/users": 404},
    "nsd_": {"{own}/users/1000": 200, "{own}/users": 200, "{other}/users": 404, "{foreign}/users": 404},
    "nsu_": {"{own}/users/1000": 200, "{own}/users": 403, "{other}/users": 404, "{foreign}/users": 404},
}
"""What a token of each kind is answered: 403 in its own domain, and 404 of another tenant's."""


@pytest.mark.parametrize("prefix", SEEN)
def test_what_each_kind_of_key_sees(
    server: Server, tenant: Tenant, other: Tenant, foreign: Tenant, prefix: str
) -> None:
    """“`nss_` super user: everything; `nsr_` reseller: its domains; `nsd_` office manager: its domain; `nsu_` user: its
    user”, and “Valid, but not for this: 403; another tenant's resource: 404” (section 1)"""
    places: dict[str, dict[str, Json]] = {
        "nss_": {},
        "nsr_": {"reseller": "contract"},
        "nsd_": {"domain": tenant.domain},
        "nsu_": {"domain": tenant.domain, "user": "1000"},
    }
    with with_key(server, tenant.api, **places[prefix]) as client:
        found = {
            path: client.get(path.format(own=tenant.path, other=other.path, foreign=foreign.path)).status_code
            for path in SEEN[prefix]
        }
        assert found == SEEN[prefix]
        domains = {one["domain"] for one in answered_or_none(client, "/domains")}
    told = {"own": tenant.domain, "other": other.domain, "foreign": foreign.domain}
    shown = {name for name, domain in told.items() if domain in domains}
    wanted = {"nss_": set(told), "nsr_": {"own", "other"}, "nsd_": {"own"}, "nsu_": shown & {"own"}}
    assert shown == wanted[prefix]


def answered_or_none(client: httpx.Client, path: str) -> list[dict[str, Json]]:
    """Return a list as far as the token sees it, whole; nothing where it sees none."""
    whole: list[dict[str, Json]] = []
    while True:
        answer = client.get(path, params={"start": len(whole) + 1, "limit": 1000})
        if answer.status_code == 403:
            return whole
        page = answered(answer, 200)
        whole += page
        if len(page) < 1000:
            return whole


def test_a_reseller_makes_domains_of_its_own(server: Server, api: httpx.Client, foreign: Tenant) -> None:
    """“`nsr_` reseller: its domains”"""
    with with_key(server, api, reseller="contract") as client:
        name = f"{short()}.example"
        answered(client.post("/domains", json=domain_body(name)), 202)
        answered(client.post("/domains", json=domain_body(f"{short()}.example") | {"reseller": "another"}), 400, 403)
        answered(client.delete(foreign.path, params={"cascade": "yes"}), 404)
        answered(client.delete(f"/domains/{name}"), 202)


def test_a_user_changes_nothing_of_its_domain(server: Server, tenant: Tenant) -> None:
    """“`nsu_` user: its user”: “Valid, but not for this: 403” (section 1)"""
    with with_key(server, tenant.api, domain=tenant.domain, user="1000") as client:
        answered(client.put(tenant.path, json={"description": "mine"}), 403)
        answered(client.post(f"{tenant.path}/users", json=user_body(short())), 403)
        answered(client.get(f"{tenant.path}/users/1001"), 403)
        answered(client.get(tenant.calls("1001")), 403)
        answered(client.get("/domains/~/users/~/devices"), 200)


@pytest.mark.parametrize("of", ["key", "user"])
@pytest.mark.parametrize("scope", ["Basic User", "Call Center Agent", "Site Manager"])
def test_a_token_s_scope_is_the_least_of_its_own_and_its_user_s(
    server: Server, tenant: Tenant, scope: str, of: str
) -> None:
    """“A token's scope is the least of its own and its user's.”: it makes keys of that, and of none above it."""
    wide = "Office Manager"
    user = made_user(tenant, user_scope=scope if of == "user" else wide)
    place = {"domain": tenant.domain, "user": user}
    own = scope if of == "key" else wide
    with with_key(server, tenant.api, user_scope=own, can_create_keys="yes", **place) as client:
        body = place | {"description": "A key of another scope"}
        answered(client.post("/apikeys", json=body | {"user-scope": scope}), 200)
        answered(client.post("/apikeys", json=body | {"user-scope": wide}), 403)


def test_a_login_s_scope_is_its_user_s_of_now(server: Server, tenant: Tenant, other: Tenant) -> None:
    """“A token's scope is the least of its own and its user's.”"""
    user = made_user(tenant, user_scope="Office Manager")
    token = answered(tenant.api.post("/jwt", json={"domain": tenant.domain, "user": user}), 200)["token"]
    with server.client(token) as client:
        answered(client.get("/domains/~/users"), 200)
        answered(tenant.api.put(f"{tenant.path}/users/{user}", json={"user-scope": "Site Manager"}), 202)
        until(lambda: client.get("/domains/~/users").status_code == 403, what="the scope is that of now")
        answered(client.get("/domains/~/users/~"), 200)
        answered(tenant.api.put(f"{tenant.path}/users/{user}", json={"user-scope": "Super User"}), 202)
        until(lambda: client.get("/domains/~/users").status_code == 200, what="the scope is that of now")
        answered(client.get(f"{other.path}/users"), 404)  # the token is no wider than it was made


@pytest.mark.parametrize("scope", NOTHING)
@pytest.mark.parametrize("of", ["key", "user"])
def test_who_has_no_portal_does_nothing(server: Server, tenant: Tenant, scope: str, of: str) -> None:
    """“NDP; No Portal (nothing)”"""
    user = made_user(tenant, user_scope=scope if of == "user" else "Basic User")
    own = scope if of == "key" else "Basic User"
    with with_key(server, tenant.api, domain=tenant.domain, user=user, user_scope=own) as client:
        for path in ("/domains/~", "/domains/~/users/~", "/domains/~/users/~/calls", "/apikeys", "/subscriptions"):
            answered(client.get(path), 403)
        answered(client.post("/domains/~/users/~/calls", json=call_body()), 403)


@pytest.mark.parametrize("scope", EVERYBODY_ELSE)
def test_everybody_else_reads_what_is_theirs(server: Server, tenant: Tenant, scope: str) -> None:
    """“Scopes (schema `Scopes`)”"""
    user = made_user(tenant, user_scope=scope)
    with with_key(server, tenant.api, domain=tenant.domain, user=user, user_scope=scope) as client:
        assert answered(client.get("/domains/~/users/~"), 200)["user-scope"] == scope
        answered(client.get("/domains/~/users/~/calls"), 200)


def test_the_scopes_are_those_of_the_schema(tenant: Tenant) -> None:
    """“Scopes (schema `Scopes`)”"""
    assert set(RANKS) == set(SCHEMAS["Scopes"]["enum"])
    answered(tenant.api.post(f"{tenant.path}/users", json=user_body(short(), **{"user-scope": "Emperor"})), 400)


@pytest.mark.parametrize("scope", EVERYBODY_ELSE)
def test_the_order_of_the_scopes(server: Server, tenant: Tenant, scope: str) -> None:
    """“Super User > Reseller > Office Manager > Site Manager, Call Center Supervisor > Call Center Agent > Advanced
    User > Basic User, Simple User; NDP; No Portal”: a key makes none with a scope wider than its own."""
    user = made_user(tenant, user_scope=scope)
    own = {"domain": tenant.domain, "user": user}
    with server.client(made_key(tenant.api, user_scope=scope, can_create_keys="yes", **own)["key"]) as client:
        found = {
            wanted: client.post(
                "/apikeys", json=own | {"description": "A key of another scope", "user-scope": wanted}
            ).status_code
            for wanted in RANKS
        }
    assert found == {wanted: 200 if RANKS[wanted] <= RANKS[scope] else 403 for wanted in RANKS}
