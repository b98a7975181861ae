"""What /metrics says of this node's event deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ringbridge.calls.events.ports import EventDeliveries
from ringbridge.calls.ports import Clock

OUTCOMES: Final = ("delivered", "failed", "given-up", "ended")


class DeliveryMetrics(Collector):
    """Reads the figures when it is asked."""

    def __init__(self, events: EventDeliveries, clock: Clock) -> None:
        self._events = events
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        found = self._events.figures()
        attempts = CounterMetricFamily(
            "ringbridge_event_delivery_attempts",
            "Attempts at POSTing events to subscribers, by what came of them.",
            labels=("outcome",),
        )
        for outcome in OUTCOMES:
            attempts.add_metric((outcome,), found.attempts.get(outcome, 0))
        yield attempts
        yield GaugeMetricFamily(
            "ringbridge_event_subscriptions", "Subscriptions that this node delivers now.", found.subscriptions
        )
        yield GaugeMetricFamily(
            "ringbridge_event_deliveries_waiting",
            "Calls (of presence: users) whose events wait for another attempt.",
            found.waiting,
        )
        yield GaugeMetricFamily(
            "ringbridge_event_deliveries_oldest_seconds",
            "Age of the oldest event that was read and is not delivered; 0 where all are.",
            max(0.0, self._clock.now() - found.oldest_at) if found.oldest_at is not None else 0.0,
        )
