"""Logins: a user's password, and perhaps a second factor, become tokens (contract §2, RFC 6749, RFC 9700).

Whatever is wrong with a user name, a password or a code, the answer and its time are the same. A refresh token is good
once: used again it ends its login, except in the moments after it was used, when it is a repetition of a request whose
answer was lost, and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from ringbridge.calls.access.credentials import Credentials
from ringbridge.calls.access.passwords import Passwords
from ringbridge.calls.access.signing import Signer
from ringbridge.calls.access.standing import not_active
from ringbridge.calls.access.throttle import LoginThrottle
from ringbridge.calls.access.tokens import Holder, Tokens
from ringbridge.calls.ports import Bus, Clock, Store
from ringbridge.model import names
from ringbridge.model.access import SCOPES, Principal, Scope, least
from ringbridge.model.accounts import Credential, LoginSession, OAuthClient
from ringbridge.model.directory import Domain, User
from ringbridge.model.errors import CallError, Conflict, Refusal
from ringbridge.model.keys import hash_of, matches
from ringbridge.model.second_factor import with_code_taken
from ringbridge.model.tokens import Claims, Use, actor_of, uid_of

log = structlog.get_logger(__name__)

ID_LENGTH: Final = 32
"""Letters and digits of a token's name: 190 bits."""


class LoginSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long what lasts, in seconds, and who may log users in."""

    access_s: int = 3600
    """Life of an access token, as the API's clients expect it."""
    jwt_s: int = 86_400
    """Life of a JWT, likewise."""
    refresh_s: int = 30 * 86_400
    """Life of a login that is refreshed all the time; at most `signing.LONGEST_LIFE_S`."""
    second_factor_s: int = 300
    """How long the code may take."""
    refresh_again_s: float = 10.0
    """For how long a refresh token that was used may be used again, and gets the same answer."""
    issuer: str = "ringbridge"
    public_client: str = "ringbridge"
    """A `client_id` that needs no secret; empty: only registered clients."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A login as it was asked for; what the type of grant does not need is empty."""

    grant_type: str
    client_id: str
    client_secret: str
    username: str = ""
    password: str = ""
    refresh_token: str = ""
    passcode: str = ""
    access_token: str = ""


class Login(msgspec.Struct, frozen=True):
    """A login that succeeded, or that waits for the second factor (`claims.use`)."""

    claims: Claims
    user: User
    domain: Domain
    token: str
    refresh_token: str = ""


def _refused(code: str, message: str) -> CallError:
    return CallError(Refusal.UNAUTHENTICATED, code, message)


def _bad_login() -> CallError:
    return _refused("bad-login", "the user name, the password or the code is wrong")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginParts:
    """What logins are made with; `random_part` gives 48 unpredictable letters and digits each time."""

    store: Store
    bus: Bus
    clock: Clock
    random_part: Callable[[], str]
    passwords: Passwords
    credentials: Credentials
    signer: Signer
    tokens: Tokens
    throttle: LoginThrottle
    settings: LoginSettings


