"""Domains: the tenants (contract §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ringbridge.api.access.auth import no_such_domain
from ringbridge.api.directory.resource_operations import Served
from ringbridge.api.directory.resource_operations import operations as resource_operations
from ringbridge.api.directory.resources import ResourceHandlers
from ringbridge.api.document.operations import Access, Operation, Reply
from ringbridge.api.http.answers import Answer, Count, json_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.model.access import ANY, Principal, Scope
from ringbridge.model.directory import Domain, Key, Record
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.field_tables.checks import new_domain
from ringbridge.model.resources import DOMAIN, USER, change, make
from ringbridge.model.wire import shown

DOMAINS = "/ns-api/v2/domains"
SERVED = Served(
    noun="domain",
    plural="domains",
    tag="Domains",
    collection=DOMAINS,
    item=DOMAINS + "/{domain}",
    given=(),
    create_title="CreateDomainRequest",
    update_title="UpdateDomainRequest",
    list_access=Access.MANAGER,
    create_access=Access.RESELLER,
    delete_at_least=Scope.RESELLER,
)


class DomainRules:
    """Whose domains are whose: a super user's all, a reseller's its own, everybody else's one."""

    resource = DOMAIN

    def __init__(self, parts: ApiParts) -> None:
        self._store = parts.store

    def key(self, request: Request) -> Key:
        return (request.domain,)

    def given(self, request: Request) -> Mapping[str, str]:
        return {"domain": request.domain} if request.domain else {}

    def wanted(self, request: Request) -> RecordQuery:
        return ruled(DOMAIN.kind, request.principal)

    async def admit(self, request: Request) -> None:
        """Let everybody pass: what is listed is what the token has."""

    def belongs(self, _: Request, record: Record) -> bool:
        return isinstance(record, Domain)

    async def made(self, request: Request, values: Mapping[str, str]) -> tuple[Record, Mapping[str, str]]:
        if (must := new_domain(values["domain"])) is not None:
            raise invalid([Fault("domain", "bad-value", must, found=shown(values["domain"]))])
        _check_reseller(request.principal, values["reseller"])
        return make(DOMAIN, values), {}

    def changed(self, request: Request, record: Record, values: Mapping[str, str]) -> Record:
        after = change(DOMAIN, record, values)
        if isinstance(after, Domain) and isinstance(record, Domain) and after.reseller != record.reseller:
            _check_reseller(request.principal, after.reseller)
        return after

    async def live(self, records: Sequence[Record]) -> list[dict[str, object]]:
        told: list[dict[str, object]] = []
        for record in records:
            active = await self._store.count_active(domain=record.domain)
            users = await self._store.count_records(RecordQuery(USER.kind, domain=record.domain))
            told.append(
                {
                    "active-calls-total-current": active,
                    "active-calls-against-license-count": active,
                    "count-subcriber-resources-total": users,
                }
            )
        return told


def _check_reseller(principal: Principal, reseller: str) -> None:
    """Let pass who may put domains under `reseller`.

    Raises:
        CallError: 403.
    """
    if not principal.rules_reseller(reseller):
        fault = Fault("reseller", "not-allowed", "is not this token's own")
        raise CallError(Refusal.FORBIDDEN, "not-allowed", "this token may not do that to domains", faults=[fault])


async def admit_domain(parts: ApiParts, request: Request) -> None:
    """Let pass a request whose path names a domain that is there.

    Raises:
        CallError: 404.
    """
    if await parts.writes.find(DOMAIN.kind, (request.domain,)) is None:
        raise no_such_domain(request.domain)


def ruled(kind: str, principal: Principal) -> RecordQuery:
    """Return which records of a kind a list over all domains shows to a manager."""
    if principal.is_super_user:
        return RecordQuery(kind)
    if principal.rules_reseller(ANY):
        return RecordQuery(kind, reseller=principal.reseller)
    return RecordQuery(kind, domain=principal.domain)


class DomainHandlers:
    """What domains have beside the skeleton."""

    def __init__(self, parts: ApiParts) -> None:
        self._store = parts.store

    async def exists(self, request: Request) -> Answer:
        """Count the domains of this name: one or none."""
        return json_answer(Count(0 if await self._store.domain(request.domain) is None else 1))


def operations(parts: ApiParts) -> list[Operation]:
    """Return the operations of domains."""
    rules = DomainRules(parts)
    return [
        *resource_operations(ResourceHandlers(parts, rules), rules, SERVED),
        Operation(
            name="count-domain",
            method="GET",
            path=SERVED.item + "/count",
            access=Access.DOMAIN,
            handle=DomainHandlers(parts).exists,
            tag=SERVED.tag,
            summary="Ask whether a domain exists",
            replies=(Reply(200, "1 where it does, else 0.", Count),),
        ),
    ]
