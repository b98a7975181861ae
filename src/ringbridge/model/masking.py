"""What a request history may keep and show: secrets taken out of bodies and queries, telephone numbers masked.

A secret is known by the name that it stands under, or by its own look. What cannot be read as JSON is kept only if no
word in it sounds like one.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from ringbridge.model.exchanges import NO_BODY, KeptBody

HIDDEN: Final = "[hidden]"
SECRET_NAME: Final = re.compile(
    r"pass(word|wd|code|phrase)|secret|(?<!language-)token|api[-_]?key$|authorization|credential|cookie|backup-codes"
    r"|(^|[-_])(pin|otp)$|^file-access-url$",
    re.IGNORECASE,
)
"""Names of fields whose values are never kept."""
KEY: Final = "key"
"""The name that a new API key is told under; a list of that name says which record is meant."""
SECRET_TEXT: Final = re.compile(
    r"\bns[srdu]_[A-Za-z0-9]{20,}|\bwhsec_[A-Za-z0-9+/=]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*|\b(?:Bearer|Digest)\s+\S.*"
    r"|\bBasic\s+(?![A-Z]?[a-z]+(?![A-Za-z0-9+/=]))\S.*|\botpauth:\S+",
)
"""What is a secret wherever it stands: keys, signing secrets, tokens, credentials, what an authenticator is told.

No word of plain letters is a base64 of name and password, so a "Basic User" stays."""
_SUSPICIOUS: Final = re.compile(
    r"pass|secret|token|key|auth|cred|cookie|backup|pin|otp|file-access|\\u|ns[srdu]_|whsec_|eyJ", re.IGNORECASE
)
_HEADER: Final = re.compile(r"\s*([A-Za-z0-9-]+)\s*:\s*(.+)", re.DOTALL)
_STRING: Final = r'"((?:[^"\\]|\\.)*)"'
_MEMBER: Final = re.compile(_STRING + r'\s*:\s*("(?:[^"\\]|\\.)*"?|\[[^\]]*\]?|\{[^}]*\}?|[^,}\]]*)', re.DOTALL)
"""A name and its value, in JSON that may be cut off anywhere."""

_NUMBER: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?)?)|\+?\d(?:[ ()/-]{0,2}\d){6,}"
)
SHOWN_DIGITS: Final = 2
SHORTEST_SECRET: Final = 5
"""Characters of the shortest text that may be or hold one, `pin:1`: most fields say yes or no."""


_MARKS: Final = ("nss_", "nsr_", "nsd_", "nsu_", "whsec_", "eyJ")


@lru_cache(maxsize=1024)
def _names_secret(name: str) -> bool:
    """Return whether `SECRET_NAME` is in it; the same few hundred names come again and again."""
    return SECRET_NAME.search(name) is not None


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name may hold a secret."""
    return name == KEY or _names_secret(name)


def looks_secret(text: str) -> bool:
    """Return whether a secret of a look of its own may be in `text`: quick, for what nearly never holds any."""
    return any([mark in text for mark in _MARKS])  # noqa: C419 - a generator takes three times as long


def without_secrets(text: str) -> str:
    """Return a text without what looks like a secret."""
    return SECRET_TEXT.sub(HIDDEN, text)


def mask_numbers(text: str) -> str:
    """Return `text` with only the last two digits of every telephone number in it; an extension is none."""
    return _NUMBER.sub(lambda found: found[0] if found["date"] else _masked(found[0]), text)


def _masked(number: str) -> str:
    digits = sum(map(str.isdigit, number))
    return "*" * (digits - SHOWN_DIGITS) + "".join(filter(str.isdigit, number))[-SHOWN_DIGITS:]


def masked_json(text: bytes) -> str:
    """Return a body with its numbers masked, also those that JSON writes in another way than as digits.

    JSON stays JSON: what was a number and is masked is a text.
    """
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return mask_numbers(text.decode(errors="replace").replace("\\u", ""))
    return msgspec.json.encode(_masked_value(value)).decode()


