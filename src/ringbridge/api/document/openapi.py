"""The OpenAPI 3.1 document, made from the operations that are served."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ringbridge.api.document.examples import answers_of
from ringbridge.api.document.operations import Access, Operation, Reply, Schema
from ringbridge.api.http.errors import ErrorBody, ProblemBody
from ringbridge.model.dial_patterns import EXAMPLE

PATH_FIELDS: Final[dict[str, Schema]] = {
    "domain": {
        "description": "The domain; `~` stands for the token's own.",
        "schema": {"type": "string", "pattern": "^([A-Za-z0-9._-]{1,64}|~)$", "maxLength": 64, "default": "~"},
        "example": "demo",
    },
    "user": {
        "description": "The user; `~` stands for the token's own.",
        "schema": {"type": "string", "pattern": "^([A-Za-z0-9._-]{1,16}|~)$", "maxLength": 16, "default": "~"},
        "example": "1001",
    },
    "call-id": {
        "description": "The application's `call-id`, the session id, or either leg's SIP Call-ID.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-.0-~]+$"},
        "example": "b7f9c2d4-click-1",
    },
    "file": {
        "description": "The file, as the link has it.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,128}$", "maxLength": 128},
        "example": EXAMPLE,
    },
    "device": {
        "description": "The device: its SIP user part.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "maxLength": 64},
        "example": "1001_mobile",
    },
    "phonenumber": {
        "description": "The number; a leading `+` makes no difference.",
        "schema": {"type": "string", "pattern": "^[+]?[0-9]{1,32}$", "maxLength": 33},
        "example": "4570102030",
    },
    "dialplan": {
        "description": "The dial plan.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "maxLength": 64},
        "example": "acme.example",
    },
    "dialrule": {
        "description": "The rule's name in its plan; where it was given none, what it matches.",
        "schema": {"type": "string", "pattern": "^[!-.0-~]{1,128}$", "maxLength": 128},
        "example": EXAMPLE,
    },
    "connection-orig-match-pattern": {
        "description": "The connection's name.",
        "schema": {"type": "string", "pattern": "^[!-.0-~]{1,128}$", "maxLength": 128},
        "example": "carrier",
    },
    "timeframe": {
        "description": "The rule's time frame; `*` is always.",
        "schema": {"type": "string", "pattern": "^[!-.0-~]{1,64}$", "maxLength": 64},
        "example": "Holiday",
    },
    "subscription-id": {
        "description": "The subscription's `id`.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9]+$"},
        "example": "9f2c1b7d6a504e3f8c2d1a0b",
    },
    "delivery-id": {
        "description": "The delivery's `webhook-id`.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9_]+$"},
        "example": "msg_9f2c1b7d6a504e3f8c2d1a0b_4711",
    },
    "key-id": {
        "description": "The public name of an API key; `~` stands for the one in use.",
        "schema": {"type": "string", "pattern": "^([A-Za-z0-9]{12}|~)$"},
        "example": "Yt5cXo2eQ8aL",
    },
    "id": {
        "description": "The request's `id`.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,32}-[0-9]{1,18}$"},
        "example": "n5d1c0f2a9b-1795573687123456",
    },
    "client-id": {
        "description": "The client's name.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "example": "crm",
    },
    "jti": {
        "description": "A token's `jti`, or a user as `user@domain`.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._@-]{1,100}$"},
        "example": "J5kQ2m8sVw1xYb7nRz4tLc9pHd3fGg6a",
    },
}
HEADERS: Final[dict[str, Schema]] = {
    "X-Request-Id": {"description": "Echoed, or made: name it when you report a fault.", "schema": {"type": "string"}},
    "Link": {"description": "RFC 8288 links `first`, `prev`, `next`.", "schema": {"type": "string"}},
    "ETag": {"description": "RFC 9110 §8.8.3: for `If-Match` of a later write.", "schema": {"type": "string"}},
    "X-Total-Count": {"description": "Items of the whole list.", "schema": {"type": "integer"}},
    "Idempotent-Replayed": {
        "description": "`true`: the same request was answered before, and nobody is rung again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "X-Ringbridge-Ignored": {"description": "Body fields that had no effect.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "RateLimit-Policy": {
        "description": "draft-ietf-httpapi-ratelimit-headers: the limits that count here, `q` requests in `w` seconds.",
        "schema": {"type": "string", "examples": ['"key";q=5000;w=1, "address";q=10000;w=1']},
    },
    "RateLimit": {
        "description": "What is left of the scarcest of them: `r` requests, and after `t` seconds all of it.",
        "schema": {"type": "string", "examples": ['"key";r=4999;t=1']},
    },
    "WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`.", "schema": {"type": "string"}},
    "Content-Range": {"description": "Which bytes, of how many (RFC 9110 §14.4).", "schema": {"type": "string"}},
    "Allow": {"description": "Methods of this path.", "schema": {"type": "string"}},
}
REFUSALS: Final[dict[int, tuple[str, tuple[str, ...], str, str]]] = {
    400: ("The request is malformed or invalid; every fault is named.", (), "missing", "call-term-user: is required"),
    401: ("The token is missing or no valid one.", ("WWW-Authenticate",), "bad-token", "the token is not valid"),
    403: ("The token is valid, but not for this.", (), "not-allowed", "this token may not act for user 1002"),
    404: ("Not there, or another tenant's.", (), "no-such-call", "no call b7f9c2d4-click-1"),
    408: ("The body did not arrive in time.", (), "body-too-slow", "the body did not arrive in time"),
    409: ("Conflict.", (), "call-id-conflict", "this call-id belongs to another request"),
    412: ("It was changed since it was read.", (), "changed-since", "user 1001 was changed since it was read"),
    413: ("The body is too large.", (), "body-too-large", "the body is larger than 65536 bytes"),
    415: ("The body is not JSON.", (), "not-json", "the body must be application/json"),
    416: ("The file has nothing of this range.", ("Content-Range",), "no-such-range", "the file has 240044 bytes"),
    429: ("Too many.", ("Retry-After",), "too-many-requests", "too many requests: the limit by key is reached"),
    500: ("A bug of ours; the request id finds it in the log.", (), "internal-error", "something went wrong here"),
    503: ("Not now: the same request may be sent again.", ("Retry-After",), "bus-unavailable", "try again"),
}
EVERYWHERE: Final = ("X-Request-Id", "RateLimit-Policy", "RateLimit")
"""Headers of every answer."""
_DEFINITIONS: Final = "#/components/schemas/"


_SECURITY: Final[dict[Access, list[Schema]]] = {Access.OPEN: [], Access.LOGIN: [{}, {"bearer": []}]}
"""Where a token is not always needed."""


def path_names(path: str) -> list[str]:
    """Return the names of a path's parameters."""
    return re.findall(r"\{([a-z-]+)\}", path)


