"""The events of one call on their way to the bus, in order, one message in flight.

Events that come while a message is in flight go into the next one together. Nothing waits for a ring to be stored,
and an answer often follows at once (auto-answer, a carrier's gateway), so rings alone wait a little for company: two
messages fewer for such a call, each a flushed write and a transaction on every node. The expected sequence of every
message is that of the one before, so the bus itself refuses a deposed owner's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ringbridge.calls.ports import Bus
from ringbridge.model.errors import BusUnavailable, Conflict
from ringbridge.model.events import CallEvent, LegRinging
from ringbridge.model.ids import CallId, DomainName

RETRY_S = 0.5
"""Between attempts while the bus is away; each attempt has its own, longer deadline inside the bus."""
COMPANY_S = 0.05
"""How long a ring may wait for what comes next. Who watches the call sees it that much later, with its true time."""


def _nothing(*_: object) -> None:
    """Nobody listens: yet, or any more."""


class Outbox:
    """Stores a call's events. `deposed` is set when the bus said that somebody else owns the call now.

    `on_deposed` is called at that moment, since it may be long before anybody asks whether all is stored.
    """

    def __init__(self, bus: Bus, domain: DomainName, call_id: CallId, *, after: int) -> None:
        self._bus = bus
        self._domain = domain
        self._call_id = call_id
        self.sequence = after
        self._pending: list[CallEvent] = []
        self._sending: asyncio.Task[None] | None = None
        self._company: asyncio.TimerHandle | None = None
        self.deposed = False
        self.on_deposed: Callable[[], None] = _nothing
        self.on_stored: Callable[[Sequence[CallEvent]], None] = _nothing
        """Called with each batch once it is stored."""

    def put(self, events: Sequence[CallEvent]) -> None:
        """Take events; they are sent in the background."""
        self._pending.extend(events)
        if self._is_sending:
            return
        if not all(isinstance(event, LegRinging) for event in self._pending):
            self._start()
        elif self._company is None:
            self._company = asyncio.get_running_loop().call_later(COMPANY_S, self._start)

    @property
    def _is_sending(self) -> bool:
        return self._sending is not None and not self._sending.done()

    def _start(self) -> None:
        self._end_wait()
        if self._pending and not self._is_sending:
            self._sending = asyncio.create_task(self._send())

    def _end_wait(self) -> None:
        if self._company is not None:
            self._company.cancel()
            self._company = None

    async def store(self, events: Sequence[CallEvent]) -> None:
        """Take events and return when they and all before them are stored.

        Raises:
            Conflict: this engine no longer owns the call.
        """
        if not self._is_sending:
            self._end_wait()
            self._pending.extend(events)
            await self._send()  # the caller's own task: one for each message would cost more than the message
        else:
            self.put(events)
        await self.stored()

    async def stored(self) -> None:
        """Return when everything put so far is stored.

        Raises:
            Conflict: this engine no longer owns the call.
            Exception: a bug kept it from being stored; whatever depends on it must not go on.
        """
        if self._company is not None:
            self._start()
        while self._sending is not None and not self._sending.done():
            await asyncio.shield(self._sending)
        if self._sending is not None and not self._sending.cancelled():
            self._sending.result()
        if self.deposed:
            raise Conflict("another engine owns the call")

    async def _send(self) -> None:
        while self._pending and not self.deposed:
            batch = self._pending.copy()
            await self._store(batch)
            del self._pending[: len(batch)]  # not before: what a bug kept from being stored goes with what comes next

    async def _store(self, batch: list[CallEvent]) -> None:
        while True:
            try:
                self.sequence = await self._bus.append_call(self._domain, self._call_id, batch, after=self.sequence)
            except BusUnavailable:
                # The call goes on without the bus; its story is told when the bus is back.
                await asyncio.sleep(RETRY_S)
            except Conflict:
                self.deposed = True
                self.on_deposed()
                return
            else:
                self.on_stored(batch)
                return

    def abandon(self) -> None:
        """Stop sending; what is not stored by now is lost to this owner, who hears nothing more."""
        self._end_wait()
        self.on_deposed = _nothing
        self.on_stored = _nothing
        if self._sending is not None and not self._sending.done():
            self.deposed = True
            self._sending.cancel()
