"""What the API counts: requests by operation and status, and how long they took."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from ringbridge.model.errors import CallError

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HttpMetrics:
    """Counters of one API; children are kept, because looking one up by label costs more than counting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "ringbridge_http_requests",
            "HTTP requests by operation and status.",
            ("operation", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "ringbridge_http_request_seconds",
            "Seconds from the request's head to its whole answer.",
            ("operation",),
            registry=registry,
            buckets=BUCKETS_S,
        )
        self._by_answer: dict[tuple[str, int], Counter] = {}
        self._by_operation: dict[str, Histogram] = {}

    def count(self, operation: str, status: int, seconds: float) -> None:
        """Count one finished request."""
        counter = self._by_answer.get((operation, status))
        if counter is None:
            counter = self._requests.labels(operation, str(status))
            self._by_answer[operation, status] = counter
        histogram = self._by_operation.get(operation)
        if histogram is None:
            histogram = self._by_operation[operation] = self._seconds.labels(operation)
        counter.inc()
        histogram.observe(seconds)


class CallMetrics:
    """What becomes of requests for calls, before anything rings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "ringbridge_calls_refused",
            "Calls that were refused before anything rang, by each reason that a request was refused for.",
            ("reason",),
            registry=registry,
        )

    def refused(self, refusal: CallError) -> None:
        """Count one refused call, under each of its reasons once."""
        for reason in {fault.code for fault in refusal.faults} or {refusal.code}:
            self._refused.labels(reason).inc()
