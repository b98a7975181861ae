"""Subscriptions as the API shows and takes them (schemas `Subscription`, `Create…` and `UpdateSubscriptionRequest`)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ringbridge.api.document.operations import Schema
from ringbridge.model.deliveries import Attempt, Progress
from ringbridge.model.directory import Subscription
from ringbridge.model.subscriptions import ACTIVE_MODELS, COUNT_LIMIT, CREATE_FIELDS, UPDATE_FIELDS, URL_PATTERN, Field
from ringbridge.model.times import INSTANT, instant_text

Secret = Annotated[
    str, Meta(description="Signs the deliveries (Standard Webhooks). Told now and never again: keep it.")
]


class SubscriptionView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """Whose events go where, and how that goes."""

    id: str
    model: str
    post_url: str
    subscription_geo_support: str
    user_scope: str
    reseller: str
    domain: str
    user: str
    subscription_creation_datetime: str
    subscription_expires_datetime: str
    preferred_server: str
    current_active_server: Annotated[str, Meta(description="The node that delivers now; empty when none does.")]
    status: Annotated[
        str,
        Meta(
            description="`active`; `pending`: its model has no events yet; `error`: the last attempt failed, or it is "
            "over."
        ),
    ]
    status_reason: Annotated[str, Meta(description="Why it is not `active` (ours); empty where it is.")]
    error_count: Annotated[int, Meta(description="Attempts that failed.")]
    posts_count: Annotated[int, Meta(description="Events that the receiver took.")]


class CreatedSubscription(SubscriptionView, frozen=True, rename="kebab", kw_only=True):
    """A new subscription with its secret."""

    webhook_secret: Secret


class AcceptedSubscription(msgspec.Struct, frozen=True, rename="kebab"):
    """A new subscription was accepted; its name and secret."""

    code: int
    message: str
    id: str
    webhook_secret: Secret


class DeliveryView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """One attempt to deliver."""

    delivery_id: Annotated[str, Meta(description="The `webhook-id`: the same at every attempt at one message.")]
    kind: Annotated[str, Meta(description="`event`, `resend` or `test`.")]
    attempt: int
    attempt_datetime: str
    outcome: Annotated[
        str,
        Meta(description="`delivered`; `failed`: another attempt follows; `given-up`; `ended`: the receiver said 410."),
    ]
    response_status: Annotated[int | None, Meta(description="Null where no answer came.")]
    response_excerpt: str
    duration_ms: int
    error: str
    call_id: str
    event_ids: tuple[str, ...]
    next_attempt_datetime: str


def delivery_view(one: Attempt) -> DeliveryView:
    """Return an attempt as it is read."""
    return DeliveryView(
        delivery_id=one.delivery_id,
        kind=one.kind,
        attempt=one.number,
        attempt_datetime=instant_text(one.at),
        outcome=one.outcome,
        response_status=one.status or None,
        response_excerpt=one.excerpt,
        duration_ms=one.duration_ms,
        error=one.error,
        call_id=one.call_id,
        event_ids=one.events,
        next_attempt_datetime=instant_text(one.next_at),
    )


def _status(one: Subscription, progress: Progress, silent: str) -> tuple[str, str]:
    """Return the status and its reason; `silent` is why nothing is sent whatever the receiver says."""
    if silent:
        return "error", silent
    if one.model not in ACTIVE_MODELS:
        return "pending", "this model has no events yet"
    if progress.ended_restarts == one.restarts:
        return "error", "the receiver answered 410"
    return ("error", "the last attempt failed") if progress.is_failing else ("active", "")


def _fields(one: Subscription, progress: Progress, silent: str = "") -> dict[str, object]:
    status, reason = _status(one, progress, silent)
    return {
        "id": one.id,
        "model": one.model,
        "post-url": one.post_url,
        "subscription-geo-support": one.subscription_geo_support,
        "user-scope": one.user_scope,
        "reseller": one.reseller,
        "domain": one.domain,
        "user": one.user,
        "subscription-creation-datetime": instant_text(one.created_at),
        "subscription-expires-datetime": instant_text(one.expires_at),
        "preferred-server": one.preferred_server,
        "current-active-server": progress.node,
        "status": status,
        "status-reason": reason,
        "error-count": max(0, progress.errors + one.errors_offset),
        "posts-count": max(0, progress.posts + one.posts_offset),
    }


def subscription_view(one: Subscription, progress: Progress | None, *, silent: str) -> SubscriptionView:
    """Return a subscription as it is read; `progress` is what its deliveries have come to, where that is known.

    `silent` is why nothing is sent any more (`calls.events.subscriptions`), empty where something is.
    """
    return msgspec.convert(_fields(one, progress or Progress(), silent), SubscriptionView)


def created_view(one: Subscription) -> CreatedSubscription:
    """Return a subscription as its maker sees it, once."""
    return msgspec.convert(_fields(one, Progress()) | {"webhook-secret": one.secret}, CreatedSubscription)


def _field_schema(field: Field) -> Schema:
    # Null and blank are the same as absent; numbers may stand for texts, and digits for numbers (contract §1).
    schema: Schema = {"description": field.description, "examples": [field.example]}
    if field.enum:
        return schema | {"type": ["string", "null"], "enum": [*field.enum, "", None]}
    if field.is_count:
        digits = r"^[0-9]{0,15}$"
        return schema | {"type": ["string", "integer", "null"], "pattern": digits, "minimum": 0, "maximum": COUNT_LIMIT}
    schema |= {"type": ["string", "null"], "maxLength": field.max_length}
    if field.name == "post-url":
        schema |= {"type": "string", "pattern": URL_PATTERN, "minLength": 1}
    if field.name == "subscription-expires-datetime":
        schema["pattern"] = f"^({INSTANT.pattern})?$"
    return schema


def _schema(title: str, fields: tuple[Field, ...], *required: str) -> Schema:
    return {
        "title": title,
        "type": "object",
        "description": "Fields that are not listed are ignored and named in X-Ringbridge-Ignored.",
        "required": list(required),
        "properties": {field.name: _field_schema(field) for field in fields},
    }


CREATE_SCHEMA: Final = _schema("CreateSubscriptionRequest", CREATE_FIELDS, "post-url")
UPDATE_SCHEMA: Final = _schema("UpdateSubscriptionRequest", UPDATE_FIELDS)
CREATE_EXAMPLE: Final[Schema] = {"model": "call", "post-url": "https://crm.example.com/calls"}
UPDATE_EXAMPLE: Final[Schema] = {"post-url": "https://crm.example.com/calls/v2"}
