"""The operations of event subscriptions, under `/subscriptions` and under a domain (contract §5)."""

from __future__ import annotations

from functools import partial
from typing import Final

from ringbridge.api.document.operations import Access, Operation, Reply
from ringbridge.api.document.schemas import PAGE_QUERY
from ringbridge.api.events.subscription_views import (
    CREATE_EXAMPLE,
    CREATE_SCHEMA,
    UPDATE_EXAMPLE,
    UPDATE_SCHEMA,
    AcceptedSubscription,
    CreatedSubscription,
    DeliveryView,
    SubscriptionView,
)
from ringbridge.api.events.subscriptions import SubscriptionHandlers
from ringbridge.api.http.answers import Accepted, Count

ALL: Final = "/ns-api/v2/subscriptions"
OF_DOMAIN: Final = "/ns-api/v2/domains/{domain}/subscriptions"
_IGNORED: Final = ("X-Ringbridge-Ignored",)
_DONE: Final = Reply(202, "Accepted.", Accepted, _IGNORED)


def operations(handlers: SubscriptionHandlers) -> list[Operation]:
    """Return the operations of subscriptions, under both paths."""
    return [
        operation
        for path, word, whose, access in (
            (ALL, "", "", Access.TOKEN),
            (OF_DOMAIN, "domain-", " of a domain", Access.DOMAIN),
        )
        for operation in (
            *_many(handlers, path, word=word, whose=whose, access=access),
            *_one(handlers, path + "/{subscription-id}", word=word, whose=whose, access=access),
            *_sent(handlers, path + "/{subscription-id}", word=word, whose=whose, access=access),
        )
    ]


def _many(handlers: SubscriptionHandlers, path: str, *, word: str, whose: str, access: Access) -> list[Operation]:
    operation = partial(Operation, access=access, tag="Subscriptions")
    return [
        operation(
            name=f"list-{word}subscriptions",
            method="GET",
            path=path,
            handle=handlers.list_all,
            summary=f"List event subscriptions{whose}",
            description="Those that the token may see: a user its own, a manager those of the domain.",
            query=PAGE_QUERY,
            replies=(Reply(200, "Oldest first.", list[SubscriptionView], ("Link", "X-Total-Count")),),
        ),
        operation(
            name=f"count-{word}subscriptions",
            method="GET",
            path=path + "/count",
            handle=handlers.count,
            summary=f"Count event subscriptions{whose}",
            replies=(Reply(200, "How many.", Count),),
        ),
        operation(
            name=f"create-{word}subscription",
            method="POST",
            path=path,
            handle=handlers.create,
            summary=f"Subscribe to events{whose}",
            description="Events are POSTed to `post-url` as a JSON array, signed as Standard Webhooks have it. The "
            "secret for that is in this answer and in no other. Models without events yet are kept as `pending`.",
            body=CREATE_SCHEMA,
            body_example=CREATE_EXAMPLE,
            replies=(
                Reply(
                    200,
                    "With `synchronous: yes`: the subscription.",
                    CreatedSubscription,
                    _IGNORED,
                ),
                Reply(202, "Accepted, and durable.", AcceptedSubscription, _IGNORED),
            ),
            refusals=(404, 409),
        ),
    ]


def _one(handlers: SubscriptionHandlers, path: str, *, word: str, whose: str, access: Access) -> list[Operation]:
    operation = partial(Operation, access=access, tag="Subscriptions")
    return [
        operation(
            name=f"read-{word}subscription",
            method="GET",
            path=path,
            handle=handlers.read,
            summary=f"Read a subscription{whose}",
            replies=(Reply(200, "The subscription.", SubscriptionView),),
        ),
        operation(
            name=f"update-{word}subscription",
            method="PUT",
            path=path,
            handle=handlers.update,
            summary=f"Change a subscription{whose}",
            description="Changes the fields that it names. A `post-url` gives a subscription that its receiver ended "
            "a fresh start, and takes over one that is over because the key or login that made it is: it ends with the "
            "token in use then.",
            body=UPDATE_SCHEMA,
            body_example=UPDATE_EXAMPLE,
            replies=(_DONE,),
        ),
        operation(
            name=f"delete-{word}subscription",
            method="DELETE",
            path=path,
            handle=handlers.delete,
            summary=f"Delete a subscription{whose}",
            replies=(_DONE,),
        ),
    ]


def _sent(handlers: SubscriptionHandlers, path: str, *, word: str, whose: str, access: Access) -> list[Operation]:
    operation = partial(Operation, access=access, tag="Subscriptions")
    one = Reply(200, "What became of it.", DeliveryView)
    return [
        operation(
            name=f"list-{word}deliveries",
            method="GET",
            path=path + "/deliveries",
            handle=handlers.deliveries,
            summary=f"List the deliveries of a subscription{whose}",
            description="Every attempt of the last three days, as far as they are kept.",
            query=PAGE_QUERY,
            replies=(Reply(200, "Newest first.", list[DeliveryView], ("Link", "X-Total-Count")),),
        ),
        operation(
            name=f"resend-{word}delivery",
            method="POST",
            path=path + "/deliveries/{delivery-id}/resend",
            handle=handlers.resend,
            summary=f"Send a delivery of a subscription{whose} again",
            description="At once, whatever came before or after it, with the same `webhook-id`.",
            replies=(one,),
            refusals=(409,),
        ),
        operation(
            name=f"test-{word}subscription",
            method="POST",
            path=path + "/test",
            handle=handlers.test,
            summary=f"Send a test event to the receiver of a subscription{whose}",
            description="When it is taken, whatever waits for another attempt may be tried at once.",
            replies=(one,),
            refusals=(409,),
        ),
    ]
