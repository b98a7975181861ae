"""Contract section 2: API keys: their form, what they may, and who makes them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.contract.accounts import made_key, short, with_key
from tests.contract.shapes import SCHEMAS, faults_of
from tests.contract.wire import Json, Server, Tenant, answered, call_body, faulted, new_id, until, user_body

ELSEWHERE = "192.0.2.0/24,2001:db8::/32"
EVERYWHERE = "192.0.2.7,0.0.0.0/0,::/0"


@pytest.fixture(scope="module")
def places(tenant: Tenant) -> dict[str, dict[str, Json]]:
    """Return what makes a key of each kind, by its prefix."""
    return {
        "nss_": {},
        "nsr_": {"reseller": "contract"},
        "nsd_": {"domain": tenant.domain},
        "nsu_": {"domain": tenant.domain, "user": "1000"},
    }


PREFIXES = ("nss_", "nsr_", "nsd_", "nsu_")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_form_of_a_key(api: httpx.Client, places: dict[str, dict[str, Json]], prefix: str) -> None:
    """“Key: 60 characters: prefix 4, random 48 (`[A-Za-z0-9]`), CRC-32 of the first 52 in 8 hex digits”"""
    key = made_key(api, **places[prefix])["key"]
    assert re.fullmatch(prefix + r"[A-Za-z0-9]{48}[0-9a-f]{8}", key)
    assert int(key[52:], 16) == zlib.crc32(key[:52].encode())
    assert key[4:52] != made_key(api, **places[prefix])["key"][4:52]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_key_is_a_token(
    server: Server, api: httpx.Client, places: dict[str, dict[str, Json]], tenant: Tenant, prefix: str
) -> None:
    """“`Authorization: Bearer <token>`; a token is an API key, …” (section 1)"""
    with with_key(server, api, **places[prefix]) as client:
        assert answered(client.get(f"{tenant.path}/users/1000"), 200)["user"] == "1000"


@pytest.mark.parametrize(
    "changed", [lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"), lambda key: key[:-1], lambda key: key + "0"]
)
def test_a_key_that_is_not_as_it_was_told(server: Server, api: httpx.Client, changed: object) -> None:
    """“CRC-32 of the first 52 …”; “bad: 401” (section 1)"""
    assert callable(changed)
    with server.client(changed(made_key(api)["key"])) as client:
        answered(client.get("/apikeys/~"), 401)


def test_a_key_that_nobody_has(server: Server) -> None:
    """“bad: 401” (section 1): also where the checksum is right."""
    body = f"nss_{'Nobody00' * 6}"
    with server.client(f"{body}{zlib.crc32(body.encode()):08x}") as client:
        answered(client.get("/apikeys/~"), 401)


def test_a_key_is_shown_once(api: httpx.Client) -> None:
    """“Shown once, at creation; …”; “read back: …, never the key”"""
    made = made_key(api)
    answer = api.get(f"/apikeys/{made['key-id']}")
    assert "key" not in answered(answer, 200)
    assert made["key"][16:52] not in answer.text
    assert made["key"][16:52] not in api.get("/apikeys", params={"limit": 1000}).text


@pytest.mark.parametrize("description", ["eleven char", "", None])
def test_a_description_has_12_characters_at_least(api: httpx.Client, description: Json) -> None:
    """“Fields: `description` (at least 12 characters)”"""
    assert "description" in faulted(api.post("/apikeys", json={"description": description}), 400)
    assert made_key(api, description="twelve chars")["description"] == "twelve chars"


def test_the_fields_of_a_key(api: httpx.Client, tenant: Tenant) -> None:
    """“Fields: `description`, `domain`, `user`, `reseller`, `user-scope`, `ip-address`, `readonly`, `can-create-keys`,
    `allowed-models`; read back: `key-id` (12 characters), `created-datetime`, `lastused-datetime`”"""
    sent = {
        "description": "What the tests of fields made",
        "domain": tenant.domain,
        "user": "1000",
        "reseller": "*",
        "user-scope": "Basic User",
        "ip-address": ELSEWHERE,
        "readonly": "yes",
        "can-create-keys": "yes",
        "allowed-models": ["call", "cdr"],
    }
    made = made_key(api, **sent)
    read = answered(api.get(f"/apikeys/{made['key-id']}"), 200)
    assert {name: read[name] for name in sent} == sent
    assert re.fullmatch("[A-Za-z0-9]{12}", read["key-id"])
    assert read["created-datetime"].endswith("+00:00")
    assert read["lastused-datetime"] is None
    assert faults_of("ApiKey", read, nullable=True) == []


def test_a_key_tells_when_it_was_used(server: Server, api: httpx.Client) -> None:
    """“read back: … `lastused-datetime`”"""
    made = made_key(api)
    with server.client(made["key"]) as client:
        answered(client.get("/apikeys/~"), 200)
    until(lambda: api.get(f"/apikeys/{made['key-id']}").json()["lastused-datetime"], what="the use of a key is told")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("domain", "no domain"),
        ("user-scope", "Emperor"),
        ("ip-address", "not-an-address"),
        ("ip-address", "192.0.2.0/33"),
        ("readonly", "maybe"),
        ("can-create-keys", "maybe"),
        ("allowed-models", ["calls-of-others"]),
    ],
)
def test_a_field_of_a_key_that_cannot_be(api: httpx.Client, field: str, value: Json) -> None:
    """“400 malformed or invalid” (section 1)"""
    body = {"description": "A key that cannot be", field: value}
    assert field in faulted(api.post("/apikeys", json=body), 400)


def test_a_key_from_elsewhere(server: Server, api: httpx.Client) -> None:
    """“`ip-address` (comma list of addresses and CIDR)”"""
    with with_key(server, api, ip_address=ELSEWHERE) as elsewhere, with_key(server, api, ip_address=EVERYWHERE) as here:
        answered(elsewhere.get("/domains"), 403)
        answered(here.get("/domains"), 200)


def test_a_key_that_only_reads(server: Server, api: httpx.Client, tenant: Tenant) -> None:
    """“`readonly`”: whatever it sees it changes nothing of."""
    user = f"{tenant.path}/users/1000"
    with with_key(server, api, readonly="yes") as client:
        before = answered(client.get(user), 200)
        answered(client.put(user, json={"department": "Changed"}), 403)
        answered(client.delete(user), 403)
        answered(client.post(f"{tenant.path}/users", json=user_body(short())), 403)
        answered(client.post(tenant.calls(), json=call_body()), 403)
        answered(client.delete(tenant.call("none")), 403)
        assert answered(client.get(user), 200) == before


@pytest.mark.parametrize(
    ("models", "allowed", "refused"),
    [
        (["call"], "{0}/calls", "{0}/users"),
        (["user"], "{0}/users", "{0}/calls"),
        (["cdr", "device"], "{0}/users/1000/devices", "{0}/phonenumbers"),
        (["cdr", "device"], "/cdrs", "/subscriptions"),
    ],
)
def test_a_key_for_some_models(
    server: Server, api: httpx.Client, tenant: Tenant, models: list[str], allowed: str, refused: str
) -> None:
    """“`allowed-models`”"""
    with with_key(server, api, allowed_models=models) as client:
        answered(client.get(allowed.format(tenant.path)), 200)
        answered(client.get(refused.format(tenant.path)), 403)


def test_a_call_with_the_key_of_a_user(server: Server, phones: Tenant) -> None:
    """“`nsu_` user: its user”: a call on its behalf and nobody else's, and the id of what was refused is free."""
    body = call_body()
    with with_key(server, phones.api, domain=phones.domain, user="1002") as client:
        answered(client.post(phones.calls("1001"), json=body), 403)
        answer = client.post("/domains/~/users/~/calls", json=body)
        answered(answer, 202)
        assert "idempotent-replayed" not in answer.headers
        answered(client.delete(f"/domains/~/users/~/calls/{body['call-id']}"), 202)


