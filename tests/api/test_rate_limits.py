"""Rate limits by key, user, domain and address, as a client sees them."""

from __future__ import annotations

import re
from typing import Final

import httpx
import pytest
from prometheus_client import CollectorRegistry

from ringbridge.api.access.rate_limits import RateLimiter, RateLimits
from ringbridge.api.parts import ApiSettings
from ringbridge.config import load
from ringbridge.model.access import ANY, Principal, Scope
from ringbridge.model.client_address import holder_of
from tests.api.world import CALLS, TestClock, World, order, running_world

USER: Final = "/ns-api/v2/domains/~/users/1001"


def limited(**limits: str) -> ApiSettings:
    """Return settings with no limits but those named."""
    off = dict.fromkeys(RateLimits.__struct_fields__, "off")
    return ApiSettings(sync_wait_s=1.0, rate_limits=RateLimits(**(off | limits)))


async def statuses(client: httpx.AsyncClient, path: str, times: int) -> list[int]:
    return [(await client.get(path)).status_code for _ in range(times)]


async def test_a_key_that_asks_too_often_is_429_with_the_standard_headers_until_it_has_waited() -> None:
    async with running_world(limited(key="3/minute")) as world, world.client() as client:
        answers = [await client.get(CALLS) for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert [one.headers["ratelimit-policy"] for one in answers] == ['"key";q=3;w=60'] * 4
        assert [one.headers["ratelimit"] for one in answers] == [
            '"key";r=2;t=20',
            '"key";r=1;t=40',
            '"key";r=0;t=60',
            '"key";r=0;t=20',
        ]
        refused = answers[-1]
        assert refused.headers["retry-after"] == "20"
        assert refused.json()["errors"][0]["code"] == "too-many-requests"
        assert refused.json()["request-id"] == refused.headers["x-request-id"]
        world.clock.time += 20
        assert await statuses(client, CALLS, 2) == [200, 429]


async def test_a_refused_request_is_not_read_and_stores_nothing() -> None:
    async with running_world(limited(key="1/hour")) as world, world.client() as client:
        await client.get(CALLS)
        assert (await client.post(CALLS, content=b"no JSON")).status_code == 429
        assert (await client.post(CALLS, json=order())).status_code == 429
        assert world.writes == 0


async def test_each_key_has_its_own_quota_and_all_keys_of_a_user_share_another() -> None:
    async with running_world(limited(key="2/hour", user="3/hour")) as world:
        second = world.add_key("demo", "1001", "Basic User")
        async with world.client() as one, world.client(second) as two, world.client(world.other_user_key) as other:
            assert await statuses(one, CALLS, 3) == [200, 200, 429]
            answer = await two.get(CALLS)
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"key";q=2;w=3600, "user";q=3;w=3600'
            assert answer.headers["ratelimit"].startswith('"user";r=0;')
            assert await statuses(two, CALLS, 1) == [429]
            assert await statuses(other, CALLS.replace("1001", "1002"), 1) == [200]


async def test_a_refusal_takes_nothing_of_the_other_quotas() -> None:
    async with running_world(limited(key="1/hour", user="3/hour")) as world:
        second = world.add_key("demo", "1001", "Basic User")
        async with world.client() as one, world.client(second) as two:
            assert await statuses(one, CALLS, 5) == [200, 429, 429, 429, 429]
            assert await statuses(two, CALLS, 1) == [200]


async def test_a_domain_s_tokens_share_its_quota_and_nobody_uses_up_another_domain_s() -> None:
    async with running_world(limited(domain="2/hour")) as world:
        path = "/ns-api/v2/domains/demo/calls/count"
        async with world.client(world.foreign_manager_key) as foreign, world.client(world.super_key) as above:
            assert await statuses(foreign, path, 3) == [404, 404, 429]
            assert await statuses(above, path, 5) == [200] * 5
        async with world.client(world.manager_key) as own, world.client() as user:
            assert await statuses(own, path, 1) == [200]
            assert await statuses(user, CALLS, 2) == [200, 429]


async def test_an_address_has_one_quota_whatever_it_shows() -> None:
    async with running_world(limited(address="3/hour")) as world:
        async with world.client() as one, world.client(world.super_key) as two, world.client("") as none:
            assert await statuses(one, CALLS, 1) + await statuses(two, CALLS, 1) == [200, 200]
            assert await statuses(none, "/healthz", 1) == [200]
            for client in (one, two, none):
                assert await statuses(client, CALLS, 1) == [429]
        async with world.client(address="192.0.2.1") as elsewhere:
            assert await statuses(elsewhere, CALLS, 1) == [200]


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        (CALLS, "", 401),
        (CALLS, "nsu_guessed", 401),
        ("/healthz", "", 200),
        ("/nowhere", "", 404),
    ],
)
async def test_who_shows_no_valid_token_is_limited_by_address_and_locks_nobody_out(
    path: str, key: str, status: int
) -> None:
    async with running_world(limited(unauthenticated="2/minute")) as world:
        async with world.client(key) as stranger, world.client() as known:
            assert await statuses(stranger, path, 3) == [status, status, 429]
            answer = await stranger.get(path)
            assert answer.headers["retry-after"] == "30"
            assert answer.headers["ratelimit"] == '"unauthenticated";r=0;t=30'
            assert await statuses(known, CALLS, 1) == [200]
        async with world.client(key, address="192.0.2.1") as elsewhere:
            assert await statuses(elsewhere, path, 1) == [status]


