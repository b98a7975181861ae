"""What the delivery of events needs from the bus, beside `calls.ports.Bus`; and what the API needs from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ringbridge.calls.ports import StoredCallMessage
from ringbridge.model.call import Call
from ringbridge.model.deliveries import Attempt, CallName, Progress
from ringbridge.model.directory import Subscription
from ringbridge.model.event_marks import Mark
from ringbridge.model.events import CallEvent
from ringbridge.model.ids import CallId, DomainName
from ringbridge.model.presence import UserPresence


class CallMessage(msgspec.Struct, frozen=True):
    """One message of some call: its events and the position they were stored at."""

    name: CallName
    events: list[CallEvent]
    position: int


class CallChange(msgspec.Struct, frozen=True):
    """What one message of the bus made of a call: `after.sequence` is the position that it was stored at."""

    before: Call | None
    events: list[CallEvent]
    after: Call


class CallChanges(Protocol):
    """The local copy as live events follow it."""

    def calls_mark(self) -> Mark:
        """Return how far the streams of calls are applied."""
        ...

    def follow_changes(self, listener: Callable[[Sequence[CallChange], Mark], None]) -> Callable[[], None]:
        """Call `listener` after each commit: with what changed, in order, and how far that is.

        Returns how to stop it. Whoever reads the store from then on sees at least that much.
        """
        ...


class Kept(msgspec.Struct, frozen=True):
    """A value of the webhooks bucket, and its revision: what the next write must expect."""

    payload: bytes
    revision: int


class PresenceMessage(msgspec.Struct, frozen=True):
    """A user's presence after one change, and the position that it was stored at."""

    presence: UserPresence
    position: int


class PresenceBus(Protocol):
    """The stream of presence. Raises `BusUnavailable` everywhere."""

    async def position(self) -> int:
        """Return the position of the last message, 0 where there is none."""
        ...

    async def next(self, after: int, domain: str | None, user: str | None = None) -> PresenceMessage | None:
        """Return the first message behind the position `after`, of one domain or of all, of one user or of all."""
        ...

    async def last(self, domain: str, user: str) -> PresenceMessage | None:
        """Return how a user is; None for one of whom nothing was stored for days."""
        ...

    async def put(self, one: UserPresence, *, after: int) -> int:
        """Store a change and return its position, if `after` is that of the user's last one, 0 for none.

        Raises:
            Conflict: something else is the last.
        """
        ...


class EventBus(Protocol):
    """The bus as deliveries use it. Raises `BusUnavailable` everywhere, and stores as `calls.ports.Bus` does."""

    @property
    def presence(self) -> PresenceBus: ...

    async def call_positions(self) -> tuple[int, ...]: ...

    async def read_call(self, domain: DomainName, call_id: CallId) -> list[StoredCallMessage]: ...

    async def next_call_message(self, after: int, domain: str | None) -> CallMessage | None:
        """Return the first message behind the position `after` in its stream, of one domain or of all."""
        ...

    async def read_kept(self, key: tuple[str, ...]) -> Kept | None: ...

    async def list_kept(self, key: tuple[str, ...]) -> dict[str, Kept]:
        """Return the values right under `key`, by the last part of theirs; as of a moment ago."""
        ...

    async def put_kept(
        self, key: tuple[str, ...], payload: bytes, *, revision: int | None = None, ttl_s: int = 0
    ) -> int:
        """Store a value and return its revision; with `revision` only if that is the last, 0 for none yet.

        Raises:
            Conflict: something else is the last.
        """
        ...

    async def delete_kept(self, key: tuple[str, ...]) -> None: ...


class DeliveryFigures(msgspec.Struct, frozen=True):
    """The deliveries of one node: how many subscriptions it serves, and how far behind it is.

    `waiting` calls (of presence: users) wait for another attempt. `oldest_at` is when the oldest event that was read
    and is not delivered was read, in epoch seconds. `attempts` are counted by outcome since the node started.
    """

    subscriptions: int
    waiting: int
    oldest_at: float | None
    attempts: dict[str, int]


class EventDeliveries(Protocol):
    """What the API shows and does of deliveries."""

    def figures(self) -> DeliveryFigures:
        """Return how this node's own deliveries stand now."""
        ...

    async def progress(self, subscription_ids: Sequence[str]) -> dict[str, Progress]:
        """Return how far deliveries are, of those that have begun; nothing while the bus is away."""
        ...

    async def attempts(self, subscription_id: str) -> list[Attempt]:
        """Return the attempts of the last three days, newest first, as far as they are kept."""
        ...

    async def resend(self, subscription: Subscription, delivery_id: str) -> Attempt | None:
        """Send one delivery again, now; None when there is no such delivery."""
        ...

    async def test(self, subscription: Subscription) -> Attempt:
        """Send a test event, now."""
        ...
