"""What is known of a telephone number before it is dialled: its country, its kind, and whether it is known to be dear.

Numbers are taken as dial plans send them: `+4531234567`, `4531234567`, `004531234567`, or as they are dialled in the
domain's own country. The numbering plans are those of the `phonenumbers` library.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec
import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneNumber, PhoneNumberType

EMERGENCY: Final = frozenset({"112", "911"})
"""Where the domain's country is not known (3GPP TS 22.101 §10.1 has them work everywhere)."""
LONGEST_EMERGENCY: Final = 8
"""Digits; no country has a number for help that is longer, and most calls need not be looked up for that."""
SATELLITE: Final = frozenset({870, 878, 881, 882, 883, 979})
"""ITU-T E.164 country codes of satellites, networks without a country, and international premium rate."""
DEAR_KINDS: Final = {
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.PERSONAL_NUMBER: "a personal number, which costs more than its country",
}
DEAR_REGIONS: Final = frozenset(
    {
        "AC",
        "CF",
        "CK",
        "CU",
        "DJ",
        "ER",
        "FK",
        "GM",
        "GN",
        "GW",
        "KI",
        "KM",
        "KP",
        "MG",
        "NR",
        "NU",
        "PG",
        "PW",
        "SB",
        "SH",
        "SL",
        "SO",
        "ST",
        "TD",
        "TK",
        "TL",
        "TO",
        "TV",
        "VU",
        "WF",
        "WS",
        "ZW",
    }
)
"""Countries where a minute costs far more than elsewhere, and where stolen accounts are made to call."""
FREE_KINDS: Final = frozenset({PhoneNumberType.TOLL_FREE})
NO_COUNTRY: Final = "001"
"""Region of numbers that belong to the world, as `phonenumbers` has it."""


class NumberFacts(msgspec.Struct, frozen=True):
    """`number` is `+` and digits where it could be told, else as given; `region` an ISO 3166-1 code, or empty."""

    number: str
    region: str = ""
    is_emergency: bool = False
    is_free: bool = False
    dear_kind: str = ""
    """What makes the number itself dear, in words."""
    is_dear_region: bool = False


def _ways(number: str, home: str) -> Iterator[tuple[str, str | None]]:
    """Yield how `number` may be meant, the likeliest first: text, and the country it is dialled in."""
    digits = number.removeprefix("+")
    if number.startswith("+"):
        yield number, None
        return
    if home:
        yield number, home
    if digits.startswith("00"):
        yield f"+{digits[2:]}", None
    if digits.startswith("011"):
        yield f"+{digits[3:]}", None
    yield f"+{digits}", None


def _has_country_code(text: str) -> bool:
    """Return whether digits behind a `+` begin with a country's code. `parse` says so too, by a costly exception."""
    return any(text[1:end].isdecimal() and int(text[1:end]) in COUNTRY_CODE_TO_REGION_CODE for end in (2, 3, 4))


def _parsed(number: str, home: str) -> tuple[PhoneNumber, int] | None:
    """Return the first way to read `number` that is a number of a country's plan, with its kind."""
    for text, region in _ways(number, home):
        if region is None and not _has_country_code(text):
            continue
        try:
            found = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException as error:
            # The library's frames hold what they raised: without this each would be left to the garbage collector.
            error.__traceback__ = error.__context__ = None
            continue
        kind = phonenumbers.number_type(found)
        if kind != PhoneNumberType.UNKNOWN or found.country_code in SATELLITE:
            return found, kind
    return None


def _is_emergency(digits: str, home: str) -> bool:
    if len(digits) > LONGEST_EMERGENCY:
        return False
    if home:
        return phonenumbers.is_emergency_number(digits, home)
    return digits in EMERGENCY


def is_region(code: str) -> bool:
    """Return whether `code` is a country that numbers belong to, as an ISO 3166-1 code."""
    return code in phonenumbers.SUPPORTED_REGIONS


@lru_cache(maxsize=16_384)
def facts_of(number: str, home: str = "") -> NumberFacts:
    """Return what is known of `number`; `home` is the country, an ISO code, in which it is dialled."""
    digits = number.removeprefix("+")
    home = home if is_region(home) else ""
    if _is_emergency(digits, home):
        return NumberFacts(digits, home, is_emergency=True)
    found = _parsed(number, home)
    if found is None:
        return NumberFacts(number)
    number_found, kind = found
    region = phonenumbers.region_code_for_number(number_found) or ""
    satellite = number_found.country_code in SATELLITE
    dear = "a satellite or a network without a country" if satellite else DEAR_KINDS.get(kind, "")
    return NumberFacts(
        number=phonenumbers.format_number(number_found, phonenumbers.PhoneNumberFormat.E164),
        region="" if region == NO_COUNTRY else region,
        is_free=kind in FREE_KINDS,
        dear_kind=dear,
        is_dear_region=region in DEAR_REGIONS,
    )
