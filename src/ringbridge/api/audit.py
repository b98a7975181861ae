"""The audit trail over HTTP (ours): who changed what, newest first; of a domain, or of all that a token rules over."""

from __future__ import annotations

from typing import Final

import msgspec

from ringbridge.api.answers import Answer, Count, json_answer, page_answer
from ringbridge.api.auth import client_address, no_such_domain
from ringbridge.api.operations import Access, Operation, QueryField, Reply
from ringbridge.api.parts import ApiParts
from ringbridge.api.requests import Request, header
from ringbridge.api.schemas import PAGE_QUERY
from ringbridge.calls.directory_ports import RecordQuery
from ringbridge.model.audit import NOT_RECORDED, Action, Actor, AuditEntry
from ringbridge.model.directory import KINDS
from ringbridge.model.errors import Fault, invalid
from ringbridge.model.times import instant_text
from ringbridge.model.wire import shown

ALL: Final = "/ringbridge/v1/audit"
OF_DOMAIN: Final = "/ringbridge/v1/domains/{domain}/audit"
RECORDED: Final = tuple(sorted(set(KINDS) - NOT_RECORDED))
USER_AGENT_LENGTH: Final = 200
"""What is kept of a client's name for itself."""
_KIND: Final = QueryField("kind", "Only changes of records of this kind.", {"type": "string", "enum": list(RECORDED)})


class AuditView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """One change, as it is told. `fields` are the names of what an update changed."""

    id: str
    datetime: str
    action: Action
    kind: str
    key: tuple[str, ...]
    domain: str
    fields: tuple[str, ...]
    by_key_id: str
    by_domain: str
    by_user: str
    by_address: str
    by_user_agent: str
    operation: str
    request_id: str


_EXAMPLE: Final = {
    "id": "98236543210987-5d1c0f2a9b3e",
    "datetime": "2026-11-25T02:28:07+00:00",
    "action": "update",
    "kind": "user",
    "key": ["demo", "1001"],
    "domain": "demo",
    "fields": ["caller-id-number"],
    "by-key-id": "4Rk0XbQ2mZ1c",
    "by-domain": "demo",
    "by-user": "*",
    "by-address": "192.0.2.7",
    "by-user-agent": "crm/3.1",
    "operation": "update-user",
    "request-id": "5f0c2a-1",
}


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
        page, wanted = request.page(), await self._wanted(request)
        found = await self._parts.store.record_page(wanted, start=page.start, limit=page.limit)
        total = await self._parts.store.count_records(wanted)
        views = [_view(one) for one in found if isinstance(one, AuditEntry)]
        return page_answer(views, page=page, path=request.path, total=total)

    async def count(self, request: Request) -> Answer:
        """Count the changes."""
        return json_answer(Count(await self._parts.store.count_records(await self._wanted(request))))

    async def _wanted(self, request: Request) -> RecordQuery:
        kind = request.query.get("kind")
        if kind is not None and kind not in RECORDED:
            allowed = ", ".join(RECORDED)
            raise invalid(
                [Fault("kind", "not-one-of", f"must be one of {allowed}", found=shown(kind), allowed=allowed)]
            )
        if request.domain:
            if await self._parts.store.domain(request.domain) is None:
                raise no_such_domain(request.domain)
            return RecordQuery("audit", domain=request.domain, parent=kind)
        reseller = None if request.principal.is_super_user else request.principal.reseller
        return RecordQuery("audit", parent=kind, reseller=reseller)


def operations(parts: ApiParts) -> list[Operation]:
    """Return the operations of the audit trail."""
    handlers = AuditHandlers(parts)
    return [
        operation
        for path, word, whose, access in (
            (ALL, "", "", Access.RESELLER),
            (OF_DOMAIN, "domain-", " of a domain", Access.DOMAIN),
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
                description="Who changed which record, from where and when, newest first. Names of fields, no values.",
                query=(*PAGE_QUERY, _KIND),
                replies=(Reply(200, "One page.", list[AuditView], [_EXAMPLE], ("Link", "X-Total-Count")),),
            ),
            Operation(
                name=f"count-{word}audit",
                method="GET",
                path=path + "/count",
                access=access,
                handle=handlers.count,
                tag="Audit",
                summary=f"Count the changes of the directory{whose}",
                query=(_KIND,),
                replies=(Reply(200, "How many.", Count, {"total": 2}),),
            ),
        )
    ]
