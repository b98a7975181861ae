"""A user's password and second factor (of ours: the API that we speak leaves them to its portal)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec

from ringbridge.api.access.auth import client_address
from ringbridge.api.directory.synchronous import written_answer
from ringbridge.api.document.operations import Access, Operation, QueryField, Reply, Schema
from ringbridge.api.http.answers import Accepted, Answer, json_answer
from ringbridge.api.http.requests import Request, parse_json_object
from ringbridge.api.parts import ApiParts
from ringbridge.calls.access.second_factors import Enrolment
from ringbridge.model.access import SCOPES, Scope
from ringbridge.model.directory import User
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.handing_on import login_fault, refusal_of
from ringbridge.model.login_password import FIELD, MAX_LENGTH, MIN_LENGTH

USER: Final = "/ns-api/v2/domains/{domain}/users/{user}"
CURRENT: Final = "current-password"

PASSWORD_SCHEMA: Final[Schema] = {
    "title": "PasswordRequest",
    "type": "object",
    "required": [FIELD],
    "properties": {
        FIELD: {"type": "string", "format": "password", "minLength": MIN_LENGTH, "maxLength": MAX_LENGTH},
        CURRENT: {"type": "string", "format": "password", "description": "Needed to change one's own."},
    },
}
ENROL_SCHEMA: Final[Schema] = {
    "title": "EnrolRequest",
    "type": "object",
    "properties": {CURRENT: {"type": "string", "format": "password", "description": "Needed for one's own."}},
}
CODE_SCHEMA: Final[Schema] = {
    "title": "PasscodeRequest",
    "type": "object",
    "required": ["passcode"],
    "properties": {"passcode": {"type": "string", "maxLength": 64}},
}
CODE_EXAMPLE: Final[Schema] = {"passcode": "492039"}


class SecondFactorView(msgspec.Struct, frozen=True, rename="kebab"):
    """Whether a user is asked for a second factor."""

    enabled: str
    """`yes` or `no`."""
    backup_codes_left: int


class PasswordHandlers:
    """Handlers of passwords and second factors."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._accounts = parts.accounts

    async def set_password(self, request: Request) -> Answer:
        """Give a user a password; every login of theirs ends."""
        rules = await self._rules(request, field=FIELD)
        body = await request.json_object(limit=self._parts.settings.body_limit)
        password = _secret(body, FIELD)
        if not rules:
            await self._check_current(request, _secret(body, CURRENT))
        sequence = await self._accounts.credentials.set_password(request.domain, request.user, password)
        return await written_answer(self._parts, sequence)

    async def _check_current(self, request: Request, password: str) -> None:
        stored = (await self._accounts.credentials.of(request.domain, request.user)).password_hash
        async with self._guessing(request):
            if not await self._accounts.passwords.matches(password, stored):
                raise CallError(Refusal.FORBIDDEN, "wrong-password", f"{CURRENT} is not the current password")

    def _guessing(self, request: Request) -> AbstractAsyncContextManager[None]:
        """Let the user's secret be tried inside, as often as at a login: who has a token need not know it."""
        account = f"{request.user}@{request.domain}"
        return self._accounts.throttle.attempt(account, client_address(request.scope))

    async def read_factor(self, request: Request) -> Answer:
        """Say whether a second factor is asked for."""
        await self._user(request)
        credential = await self._accounts.credentials.of(request.domain, request.user)
        enabled = "yes" if credential.asks_second_factor else "no"
        return json_answer(SecondFactorView(enabled, len(credential.backup_sha256)))

    async def enrol(self, request: Request) -> Answer:
        """Make a secret for an authenticator, to be confirmed with a code; one's own takes the password."""
        rules = await self._rules_or_is(request)
        limit = self._parts.settings.body_limit
        if not rules:
            await self._check_current(request, _secret(await request.json_object(limit=limit), CURRENT))
        elif body := (await request.body(limit=limit)).strip():
            parse_json_object(body)  # nothing in it is asked for, but what is no JSON is refused
        enrolment, sequence = await self._accounts.second_factors.enrol(request.domain, request.user)
        await self._parts.replica.wait_directory(sequence, timeout_s=self._parts.settings.shown_wait_s)
        return json_answer(enrolment)

    async def confirm(self, request: Request) -> Answer:
        """Ask for the second factor from now on."""
        await self._rules_or_is(request)
        body = await request.json_object(limit=self._parts.settings.body_limit)
        code = _secret(body, "passcode")
        async with self._guessing(request):
            sequence = await self._accounts.second_factors.confirm(request.domain, request.user, code)
        return await written_answer(self._parts, sequence)

    async def remove(self, request: Request) -> Answer:
        """Ask for no second factor any more; one's own takes a code."""
        rules = await self._rules(request, field="mfa")
        remove = self._accounts.second_factors.remove
        if rules:
            return await written_answer(self._parts, await remove(request.domain, request.user, code=None))
        async with self._guessing(request):
            sequence = await remove(request.domain, request.user, code=request.query.get("passcode", ""))
        return await written_answer(self._parts, sequence)

    async def _user(self, request: Request) -> User:
        user = await self._parts.store.user(request.domain, request.user)
        if user is None:
            message = f"no user {request.user} in domain {request.domain}"
            raise CallError(Refusal.NOT_FOUND, "no-such-user", message)
        return user

    async def _rules(self, request: Request, *, field: str) -> bool:
        """Return whether the token rules over the user, and is not just the user's own.

        Raises:
            CallError: no such user; or one whose logins may more than the token (403): who sets their secret becomes
                them.
        """
        user = await self._user(request)
        domain = await self._parts.store.domain(request.domain)
        principal = request.principal
        is_own = (principal.domain, principal.user) == (request.domain, request.user)
        if is_own or not principal.rules_domain(request.domain, reseller=domain.reseller if domain else ""):
            return False
        fault = login_fault(principal, SCOPES.get(user.user_scope, Scope.NO_PORTAL), field=field)
        if fault is not None:
            raise refusal_of(fault)
        return True

    async def _rules_or_is(self, request: Request) -> bool:
        """Return whether the token rules over the user; else they are logged in with it themselves.

        Raises:
            CallError: as `_rules`, or it is a key of the user: a program keeps it, which could lock them out (403).
        """
        rules = await self._rules(request, field="mfa")
        if not rules and (not request.principal.is_login or request.principal.is_delegated):
            message = "a user's key sets up no second factor; their own login does, or who manages the domain"
            raise CallError(Refusal.FORBIDDEN, "key-not-allowed", message)
        return rules


