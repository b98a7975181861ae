"""What the audit trail holds: who changed which record, from where and when, and the names of the fields (issue 3).

Never a value: neither what stood there nor what stands there now, so that no secret and no personal datum outlives
its record here.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

Action: TypeAlias = Literal["create", "update", "delete"]

NOT_RECORDED: Final = frozenset({"audit", "connectionstate", "keyuse", "loginsession", "signingkey"})
"""Kinds that the program writes for itself: how a connection is, that a key was used, that somebody is logged in, what
tokens are signed with. The trail itself is not in the trail."""
CALL: Final = "call"
"""The kind of what is no record: an order to a call, which its own events tell in full."""
FILTERS: Final = ("by-key-id", "by-domain", "by-user", "user", "object")
"""What lists of the trail can be narrowed by: who did it, whose the record is, and its name."""
ANYBODY: Final = "*"
LATEST_MS: Final = 10**14
"""Beyond any time: keys count down from it, so that the newest entry comes first."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes something, and from where."""

    key_id: str = ""
    domain: str = "*"
    user: str = "*"
    address: str = ""
    user_agent: str = ""
    request_id: str = ""
    operation: str = ""


class AuditEntry(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True, tag="audit", tag_field="kind"):
    """One change of one record of the directory. `domain` is the record's, `*` where it belongs to none."""

    id: str
    at: float
    """Epoch seconds."""
    action: Action
    of: str
    """The kind of the record."""
    of_key: tuple[str, ...]
    domain: str
    by: Actor
    fields: tuple[str, ...] = ()
    """Wire names of what an update changed; of an order to a call, the order."""
    of_user: str = ""
    """The user that the record is or belongs to."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.id,)


def terms_of_entry(entry: AuditEntry) -> tuple[tuple[str, str], ...]:
    """Return what the trail can be narrowed by, by the names of `FILTERS`."""
    by = entry.by
    found = zip(FILTERS, (by.key_id, by.domain, by.user, entry.of_user, entry.of_key[-1]), strict=True)
    return tuple((name, text) for name, text in found if text not in ("", ANYBODY))


def order_entry_fields(order: str) -> tuple[Action, tuple[str, ...]]:
    """Return how an order to a call is told: what it does to it, and which it is."""
    return ("delete" if order == "end" else "update"), (order,)


def entry_id(at: float, unique: str) -> str:
    """Return the name of an entry: in the order of names, the newest comes first."""
    return f"{_count_down(at):014d}-{unique}"


def ids_between(since: float | None, until: float | None) -> tuple[str, str]:
    """Return the names between which all entries from `since` to `until` are, to the millisecond; None: no bound."""
    first = "" if until is None else f"{_count_down(until):014d}"
    behind = "~" if since is None else f"{_count_down(since) + 1:014d}"
    return first, behind


def _count_down(at: float) -> int:
    return max(0, min(LATEST_MS, LATEST_MS - int(at * 1000)))
