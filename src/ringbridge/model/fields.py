"""Fields of directory resources: how a value is taken, kept, and given back (contract §1, §4).

A record keeps every value as text; a field says what text is meant. `read_value` takes what clients send, numbers for
texts and texts for numbers; `wire_value` gives it back in the type that the contract's schema names. The tables of
fields are in `field_tables`, one a resource; what is done with a whole body is in `resources`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

import msgspec

from ringbridge.model.errors import Fault
from ringbridge.model.wire import YES_NO as YES_OR_NO
from ringbridge.model.wire import Number, control_fault, json_type, shown

Check: TypeAlias = Callable[[str], str | None]
"""Returns what a text must be and is not, or None."""

STORED: Final = "Stored and read back."
MAX_LENGTH: Final = 256
MAX_JSON_LENGTH: Final = 8192
MAX_WHOLE_DIGITS: Final = 12
MAX_EXACT_DIGITS: Final = 15
"""Longer ones are not exact as JSON numbers (RFC 8259 §6), so they are told as text."""


class Form(Enum):
    """What the text of a field is, and so its JSON type."""

    TEXT = "text"
    YES_NO = "yes or no"
    WHOLE = "a whole number"
    DECIMAL = "a number"
    DIGITS = "digits"
    """A telephone number, a PIN, an area code: a number in the contract's schemas, text where digits would be lost."""
    DATE_TIME = "YYYY-MM-DD HH:MM:SS in UTC, or RFC 3339"
    TRUTH = "true or false"
    JSON = "an object or a list"


class Role(Enum):
    """Who sets a field."""

    KEPT = "kept"
    NAME = "name"
    """Part of the record's key: set when it is made, never changed."""
    LIVE = "live"
    """Found out whenever it is read; a client's own value is ignored."""
    STAMPED = "stamped"
    """Set by the service when it writes."""
    SECRET = "secret"  # noqa: S105 - the name of a role
    """Taken, and never read back."""
    SEALED = "sealed"
    """Taken, and kept only as what is made of it."""


class Field(NamedTuple):
    """One field of a resource, for the check, the record, the answer and the OpenAPI document alike."""

    name: str
    form: Form = Form.TEXT
    description: str = STORED
    role: Role = Role.KEPT
    required: bool = False
    """A create by HTTP must name it."""
    always: bool = False
    """It is in every answer, also when it is empty."""
    default: str = ""
    enum: tuple[str, ...] = ()
    max_length: int = MAX_LENGTH
    pattern: str = ""
    allowed: str = ""
    check: Check | None = None
    plain: Callable[[str], str] | None = None
    """Makes what was written plain before it is checked."""
    alias: str = ""
    """Another name that clients send; the true one wins."""
    is_searched: bool = False
    """Lists can be narrowed by it."""
    example: str = ""


