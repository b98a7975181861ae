"""Directory resources as data: a body becomes a record, a change is made to one, and one is told (contract §4).

A record's typed fields are those that act; every other field of the contract's schemas is kept in its `other`, as
text. Both are read, changed and told by the same table, so that to whoever asks there is no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from hashlib import blake2b
from typing import Final, NamedTuple, cast, get_args

import msgspec

from ringbridge.model.audit import AuditEntry, terms_of_entry
from ringbridge.model.directory import (
    AnswerRule,
    Connection,
    Device,
    DialRule,
    Domain,
    PhoneNumber,
    Record,
    User,
)
from ringbridge.model.field_tables.answer_rules import ANSWER_RULE_FIELDS
from ringbridge.model.field_tables.connections import CONNECTION_FIELDS
from ringbridge.model.field_tables.devices import DEVICE_FIELDS
from ringbridge.model.field_tables.dialling import DIAL_RULE_FIELDS, PHONE_NUMBER_FIELDS
from ringbridge.model.field_tables.domains import DOMAIN_FIELDS
from ringbridge.model.field_tables.users import USER_FIELDS
from ringbridge.model.fields import Field, Role, WrongValue, read_value, wire_value
from ringbridge.model.times import instant_text

CREATED: Final = "created-datetime"
MODIFIED: Final = "last-modified-datetime"
_NEVER_TOLD: Final = frozenset({Role.SECRET, Role.SEALED, Role.LIVE})
"""Roles of fields whose stored text no answer holds."""


class Resource(NamedTuple):
    """One kind of record with its fields; `title` is its schema in the contract, `key_names` are those of its key."""

    record: type[Record]
    title: str
    key_names: tuple[str, ...]
    fields: tuple[Field, ...]

    @property
    def kind(self) -> str:
        return str(self.record.__struct_config__.tag)

    def field(self, name: str) -> Field | None:
        return _FIELDS[self.kind].get(name)

    def kept(self, name: str, text: str) -> dict[str, str]:
        """Return what `other` holds of a field: nothing where it is what it would be anyway."""
        field = _FIELDS[self.kind].get(name)
        stands = text and field is not None and field.role is not Role.SEALED and text != field.default
        return {name: text} if stands else {}


DOMAIN: Final = Resource(Domain, "Domain", ("domain",), DOMAIN_FIELDS)
USER: Final = Resource(User, "User", ("domain", "user"), USER_FIELDS)
DEVICE: Final = Resource(Device, "Device", ("domain", "device"), DEVICE_FIELDS)
PHONE_NUMBER: Final = Resource(PhoneNumber, "Phonenumber", ("domain", "phonenumber"), PHONE_NUMBER_FIELDS)
DIAL_RULE: Final = Resource(DialRule, "DialRule", ("domain", "dial-rule-dial-plan", "dialrule"), DIAL_RULE_FIELDS)
CONNECTION: Final = Resource(Connection, "Connection", ("domain", "connection-orig-match-pattern"), CONNECTION_FIELDS)
ANSWER_RULE: Final = Resource(AnswerRule, "Answerrule", ("domain", "user", "time-frame"), ANSWER_RULE_FIELDS)
RESOURCES: Final = {one.kind: one for one in (DOMAIN, USER, DEVICE, PHONE_NUMBER, DIAL_RULE, CONNECTION, ANSWER_RULE)}


_FIELDS: Final = {kind: {field.name: field for field in one.fields} for kind, one in RESOURCES.items()}


class _Attribute(NamedTuple):
    """A typed field of a record under its wire name."""

    name: str
    is_whole: bool
    is_needed: bool
    default: object


@cache
def _attributes(record: type[Record]) -> dict[str, _Attribute]:
    return {
        one.encode_name: _Attribute(one.name, one.type is int or int in get_args(one.type), one.required, one.default)
        for one in msgspec.structs.fields(record)
        if one.name != "other"
    }


def is_typed(resource: Resource, field: Field) -> bool:
    """Return whether the record has an own attribute for the field, and so something may act on it."""
    return field.name in _attributes(resource.record)


def is_needed(resource: Resource, field: Field) -> bool:
    """Return whether there is no record without the field."""
    attribute = _attributes(resource.record).get(field.name)
    return attribute is not None and attribute.is_needed


# --- what comes in ---------------------------------------------------------------------------------------------------


class Read(NamedTuple):
    """What a body says: texts by field, and everything about it that may have to be told."""

    values: dict[str, str]
    faults: list[tuple[Field, WrongValue]]
    misplaced: list[str]
    """Names that its place decides, and that the body gives otherwise."""
    unknown: list[str]
    """Names that are none of the resource's, or that nobody can set."""


def read_fields(
    resource: Resource, raw: Mapping[str, object], *, given: Mapping[str, str], needed: Callable[[Field], bool]
) -> Read:
    """Return what `raw` says of a resource; `given` are the fields that its place decides."""
    read = Read({}, [], [], [])
    known: set[str] = set()
    for field in resource.fields:
        if field.role in (Role.LIVE, Role.STAMPED):
            continue
        known.update((field.name, field.alias))
        value = raw.get(field.name)
        if value is None and field.alias:
            value = raw.get(field.alias)
        if field.name in given:
            read.values[field.name] = given[field.name]
            if value is not None and str(value) != given[field.name]:
                read.misplaced.append(field.name)
        elif value in (None, "") and needed(field):
            read.faults.append((field, WrongValue("missing", "is required", allowed=field.allowed or None)))
        elif field.name in raw or field.alias in raw:
            try:
                read.values[field.name] = read_value(field, value)
            except WrongValue as wrong:
                read.faults.append((field, wrong))
    read.unknown.extend(name for name in raw if name not in known)
    return read


