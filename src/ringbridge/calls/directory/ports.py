"""What the brain reads of the directory, as Protocols: the part of the store that is this node's copy of it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from ringbridge.model.dial_plan import DialPlan
from ringbridge.model.directory import (
    ApiKey,
    Connection,
    Device,
    DialRule,
    Domain,
    Location,
    PhoneNumber,
    Record,
    Subscription,
    User,
)


class RecordQuery(msgspec.Struct, frozen=True):
    """Which records of a kind: of a domain, of a parent (a device's user, a rule's plan), of a reseller's domains.

    A filter is a searched field and what it must be, in lower case; with a `*` at the end, what it must begin with.
    """

    kind: str
    domain: str | None = None
    parent: str | None = None
    reseller: str | None = None
    filters: tuple[tuple[str, str], ...] = ()
    between: tuple[str, str] | None = None
    """Of kinds whose key is one name: from the first of these on, up to the second without it."""


class Directory(Protocol):
    """Directory reads, from the local replica alone."""

    async def domain(self, domain: str) -> Domain | None: ...
    async def user(self, domain: str, user: str) -> User | None: ...
    async def device(self, domain: str, device: str) -> Device | None: ...
    async def devices_of(self, domain: str, user: str) -> list[Device]: ...
    async def locations(self, domain: str, device: str) -> list[Location]:
        """Return the unexpired locations of a device, best `q` first, then newest."""
        ...

    async def all_locations(self, domain: str | None) -> list[Location]:
        """Return the unexpired locations of a domain, or of all."""
        ...

    async def phone_number(self, domain: str, number: str) -> PhoneNumber | None: ...
    async def phone_numbers(self, domain: str) -> list[PhoneNumber]: ...
    async def dial_rules(self, domain: str, dial_plan: str) -> list[DialRule]: ...
    async def dial_plan(self, domain: str, dial_plan: str) -> DialPlan:
        """Return a dial plan made ready for choosing; without rules where there is none of that name."""
        ...

    async def connection(self, domain: str, pattern: str) -> Connection | None: ...
    async def api_key(self, key_id: str) -> ApiKey | None: ...
    async def users_by_login(self, login_username: str) -> list[User]:
        """Return the users of this `login-username`, whatever its case: one at most, but for what was before that."""
        ...

    async def subscription(self, subscription_id: str) -> Subscription | None: ...
    async def record(self, kind: str, key: tuple[str, ...]) -> Record | None: ...
    async def records(self, kind: str, domain: str | None = None) -> list[Record]:
        """Return all records of a kind, of one domain or of all, ordered by key."""
        ...

    async def record_page(self, wanted: RecordQuery, *, start: int = 1, limit: int = 100) -> list[Record]:
        """Return part of what is `wanted`, by key; where the first filter ends in `*`, by its field before that.

        The audit trail is by key whatever it is narrowed by: newest first.
        """
        ...

    async def count_records(self, wanted: RecordQuery) -> int: ...

    async def count_by_parent(self, kind: str, domain: str) -> dict[str, int]:
        """Return how many records of a kind each parent in a domain has, ordered by parent."""
        ...
