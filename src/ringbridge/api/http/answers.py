"""What goes back: JSON bytes with their headers, ready for ASGI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote, urlencode

import msgspec
from litestar.types import Receive, Scope, Send

HeaderPair = tuple[bytes, bytes]

JSON = b"application/json"
_ALWAYS: tuple[HeaderPair, ...] = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

encode = msgspec.json.Encoder().encode


class Answer:
    """One whole HTTP answer; as an ASGI application it sends itself."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, status: int, body: bytes, *, content_type: bytes = JSON, headers: Iterable[HeaderPair] = ()
    ) -> None:
        self.status = status
        self.body = body
        self.headers: list[HeaderPair] = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            *_ALWAYS,
            *headers,
        ]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class Accepted(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """A write was accepted and is durable (contract §1 "Synchronous or not")."""

    code: int
    message: str
    call_id: str = ""


class Count(msgspec.Struct, frozen=True):
    """How many there are."""

    total: int


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is asked for: `start` counts from 1 (contract §1 "Paging")."""

    start: int = 1
    limit: int = 100


def json_answer(body: object, *, status: int = 200, headers: Iterable[HeaderPair] = ()) -> Answer:
    """Return `body` as JSON."""
    return Answer(status, encode(body), headers=headers)


def accepted(call_id: str = "", *, headers: Iterable[HeaderPair] = ()) -> Answer:
    """Return the 202 of a write."""
    return json_answer(Accepted(202, HTTPStatus.ACCEPTED.phrase, call_id), status=202, headers=headers)


def page_answer(
    items: Sequence[object], *, page: Page, path: str, total: int | None, query: Mapping[str, str] | None = None
) -> Answer:
    """Return one page of a list with `Link` and, where the `total` is known, `X-Total-Count`.

    Links are relative references, so that no `Host` header of a client is repeated; `query` is what the list was
    narrowed by, which they repeat.
    """
    narrowed = f"{urlencode(query, quote_via=quote)}&" if query else ""
    links: dict[str, int] = {"first": 1}
    if page.start > 1:
        links["prev"] = max(1, page.start - page.limit)
    more = len(items) == page.limit if total is None else page.start - 1 + len(items) < total
    if more and items:
        links["next"] = page.start + page.limit
    link = ", ".join(
        f'<{path}?{narrowed}start={start}&limit={page.limit}>; rel="{rel}"' for rel, start in links.items()
    )
    headers = [(b"link", link.encode())]
    if total is not None:
        headers.append((b"x-total-count", str(total).encode()))
    return json_answer(items, headers=headers)
