"""What one task is to deal with, in the order in which it came.

Not `asyncio.Queue`: every call that is up holds one, and with its four deques and an event that is 3 KB a call.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue without bounds for one reader."""

    __slots__ = ("_items", "_reader")

    def __init__(self) -> None:
        self._items: list[T] = []
        self._reader: asyncio.Future[None] | None = None

    def put(self, item: T) -> None:
        """Add an item; never blocks."""
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> T:
        """Return the oldest item once there is one; nobody else may wait meanwhile."""
        while not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._items.pop(0)

    def take_all(self) -> list[T]:
        """Return what is there, and have it no longer."""
        items, self._items = self._items, []
        return items
