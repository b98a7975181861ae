"""One record of a directory document, field by field: what is taken, what is refused, what is said then."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

import msgspec

from ringbridge.model import names
from ringbridge.model.access import MODELS, SCOPES, parse_models, parse_networks
from ringbridge.model.dial_patterns import check_pattern
from ringbridge.model.dial_times import check_date, check_days, check_time
from ringbridge.model.directory import YesNo
from ringbridge.model.errors import Fault
from ringbridge.model.numbers import SEPARATORS, plain_number
from ringbridge.model.times import epoch_s
from ringbridge.model.wire import control_fault, json_type, shown

T = TypeVar("T", bound=msgspec.Struct)

MAX_LENGTH: Final = 256
NOT_IN_DOCUMENTS: Final = frozenset({"ha1-md5", "ha1-sha256"})
"""Fields of records that a document never names: they are made from a password."""
APPLICATIONS: Final = frozenset(
    {
        "available-number",
        "hangup",
        "spam-screening",
        "to-callqueue",
        "to-callqueue-announce-count-callers-ahead",
        "to-callqueue-announce-expected-wait-time",
        "to-connection",
        "to-connection-add-header",
        "to-connection-add-header-force-caller-id",
        "to-connection-add-header-no-timeout",
        "to-connection-block-caller-id",
        "to-connection-no-timeout",
        "to-connection-or-user-no-failover",
        "to-single-device",
        "to-single-device-add-header",
        "to-single-device-add-header-allow-voicemail",
        "to-single-device-add-header-allow-voicemail-residential",
        "to-user",
        "to-user-add-header",
        "to-user-answer-and-fake-ringback",
        "to-user-notify-of-recording",
        "to-user-residential",
        "to-user-residential-add-header",
        "to-voicemail",
        "to-voicemail-residential",
    }
)
"""Schema `DialruleApplication`."""


class KeyFields(msgspec.Struct, frozen=True, rename="kebab"):
    """An API key as a document names it; an empty scope means the widest that its place allows to a person there."""

    domain: str
    user: str
    description: str
    user_scope: str = ""
    reseller: str = "*"
    ip_address: str = ""
    readonly: YesNo = "no"
    can_create_keys: YesNo = "no"
    allowed_models: str = ""
    """Comma list."""
    expires_datetime: str = ""


def _matches(pattern: re.Pattern[str], allowed: str) -> Callable[[str], str | None]:
    return lambda text: None if pattern.fullmatch(text) else f"must be {allowed}"


def _number(text: str) -> str | None:
    return None if not text or plain_number(text) else "must be a telephone number"


def _scope(text: str) -> str | None:
    return None if not text or text in SCOPES else f"must be one of {', '.join(SCOPES)}"


def _application(text: str) -> str | None:
    return None if text in APPLICATIONS else "must be one of the dial rule applications"


def _networks(text: str) -> str | None:
    try:
        parse_networks(text)
    except ValueError:
        return "must be a comma list of addresses and CIDR"
    return None


def _models(text: str) -> str | None:
    unknown = parse_models(text) - set(MODELS.values())
    return f"must be a comma list of {', '.join(MODELS.values())}" if unknown else None


def _instant(text: str) -> str | None:
    return None if not text or epoch_s(text) else "must be YYYY-MM-DD HH:MM:SS in UTC, or RFC 3339"


_CHECKS: Final[dict[str, Callable[[str], str | None]]] = {
    "domain": _matches(names.DOMAIN, "1 to 64 letters, digits and . _ -"),
    "user": _matches(re.compile(r"[A-Za-z0-9._-]{0,16}"), "at most 16 letters, digits and . _ -"),
    "device": _matches(names.DEVICE, "1 to 64 letters, digits and . _ -"),
    "phonenumber": _matches(re.compile(r"[0-9]{1,32}"), "digits"),
    "caller-id-number": _number,
    "user-scope": _scope,
    "ip-address": _networks,
    "allowed-models": _models,
    "expires-datetime": _instant,
    "dial-rule-application": _application,
    "dail-rule-matching-to-uri": check_pattern,
    "dail-rule-matching-from-uri": check_pattern,
    "dial-rule-matching-day-of-week": check_days,
    "dial-rule-matching-start-date": check_date,
    "dial-rule-matching-end-date": check_date,
    "dial-rule-matching-start-time": check_time,
    "dial-rule-matching-end-time": check_time,
    "connection-address": _matches(
        re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?"), "host or host:port"
    ),
    "connection-sip-transport-protocol": _matches(re.compile(r"udp|tcp|tls", re.IGNORECASE), "udp, tcp or tls"),
    "connection-orig-match-pattern": _matches(re.compile(r"[!-~]{1,128}"), "1 to 128 characters without spaces"),
}


def _converted(field: msgspec.structs.FieldInfo, value: object) -> object:
    """Return `value` as the field's type has it.

    Raises:
        ValueError: it cannot be that; the message says what it must be.
    """
    yes_no = field.type == YesNo
    if isinstance(value, bool) and (yes_no or field.encode_name.endswith("-enabled")):
        return "yes" if value else "no"
    if yes_no:
        if value not in ("yes", "no"):
            raise ValueError("must be yes or no")
        return value
    if isinstance(value, bool | list | dict | float):
        message = f"must be text, not {json_type(value)}"
        raise ValueError(message)  # noqa: TRY004 - a wrong document, not a wrong call of this function
    text = str(value)
    if field.type is not str:
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise ValueError("must be a whole number")
        return int(text)
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must have at most {MAX_LENGTH} characters")
    if field.encode_name == "phonenumber":
        text = text.translate(SEPARATORS).removeprefix("+")
    check = _CHECKS.get(field.encode_name)
    if (wrong := check(text) if check else None) is not None:
        raise ValueError(wrong)
    return text


def _fault(path: str, value: object, message: str) -> Fault:
    if isinstance(value, str):
        # A wrong value of a secret is not repeated.
        return Fault(path, "bad-value", message, found=None if "password" in path else shown(value))
    return Fault(path, "bad-value", message)


def read_record(
    kind: type[T],
    raw: Mapping[str, object],
    path: str,
    faults: list[Fault],
    *,
    given: Mapping[str, str] | None = None,
    also: Collection[str] = (),
) -> T | None:
    """Return the record that `raw` describes, or None where its faults were added to `faults`.

    `given` are the fields that its place in the document decides; `also` are names that the caller reads itself.
    """
    given = given or {}
    before = len(faults)
    values: dict[str, object] = {}
    known: set[str] = set()
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        if name in NOT_IN_DOCUMENTS:
            continue
        known.add(name)
        at = f"{path}.{name}"
        value = raw.get(name)
        if name in given:
            values[field.name] = given[name]
            if value is not None and str(value) != given[name]:
                message = f"must be {given[name]}, as its place says, or left out"
                faults.append(Fault(at, "misplaced", message, found=shown(str(value))))
        elif value is None or (value == "" and field.required):
            if field.required:
                faults.append(Fault(at, "missing", "is required"))
        elif isinstance(value, str) and (control := control_fault(at, value)) is not None:
            faults.append(msgspec.structs.replace(control, found=None) if "password" in name else control)
        else:
            try:
                values[field.name] = _converted(field, value)
            except ValueError as wrong:
                faults.append(_fault(at, value, str(wrong)))
    faults += [
        Fault(f"{path}.{shown(name)}", "unknown-field", "is not known here")
        for name in raw
        if name not in known and name not in also
    ]
    return kind(**values) if len(faults) == before else None
