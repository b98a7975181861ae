"""Who asks, and what that token may see and do (contract §2). One place; `api.access.auth` and `calls.place` ask it.

A token's reach is the narrower of two things: what it was made for (everything, a reseller, a domain, a user) and what
its scope allows. A domain's key with a scope below Office Manager therefore rules nothing but what it names. A login
names the user who it is, and its scope alone says how far it reaches: an Office Manager's over the whole domain.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

from ringbridge.model.actors import Actor
from ringbridge.model.directory import ApiKey

ANY = "*"
"""Stands for every domain or user in a key."""

Network: TypeAlias = IPv4Network | IPv6Network


class Scope(Enum):
    """The contract's scopes with their rank; equal ranks are peers (contract §2)."""

    SUPER_USER = ("Super User", 7)
    RESELLER = ("Reseller", 6)
    OFFICE_MANAGER = ("Office Manager", 5)
    SITE_MANAGER = ("Site Manager", 4)
    CALL_CENTER_SUPERVISOR = ("Call Center Supervisor", 4)
    CALL_CENTER_AGENT = ("Call Center Agent", 3)
    ADVANCED_USER = ("Advanced User", 2)
    BASIC_USER = ("Basic User", 1)
    SIMPLE_USER = ("Simple User", 1)
    NDP = ("NDP", 0)
    NO_PORTAL = ("No Portal", 0)

    def __init__(self, wire: str, rank: int) -> None:
        self.wire = wire
        """Name on the wire."""
        self.rank = rank

    def reaches(self, other: Scope) -> bool:
        """Return whether this scope is at least `other`."""
        return self.rank >= other.rank


SCOPES: dict[str, Scope] = {scope.wire: scope for scope in Scope}
"""Scopes by their wire names."""


MODELS: dict[str, str] = {
    "domains": "domain",
    "users": "user",
    "devices": "device",
    "phonenumbers": "phonenumber",
    "dialplans": "dialplan",
    "dialrules": "dialrule",
    "connections": "connection",
    "answerrules": "answerrule",
    "calls": "call",
    "events": "call",
    "cdrs": "cdr",
    "recordings": "recording",
    "subscriptions": "subscription",
    "apikeys": "apikey",
    "tokens": "token",
    "jwt": "jwt",
    "directory": "directory",
    "audit": "audit",
    "oauth-clients": "oauthclient",
    "requests": "request",
}
"""Collections in paths, and the model by which `allowed-models` of a key names them."""
MODEL_NAMES: tuple[str, ...] = tuple(dict.fromkeys(MODELS.values()))
"""Each model once."""


def model_of(path: str) -> str:
    """Return the model that an operation's path is about: its last collection; empty when it names none."""
    named = [MODELS[segment] for segment in path.split("/") if segment in MODELS]
    return named[-1] if named else ""


