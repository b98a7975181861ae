"""Contract section 4: lists of the directory: where they are, pages, counts, searches."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.contract.test_directory import KINDS, made, resources, short
from tests.contract.wire import PHONES, Json, Server, Tenant, answered, faulted, user_body

MANY = 7
COLLECTIONS = {
    "Domain": ("/domains", "domain"),
    "User": ("{0}/users", "user"),
    "Device": ("{0}/users/1000/devices", "device"),
    "Phonenumber": ("{0}/phonenumbers", "phonenumber"),
    "DialRule": ("{0}/dialplans/{1}/dialrules", "dialrule"),
    "Connection": ("{0}/connections", "connection-orig-match-pattern"),
    "Answerrule": ("{0}/users/1001/answerrules", "time-frame"),
}


@pytest.fixture(scope="module")
def filled(tenant: Tenant) -> Tenant:
    """Return the tenant once it has some of everything."""
    for kind in KINDS:
        for _ in range(MANY):
            made(tenant, kind)
    return tenant


def collection(tenant: Tenant, kind: str) -> tuple[str, str]:
    """Return the path of a kind's list, and the field that names what is in it."""
    path, name = COLLECTIONS[kind]
    return path.format(tenant.path, tenant.domain), name


def names(tenant: Tenant, kind: str, **params: Json) -> list[str]:
    """Return the names of a page."""
    path, name = collection(tenant, kind)
    return [str(one[name]) for one in answered(tenant.api.get(path, params=params), 200)]


@pytest.mark.parametrize("kind", KINDS)
def test_pages_follow_each_other_without_gap_or_repetition(filled: Tenant, kind: str) -> None:
    """“every list takes `start` (1-based; 0 means 1) and `limit` (default 100, at most 1000)” (section 1)"""
    whole = names(filled, kind, limit=1000)
    assert len(whole) >= MANY
    assert len(set(whole)) == len(whole)
    pages = [names(filled, kind, start=start, limit=3) for start in range(1, len(whole) + 1, 3)]
    assert [name for page in pages for name in page] == whole
    assert names(filled, kind, start=0, limit=3) == whole[:3]
    assert names(filled, kind, start=len(whole) + 1) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_headers_of_a_page(filled: Tenant, kind: str) -> None:
    """“Also `Link` and `X-Total-Count` headers” (section 1)"""
    path, _ = collection(filled, kind)
    answer = filled.api.get(path, params={"start": 3, "limit": 2})
    assert int(answer.headers["x-total-count"]) == answered(filled.api.get(f"{path}/count"), 200)["total"]
    assert {"first", "prev", "next"} <= set(answer.links)
    following = answer.links["next"]["url"].removeprefix("/ns-api/v2")
    assert answered(filled.api.get(following), 200) == answered(
        filled.api.get(path, params={"start": 5, "limit": 2}), 200
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("field", "value"), [("start", "-1"), ("limit", "0"), ("limit", "1001"), ("limit", "ten")])
def test_a_page_that_cannot_be_is_refused(tenant: Tenant, kind: str, field: str, value: str) -> None:
    """“`limit` (default 100, at most 1000)”; “400 malformed or invalid” (section 1)"""
    path, _ = collection(tenant, kind)
    assert field in faulted(tenant.api.get(path, params={field: value}), 400)


def test_a_list_has_a_hundred_where_nothing_else_is_asked_for(tenant: Tenant) -> None:
    """“`limit` (default 100, …)” (section 1)"""
    domain = f"{short()}.example"
    answered(tenant.api.post("/domains", json=resources(tenant)["Domain"][1] | {"domain": domain}), 202)

    def make(number: int) -> None:
        body = {"phonenumber": f"1202556{number:04}", "dial-rule-translation-destination-user": "1001"}
        answered(tenant.api.post(f"/domains/{domain}/phonenumbers", json=body), 202)

    with ThreadPoolExecutor(8) as at_once:
        list(at_once.map(make, range(101)))
    assert len(tenant.api.get(f"/domains/{domain}/phonenumbers").json()) == 100
    assert tenant.api.get(f"/domains/{domain}/phonenumbers/count").json() == {"total": 101}
    answered(tenant.api.delete(f"/domains/{domain}", params={"cascade": "yes"}), 202)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_deleted_is_not_counted(tenant: Tenant, kind: str) -> None:
    """“`…/count` gives `{"total": n}`” (section 1)"""
    path, at, _ = made(tenant, kind)
    before = answered(tenant.api.get(f"{path}/count"), 200)["total"]
    answered(tenant.api.delete(at), 202)
    assert answered(tenant.api.get(f"{path}/count"), 200) == {"total": before - 1}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Domain"])
def test_lists_of_a_domain_that_is_not_there(tenant: Tenant, kind: str) -> None:
    """“404” (section 1): no empty list stands for a domain that is not there."""
    path, _ = COLLECTIONS[kind]
    nowhere = path.format("/domains/nowhere.example", "nowhere.example")
    for at in (nowhere, f"{nowhere}/count"):
        answered(tenant.api.get(at), 404)


SEARCHED = [
    ("User", "name-last-name"),
    ("User", "name-first-name"),
    ("User", "email-address"),
    ("User", "department"),
    ("User", "site"),
    ("User", "caller-id-number"),
    ("Domain", "description"),
    ("Domain", "reseller"),
    ("Connection", "connection-address"),
    ("Phonenumber", "dial-rule-translation-destination-user"),
]


