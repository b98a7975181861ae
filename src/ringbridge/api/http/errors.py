"""The one place where a refusal becomes an HTTP answer (contract §1 "Errors")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec

from ringbridge.api.http.answers import JSON, Answer, HeaderPair, encode
from ringbridge.model.errors import CallError, Fault, Refusal

PROBLEM_JSON = b"application/problem+json"
DEFAULT_RETRY_AFTER_S = {Refusal.TOO_MANY: 1, Refusal.UNAVAILABLE: 2}


class HttpRefusal(Exception):
    """A request failed as HTTP, before anything of ours was asked: 404 of a path, 405, 413, 415."""

    def __init__(self, status: int, code: str, message: str, *, headers: Sequence[HeaderPair] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = tuple(headers)


class ErrorItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault: which field, a stable code, a sentence; what was found and what is allowed where that helps."""

    code: str
    message: str
    field: str | None = None
    found: str | None = None
    allowed: str | None = None


class ErrorBody(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """Every error of the API."""

    code: int
    message: str
    errors: tuple[ErrorItem, ...] = msgspec.field(default_factory=tuple)
    request_id: str = ""


class ProblemBody(msgspec.Struct, frozen=True, rename="kebab"):
    """The same as RFC 9457 has it, for clients that ask for `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    code: int
    message: str
    errors: tuple[ErrorItem, ...]
    request_id: str


def _items(code: str, message: str, faults: Sequence[Fault]) -> tuple[ErrorItem, ...]:
    if not faults:
        return (ErrorItem(code, message),)
    return tuple(ErrorItem(one.code, one.message, one.field or None, one.found, one.allowed) for one in faults)


def _headers(error: CallError) -> list[HeaderPair]:
    headers: list[HeaderPair] = []
    retry_after_s = error.retry_after_s or DEFAULT_RETRY_AFTER_S.get(error.refusal)
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    if error.refusal is Refusal.UNAUTHENTICATED:
        wrong = b', error="invalid_token"' if error.code != "no-token" else b""
        headers.append((b"www-authenticate", b'Bearer realm="ringbridge"' + wrong))
    return headers


def error_answer(
    error: CallError | HttpRefusal, *, request_id: str, accept: bytes, more: Mapping[str, object] | None = None
) -> Answer:
    """Return the answer that tells `error`; as a problem document if `accept` asks for one. `more` stands beside it."""
    if isinstance(error, CallError):
        status, headers, faults = error.refusal.value, _headers(error), error.faults
    else:
        status, headers, faults = error.status, list(error.headers), ()
    items = _items(error.code, error.message, faults)
    if PROBLEM_JSON not in accept:
        body = ErrorBody(status, error.message, items, request_id)
        return Answer(status, _encoded(body, more), content_type=JSON, headers=headers)
    problem = ProblemBody(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=error.message,
        code=status,
        message=error.message,
        errors=items,
        request_id=request_id,
    )
    return Answer(status, _encoded(problem, more), content_type=PROBLEM_JSON, headers=headers)


def _encoded(body: ErrorBody | ProblemBody, more: Mapping[str, object] | None) -> bytes:
    return encode(msgspec.to_builtins(body) | more if more else body)
