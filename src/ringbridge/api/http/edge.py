"""The outermost layer, plain ASGI: request ids, who asks, the empty user segment, metrics, the guard of last resort."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Sequence
from time import perf_counter
from typing import Any, cast

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send, WebSocketScope

from ringbridge.api.exchanges.recorder import ExchangeRecorder
from ringbridge.api.http.errors import HttpRefusal, error_answer
from ringbridge.api.http.forwarded import client_behind, scheme_behind
from ringbridge.api.http.metrics import HttpMetrics
from ringbridge.api.http.passage import STATE, Passage
from ringbridge.api.http.requests import header
from ringbridge.model.access import Network

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:=+/@-]{1,128}")
EMPTY_USER = "/users//"

STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that begin an answer."""
SWITCHING_PROTOCOLS = 101
INTERNAL_ERROR = HttpRefusal(500, "internal-error", "something went wrong here; it was logged under the request id")


class Edge:
    """Wraps the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: HttpMetrics,
        *,
        sockets: ASGIApp,
        recorder: ExchangeRecorder | None = None,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        """`sockets` is for WebSockets, `app` for everything else."""
        self._app = app
        self._sockets = sockets
        self._metrics = metrics
        self._recorder = recorder
        self._trusted_proxies = tuple(trusted_proxies)
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if scope["type"] == ScopeType.HTTP else self._sockets
        await self._serve(app, scope, receive, send)

    async def _serve(self, app: ASGIApp, scope: HTTPScope | WebSocketScope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        asked = header(scope, b"x-request-id")
        known = asked if REQUEST_ID.fullmatch(asked) else f"{self._prefix}-{next(self._numbers):x}".encode()
        passage = Passage(known.decode())
        scope.setdefault("state", {})[STATE] = passage
        client = scope.get("client")
        if self._trusted_proxies and client:
            # Before anything looks at it: IP rules, throttles, rate limits and the audit trail all mean the client.
            headers = list(scope["headers"])
            scope["client"] = (client_behind(client[0], headers, self._trusted_proxies), client[1])
            if scope["type"] == ScopeType.HTTP:
                scope["scheme"] = scheme_behind(client[0], headers, self._trusted_proxies) or scope["scheme"]
        # Contract §1: an empty user segment is `~`. Before routing, which would drop the segment.
        if EMPTY_USER in scope["path"]:
            scope["path"] = scope["path"].replace(EMPTY_USER, "/users/~/", 1)

        async def send_marked(message: Message) -> None:
            if message["type"] in STARTS:
                begun = cast("dict[str, Any]", message)
                passage.status = begun.get("status", SWITCHING_PROTOCOLS)
                passage.answer_headers = [*begun["headers"], (b"x-request-id", known), *passage.headers]
                begun["headers"] = passage.answer_headers
            elif passage.is_kept and message["type"] == "http.response.body":
                part = message.get("body", b"")
                passage.answer = passage.answer or part
                passage.answer_size += len(part)
            await send(message)

        # Whatever is logged while it is answered, in tasks that begin there too, names the request.
        with structlog.contextvars.bound_contextvars(request_id=passage.request_id):
            try:
                await app(scope, receive, send_marked)
            except Exception:
                # The one guard of this task: a bug is a 500 to the request that it hit, no more (style.md §6).
                log.exception("request_failed", operation=passage.operation)
                if passage.status == 0 and scope["type"] == ScopeType.HTTP:
                    answer = error_answer(
                        INTERNAL_ERROR, request_id=passage.request_id, accept=header(scope, b"accept")
                    )
                    await answer(scope, receive, send_marked)
            finally:
                seconds = perf_counter() - started
                self._metrics.count(passage.operation, passage.status, seconds)
                if passage.is_kept and self._recorder is not None:
                    self._recorder.record(cast("HTTPScope", scope), passage, seconds)
