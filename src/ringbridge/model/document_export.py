"""The directory written as a document: applied again, it changes nothing. Secrets are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import msgspec

from ringbridge.model.access import ANY
from ringbridge.model.directory import ApiKey, Connection, Device, DialRule, Domain, PhoneNumber, Record, User
from ringbridge.model.times import instant_text

_LEFT_OUT = frozenset(
    {
        "kind",
        "domain",
        "ha1-md5",
        "ha1-sha256",
        "connection-sip-registration-password",
        "key-id",
        "key-sha256",
        "created-at",
        "allowed-models",
        "expires-at",
    }
)
_LISTS: dict[type[Record], str] = {
    PhoneNumber: "phonenumbers",
    DialRule: "dialrules",
    Connection: "connections",
}


def _fields(record: Record, *, without: Iterable[str] = ()) -> dict[str, object]:
    built = cast("dict[str, object]", msgspec.to_builtins(record))
    return {name: value for name, value in built.items() if name not in _LEFT_OUT and name not in without}


def _limits(key: ApiKey) -> dict[str, str]:
    limits = {"allowed-models": ",".join(key.allowed_models), "expires-datetime": instant_text(key.expires_at)}
    return {name: text for name, text in limits.items() if text}


def _keys(keys: Sequence[ApiKey], domain: str, user: str) -> dict[str, object]:
    """Return `api-keys` of one place; nothing where it has none, so that applying leaves its keys alone."""
    here = [
        _fields(key, without=("user",)) | {"user-scope": key.user_scope} | _limits(key)
        for key in keys
        if (key.domain, key.user) == (domain, user)
    ]
    return {"api-keys": here} if here else {}


def export_document(domains: Sequence[Domain], records: Sequence[Record], keys: Sequence[ApiKey]) -> dict[str, object]:
    """Return the document of `domains` with the `records` and `keys` in them; keys of no domain if they are given."""
    exported = []
    for domain in domains:
        inside = [one for one in records if one.domain == domain.domain]
        entry = {"domain": domain.domain} | _fields(domain)
        users = [one for one in inside if isinstance(one, User)]
        devices = [one for one in inside if isinstance(one, Device)]
        entry["users"] = [_user(user, devices, keys) for user in users]
        for kind, name in _LISTS.items():
            entry[name] = [_fields(one) for one in inside if isinstance(one, kind)]
        exported.append(entry | _keys(keys, domain.domain, ANY))
    return {"domains": exported} | _keys(keys, ANY, ANY)


def _user(user: User, devices: Sequence[Device], keys: Sequence[ApiKey]) -> dict[str, object]:
    own = [_fields(one, without=("user",)) for one in devices if one.user == user.user]
    return _fields(user) | {"devices": own} | _keys(keys, user.domain, user.user)
