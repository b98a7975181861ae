"""The audit trail over HTTP (ours): who changed what, newest first; of a domain, or of all that a token rules over."""

from __future__ import annotations

from typing import Final

import msgspec

from ringbridge.api.access.auth import client_address, no_such_domain
from ringbridge.api.access.ruled import own_since
from ringbridge.api.cdrs.query import query_time
from ringbridge.api.document.operations import Access, Operation, QueryField, Reply, Schema
from ringbridge.api.document.schemas import PAGE_QUERY
from ringbridge.api.http.answers import Answer, Count, json_answer, page_answer
from ringbridge.api.http.requests import Request, header
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.model.audit import CALL, FILTERS, NOT_RECORDED, Action, Actor, AuditEntry, ids_between
from ringbridge.model.directory import KINDS
from ringbridge.model.errors import Fault, invalid
from ringbridge.model.times import instant_text
from ringbridge.model.wire import control_fault, shown

ALL: Final = "/ringbridge/v1/audit"
OF_DOMAIN: Final = "/ringbridge/v1/domains/{domain}/audit"
RECORDED: Final = tuple(sorted({*KINDS, CALL} - NOT_RECORDED))
USER_AGENT_LENGTH: Final = 200
"""What is kept of a client's name for itself."""
MAX_TEXT: Final = 256
_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
_DOMAIN: Final = QueryField("domain", "Only changes of records of this domain.", _TEXT)
NARROWING: Final = (
    QueryField(
        "kind",
        "Only changes of records of this kind; `call`: orders to calls.",
        {"type": "string", "enum": list(RECORDED)},
    ),
    QueryField("by-key-id", "Only what was done with this API key, or token (its `jti`).", _TEXT),
    QueryField("by-domain", "Only what was done with tokens of this domain.", _TEXT),
    QueryField("by-user", "Only what was done with tokens of this user.", _TEXT),
    QueryField("user", "Only changes of this user, or of what belongs to one of this name.", _TEXT),
    QueryField("object", "Only changes of what has this name: a device, a number, a call-id, a key-id, …", _TEXT),
    QueryField(
        "datetime-start",
        "Only changes then or later. Without offset it is UTC.",
        {"type": "string", "examples": ["2026-11-24T13:00:00Z", "2026-11-24 13:00:00"]},
    ),
    QueryField(
        "datetime-end", "Only changes then or earlier.", {"type": "string", "examples": ["2026-11-25T13:00:00Z"]}
    ),
)
"""Texts are compared whatever their case; with `*` at the end, what begins so."""
DESCRIPTION: Final = (
    "Who changed which record, from where and when, newest first. Names of fields, no values. What was before a domain "
    "of this name was made, for whoever had the name then, is shown to their resellers alone."
)


class AuditView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """One change, as it is told. `fields` are the names of what an update changed."""

    id: str
    datetime: str
    action: Action
    kind: str
    key: tuple[str, ...]
    domain: str
    user: str
    fields: tuple[str, ...]
    by_key_id: str
    by_domain: str
    by_user: str
    by_address: str
    by_user_agent: str
    operation: str
    request_id: str


def actor_of(request: Request, operation: Operation) -> Actor:
    """Return who changes what `request` changes."""
    principal = request.principal
    agent = header(request.scope, b"user-agent").decode("utf-8", "replace")
    return Actor(
        key_id=principal.key_id,
        domain=principal.domain,
        user=principal.user,
        address=client_address(request.scope),
        user_agent="".join(one for one in agent if one.isprintable())[:USER_AGENT_LENGTH],
        request_id=request.request_id,
        operation=operation.name,
    )


def _view(entry: AuditEntry) -> AuditView:
    return AuditView(
        id=entry.id,
        datetime=instant_text(entry.at),
        action=entry.action,
        kind=entry.of,
        key=entry.of_key,
        domain=entry.domain,
        user=entry.of_user,
        fields=entry.fields,
        by_key_id=entry.by.key_id,
        by_domain=entry.by.domain,
        by_user=entry.by.user,
        by_address=entry.by.address,
        by_user_agent=entry.by.user_agent,
        operation=entry.by.operation,
        request_id=entry.by.request_id,
    )


