"""What somebody asked of a call that is up, by the API, and what became of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from ringbridge.model.events import HandoverOrdered, HoldOrdered, OrderDone, TransferOrdered, TransferPlan
from ringbridge.model.ids import LegId
from ringbridge.model.release import ReleaseCause

MOST_ORDERS = 50
"""How many orders a call remembers; who toggles hold for hours is told of the last ones."""


class OrderKind(StrEnum):
    """What can be asked of a call that is up."""

    HOLD = "hold"
    UNHOLD = "unhold"
    TRANSFER = "transfer"
    HANDOVER = "handover"
    """A leg goes over to another call, which is transferred to this one's far party."""


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """One order, for the party of `leg_id`."""

    kind: OrderKind
    leg_id: LegId
    by: str
    at: float
    ended_at: float = 0.0
    """0 while it is under way."""
    cause: ReleaseCause | None = None
    """Why it was not carried out."""
    transfer: int = 0
    """Which transfer of the call it is, counted from 1; 0: it is none."""
    plan: TransferPlan | None = None
    """Of a transfer."""
    handover: HandoverOrdered | None = None
    """Of a handover."""


OrderEvent: TypeAlias = HoldOrdered | TransferOrdered | HandoverOrdered | OrderDone


def after_event(orders: tuple[Order, ...], event: OrderEvent, *, transfers: int) -> tuple[Order, ...]:
    """Return a call's orders, oldest first, after an event; `transfers` is how many it has had before."""
    match event:
        case HoldOrdered():
            kind = OrderKind.HOLD if event.on else OrderKind.UNHOLD
            return (*orders, Order(kind, event.leg_id, event.by, event.at))[-MOST_ORDERS:]
        case TransferOrdered():
            order = Order(OrderKind.TRANSFER, event.leg_id, event.by, event.at, transfer=transfers + 1, plan=event.plan)
            return (*orders, order)[-MOST_ORDERS:]
        case HandoverOrdered():
            order = Order(OrderKind.HANDOVER, event.leg_id, event.by, event.at, handover=event)
            return (*orders, order)[-MOST_ORDERS:]
        case OrderDone():
            if not orders or orders[-1].ended_at:
                return orders
            return (*orders[:-1], msgspec.structs.replace(orders[-1], ended_at=event.at, cause=event.cause))
