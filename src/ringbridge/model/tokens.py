"""What is in a token of ours (contract §2): claims, whose they are, and how they are told.

Access tokens and JWTs are the same thing with different lives; a refresh token is one too, with a `use` that no gate
takes. `jti` names a token, `sid` the login that it belongs to, `epoch` the state of its user's credential.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringbridge.model.access import ANY, SCOPES, Principal, Scope, least, parse_networks
from ringbridge.model.actors import Actor
from ringbridge.model.directory import Domain, User

AUDIENCE = "ringbridge"
SKEW_S = 30
"""Seconds that the clocks of two nodes may differ."""
MFA_REQUIRED = "mfa_required"
"""The scope of a token that only the second factor makes good, as clients know it."""


class Use(StrEnum):
    """What a token is for."""

    ACCESS = "access"
    REFRESH = "refresh"
    SECOND_FACTOR = "second-factor"


class Claims(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Everything in a token. The first are schema `JwtResponse`; times are epoch seconds."""

    iss: str
    aud: str = AUDIENCE
    sub: str
    jti: str
    iat: int
    exp: int
    domain: str
    user: str
    use: Use = Use.ACCESS
    user_scope: str = ""
    epoch: int = 0
    sid: str = ""
    generation: int = 0
    client_id: str = ""
    readonly: bool = False
    ip_address: str = ""
    allowed_models: tuple[str, ...] = ()
    act: Actor | None = None
    """Who made a delegated token."""


class JwtView(msgspec.Struct, frozen=True, kw_only=True):
    """Schema `JwtResponse`."""

    aud: str
    exp: int
    iat: int
    iss: str
    jti: str
    sub: str
    time_out: int
    """The token's whole life in milliseconds."""
    domain: str
    territory: str
    user: str
    user_email: str
    user_scope: str
    display_name: str = msgspec.field(name="displayName")
    apiversion: str


class AccessTokenView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Schema `AccessToken`; `mfa_*` only where a second factor is asked for."""

    username: str
    user: str
    territory: str
    domain: str
    site: str
    group: str
    department: str
    uid: str
    login: str
    scope: str
    user_email: str
    display_name: str = msgspec.field(name="displayName")
    access_token: str
    expires_in: int
    token_type: str
    refresh_token: str
    client_id: str
    apiversion: str
    mfa_type: str = ""
    mfa_vendor: str = ""


def uid_of(user: User) -> str:
    """Return the name of a user in the whole system: `1001@demo`."""
    return f"{user.user}@{user.domain}"


def principal_of_claims(claims: Claims, *, user: User, domain: Domain) -> Principal:
    """Return who holds a token of `claims` that is good; its scope is the least of its own and its user's.

    Whoever manages a domain and is logged in, and nobody on their behalf, makes keys.
    """
    own = SCOPES.get(claims.user_scope, Scope.NO_PORTAL)
    scope = least(own, SCOPES.get(user.user_scope, Scope.NO_PORTAL))
    return Principal(
        key_id=claims.jti,
        domain=claims.domain,
        user=claims.user,
        scope=scope,
        reseller=domain.reseller,
        readonly=claims.readonly,
        can_create_keys=claims.act is None and scope.reaches(Scope.OFFICE_MANAGER),
        networks=parse_networks(claims.ip_address),
        allowed_models=frozenset(claims.allowed_models),
        expires_at=claims.exp + SKEW_S,
        is_login=True,
        sid=claims.sid,
        epoch=claims.epoch,
        act=claims.act,
    )


def actor_of(maker: Principal) -> Actor:
    """Return who acts with a token: what is made with it is good only while that is."""
    if maker.is_login:
        return Actor(sub=f"{maker.user}@{maker.domain}", jti=maker.key_id, sid=maker.sid, epoch=maker.epoch)
    return Actor(sub=maker.domain if maker.user == ANY else f"{maker.user}@{maker.domain}", key_id=maker.key_id)


def actors_of(maker: Principal) -> tuple[Actor, ...]:
    """Return all who have to stay good for what a token makes: of a delegated one its own maker too."""
    return (actor_of(maker),) if maker.act is None else (actor_of(maker), maker.act)


def reach_of(principal: Principal) -> str:
    """Return what `principal` rules over, as one word: a revocation holds for tokens within it."""
    if principal.is_super_user:
        return ANY
    if principal.rules_reseller(ANY):
        return f"reseller {principal.reseller}"
    return principal.domain if principal.is_manager else f"{principal.user}@{principal.domain}"


def reaches_over(uid: str, *, domain: str, reseller: str) -> tuple[str, ...]:
    """Return every reach that the tokens of user `uid`, in a domain of `reseller`, lie within."""
    return ANY, f"reseller {reseller}", domain, uid


def jwt_view(claims: Claims, *, user: User, domain: Domain, version: str) -> JwtView:
    """Return the claims as `GET /jwt` tells them."""
    return JwtView(
        aud=claims.aud,
        exp=claims.exp,
        iat=claims.iat,
        iss=claims.iss,
        jti=claims.jti,
        sub=claims.sub,
        time_out=(claims.exp - claims.iat) * 1000,
        domain=claims.domain,
        territory=domain.reseller,
        user=claims.user,
        user_email=user.email_address,
        user_scope=claims.user_scope,
        display_name=user.full_name,
        apiversion=version,
    )


def access_token_view(
    claims: Claims, *, user: User, domain: Domain, token: str, refresh_token: str, version: str
) -> AccessTokenView:
    """Return the answer to a login."""
    waits = claims.use is Use.SECOND_FACTOR
    return AccessTokenView(
        username=uid_of(user),
        user=user.user,
        territory=domain.reseller,
        domain=user.domain,
        site="",
        group="",
        department="",
        uid=uid_of(user),
        login=user.login_username or uid_of(user),
        scope=MFA_REQUIRED if waits else claims.user_scope,
        user_email=user.email_address,
        display_name=user.full_name,
        access_token=token,
        expires_in=claims.exp - claims.iat,
        token_type="Bearer",  # noqa: S106 - RFC 6750's name of the scheme
        refresh_token=refresh_token,
        client_id=claims.client_id,
        apiversion=version,
        mfa_type="authenticator" if waits else "",
        mfa_vendor="google" if waits else "",
    )
