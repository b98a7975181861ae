"""From messages of the bus to what one subscription is sent: whose call it is, and how it stood at each event."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.events.ports import CallMessage, EventBus
from ringbridge.calls.ports import StoredCallMessage
from ringbridge.model.access import ANY
from ringbridge.model.call import Call
from ringbridge.model.deliveries import CallName, Item
from ringbridge.model.directory import Subscription
from ringbridge.model.event_payloads import Told
from ringbridge.model.events import CallBarred, CallRequested
from ringbridge.model.ids import CallId, DomainName
from ringbridge.model.taking_part import is_of

MOST_CALLS = 1024
"""Calls that one subscription has in mind; one that is forgotten is read again from its beginning."""

_encode = msgspec.json.Encoder().encode


def make_item(told: Told, subscription: Subscription, message: StoredCallMessage, name: CallName) -> Item | None:
    """Fold a message into `told` and return what is sent of it; None when that is nothing.

    A user is told of a call from when they make it or their phone is rung, as it is in their list.
    """
    objects = told.tell(subscription.model, message.events, message.sequence)
    if not objects or told.call is None or not _is_of_user(subscription, told.call):
        return None
    return Item(name, message.sequence, _encode(objects), tuple(one.id for one in objects), call_id=name.call_id)


def _is_of_user(subscription: Subscription, call: Call) -> bool:
    return subscription.user == ANY or is_of(call, subscription.user)


class Telling:
    """Makes items of messages that come in stream order."""

    def __init__(self, bus: EventBus, directory: Directory) -> None:
        self._bus = bus
        self._directory = directory
        self._calls: OrderedDict[CallName, Told | None] = OrderedDict()
        """Calls by name; None stands for those that the subscription is not about."""

    async def item(self, subscription: Subscription, message: CallMessage) -> Item | None:
        """Return what `subscription` is sent of the next message of its stream."""
        name = message.name
        if name not in self._calls or isinstance(message.events[0] if message.events else None, CallRequested):
            self._keep(name, await self._begin(subscription, message))
        told = self._calls[name]
        if told is None:
            return None
        item = make_item(told, subscription, StoredCallMessage(message.events, message.position), name)
        if told.call is not None and told.call.is_over:
            del self._calls[name]
        return item

    async def items_of(self, subscription: Subscription, name: CallName) -> list[Item]:
        """Return everything that `subscription` is sent of one call, from its beginning."""
        told = Told()
        messages = await self._bus.read_call(DomainName(name.domain), CallId(name.call_id))
        items = [item for message in messages if (item := make_item(told, subscription, message, name)) is not None]
        if told.call is None or not await self.is_about(subscription, told.call):
            return []
        return items

    def forget(self) -> None:
        """Forget everything, as when the subscription was changed."""
        self._calls.clear()

    def _keep(self, name: CallName, told: Told | None) -> None:
        self._calls[name] = told
        if len(self._calls) > MOST_CALLS:
            self._calls.popitem(last=False)

    async def _begin(self, subscription: Subscription, message: CallMessage) -> Told | None:
        """Return a call as it was before `message`; None when the subscription is not about it."""
        told = Told()
        first = message.events[0] if message.events else None
        if isinstance(first, CallBarred):
            return told  # a call may follow under the same name, and a bar is nothing that is told
        if not isinstance(first, CallRequested):
            for one in await self._bus.read_call(DomainName(message.name.domain), CallId(message.name.call_id)):
                if one.sequence < message.position:
                    told.tell(subscription.model, one.events, one.sequence)
            if told.call is None:
                return None
        return told if await concerns_domain(self._directory, subscription, message.name.domain) else None

    async def is_about(self, subscription: Subscription, call: Call) -> bool:
        """Return whether `subscription` is told of `call`."""
        is_of_user = _is_of_user(subscription, call)
        return is_of_user and await concerns_domain(self._directory, subscription, call.domain)


async def concerns(directory: Directory, subscription: Subscription, domain: str, user: str) -> bool:
    """Return whether `subscription` is about a user."""
    return subscription.user in (ANY, user) and await concerns_domain(directory, subscription, domain)


async def concerns_domain(directory: Directory, subscription: Subscription, domain: str) -> bool:
    """Return whether `subscription` is about users of a domain; about which ones it says itself."""
    if subscription.domain not in (ANY, domain):
        return False
    if subscription.reseller == ANY:
        return True
    record = await directory.domain(domain)
    return record is not None and record.reseller == subscription.reseller
