"""What names and numbers look like, wherever they come from (contract §1 "Path patterns", §3 "Body of POST").

Everything that can reach a SIP message or a bus subject passes one of these first.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

DOMAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
USER: Final = re.compile(r"[A-Za-z0-9._-]{1,16}")
DEVICE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
CALL_ID: Final = re.compile(r"[A-Za-z0-9._@:+=-]{1,128}")
CALL_NAME: Final = re.compile(r"[!-.0-~]{1,255}")
"""Whatever names a call in a path: the application's id, a session id, or a SIP Call-ID (`word [ "@" word ]`)."""
NUMBER: Final = re.compile(r"\+?[0-9]{1,32}")
DIALLED: Final = re.compile(r"\+?[0-9*#]{1,32}")
"""A number as dialled: star codes too."""
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What no text of ours may hold: control characters, line separators, halves of surrogate pairs."""
TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110 §5.6.2, and RFC 3261 §25.1 but for `#`, `$`, `&`, `^` and `|`."""

_SEPARATORS: Final = re.compile("[ \u00a0\u2007\u2009\u202f()\\[\\]./\u2010-\u2015\u2212-]")
_URI: Final = re.compile(r"sips?:(?P<user>[A-Za-z0-9._~+*#-]{1,64})@(?P<domain>[A-Za-z0-9._-]{1,64})", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"(?P<user>[A-Za-z0-9._~+*#-]{1,64})@(?P<domain>[A-Za-z0-9._-]{1,64})")


class Party(msgspec.Struct, frozen=True):
    """Someone to ring, as a request names them. `1001` is both a possible name and a number; the directory decides."""

    name: str = ""
    """A possible user or device; empty when it cannot be one."""
    domain: str = ""
    """The domain that was named with it; empty: the caller's own."""
    number: str = ""
    """Digits with an optional `+` (and `*`, `#`), without separators; empty when it is no number."""


def number_of(text: str) -> str | None:
    """Return a telephone number without the separators people write, or None if it is none: `+45 12-34` → `+451234`."""
    bare = _SEPARATORS.sub("", text)
    return bare if NUMBER.fullmatch(bare) else None


def party_of(text: str) -> Party | None:
    """Return who is meant by an extension, device, number, `user@domain` or `sip:` URI; None if it can be nobody."""
    text = text.strip()
    if address := _URI.fullmatch(text) or _ADDRESS.fullmatch(text):
        name = address["user"]
        return Party(
            name=name if DEVICE.fullmatch(name) else "",
            domain=address["domain"],
            number=name if DIALLED.fullmatch(name) else "",
        )
    bare = _SEPARATORS.sub("", text)
    number = bare if DIALLED.fullmatch(bare) else ""
    name = text if DEVICE.fullmatch(text) and any(map(str.isalnum, text)) else ""
    return Party(name=name, number=number) if name or number else None
