"""Headers that make a phone answer by itself (contract §3; RFC 5373 for Answer-Mode).

There is no one standard that phones obey, and they ignore what they do not know: so all forms go out together, unless
the device says which family it is of.
"""

from enum import StrEnum
from typing import Final

from ringbridge.sip.serializer import check_uri

_ALERT: Final = ("Alert-Info", "<http://127.0.0.1>;info=alert-autoanswer;delay=0")
_ALERT_POLYCOM: Final = ("Alert-Info", "<http://127.0.0.1>;info=Auto Answer;delay=0")
_ANSWER_MODE: Final = ("Answer-Mode", "Auto")  # without Require: a phone that does not know it may still ring
_COUNTERPATH: Final = ("P-Auto-answer", "normal")


class Family(StrEnum):
    """Phones that obey the same header."""

    CALL_INFO = "call-info"
    """Grandstream, Aastra/Mitel, Linphone, Cisco SPA, Zoiper."""
    CALL_AND_ALERT_INFO = "call-and-alert-info"
    """Yealink and Snom take either."""
    POLYCOM = "polycom"
    """By a ring class `Auto Answer` in the phone's configuration."""
    ANSWER_MODE = "answer-mode"
    """Whoever keeps to RFC 5373."""
    COUNTERPATH = "counterpath"
    """X-Lite, Bria."""


_BRANDS: Final = {
    "yealink": Family.CALL_AND_ALERT_INFO,
    "snom": Family.CALL_AND_ALERT_INFO,
    "grandstream": Family.CALL_INFO,
    "aastra": Family.CALL_INFO,
    "mitel": Family.CALL_INFO,
    "linphone": Family.CALL_INFO,
    "cisco": Family.CALL_INFO,
    "zoiper": Family.CALL_INFO,
    "polycom": Family.POLYCOM,
    "poly ": Family.POLYCOM,
    "x-lite": Family.COUNTERPATH,
    "bria": Family.COUNTERPATH,
}


def family_of(model: str) -> Family | None:
    """Return the family of a device's model (`Yealink T46U`), or None: then all headers are sent."""
    text = model.lower() + " "
    return next((family for brand, family in _BRANDS.items() if brand in text), None)


def auto_answer_headers(domain: str, family: Family | None = None) -> tuple[tuple[str, str], ...]:
    """Return the headers for the INVITE to a phone of this domain; all of them when the family is not known.

    Raises:
        UnsafeHeader: `domain` cannot stand in a URI.
    """
    call_info = ("Call-Info", f"<{check_uri(f'sip:{domain}')}>;answer-after=0")
    match family:
        case None:
            return call_info, _ALERT, _ANSWER_MODE, _COUNTERPATH
        case Family.CALL_INFO:
            return (call_info,)
        case Family.CALL_AND_ALERT_INFO:
            return call_info, _ALERT
        case Family.POLYCOM:
            return (_ALERT_POLYCOM,)
        case Family.ANSWER_MODE:
            return (_ANSWER_MODE,)
        case Family.COUNTERPATH:
            return (_COUNTERPATH,)
