"""How the node is, and which API this is. No token is needed; nothing of a tenant is told."""

from __future__ import annotations

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ringbridge.api.document.operations import Access, Operation, Reply
from ringbridge.api.http.answers import Answer, json_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts, Readiness


class Version(msgspec.Struct, frozen=True):
    """`GET /version`."""

    apiversion: str


class Alive(msgspec.Struct, frozen=True):
    """`GET /healthz`: the process answers."""

    status: str = "ok"


class HealthHandlers:
    """Handlers without a token."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def version(self, _: Request) -> Answer:
        """Say which version this is."""
        return json_answer(Version(self._parts.settings.version))

    async def alive(self, _: Request) -> Answer:
        """Say that the process answers."""
        return json_answer(Alive())

    async def ready(self, _: Request) -> Answer:
        """Say whether calls can be taken: 200 or 503, with the same body."""
        readiness = self._parts.readiness()
        return json_answer(readiness, status=200 if readiness.ready else 503)

    async def metrics(self, _: Request) -> Answer:
        """Return all metrics in Prometheus' text format."""
        return Answer(200, generate_latest(self._parts.registry), content_type=CONTENT_TYPE_LATEST.encode())


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
