"""What a caller may write where a destination or a caller ID belongs, made plain. Syntax only; no look-ups."""

from __future__ import annotations

import re

import msgspec

SEPARATORS = str.maketrans("", "", " -.()/[]\u00a0")
"""Spaces, dashes, dots, slashes and brackets that people put into numbers (contract §3 `call-term-user`)."""
NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
CALLER_ID = re.compile(r"\+?[0-9]{1,20}")
NAME = re.compile(r"[A-Za-z0-9._+*#-]{1,64}")
LOCAL = re.compile(r"[2-9][0-9]{6}")
"""A number as it is dialled within its area, in the North American Numbering Plan: seven digits, the first from 2."""
AREA_CODE = re.compile(r"[2-9][0-9]{2}")


class Party(msgspec.Struct, frozen=True):
    """A party as written: `name` is an extension, a device or a number; `host` is empty where none was written."""

    name: str
    host: str = ""
    is_uri: bool = False
    """Written as a `sip:` URI: an address-of-record, so a device of that name goes before a user."""
    written: str = ""
    """The name with its separators, where a user or a device may be called just so (`100-1`); else empty."""


def parse_party(text: str) -> Party | None:
    """Return the party that `text` names, or None where it names none.

    Taken: `1002`, `1001_mobile`, `+45 31 23-45 67`, `1002@domain`, `sip:1002@domain`.
    """
    text = text.strip()
    scheme = text[:4].lower() == "sip:"
    if scheme:
        text = text[4:]
    name, at, host = text.partition("@")
    if at and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", host):
        return None
    plain = name.translate(SEPARATORS)
    if NUMBER.fullmatch(plain):
        written = name if name != plain and NAME.fullmatch(name) else ""
        return Party(plain, host, is_uri=scheme, written=written)
    return Party(name, host, is_uri=scheme) if NAME.fullmatch(name) else None


def is_number(name: str) -> bool:
    """Return whether `name` can be dialled as a number: digits, `*`, `#`, with an optional leading `+`."""
    return NUMBER.fullmatch(name) is not None


def with_area_code(number: str, area_code: str) -> str:
    """Return a local number with the area code before it; any other number, and one without such a code, as it is."""
    is_local = LOCAL.fullmatch(number) and AREA_CODE.fullmatch(area_code)
    return f"{area_code}{number}" if is_local else number


def plain_number(text: str) -> str | None:
    """Return a caller ID without separators, or None where it is no number."""
    plain = text.strip().translate(SEPARATORS)
    return plain if CALLER_ID.fullmatch(plain) else None


def same_number(one: str, other: str) -> bool:
    """Return whether two numbers are the same but for separators and a leading `+`."""
    return one.translate(SEPARATORS).removeprefix("+") == other.translate(SEPARATORS).removeprefix("+")
