"""Who asks, and what that token may see and do (contract §2). One place decides; `api.auth` and `calls.place` ask here.

A token's reach is the narrower of two things: what it was made for (everything, a reseller, a domain, a user) and what
its scope allows. A domain's key with a scope below Office Manager therefore rules nothing but what it names.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

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

    @property
    def is_super_user(self) -> bool:
        return self.domain == ANY and self.reseller == ANY and self.scope is Scope.SUPER_USER

    def rules_domain(self, domain: str, *, reseller: str = "") -> bool:
        """Return whether it may act for the whole of `domain`, which belongs to `reseller`."""
        if self.user != ANY:
            return False
        if self.domain != ANY:
            return self.domain == domain and self.scope.reaches(Scope.OFFICE_MANAGER)
        if self.reseller != ANY:
            return self.reseller == reseller and self.scope.reaches(Scope.RESELLER)
        return self.scope is Scope.SUPER_USER

    def rules_user(self, domain: str, user: str, *, reseller: str = "") -> bool:
        """Return whether it may act for `user` of `domain`."""
        if self.user == ANY:
            return self.rules_domain(domain, reseller=reseller)
        return (self.domain, self.user) == (domain, user) and self.scope.reaches(Scope.BASIC_USER)

    def may_know_of(self, domain: str, *, reseller: str = "") -> bool:
        """Return whether `domain` is its own tenant at all: a refusal there is 403, elsewhere 404 (contract §1)."""
        if self.domain != ANY:
            return self.domain == domain
        return self.reseller in (ANY, reseller)

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
    )