async def test_an_expired_token_is_a_stranger_s() -> None:
    async with running_world(limited(unauthenticated="1/hour")) as world:
        expired = world.add_key("demo", "1001", "Basic User", expires_at=world.clock.now() - 1)
        async with world.client(expired) as client:
            assert await statuses(client, CALLS, 2) == [401, 429]


async def test_refusals_are_counted_by_limit() -> None:
    async with running_world(limited(key="1/hour")) as world, world.client() as client:
        await statuses(client, CALLS, 3)
        text = (await client.get("/metrics")).text
    assert 'ringbridge_http_rate_limited_total{limit="key"} 2.0' in text


async def test_without_limits_nothing_is_told(world: World, client: httpx.AsyncClient) -> None:
    assert "ratelimit" not in (await client.get(CALLS)).headers


async def test_every_operation_s_document_names_429_and_the_headers(world: World) -> None:
    async with world.client("") as client:
        document = (await client.get("/openapi.json")).json()
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["responses"]["429"] == {"$ref": "#/components/responses/429"}
    told = document["components"]["responses"]["429"]["headers"]
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(told)


def test_an_ipv6_client_is_its_64_and_a_mapped_one_its_ipv4() -> None:
    assert holder_of("2001:db8:1:2:3::4") == holder_of("2001:db8:1:2::ffff") == "2001:db8:1:2::/64"
    assert holder_of("::ffff:192.0.2.1") == holder_of("192.0.2.1") == "192.0.2.1"
    assert holder_of("fe80::1%eth0") == "fe80::/64"
    assert holder_of("") == ""
    assert holder_of("not:an:address") == "not:an:address"


def test_who_has_a_whole_quota_again_is_forgotten_and_memory_is_bounded() -> None:
    clock = TestClock()
    limits = RateLimits(key="off", user="off", domain="off", address="5/minute", unauthenticated="off")
    limiter = RateLimiter(limits, clock, CollectorRegistry(), most_kept=100)
    for number in range(120):
        limiter.stranger(f"host-{number}")
    clock.time += 11  # a sweep is due, and everybody has used one of five in a minute: 12 seconds' worth
    limiter.stranger("host-new")
    assert limiter.holders == 101
    clock.time += 100
    limiter.stranger("host-new")
    assert limiter.holders == 1


def test_limits_come_from_the_configuration_and_its_defaults_are_those_of_the_api() -> None:
    config = load(environ={"RINGBRIDGE_RATE_LIMITS_KEY": "7/minute", "RINGBRIDGE_RATE_LIMITS_USER": "off"})
    assert (config.rate_limits.key, config.rate_limits.user) == ("7/minute", "off")
    defaults = load(environ={}).rate_limits
    assert {name: getattr(defaults, name) for name in RateLimits.__struct_fields__} == {
        name: getattr(RateLimits(), name) for name in RateLimits.__struct_fields__
    }


def test_the_defaults_let_a_busy_key_pass() -> None:
    """1,000 calls a second are what one node is asked to accept, and 3,000 reads."""
    limiter = RateLimiter(RateLimits(), TestClock(), CollectorRegistry())
    principal = Principal("key", "demo", "1001", Scope.BASIC_USER)
    assert all(limiter.known(principal, "192.0.2.1").refusal is None for _ in range(4000))


def test_headers_are_structured_fields_as_the_draft_has_them() -> None:
    limiter = RateLimiter(RateLimits(), TestClock(), CollectorRegistry())
    headers = dict(limiter.known(Principal("key", "demo", ANY, Scope.OFFICE_MANAGER), "192.0.2.1").headers)
    item = r'"[a-z]+";q=\d+;w=\d+'
    assert re.fullmatch(rf"{item}(, {item})*", headers[b"ratelimit-policy"].decode())
    assert re.fullmatch(r'"[a-z]+";r=\d+;t=\d+', headers[b"ratelimit"].decode())