def make(resource: Resource, values: Mapping[str, str]) -> Record:
    """Return the record of `values`; what they do not name has its default."""
    attributes = _attributes(resource.record)
    typed: dict[str, object] = {}
    other: dict[str, str] = {}
    for name, text in values.items():
        attribute = attributes.get(name)
        if attribute is not None and (text or attribute.is_needed):
            typed[attribute.name] = int(text) if attribute.is_whole else text
        elif attribute is None:
            other |= resource.kept(name, text)
    build = cast("Callable[..., Record]", resource.record)
    return build(**typed, other=other)


def change(resource: Resource, record: Record, values: Mapping[str, str]) -> Record:
    """Return `record` with `values` in it; an empty text sets a field back to its default."""
    attributes = _attributes(resource.record)
    typed: dict[str, object] = {}
    other = dict(others_of(record))
    for name, text in values.items():
        attribute = attributes.get(name)
        if attribute is None:
            other.pop(name, None)
            other |= resource.kept(name, text)
        elif text:
            typed[attribute.name] = int(text) if attribute.is_whole else text
        elif not attribute.is_needed:
            typed[attribute.name] = attribute.default
    return msgspec.structs.replace(record, **typed, other=other)


def stamped(resource: Resource, record: Record, at: float, *, before: Record | None = None) -> Record:
    """Return `record` with the times at which it was made and changed; `at` is now, in epoch seconds."""
    now = instant_text(at)
    names = {field.name for field in resource.fields if field.role is Role.STAMPED}
    created = now if before is None else others_of(before).get(CREATED, "")
    values = {name: text for name, text in ((CREATED, created), (MODIFIED, now)) if name in names}
    if before is None and isinstance(record, Domain | User):
        record = msgspec.structs.replace(record, made_at=at)
    return change(resource, record, values) if values else record


def carried(resource: Resource, record: Record, before: Record) -> Record:
    """Return `record` with what `before` has and no document says: secrets where it names none, and times."""
    if isinstance(record, Domain | User) and isinstance(before, Domain | User):
        record = msgspec.structs.replace(record, made_at=before.made_at)
    texts, old = texts_of(resource, record), texts_of(resource, before)
    values = {
        field.name: old[field.name]
        for field in resource.fields
        if field.name in old
        and (field.role is Role.STAMPED or (field.role is Role.SECRET and not texts.get(field.name)))
    }
    return change(resource, record, values) if values else record


# --- what goes out ---------------------------------------------------------------------------------------------------


def others_of(record: Record) -> dict[str, str]:
    """Return the fields that are only kept."""
    other: dict[str, str] = getattr(record, "other", {})
    return other


def texts_of(resource: Resource, record: Record) -> dict[str, str]:
    """Return the record's fields as text, without those that are empty."""
    texts = dict(others_of(record))
    for name, attribute in _attributes(resource.record).items():
        value = getattr(record, attribute.name)
        if value not in (None, ""):
            texts[name] = str(value)
    return texts


def view(resource: Resource, record: Record, live: Mapping[str, object]) -> dict[str, object]:
    """Return the record as a GET gives it: contract names, the types of its schema, no secret.

    A field that is not set and has no default is left out, unless the schema requires it.
    """
    told = dict(_untouched(resource.kind))
    fields = _FIELDS[resource.kind]
    for name, text in texts_of(resource, record).items():
        field = fields.get(name)
        if field is not None and field.role not in _NEVER_TOLD:
            told[name] = _told(field, text)
    told.update((name, value) for name, value in live.items() if fields[name].role is Role.LIVE)
    return told


@cache
def _untouched(kind: str) -> dict[str, object]:
    """Return what a record tells that has nothing set: the same for all, so it is worked out once."""
    return {
        field.name: wire_value(field, field.default) if field.default else ""
        for field in RESOURCES[kind].fields
        if field.role not in _NEVER_TOLD and (field.default or field.always)
    }


def _told(field: Field, text: str) -> object:
    """Return the JSON value of a field; one that an older version took as it was written, as it was written."""
    try:
        return wire_value(field, text)
    except (ValueError, msgspec.DecodeError):
        return text


def etag_of(record: Record) -> str:
    """Return the entity tag of a record (RFC 9110 §8.8.3): equal as long as nothing that is kept changes."""
    return f'"{blake2b(msgspec.json.encode(record), digest_size=12).hexdigest()}"'


def terms_of(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the fields that lists can be narrowed by, with what they are compared as."""
    if isinstance(record, AuditEntry):
        yield from ((name, text.lower()) for name, text in terms_of_entry(record))
    others = others_of(record)
    for name, attribute in _searched(type(record)):
        text = others.get(name) if attribute is None else getattr(record, attribute)
        if text:
            yield name, text.lower()


@cache
def _searched(record: type[Record]) -> tuple[tuple[str, str | None], ...]:
    """Return the searched fields with the attributes that hold them; None for those that are only kept."""
    fields = _FIELDS.get(str(record.__struct_config__.tag), {})
    attributes = _attributes(record)
    return tuple(
        (name, attributes[name].name if name in attributes else None)
        for name, field in fields.items()
        if field.is_searched
    )


def searched(resource: Resource) -> tuple[Field, ...]:
    """Return the fields that lists can be narrowed by."""
    return tuple(field for field in resource.fields if field.is_searched)
