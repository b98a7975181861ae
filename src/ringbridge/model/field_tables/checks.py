"""What single fields of the directory must be, beside their form; each returns the words for it where they are not."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ringbridge.model import names
from ringbridge.model.access import SCOPES
from ringbridge.model.numbers import SEPARATORS, plain_number
from ringbridge.model.wire import YES_NO

DOMAIN_PATTERN: Final = "^[A-Za-z0-9._-]{1,64}$"
NEW_DOMAIN_PATTERN: Final = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"
USER_PATTERN: Final = "^[A-Za-z0-9._-]{1,16}$"
DEVICE_PATTERN: Final = "^[A-Za-z0-9._-]{1,64}$"
NUMBER_ALLOWED: Final = "digits with an optional leading +; spaces, dashes and brackets are ignored"
SCOPE_NAMES: Final = tuple(SCOPES)
RESERVED: Final = frozenset({"count", "reorder", ".", ".."})
"""Names that paths of the API have for themselves, or that clients resolve away (RFC 3986 §5.2.4)."""
ASSERTED_SIP: Final = (
    r"(?:(sips?):)?((?:[A-Za-z0-9._+*#~!-]|\[\*\]){1,64})"
    r"@((?:[A-Za-z0-9.-]|<OwnDomain>){1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([1-9][0-9]{0,4}))?"
)
"""How a caller is asserted: with `[*]` for its number and `<OwnDomain>` for its domain."""
ASSERTED_TEL: Final = r"tel:(\[\*\]|\+[0-9]{1,32})"
_ASSERTED: Final = re.compile(f"{ASSERTED_SIP}|{ASSERTED_TEL}|[^@:]*", re.IGNORECASE)
_SEGMENT: Final = re.compile(r"[!-.0-~]{1,128}")
_TIME_FRAME: Final = re.compile(r"[!-.0-~]([ -.0-~]{0,62}[!-.0-~])?")
_HOST_PORT: Final = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


def _name(pattern: re.Pattern[str], allowed: str, text: str) -> str | None:
    if text.lower() in RESERVED:
        return f"must be another name than {text}: the API uses it itself"
    return None if pattern.fullmatch(text) else f"must be {allowed}"


def domain(text: str) -> str | None:
    """A domain name (contract §1 "Path patterns")."""
    return _name(names.DOMAIN, "1 to 64 letters, digits and . _ -", text)


def new_domain(text: str) -> str | None:
    """The name of a domain that is made now."""
    return domain(text) or _name(names.NEW_DOMAIN, "a name that begins with a letter, a digit or _", text)


def plan(text: str) -> str | None:
    """A dial plan is named like a domain."""
    return domain(text)


def user(text: str) -> str | None:
    """A user name (contract §1 "Path patterns")."""
    return _name(names.USER, "1 to 16 letters, digits and . _ -", text)


def device(text: str) -> str | None:
    """A device name: a SIP user part."""
    return _name(names.DEVICE, "1 to 64 letters, digits and . _ -", text)


def segment(text: str) -> str | None:
    """Whatever else stands in a path."""
    return _name(_SEGMENT, "1 to 128 characters without spaces and /", text)


def time_frame(text: str) -> str | None:
    """A time frame is named by people: `Office Hours`."""
    return _name(_TIME_FRAME, "1 to 64 characters without /, the first and the last no spaces", text)


def digits(text: str) -> str | None:
    """A number as records have it."""
    return None if re.fullmatch(r"[0-9]{1,32}", text) else "must be 1 to 32 digits"


def bare_number(text: str) -> str:
    """Return a number as records have it: without separators and without `+`."""
    return text.translate(SEPARATORS).removeprefix("+")


def number(text: str) -> str | None:
    """A caller ID."""
    return None if plain_number(text) else "must be a telephone number"


def numbers(text: str) -> str | None:
    """A comma list of telephone numbers."""
    wrong = [one for one in text.split(",") if one.strip() and not plain_number(one)]
    return "must be a comma list of telephone numbers" if wrong else None


def number_or_wildcard(text: str) -> str | None:
    """A caller ID, or `[*]`: the one that is there."""
    return None if text == "[*]" else number(text)


def host_port(text: str) -> str | None:
    """A host or address with an optional port."""
    found = _HOST_PORT.fullmatch(text)
    is_there = found is not None and (found[2] is None or 0 < int(found[2][1:]) < 65536)
    return None if is_there else "must be host or host:port"


def transport(text: str) -> str | None:
    """A SIP transport."""
    return None if text.lower() in ("udp", "tcp", "tls") else "must be udp, tcp or tls"


def asserted_id(text: str) -> str | None:
    """How a caller is asserted to a carrier: a URI, or any word for the plain one."""
    found = _ASSERTED.fullmatch(text)
    is_there = found is not None and (found[4] is None or int(found[4]) < 65536)
    return None if is_there else "must be sip:user@host or tel:+number, with [*] for the caller's number"


def health_interval(text: str) -> str | None:
    """How often a connection is asked: in seconds, and not so often that a carrier takes it for an attack."""
    return None if 5 <= int(text) <= 3600 else "must be 5 to 3600 seconds"


@lru_cache(maxsize=1024)
def time_zone(text: str) -> str | None:
    """The contract's list, and every other zone of the IANA database."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "must be an IANA time zone"
    return None


def feature(text: str) -> str | None:
    """Schema `AnswerruleFeature`: whether it is on, and its parameters."""
    value = msgspec.json.decode(text)
    if not isinstance(value, dict) or value.get("enabled", "no") not in YES_NO:
        return "must be an object with `enabled`, yes or no"
    if not isinstance(value.get("parameters", []), list):
        return "must have a list of `parameters`"
    return None
