"""Connections: SIP links to carriers and PBXes, of a domain and of all that a token rules over (contract §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ringbridge.api.access.auth import no_such_domain
from ringbridge.api.directory.domains import DOMAINS, admit_domain, ruled
from ringbridge.api.directory.resource_operations import Served, create_operation, list_operations
from ringbridge.api.directory.resource_operations import operations as resource_operations
from ringbridge.api.directory.resources import ResourceHandlers
from ringbridge.api.document.operations import Access, Operation
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.calls.found import is_registered, is_watched, state_of
from ringbridge.model.connection_states import ConnectionState, Health, Registered
from ringbridge.model.directory import Connection, Domain, Key, Record
from ringbridge.model.resources import CONNECTION, DOMAIN, change, make
from ringbridge.model.times import instant_text

_HEALTH = "connection-health-"
_REGISTRATION = "connection-sip-registration-"
CONNECTIONS = DOMAINS + "/{domain}/connections"
SERVED = Served(
    noun="connection",
    plural="connections",
    tag="Connections",
    collection=CONNECTIONS,
    item=CONNECTIONS + "/{connection-orig-match-pattern}",
    given=("domain",),
    create_title="CreateDomainConnectionRequest",
    update_title="UpdateConnectionRequest",
)
EVERYWHERE = Served(
    noun="connection of any domain",
    plural="all connections",
    tag="Connections",
    collection="/ns-api/v2/connections",
    item="",
    given=(),
    create_title="CreateConnectionRequest",
    update_title="",
    list_access=Access.MANAGER,
    create_access=Access.MANAGER,
)


class ConnectionRules:
    """Connections of the path's domain; without one, of all that the token rules over."""

    resource = CONNECTION

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def key(self, request: Request) -> Key:
        return (request.domain, request.params["connection_orig_match_pattern"])

    def given(self, request: Request) -> Mapping[str, str]:
        return {"domain": request.domain} if "domain" in request.params else {}

    def wanted(self, request: Request) -> RecordQuery:
        if "domain" in request.params:
            return RecordQuery(CONNECTION.kind, domain=request.domain)
        return ruled(CONNECTION.kind, request.principal)

    async def admit(self, request: Request) -> None:
        if "domain" in request.params:
            await admit_domain(self._parts, request)

    def belongs(self, _: Request, record: Record) -> bool:
        return isinstance(record, Connection)

    async def made(self, request: Request, values: Mapping[str, str]) -> tuple[Record, Mapping[str, str]]:
        """Return the connection, in a domain that the token rules over: any other might as well not be there."""
        name = values["domain"]
        domain = await self._parts.writes.find(DOMAIN.kind, (name,))
        if not isinstance(domain, Domain) or not request.principal.rules_domain(name, reseller=domain.reseller):
            raise no_such_domain(name)
        return make(CONNECTION, values), {}

    def changed(self, _: Request, record: Record, values: Mapping[str, str]) -> Record:
        return change(CONNECTION, record, values)

    async def live(self, records: Sequence[Record]) -> list[dict[str, object]]:
        return [await self._found(one) if isinstance(one, Connection) else {} for one in records]

    async def _found(self, connection: Connection) -> dict[str, object]:
        if not is_watched(connection) and not is_registered(connection):
            return {}
        state = await state_of(self._parts.store, connection)
        told = _health(state) if is_watched(connection) else {}
        return told | _registration(state) if is_registered(connection) else told


def _health(state: ConnectionState | None) -> dict[str, object]:
    if state is None or not state.watched:
        return {_HEALTH + "state": Health.UNKNOWN.value}
    return {
        _HEALTH + "state": state.health.value,
        _HEALTH + "reason": state.health_reason,
        _HEALTH + "datetime": instant_text(state.health_at),
    }


def _registration(state: ConnectionState | None) -> dict[str, object]:
    if state is None or not state.registration:
        return {_REGISTRATION + "state": Registered.NO.value}
    return {
        _REGISTRATION + "state": state.registration.value,
        _REGISTRATION + "reason": state.registration_reason,
        _REGISTRATION + "datetime": instant_text(state.registered_at),
        _REGISTRATION + "expires-datetime": instant_text(state.registration_expires_at),
    }


def operations(parts: ApiParts) -> list[Operation]:
    """Return the operations of connections."""
    rules = ConnectionRules(parts)
    handlers = ResourceHandlers(parts, rules)
    return [
        *resource_operations(handlers, rules, SERVED),
        *list_operations(handlers, rules, EVERYWHERE),
        create_operation(handlers, rules, EVERYWHERE),
    ]
