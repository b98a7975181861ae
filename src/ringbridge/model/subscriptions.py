"""The bodies of `…/subscriptions`, field by field (contract §5, schemas CreateSubscriptionRequest and Update…)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from ringbridge.model import names
from ringbridge.model.access import ANY, SCOPES
from ringbridge.model.errors import Fault
from ringbridge.model.times import epoch_s
from ringbridge.model.wire import YES_NO, Check, control_fault, json_type, shown

MODELS: Final = (
    "agent",
    "auditlog",
    "auditlog_lite",
    "call",
    "call_origid",
    "cdr",
    "contacts",
    "message",
    "messagesession",
    "subscriber",
    "presence",
    "voicemail",
)
ACTIVE_MODELS: Final = frozenset({"call", "call_origid", "cdr", "presence"})
"""Models that have events; subscriptions to the others are kept as `pending`."""
URL_LENGTH: Final = 2048
URL_PATTERN: Final = r"^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$"
_URL: Final = re.compile(URL_PATTERN)
COUNT_LIMIT: Final = 2**53


class Field(NamedTuple):
    """One field of a body, for the check and for the document."""

    name: str
    description: str
    example: str
    allowed: str
    enum: tuple[str, ...] = ()
    max_length: int = 64
    check: Check | None = None
    is_count: bool = False


def url_fault(text: str) -> tuple[str, str] | None:
    """Return the code and message of what keeps `text` from being a receiver's URL, or None.

    Where it leads is checked when it is used, at every attempt: names change their addresses.
    """
    if not _URL.fullmatch(text):
        return ("bad-url", "is no http or https URL in printable ASCII")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return ("bad-url", "is no URL")
    if not parts.hostname or port == 0:
        return ("bad-url", "names no host, or port 0")
    if "@" in parts.netloc:
        return ("bad-url", "holds a user name or password; deliveries are signed instead")
    if parts.fragment or "\\" in text:
        return ("bad-url", "holds a fragment or a backslash")
    return None


def _named(pattern: re.Pattern[str]) -> Check:
    def check(text: str) -> tuple[str, str] | None:
        return None if text == ANY or pattern.fullmatch(text) else ("bad-name", "is no such name")

    return check


def _datetime(text: str) -> tuple[str, str] | None:
    return None if epoch_s(text) is not None else ("not-a-datetime", "is no date and time")


_MODEL = Field(
    "model",
    "What is told of: `call` and `call_origid` each change of a call, `cdr` the CDR, `presence` each change of a "
    "user's presence (`inactive`, `open`, `alerting`, `held`, `inuse`). The others have no events yet.",
    "call",
    ", ".join(MODELS),
    MODELS,
)
_URL_FIELD = Field(
    "post-url",
    "Where events are POSTed to.",
    "https://crm.example.com/calls",
    "an http or https URL without user name and fragment",
    max_length=URL_LENGTH,
    check=url_fault,
)
_GEO = Field("subscription-geo-support", "Another node takes over when one is away.", "yes", "yes, no", YES_NO)
_PREFERRED = Field(
    "preferred-server", "Node that delivers while it is up.", "node-1", "a name", check=_named(names.DEVICE)
)
_EXPIRES = Field(
    "subscription-expires-datetime",
    "When it ends. Default: with the token; for an API key in 20 years.",
    "2030-01-01 00:00:00",
    "YYYY-MM-DD HH:MM:SS in UTC, or RFC 3339",
    check=_datetime,
)
CREATE_FIELDS: Final = (
    Field("synchronous", "`yes`: 200 with the subscription. `no`: 202.", "no", "yes, no", YES_NO),
    _MODEL,
    _URL_FIELD,
    _GEO,
    Field("reseller", "Whose domains; `*`: all that the token rules over.", "*", "a name", check=_named(names.DOMAIN)),
    Field("domain", "Whose events; `*`: all that the token rules over.", "*", "a domain", check=_named(names.DOMAIN)),
    Field("user", "Whose events; `*`: all that the token rules over.", "*", "a user", check=_named(names.USER)),
    Field("user-scope", "No wider than the token's.", "Basic User", ", ".join(SCOPES), tuple(SCOPES)),
    _EXPIRES,
    _PREFERRED,
)
UPDATE_FIELDS: Final = (
    _MODEL,
    _URL_FIELD,
    _GEO,
    _EXPIRES,
    _PREFERRED,
    Field("error-count", "Count on from here.", "0", "a whole number", max_length=16, is_count=True),
    Field("posts-count", "Count on from here.", "0", "a whole number", max_length=16, is_count=True),
)


class SubscriptionOrder(msgspec.Struct, frozen=True):
    """The texts of a body that passed, by field name, without those that were absent, and which had no effect."""

    texts: dict[str, str]
    ignored: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    """What is wrong with the other fields."""

    def get(self, name: str, default: str = "") -> str:
        return self.texts.get(name, default)

    @property
    def expires_at(self) -> float | None:
        return epoch_s(self.get("subscription-expires-datetime"))


def _fault(field: Field, value: object) -> Fault | None:
    name, allowed = field.name, field.allowed
    if not isinstance(value, str):
        return Fault(name, "wrong-type", "must be a string", found=json_type(value), allowed=allowed)
    if (fault := control_fault(name, value)) is not None:
        return fault
    if len(value) > field.max_length:
        return Fault(name, "too-long", f"is longer than {field.max_length} characters", found=shown(value))
    if field.enum and value not in field.enum:
        return Fault(name, "not-one-of", f"must be one of {allowed}", found=shown(value), allowed=allowed)
    if field.is_count and not (value.isascii() and value.isdigit() and int(value) <= COUNT_LIMIT):
        return Fault(name, "not-a-number", "must be a whole number", found=shown(value), allowed=allowed)
    wrong = field.check(value) if field.check is not None else None
    return Fault(name, wrong[0], wrong[1], found=shown(value), allowed=allowed) if wrong else None


def read_subscription_order(
    body: Mapping[str, object], fields: tuple[Field, ...], *, required: tuple[str, ...] = (), now: float
) -> SubscriptionOrder:
    """Return what a JSON `body` asks for, and all that is wrong with it; null and blank are the same as absent."""
    faults: list[Fault] = []
    texts: dict[str, str] = {}
    for field in fields:
        value = body.get(field.name)
        if value is None or value == "":
            if field.name in required:
                faults.append(Fault(field.name, "missing", "is required", allowed=field.allowed))
        elif (fault := _fault(field, value)) is not None:
            faults.append(fault)
        else:
            texts[field.name] = str(value)
    ignored = tuple(name for name in body if name not in {one.name for one in fields})
    order = SubscriptionOrder(texts, ignored)
    if order.expires_at is not None and order.expires_at <= now:
        expires = _EXPIRES.name
        faults.append(Fault(expires, "in-the-past", "is in the past", found=texts[expires], allowed="a later time"))
    return SubscriptionOrder(texts, ignored, tuple(faults))
