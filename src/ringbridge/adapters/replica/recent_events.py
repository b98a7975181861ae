"""What this node has in hand already of the messages that its own replica is about to bring it.

An engine writes most messages of its calls itself and reads a requested one as an offer; each comes again by the
stream. To read it again would cost 20 µs, and for as long as the call is up twice the memory: the events hold each
dialog, target and plan. What is not remembered, or no longer, is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ringbridge.model.events import CallEvent, decode

MOST: Final = 1024
"""Messages remembered at one time: those of half a second under full load, in 3 MB at the most."""


class RecentEvents:
    """The events of the last messages, by their bytes. A message that comes again is forgotten with that."""

    def __init__(self) -> None:
        self._events: dict[bytes, list[CallEvent]] = {}

    def __len__(self) -> int:
        return len(self._events)

    def keep(self, message: bytes, events: Sequence[CallEvent]) -> None:
        """Remember what a message says until it comes again."""
        if len(self._events) >= MOST:
            del self._events[next(iter(self._events))]
        self._events[message] = list(events)

    def read(self, message: bytes) -> list[CallEvent]:
        """Return the events of a message.

        Raises:
            msgspec.DecodeError: it is none.
        """
        return self._events.pop(message, None) or decode(message)
