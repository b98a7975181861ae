"""How a node says that it is well: the health of a node without API, and what its engine counts."""

from typing import Any, cast

import httpx
import pytest

from ringbridge.api.http.health import health_app
from ringbridge.api.parts import Readiness
from ringbridge.calls.figures import EngineFigures

FIGURES = EngineFigures(
    calls=3,
    ended={"completed": 5, "busy": 2},
    sip_counts={"received": 40, "malformed": 1},
    sip_held={"sessions": 6},
)


def client(*, ready: bool = True, relay: str = "up", lag: int | None = 7) -> httpx.AsyncClient:
    found = Readiness(ready=ready, node="n1", bus="up", durability="strict", relay=relay, replica_lag=lag)
    app = health_app(lambda: found, lambda: FIGURES, version="1")
    return httpx.AsyncClient(transport=httpx.ASGITransport(cast("Any", app)), base_url="http://node")


async def test_a_node_without_api_says_how_it_is() -> None:
    async with client() as node:
        assert (await node.get("/healthz")).json() == {"status": "ok"}
        ready = await node.get("/readyz")
        assert (ready.status_code, ready.json()["replica-lag"]) == (200, 7)
    async with client(ready=False) as node:
        assert (await node.get("/readyz")).status_code == 503


async def test_it_serves_nothing_else() -> None:
    async with client() as node:
        assert (await node.get("/ns-api/v2/version")).status_code == 404
        refused = await node.post("/metrics")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("relay", "lag", "line", "there"),
    [
        ("up", 7, "ringbridge_relay_up 1.0", True),
        ("down", 7, "ringbridge_relay_up 0.0", True),
        ("none", 7, "ringbridge_relay_up", False),
        ("up", 7, "ringbridge_replica_lag 7.0", True),
        ("up", None, "ringbridge_replica_lag", False),
    ],
)
async def test_metrics_say_what_the_node_has(relay: str, lag: int | None, line: str, there: bool) -> None:  # noqa: FBT001
    async with client(relay=relay, lag=lag) as node:
        text = (await node.get("/metrics")).text
    assert (line in text) is there


async def test_metrics_say_how_the_engine_is_doing() -> None:
    async with client() as node:
        answer = await node.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        "ringbridge_calls 3.0",
        'ringbridge_calls_ended_total{result="completed"} 5.0',
        'ringbridge_calls_ended_total{result="busy"} 2.0',
        'ringbridge_sip_events_total{event="malformed"} 1.0',
        'ringbridge_sip_held{kind="sessions"} 6.0',
    ):
        assert line in answer.text
