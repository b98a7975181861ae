"""A value for every field of the directory's schemas, other than what the field has when nobody sets it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.contract.shapes import SCHEMAS
from tests.contract.wire import Json

TIMES = "2026-03-01T10:00:00+00:00"
DATES = "2026-03-01T00:00:00+00:00"
FEATURE = {"enabled": "yes", "parameters": [{"user": "1001"}]}
LISTED = {"enabled": "yes", "parameters": [{"phonenumber": "12025550199"}]}
RECORDING = {"recording-format": "wav"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of the contract: the schemas that it is read, created and updated by."""

    read: str
    create: str
    update: str


KINDS = {
    kind.read: kind
    for kind in (
        Kind("Domain", "CreateDomainRequest", "UpdateDomainRequest"),
        Kind("User", "CreateUserRequest", "UpdateUserRequest"),
        Kind("Device", "CreateDeviceRequest", "UpdateDeviceRequest"),
        Kind("Phonenumber", "CreatePhonenumberRequest", "UpdatePhonenumberRequest"),
        Kind("DialRule", "CreateDialruleRequest", "UpdateDialruleRequest"),
        Kind("Connection", "CreateConnectionRequest", "UpdateConnectionRequest"),
        Kind("Answerrule", "DomainsDomainUsersUserAnswerrulesPostRequest", "Answerrule"),
    )
}
"""An update of an answer rule has no schema of its own in the document: it takes what a create takes."""

NAMES = {"domain", "user", "device", "phonenumber", "dialrule", "connection-orig-match-pattern", "time-frame"}
"""Name the resource: no update changes them."""
NOT_STORED = {"synchronous", "new-position"}
"""Say what the request is to do, and are no part of the resource."""
FOUND_OUT = {
    # what goes on now, and what was counted
    "active-calls-total-current",
    "active-calls-against-license-count",
    "active-calls-offnet-current",
    "count-subcriber-resources-total",
    "active-calls-max-last-month",
    "active-calls-max-this-month",
    "active-calls-orig-current",
    "active-calls-orig-since-startup",
    "active-calls-term-current",
    "active-calls-term-since-startup",
    # what a registration says
    "device-sip-registration-uri",
    "device-sip-registration-state",
    "device-sip-registration-contact",
    "device-sip-registration-core-server",
    "device-sip-registration-datetime",
    "device-sip-registration-expires-datetime",
    "device-sip-registration-ip-address",
    "device-sip-registration-user-agent",
    "device-sip-latency-seconds-current",
    "device-sip-latency-seconds-average",
    "connection-sip-registration-datetime",
    "connection-sip-registration-expires-datetime",
    # what is true of the user, and when it was written
    "name-full-name",
    "created-datetime",
    "last-modified-datetime",
    "time_range_data",
}
"""Facts that the server finds out: a client's own value would be a lie. They are ignored, and named as that."""
SECRETS = {
    "device-sip-registration-password",
    "device-provisioning-password",
    "email-send-smtp-password",
    "connection-sip-registration-password",
}
"""Taken and never read back."""

SPECIAL: dict[str, tuple[Json, Json]] = {
    "email-address": ("one@contract.example", "two@contract.example"),
    "email-send-from-address": ("one@contract.example", "two@contract.example"),
    "caller-id-number": (12025550111, 12025550112),
    "caller-id-number-emergency": (12025550113, 12025550114),
    "area-code": (202, 203),
    "dial-plan": ("plan-one", "plan-two"),
    "language-token": ("de_DE", "fr_CA"),
    "user-scope": ("Advanced User", "Call Center Agent"),
    "connection-address": ("192.0.2.7:5070", "192.0.2.8:5072"),
    "connection-sip-transport-protocol": ("TCP", "TLS"),
    "connection-sip-session-timer-enabled": ("yes", "no"),
    "dail-rule-matching-to-uri": ("sip:6601*@*", "sip:6602*@*"),
    "dail-rule-matching-from-uri": ("sip:10XX@*", "sip:11XX@*"),
    "dial-rule-matching-day-of-week": ("12345", "67"),
    "dial-rule-matching-start-time": ("08:00:00", "09:00:00"),
    "dial-rule-matching-end-time": ("17:00:00", "18:00:00"),
    "dial-rule-matching-start-date": (DATES, "2026-04-01T00:00:00+00:00"),
    "dial-rule-matching-end-date": ("2027-03-01T00:00:00+00:00", "2027-04-01T00:00:00+00:00"),
    "time-zone": ("US/Pacific", "Africa/Cairo"),
    "recording-configuration": (RECORDING, {"recording-format": "mp3"}),
    "call-routing": ({"one": 1}, {"two": 2}),
    "phone-numbers-to-allow": (LISTED, {"enabled": "no", "parameters": []}),
    "phone-numbers-to-reject": (LISTED, {"enabled": "no", "parameters": []}),
    "order": (3, 4),
    "is-active": (True, False),
}


def is_stored(name: str) -> bool:
    """Tell whether a field is one that a client sets and reads back."""
    return name not in NOT_STORED | FOUND_OUT | SECRETS


def samples(schema: str, name: str) -> tuple[Json, Json]:
    """Return two values that a field of a schema can have, neither of them its default."""
    if name in SPECIAL:
        return SPECIAL[name]
    field = SCHEMAS[schema][name]
    allowed = _enum(field)
    if allowed:
        others = [one for one in allowed if one != field.get("default")]
        return (others[0], others[-1] if len(others) > 1 else allowed[0])
    match str(field["type"]):
        case "int" | "float":
            return (17, 18)
        case "DateTime":
            return (TIMES, "2026-04-01T10:00:00+00:00")
        case "string":
            if name.endswith("-enabled"):
                return ("yes", "no")
            return (f"one {name}"[:24], f"two {name}"[:24])
        case _:
            return (FEATURE, {"enabled": "no", "parameters": []})


def _enum(field: dict[str, Json]) -> list[str]:
    if isinstance(field.get("enum"), list):
        return list(field["enum"])
    kind = str(field["type"])
    named = SCHEMAS.get(kind, {}).get("enum")
    if not isinstance(named, list):
        return []
    return ["no", "yes"] if kind == "YesNoStringYesDefault" else ["yes", "no"] if set(named) == {"yes", "no"} else named
