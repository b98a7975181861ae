"""What the audit trail holds: who changed which record, from where and when, and the names of the fields (issue 3).

Never a value: neither what stood there nor what stands there now, so that no secret and no personal datum outlives
its record here.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

Action: TypeAlias = Literal["create", "update", "delete"]

NOT_RECORDED: Final = frozenset({"audit", "keyuse", "loginsession", "signingkey"})
"""Kinds that the program writes for itself: that a key was used, that somebody is logged in, what tokens are signed
with. The trail itself is not in the trail."""
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
    """Wire names of what an update changed."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.id,)


def entry_id(at: float, unique: str) -> str:
    """Return the name of an entry: in the order of names, the newest comes first."""
    return f"{LATEST_MS - int(at * 1000):014d}-{unique}"


def id_before(at: float) -> str:
    """Return what is below the name of every entry at or before `at`, and above every later one."""
    return f"{LATEST_MS - int(at * 1000):014d}"
