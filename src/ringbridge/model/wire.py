"""The body of `POST …/calls`, field by field: what is required, what is allowed, what is said when it is not.

One table serves the check and the OpenAPI document. The check names every fault of a body (contract §1 "Errors"), and
takes what real clients send (contract §3): numbers for strings, old names for three fields, blanks for what has a
default. It decides nothing that needs the directory: that is `calls.place`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

import msgspec

from ringbridge.model import names
from ringbridge.model.errors import Fault
from ringbridge.model.events import CallRequest
from ringbridge.model.numbers import is_number, parse_party, plain_number

YES_NO: Final = ("yes", "no")
FOUND_LENGTH: Final = 64
"""Characters of a wrong value that an answer repeats."""

Check: TypeAlias = Callable[[str], tuple[str, str] | None]
"""Returns the code and message of what is wrong with a text, or None."""


class Number(str):
    """A JSON number as it was written; taken wherever its digits may stand as text."""

    __slots__ = ()


class Field(NamedTuple):
    """One field of a body, for the check and for the document."""

    name: str
    description: str
    example: str
    allowed: str = ""
    required: bool = False
    default: str = ""
    enum: tuple[str, ...] = ()
    max_length: int = 128
    pattern: str = ""
    alias: str = ""
    """An older name that clients still send; the true one wins."""
    check: Check | None = None


def _pattern(pattern: re.Pattern[str]) -> Check:
    def check(text: str) -> tuple[str, str] | None:
        return None if pattern.fullmatch(text) else ("bad-characters", "has characters that are not allowed here")

    return check


def _call_id(text: str) -> tuple[str, str] | None:
    if text in names.NO_CALL_ID:
        return ("reserved", "names something else in a path")
    return _pattern(names.CALL_ID)(text)


def _is_name(text: str) -> bool:
    return names.DEVICE.fullmatch(text) is not None and any(map(str.isalnum, text))


def _party(text: str) -> tuple[str, str] | None:
    party = parse_party(text)
    if party is not None and (is_number(party.name) or _is_name(party.name)):
        return None
    if "@" in text or ":" in text:
        return ("bad-address", "is no address of a user")
    return ("not-a-number", "is neither a number nor the name of a user or device")


def _number(text: str) -> tuple[str, str] | None:
    return None if plain_number(text) else ("not-a-number", "is not a telephone number")


def _header(text: str) -> tuple[str, str] | None:
    name, colon, _ = text.partition(":")
    if not colon or not names.TOKEN.fullmatch(name.rstrip()):
        return ("not-a-header", "is not one `Name: value`")
    if not re.fullmatch(r"[Xx]-[A-Za-z0-9.!%*_+`'~-]+", name.rstrip()):
        return ("header-not-allowed", "names a header that may not be added")
    return None


CALL_ID_PATTERN: Final = r"^(?!(\.|\.\.|count)$)[A-Za-z0-9._@:+=-]{1,128}$"
"""`names.CALL_ID` without `names.NO_CALL_ID`, as a schema says it."""
PARTY_ALLOWED: Final = "an extension, a device, a number, user@domain, or a sip: URI of an own domain"
NUMBER_ALLOWED: Final = "digits with an optional leading +; spaces, dashes and brackets are ignored"

FIELDS: Final = (
    Field(
        "synchronous",
        "`no`: 202 as soon as the call is accepted. `yes`: 200 with the call as its GET gives it.",
        "no",
        default="no",
        enum=YES_NO,
    ),
    Field(
        "call-id",
        "Chosen at random by the application: the call's name in every later request. One id is one call, for ever.",
        "b7f9c2d4-click-1",
        "letters, digits and . _ @ : + = -, but not `.`, `..` or `count`",
        required=True,
        pattern=CALL_ID_PATTERN,
        alias="callid",
        check=_call_id,
    ),
    Field(
        "dial-rule-application",
        "Dial rules with this application are tried first, then those without one.",
        "call",
        "letters, digits and . _ -",
        default="call",
        max_length=64,
        pattern="^[A-Za-z0-9._-]{0,64}$",
        check=_pattern(names.DEVICE),
    ),
    Field(
        "call-term-user",
        "Who is rung once the first leg has answered: an extension, a number, `user@domain`, a `sip:` URI.",
        "1002",
        PARTY_ALLOWED,
        required=True,
        alias="destination",
        check=_party,
    ),
    Field(
        "call-orig-user",
        "What rings first: a device, a user (all devices), a number. Default: the user of the path.",
        "1001",
        PARTY_ALLOWED,
        alias="origination",
        check=_party,
    ),
    Field(
        "auto-answer-enabled",
        "Ask the first leg's phone to answer by itself.",
        "no",
        default="no",
        enum=YES_NO,
    ),
    Field(
        "caller-id-number",
        "Caller ID shown to the second leg. Default: the user's own.",
        "+4570101010",
        NUMBER_ALLOWED,
        max_length=64,
        check=_number,
    ),
    Field(
        "callback-caller-id-number",
        "Caller ID shown to the first leg. Default: the user's own.",
        "+4570101011",
        NUMBER_ALLOWED,
        max_length=64,
        check=_number,
    ),
    Field(
        "call-term-added-sip-header",
        "One header added to the second leg's INVITE.",
        "X-Ticket: 4711",
        "one `X-Name: value`",
        max_length=256,
        check=_header,
    ),
)

KNOWN: Final = frozenset(field.name for field in FIELDS)

_JSON_TYPES: Final[tuple[tuple[type, str], ...]] = (
    (bool, "a JSON boolean"),
    (list, "a JSON array"),
    (dict, "a JSON object"),
)


class CallOrder(msgspec.Struct, frozen=True):
    """What a body asks for: the request, how it wants its answer, which fields had no effect, and what is wrong.

    With `faults` the request may not be placed; in it the fields that they name are empty.
    """

    request: CallRequest
    synchronous: bool = False
    ignored: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


def shown(text: str) -> str:
    """Return `text` as an answer may repeat it: short, and nothing that cannot be encoded."""
    short = text if len(text) <= FOUND_LENGTH else text[:FOUND_LENGTH] + "…"
    return short.encode("utf-8", "backslashreplace").decode()


def json_type(value: object) -> str:
    """Return what a JSON value is, in words, for `found`."""
    return next((words for kind, words in _JSON_TYPES if isinstance(value, kind)), "null")


def control_fault(name: str, text: str) -> Fault | None:
    """Return the fault of a text that holds a control character (CR, LF, NUL…), which nothing of ours may."""
    bad = names.CONTROL.search(text)
    if bad is None:
        return None
    where = f"holds the control character U+{ord(bad.group()):04X} at position {bad.start() + 1}"
    return Fault(name, "control-character", where, found=shown(text), allowed="printable text")


def _fault(field: Field, value: object) -> Fault | None:
    """Return what is wrong with a `value` that is there, or None."""
    name = field.name
    allowed = ", ".join(field.enum) or field.allowed or None
    if not isinstance(value, str):
        return Fault(name, "wrong-type", "must be a string", found=json_type(value), allowed=allowed or "a string")
    if (fault := control_fault(name, value)) is not None:
        return fault
    if field.enum:
        if value in field.enum:
            return None
        return Fault(name, "not-one-of", f"must be one of {allowed}", found=shown(value), allowed=allowed)
    if len(value) > field.max_length:
        message = f"is longer than {field.max_length} characters"
        return Fault(name, "too-long", message, found=shown(value), allowed=f"at most {field.max_length} characters")
    if isinstance(value, Number) and not value.isdigit():
        return Fault(name, "not-a-number", "must be a whole number or a string", found=shown(value), allowed=allowed)
    wrong = field.check(value) if field.check is not None else None
    return Fault(name, wrong[0], wrong[1], found=shown(value), allowed=allowed) if wrong else None


def checked(field: Field, value: object, faults: list[Fault]) -> str:
    """Return the field's text, trimmed, or its default; a fault is added to `faults`."""
    blank = value is None or (not field.enum and isinstance(value, str) and not value.strip(" "))
    if blank:
        if field.required:
            allowed = field.allowed or None
            faults.append(Fault(field.name, "missing", "is required", allowed=allowed))
        return field.default
    text = value.strip(" ") if type(value) is str and not field.enum else value
    if (fault := _fault(field, text)) is not None:
        faults.append(fault)
        return ""
    return str(text)


