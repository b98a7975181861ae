"""What /metrics says of this node: whether it is well, and of its engine, if it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ringbridge.api.parts import Readiness
from ringbridge.calls.figures import EngineFigures


class NodeMetrics(Collector):
    """Reads the figures when it is asked."""

    def __init__(self, readiness: Callable[[], Readiness], engine: Callable[[], EngineFigures] | None) -> None:
        self._readiness = readiness
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        found = self._readiness()
        yield GaugeMetricFamily("ringbridge_ready", "1 if this node can take calls: /readyz.", int(found.ready))
        yield GaugeMetricFamily("ringbridge_bus_up", "1 if this node has the bus.", int(found.bus == "up"))
        if found.relay != "none":
            yield GaugeMetricFamily("ringbridge_relay_up", "1 if the media relay answers.", int(found.relay == "up"))
        if found.replica_lag is not None:
            yield GaugeMetricFamily(
                "ringbridge_replica_lag",
                "Bus messages that are here and not in the local copy.",
                found.replica_lag,
            )
        if self._engine is not None:
            yield from _of_engine(self._engine())


def _of_engine(found: EngineFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily("ringbridge_calls", "Calls that run on this node now.", found.calls)
    ended = CounterMetricFamily("ringbridge_calls_ended", "Calls that ended here, by result.", labels=("result",))
    for result, count in sorted(found.ended.items()):
        ended.add_metric((result,), count)
    yield ended
    events = CounterMetricFamily("ringbridge_sip_events", "What the SIP endpoint counts, by what.", labels=("event",))
    for name, count in found.sip_counts.items():
        events.add_metric((name,), count)
    yield events
    held = GaugeMetricFamily("ringbridge_sip_held", "What the SIP endpoint holds now, by kind.", labels=("kind",))
    for name, count in found.sip_held.items():
        held.add_metric((name,), count)
    yield held
