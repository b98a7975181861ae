"""Hands what was asked and answered to the request history, in some microseconds and without waiting.

Only requests with a good token are kept: they are somebody's. What is read of the history itself is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from litestar.types import HTTPScope
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from ringbridge.api.document.operations import Operation, Schema
from ringbridge.api.http.passage import Passage
from ringbridge.calls.exchange_ports import Exchanges
from ringbridge.calls.ports import Clock
from ringbridge.model.access import MODELS
from ringbridge.model.exchanges import Exchange
from ringbridge.model.masking import is_secret_name

KEPT_HEADERS: Final = frozenset(
    (b"accept", b"content-type", b"host", b"if-match", b"last-event-id", b"origin", b"user-agent")
)
"""Headers of a request that are kept: none that proves who somebody is, none that tells where they came from."""
USUAL_HEADERS: Final = frozenset(
    (
        b"cache-control",
        b"content-length",
        b"ratelimit",
        b"ratelimit-policy",
        b"x-content-type-options",
        b"x-request-id",
    )
)
"""Headers that every answer has, and that say nothing of this one which is not kept beside them."""
HEADER_LENGTH: Final = 512
PATH_LENGTH: Final = 1024
QUERY_LENGTH: Final = 2048
MODEL: Final = MODELS["requests"]


def is_kept(operation: Operation) -> bool:
    """Return whether the history keeps requests of `operation`."""
    return operation.writes or operation.model != MODEL


class ExchangeRecorder:
    """Records for one API."""

    def __init__(self, exchanges: Exchanges, clock: Clock, registry: CollectorRegistry, telling: Iterable[str]) -> None:
        """`telling` are the operations whose answers may hold secrets."""
        self._exchanges = exchanges
        self._clock = clock
        self._most = exchanges.body_bytes
        self._telling = frozenset(telling)
        registry.register(_Dropped(exchanges))

    def record(self, scope: HTTPScope, passage: Passage, seconds: float) -> None:
        """Keep what just passed."""
        principal, status = passage.principal, passage.status
        if principal is None or not status:
            return
        client = scope.get("client")
        self._exchanges.add(
            Exchange(
                self._clock.now(),
                seconds,
                passage.operation,
                scope["method"],
                scope["path"][:PATH_LENGTH],
                scope["query_string"][:QUERY_LENGTH],
                status,
                principal,
                client[0] if client else "",
                passage.request_id,
                tuple([(name, value[:HEADER_LENGTH]) for name, value in scope["headers"] if name in KEPT_HEADERS]),
                passage.asked[: self._most],
                len(passage.asked),
                tuple([pair for pair in passage.answer_headers if pair[0] not in USUAL_HEADERS]),
                passage.answer[: self._most],
                passage.answer_size,
                status >= 400 or passage.operation in self._telling,
            )
        )


class _Dropped(Collector):
    """How many requests were not kept."""

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "ringbridge_request_history_dropped",
            "Requests that the history did not keep: its queue was full, or its file could not be written.",
            labels=("reason",),
        )
        for reason, total in self._exchanges.dropped.items():
            family.add_metric((reason,), total)
        yield family


def telling_operations(document: Schema) -> Iterator[str]:
    """Yield the operations of an OpenAPI document whose answers may hold a secret.

    A GET tells one only under a name that its document has; what writes may also tell what it just made.
    """
    paths, components = document["paths"], document["components"]
    assert isinstance(paths, dict)  # noqa: S101 - our own document
    assert isinstance(components, dict)  # noqa: S101 - as above
    for methods in paths.values():
        for method, operation in methods.items():
            names = _names(operation["responses"], components, set())
            if method != "get" or any(is_secret_name(name) for name in names):
                yield operation["operationId"]


def _names(value: object, components: Schema, seen: set[str]) -> Iterator[str]:
    """Yield the names of all properties in a part of the document, through its references."""
    if isinstance(value, list):
        for one in value:
            yield from _names(one, components, seen)
    if not isinstance(value, dict):
        return
    reference = value.get("$ref")
    if isinstance(reference, str) and reference not in seen:
        seen.add(reference)
        kind, name = reference.rsplit("/", 2)[-2:]
        parts = components[kind]
        yield from _names(parts[name] if isinstance(parts, dict) else None, components, seen)
    for name, one in value.items():
        if name == "properties" and isinstance(one, dict):
            yield from one
        yield from _names(one, components, seen)
