"""One look a node at the stream of presence, for all subscriptions to it that the node delivers.

Presence is no part of the local copy, so nobody is told of what another node derives: somebody has to look. A
subscription by itself looks when it begins, and is told from here from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ringbridge.calls.events.ports import PresenceBus, PresenceMessage
from ringbridge.model.errors import BusUnavailable

POLL_S: Final = 0.5
"""How late what another node derives can be."""
BUS_AWAY_S: Final = 1.0


class PresenceWatch:
    """Tells of every message that comes; `run` it as a task."""

    def __init__(
        self, bus: PresenceBus, *, on_begin: Callable[[int], None], on_message: Callable[[PresenceMessage], None]
    ) -> None:
        """`on_begin` is told the position of the last message that `on_message` will not be."""
        self._bus = bus
        self._on_begin = on_begin
        self._on_message = on_message

    async def run(self) -> None:
        """Look until cancelled."""
        position: int | None = None
        while True:
            try:
                if position is None:
                    position = await self._bus.position()
                    self._on_begin(position)
                message = await self._bus.next(position, None)
            except BusUnavailable:
                await asyncio.sleep(BUS_AWAY_S)
                continue
            if message is None:
                await asyncio.sleep(POLL_S)
                continue
            position = message.position
            self._on_message(message)