@pytest.mark.parametrize("tilde", ["~", "%7E"])
def test_the_own_key(server: Server, api: httpx.Client, tilde: str) -> None:
    """“`/apikeys/~`”: “`~` in a path stands for the … key of the token …; also `%7E`” (section 1)"""
    made = made_key(api)
    with server.client(made["key"]) as client:
        assert answered(client.get(f"/apikeys/{tilde}"), 200)["key-id"] == made["key-id"]


def test_a_key_is_changed_and_revoked(server: Server, api: httpx.Client) -> None:
    """“`PUT`, `DELETE`”"""
    made = made_key(api)
    at = f"/apikeys/{made['key-id']}"
    answered(api.put(at, json={"description": "Another description", "allowed-models": ["apikey"]}), 202)
    read = answered(api.get(at), 200)
    assert (read["description"], read["allowed-models"]) == ("Another description", ["apikey"])
    with server.client(made["key"]) as client:
        answered(client.get("/apikeys/~"), 200)
        answered(api.delete(at), 202)
        answered(api.get(at), 404)
        until(lambda: client.get("/apikeys/~").status_code == 401, what="a revoked key is void")


def test_keys_are_listed_to_whoever_rules_over_them(
    server: Server, api: httpx.Client, places: dict[str, dict[str, Json]], other: Tenant
) -> None:
    """“`GET /apikeys`, `/apikeys/{key-id}`”: each sees its own and those below it, and the others' are not there."""
    keys = {prefix: made_key(api, **places[prefix]) for prefix in PREFIXES}
    theirs = made_key(api, domain=other.domain)
    for rank, prefix in enumerate(PREFIXES):
        with server.client(keys[prefix]["key"]) as client:
            listed = {one["key-id"] for one in answered(client.get("/apikeys", params={"limit": 1000}), 200)}
            wanted = {keys[below]["key-id"] for below in PREFIXES[rank:]}
            assert listed & {key["key-id"] for key in keys.values()} == wanted
            assert answered(client.get("/apikeys/count"), 200)["total"] >= len(wanted)
            if prefix in ("nsd_", "nsu_"):
                assert theirs["key-id"] not in listed
                answered(client.get(f"/apikeys/{theirs['key-id']}"), 404)
                answered(client.delete(f"/apikeys/{theirs['key-id']}"), 404)


