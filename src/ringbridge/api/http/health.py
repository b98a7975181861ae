"""How the node is, and which API this is. No token is needed; nothing of a tenant is told."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ringbridge.api.document.operations import Access, Operation, Reply
from ringbridge.api.http.answers import Answer, json_answer
from ringbridge.api.http.connection_metrics import connection_metrics
from ringbridge.api.http.node_metrics import NodeMetrics
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import Readiness
from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.figures import EngineFigures


class Version(msgspec.Struct, frozen=True):
    """`GET /version`."""

    apiversion: str


class Alive(msgspec.Struct, frozen=True):
    """`GET /healthz`: the process answers."""

    status: str = "ok"


class HealthHandlers:
    """Handlers without a token."""

    def __init__(
        self,
        readiness: Callable[[], Readiness],
        registry: CollectorRegistry,
        *,
        version: str,
        directory: Directory | None = None,
    ) -> None:
        """`directory` is what metrics of connections are read from."""
        self._readiness = readiness
        self._registry = registry
        self._version = version
        self._directory = directory

    async def version(self, _: Request | None = None) -> Answer:
        """Say which version this is."""
        return json_answer(Version(self._version))

    async def alive(self, _: Request | None = None) -> Answer:
        """Say that the process answers."""
        return json_answer(Alive())

    async def ready(self, _: Request | None = None) -> Answer:
        """Say whether calls can be taken: 200 or 503, with the same body."""
        readiness = self._readiness()
        return json_answer(readiness, status=200 if readiness.ready else 503)

    async def metrics(self, _: Request | None = None) -> Answer:
        """Return all metrics in Prometheus' text format."""
        body = generate_latest(self._registry)
        if self._directory is not None:
            body += await connection_metrics(self._directory)
        return Answer(200, body, content_type=CONTENT_TYPE_LATEST.encode())


def operations(handlers: HealthHandlers) -> list[Operation]:
    """Return the operations without a token."""
    return [
        Operation(
            name="read-version",
            method="GET",
            path="/ns-api/v2/version",
            access=Access.OPEN,
            handle=handlers.version,
            tag="Node",
            summary="Read the version",
            replies=(Reply(200, "The version.", Version),),
        ),
        Operation(
            name="check-alive",
            method="GET",
            path="/healthz",
            access=Access.OPEN,
            handle=handlers.alive,
            tag="Node",
            summary="Check that the process answers",
            replies=(Reply(200, "It does.", Alive),),
        ),
        Operation(
            name="check-ready",
            method="GET",
            path="/readyz",
            access=Access.OPEN,
            handle=handlers.ready,
            tag="Node",
            summary="Check whether calls can be taken",
            replies=(
                Reply(200, "They can.", Readiness),
                Reply(503, "They cannot; the body says why.", Readiness),
            ),
        ),
        Operation(
            name="read-metrics",
            method="GET",
            path="/metrics",
            access=Access.OPEN,
            handle=handlers.metrics,
            tag="Node",
            summary="Read metrics",
            replies=(Reply(200, "Prometheus text.", {"type": "string"}, content_type=CONTENT_TYPE_LATEST),),
        ),
    ]


def health_app(
    readiness: Callable[[], Readiness], engine: Callable[[], EngineFigures] | None, *, version: str
) -> ASGIApp:
    """Return the application of a node without API: `/healthz`, `/readyz` and `/metrics` as the API has them."""
    registry = CollectorRegistry()
    registry.register(NodeMetrics(readiness, engine))
    handlers = HealthHandlers(readiness, registry, version=version)
    served = {"/healthz": handlers.alive, "/readyz": handlers.ready, "/metrics": handlers.metrics}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            return
        handle = served.get(scope["path"])
        if handle is None:
            refusal = Answer(HTTPStatus.NOT_FOUND, b"", content_type=b"text/plain")
            await refusal(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            refusal = Answer(
                HTTPStatus.METHOD_NOT_ALLOWED, b"", content_type=b"text/plain", headers=[(b"allow", b"GET, HEAD")]
            )
            await refusal(scope, receive, send)
        else:
            await (await handle())(scope, receive, send)

    return app
