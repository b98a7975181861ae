"""What is read of calls that are over, as a part of the store's port (contract §6)."""

from __future__ import annotations

from typing import Protocol

from ringbridge.model.cdr import Cdr
from ringbridge.model.cdr_query import CdrPage, CdrQuery, CdrTotals, Place
from ringbridge.model.ids import DomainName, SessionId


class History(Protocol):
    """Reads of CDRs, from the local replica alone.

    Raises everywhere: `model.errors.StoreUnavailable` when the store cannot say now, or it would take too long.
    """

    async def cdr(self, domain: DomainName, session_id: SessionId) -> Cdr | None: ...

    async def cdrs(self, query: CdrQuery, *, limit: int, skip: int = 0, after: Place | None = None) -> CdrPage:
        """Return CDRs, newest first: at most `limit`, from behind `after`, then passing over `skip`."""
        ...

    async def count_cdrs(self, query: CdrQuery, *, at_most: int | None = None) -> CdrTotals:
        """Return how many CDRs `query` asks for; more than `at_most` are not counted."""
        ...
