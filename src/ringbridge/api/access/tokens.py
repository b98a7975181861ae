"""Logging in: `POST /tokens`, its legacy path, and JWTs (contract §2)."""

from __future__ import annotations

import dataclasses
from typing import Final

import msgspec

from ringbridge.api.access.auth import Gate, bearer, client_address
from ringbridge.api.directory.synchronous import written_answer
from ringbridge.api.document.operations import Access, Operation, Reply, Schema
from ringbridge.api.http.answers import Accepted, Answer, json_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.access.logins import Grant
from ringbridge.calls.access.tokens import Holder
from ringbridge.model import names
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.tokens import AccessTokenView, JwtView, access_token_view, jwt_view
from ringbridge.model.wire import shown

TOKENS: Final = "/ns-api/v2/tokens"
LEGACY_TOKENS: Final = "/ns-api/oauth2/token"
JWT: Final = "/ns-api/v2/jwt"
GRANT_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "password": ("username", "password"),
    "refresh_token": ("refresh_token",),
    "mfa": ("username", "password", "passcode", "access_token"),
}
"""Types of grant, and what each needs beside the client."""
ID_TYPES: Final = ("subscriber", "level1")
MAX_FIELD: Final = 4096
LOGIN_REFUSALS: Final = (401, 403, 429, 503)

_TEXT: Final[Schema] = {"type": "string", "maxLength": MAX_FIELD}
GRANT_PROPERTIES: Final[Schema] = {
    "grant_type": {"type": "string", "enum": list(GRANT_FIELDS), "default": "password"},
    "client_id": _TEXT | {"minLength": 1},
    "client_secret": _TEXT | {"description": "A public client has none."},
    "username": _TEXT | {"description": "`user@domain`, or the user's `login-username`."},
    "password": _TEXT | {"format": "password"},
    "refresh_token": _TEXT | {"description": "For `refresh_token`: good once."},
    "passcode": _TEXT | {"description": "For `mfa`: the authenticator's code, or a backup code."},
    "access_token": _TEXT | {"description": "For `mfa`: the token of scope `mfa_required`."},
    "mfa_type": _TEXT | {"default": "authenticator"},
    "mfa_vendor": _TEXT | {"default": "google"},
    "ns_id_type": {"type": "string", "enum": list(ID_TYPES), "default": "subscriber"},
}
GRANT_SCHEMA: Final[Schema] = {
    "title": "AuthRequest",
    "type": "object",
    "description": "`password` needs username and password; `refresh_token` the refresh token; `mfa` username, "
    "password, passcode and access token.",
    "required": ["grant_type", "client_id"],
    "properties": GRANT_PROPERTIES,
}
JWT_REQUEST_SCHEMA: Final[Schema] = {
    "title": "JwtRequest",
    "type": "object",
    "description": "A login as of `/tokens`; or `user` and `domain`, with a token that rules over that user.",
    "properties": GRANT_PROPERTIES | {"user": _TEXT, "domain": _TEXT},
}
GRANT_EXAMPLE: Final[Schema] = {
    "grant_type": "password",
    "client_id": "ringbridge",
    "client_secret": "",
    "username": "1001@demo",
    "password": "correct horse battery",
}


class JwtAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Schema `JwtRequestSuccess`; the next refresh token where one was used."""

    token: str
    refresh_token: str = ""


def _text(body: dict[str, object], name: str, faults: list[Fault]) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if isinstance(value, bool | list | dict) or len(str(value)) > MAX_FIELD or names.CONTROL.search(str(value)):
        faults.append(Fault(name, "bad-value", f"must be text of at most {MAX_FIELD} characters"))
        return ""
    return str(value)


def read_grant(body: dict[str, object], *, also: tuple[str, ...] = ()) -> Grant:
    """Return the login that a body asks for. What is wrong with a secret is said without repeating it.

    Fields that change nothing, and `also`, are held to the document too.

    Raises:
        CallError: it has faults; all are named.
    """
    faults: list[Fault] = []
    fields = {one.name: _text(body, one.name, faults) for one in msgspec.structs.fields(Grant)}
    for name in ("mfa_type", "mfa_vendor", *also):
        _text(body, name, faults)
    id_type = _text(body, "ns_id_type", faults)
    if id_type not in ("", *ID_TYPES):
        allowed = ", ".join(ID_TYPES)
        faults.append(Fault("ns_id_type", "not-one-of", f"must be one of {allowed}", shown(id_type), allowed))
    grant_type = fields["grant_type"] or "password"
    if grant_type not in GRANT_FIELDS:
        allowed = ", ".join(GRANT_FIELDS)
        faults.append(Fault("grant_type", "not-one-of", f"must be one of {allowed}", shown(grant_type), allowed))
    faulty = {fault.field for fault in faults}
    faults += [
        Fault(name, "missing", "is required")
        for name in ("client_id", *GRANT_FIELDS.get(grant_type, ()))
        if not fields[name] and name not in faulty
    ]
    if faults:
        raise invalid(faults)
    return Grant(**fields | {"grant_type": grant_type})


class TokenHandlers:
    """Handlers of logins and JWTs."""

    def __init__(self, parts: ApiParts, gate: Gate) -> None:
        self._parts = parts
        self._accounts = parts.accounts
        self._gate = gate

    async def log_in(self, request: Request) -> Answer:
        """Turn a user's password, refresh token or second factor into tokens."""
        grant = read_grant(await request.fields(limit=self._parts.settings.body_limit))
        login = await self._accounts.logins.login(grant, address=client_address(request.scope), refreshable=True)
        return json_answer(
            access_token_view(
                login.claims,
                user=login.user,
                domain=login.domain,
                token=login.token,
                refresh_token=login.refresh_token,
                version=self._parts.settings.version,
            )
        )

    async def make_jwt(self, request: Request) -> Answer:
        """Make a JWT by login, or of another user by a token that rules over them."""
        body = await request.fields(limit=self._parts.settings.body_limit)
        if "grant_type" in body or "username" in body:
            grant = read_grant(body, also=("domain", "user"))
            login = await self._accounts.logins.login(grant, address=client_address(request.scope), refreshable=False)
            return json_answer(JwtAnswer(login.token, login.refresh_token))
        maker, _, _ = await self._gate.admit(DELEGATE, request.scope)
        faults: list[Fault] = []
        place = {name: _text(body, name, faults) for name in ("domain", "user")}
        for name, pattern in (("domain", names.DOMAIN), ("user", names.USER)):
            if not pattern.fullmatch(place[name]):
                faults.append(Fault(name, "bad-name", f"must name a {name}", found=shown(place[name])))
        if faults:
            raise invalid(faults)
        login = await self._accounts.logins.delegate(maker, domain=place["domain"], user=place["user"])
        return json_answer(JwtAnswer(login.token))

    async def read_jwt(self, request: Request) -> Answer:
        """Read what the token in use says."""
        held = await self._held(request)
        version = self._parts.settings.version
        return json_answer(jwt_view(held.claims, user=held.user, domain=held.domain, version=version))

    async def revoke_own(self, request: Request) -> Answer:
        """Void the token in use, and the login that it belongs to."""
        claims = (await self._held(request)).claims
        if claims.sid:
            return await written_answer(self._parts, await self._accounts.logins.end(claims.sid))
        sequence = await self._accounts.tokens.revoke(claims.jti, request.principal)
        return await written_answer(self._parts, sequence)

    async def revoke(self, request: Request) -> Answer:
        """Void a token by its `jti`, or every token of a user by `user@domain`."""
        name = request.params["jti"]
        if not names.CALL_ID.fullmatch(name):
            raise invalid([Fault("jti", "bad-name", "is neither a jti nor user@domain", found=shown(name))])
        user, at, domain = name.rpartition("@")
        if not at:
            sequence = await self._accounts.tokens.revoke(name, request.principal)
            return await written_answer(self._parts, sequence)
        record = await self._parts.store.domain(domain)
        known = await self._parts.store.user(domain, user)
        reseller = record.reseller if record else ""
        if known is None or not request.principal.rules_user(domain, user, reseller=reseller):
            raise CallError(Refusal.NOT_FOUND, "no-such-user", f"no user {shown(name)}")
        return await written_answer(self._parts, await self._accounts.credentials.end_logins(domain, user))

    async def _held(self, request: Request) -> Holder:
        held = await self._accounts.tokens.holder(bearer(request.scope))
        if held is None:
            raise invalid([Fault("authorization", "no-jwt", "is an API key; this takes a JWT or an access token")])
        return held


