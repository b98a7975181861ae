"""Users: the people of a domain (contract §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ringbridge.api.directory.domains import DOMAINS, admit_domain
from ringbridge.api.directory.resource_operations import Served
from ringbridge.api.directory.resource_operations import operations as resource_operations
from ringbridge.api.directory.resources import Finish, ResourceHandlers
from ringbridge.api.document.operations import Access, Operation
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.access.credentials import Credentials
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.model.access import SCOPES, Principal, Scope
from ringbridge.model.directory import Key, Record, User
from ringbridge.model.errors import CallError, Fault, Refusal
from ringbridge.model.handing_on import login_fault, refusal_of, scope_fault
from ringbridge.model.login_password import FIELD
from ringbridge.model.resources import USER, change, make

USERS = DOMAINS + "/{domain}/users"
SERVED = Served(
    noun="user",
    plural="users",
    tag="Users",
    collection=USERS,
    item=USERS + "/{user}",
    given=("domain",),
    create_title="CreateUserRequest",
    update_title="UpdateUserRequest",
    read_access=Access.USER,
)


class UserRules:
    """Users of the path's domain. Nobody makes a user who may more than they do themselves."""

    resource = USER

    def __init__(self, parts: ApiParts) -> None:
        self._store = parts.store
        self._parts = parts

    def key(self, request: Request) -> Key:
        return (request.domain, request.user)

    def given(self, request: Request) -> Mapping[str, str]:
        return {"domain": request.domain}

    def wanted(self, request: Request) -> RecordQuery:
        return RecordQuery(USER.kind, domain=request.domain)

    async def admit(self, request: Request) -> None:
        await admit_domain(self._parts, request)

    def belongs(self, _: Request, record: Record) -> bool:
        return isinstance(record, User)

    async def made(self, request: Request, values: Mapping[str, str]) -> tuple[Record, Mapping[str, str]]:
        user = _checked(make(USER, values), request.principal)
        if values.get(FIELD) and isinstance(user, User):
            _check_login(request.principal, user.user_scope, field=FIELD)
        return user, {}

    def changed(self, request: Request, record: Record, values: Mapping[str, str]) -> Record:
        after = change(USER, record, values)
        scope = record.user_scope if isinstance(record, User) else ""
        principal = request.principal
        if values.get(FIELD):
            if record.key == (principal.domain, principal.user):
                message = "one's own is changed by PUT …/password, with the current one"
                raise refusal_of(Fault(FIELD, "own-password", message))
            # Who sets somebody's password can become them.
            _check_login(principal, scope, field=FIELD)
        return _checked(after, principal, had=scope)

    async def live(self, records: Sequence[Record]) -> list[dict[str, object]]:
        if len(records) == 1:
            domain, user = records[0].key
            return [{"active-calls-total-current": await self._store.count_active(domain=domain, user=user)}]
        active = {domain: await self._store.active_by_user(domain) for domain in {one.domain for one in records}}
        return [{"active-calls-total-current": active[one.domain].get(one.key[-1], 0)} for one in records]


class LoginPassword:
    """The password of a body of a user: kept apart from the user, as its hash."""

    field = FIELD

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def prepare(self, values: Mapping[str, str]) -> Finish | None:
        password = values.get(FIELD)
        if not password:
            return None
        hashed = await self._credentials.hash(password)

        async def finish(user: Record) -> int:
            return await self._credentials.set_hash(user.domain, user.key[-1], hashed)

        return finish


def _check_login(principal: Principal, scope: str, *, field: str) -> None:
    fault = login_fault(principal, SCOPES.get(scope, Scope.NO_PORTAL), field=field)
    if fault is not None:
        raise refusal_of(fault)


def _checked(user: Record, principal: Principal, *, had: str = "") -> Record:
    """Return `user` if `principal` may give it its scope; a user who `had` one may have a password already.

    Raises:
        CallError: 403.
    """
    if not isinstance(user, User) or user.user_scope == had:
        return user
    fault = scope_fault(principal, SCOPES[user.user_scope], had=SCOPES.get(had), field="user-scope")
    if fault is not None:
        raise refusal_of(fault)
    return user


async def admit_user(parts: ApiParts, request: Request) -> None:
    """Let pass a request whose path names a user that is there.

    Raises:
        CallError: 404.
    """
    if await parts.writes.find(USER.kind, (request.domain, request.user)) is None:
        raise CallError(Refusal.NOT_FOUND, "no-such-user", f"no user {request.user} in domain {request.domain}")


def operations(parts: ApiParts) -> list[Operation]:
    """Return the operations of users."""
    rules = UserRules(parts)
    beside = LoginPassword(parts.accounts.credentials)
    return resource_operations(ResourceHandlers(parts, rules, beside=beside), rules, SERVED)
