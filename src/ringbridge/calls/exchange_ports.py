"""The request history as the API writes and reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ringbridge.model.exchanges import Exchange, ExchangeQuery, KeptExchange


class Exchanges(Protocol):
    """The requests that this node answered lately.

    Reads raise `model.errors.StoreUnavailable` when they cannot be had now, or it would take too long.
    """

    @property
    def node(self) -> str:
        """Whose requests these are: other nodes keep their own."""
        ...

    @property
    def body_bytes(self) -> int:
        """How much of a body is kept at most."""
        ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many were not kept since the start, by why: `queue` was full, `write` failed."""
        ...

    def add(self, exchange: Exchange) -> None:
        """Keep one, some time soon; never waits, and drops it when too many wait already."""
        ...

    async def page(self, wanted: ExchangeQuery, *, start: int, limit: int) -> list[KeptExchange]:
        """Return some of what is `wanted`, newest first; what was added before is among it."""
        ...

    async def count(self, wanted: ExchangeQuery) -> int:
        """Return how many are `wanted`."""
        ...

    async def one(self, exchange_id: int, wanted: ExchangeQuery) -> KeptExchange | None:
        """Return one, if it is among what is `wanted`."""
        ...
