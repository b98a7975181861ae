"""What comes in: headers, query and body of one request, each read once and with limits."""

from __future__ import annotations

import asyncio
import json
from typing import TypeAlias
from urllib.parse import parse_qsl, quote

from litestar import Request as LitestarRequest
from litestar.datastructures import State
from litestar.types import Receive, ReceiveMessage, Scope

from ringbridge.api.http.answers import Page
from ringbridge.api.http.errors import HttpRefusal
from ringbridge.api.http.passage import passage_of
from ringbridge.model.access import Principal
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.wire import Number, json_type, shown

LitestarRequestT: TypeAlias = LitestarRequest[object, object, State]

MAX_DEPTH = 20
MAX_QUERY_FIELDS = 50
MAX_LIMIT = 1000
DRAIN_LIMIT_BYTES = 1_048_576
"""A body that is refused for its size is read on up to here, so that the client reads the answer, not a reset."""


def header(scope: Scope, name: bytes) -> bytes:
    """Return the first header called `name` (lower case), empty when there is none."""
    for its_name, value in scope["headers"]:
        if its_name == name:
            return value
    return b""


class Request:
    """One authorised request. `domain` and `user` are what the path names, with `~` expanded; empty if it has none."""

    __slots__ = (
        "_body_deadline_s",
        "_query",
        "_receive",
        "domain",
        "params",
        "principal",
        "request_id",
        "scope",
        "user",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        principal: Principal,
        domain: str,
        user: str,
        request_id: str,
        body_deadline_s: float,
    ) -> None:
        self.scope = scope
        self.params: dict[str, str] = scope["path_params"]
        self.principal = principal
        self.domain = domain
        self.user = user
        self.request_id = request_id
        self._receive = receive
        self._body_deadline_s = body_deadline_s
        self._query: dict[str, str] | None = None

    @property
    def path(self) -> str:
        """The path as it was asked for, percent-encoded: what links repeat."""
        return quote(self.scope["path"], safe="/~@:+=")

    @property
    def query(self) -> dict[str, str]:
        """The query's fields; of one that is repeated, the first.

        Raises:
            CallError: there are too many fields.
        """
        if self._query is None:
            self._query = parse_query(self.scope["query_string"])
        return self._query

    async def body(self, *, limit: int) -> bytes:
        """Return the whole body, at most `limit` bytes.

        Raises:
            HttpRefusal: it is longer (413), also when no length was announced, or too slow (408).
        """
        announced = header(self.scope, b"content-length")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit, close=int(announced) > DRAIN_LIMIT_BYTES)
        passage = passage_of(self.scope)
        try:
            async with asyncio.timeout(self._body_deadline_s):
                message = await self._receive()
                if message["type"] == "http.request" and not message["more_body"] and len(message["body"]) <= limit:
                    passage.asked = message["body"]
                else:
                    passage.asked = await self._read_on(message, limit)
                return passage.asked
        except TimeoutError as error:
            close = ((b"connection", b"close"),)
            raise HttpRefusal(408, "body-too-slow", "the body did not arrive in time", headers=close) from error

    async def _read_on(self, message: ReceiveMessage, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            if message["type"] != "http.request":
                raise HttpRefusal(400, "incomplete-body", "the request ended before its body did")
            size += len(message["body"])
            if size <= limit:
                chunks.append(message["body"])
            if not message["more_body"] or size > DRAIN_LIMIT_BYTES:
                break
            message = await self._receive()
        if size > limit:
            raise _too_large(limit, close=message["more_body"])
        return b"".join(chunks)

    async def json_object(self, *, limit: int) -> dict[str, object]:
        """Return the body as a JSON object; numbers in it are `Number`, so that they can be taken as text.

        Raises:
            HttpRefusal: too large, too slow, not announced as JSON.
            CallError: malformed JSON, with the position; a name twice; nested too deep; no object.
        """
        self._check_json()
        return parse_json_object(await self.body(limit=limit))

    async def json_value(self, *, limit: int) -> object:
        """Return the body as JSON of any shape; numbers in it are `Number`.

        Raises:
            HttpRefusal, CallError: as `json_object`.
        """
        self._check_json()
        return parse_json(await self.body(limit=limit))

    def _check_json(self) -> None:
        content_type = header(self.scope, b"content-type")
        if content_type and not _is_json(content_type):
            raise HttpRefusal(415, "not-json", "the body must be application/json")
        if header(self.scope, b"content-encoding") not in (b"", b"identity"):
            raise HttpRefusal(415, "encoded-body", "the body must not be compressed")

    async def fields(self, *, limit: int) -> dict[str, object]:
        """Return the fields of the body, sent as a form or as a JSON object, and those of the query beside them.

        Of a field that is in both the body's counts; there may be no body where there is a query.

        Raises:
            HttpRefusal, CallError: as `json_object`; a form with too many fields, or with a name twice.
        """
        essence = header(self.scope, b"content-type").split(b";", 1)[0].strip().lower()
        if essence == b"application/x-www-form-urlencoded":
            return {**self.query, **parse_form(await self.body(limit=limit))}
        self._check_json()
        body = await self.body(limit=limit)
        if self.query and not body.strip():
            return dict(self.query)
        return {**self.query, **parse_json_object(body)}

    def entity_tags(self, name: bytes) -> frozenset[str]:
        """Return the entity tags of `If-Match` (RFC 9110 §13.1.1), `*` among them where any will do."""
        listed = header(self.scope, name).decode("latin-1")
        return frozenset(tag.strip() for tag in listed.split(",") if tag.strip())

    def page(self) -> Page:
        """Return the part of a list that is asked for.

        Raises:
            CallError: `start` or `limit` is no number, or out of bounds.
        """
        faults: list[Fault] = []
        start = _whole(self.query.get("start"), "start", default=1, low=0, high=2**31, faults=faults)
        limit = _whole(self.query.get("limit"), "limit", default=100, low=1, high=MAX_LIMIT, faults=faults)
        if faults:
            raise invalid(faults)
        return Page(max(start, 1), limit)

    def yes_no(self, name: str, *, default: bool = False) -> bool:
        """Return a query field that is `yes` or `no`.

        Raises:
            CallError: it is neither.
        """
        text = self.query.get(name)
        if text is None:
            return default
        if text not in ("yes", "no"):
            raise invalid([Fault(name, "not-one-of", "must be yes or no", found=shown(text), allowed="yes, no")])
        return text == "yes"


def _is_json(content_type: bytes) -> bool:
    essence = content_type.split(b";", 1)[0].strip().lower()
    return essence == b"application/json" or (essence.startswith(b"application/") and essence.endswith(b"+json"))


def _whole(text: str | None, name: str, *, default: int, low: int, high: int, faults: list[Fault]) -> int:
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high:
        return int(text)
    allowed = f"a whole number from {low} to {high}"
    faults.append(Fault(name, "out-of-range", f"must be {allowed}", found=shown(text), allowed=allowed))
    return default


def _malformed(message: str) -> CallError:
    return CallError(Refusal.INVALID, "malformed-json", message)


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _malformed(f"the name {shown(twice)!r} stands twice in one object")
    return found


def _no_constants(word: str) -> object:
    raise _malformed(f"{word} is not JSON")


def _depth(value: object, limit: int) -> None:
    if limit == 0:
        raise _malformed(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for one in value.values():
            _depth(one, limit - 1)
    elif isinstance(value, list):
        for one in value:
            _depth(one, limit - 1)


_decode = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_int=Number, parse_float=Number, parse_constant=_no_constants
).decode


def parse_json_object(body: bytes) -> dict[str, object]:
    """Return the JSON object in `body`.

    Raises:
        CallError: it is none; the message says where and why.
    """
    value = parse_json(body)
    if not isinstance(value, dict):
        kind = json_type(value) if not isinstance(value, str) else "a string or number"
        raise _malformed(f"a JSON object is expected, not {kind}")
    return value


def parse_json(body: bytes) -> object:
    """Return the JSON in `body`.

    The standard library's parser, because only its pairs hook sees a name that stands twice: 11 µs for a call.

    Raises:
        CallError: it is none; the message says where and why.
    """
    if not body.strip():
        raise _malformed("the body is empty; JSON is expected")
    try:
        value = _decode(body.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise _malformed(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno} (character {error.pos})"
        raise _malformed(f"malformed JSON at {where}: {error.msg}") from error
    except RecursionError as error:
        raise _malformed(f"nested deeper than {MAX_DEPTH} levels") from error
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if any(isinstance(one, dict | list) for one in inner):
        _depth(value, MAX_DEPTH)
    return value


def parse_form(body: bytes) -> dict[str, object]:
    """Return the fields of a form.

    Raises:
        CallError: it is no UTF-8, has too many fields, or one of them twice.
    """
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict")
    except ValueError as error:
        fault = Fault("body", "malformed-form", f"must be a form in UTF-8 of at most {MAX_QUERY_FIELDS} fields")
        raise invalid([fault]) from error
    fields: dict[str, object] = dict(pairs)
    if len(fields) != len(pairs):
        raise invalid([Fault("body", "malformed-form", "has a field twice")])
    return fields


def parse_query(raw: bytes) -> dict[str, str]:
    """Return the fields of a query; of one that is repeated, the first.

    Raises:
        CallError: there are too many fields.
    """
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError as error:
        fault = Fault("query", "too-many-fields", f"has more than {MAX_QUERY_FIELDS} fields")
        raise invalid([fault]) from error
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def _too_large(limit: int, *, close: bool) -> HttpRefusal:
    headers = ((b"connection", b"close"),) if close else ()
    return HttpRefusal(413, "body-too-large", f"the body is larger than {limit} bytes", headers=headers)
