"""The HTTP API as one ASGI application: every operation behind the same gate, every refusal in the same words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Final, get_args

from litestar import Litestar, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from prometheus_client import CollectorRegistry

from ringbridge.api.access import apikeys, oauth_clients, passwords, tokens
from ringbridge.api.access.auth import Gate, Keys
from ringbridge.api.access.rate_limits import RateLimiter
from ringbridge.api.calls import calls, recordings
from ringbridge.api.calls import control as call_control
from ringbridge.api.cdrs import cdrs
from ringbridge.api.cdrs import operations as cdr_operations
from ringbridge.api.directory import (
    answer_rules,
    audit,
    connections,
    devices,
    dial_plan_trials,
    dial_plans,
    directory,
    domains,
    phone_numbers,
    users,
)
from ringbridge.api.directory.audit import actor_of
from ringbridge.api.document.openapi import openapi_document
from ringbridge.api.document.operations import Access, Method, Operation, Reply, Schema
from ringbridge.api.events import subscription_operations, subscriptions
from ringbridge.api.events.sockets import EventSockets
from ringbridge.api.events.streams import EventStreams
from ringbridge.api.exchanges import request_history
from ringbridge.api.exchanges import views as request_views
from ringbridge.api.exchanges.recorder import ExchangeRecorder, is_kept, telling_operations
from ringbridge.api.http import health
from ringbridge.api.http.answers import JSON, Answer, encode
from ringbridge.api.http.delivery_metrics import DeliveryMetrics
from ringbridge.api.http.edge import Edge
from ringbridge.api.http.errors import HttpRefusal, error_answer
from ringbridge.api.http.metrics import HttpMetrics
from ringbridge.api.http.node_metrics import NodeMetrics
from ringbridge.api.http.page_routes import page_route
from ringbridge.api.http.pages import console_pages, reference_pages
from ringbridge.api.http.passage import passage_of
from ringbridge.api.http.requests import LitestarRequestT, Request, header
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.audit import acting
from ringbridge.model.access import NOBODY
from ringbridge.model.errors import CallError, Refusal, StoreUnavailable

YAML = b"application/yaml"
"""RFC 9512."""


class _Served:
    """One operation with what surrounds it: the gate, a deadline, errors as answers."""

    def __init__(self, operation: Operation, gate: Gate, parts: ApiParts) -> None:
        self._operation = operation
        self._gate = gate
        self._replica = parts.replica
        self._settings = parts.settings
        self._clock = parts.clock
        self._is_kept = parts.exchanges is not None and is_kept(operation)

    async def handle(self, request: LitestarRequestT) -> Answer:
        scope = request.scope
        passage = passage_of(scope)
        passage.operation = self._operation.name
        passage.is_kept = self._is_kept
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                return await self._handle(request, passage.request_id)
        except (CallError, HttpRefusal) as refusal:
            return error_answer(refusal, request_id=passage.request_id, accept=header(scope, b"accept"))
        except TimeoutError:
            late = CallError(Refusal.UNAVAILABLE, "too-slow", "this took too long; try again with the same call-id")
            return error_answer(late, request_id=passage.request_id, accept=header(scope, b"accept"))

    async def _handle(self, request: LitestarRequestT, request_id: str) -> Answer:
        scope = request.scope
        principal, domain, user = NOBODY, "", ""
        if self._operation.access in (Access.OPEN, Access.LOGIN):
            self._gate.pass_stranger(scope)
        else:
            if self._replica.fault:
                # What the copy says is not what is: neither a 404 nor a 202 could be relied on.
                raise StoreUnavailable("the local copy cannot be written now; try again")
            principal, domain, user = await self._gate.admit(self._operation, scope)
        mine = Request(
            scope,
            request.receive,
            principal=principal,
            domain=domain,
            user=user,
            request_id=request_id,
            body_deadline_s=self._settings.body_deadline_s,
        )
        if not self._operation.writes:
            return await self._operation.handle(mine)
        with acting(actor_of(mine, self._operation), self._clock):
            return await self._operation.handle(mine)


_METHODS: Final = (*get_args(Method), "HEAD", "OPTIONS", "TRACE")
"""What Litestar routes; a path itself refuses those that it has not, as it alone knows the others for `Allow`."""


class _ServedPath:
    """One path with all its methods."""

    def __init__(self, operations: Sequence[Operation], gate: Gate, parts: ApiParts) -> None:
        self._by_method: dict[str, _Served] = {one.method: _Served(one, gate, parts) for one in operations}
        self._allow = ", ".join([*self._by_method, "OPTIONS"])

    async def handle(self, request: LitestarRequestT) -> Answer:
        method = request.scope["method"]
        if served := self._by_method.get(method):
            return await served.handle(request)
        if method == "OPTIONS":
            return Answer(204, b"", headers=[(b"allow", self._allow.encode())])
        raise MethodNotAllowedException(headers={"allow": self._allow})


def _routes(operations: Sequence[Operation], gate: Gate, parts: ApiParts) -> HTTPRouteHandler:
    """Return the routes of all operations, as one handler: Litestar takes 3 ms to read what a handler wants."""
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        path = re.sub(r"{([a-z-]+)}", lambda match: f"{{{match[1].replace('-', '_')}}}", operation.path)
        by_path.setdefault(path, []).append(operation)
    served = {path: _ServedPath(those, gate, parts) for path, those in by_path.items()}

    async def handler(request: LitestarRequestT) -> ASGIApp:
        return await served[request.scope["path_template"]].handle(request)

    paths = [path.replace("}", ":str}") for path in by_path]
    return HTTPRouteHandler(paths, http_method=_METHODS, status_code=200)(handler)


def _on_http_exception(gate: Gate, request: LitestarRequestT, error: HTTPException) -> Response[bytes]:
    """Answer what the framework refuses, a missing path or method, in our words."""
    refusal = _http_refusal(error)
    try:
        gate.pass_stranger(request.scope)
    except CallError as too_many:
        refusal = too_many
    passage = passage_of(request.scope)
    answer = error_answer(refusal, request_id=passage.request_id, accept=header(request.scope, b"accept"))
    sent = {name.decode(): value.decode() for name, value in answer.headers if name != b"content-length"}
    return Response(answer.body, status_code=answer.status, headers=sent)


def _http_refusal(error: HTTPException) -> HttpRefusal | CallError:
    messages = {404: ("no-such-path", "there is nothing here"), 405: ("no-such-method", "this path has no such method")}
    code, message = messages.get(error.status_code, ("bad-request", "the request is malformed"))
    allow = (error.headers or {}).get("allow")
    headers = [(b"allow", allow.encode())] if allow else []
    return HttpRefusal(error.status_code, code, message, headers=headers)


def _on_bug(_: LitestarRequestT, error: Exception) -> Response[bytes]:
    """Leave everything else to the edge, which logs it and answers 500."""
    raise error


def make_gate(parts: ApiParts, registry: CollectorRegistry) -> Gate:
    """Return what lets requests in; `registry` takes its metrics."""
    accounts = parts.accounts
    cache_s = parts.settings.key_cache_s
    keys = Keys(parts.store, parts.clock, tokens=accounts.tokens, uses=accounts.uses, cache_s=cache_s)
    limiter = RateLimiter(parts.settings.rate_limits, parts.clock, registry)
    return Gate(parts.store, keys, parts.clock, limiter)


def all_operations(parts: ApiParts, gate: Gate | None = None, streams: EventStreams | None = None) -> list[Operation]:
    """Return every operation that is served, in the order of the document."""
    gate = gate or make_gate(parts, CollectorRegistry())
    streams = streams or EventStreams(parts, gate, CollectorRegistry())
    call_handlers = calls.CallHandlers(parts)
    of_calls = calls.operations(call_handlers)
    make_call = next(one for one in of_calls if one.name == request_views.MAKES_CALL)
    return [
        *of_calls,
        *call_control.operations(call_control.ControlHandlers(parts, call_handlers)),
        *cdr_operations.operations(cdrs.CdrHandlers(parts, call_handlers)),
        *recordings.operations(recordings.RecordingHandlers(parts)),
        *subscription_operations.operations(subscriptions.SubscriptionHandlers(parts)),
        streams.operation,
        *domains.operations(parts),
        *users.operations(parts),
        *devices.operations(parts),
        *phone_numbers.operations(parts),
        *dial_plans.operations(parts),
        *connections.operations(parts),
        *answer_rules.operations(parts),
        *dial_plan_trials.operations(dial_plan_trials.TrialHandlers(parts)),
        *audit.operations(parts),
        *request_history.operations(request_history.RequestHandlers(parts, gate, make_call)),
        *apikeys.operations(apikeys.KeyHandlers(parts)),
        *tokens.operations(tokens.TokenHandlers(parts, gate)),
        *oauth_clients.operations(oauth_clients.ClientHandlers(parts)),
        *passwords.operations(passwords.PasswordHandlers(parts)),
        *directory.operations(directory.DirectoryHandlers(parts)),
        *health.operations(_health(parts)),
    ]


def _health(parts: ApiParts) -> health.HealthHandlers:
    version = parts.settings.version
    return health.HealthHandlers(parts.readiness, parts.registry, version=version, directory=parts.store)


class _Document:
    """The OpenAPI document of all operations, those that serve it included; made when it is first asked for."""

    def __init__(self, operations: Sequence[Operation], version: str) -> None:
        self.operations = [
            *operations,
            self._operation("read-openapi", "/openapi.json", JSON),
            self._operation("read-openapi-yaml", "/openapi.yaml", YAML),
        ]
        self._version = version

    @cached_property
    def value(self) -> Schema:
        """The document as JSON values."""
        return openapi_document(self.operations, version=self._version)

    @cached_property
    def _body(self) -> bytes:
        return encode(self.value)

    def _operation(self, name: str, path: str, content_type: bytes) -> Operation:
        async def handle(_: Request) -> Answer:
            return Answer(200, self._body, content_type=content_type)  # JSON is YAML (YAML 1.2 §1.3)

        return Operation(
            name=name,
            method="GET",
            path=path,
            access=Access.OPEN,
            handle=handle,
            tag="Node",
            summary="Read this document",
            replies=(Reply(200, "OpenAPI 3.1.", {"type": "object"}, content_type=content_type.decode()),),
        )


def create_app(parts: ApiParts) -> ASGIApp:
    """Return the API as an ASGI application."""
    gate = make_gate(parts, parts.registry)
    streams = EventStreams(parts, gate, parts.registry)
    document = _Document(all_operations(parts, gate, streams), parts.settings.version)
    app = Litestar(
        [
            _routes(document.operations, gate, parts),
            page_route("/console", console_pages(parts.settings), gate),
            page_route("/docs", reference_pages(), gate),
        ],
        exception_handlers={HTTPException: partial(_on_http_exception, gate), Exception: _on_bug},
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    parts.registry.register(DeliveryMetrics(parts.events, parts.clock))
    parts.registry.register(NodeMetrics(parts.readiness, parts.engine))
    recorder = None
    if parts.exchanges is not None:
        recorder = ExchangeRecorder(parts.exchanges, parts.clock, parts.registry, telling_operations(document.value))
    return Edge(
        app,
        HttpMetrics(parts.registry),
        sockets=EventSockets(streams, gate),
        recorder=recorder,
        trusted_proxies=parts.settings.trusted_proxies,
    )