def read_call_order(body: Mapping[str, object], *, domain: str, user: str, query_call_id: str | None) -> CallOrder:
    """Return the request that a JSON `body` makes for `user` of `domain`, with every fault that can be read off it.

    `query_call_id` is `?callid=`, taken where the body names no call. JSON numbers arrive as `Number`.
    """
    faults: list[Fault] = []
    texts: dict[str, str] = {}
    ignored = [name for name in body if name not in KNOWN]
    for field in FIELDS:
        value = body.get(field.name)
        if value is None and field.alias and body.get(field.alias) is not None:
            value = body[field.alias]
            ignored.remove(field.alias)
        if value is None and field.name == "call-id":
            value = query_call_id
        if value is None and not field.required:
            texts[field.name] = field.default
        else:
            texts[field.name] = checked(field, value, faults)
    orig = texts["call-orig-user"]
    request = CallRequest(
        domain=domain,
        user=user,
        call_id=texts["call-id"],
        call_term_user=texts["call-term-user"],
        call_orig_user="" if orig == f"{user}@{domain}" else orig,
        dial_rule_application=texts["dial-rule-application"],
        auto_answer_enabled=texts["auto-answer-enabled"] == "yes",
        caller_id_number=texts["caller-id-number"],
        callback_caller_id_number=texts["callback-caller-id-number"],
        call_term_added_sip_header=texts["call-term-added-sip-header"],
    )
    return CallOrder(request, texts["synchronous"] == "yes", tuple(ignored), tuple(faults))
