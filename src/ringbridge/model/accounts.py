"""Who may log in, and with what: records of the directory that hold secrets. None of them is ever told or exported.

They are records of their own, apart from `User`, so that no list, export or change of users can touch a secret.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

Key: TypeAlias = tuple[str, ...]
NO_DOMAIN = "*"
"""What belongs to no domain."""


class Credential(
    msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="credential", tag_field="kind", kw_only=True
):
    """How a user proves who they are.

    It outlives its user: `epoch` goes up with every change of the password and every revocation, and a token of an
    earlier epoch is void. No clock is asked, and a user who is made again under the same name revives no old token.
    """

    domain: str
    user: str
    epoch: int = 0
    password_hash: str = ""
    """Argon2id, as PHC string; empty: nobody can log in."""
    totp_secret: str = ""
    """Base32 (RFC 6238); empty: no second factor."""
    totp_confirmed: bool = False
    """Whether the second factor was shown to work; before that it is not asked for."""
    totp_step: int = 0
    """The time step of the last code that was taken: it is not taken twice (RFC 6238 §5.2)."""
    backup_sha256: tuple[str, ...] = ()
    """Hashes of the backup codes that are left."""

    @property
    def key(self) -> Key:
        return (self.domain, self.user)

    @property
    def asks_second_factor(self) -> bool:
        return bool(self.totp_secret) and self.totp_confirmed


class LoginSession(
    msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="loginsession", tag_field="kind", kw_only=True
):
    """One login that can be refreshed; its refresh token of `generation` is the one that is good.

    One that was used before comes from a thief or from its robbed owner: the session ends for both (RFC 9700 §4.14.2).
    """

    session_id: str
    domain: str
    user: str
    client_id: str
    generation: int = 0
    rotated_at: float = 0.0
    expires_at: float = 0.0

    @property
    def key(self) -> Key:
        return (self.session_id,)


class OAuthClient(
    msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="oauthclient", tag_field="kind", kw_only=True
):
    """A program that may log users in, with its secret's hash: 285 random bits, so that a quick one is enough."""

    client_id: str
    secret_sha256: str
    description: str = ""
    created_at: float = 0.0

    @property
    def domain(self) -> str:
        return NO_DOMAIN

    @property
    def key(self) -> Key:
        return (self.client_id,)


class SigningKey(
    msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="signingkey", tag_field="kind", kw_only=True
):
    """What the cluster signs tokens with (HMAC-SHA-256); `number` is the `kid`, made once by create-if-absent."""

    number: int
    secret: str
    created_at: float

    @property
    def domain(self) -> str:
        return NO_DOMAIN

    @property
    def key(self) -> Key:
        return (str(self.number),)


class Revocation(
    msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="revocation", tag_field="kind", kw_only=True
):
    """A token or session that is void, for tokens that lie within `reach` of whoever said so (`model.tokens`)."""

    name: str
    reach: str
    expires_at: float
    """When nothing is left that it could concern."""

    @property
    def domain(self) -> str:
        return NO_DOMAIN

    @property
    def key(self) -> Key:
        return (self.name, self.reach)


class KeyUse(
    msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="keyuse", tag_field="kind", kw_only=True
):
    """When an API key was last used; apart from the key, so that using one changes no key."""

    key_id: str
    used_at: float

    @property
    def domain(self) -> str:
        return NO_DOMAIN

    @property
    def key(self) -> Key:
        return (self.key_id,)


Account: TypeAlias = Credential | LoginSession | OAuthClient | SigningKey | Revocation | KeyUse
"""Every record of this module."""
ACCOUNT_KINDS: dict[str, type[Account]] = {
    "credential": Credential,
    "loginsession": LoginSession,
    "oauthclient": OAuthClient,
    "signingkey": SigningKey,
    "revocation": Revocation,
    "keyuse": KeyUse,
}