@pytest.mark.parametrize(("kind", "field"), SEARCHED)
def test_lists_and_counts_are_narrowed_by_a_field(tenant: Tenant, kind: str, field: str) -> None:
    """“list, count, read, create …, update, delete, search and paging” (the issue behind the contract's section 4)"""
    path, body, name = resources(tenant)[kind]
    wanted = {
        "email-address": f"{short()}@contract.example",
        "caller-id-number": "12025550177",
        "connection-address": "192.0.2.77:5060",
        "dial-rule-translation-destination-user": "1002",
    }.get(field, f"Wanted {short()}")
    answered(tenant.api.post(path, json=body | {field: wanted}), 202)
    found = answered(tenant.api.get(path, params={field: wanted}), 200)
    assert str(body[name]) in [str(one[name]) for one in found]
    assert {str(one[field]) for one in found} == {wanted}
    assert answered(tenant.api.get(f"{path}/count", params={field: wanted}), 200) == {"total": len(found)}
    assert answered(tenant.api.get(path, params={field: "nobody has this"}), 200) == []


def test_searches_of_two_fields_find_what_has_both(tenant: Tenant) -> None:
    """“search”"""
    ours = short()
    for user, site in ((short(), "North"), (short(), "South")):
        answered(tenant.api.post(f"{tenant.path}/users", json=user_body(user, department=ours, site=site)), 202)
    found = answered(tenant.api.get(f"{tenant.path}/users", params={"department": ours, "site": "South"}), 200)
    assert [one["site"] for one in found] == ["South"]


def test_pages_of_a_search(tenant: Tenant) -> None:
    """“search and paging”: pages are of what is found, and the links keep what was asked for."""
    ours = short()
    for _ in range(3):
        answered(tenant.api.post(f"{tenant.path}/users", json=user_body(short(), department=ours)), 202)
    first = tenant.api.get(f"{tenant.path}/users", params={"department": ours, "limit": 2})
    assert int(first.headers["x-total-count"]) == 3
    rest = answered(tenant.api.get(first.links["next"]["url"].removeprefix("/ns-api/v2")), 200)
    assert [one["department"] for one in rest] == [ours]


@pytest.mark.parametrize(("path", "kind"), [("/phonenumbers", "Phonenumber"), ("/connections", "Connection")])
def test_lists_over_all_domains(tenant: Tenant, other: Tenant, path: str, kind: str) -> None:
    """“`/phonenumbers`”; “`/connections`, `/connections/count`, `/domains/{domain}/connections`”"""
    ours, theirs = made(tenant, kind)[2], made(other, kind)[2]
    name = COLLECTIONS[kind][1]
    whole: list[tuple[str, str]] = []
    while True:
        page = answered(tenant.api.get(path, params={"start": len(whole) + 1, "limit": 1000}), 200)
        whole += [(one["domain"], str(one[name])) for one in page]
        if len(page) < 1000:
            break
    assert {(one["domain"], str(one[name])) for one in (ours, theirs)} <= set(whole)
    assert answered(tenant.api.get(f"{path}/count"), 200)["total"] == len(whole)


def test_a_connection_is_made_outside_a_domain_s_path(tenant: Tenant) -> None:
    """“`/connections`, …: GET, POST, PUT, DELETE”: the body names the domain."""
    _, body, name = resources(tenant)["Connection"]
    answered(tenant.api.post("/connections", json=body | {"domain": tenant.domain}), 202)
    read = answered(tenant.api.get(f"{tenant.path}/connections/{body[name]}"), 200)
    assert read["domain"] == tenant.domain


@pytest.fixture(scope="module")
def as_user(server: Server, tenant: Tenant) -> Iterator[httpx.Client]:
    """Return the API as user 1000 of the tenant sees it."""
    body = {"description": "A user of the tests", "domain": tenant.domain, "user": "1000", "user-scope": "Basic User"}
    made_key = answered(tenant.api.post("/apikeys", json=body | {"synchronous": "yes"}), 200, 202)
    with server.client(made_key["key"]) as client:
        yield client


def test_tilde_is_the_own_domain_and_user(tenant: Tenant, as_user: httpx.Client) -> None:
    """“`/domains/~`”, “`/domains/~/users/~`”"""
    assert answered(as_user.get("/domains/~/users/~"), 200)["user"] == "1000"
    assert answered(as_user.get("/domains/~/users/~"), 200) == answered(
        tenant.api.get(f"{tenant.path}/users/1000"), 200
    )
    own = answered(as_user.get("/domains/~/users/~/devices"), 200)
    assert "1000" in [one["device"] for one in own]
    assert {one["user"] for one in own} == {"1000"}


def test_devices_are_those_of_the_path_s_user(tenant: Tenant) -> None:
    """“`…/users/{user}/devices`, `/count`, `/{device}`”"""
    for user in PHONES:
        at = f"{tenant.path}/users/{user}/devices"
        assert {one["user"] for one in answered(tenant.api.get(at), 200)} == {user}
    answered(tenant.api.get(f"{tenant.path}/users/1000/devices/1001"), 404)
    answered(tenant.api.get(f"{tenant.path}/users/nobody/devices"), 404)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resource_that_is_not_there(tenant: Tenant, kind: str) -> None:
    """“404” (section 1), from each verb."""
    path, _ = collection(tenant, kind)
    at = f"{path}/nothing-of-that-name" if kind != "Phonenumber" else f"{path}/12025550000"
    at = at if kind != "User" else f"{path}/nobody"
    answered(tenant.api.get(at), 404)
    answered(tenant.api.put(at, json={}), 404)
    answered(tenant.api.delete(at), 404)
