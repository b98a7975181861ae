"""What the replica hands to a store: the changes of many bus messages, to be written in one transaction."""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from ringbridge.calls.ports import Store
from ringbridge.model.call import Call
from ringbridge.model.cdr import Cdr
from ringbridge.model.directory import Location, Record
from ringbridge.model.ids import CallId, DomainName


class Offset(msgspec.Struct, frozen=True):
    """How far a store has applied one stream. `incarnation` tells a stream from one made again under its name."""

    incarnation: str
    sequence: int


class RecordChange(msgspec.Struct, frozen=True):
    """One directory record as it is now; `record` is None where it was deleted."""

    kind: str
    key: tuple[str, ...]
    record: Record | None


class LocationChange(msgspec.Struct, frozen=True):
    """One location as it is now; `location` is None where it was removed or expired."""

    domain: str
    device: str
    contact_digest: str
    location: Location | None


class LegName(msgspec.Struct, frozen=True):
    """A leg's SIP Call-ID, by which its call can be asked for too (contract §3)."""

    domain: DomainName
    sip_call_id: str
    call_id: CallId


class TakesPart(msgspec.Struct, frozen=True):
    """A user who takes part in a call that somebody else made (`model.taking_part.users_in`)."""

    domain: DomainName
    user: str
    call_id: CallId


class StoreBatch(msgspec.Struct):
    """Changes that are stored together with the offsets that they bring the store to.

    A stream in `dropped` was made again: everything that came from it goes before anything is written.
    `leg_names` are those of legs that are new in `calls`; `users` says who takes part in one since, or no longer;
    `replaced` are calls that began anew behind a bar.
    """

    calls: list[Call] = []
    leg_names: list[LegName] = []
    users: dict[TakesPart, bool] = {}
    replaced: list[Call] = []
    cdrs: list[Cdr] = []
    records: list[RecordChange] = []
    locations: list[LocationChange] = []
    offsets: dict[str, Offset] = {}
    dropped: list[str] = []


class PurgeBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What may be forgotten: times in epoch seconds."""

    calls_ended_before: float = -math.inf
    locations_expired_before: float = -math.inf
    cdrs_before: float = -math.inf
    """CDRs of calls that began before it."""


class ReplicaStore(Store, Protocol):
    """A store as its replica sees it: the reads of `Store`, and the one way to write."""

    async def offset(self, stream: str) -> Offset | None:
        """Return how far `stream` is applied; None when never."""
        ...

    async def live_calls(self) -> list[Call]:
        """Return every call that is not over."""
        ...

    async def apply(self, batch: StoreBatch) -> None:
        """Write `batch` durably, whole or not at all."""
        ...

    async def purge(self, bounds: PurgeBounds) -> bool:
        """Forget some of what is older than `bounds`; return whether there may be more."""
        ...

    async def close(self) -> None: ...