class Logins:
    """Makes tokens."""

    def __init__(self, parts: LoginParts) -> None:
        self._store = parts.store
        self._bus = parts.bus
        self._clock = parts.clock
        self._random_part = parts.random_part
        self._passwords = parts.passwords
        self._credentials = parts.credentials
        self._signer = parts.signer
        self._tokens = parts.tokens
        self._settings = parts.settings
        self._throttle = parts.throttle

    async def login(self, grant: Grant, *, address: str, refreshable: bool) -> Login:
        """Return the login that `grant` asks for; `refreshable` gives it a refresh token and a shorter life.

        Raises:
            CallError: 401 for a client, user, password, code or token that is not good; 403 for an account that is not
                active, to who knows its password; 429 after too many; 503.
        """
        await self._check_client(grant)
        if grant.grant_type == "refresh_token":
            return await self._refresh(grant)
        user, domain = await self._find(grant.username)
        # Whoever has two names is guessed at once by both of them.
        account = grant.username.lower()[:128] if user is None else uid_of(user)
        async with self._throttle.attempt(account, address):
            user, domain, credential = await self._proven(grant, user, domain)
        if credential.asks_second_factor and grant.grant_type != "mfa":
            claims = self._claims(user, grant.client_id, credential.epoch, self._settings.second_factor_s)
            claims = msgspec.structs.replace(claims, use=Use.SECOND_FACTOR)
            return Login(claims, user, domain, await self._signer.sign(claims))
        return await self._begin(user, domain, credential.epoch, grant.client_id, refreshable=refreshable)

    async def _proven(self, grant: Grant, user: User | None, domain: Domain | None) -> tuple[User, Domain, Credential]:
        """Return whose password, and code, `grant` has."""
        credential = Credential(domain="", user="") if user is None else await self._of(user)
        is_right = await self._passwords.matches(grant.password, credential.password_hash)
        if not is_right or user is None or domain is None:
            log.info("login_refused")
            raise _bad_login()
        if not user.is_active:
            raise not_active(user, Refusal.FORBIDDEN)
        if grant.grant_type == "mfa":
            credential = await self._second_factor(grant, user)
        return user, domain, credential

    async def _begin(self, user: User, domain: Domain, epoch: int, client_id: str, *, refreshable: bool) -> Login:
        if not refreshable:
            claims = self._claims(user, client_id, epoch, self._settings.jwt_s)
            return Login(claims, user, domain, await self._signer.sign(claims))
        now = self._clock.now()
        session = LoginSession(
            session_id=self._name(),
            domain=user.domain,
            user=user.user,
            client_id=client_id,
            rotated_at=now,
            expires_at=now + self._settings.refresh_s,
        )
        await self._bus.put_record(session, only_new=True)
        return await self._tokens_of(session, user, domain, epoch)

    async def _tokens_of(self, session: LoginSession, user: User, domain: Domain, epoch: int) -> Login:
        claims = self._claims(user, session.client_id, epoch, self._settings.access_s)
        claims = msgspec.structs.replace(claims, sid=session.session_id)
        refresh = msgspec.structs.replace(
            claims,
            use=Use.REFRESH,
            jti=f"{session.session_id}.{session.generation}",
            generation=session.generation,
            iat=int(session.rotated_at),
            exp=int(session.expires_at),
        )
        token, refresh_token = await self._signer.sign(claims), await self._signer.sign(refresh)
        return Login(claims, user, domain, token, refresh_token)

    async def _refresh(self, grant: Grant) -> Login:
        held = await self._tokens.holder(grant.refresh_token, use=Use.REFRESH)
        if held is None or held.claims.client_id != grant.client_id:
            raise _refused("bad-refresh-token", "the refresh token is not valid")
        for _ in range(3):
            stored = await self._bus.read_record("loginsession", (held.claims.sid,))
            if stored is None or not isinstance(stored.record, LoginSession):
                raise _refused("bad-refresh-token", "the refresh token is not valid")
            session = stored.record
            if held.claims.generation != session.generation:
                return await self._again(session, held)
            now = self._clock.now()
            after = msgspec.structs.replace(session, generation=session.generation + 1, rotated_at=now)
            try:
                await self._bus.put_record(after, revision=stored.revision)
            except Conflict:
                continue  # somebody uses the same token at this moment: see what became of it
            return await self._tokens_of(after, held.user, held.domain, held.claims.epoch)
        raise _refused("bad-refresh-token", "the refresh token is not valid")

    async def _again(self, session: LoginSession, held: Holder) -> Login:
        is_repetition = (
            held.claims.generation == session.generation - 1
            and self._clock.now() <= session.rotated_at + self._settings.refresh_again_s
        )
        if is_repetition:
            return await self._tokens_of(session, held.user, held.domain, held.claims.epoch)
        log.warning("refresh_token_reused", domain=session.domain, user=session.user)
        await self.end(session.session_id)
        raise _refused("refresh-token-reused", "the refresh token was used before; this login is over")

    async def end(self, session_id: str) -> int:
        """End a login: its refresh token and what was made with it are void."""
        sequence = await self._bus.delete_record("loginsession", (session_id,))
        return max(sequence, await self._tokens.revoke_wholly(session_id))

    async def delegate(self, maker: Principal, *, domain: str, user: str) -> Login:
        """Return a JWT of another user, for a token that rules over that user; it reaches no further than `maker`.

        Raises:
            CallError: no such user, or not the maker's to act for (404 and 403, as everywhere); an account that is not
                active (403).
        """
        if maker.is_delegated:
            raise CallError(Refusal.FORBIDDEN, "delegated-token", "a delegated token makes no further one")
        record = await self._store.domain(domain)
        reseller = record.reseller if record else ""
        found = await self._store.user(domain, user)
        if record is None or not maker.may_know_of(domain, reseller=reseller):
            raise CallError(Refusal.NOT_FOUND, "no-such-domain", f"no domain {domain}")
        if not maker.rules_user(domain, user, reseller=reseller):
            raise CallError(Refusal.FORBIDDEN, "not-allowed", f"this token may not act for user {user}")
        if found is None:
            raise CallError(Refusal.NOT_FOUND, "no-such-user", f"no user {user} in domain {domain}")
        if not found.is_active:
            raise not_active(found, Refusal.FORBIDDEN)
        claims = self._claims(found, "", (await self._credentials.ensure(domain, user)).epoch, self._settings.jwt_s)
        claims = msgspec.structs.replace(
            claims,
            exp=min(claims.exp, int(maker.expires_at or claims.exp)),
            user_scope=least(maker.ceiling, SCOPES[claims.user_scope]).wire,
            readonly=maker.readonly,
            ip_address=",".join(str(network) for network in maker.networks),
            allowed_models=tuple(sorted(maker.allowed_models)),
            act=actor_of(maker),
        )
        return Login(claims, found, record, await self._signer.sign(claims))

    async def _check_client(self, grant: Grant) -> None:
        if grant.client_id and grant.client_id == self._settings.public_client:
            return
        client = await self._store.record("oauthclient", (grant.client_id,))
        expected = client.secret_sha256 if isinstance(client, OAuthClient) else hash_of("")
        if not matches(grant.client_secret, expected) or not isinstance(client, OAuthClient):
            raise _refused("bad-client", "the client_id or the client_secret is wrong")

    async def _find(self, username: str) -> tuple[User | None, Domain | None]:
        """Return whose name this is: `user@domain`, or a `login-username`; one that several have is nobody's."""
        name, _, domain = username.strip().rpartition("@")
        user = None
        if names.USER.fullmatch(name) and names.DOMAIN.fullmatch(domain):
            user = await self._store.user(domain, name)
        if user is None:
            found = await self._store.users_by_login(username.strip())
            user = found[0] if len(found) == 1 else None
        return user, await self._store.domain(user.domain) if user else None

    async def _of(self, user: User) -> Credential:
        return await self._credentials.of(user.domain, user.user)

    async def _second_factor(self, grant: Grant, user: User) -> Credential:
        """Take the code, which is good once; return the credential as it was then."""
        waiting = await self._tokens.holder(grant.access_token, use=Use.SECOND_FACTOR)
        if waiting is None or waiting.claims.sub != uid_of(user) or waiting.claims.client_id != grant.client_id:
            raise _bad_login()
        taken: list[Credential] = []

        def changed(before: Credential) -> Credential:
            after = with_code_taken(before, grant.passcode, self._clock.now()) if before.asks_second_factor else None
            if after is None:
                raise _bad_login()
            taken.append(after)
            return after

        await self._credentials.change(user.domain, user.user, changed)
        return taken[-1]

    def _name(self) -> str:
        return self._random_part()[:ID_LENGTH]

    def _claims(self, user: User, client_id: str, epoch: int, life_s: int) -> Claims:
        now = int(self._clock.now())
        return Claims(
            iss=self._settings.issuer,
            sub=uid_of(user),
            jti=self._name(),
            iat=now,
            exp=now + life_s,
            domain=user.domain,
            user=user.user,
            user_scope=SCOPES.get(user.user_scope, Scope.NO_PORTAL).wire,
            epoch=epoch,
            client_id=client_id,
        )
