"""Contract section 2: logins by OAuth, and JWTs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.accounts import GRANT, grant, made_key, made_user, passcode, person
from tests.contract.shapes import SCHEMAS, faults_of
from tests.contract.wire import PASSWORD, Json, Server, Tenant, answered, faulted, until

TOKENS = "/ns-api/v2/tokens"
LEGACY = ("/ns-api/oauth2/token/", "/ns-api/oauth2/token")
Login = dict[str, Json]
WRONG = re.compile("no such|unknown|not exist|not found", re.IGNORECASE)
"""Words that would tell whether there is such a user."""


@pytest.fixture(scope="module")
def user(tenant: Tenant) -> str:
    """Return a user who logs in."""
    return person(tenant)


@pytest.fixture(scope="module")
def anybody(server: Server) -> Iterator[httpx.Client]:
    """Return the server as it is seen without a token."""
    with server.client(None, base="") as client:
        yield client


@pytest.fixture(scope="module")
def login(server: Server, tenant: Tenant, user: str) -> Login:
    """Return the answer to a login."""
    with server.client(None) as client:
        return dict(answered(client.post("/tokens", json=grant(tenant, user)), 200))


@pytest.mark.parametrize("at", [TOKENS, *LEGACY])
@pytest.mark.parametrize("form", ["json", "data"])
def test_a_login_by_password(anybody: httpx.Client, tenant: Tenant, user: str, at: str, form: str) -> None:
    """“`POST /tokens`, OAuth: `grant_type` `password` (client_id, client_secret, username `user@domain`, password) …
    Accepts JSON and form. Legacy path `/ns-api/oauth2/token/` alike”"""
    body = grant(tenant, user)
    answer = answered(anybody.post(at, json=body) if form == "json" else anybody.post(at, data=body), 200)
    assert faults_of("AccessToken", answer) == []
    assert (answer["domain"], answer["user"], answer["scope"]) == (tenant.domain, user, "Basic User")
    assert answer["token_type"].lower() == "bearer"
    assert answer["expires_in"] > 0


def test_an_access_token_is_a_token(server: Server, tenant: Tenant, user: str, login: Login) -> None:
    """“a token is an API key, an access token or a JWT” (section 1), and `~` is whoever logged in"""
    with server.client(login["access_token"]) as client:
        read = answered(client.get("/domains/~/users/~"), 200)
        assert (read["domain"], read["user"]) == (tenant.domain, user)
        answered(client.get(f"{tenant.path}/users/1001"), 403)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("password", "Wrong-password-1"),
        ("username", "nobody@{domain}"),
        ("username", "{user}@nowhere.example"),
        ("client_id", "somebody-else"),
    ],
)
def test_a_login_that_is_wrong(anybody: httpx.Client, tenant: Tenant, user: str, field: str, value: str) -> None:
    """“Missing or bad: 401” (section 1): it does not say which of them is wrong, but for the client."""
    body = grant(tenant, user, **{field: value.format(domain=tenant.domain, user=user)})
    told = answered(anybody.post(TOKENS, json=body), 401)["message"]
    assert field == "client_id" or not set(WRONG.findall(told)), told


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("password", {"username", "password"}),
        ("refresh_token", {"refresh_token"}),
        ("mfa", {"username", "password", "passcode", "access_token"}),
        ("no-grant", {"grant_type"}),
    ],
)
def test_what_a_login_needs(anybody: httpx.Client, kind: str, missing: set[str]) -> None:
    """“`grant_type` `password` …, `refresh_token`, `mfa`”; “Every fault of the request in one answer.” (section 1)"""
    assert set(faulted(anybody.post(TOKENS, json=GRANT | {"grant_type": kind}), 400)) == missing


@pytest.mark.parametrize("form", ["json", "data"])
def test_a_login_is_refreshed(anybody: httpx.Client, tenant: Tenant, user: str, form: str) -> None:
    """“`grant_type` … `refresh_token`”"""
    first = answered(anybody.post(TOKENS, json=grant(tenant, user)), 200)
    body = GRANT | {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = answered(anybody.post(TOKENS, json=body) if form == "json" else anybody.post(TOKENS, data=body), 200)
    assert faults_of("AccessToken", second) == []
    assert second["access_token"] != first["access_token"]
    read = anybody.get("/ns-api/v2/domains/~/users/~", headers={"Authorization": f"Bearer {second['access_token']}"})
    assert answered(read, 200)["user"] == user


@pytest.mark.parametrize("token", ["{access_token}", "nothing", "a.b.c"])
def test_what_is_no_refresh_token(anybody: httpx.Client, login: Login, token: str) -> None:
    """“bad: 401” (section 1)"""
    body = GRANT | {"grant_type": "refresh_token", "refresh_token": token.format_map(login)}
    answered(anybody.post(TOKENS, json=body), 401)


def test_a_refresh_token_is_no_access_token(server: Server, login: Login) -> None:
    """“bad: 401” (section 1)"""
    with server.client(login["refresh_token"]) as client:
        answered(client.get("/domains/~/users/~"), 401)


def test_a_login_with_a_second_factor(server: Server, tenant: Tenant) -> None:
    """“`grant_type` … `mfa`”: the first answer is good for the second factor alone. How one is set up the contract does
    not say; we have it at `…/users/{user}/mfa`."""
    user = person(tenant)
    factor = f"{tenant.path}/users/{user}/mfa"
    secret = answered(tenant.api.post(factor), 200)["secret"]
    answered(tenant.api.put(factor, json={"passcode": passcode(secret)}), 202)
    with server.client(None) as client:
        asked = answered(client.post("/tokens", json=grant(tenant, user)), 200)
        assert asked["scope"] == "mfa_required"
        with server.client(asked["access_token"]) as half:
            answered(half.get("/domains/~/users/~"), 401, 403)
        second = grant(tenant, user, grant_type="mfa", access_token=asked["access_token"])
        answered(client.post("/tokens", json=second | {"passcode": "000000"}), 401)
        done = answered(client.post("/tokens", json=second | {"passcode": passcode(secret, step=1)}), 200)
    assert faults_of("AccessToken", done) == []
    with server.client(done["access_token"]) as whole:
        assert answered(whole.get("/domains/~/users/~"), 200)["user"] == user


def test_the_login_name_of_a_user(server: Server, tenant: Tenant) -> None:
    """“`login-username`, password” act (section 4): who has such a name logs in by it too."""
    name = f"ada-{tenant.domain}"
    user = person(tenant, login_username=name)
    with server.client(None) as client:
        for username in (name, f"{user}@{tenant.domain}"):
            answer = answered(client.post("/tokens", json=grant(tenant, user, username=username)), 200)
            assert answer["user"] == user


@pytest.mark.parametrize("form", ["json", "data"])
def test_a_jwt_by_login(server: Server, tenant: Tenant, user: str, form: str) -> None:
    """“`POST /jwt` (same grants) → `{"token": …}`; `GET /jwt` its claims (`JwtResponse`: `sub`, `domain`, `user`,
    `user_scope`, `exp`, …)”"""
    body = grant(tenant, user)
    with server.client(None) as client:
        answer = answered(client.post("/jwt", json=body) if form == "json" else client.post("/jwt", data=body), 200)
    assert faults_of("JwtRequestSuccess", answer) == []
    assert answer["token"].count(".") == 2
    with server.client(answer["token"]) as client:
        claims = answered(client.get("/jwt"), 200)
        answered(client.get("/domains/~/users/~/calls"), 200)
    assert faults_of("JwtResponse", claims) == []
    assert set(SCHEMAS["JwtResponse"]) <= set(claims)
    assert (claims["domain"], claims["user"], claims["user_scope"]) == (tenant.domain, user, "Basic User")
    assert claims["exp"] > time.time()


def test_a_jwt_that_was_changed(server: Server, tenant: Tenant, user: str) -> None:
    """“bad: 401” (section 1)"""
    with server.client(None) as client:
        token = answered(client.post("/jwt", json=grant(tenant, user)), 200)["token"]
    head, claims, signature = token.split(".")
    for changed in (f"{head}.{claims}.{signature[::-1]}", f"{head}.{claims[::-1]}.{signature}", f"{head}.{claims}."):
        with server.client(changed) as client:
            answered(client.get("/jwt"), 401)


def delegated(server: Server, maker: str, tenant: Tenant, user: str) -> httpx.Response:
    """Ask for a JWT of a user with a token."""
    with server.client(maker) as client:
        return client.post("/jwt", json={"domain": tenant.domain, "user": user})


def test_delegated_access(server: Server, tenant: Tenant, other: Tenant) -> None:
    """“delegated access `{"user","domain"}` by a token that rules over them”"""
    manager = made_key(tenant.api, domain=tenant.domain)["key"]
    token = answered(delegated(server, manager, tenant, "1000"), 200)["token"]
    with server.client(token) as client:
        assert answered(client.get("/domains/~/users/~"), 200)["user"] == "1000"
        answered(client.get(f"{tenant.path}/users"), 403)
    for who, whose in ((manager, other), (made_key(other.api, domain=other.domain)["key"], tenant)):
        answered(delegated(server, who, whose, "1000"), 403, 404)
    own = made_key(tenant.api, domain=tenant.domain, user="1001")["key"]
    answered(delegated(server, own, tenant, "1000"), 403, 404)
    answered(delegated(server, manager, tenant, "nobody"), 404)


def is_void(server: Server, token: str) -> bool:
    with server.client(token) as client:
        return client.get("/jwt").status_code == 401


def jwts(tenant: Tenant, user: str) -> list[str]:
    """Return two JWTs of a user."""
    body = {"domain": tenant.domain, "user": user}
    return [answered(tenant.api.post("/jwt", json=body), 200)["token"] for _ in range(2)]


@pytest.mark.parametrize("by", ["itself", "jti", "uid"])
def test_jwts_are_revoked(server: Server, tenant: Tenant, by: str) -> None:
    """“`DELETE /jwt`, `/jwt/{jti}`, `/jwt/{uid}` revoke.”"""
    user = made_user(tenant)
    first, second = jwts(tenant, user)
    with server.client(first) as client:
        if by == "itself":
            answered(client.delete("/jwt"), 202)
        elif by == "jti":
            answered(tenant.api.delete(f"/jwt/{answered(client.get('/jwt'), 200)['jti']}"), 202)
        else:
            answered(tenant.api.delete(f"/jwt/{user}@{tenant.domain}"), 202)
    until(lambda: is_void(server, first), what="the JWT is void")
    assert is_void(server, second) == (by == "uid")


def test_nobody_revokes_what_is_not_theirs(server: Server, tenant: Tenant) -> None:
    """“revoke”: what the token rules over."""
    user = made_user(tenant)
    token, _ = jwts(tenant, user)
    stranger = made_key(tenant.api, domain=tenant.domain, user="1001")["key"]
    with server.client(token) as own, server.client(str(stranger)) as client:
        answered(client.delete(f"/jwt/{answered(own.get('/jwt'), 200)['jti']}"), 202, 403, 404)
        answered(client.delete(f"/jwt/{user}@{tenant.domain}"), 403, 404)
    assert not is_void(server, token)


def test_another_password_ends_every_login(server: Server, tenant: Tenant) -> None:
    """“password (Argon2id)” acts (section 4)"""
    user = person(tenant)
    token, _ = jwts(tenant, user)
    answered(tenant.api.put(f"{tenant.path}/users/{user}", json={"user-login-password": f"{PASSWORD}-new"}), 202)
    until(lambda: is_void(server, token), what="the JWT is void")
    with server.client(None) as client:
        answered(client.post("/tokens", json=grant(tenant, user)), 401)
        answered(client.post("/tokens", json=grant(tenant, user, password=f"{PASSWORD}-new")), 200)


def test_guessing_is_slowed_down(server: Server, tenant: Tenant) -> None:
    """“429 with `Retry-After`” (section 1)"""
    user = person(tenant)
    with server.client(None) as client:
        answers = [client.post("/tokens", json=grant(tenant, user, password="Guess-0815")) for _ in range(12)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert {answer.status_code for answer in answers} == {401, 429}
        assert answered(refused[0], 429)["code"] == 429
        assert int(refused[0].headers["retry-after"]) > 0
        answered(client.post("/tokens", json=grant(tenant, user)), 429)
