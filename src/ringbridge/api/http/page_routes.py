"""Where pages are served: at their own address, by GET and HEAD, to anybody, counted as strangers are."""

from __future__ import annotations

from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from ringbridge.api.access.auth import Gate
from ringbridge.api.http.answers import Answer
from ringbridge.api.http.errors import HttpRefusal, error_answer
from ringbridge.api.http.pages import Pages
from ringbridge.api.http.passage import passage_of
from ringbridge.api.http.requests import LitestarRequestT, header
from ringbridge.model.errors import CallError


def page_route(prefix: str, pages: Pages, gate: Gate) -> HTTPRouteHandler:
    """Return the route of everything under `prefix`, such as `/console`."""

    async def handler(request: LitestarRequestT) -> ASGIApp:
        scope = request.scope
        passage = passage_of(scope)
        passage.operation = f"page {prefix}"
        path = scope["path"]
        try:
            gate.pass_stranger(scope)
            if path == prefix and not scope["raw_path"].endswith(b"/"):  # the router has taken it from the path
                # With the slash, what the page names is found beside it, behind a proxy that adds to the path too.
                return Answer(308, b"", headers=((b"location", f"{prefix.rpartition('/')[2]}/".encode()),))
            return pages.answer(
                path.removeprefix(prefix).removeprefix("/"),
                accept_encoding=header(scope, b"accept-encoding"),
                if_none_match=header(scope, b"if-none-match"),
            )
        except (CallError, HttpRefusal) as refusal:
            return error_answer(refusal, request_id=passage.request_id, accept=header(scope, b"accept"))

    return HTTPRouteHandler([prefix, prefix + "/{file:path}"], http_method=["GET", "HEAD"], status_code=200)(handler)
