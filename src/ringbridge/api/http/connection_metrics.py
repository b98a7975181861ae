"""What /metrics says of connections that are kept watch of: how many are how, and of nobody which."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from ringbridge.calls.directory.ports import Directory
from ringbridge.model.connection_states import CONNECTION_STATE, ConnectionState, Health


async def connection_metrics(directory: Directory) -> bytes:
    """Return the metrics in Prometheus' text format, of all connections of the cluster as this node knows them."""
    registry = CollectorRegistry()
    gauge = Gauge(
        "ringbridge_connections", "Connections that are asked whether they live.", ("health",), registry=registry
    )
    states = [one for one in await directory.records(CONNECTION_STATE) if isinstance(one, ConnectionState)]
    found = Counter(one.health for one in states)
    for health in Health:
        gauge.labels(health.value).set(found[health])
    return generate_latest(registry)
