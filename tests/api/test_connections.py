"""What the API tells of a connection that is watched, and what it says to calls that would go out by one."""

from __future__ import annotations

import msgspec
import pytest

from ringbridge.model.connection_states import ConnectionState, Health, Registered
from ringbridge.model.directory import Connection, DialRule
from ringbridge.model.events import CallRequested
from ringbridge.model.ids import CallId, DomainName
from tests.api.world import CALLS, World

PATH = "/ns-api/v2/domains/demo/connections/trunk"
TO = "4531234567"


def trunk(**more: object) -> Connection:
    fields: dict[str, object] = {
        "connection_address": "192.0.2.9:5070",
        "connection_health_check_enabled": "yes",
        **more,
    }
    return Connection("demo", "trunk", **fields)  # type: ignore[arg-type] # fields of it


def state(health: Health, *, address: str = "UDP 192.0.2.9:5070") -> ConnectionState:
    return ConnectionState(
        domain="demo",
        connection="trunk",
        address=address,
        node="n1",
        watched=True,
        health=health,
        health_reason="503 Service Unavailable" if health is Health.DOWN else "200 OK",
        health_at=1_800_000_000.0,
    )


@pytest.fixture
def routed(world: World) -> World:
    rule = DialRule(
        "demo", "demo", "out", "sip:45*@*", dial_rule_application="to-connection", dial_rule_parameter="trunk"
    )
    world.put(trunk(), rule)
    return world


async def test_what_is_known_of_a_connection_is_told(routed: World) -> None:
    async with routed.client(routed.manager_key) as client:
        told = (await client.get(PATH)).json()
        assert told["connection-health-state"] == "unknown"
        routed.put(state(Health.DOWN))
        told = (await client.get(PATH)).json()
        assert told["connection-health-state"] == "down"
        assert told["connection-health-reason"] == "503 Service Unavailable"
        assert told["connection-health-datetime"] == "2027-01-15T08:00:00+00:00"
        listed = (await client.get("/ns-api/v2/domains/demo/connections")).json()
        assert listed[0]["connection-health-state"] == "down"
        routed.put(trunk(connection_health_check_enabled="no"))
        assert "connection-health-state" not in (await client.get(PATH)).json()


async def test_a_call_to_one_that_is_down_is_refused_and_its_id_stays_free(routed: World) -> None:
    routed.put(state(Health.DOWN))
    body = {"call-id": "c1", "call-term-user": TO, "call-orig-user": TO}
    async with routed.client(routed.manager_key) as client:
        refused = await client.post(CALLS, json=body)
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["retry-after"]) > 0
        assert {(one["field"], one["code"]) for one in refused.json()["errors"]} == {
            ("call-orig-user", "connection-down"),
            ("call-term-user", "connection-down"),
        }
        assert "503 Service Unavailable" in refused.json()["message"]
        tried = await client.post(CALLS, json=body, params={"dry-run": "yes"})
        assert "connection-down" in tried.text
        routed.put(state(Health.UP))
        assert (await client.post(CALLS, json=body)).status_code == 202


@pytest.mark.parametrize("left", [None, state(Health.UNKNOWN), state(Health.DOWN, address="UDP 192.0.2.8:5070")])
async def test_only_what_is_known_to_be_down_is_refused(routed: World, left: ConnectionState | None) -> None:
    if left is not None:
        routed.put(left)
    async with routed.client(routed.manager_key) as client:
        answer = await client.post(CALLS, json={"call-id": "c1", "call-term-user": TO, "call-orig-user": TO})
    assert answer.status_code == 202, answer.text


async def test_what_is_known_of_its_registration_is_told(routed: World) -> None:
    routed.put(trunk(connection_sip_registration_enabled="yes", connection_sip_registration_username="line7"))
    async with routed.client(routed.manager_key) as client:
        assert (await client.get(PATH)).json()["connection-sip-registration-state"] == "unregistered"
        found = msgspec.structs.replace(
            state(Health.UP),
            registration=Registered.YES,
            registration_reason="200 OK",
            registered_at=1_800_000_000.0,
            registration_expires_at=1_800_003_600.0,
        )
        routed.put(found)
        told = (await client.get(PATH)).json()
        metrics = (await client.get("/metrics")).text
    assert told["connection-sip-registration-state"] == "registered"
    assert told["connection-sip-registration-reason"] == "200 OK"
    assert told["connection-sip-registration-datetime"] == "2027-01-15T08:00:00+00:00"
    assert told["connection-sip-registration-expires-datetime"] == "2027-01-15T09:00:00+00:00"
    assert 'ringbridge_connection_registrations{state="registered"} 1.0' in metrics


async def test_metrics_count_connections_and_name_none(routed: World) -> None:
    routed.put(state(Health.DOWN))
    async with routed.client("") as client:
        metrics = (await client.get("/metrics")).text
    assert 'ringbridge_connections{health="down"} 1.0' in metrics
    assert 'ringbridge_connections{health="up"} 0.0' in metrics
    assert "trunk" not in metrics


@pytest.mark.parametrize("interval", ["4", "3601", "x"])
async def test_how_often_it_is_asked_has_bounds(routed: World, interval: str) -> None:
    async with routed.client(routed.manager_key) as client:
        answer = await client.put(PATH, json={"connection-health-check-interval-seconds": interval})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "connection-health-check-interval-seconds"
        assert (await client.put(PATH, json={"connection-health-check-interval-seconds": 5})).status_code == 202


async def test_what_is_found_is_in_no_trail_and_no_export(routed: World) -> None:
    async with routed.client(routed.super_key) as client:
        exported = (await client.get("/ringbridge/v1/directory")).text
    routed.put(state(Health.DOWN))
    async with routed.client(routed.super_key) as client:
        assert (await client.get("/ringbridge/v1/directory")).text == exported


async def test_a_call_for_help_is_tried_all_the_same(routed: World) -> None:
    domain = await routed.store.domain("demo")
    assert domain is not None
    rule = DialRule(
        "demo", "demo", "help", "sip:112@*", dial_rule_application="to-connection", dial_rule_parameter="trunk"
    )
    routed.put(msgspec.structs.replace(domain, home_country="DK"), rule, state(Health.DOWN))
    async with routed.client(routed.manager_key) as client:
        answer = await client.post(CALLS, json={"call-id": "c1", "call-term-user": "112", "call-orig-user": "112"})
    assert answer.status_code == 202, answer.text
    (message,) = await routed.bus.read_call(DomainName("demo"), CallId("c1"))
    (requested,) = message.events
    assert isinstance(requested, CallRequested)
    assert all(target.emergency for target in (*requested.plan.origination, *requested.plan.termination))


@pytest.mark.parametrize("address", ["192.0.2.9:0", "192.0.2.9:65536", "192.0.2.9:", "a b"])
async def test_an_address_that_is_none_is_refused(routed: World, address: str) -> None:
    async with routed.client(routed.manager_key) as client:
        answer = await client.put(PATH, json={"connection-address": address})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "connection-address"
        assert (await client.put(PATH, json={"connection-address": "192.0.2.9:65535"})).status_code == 202