class AuditHandlers:
    """Handlers of the audit trail."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def page(self, request: Request) -> Answer:
        """List the changes, newest first."""
        page, (wanted, asked) = request.page(), await self._wanted(request)
        found = await self._parts.store.record_page(wanted, start=page.start, limit=page.limit)
        total = await self._parts.store.count_records(wanted)
        views = [_view(one) for one in found if isinstance(one, AuditEntry)]
        return page_answer(views, page=page, path=request.path, total=total, query=asked)

    async def count(self, request: Request) -> Answer:
        """Count the changes."""
        wanted, _ = await self._wanted(request)
        return json_answer(Count(await self._parts.store.count_records(wanted)))

    async def _wanted(self, request: Request) -> tuple[RecordQuery, dict[str, str]]:
        """Return which entries are asked for, and the query's own words for that."""
        names = [field.name for field in NARROWING] + ([] if request.domain else [_DOMAIN.name])
        asked = {name: request.query[name] for name in names if name in request.query}
        faults: list[Fault] = []
        kind = asked.get("kind")
        if kind is not None and kind not in RECORDED:
            allowed = ", ".join(RECORDED)
            faults.append(Fault("kind", "not-one-of", f"must be one of {allowed}", found=shown(kind), allowed=allowed))
        texts = {name: asked[name] for name in (*FILTERS, _DOMAIN.name) if name in asked}
        for name, text in texts.items():
            if not text or len(text) > MAX_TEXT or (control_fault(name, text)) is not None:
                allowed = f"1 to {MAX_TEXT} characters, no control character among them"
                faults.append(Fault(name, "bad-text", f"must be {allowed}", found=shown(text), allowed=allowed))
        since, _ = query_time(request, "datetime-start", faults)
        until, _ = query_time(request, "datetime-end", faults)
        if faults:
            raise invalid(faults)
        principal = request.principal
        # Before that, the domain's name was another tenant's.
        made_at = await own_since(self._parts.store, principal, request.domain)
        since = max(since or 0.0, made_at) or None
        wanted = RecordQuery(
            "audit",
            domain=request.domain or texts.pop(_DOMAIN.name, None),
            parent=kind,
            reseller=None if request.domain or principal.is_super_user else principal.reseller,
            filters=tuple((name, text.lower()) for name, text in texts.items()),
            between=None if since is None and until is None else ids_between(since, until),
        )
        if request.domain and await self._parts.store.domain(request.domain) is None:
            raise no_such_domain(request.domain)
        return wanted, asked


def operations(parts: ApiParts) -> list[Operation]:
    """Return the operations of the audit trail."""
    handlers = AuditHandlers(parts)
    return [
        operation
        for path, word, whose, access, more in (
            (ALL, "", "", Access.RESELLER, (_DOMAIN,)),
            (OF_DOMAIN, "domain-", " of a domain", Access.DOMAIN, ()),
        )
        for operation in (
            Operation(
                name=f"list-{word}audit",
                method="GET",
                path=path,
                access=access,
                handle=handlers.page,
                tag="Audit",
                summary=f"List the changes of the directory{whose}",
                description=DESCRIPTION,
                query=(*PAGE_QUERY, *NARROWING, *more),
                replies=(Reply(200, "One page.", list[AuditView], ("Link", "X-Total-Count")),),
            ),
            Operation(
                name=f"count-{word}audit",
                method="GET",
                path=path + "/count",
                access=access,
                handle=handlers.count,
                tag="Audit",
                summary=f"Count the changes of the directory{whose}",
                query=(*NARROWING, *more),
                replies=(Reply(200, "How many.", Count),),
            ),
        )
    ]
