"""Contract section 1: `~` and its like in paths, by a token that has a domain and a user; and HTTPS."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.accounts import made_key, with_key
from tests.contract.wire import BASE, Server, Tenant, answered, call_body, faulted


@pytest.fixture(scope="module")
def own(server: Server, tenant: Tenant) -> Iterator[httpx.Client]:
    """Return the API as user 1000 sees it."""
    with with_key(server, tenant.api, domain=tenant.domain, user="1000") as client:
        yield client


@pytest.mark.parametrize("domain", ["~", "%7E", "%7e", "{0}"])
@pytest.mark.parametrize("user", ["~", "%7E", "%7e", "1000", ""])
def test_tilde_is_the_token_s_own(own: httpx.Client, tenant: Tenant, domain: str, user: str) -> None:
    """“`~` in a path stands for the domain, user, … of the token …; also `%7E`”; “An empty user segment
    (`/users//calls`) is `~`”"""
    at = f"/domains/{domain.format(tenant.domain)}/users/{user}"
    if user:
        read = answered(own.get(at), 200)
        assert (read["domain"], read["user"]) == (tenant.domain, "1000")
    answered(own.get(f"{at}/calls"), 200)
    assert isinstance(answered(own.get(f"{at}/calls/count"), 200)["total"], int)


@pytest.mark.parametrize("twice", ["%257E", "~~", "~1000", "%7E%7E"])
def test_it_is_expanded_once(own: httpx.Client, tenant: Tenant, twice: str) -> None:
    """“Expanded once, before anything is authorised, in paths only”"""
    answered(own.get(f"{tenant.path}/users/{twice}"), 400, 403, 404)
    answered(own.get(f"/domains/{twice}/users/1000"), 400, 403, 404)


@pytest.mark.parametrize("path", ["/domains/*/users", "/domains/*/calls", "{0}/users/*", "{0}/users/*/calls"])
def test_star_opens_nothing_to_a_user(own: httpx.Client, tenant: Tenant, path: str) -> None:
    """“or `*` where a scope allows”"""
    answered(own.get(path.format(tenant.path)), 400, 403, 404)


def test_a_manager_has_a_domain_and_no_user(server: Server, tenant: Tenant) -> None:
    """“A token with no domain or user … gets 400 that says so, never "all"”"""
    with with_key(server, tenant.api, domain=tenant.domain) as client:
        assert answered(client.get("/domains/~"), 200)["domain"] == tenant.domain
        assert set(faulted(client.get("/domains/~/users/~/calls"), 400)) == {"user"}
        assert set(faulted(client.post("/domains/~/users//calls", json=call_body()), 400)) >= {"user"}


def test_a_reseller_has_no_domain(server: Server, tenant: Tenant) -> None:
    """“(a reseller or super-user key) gets 400 that says so”"""
    with with_key(server, tenant.api, reseller="contract") as client:
        assert set(faulted(client.get("/domains/~"), 400)) == {"domain"}
        assert set(faulted(client.get("/domains/~/users/~"), 400)) == {"domain", "user"}


def test_the_same_request_by_tilde_is_the_same_call(own: httpx.Client, phones: Tenant, tenant: Tenant) -> None:
    """“same id, same request (after `~` and defaults; `synchronous` aside)” (section 3)"""
    body = call_body(term="1002")
    answered(own.post(tenant.calls(), json=body), 202)
    again = own.post("/domains/~/users//calls", json=body | {"call-orig-user": f"1000@{tenant.domain}"})
    answered(again, 202)
    assert again.headers["idempotent-replayed"] == "true"
    answered(own.delete(f"/domains/~/users/~/calls/{body['call-id']}"), 202)


def test_an_id_is_free_where_nobody_was_let_in(server: Server, own: httpx.Client, phones: Tenant) -> None:
    """“the first attempt was refused (400, 401, 403, 429): the id is free” (section 3)"""
    body = call_body(term="1002")
    with server.client(None) as nobody:
        answered(nobody.post(phones.calls(), json=body), 401)
    answered(own.post(phones.calls("1001"), json=body), 403)
    answer = own.post(phones.calls(), json=body)
    answered(answer, 202)
    assert "idempotent-replayed" not in answer.headers
    answered(own.delete(phones.call(body["call-id"])), 202)


def test_tilde_in_a_body_is_a_text(own: httpx.Client, tenant: Tenant) -> None:
    """“in paths only”"""
    body = call_body(term="~@~")
    assert "call-term-user" in faulted(own.post(tenant.calls(), json=body), 400)


def test_https(server: Server, tenant: Tenant) -> None:
    """“HTTP and HTTPS (certificate in the configuration): clients build `https://{host}/ns-api/v2` themselves”"""
    if not server.https:
        pytest.skip("no address of the server by HTTPS is known")
    key = made_key(tenant.api, domain=tenant.domain)["key"]
    with httpx.Client(base_url=server.https + BASE, verify=False, trust_env=False) as client:  # noqa: S501 - a laptop's certificate is its own
        answered(client.get(tenant.path), 401)
        answer = client.get(tenant.path, headers={"Authorization": f"Bearer {key}"})
    assert answered(answer, 200)["domain"] == tenant.domain


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_read_as_http_has_it(server: Server, tenant: Tenant, scheme: str) -> None:
    """“`Authorization: Bearer <token>`”: a scheme's case makes no difference (RFC 9110 §11.1)."""
    with server.client(None) as client:
        answered(client.get(tenant.path, headers={"Authorization": f"{scheme} {server.key}"}), 200)
