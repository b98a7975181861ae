"""Recordings of calls as the API reads them; the folder that has them is an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One recording: a WAV file, and whose call it is of. Times are epoch seconds."""

    domain: str
    call_id: str
    session_id: str
    users: tuple[str, ...]
    """Who made the call or took part in it, of its domain."""
    requested_at: float
    """When the call was: what a domain or user of the same name may see began later."""
    began_at: float
    seconds: float
    size: int
    """Bytes of the file."""
    name: str
    """The file's own, by which it is opened."""

    @property
    def ended_at(self) -> float:
        return self.began_at + self.seconds


class Recordings(Protocol):
    """Whole recordings; one that is still being made is not there."""

    async def of_call(self, domain: str, call_id: str) -> Sequence[Recording]:
        """Return the recordings of a call by the application's call-id, oldest first."""
        ...

    async def size(self, domain: str, name: str) -> int | None:
        """Return the bytes of a file; None where there is none, or none any more."""
        ...

    async def read(self, domain: str, name: str, *, start: int, count: int) -> bytes:
        """Return `count` bytes of a file from `start`; fewer at its end, and none if it has gone meanwhile."""
        ...
