"""Who stands behind a proxy: believed from trusted proxies alone, and then counted by everything that counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Final

import msgspec
import pytest

from ringbridge.api.http.forwarded import client_behind, scheme_behind
from ringbridge.api.parts import ApiSettings
from ringbridge.config import load
from ringbridge.main_http import api_settings
from tests.api.logins import give_password
from tests.api.world import CALLS, UNLIMITED, World, running_world

PROXY: Final = "10.1.0.1"
TRUSTED: Final = (ip_network("10.1.0.0/16"), ip_network("2001:db8:1::/48"))
XFF, FWD = "x-forwarded-for", "forwarded"


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        (PROXY, [], PROXY),
        (PROXY, [(XFF, "192.0.2.1")], "192.0.2.1"),
        ("198.51.100.1", [(XFF, "192.0.2.1")], "198.51.100.1"),
        ("", [(XFF, "192.0.2.1")], ""),
        (PROXY, [(XFF, "203.0.113.9, 192.0.2.1")], "192.0.2.1"),
        (PROXY, [(XFF, "203.0.113.9, 192.0.2.1, 10.1.2.3")], "192.0.2.1"),
        (PROXY, [(XFF, "203.0.113.9"), (XFF, "192.0.2.1"), (XFF, "10.1.2.3")], "192.0.2.1"),
        (PROXY, [(XFF, "10.1.9.9, 10.1.2.3")], "10.1.9.9"),
        (PROXY, [(XFF, "192.0.2.1, unknown")], PROXY),
        (PROXY, [(XFF, "192.0.2.1, unknown, 10.1.2.3")], "10.1.2.3"),
        (PROXY, [(XFF, "192.0.2.1,")], PROXY),
        (PROXY, [(XFF, "192.0.2.1:4711")], "192.0.2.1"),
        (PROXY, [(XFF, "2001:DB8::7")], "2001:db8::7"),
        (PROXY, [(XFF, "[2001:db8::7]:4711")], "2001:db8::7"),
        (PROXY, [(XFF, "::ffff:192.0.2.1")], "192.0.2.1"),
        ("::ffff:10.1.0.1", [(XFF, "192.0.2.1")], "192.0.2.1"),
        ("2001:db8:1::1", [(XFF, "192.0.2.1")], "192.0.2.1"),
        (PROXY, [(FWD, "for=192.0.2.1")], "192.0.2.1"),
        (PROXY, [(FWD, 'For="[2001:db8::7]:4711";proto=https;by=10.1.0.1')], "2001:db8::7"),
        (PROXY, [(FWD, "for=203.0.113.9, for=192.0.2.1;host=x, proto=http;for=10.1.2.3")], "192.0.2.1"),
        (PROXY, [(FWD, 'for=192.0.2.1;host="a, for=203.0.113.9"')], "192.0.2.1"),
        (PROXY, [(FWD, 'for=192.0.2.1;host="a\\", for=203.0.113.9"')], "192.0.2.1"),
        (PROXY, [(FWD, "for=192.0.2.1, proto=https")], PROXY),
        (PROXY, [(FWD, "for=_hidden")], PROXY),
        (PROXY, [(FWD, 'for=192.0.2.1, for="203.0.113.9')], PROXY),
        (PROXY, [(FWD, "192.0.2.1")], PROXY),
        (PROXY, [(FWD, "")], PROXY),
        (PROXY, [(FWD, "for=192.0.2.1"), (XFF, "192.0.2.1")], "192.0.2.1"),
        (PROXY, [(FWD, "for=203.0.113.9"), (XFF, "192.0.2.1")], PROXY),
        (PROXY, [(XFF, ", ".join(["192.0.2.1"] + ["10.1.2.3"] * 40))], "10.1.2.3"),
    ],
)
def test_who_is_behind_a_proxy(peer: str, headers: list[tuple[str, str]], client: str) -> None:
    assert client_behind(peer, [(name.encode(), value.encode()) for name, value in headers], TRUSTED) == client


def test_nobody_is_trusted_by_default() -> None:
    assert api_settings(load(environ={})).trusted_proxies == ()
    told = load(environ={"RINGBRIDGE_HTTP_TRUSTED_PROXIES": "10.1.0.0/16, 2001:db8:1::/48"})
    assert set(api_settings(told).trusted_proxies) == set(TRUSTED)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world(ApiSettings(sync_wait_s=1.0, rate_limits=UNLIMITED, trusted_proxies=TRUSTED)) as one:
        yield one


async def test_the_ip_rule_of_a_key_means_the_client(world: World) -> None:
    key = world.add_key("demo", "1001", "Basic User", ip_address="192.0.2.0/24")
    async with world.client(key, address=PROXY) as behind, world.client(key, address="198.51.100.1") as direct:
        assert (await behind.get(CALLS, headers={XFF: "192.0.2.1"})).status_code == 200
        assert (await behind.get(CALLS, headers={XFF: "203.0.113.9"})).status_code == 403
        assert (await behind.get(CALLS)).status_code == 403
        assert (await direct.get(CALLS, headers={XFF: "192.0.2.1"})).status_code == 403


async def test_rate_limits_mean_the_client() -> None:
    limits = msgspec.structs.replace(UNLIMITED, address="1/hour")
    async with running_world(ApiSettings(rate_limits=limits, trusted_proxies=TRUSTED)) as world:
        async with world.client(address=PROXY) as client:
            for name, status in (("192.0.2.1", 200), ("192.0.2.1", 429), ("192.0.2.2", 200)):
                assert (await client.get(CALLS, headers={XFF: name})).status_code == status
        async with world.client(address="198.51.100.1") as client:
            statuses = [(await client.get(CALLS, headers={XFF: f"192.0.2.{end}"})).status_code for end in (8, 9)]
        assert statuses == [200, 429], "who is no proxy gets no other address by saying so"


async def test_the_throttle_of_logins_means_the_client(world: World) -> None:
    await give_password(world)
    grant = {"grant_type": "password", "client_id": "ringbridge", "username": "1001@demo", "password": "a wrong one"}
    async with world.client("", address=PROXY) as client:
        statuses = [
            (await client.post("/ns-api/v2/tokens", json=grant, headers={XFF: "192.0.2.1"})).status_code
            for _ in range(9)
        ]
        other = await client.post("/ns-api/v2/tokens", json=grant, headers={XFF: "192.0.2.2"})
    assert (statuses[-1], other.status_code) == (429, 401)


async def test_the_audit_trail_names_the_client(world: World) -> None:
    user = "/ns-api/v2/domains/demo/users/1001"
    async with world.client(world.manager_key, address=PROXY) as client:
        changed = await client.put(user, json={"name-first-name": "Eva"}, headers={FWD: "for=192.0.2.1"})
        assert changed.status_code == 202
        (entry,) = (await client.get("/ringbridge/v1/domains/demo/audit")).json()
    assert entry["by-address"] == "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "told", "scheme"),
    [
        ("10.0.0.1", [b"https"], "https"),
        ("10.0.0.1", [b"HTTPS "], "https"),
        ("10.0.0.1", [b"https", b"http"], ""),
        ("10.0.0.1", [b"gopher"], ""),
        ("10.0.0.1", [], ""),
        ("192.0.2.1", [b"https"], ""),
    ],
)
def test_the_scheme_is_what_a_trusted_proxy_says(peer: str, told: list[bytes], scheme: str) -> None:
    headers = [(b"x-forwarded-proto", value) for value in told]
    assert scheme_behind(peer, headers, [ip_network("10.0.0.0/8")]) == scheme