def _masked_value(value: object) -> object:
    if isinstance(value, str):
        return mask_numbers(value)
    if isinstance(value, dict):
        return {mask_numbers(name): _masked_value(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked_value(one) for one in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    plain = msgspec.json.encode(value).decode()
    masked = mask_numbers(plain)
    return value if masked == plain else masked


def keep_asked(body: bytes, size: int) -> KeptBody:
    """Return what is kept of a request's body; `size` is that of the whole."""
    if not size:
        return NO_BODY
    is_cut = len(body) < size
    if not is_cut:
        try:
            return _keep_json(body, size, may_repeat=True)
        except msgspec.DecodeError:
            pass
    if _SUSPICIOUS.search(body.decode(errors="replace")):
        return KeptBody(b"", size, "hidden")
    return KeptBody(body, size, "cut" if is_cut else "whole")


def keep_answered(body: bytes, size: int, *, tells_secrets: bool) -> KeptBody:
    """Return what is kept of an answer, which is ours: JSON with names in plain letters, or a stream of text."""
    if not size:
        return NO_BODY
    is_cut = len(body) < size
    if not tells_secrets:
        return KeptBody(body, size, "cut" if is_cut else "whole")
    if not is_cut:
        try:
            return _keep_json(body, size, may_repeat=False)
        except msgspec.DecodeError:
            pass
    text = body.decode(errors="replace")
    cleaned = SECRET_TEXT.sub(HIDDEN, _MEMBER.sub(_hide_member, text))
    return KeptBody(cleaned.encode(), size, "cut" if is_cut else "whole" if cleaned == text else "redacted")


def _hide_member(found: re.Match[str]) -> str:
    is_secret = SECRET_NAME.search(found[1]) or (found[1] == KEY and found[2].startswith('"'))
    return f'"{found[1]}":"{HIDDEN}"' if is_secret else found[0]


def _keep_json(body: bytes, size: int, *, may_repeat: bool) -> KeptBody:
    """Return what is kept of JSON; `may_repeat` says whether others wrote it, and so a name may stand in it twice."""
    value = msgspec.json.decode(body)
    cleaner = _Cleaner()
    cleaned = cleaner.clean(value)
    if cleaner.hid or (may_repeat and _SUSPICIOUS.search(body.decode(errors="replace")) and _repeats_a_name(body)):
        return KeptBody(msgspec.json.encode(cleaned), size, "redacted")
    return KeptBody(body, size, "whole")


def _repeats_a_name(body: bytes) -> bool:
    """Return whether an object in it may have a name twice: only the last value was looked at, and is kept."""
    found = False

    def look(pairs: list[tuple[str, object]]) -> None:
        nonlocal found
        found |= len(pairs) != len({name for name, _ in pairs})

    try:
        json.loads(body, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return True
    return found


class _Cleaner:
    """Replaces secrets in JSON values, and remembers whether there was any."""

    def __init__(self) -> None:
        self.hid = False

    def clean(self, value: object) -> object:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {name: self._member(name, one, value) for name, one in value.items()}
        if isinstance(value, list):
            return [self.clean(one) for one in value]
        return value

    def _member(self, name: str, value: object, among: dict[str, object]) -> object:
        # An answer that refuses a secret may repeat it beside the name of its field.
        of = among.get("field") if name == "found" else None
        is_secret = _names_secret(name) or (name == KEY and isinstance(value, str))
        if is_secret or (isinstance(of, str) and is_secret_name(of)):
            self.hid = True
            return None if value is None else HIDDEN
        return self.clean(value)

    def _text(self, text: str) -> str:
        if len(text) < SHORTEST_SECRET:
            return text
        header = _HEADER.fullmatch(text)
        if header is not None and SECRET_NAME.search(header[1]):
            self.hid = True
            return f"{header[1]}: {HIDDEN}"
        cleaned = SECRET_TEXT.sub(HIDDEN, text)
        self.hid |= cleaned != text
        return cleaned


def keep_query(query: bytes) -> str:
    """Return a query string without secrets."""
    text = query.decode("latin-1")
    if not _SUSPICIOUS.search(text) and "%" not in text:
        return text
    fields = [
        (name, HIDDEN if SECRET_NAME.search(name) else SECRET_TEXT.sub(HIDDEN, value))
        for name, value in parse_qsl(text, keep_blank_values=True)
    ]
    return urlencode(fields, quote_via=quote)
