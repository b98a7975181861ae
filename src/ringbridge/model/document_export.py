"""The directory written as a document: applied again, it changes nothing. Secrets are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import msgspec

from ringbridge.model.access import ANY
from ringbridge.model.directory import (
    AnswerRule,
    ApiKey,
    Connection,
    Device,
    DialRule,
    Domain,
    PhoneNumber,
    Record,
    User,
    kind_of,
)
from ringbridge.model.fields import Form, Role
from ringbridge.model.resources import RESOURCES, texts_of
from ringbridge.model.times import instant_text

_NOT_OF_KEYS = frozenset(
    {"kind", "domain", "user", "key-id", "key-sha256", "created-at", "allowed-models", "expires-at"}
)
_LISTS: dict[type[Record], str] = {
    PhoneNumber: "phonenumbers",
    DialRule: "dialrules",
    Connection: "connections",
}


def _fields(record: Record, *, without: Iterable[str] = ("domain",)) -> dict[str, object]:
    """Return what a document says of a record: what is set, as text, and whole numbers as such."""
    resource = RESOURCES[kind_of(record)]
    texts = texts_of(resource, record)
    said: dict[str, object] = {}
    for field in resource.fields:
        text = texts.get(field.name, "")
        is_told = field.role in (Role.NAME, Role.KEPT) and field.name not in without
        if is_told and text and (field.role is Role.NAME or text != field.default):
            said[field.name] = int(text) if field.form is Form.WHOLE else text
    return said


def _limits(key: ApiKey) -> dict[str, str]:
    limits = {"allowed-models": ",".join(key.allowed_models), "expires-datetime": instant_text(key.expires_at)}
    return {name: text for name, text in limits.items() if text}


def _keys(keys: Sequence[ApiKey], domain: str, user: str) -> dict[str, object]:
    """Return `api-keys` of one place; nothing where it has none, so that applying leaves its keys alone."""
    here = []
    for key in keys:
        if (key.domain, key.user) == (domain, user):
            built = cast("dict[str, object]", msgspec.to_builtins(key))
            said = {name: value for name, value in built.items() if name not in _NOT_OF_KEYS}
            here.append(said | {"user-scope": key.user_scope} | _limits(key))
    return {"api-keys": here} if here else {}


def export_document(domains: Sequence[Domain], records: Sequence[Record], keys: Sequence[ApiKey]) -> dict[str, object]:
    """Return the document of `domains` with the `records` and `keys` in them; keys of no domain if they are given."""
    exported = []
    for domain in domains:
        inside = [one for one in records if one.domain == domain.domain]
        entry = _fields(domain, without=())
        entry["users"] = [_user(one, inside, keys) for one in inside if isinstance(one, User)]
        for kind, name in _LISTS.items():
            entry[name] = [_fields(one) for one in inside if isinstance(one, kind)]
        exported.append(entry | _keys(keys, domain.domain, ANY))
    return {"domains": exported} | _keys(keys, ANY, ANY)


def _user(user: User, inside: Sequence[Record], keys: Sequence[ApiKey]) -> dict[str, object]:
    said = _fields(user)
    for kind, name in ((Device, "devices"), (AnswerRule, "answerrules")):
        own = [one for one in inside if isinstance(one, kind) and one.user == user.user]
        if own or kind is Device:
            said[name] = [_fields(one, without=("domain", "user")) for one in own]
    return said | _keys(keys, user.domain, user.user)
