"""One operation of the API as data: routes, authorisation and the OpenAPI document are all made from these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

from ringbridge.api.http.answers import Answer
from ringbridge.api.http.requests import Request
from ringbridge.model.access import Scope, model_of

Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]
Schema: TypeAlias = dict[str, object]
Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Access(Enum):
    """Who may call an operation; `api.access.auth` holds them to it."""

    OPEN = "open"
    """Anybody, without a token."""
    LOGIN = "login"
    """Anybody who proves in the body who they are; the handler refuses everybody else."""
    TOKEN = "token"  # noqa: S105 - the name of an access class, no secret
    """Any valid token; the handler asks what it rules over, and `tests/api/test_access_walk.py` has to know how."""
    MANAGER = "manager"
    """A token that rules over one domain or more; the handler narrows to those."""
    RESELLER = "reseller"
    """A reseller's token, or a super user's; the handler narrows to the reseller's domains."""
    SUPER = "super"
    """A super user's token."""
    DOMAIN = "domain"
    """A token that rules over the path's domain."""
    USER = "user"
    """A token that may act for the path's user."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One documented answer: a type of ours or one of several, or a schema; None is for an empty or foreign body.

    Its example is what was answered when the examples were recorded (`api.document.examples`).
    """

    status: int
    description: str
    body: type | tuple[type, ...] | Schema | None = None
    headers: tuple[str, ...] = ()
    content_type: str = "application/json"
    also: tuple[str, ...] = ()
    """Content types that `Accept` may ask for instead; their bodies are text."""


@dataclass(frozen=True, slots=True)
class QueryField:
    """One documented field of the query, or of the header."""

    name: str
    description: str
    schema: Schema
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `path` has `{domain}`, `{user}`, `{call-id}` where they stand."""

    name: str
    """`operationId`, and the label of metrics."""
    method: Method
    path: str
    access: Access
    handle: Handler
    summary: str
    tag: str
    replies: tuple[Reply, ...]
    description: str = ""
    query: tuple[QueryField, ...] = ()
    headers: tuple[QueryField, ...] = ()
    """Documented fields of the request's header."""
    body: type | Schema | None = None
    body_example: object | None = None
    body_required: bool = True
    form: bool = False
    """Whether the body may also be `application/x-www-form-urlencoded`."""
    refusals: tuple[int, ...] = field(default=())
    """Errors beside those that follow from access, path and body."""
    at_least: Scope | None = None
    """The least scope, where `access` alone would let in too many."""

    @property
    def model(self) -> str:
        """What it is about, as `allowed-models` of a key names it."""
        return model_of(self.path)

    @property
    def writes(self) -> bool:
        return self.method != "GET"