def _secret(body: dict[str, object], name: str) -> str:
    """Return a secret of the body; what is wrong with it is said without repeating it."""
    value = body.get(name)
    if value is None:
        raise invalid([Fault(name, "missing", "is required")])
    if isinstance(value, bool | list | dict):
        raise invalid([Fault(name, "wrong-type", "must be text")])
    return str(value)


def operations(handlers: PasswordHandlers) -> list[Operation]:
    """Return the operations of passwords and second factors."""
    accepted = Reply(202, "Accepted.", Accepted)
    factor = USER + "/mfa"
    return [
        Operation(
            name="set-user-password",
            method="PUT",
            path=USER + "/password",
            access=Access.USER,
            handle=handlers.set_password,
            tag="Tokens",
            summary="Set a user's password",
            description="Every token of the user becomes void. Nobody can read a password back.",
            body=PASSWORD_SCHEMA,
            body_example={FIELD: "correct horse battery"},
            replies=(accepted,),
            refusals=(503,),
        ),
        Operation(
            name="read-user-mfa",
            method="GET",
            path=factor,
            access=Access.USER,
            handle=handlers.read_factor,
            tag="Tokens",
            summary="Read whether a user is asked for a second factor",
            replies=(Reply(200, "Whether.", SecondFactorView),),
        ),
        Operation(
            name="enrol-user-mfa",
            method="POST",
            path=factor,
            access=Access.USER,
            handle=handlers.enrol,
            tag="Tokens",
            summary="Make a secret for an authenticator",
            description="It is asked for once a code has confirmed it. Shown this once.",
            body=ENROL_SCHEMA,
            body_example={CURRENT: "correct horse battery"},
            body_required=False,
            replies=(Reply(200, "The secret.", Enrolment),),
            refusals=(409, 429, 503),
        ),
        Operation(
            name="confirm-user-mfa",
            method="PUT",
            path=factor,
            access=Access.USER,
            handle=handlers.confirm,
            tag="Tokens",
            summary="Ask for the second factor from now on",
            body=CODE_SCHEMA,
            body_example=CODE_EXAMPLE,
            replies=(accepted,),
            refusals=(503,),
        ),
        Operation(
            name="remove-user-mfa",
            method="DELETE",
            path=factor,
            access=Access.USER,
            handle=handlers.remove,
            tag="Tokens",
            summary="Ask a user for no second factor any more",
            query=(QueryField("passcode", "Needed to remove one's own.", {"type": "string", "maxLength": 64}),),
            replies=(accepted,),
            refusals=(503,),
        ),
    ]
