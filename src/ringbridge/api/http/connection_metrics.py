"""What /metrics says of connections that are kept watch of, and registered: how many are how, and of nobody which."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from ringbridge.calls.directory.ports import Directory
from ringbridge.model.connection_states import CONNECTION_STATE, ConnectionState, Health, Registered


async def connection_metrics(directory: Directory) -> bytes:
    """Return the metrics in Prometheus' text format, of all connections of the cluster as this node knows them."""
    registry = CollectorRegistry()
    gauge = Gauge(
        "ringbridge_connections", "Connections that are asked whether they live.", ("health",), registry=registry
    )
    states = [one for one in await directory.records(CONNECTION_STATE) if isinstance(one, ConnectionState)]
    found = Counter(one.health for one in states if one.watched)
    for health in Health:
        gauge.labels(health.value).set(found[health])
    gauge = Gauge(
        "ringbridge_connection_registrations",
        "Connections that are to be registered at their carriers.",
        ("state",),
        registry=registry,
    )
    registered = Counter(one.registration for one in states)
    for state in (Registered.YES, Registered.NO):
        gauge.labels(state.value).set(registered[state])
    return generate_latest(registry)
