"""What deliveries of one node share, and how what they keep on the bus is called and read."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import structlog

from ringbridge.adapters.webhooks.post import Outcome, Poster
from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.events.ports import EventBus
from ringbridge.calls.ports import Clock
from ringbridge.model.deliveries import Attempt, Item, Progress

log = structlog.get_logger(__name__)

_progress_decoder = msgspec.json.Decoder(Progress)


def decode_progress(payload: bytes) -> Progress:
    """Return a stored progress; one that cannot be read is as none: what was told since the beginning is told again."""
    try:
        return _progress_decoder.decode(payload)
    except msgspec.DecodeError as bad:
        log.error("webhook_progress_unreadable", why=str(bad))  # noqa: TRY400 - the message says it all
        return Progress()


class Places:
    """Places for attempts on one node: subscriptions whose last attempt failed share others than those that work."""

    def __init__(self, *, working: int = 64, failing: int = 16) -> None:
        self._working = asyncio.Semaphore(working)
        self._failing = asyncio.Semaphore(failing)

    def of(self, *, failing: bool) -> asyncio.Semaphore:
        return self._failing if failing else self._working


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
