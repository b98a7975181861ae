"""How a connection is just now, as the one node finds it that keeps watch of it or keeps it registered.

A record of its own beside `Connection`, so that finding out changes nothing that people set: it is in every node's
local copy, and in no export, list or trail.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

Key: TypeAlias = tuple[str, ...]


class Health(StrEnum):
    """What is known of a connection that is watched."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"
    """Nobody has asked it yet."""


class Registered(StrEnum):
    """Whether a connection is registered at its carrier."""

    YES = "registered"
    NO = "unregistered"
    NOT_WANTED = ""


class ConnectionState(
    msgspec.Struct,
    frozen=True,
    rename="kebab",
    omit_defaults=True,
    tag="connectionstate",
    tag_field="kind",
    kw_only=True,
):
    """The state of one connection at one `address`; times are in epoch seconds."""

    domain: str
    connection: str
    address: str = ""
    """Transport, host and port that it is the state of: at another address nothing of it holds."""
    node: str = ""
    """The node that keeps it; empty: none does."""
    watched: bool = False
    """Whether it is asked if it lives."""
    health: Health = Health.UNKNOWN
    health_reason: str = ""
    """What it said last, or did not say."""
    health_at: float = 0.0
    """Since when its health is what it is."""
    registration: Registered = Registered.NOT_WANTED
    registration_reason: str = ""
    """What its registrar said last."""
    registered_at: float = 0.0
    """When it was last registered or refreshed."""
    registration_expires_at: float = 0.0

    @property
    def key(self) -> Key:
        return (self.domain, self.connection)


CONNECTION_STATE: Final = str(ConnectionState.__struct_config__.tag)
