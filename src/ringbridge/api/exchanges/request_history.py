"""The request history over HTTP (ours): what was asked with the keys that a token rules over, and asking it again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import parse_qsl, quote, urlencode
from uuid import uuid4

import msgspec
from litestar.types import ReceiveMessage, Scope

from ringbridge.api.access.auth import SELF, Gate
from ringbridge.api.access.ruled import own_domains
from ringbridge.api.calls.calls import USER_CALLS
from ringbridge.api.calls.explanations import CallExplanation
from ringbridge.api.calls.views import CallView
from ringbridge.api.cdrs.query import query_time
from ringbridge.api.document.operations import Access, Operation, QueryField, Reply
from ringbridge.api.document.schemas import PAGE_QUERY
from ringbridge.api.exchanges.views import (
    MAKES_CALL,
    RequestDetails,
    RequestView,
    is_masked,
    is_resendable,
    request_details,
    request_view,
)
from ringbridge.api.http.answers import Accepted, Answer, Count, json_answer, page_answer
from ringbridge.api.http.requests import Request, parse_json_object
from ringbridge.api.parts import ApiParts
from ringbridge.calls.exchange_ports import Exchanges
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.exchanges import ExchangeQuery, KeptExchange, whose
from ringbridge.model.names import CONTROL
from ringbridge.model.wire import shown

REQUESTS: Final = "/ringbridge/v1/requests"
ID: Final = re.compile(r"([A-Za-z0-9_-]{1,32})-([0-9]{1,18})")
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
STATUS: Final = re.compile(r"[1-5][0-9]{2}|[1-5]xx")
KEY: Final = re.compile(r"(?:ns[srdu]_)?([A-Za-z0-9_-]{1,64})")
WORD: Final = re.compile(r"[a-z0-9-]{1,64}")
MAX_TEXT: Final = 256
_CALLS: Final = re.compile(re.sub(r"\{([a-z]+)\}", r"(?P<\1>[A-Za-z0-9._~-]+)", USER_CALLS))
_FILTERS: Final = (
    QueryField("method", "Only requests of this method.", {"type": "string", "enum": list(METHODS)}),
    QueryField("path", "Only requests whose path holds this text.", {"type": "string", "maxLength": MAX_TEXT}),
    QueryField(
        "status",
        "Only requests answered so: a status, or a class of them as `4xx`.",
        {"type": "string", "pattern": f"^({STATUS.pattern})$"},
    ),
    QueryField(
        "key",
        "Only requests with this key: its key-id, with its prefix or without.",
        {"type": "string", "pattern": "^(ns[srdu]_)?[A-Za-z0-9_-]{1,64}$"},
    ),
    QueryField("operation", "Only requests of this operation.", {"type": "string", "pattern": f"^{WORD.pattern}$"}),
    QueryField("domain", "Only requests made with tokens of this domain.", {"type": "string", "maxLength": MAX_TEXT}),
    QueryField("datetime-start", "Only requests answered then or later.", {"type": "string"}),
    QueryField("datetime-end", "Only requests answered then or earlier.", {"type": "string"}),
)


class RequestHandlers:
    """Handlers of the request history; `make_call` is what sends a call again, through the gate like any other."""

    def __init__(self, parts: ApiParts, gate: Gate, make_call: Operation) -> None:
        self._parts = parts
        self._gate = gate
        self._make_call = make_call

    async def list_all(self, request: Request) -> Answer:
        """List what was asked with the keys that the token rules over, newest first."""
        exchanges, wanted, page = self._exchanges(), await self._wanted(request), request.page()
        found = await exchanges.page(wanted, start=page.start, limit=page.limit)
        total = await exchanges.count(wanted)
        views = [request_view(one, node=exchanges.node, masked=is_masked(one, request.principal)) for one in found]
        filters = {field.name: request.query[field.name] for field in _FILTERS if field.name in request.query}
        return page_answer(views, page=page, path=request.path, total=total, query=filters)

    async def count(self, request: Request) -> Answer:
        """Count them."""
        return json_answer(Count(await self._exchanges().count(await self._wanted(request))))

    async def read(self, request: Request) -> Answer:
        """Read one, with what was sent and answered."""
        kept = await self._found(request)
        masked = is_masked(kept, request.principal)
        return json_answer(request_details(kept, node=self._exchanges().node, masked=masked))

    async def resend(self, request: Request) -> Answer:
        """Send a request for a call again, as a new call of whoever asks."""
        kept = await self._found(request)
        masked = is_masked(kept, request.principal)
        if not is_resendable(kept, masked=masked):
            raise _not_resendable(kept, masked=masked)
        scope, body = _again(kept, request.scope)
        principal, domain, user = await self._gate.admit(self._make_call, scope)

        async def receive() -> ReceiveMessage:
            return cast("ReceiveMessage", {"type": "http.request", "body": body, "more_body": False})

        return await self._make_call.handle(
            Request(
                scope,
                receive,
                principal=principal,
                domain=domain,
                user=user,
                request_id=request.request_id,
                body_deadline_s=self._parts.settings.body_deadline_s,
            )
        )

    def _exchanges(self) -> Exchanges:
        if self._parts.exchanges is None:
            message = "this node keeps no requests: requests.kept_s is 0"
            raise CallError(Refusal.NOT_FOUND, "no-request-history", message)
        return self._parts.exchanges

    async def _found(self, request: Request) -> KeptExchange:
        exchanges, name = self._exchanges(), request.params["id"]
        parsed = ID.fullmatch(name)
        if parsed is None:
            raise _no_such_request(name)
        if parsed[1] != exchanges.node:
            raise _no_such_request(name, f": this is node {exchanges.node}, and each keeps its own")
        query = await self._query_of(request)
        kept = await exchanges.one(int(parsed[2]), query)
        if kept is None:
            raise _no_such_request(name)
        return kept

    async def _query_of(self, request: Request) -> ExchangeQuery:
        principal = request.principal
        domains = await own_domains(self._parts.store, principal)
        return ExchangeQuery(whose=whose(principal, domains), rank=principal.scope.rank)

    async def _wanted(self, request: Request) -> ExchangeQuery:
        faults: list[Fault] = []
        try:
            request.page()
        except CallError as error:
            faults += error.faults
        query = request.query
        method = _one(query, "method", re.compile("|".join(METHODS)), ", ".join(METHODS), faults)
        status = _one(query, "status", STATUS, "a status as 404, or a class as 4xx", faults)
        key = _one(query, "key", KEY, "a key-id", faults)
        operation = _one(query, "operation", WORD, "the name of an operation, as make-call", faults)
        path, domain = _text(query, "path", faults), _text(query, "domain", faults)
        since, _ = query_time(request, "datetime-start", faults)
        until, _ = query_time(request, "datetime-end", faults)
        if faults:
            raise invalid(faults)
        least, most = _statuses(status)
        known = KEY.fullmatch(key)
        return msgspec.structs.replace(
            await self._query_of(request),
            method=method,
            path=path,
            least_status=least,
            most_status=most,
            key_id=known[1] if known else "",
            operation=operation,
            domain=domain,
            since=since or 0.0,
            until=math.inf if until is None else until,
        )


def _one(query: Mapping[str, str], name: str, pattern: re.Pattern[str], allowed: str, faults: list[Fault]) -> str:
    """Return a field of the query that a pattern must match; empty where it is absent."""
    text = query.get(name, "")
    if name in query and not pattern.fullmatch(text):
        faults.append(Fault(name, "not-one-of", f"must be {allowed}", shown(text), allowed))
    return text


def _text(query: Mapping[str, str], name: str, faults: list[Fault]) -> str:
    """Return a field of the query that is any text; empty where it is absent."""
    text = query.get(name, "")
    if len(text) > MAX_TEXT or CONTROL.search(text):
        allowed = f"at most {MAX_TEXT} characters, no control character among them"
        faults.append(Fault(name, "bad-text", f"must be {allowed}", shown(text), allowed))
    return text


def _statuses(text: str) -> tuple[int, int]:
    if not text:
        return 0, 999
    if text.endswith("xx"):
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    return int(text), int(text)


def _no_such_request(name: str, why: str = "") -> CallError:
    return CallError(Refusal.NOT_FOUND, "no-such-request", f"no request {shown(name)}{why}")


def _not_resendable(kept: KeptExchange, *, masked: bool) -> CallError:
    if kept.operation != MAKES_CALL:
        return CallError(Refusal.CONFLICT, "not-a-call", f"{kept.operation} is no request for a call")
    if masked:
        message = "its numbers are masked for this token, which may not dial them either"
        return CallError(Refusal.FORBIDDEN, "numbers-masked", message)
    message = f"its body is {kept.body.state}: what was sent is not kept as it was; make the call anew"
    return CallError(Refusal.CONFLICT, "body-not-kept", message)


def _again(kept: KeptExchange, asking: Scope) -> tuple[Scope, bytes]:
    """Return the same request for another call: `~` in its path is whose it was, its call's name is new.

    Raises:
        CallError: its path was not kept as it was, since a name in it looks like a secret, or its body is no JSON
            object.
    """
    named = _CALLS.fullmatch(kept.path.rstrip("/"))
    if named is None:
        raise CallError(Refusal.CONFLICT, "path-not-kept", "its path is not kept as it was; make the call anew")
    parse_json_object(kept.body.text)
    body = json.loads(kept.body.text) | {"call-id": str(uuid4())}
    body.pop("callid", None)
    own = {"domain": kept.domain, "user": kept.user}
    params = {name: own[name] if value == SELF else value for name, value in named.groupdict().items()}
    fields = [(name, value) for name, value in parse_qsl(kept.query, keep_blank_values=True) if name != "callid"]
    dropped = (b"content-length", b"content-type", b"content-encoding", b"transfer-encoding")
    headers = [(name, value) for name, value in asking["headers"] if name not in dropped]
    scope = {
        **asking,
        "path": USER_CALLS.format(**params),
        "path_params": params,
        "query_string": urlencode(fields, quote_via=quote).encode(),
        "headers": [*headers, (b"content-type", b"application/json")],
    }
    return cast("Scope", scope), json.dumps(body).encode()


def operations(handlers: RequestHandlers) -> list[Operation]:
    """Return the operations of the request history."""
    off = " 404 where the node keeps none."
    return [
        Operation(
            name="list-requests",
            method="GET",
            path=REQUESTS,
            access=Access.TOKEN,
            handle=handlers.list_all,
            tag="Requests",
            summary="List the requests made with your keys",
            description="Newest first, as far as this node keeps them: those of your user, of your domain for an "
            "office manager, of all for a super user. Requests without a valid token are nobody's, and reads of this "
            "history are not in it." + off,
            query=(*PAGE_QUERY, *_FILTERS),
            replies=(Reply(200, "One page.", list[RequestView], ("Link", "X-Total-Count")),),
            refusals=(404,),
        ),
        Operation(
            name="count-requests",
            method="GET",
            path=REQUESTS + "/count",
            access=Access.TOKEN,
            handle=handlers.count,
            tag="Requests",
            summary="Count the requests made with your keys",
            query=_FILTERS,
            replies=(Reply(200, "How many.", Count),),
            refusals=(404,),
        ),
        Operation(
            name="read-request",
            method="GET",
            path=REQUESTS + "/{id}",
            access=Access.TOKEN,
            handle=handlers.read,
            tag="Requests",
            summary="Read a request with what was sent and answered",
            description="Never a secret; telephone numbers masked for who has a lower scope than it was made with.",
            replies=(Reply(200, "The request.", RequestDetails),),
        ),
        Operation(
            name="resend-request",
            method="POST",
            path=REQUESTS + "/{id}/resend",
            access=Access.TOKEN,
            handle=handlers.resend,
            tag="Requests",
            summary="Send a request for a call again, as a new call",
            description="The call gets a `call-id` of its own, and is made with your permissions, whoever made the "
            "first. It counts as two requests.",
            replies=(
                Reply(200, "As of the request itself.", (CallView, CallExplanation)),
                Reply(
                    202,
                    "Accepted, and durable.",
                    Accepted,
                ),
            ),
            refusals=(409, 503),
        ),
    ]
