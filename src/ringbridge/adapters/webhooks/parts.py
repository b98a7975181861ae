"""What deliveries of one node share, and how what they keep on the bus is called and read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from weakref import WeakValueDictionary

import msgspec
import structlog

from ringbridge.adapters.webhooks.post import Outcome, Poster
from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.events.ports import EventBus
from ringbridge.calls.ports import Clock
from ringbridge.model.access import ANY
from ringbridge.model.deliveries import Attempt, Item, Progress
from ringbridge.model.directory import Subscription

log = structlog.get_logger(__name__)

_progress_decoder = msgspec.json.Decoder(Progress)


def decode_progress(payload: bytes) -> Progress:
    """Return a stored progress; one that cannot be read is as none: what was told since the beginning is told again."""
    try:
        return _progress_decoder.decode(payload)
    except msgspec.DecodeError as bad:
        log.error("webhook_progress_unreadable", why=str(bad))  # noqa: TRY400 - the message says it all
        return Progress()


class Turn(Enum):
    """What an attempt is: the kinds wait for places apart from each other."""

    WORKING = "working"
    FAILING = "failing"
    """The subscription's last attempt failed: whoever does not answer keeps its place long."""
    BY_HAND = "by hand"
    """A person asked for it: a test, or something sent again."""


MOST_AT_ONCE: Final = {Turn.WORKING: 64, Turn.FAILING: 16, Turn.BY_HAND: 16}
MOST_OF_ONE: Final = {Turn.WORKING: 8, Turn.FAILING: 4, Turn.BY_HAND: 2}
"""Of one tenant: whoever has many slow receivers waits for them alone."""


class Places:
    """Places for attempts on one node, shared by all tenants, of which each may have a few."""

    def __init__(self) -> None:
        self._shared = {turn: asyncio.Semaphore(most) for turn, most in MOST_AT_ONCE.items()}
        self._own: WeakValueDictionary[tuple[Turn, str], asyncio.Semaphore] = WeakValueDictionary()
        """By tenant, as long as anybody has one or waits for one."""

    @asynccontextmanager
    async def of(self, subscription: Subscription, turn: Turn) -> AsyncIterator[None]:
        """Have a place for one attempt."""
        async with self._of_tenant(subscription, turn), self._shared[turn]:
            yield

    def _of_tenant(self, subscription: Subscription, turn: Turn) -> AbstractAsyncContextManager[None]:
        domain, reseller = subscription.holder_domain, subscription.holder_reseller
        tenant = f"domain {domain}" if domain != ANY else f"reseller {reseller}"
        if tenant == f"reseller {ANY}":
            return nullcontext()  # the operator's own
        own = self._own.get((turn, tenant))
        if own is None:
            own = self._own[turn, tenant] = asyncio.Semaphore(MOST_OF_ONE[turn])
        return own


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierParts:
    """What couriers of one node share."""

    bus: EventBus
    directory: Directory
    poster: Poster
    clock: Clock
    places: Places
    node: str
    attempts: Counter[str] = field(default_factory=Counter)
    """How many attempts came to each outcome since the node started (`model.deliveries.Attempt`)."""


def state_key(subscription_id: str) -> tuple[str, ...]:
    """Return where the progress of a subscription is kept."""
    return ("state", subscription_id)


def log_key(subscription_id: str, part: str = "") -> tuple[str, ...]:
    """Return where a part of its log is kept; without `part` what all of them are under."""
    return ("log", subscription_id, part) if part else ("log", subscription_id)


def message_id(subscription_id: str, position: int) -> str:
    """Return the `webhook-id` of a message: the same at every attempt, whoever makes it."""
    return f"msg_{subscription_id}_{position}"


def attempt_of(
    item: Item, outcome: Outcome, *, delivery_id: str, at: float, number: int, kind: str = "event"
) -> Attempt:
    """Return the log's word on one attempt."""
    return Attempt(
        delivery_id=delivery_id,
        at=at,
        number=number,
        outcome="delivered" if outcome.is_taken else "ended" if outcome.is_gone else "failed",
        kind=kind,
        status=outcome.status,
        duration_ms=outcome.duration_ms,
        error=outcome.error,
        excerpt=outcome.excerpt,
        call_id=item.call_id,
        events=item.events,
    )