class WrongValue(ValueError):
    """A value is not what its field allows."""

    def __init__(self, code: str, message: str, *, found: str | None = None, allowed: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.found = found
        self.allowed = allowed

    def at(self, path: str, *, code: str | None = None) -> Fault:
        """Return the fault of the field at `path`."""
        return Fault(path, code or self.code, self.message, found=self.found, allowed=self.allowed)


def instant(text: str) -> datetime | None:
    """Return the moment that a date-time of the API means, or None: `YYYY-MM-DD[ HH:MM:SS]` in UTC, or RFC 3339."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?)?", text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _json_text(value: object) -> str:
    def plain(one: object) -> object:
        match one:
            case dict():
                return {str(name): plain(its) for name, its in one.items()}
            case list():
                return [plain(its) for its in one]
            case Number():
                return json.loads(str(one))
            case _:
                return one

    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def _read_json(value: object) -> str:
    if not isinstance(value, dict | list):
        found = shown(value) if isinstance(value, str) else json_type(value)
        raise WrongValue("wrong-type", "must be an object or a list", found=found, allowed=Form.JSON.value)
    text = _json_text(value)
    if len(text) > MAX_JSON_LENGTH:
        raise WrongValue("too-long", f"is longer than {MAX_JSON_LENGTH} characters of JSON")
    if (control := control_fault("", text)) is not None:
        raise WrongValue(control.code, control.message, allowed=control.allowed)
    return text


def _as_text(field: Field, value: object) -> str:
    if field.form is Form.TRUTH and isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str):
        message = "must be text" if field.form is Form.TEXT else f"must be {field.form.value}"
        raise WrongValue("wrong-type", message, found=json_type(value), allowed=field.allowed or None)
    if isinstance(value, Number) and not value.isdigit() and (field.plain or field.form is Form.DIGITS):
        raise WrongValue("not-a-number", "must be digits", found=shown(value), allowed=field.allowed or None)
    return field.plain(str(value)) if field.plain else str(value)


def _form_fault(field: Field, text: str) -> tuple[str, str, str] | None:
    """Return code, message and what is allowed where `text` has not the form of its field."""
    match field.form:
        case Form.YES_NO | Form.TRUTH if text not in YES_OR_NO:
            return ("not-one-of", "must be yes or no", "yes, no")
        case Form.WHOLE if not (text.isascii() and text.isdigit() and len(text) <= MAX_WHOLE_DIGITS):
            return ("not-a-number", "must be a whole number", f"at most {MAX_WHOLE_DIGITS} digits")
        case Form.DECIMAL if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", text):
            return ("not-a-number", "must be a number", "digits with an optional fraction")
        case Form.DIGITS if field.check is None and not re.fullmatch(r"[0-9]{1,32}", text):
            return ("not-a-number", "must be digits", "1 to 32 digits")
        case Form.DATE_TIME if instant(text) is None:
            return ("not-a-date-time", f"must be {field.form.value}", field.form.value)
        case _:
            return None


def read_value(field: Field, value: object) -> str:
    """Return `value` as a record keeps it; empty for what sets the field back to nothing.

    JSON numbers arrive as `Number` (`api.http.requests`), and stand for text wherever their digits can.

    Raises:
        WrongValue: the field does not allow it.
    """
    if value is None:
        return ""
    if field.form is Form.JSON:
        text = _read_json(value)
        if field.check is not None and (must := field.check(text)) is not None:
            raise WrongValue("bad-value", must, allowed=field.allowed or must.removeprefix("must be "))
        return text
    text = _as_text(field, value)
    told = None if field.role in (Role.SECRET, Role.SEALED) else shown(text)
    if (control := control_fault(field.name, text)) is not None:
        raise WrongValue(control.code, control.message, found=told, allowed=control.allowed)
    if text == "":
        return text
    if field.enum and text not in field.enum:
        allowed = ", ".join(field.enum)
        raise WrongValue("not-one-of", f"must be one of {allowed}", found=told, allowed=allowed)
    if len(text) > field.max_length:
        message = f"must have at most {field.max_length} characters"
        raise WrongValue("too-long", message, found=told, allowed=f"at most {field.max_length} characters")
    if (wrong := _form_fault(field, text)) is not None:
        raise WrongValue(wrong[0], wrong[1], found=told, allowed=wrong[2])
    if field.check is not None and (must := field.check(text)) is not None:
        raise WrongValue("bad-value", must, found=told, allowed=field.allowed or must.removeprefix("must be "))
    return text


def wire_value(field: Field, text: str) -> object:
    """Return the JSON value of a field whose text is not empty."""
    match field.form:
        case Form.WHOLE:
            return int(text)
        case Form.DECIMAL | Form.DIGITS:
            return _number(text)
        case Form.TRUTH:
            return text == "yes"
        case Form.DATE_TIME:
            found = instant(text)
            return text if found is None else found.isoformat()
        case Form.JSON:
            return msgspec.json.decode(text)
        case _:
            return text


def _number(text: str) -> int | float | str:
    if text.isascii() and text.isdigit() and len(text) <= MAX_EXACT_DIGITS and (text == "0" or text[0] != "0"):
        return int(text)
    try:
        return float(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?", text) else text
    except ValueError:
        return text
