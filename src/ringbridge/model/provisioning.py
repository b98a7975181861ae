"""What applying a document changes, and who may: the pure half of `calls.directory.provision`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ringbridge.model import login_password
from ringbridge.model.access import ANY, SCOPES, Principal, Scope, parse_models
from ringbridge.model.device_password import PASSWORD
from ringbridge.model.directory import ApiKey, Device, Domain, Record, User, kind_of
from ringbridge.model.document import Document, KeyOrder
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.field_tables.checks import new_domain
from ringbridge.model.key_orders import addresses_beyond, ends_beyond, models_beyond
from ringbridge.model.resources import RESOURCES, carried, others_of
from ringbridge.model.times import epoch_s

_SHOWN_AS = {"ha1_md5": PASSWORD, "ha1_sha256": PASSWORD, "password_hash": login_password.FIELD}
_NEVER_TOLD = frozenset({"key_id", "key_sha256", "created_at"})


class Change(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    """One thing that was or would be done: `action` is `create`, `update` or `delete`."""

    action: str
    kind: str
    key: str
    fields: tuple[str, ...] = ()
    """Names of the fields that an update changes."""


class NewKey(msgspec.Struct, frozen=True, rename="kebab"):
    """An API key that was just made; `key` is told now and never again."""

    key_id: str
    key: str
    description: str
    domain: str
    user: str


def changed_fields(before: Record | None, after: Record) -> tuple[str, ...]:
    """Return the wire names of what differs; empty for a record that is new."""
    if before is None:
        return ()
    names: dict[str, None] = {}
    for field in msgspec.structs.fields(after):
        if field.name == "other":
            names |= dict.fromkeys(changed_others(others_of(before), others_of(after)))
        elif field.name not in _NEVER_TOLD and getattr(before, field.name) != getattr(after, field.name):
            names[_SHOWN_AS.get(field.name, field.encode_name)] = None
    return tuple(names)


def changed_others(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the names of what differs among fields that are only kept."""
    return [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]


def with_kept_secrets(record: Record, before: Record | None, document: Document) -> Record:
    """Return `record` with what is stored and no document says: secrets where it names none, and times.

    Raises:
        CallError: a new device has no password.
    """
    if isinstance(record, Device) and not record.ha1_md5:
        if not isinstance(before, Device):
            path = document.paths[kind_of(record), record.key]
            raise invalid([Fault(f"{path}.{PASSWORD}", "missing", "is required for a new device")])
        record = msgspec.structs.replace(record, ha1_md5=before.ha1_md5, ha1_sha256=before.ha1_sha256)
    return record if before is None else carried(RESOURCES[kind_of(record)], record, before)


def default_scope(order: KeyOrder) -> str:
    """Return the scope of a key that names none: what its place is for."""
    if order.user != ANY:
        return Scope.BASIC_USER.wire
    if order.domain != ANY:
        return Scope.OFFICE_MANAGER.wire
    return Scope.SUPER_USER.wire if order.fields.reseller == ANY else Scope.RESELLER.wire


def _scope_of(order: KeyOrder) -> Scope:
    return SCOPES[order.fields.user_scope or default_scope(order)]


def _key_fault(order: KeyOrder, stored: set[tuple[str, str, str]], principal: Principal) -> Fault | None:
    scope = _scope_of(order)
    at = f"{order.path}.user-scope"
    if order.user == ANY and order.domain != ANY and not scope.reaches(Scope.OFFICE_MANAGER):
        return Fault(at, "scope-too-narrow", "a key without a user rules its domain", allowed="Office Manager or wider")
    if not principal.ceiling.reaches(scope):
        return Fault(at, "scope-too-wide", "is wider than your own", found=scope.wire, allowed=principal.ceiling.wire)
    beyond = [
        *addresses_beyond(order.fields.ip_address, principal),
        *models_beyond(tuple(parse_models(order.fields.allowed_models)), principal),
        *ends_beyond(epoch_s(order.fields.expires_datetime) or 0.0, principal),
    ]
    if beyond:
        return msgspec.structs.replace(beyond[0], field=f"{order.path}.{beyond[0].field}")
    if order.identity not in stored and not principal.can_create_keys:
        return Fault(order.path, "may-not-create-keys", "this token may not create keys")
    return None


def check_rights(document: Document, stored: Sequence[Record], principal: Principal) -> None:
    """Let pass what `principal` may do: a super user everything, a domain's manager only that domain.

    Raises:
        CallError: 403 that names every part of the document that is beyond it, 400 for names that no new domain may
            have.
    """
    known = {one.domain: one for one in stored if isinstance(one, Domain)}
    keys = {(one.domain, one.user, one.description) for one in stored if isinstance(one, ApiKey)}
    named = [
        _named_badly(one, document) for one in document.records if isinstance(one, Domain) and one.domain not in known
    ]
    if bad := [fault for fault in named if fault is not None]:
        raise invalid(bad)
    faults: list[Fault] = []
    if not principal.is_super_user:
        faults += _beyond(document, known, principal)
    for record in document.records:
        if isinstance(record, User) and not principal.ceiling.reaches(SCOPES[record.user_scope]):
            path = document.paths[kind_of(record), record.key]
            faults.append(Fault(f"{path}.user-scope", "scope-too-wide", "is wider than your own"))
    faults += [fault for order in document.keys if (fault := _key_fault(order, keys, principal)) is not None]
    narrow = [fault for fault in faults if fault.code == "scope-too-narrow"]
    if narrow:
        raise invalid(narrow)
    if faults:
        raise CallError(Refusal.FORBIDDEN, faults[0].code, f"{faults[0].field}: {faults[0].message}", faults=faults)


def _named_badly(domain: Domain, document: Document) -> Fault | None:
    """Return what is wrong with the name of a new domain; those that are there keep theirs."""
    must = new_domain(domain.domain)
    path = document.paths[kind_of(domain), domain.key]
    return None if must is None else Fault(f"{path}.domain", "bad-value", must, found=domain.domain)


def _beyond(document: Document, known: dict[str, Domain], principal: Principal) -> list[Fault]:
    """Return what of the document only a super user may do."""
    faults = []
    if document.prune:
        faults.append(Fault("prune", "not-allowed", "only a super user may delete domains"))
    for record in document.records:
        if not isinstance(record, Domain):
            continue
        path = document.paths[kind_of(record), record.key]
        before = known.get(record.domain)
        # The same words whether the domain is missing or another tenant's (contract §1).
        if before is None or not principal.rules_domain(record.domain, reseller=before.reseller):
            faults.append(Fault(f"{path}.domain", "not-allowed", "is no domain of yours", found=record.domain))
        elif before.reseller != record.reseller:
            faults.append(Fault(f"{path}.reseller", "not-allowed", "only a super user may change it"))
    if (ANY, ANY) in document.keyed:
        faults.append(Fault("api-keys", "not-allowed", "only a super user may make keys that belong to no domain"))
    return faults
