"""Who asks and whether they may: the one place of the API that decides it (contract §1, §2).

In this order: the token (401), how often (429), the path's names (400), `~` from the token (400), the tenant (404,
which says nothing of whether it exists), the right (403). Nothing of the body is read before that.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import assert_never

from litestar.types import Scope as HttpScope

from ringbridge.api.access.rate_limits import Counted, RateLimiter
from ringbridge.api.document.operations import Access, Operation
from ringbridge.api.http.passage import passage_of
from ringbridge.api.http.requests import header
from ringbridge.calls.access.api_keys import KeyUses
from ringbridge.calls.access.standing import not_active
from ringbridge.calls.access.tokens import Tokens
from ringbridge.calls.ports import Clock, Store
from ringbridge.model import names
from ringbridge.model.access import ANY, Principal, Scope, principal_of
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.keys import hash_of, is_well_formed, key_id_of, matches
from ringbridge.model.wire import shown

SELF = "~"
_NOBODY = hash_of("")
"""What an unknown key is compared with, so that it takes as long as a known one."""
CACHED_KEYS = 4096
_BEYOND = {
    Access.OPEN: "",
    Access.LOGIN: "",
    Access.TOKEN: "do anything",
    Access.MANAGER: "manage a directory",
    Access.RESELLER: "act for a reseller",
    Access.SUPER: "act for everybody",
    Access.DOMAIN: "act for the whole domain",
    Access.USER: "act for user {user}",
}
"""What a token that is refused may not do."""


def _unauthenticated(code: str, message: str) -> CallError:
    return CallError(Refusal.UNAUTHENTICATED, code, message)


def _bad_token() -> CallError:
    return _unauthenticated("bad-token", "the token is not valid")


def _forbidden(code: str, message: str) -> CallError:
    return CallError(Refusal.FORBIDDEN, code, message)


def no_such_domain(domain: str) -> CallError:
    """Return the 404 of a domain: the same whether it is missing or another tenant's."""
    return CallError(Refusal.NOT_FOUND, "no-such-domain", f"no domain {shown(domain)}")


class Keys:
    """Principals by token: API keys and our own JWTs. One that was just checked is taken as it was for `cache_s`."""

    def __init__(self, store: Store, clock: Clock, *, tokens: Tokens, uses: KeyUses, cache_s: float) -> None:
        self._store = store
        self._clock = clock
        self._tokens = tokens
        self._uses = uses
        self._cache_s = cache_s
        # By digest, so that no key stays in memory, and no look-up's time tells of a key's characters.
        self._checked: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def principal(self, key: str) -> Principal:
        """Return who holds `key`.

        Raises:
            CallError: it is none of ours, unknown or void, or its user is gone or has no active account.
        """
        digest = sha256(key.encode("utf-8", "surrogateescape")).digest()
        now = self._clock.now()
        cached = self._checked.get(digest)
        if cached is not None and now < cached[0]:
            return cached[1]
        principal = await self._look_up(key)
        self._checked[digest] = (now + self._cache_s, principal)
        self._checked.move_to_end(digest)
        if len(self._checked) > CACHED_KEYS:
            self._checked.popitem(last=False)
        return principal

    async def _look_up(self, key: str) -> Principal:
        if not is_well_formed(key):
            principal = await self._tokens.principal(key) if key.count(".") == 2 else None
            if principal is None:
                raise _bad_token()
            return principal
        record = await self._store.api_key(key_id_of(key))
        if not matches(key, _NOBODY if record is None else record.key_sha256) or record is None:
            raise _bad_token()
        self._uses.seen(record.key_id)
        if record.user == ANY:
            return principal_of(record)
        user = await self._store.user(record.domain, record.user)
        if user is None:
            raise _bad_token()
        if not user.is_active:
            raise not_active(user)
        return principal_of(record, user_scope=user.user_scope)