@pytest.fixture(scope="module")
def makers(server: Server, api: httpx.Client, places: dict[str, dict[str, Json]]) -> Iterator[dict[str, httpx.Client]]:
    """Return the API as keys see it that may make keys, by prefix."""
    with ExitStack() as stack:
        yield {
            prefix: stack.enter_context(with_key(server, api, can_create_keys="yes", **places[prefix]))
            for prefix in PREFIXES
        }


@pytest.mark.parametrize("prefix", PREFIXES)
def test_keys_are_made_only_by_who_may(
    server: Server, api: httpx.Client, places: dict[str, dict[str, Json]], makers: dict[str, httpx.Client], prefix: str
) -> None:
    """“`POST /apikeys` (only with `can-create-keys`; …)”"""
    body = {"description": "A key made by a key"} | places[prefix]
    with with_key(server, api, **places[prefix]) as client:
        answered(client.post("/apikeys", json=body), 403)
    assert answered(makers[prefix].post("/apikeys", json=body), 200)["key"].startswith(prefix)


@pytest.mark.parametrize(
    ("maker", "wider"),
    [(maker, wider) for rank, maker in enumerate(PREFIXES) for wider in PREFIXES[:rank]],
)
def test_a_key_is_never_wider_than_its_maker(
    places: dict[str, dict[str, Json]], makers: dict[str, httpx.Client], maker: str, wider: str
) -> None:
    """“never wider than the maker”: nor for more than it rules over. What is left out is the maker's own."""
    scope = {"nss_": "Super User", "nsr_": "Reseller", "nsd_": "Office Manager"}[wider]
    body = {"description": "A key that reaches further", "domain": "*", "user": "*", "user-scope": scope}
    answer = makers[maker].post("/apikeys", json=body | places[wider])
    answered(answer, 403)
    assert "key" not in answer.json()


@pytest.mark.parametrize(
    "place",
    [
        {"domain": "{other}", "user-scope": "Office Manager"},
        {"domain": "{other}", "user": "1000"},
        {"domain": "{own}", "user": "1001"},
        {"domain": "*", "reseller": "others", "user-scope": "Reseller"},
    ],
)
def test_a_key_for_others_is_refused(
    makers: dict[str, httpx.Client], tenant: Tenant, other: Tenant, place: dict[str, str]
) -> None:
    """“never wider than the maker”"""
    body = {name: value.format(own=tenant.domain, other=other.domain) for name, value in place.items()}
    answered(makers["nsu_"].post("/apikeys", json={"description": "A key for another"} | body), 403, 404)


@pytest.mark.parametrize(
    ("limits", "field", "wider", "within"),
    [
        ({"ip-address": EVERYWHERE.split(",", 1)[1]}, "ip-address", "", ELSEWHERE),
        ({"allowed-models": ["apikey", "call"]}, "allowed-models", ["user"], ["call"]),
        ({"user-scope": "Office Manager"}, "user-scope", "Reseller", "Office Manager"),
    ],
)
def test_a_key_has_the_limits_of_its_maker(
    server: Server, api: httpx.Client, tenant: Tenant, limits: dict[str, Json], field: str, wider: Json, within: Json
) -> None:
    """“never wider than the maker”: in addresses, models and scope. Where it names none, they are its maker's."""
    with with_key(server, api, domain=tenant.domain, can_create_keys="yes", **limits) as maker:
        body = {"description": "A key of a limited key"}
        assert answered(maker.post("/apikeys", json=body | {field: within}), 200)[field] == within
        if wider:
            assert field in faulted(maker.post("/apikeys", json=body | {field: wider}), 403)
        assert answered(maker.post("/apikeys", json=body), 200)[field] == limits[field]


def test_allowed_models_are_those_of_the_schema(api: httpx.Client) -> None:
    """“`allowed-models`” of `CreateApikeyRequest`: none is everything."""
    assert "allowed-models" in SCHEMAS["CreateApikeyRequest"]
    assert made_key(api)["allowed-models"] == []


def test_a_key_that_is_not_there(api: httpx.Client) -> None:
    """“404” (section 1)"""
    at = f"/apikeys/{new_id()[-12:]}"
    answered(api.get(at), 404)
    answered(api.put(at, json={"description": "Nobody's description"}), 404)
    answered(api.delete(at), 404)