def _types(operations: Iterable[Operation]) -> Iterator[type]:
    yield ErrorBody
    yield ProblemBody
    for operation in operations:
        for body in (operation.body, *(reply.body for reply in operation.replies)):
            if isinstance(body, tuple):
                yield from body
            elif body is not None and not isinstance(body, dict):
                yield body


class _Schemas:
    """Component schemas and the references to them."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types = list(dict.fromkeys(_types(operations)))
        found, self.components = msgspec.json.schema_components(types, ref_template=_DEFINITIONS + "{name}")
        self._by_type = dict(zip(types, found, strict=True))

    def of(self, body: type | tuple[type, ...] | Schema) -> Schema:
        if isinstance(body, tuple):
            return {"anyOf": [self._by_type[one] for one in body]}
        if not isinstance(body, dict):
            return self._by_type[body]
        title = body.get("title")
        if not isinstance(title, str):
            return body
        self.components.setdefault(title, body)
        return {"$ref": _DEFINITIONS + title}


def _content(schema: Schema, example: object | None, content_type: str = "application/json") -> Schema:
    media: Schema = {"schema": schema}
    if example is not None:
        media["example"] = example
    return {content_type: media}


def _header_refs(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*EVERYWHERE, *names)}


def _reply(name: str, reply: Reply, schemas: _Schemas) -> Schema:
    answer: Schema = {"description": reply.description, "headers": _header_refs(reply.headers)}
    if reply.body is not None:
        examples = answers_of(name, reply.status)
        content = _content(
            schemas.of(reply.body), examples.get(reply.content_type.partition(";")[0]), reply.content_type
        )
        for kind in reply.also:
            content |= _content({"type": "string"}, examples.get(kind), kind)
        answer["content"] = content
    return answer


def _refusals(operation: Operation) -> list[int]:
    statuses = {429, 500, *operation.refusals}
    if operation.access is not Access.OPEN:
        statuses |= {401, 403, 503}
    if path_names(operation.path):
        statuses |= {400, 404}
    if operation.query:
        statuses.add(400)
    if operation.body is not None:
        statuses |= {400, 408, 413, 415}
    return sorted(statuses)


def _refusal(status: int) -> Schema:
    description, headers, code, message = REFUSALS[status]
    example = {
        "code": status,
        "message": message,
        "errors": [{"code": code, "message": message}],
        "request-id": "5f0c2a-1",
    }
    problem = {"type": "about:blank", "title": "…", "status": status, "detail": message} | example
    return {
        "description": description,
        "headers": _header_refs(headers),
        "content": _content({"$ref": _DEFINITIONS + "ErrorBody"}, example)
        | _content({"$ref": _DEFINITIONS + "ProblemBody"}, problem, "application/problem+json"),
    }


def _path_parameters(path: str) -> list[Schema]:
    """Return a path's parameters; one has its default only where all that follow have one.

    Generated clients make them arguments in the order of the path, and in many languages none without a default may
    follow one with.
    """
    told: list[Schema] = []
    have_defaults = True
    for name in reversed(path_names(path)):
        field = dict(PATH_FIELDS[name])
        match field["schema"]:
            case {"default": _, **rest}:
                field["schema"] = field["schema"] if have_defaults else rest
            case _:
                have_defaults = False
        told.insert(0, {"name": name, "in": "path", "required": True} | field)
    return told


def _operation(operation: Operation, schemas: _Schemas) -> Schema:
    described: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _path_parameters(operation.path)
        + [
            {
                "name": one.name,
                "in": where,
                "required": one.required,
                "description": one.description,
                "schema": one.schema,
            }
            for where, fields in (("query", operation.query), ("header", operation.headers))
            for one in fields
        ],
        "security": _SECURITY.get(operation.access, [{"bearer": []}]),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        content = _content(schemas.of(operation.body), operation.body_example)
        if operation.form:
            form = "application/x-www-form-urlencoded"
            content |= _content(schemas.of(operation.body), operation.body_example, form)
        described["requestBody"] = {"required": operation.body_required, "content": content}
    refusals: Schema = {str(one): {"$ref": f"#/components/responses/{one}"} for one in _refusals(operation)}
    described["responses"] = refusals | {
        str(reply.status): _reply(operation.name, reply, schemas) for reply in operation.replies
    }
    return described


def openapi_document(operations: Sequence[Operation], *, version: str) -> Schema:
    """Return the whole document as JSON values."""
    schemas = _Schemas(operations)
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ringbridge",
            "version": version,
            "summary": "Click-to-call: one request rings two phones and joins them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": HEADERS,
            "responses": {str(status): _refusal(status) for status in REFUSALS},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (nss_, nsr_, nsd_ or nsu_…), an access token, or a JWT",
                }
            },
        },
    }