class Gate:
    """Lets requests in, or says why not."""

    def __init__(self, store: Store, keys: Keys, clock: Clock, limiter: RateLimiter) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._limiter = limiter

    def pass_stranger(self, scope: HttpScope) -> None:
        """Let a request pass that needs no token, or showed no valid one.

        Raises:
            CallError: 429, there were too many.
        """
        _tell(scope, self._limiter.stranger(client_address(scope)))

    async def admit(self, operation: Operation, scope: HttpScope) -> tuple[Principal, str, str]:
        """Return who asks, and the domain and user of the path with `~` expanded.

        Raises:
            CallError: 401, 429, 400, 404 or 403, in that order.
        """
        try:
            principal = await self._authenticated(scope)
        except CallError as error:
            if error.refusal is Refusal.UNAUTHENTICATED:
                self.pass_stranger(scope)
            raise
        passage_of(scope).principal = principal
        _tell(scope, self._limiter.known(principal, client_address(scope)))
        return await self._let_in(principal, operation, scope)

    async def still_admits(self, operation: Operation, scope: HttpScope) -> Principal:
        """Return who asks, of a request that was let in and is being answered still; it is not counted again.

        Raises:
            CallError: as `admit`, but for 429.
        """
        principal, _, _ = await self._let_in(await self._authenticated(scope), operation, scope)
        return principal

    async def _let_in(self, principal: Principal, operation: Operation, scope: HttpScope) -> tuple[Principal, str, str]:
        if principal.networks and not principal.comes_from_allowed(client_address(scope)):
            raise _forbidden("address-not-allowed", "this token may not be used from this address")
        params: dict[str, str] = scope["path_params"]
        domain, user = _expand(params, principal)
        if not await self._allows(operation.access, principal, domain, user):
            beyond = _BEYOND[operation.access].format(user=user)
            raise _forbidden("not-allowed", f"this token may not {beyond}")
        if operation.at_least is not None and not principal.scope.reaches(operation.at_least):
            raise _forbidden("scope-too-narrow", f"this takes the scope {operation.at_least.wire} at least")
        if not principal.may_use(operation.model):
            raise _forbidden("model-not-allowed", "the token's allowed-models do not hold this")
        if operation.writes and principal.readonly:
            raise _forbidden("read-only", "this token may only read")
        return principal, domain, user

    async def _authenticated(self, scope: HttpScope) -> Principal:
        principal = await self._keys.principal(bearer(scope))
        if principal.is_expired(self._clock.now()):
            raise _unauthenticated("expired-token", "the token has expired")
        return principal

    async def _allows(self, access: Access, principal: Principal, domain: str, user: str) -> bool:
        """Return whether `principal` may call an operation of class `access` with this path.

        Raises:
            CallError: the path's domain is none that it may know of (404).
        """
        match access:
            case Access.OPEN | Access.LOGIN:
                return True
            case Access.TOKEN:
                return principal.scope.reaches(Scope.BASIC_USER)
            case Access.MANAGER:
                return principal.is_manager
            case Access.RESELLER:
                return principal.rules_reseller(ANY)
            case Access.SUPER:
                return principal.is_super_user
            case Access.DOMAIN | Access.USER:
                reseller = await self._reseller_of(domain, principal)
                if not principal.may_know_of(domain, reseller=reseller):
                    raise no_such_domain(domain)
                if access is Access.USER:
                    return principal.rules_user(domain, user, reseller=reseller)
                return principal.rules_domain(domain, reseller=reseller)
        assert_never(access)

    async def _reseller_of(self, domain: str, principal: Principal) -> str:
        """Return whose `domain` is, where that makes a difference to `principal`."""
        if principal.is_super_user or not principal.rules_reseller(ANY):
            return ""
        record = await self._store.domain(domain)
        return record.reseller if record else ""


def _tell(scope: HttpScope, counted: Counted) -> None:
    """Let the answer tell what is left of the rate limits, and refuse when nothing is."""
    passage_of(scope).headers = counted.headers
    if counted.refusal is not None:
        raise counted.refusal


def bearer(scope: HttpScope) -> str:
    """Return the request's token.

    Raises:
        CallError: there is none.
    """
    text = header(scope, b"authorization").decode("latin-1")
    scheme, _, token = text.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unauthenticated("no-token", "an Authorization header with a Bearer token is required")
    return token.strip()


def client_address(scope: HttpScope) -> str:
    """Return the address that the request came from, empty where the transport has none."""
    client = scope.get("client")
    return client[0] if client else ""


def _expand(params: dict[str, str], principal: Principal) -> tuple[str, str]:
    faults: list[Fault] = []
    domain = params.get("domain", "")
    user = params.get("user", "")
    if "domain" in params:
        domain = _own("domain", principal.domain, faults) if domain == SELF else domain
        if not faults and not names.DOMAIN.fullmatch(domain):
            faults.append(_bad_name("domain", domain, "1 to 64 letters, digits and . _ -, or ~ for your own"))
    if "user" in params:
        own = user == SELF
        user = _own("user", principal.user, faults) if own else user
        if not own and not names.USER.fullmatch(user):
            faults.append(_bad_name("user", user, "1 to 16 letters, digits and . _ -, or ~ for your own"))
    if faults:
        raise invalid(faults)
    return domain, user


def _own(field: str, value: str, faults: list[Fault]) -> str:
    if value == ANY:
        message = f"is ~, but this token belongs to no {field}; name one"
        faults.append(Fault(field, f"token-has-no-{field}", message, found=SELF, allowed=f"a {field}"))
    return value


def _bad_name(field: str, found: str, allowed: str) -> Fault:
    if names.CONTROL.search(found):
        return Fault(field, "control-character", "holds a control character", found=shown(found), allowed=allowed)
    return Fault(field, "bad-name", f"is no {field} name", found=shown(found), allowed=allowed)