def operations(handlers: TokenHandlers) -> list[Operation]:
    """Return the operations of logins and JWTs."""
    accepted = Reply(202, "Accepted.", Accepted)
    tokens = Operation(
        name="log-in",
        method="POST",
        path=TOKENS,
        access=Access.LOGIN,
        handle=handlers.log_in,
        tag="Tokens",
        summary="Log in, refresh a login, or finish it with a second factor",
        description="Where a second factor is asked for, the answer's `scope` is `mfa_required`, and its token is good "
        "for the grant `mfa` alone. A refresh token is good once. Clients also send fields in the query, and are "
        "answered; secrets are better off in the body, as URLs are logged on their way.",
        form=True,
        body=GRANT_SCHEMA,
        body_example=GRANT_EXAMPLE,
        replies=(Reply(200, "The tokens.", AccessTokenView),),
        refusals=LOGIN_REFUSALS,
    )
    return [
        tokens,
        dataclasses.replace(
            tokens, name="log-in-legacy", path=LEGACY_TOKENS, summary="As `POST /ns-api/v2/tokens`, for older clients"
        ),
        Operation(
            name="make-jwt",
            method="POST",
            path=JWT,
            access=Access.LOGIN,
            handle=handlers.make_jwt,
            tag="Tokens",
            summary="Make a JWT by login, or of a user whom the token rules over",
            description="A delegated JWT reaches no further than the token that made it, and ends with it.",
            form=True,
            body=JWT_REQUEST_SCHEMA,
            body_example=GRANT_EXAMPLE,
            replies=(Reply(200, "The JWT.", JwtAnswer),),
            refusals=(*LOGIN_REFUSALS, 404),
        ),
        Operation(
            name="read-jwt",
            method="GET",
            path=JWT,
            access=Access.TOKEN,
            handle=handlers.read_jwt,
            tag="Tokens",
            summary="Read what the JWT in use says",
            replies=(Reply(200, "Its claims.", JwtView),),
            refusals=(400,),
        ),
        Operation(
            name="revoke-own-jwt",
            method="DELETE",
            path=JWT,
            access=Access.TOKEN,
            handle=handlers.revoke_own,
            tag="Tokens",
            summary="Revoke the token in use, and log out",
            replies=(accepted,),
            refusals=(400, 503),
        ),
        Operation(
            name="revoke-jwt",
            method="DELETE",
            path=JWT + "/{jti}",
            access=Access.TOKEN,
            handle=handlers.revoke,
            tag="Tokens",
            summary="Revoke a JWT by its `jti`, or all of a user by `user@domain`",
            description="A `jti` is void so far as the token in use rules over its user; whether there is one is not "
            "told.",
            replies=(accepted,),
            refusals=(503,),
        ),
    ]


async def _never(_: Request) -> Answer:
    raise AssertionError("only asked whether it may")


DELEGATE: Final = Operation(
    name="delegate",
    method="POST",
    path=JWT,
    access=Access.TOKEN,
    handle=_never,
    tag="Tokens",
    summary="Make a JWT of a user whom the token rules over",
    replies=(),
)
"""What the gate is asked about a delegation: it comes in where logins do."""
