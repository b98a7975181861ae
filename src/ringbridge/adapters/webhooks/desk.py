"""What the API shows and does of deliveries: `calls.events.ports.EventDeliveries`. Works on any node."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable, Sequence

import msgspec

from ringbridge.adapters.webhooks.courier import LOG_TTL_S, Courier
from ringbridge.adapters.webhooks.parts import (
    CourierParts,
    Turn,
    attempt_of,
    decode_progress,
    log_key,
    message_id,
    state_key,
)
from ringbridge.adapters.webhooks.source import source_of
from ringbridge.calls.events.ports import DeliveryFigures
from ringbridge.model.deliveries import Attempt, CallName, Item, Progress
from ringbridge.model.directory import Subscription
from ringbridge.model.errors import BusUnavailable

HAND_PARTS = 50
"""Parts of the log for what was sent by hand on one node, round and round."""

_attempts_decoder = msgspec.json.Decoder(list[Attempt])
_encode = msgspec.json.Encoder().encode


class WebhookDesk:
    """Deliveries on request; `courier` finds the courier of a subscription that this node delivers."""

    def __init__(
        self,
        parts: CourierParts,
        courier: Callable[[str], Courier | None],
        *,
        couriers: Callable[[], Iterable[Courier]] = tuple,
    ) -> None:
        """`couriers` are all of this node."""
        self._parts = parts
        self._courier = courier
        self._couriers = couriers
        self._sent = itertools.count()

    def figures(self) -> DeliveryFigures:
        couriers = list(self._couriers())
        return DeliveryFigures(
            subscriptions=len(couriers),
            waiting=sum(len(one.parked) for one in couriers),
            oldest_at=min((one.oldest_at for one in couriers if one.oldest_at is not None), default=None),
            attempts=dict(self._parts.attempts),
        )

    async def progress(self, subscription_ids: Sequence[str]) -> dict[str, Progress]:
        if not subscription_ids:
            return {}
        try:
            if len(subscription_ids) == 1:
                kept = await self._parts.bus.read_kept(state_key(subscription_ids[0]))
                found = {subscription_ids[0]: kept} if kept is not None else {}
            else:
                found = await self._parts.bus.list_kept(("state",))
        except BusUnavailable:
            return {}
        return {name: decode_progress(found[name].payload) for name in subscription_ids if name in found}

    async def attempts(self, subscription_id: str) -> list[Attempt]:
        parts = await self._parts.bus.list_kept(log_key(subscription_id))
        oldest = self._parts.clock.now() - LOG_TTL_S
        found = [one for part in parts.values() for one in _attempts_decoder.decode(part.payload) if one.at >= oldest]
        return sorted(found, key=lambda one: (one.at, one.number), reverse=True)

    async def resend(self, subscription: Subscription, delivery_id: str) -> Attempt | None:
        prefix = message_id(subscription.id, 0)[:-1]
        digits = delivery_id.removeprefix(prefix)
        if delivery_id.startswith("test_"):
            return await self._send_test(subscription, delivery_id)
        if not delivery_id.startswith(prefix) or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
            return None
        if not any(one.delivery_id == delivery_id for one in await self.attempts(subscription.id)):
            return None  # never sent to it: whoever counts ids up is not told what was before the subscription
        item = await source_of(subscription.model, self._parts.bus, self._parts.directory).at(subscription, int(digits))
        return None if item is None else await self._send(subscription, item, delivery_id, kind="resend")

    async def test(self, subscription: Subscription) -> Attempt:
        return await self._send_test(subscription, f"test_{secrets.token_hex(8)}")

    async def _send_test(self, subscription: Subscription, delivery_id: str) -> Attempt:
        told = {
            "id": delivery_id,
            "object": "test",
            "action": "TEST",
            "sequence": 0,
            "hostname": self._parts.node,
            "subscription": subscription.id,
            "model": subscription.model,
        }
        item = Item(CallName("", ""), 0, _encode([told]), (delivery_id,))
        return await self._send(subscription, item, delivery_id, kind="test")

    async def _send(self, subscription: Subscription, item: Item, delivery_id: str, *, kind: str) -> Attempt:
        async with self._parts.places.of(subscription, Turn.BY_HAND):
            at = self._parts.clock.now()
            outcome = await self._parts.poster.post(subscription.post_url, delivery_id, item.body, subscription.secret)
        attempt = attempt_of(item, outcome, delivery_id=delivery_id, at=at, number=1, kind=kind)
        slot = f"{self._parts.node}-{next(self._sent) % HAND_PARTS}"
        await self._parts.bus.put_kept(log_key(subscription.id, slot), _encode([attempt]), ttl_s=LOG_TTL_S)
        self._parts.attempts[attempt.outcome] += 1
        courier = self._courier(subscription.id)
        if attempt.outcome == "delivered" and courier is not None:
            courier.hasten()
        return attempt
