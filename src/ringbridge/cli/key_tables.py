"""API keys as the terminal shows them."""

from __future__ import annotations

from typing import Final

from ringbridge.cli.tables import Column, Item, field, local_time, moment, text_of, write_fields
from ringbridge.cli.terminal import Terminal


def whose(key: Item) -> str:
    """Return what a key reaches, in a few words."""
    domain, user, reseller = (text_of(key, name) for name in ("domain", "user", "reseller"))
    if domain == "*":
        return "everything" if reseller == "*" else f"reseller {reseller}"
    return domain if user == "*" else f"{user}@{domain}"


def write_key(terminal: Terminal, key: Item) -> None:
    """Write what a key is for and how far it reaches."""
    write_fields(
        terminal,
        [
            ("key-id", text_of(key, "key-id")),
            ("for", text_of(key, "description")),
            ("reaches", whose(key)),
            ("scope", text_of(key, "user-scope")),
            ("may", _may(key)),
            ("models", text_of(key, "allowed-models") or "all"),
            ("from", text_of(key, "ip-address") or "anywhere"),
            ("made", local_time(text_of(key, "created-datetime"))),
            ("last used", local_time(text_of(key, "lastused-datetime")) or "never"),
            ("expires", local_time(text_of(key, "expires-datetime")) or "never"),
        ],
    )


def _may(key: Item) -> str:
    what = "only read" if text_of(key, "readonly") == "yes" else "read and write"
    return f"{what}, and make keys" if text_of(key, "can-create-keys") == "yes" else what


COLUMNS: Final = (
    field("KEY-ID", "key-id"),
    Column("REACHES", whose),
    field("SCOPE", "user-scope"),
    Column("MAY", _may),
    moment("LAST USED", "lastused-datetime"),
    moment("EXPIRES", "expires-datetime"),
    field("FROM", "ip-address"),
    field("DESCRIPTION", "description"),
)