def parse_models(text: str) -> frozenset[str]:
    """Return the models of an `allowed-models` rule, a comma list."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def least(one: Scope, other: Scope) -> Scope:
    """Return the narrower of two scopes: a token's is the least of its own and its user's (contract §2)."""
    return one if one.rank <= other.rank else other


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of an `ip-address` rule: a comma list of addresses and CIDR.

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


class Principal(msgspec.Struct, frozen=True):
    """Whoever holds a token: its name, what it is for, and its scope. Never the token itself."""

    key_id: str
    domain: str
    """The token's domain, or `*`."""
    user: str
    """The token's user, or `*`."""
    scope: Scope
    reseller: str = ANY
    readonly: bool = False
    can_create_keys: bool = False
    networks: tuple[Network, ...] = ()
    """Where it may be used from; empty: anywhere."""
    allowed_models: frozenset[str] = frozenset()
    """What it may be used for, by the names of `MODELS`; empty: everything."""
    expires_at: float = 0.0
    """Epoch seconds; 0: never."""
    is_login: bool = False
    """Whether `domain` and `user` say who it is (what `~` stands for), and its scope alone how far it reaches."""
    sid: str = ""
    """The login that a token belongs to."""
    epoch: int = 0
    """The state of its user's credential when a token was made (`model.accounts.Credential`)."""
    act: Actor | None = None
    """Who made it, of a delegated token; such a one makes no further one."""

    @property
    def is_delegated(self) -> bool:
        return self.act is not None

    @property
    def is_super_user(self) -> bool:
        everywhere = self.is_login or (self.domain == ANY and self.reseller == ANY)
        return everywhere and self.scope is Scope.SUPER_USER

    @property
    def is_manager(self) -> bool:
        """Whether it rules over one whole domain at least."""
        return (self.user == ANY or self.is_login) and self.scope.reaches(Scope.OFFICE_MANAGER)

    @property
    def ceiling(self) -> Scope:
        """The widest scope of a login that reaches no further than this token: what it may hand on."""
        if self.is_login:
            return self.scope
        if self.user != ANY:
            return least(self.scope, Scope.ADVANCED_USER)
        if self.domain != ANY:
            return least(self.scope, Scope.OFFICE_MANAGER)
        return self.scope if self.reseller == ANY else least(self.scope, Scope.RESELLER)

    @property
    def keys_end_at(self) -> float:
        """When the keys that it makes end at the latest, epoch seconds; 0: never. A person who logs in comes back."""
        return 0.0 if self.is_login and self.act is None else self.expires_at

    def is_expired(self, now: float) -> bool:
        return 0 < self.expires_at <= now

    def may_use(self, model: str) -> bool:
        """Return whether `allowed-models` lets it use operations of `model`."""
        return not self.allowed_models or model in self.allowed_models

    def rules_reseller(self, reseller: str) -> bool:
        """Return whether it may act for the whole of `reseller`; for `*`, whether it is any reseller's at all."""
        if self.is_super_user:
            return True
        is_one = self.is_login or (self.domain == ANY and self.user == ANY)
        if not is_one or self.reseller in ("", ANY) or not self.scope.reaches(Scope.RESELLER):
            return False
        return reseller in (ANY, self.reseller)

    def rules_domain(self, domain: str, *, reseller: str = "") -> bool:
        """Return whether it may act for the whole of `domain`, which belongs to `reseller`."""
        if self.is_super_user:
            return True
        if not self.is_login and self.user != ANY:
            return False
        if self.domain == domain and self.scope.reaches(Scope.OFFICE_MANAGER):
            return True
        return self.rules_reseller(ANY) and self._belongs_to(reseller)

    def rules_user(self, domain: str, user: str, *, reseller: str = "") -> bool:
        """Return whether it may act for `user` of `domain`."""
        if self.rules_domain(domain, reseller=reseller):
            return True
        return (self.domain, self.user) == (domain, user) and self.scope.reaches(Scope.BASIC_USER)

    def rules_key(self, key: ApiKey, *, reseller: str = "") -> bool:
        """Return whether it may see and end an API key; `reseller` is that of the key's domain."""
        if key.user != ANY:
            return self.rules_user(key.domain, key.user, reseller=reseller)
        if key.domain != ANY:
            return self.rules_domain(key.domain, reseller=reseller)
        return self.is_super_user if key.reseller == ANY else self.rules_reseller(key.reseller)

    def may_know_of(self, domain: str, *, reseller: str = "") -> bool:
        """Return whether `domain` is its own tenant at all: a refusal there is 403, elsewhere 404 (contract §1)."""
        if self.domain != ANY:
            return self.domain == domain or self.rules_domain(domain, reseller=reseller)
        return self.reseller == ANY or self._belongs_to(reseller)

    def _belongs_to(self, reseller: str) -> bool:
        """Return whether it is of `reseller`; no reseller at all is nobody's."""
        return reseller not in ("", ANY) and self.reseller == reseller

    def comes_from_allowed(self, address: str) -> bool:
        """Return whether the client's `address` satisfies the token's IP rule; an unreadable address never does."""
        if not self.networks:
            return True
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.networks)


SYSTEM = Principal("system", ANY, ANY, Scope.SUPER_USER, can_create_keys=True)
"""The program itself, as when it makes the first key; no token stands for it."""


NOBODY = Principal("", "", "", Scope.NO_PORTAL)
"""Whoever asks without a token, where none is needed."""


def principal_of(key: ApiKey, *, user_scope: str | None = None) -> Principal:
    """Return the principal of an API key; `user_scope` is the scope of the key's user, None when it has no user.

    An unknown scope permits nothing.
    """
    scope = SCOPES.get(key.user_scope, Scope.NO_PORTAL)
    if user_scope is not None:
        scope = least(scope, SCOPES.get(user_scope, Scope.NO_PORTAL))
    return Principal(
        key_id=key.key_id,
        domain=key.domain,
        user=key.user,
        scope=scope,
        reseller=key.reseller,
        readonly=key.readonly == "yes",
        can_create_keys=key.can_create_keys == "yes",
        networks=parse_networks(key.ip_address),
        allowed_models=frozenset(key.allowed_models),
        expires_at=key.expires_at,
    )
