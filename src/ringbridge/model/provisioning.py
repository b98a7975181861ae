"""What applying a document changes, and who may: the pure half of `calls.directory.provision`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ringbridge.model import login_password
from ringbridge.model.access import ANY, SCOPES, Principal, Scope, parse_models
from ringbridge.model.device_password import PASSWORD
from ringbridge.model.directory import ApiKey, Device, Domain, Record, User, kind_of
from ringbridge.model.document import Document, KeyOrder
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.field_tables.checks import new_domain
from ringbridge.model.handing_on import scope_fault
from ringbridge.model.key_orders import addresses_beyond, ends_beyond, models_beyond
from ringbridge.model.resources import RESOURCES, carried, others_of
from ringbridge.model.times import epoch_s

_SHOWN_AS = {
    "ha1_md5": PASSWORD,
    "ha1_sha256": PASSWORD,
    "password_hash": login_password.FIELD,
    "expires_at": "expires-datetime",
}
_NEVER_TOLD = frozenset({"key_id", "key_sha256", "created_at"})
_KEY_UPDATES = ("description", "ip-address", "allowed-models")
"""What the API changes of a key; the rest is for its life."""


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


def wanted_key(order: KeyOrder, before: ApiKey | None, *, now: float) -> ApiKey:
    """Return the key that `order` asks for; a new one has no text yet, and so neither id nor hash."""
    fields = order.fields
    models = tuple(sorted(parse_models(fields.allowed_models)))
    expires_at = epoch_s(fields.expires_datetime) or 0.0
    if before is not None:
        # A document says neither their order nor parts of a second.
        models = before.allowed_models if set(before.allowed_models) == set(models) else models
        expires_at = before.expires_at if int(before.expires_at) == expires_at else expires_at
    return ApiKey(
        key_id=before.key_id if before else "",
        key_sha256=before.key_sha256 if before else "",
        description=fields.description,
        domain=order.domain,
        user=order.user,
        reseller=fields.reseller,
        user_scope=fields.user_scope or default_scope(order),
        ip_address=fields.ip_address,
        readonly=fields.readonly,
        can_create_keys=fields.can_create_keys,
        allowed_models=models,
        expires_at=expires_at,
        created_at=before.created_at if before else now,
    )


def known_keys(keys: Iterable[ApiKey]) -> dict[tuple[str, str, str], ApiKey]:
    """Return keys by what a document knows them by."""
    return {(key.domain, key.user, key.description): key for key in keys}


def _key_faults(order: KeyOrder, before: ApiKey | None, principal: Principal) -> list[Fault]:
    """Return why `principal` may not make or change a key; nothing of one that stays as it is."""
    key = wanted_key(order, before, now=0.0)
    changed = changed_fields(before, key)
    if before is not None and not changed:
        return []
    scope = SCOPES[key.user_scope]
    at = f"{order.path}.user-scope"
    if order.user == ANY and order.domain != ANY and not scope.reaches(Scope.OFFICE_MANAGER):
        return [
            Fault(at, "scope-too-narrow", "a key without a user rules its domain", allowed="Office Manager or wider")
        ]
    faults = []
    if not principal.can_create_keys:
        what = "create" if before is None else "change"
        faults.append(Fault(order.path, "may-not-create-keys", f"this token may not {what} keys"))
    if not principal.ceiling.reaches(scope):
        allowed = principal.ceiling.wire
        faults.append(Fault(at, "scope-too-wide", "is wider than your own", found=scope.wire, allowed=allowed))
    beyond = [
        *addresses_beyond(key.ip_address, principal),
        *models_beyond(key.allowed_models, principal),
        *ends_beyond(key.expires_at, principal),
    ]
    faults += [msgspec.structs.replace(one, field=f"{order.path}.{one.field}") for one in beyond]
    if before is not None and not principal.is_super_user:
        named = {fault.field for fault in faults}
        kept = [f"{order.path}.{name}" for name in changed if name not in _KEY_UPDATES]
        message = "of a key never changes; make another key"
        faults += [
            Fault(one, "kept-for-life", message, allowed=", ".join(_KEY_UPDATES)) for one in kept if one not in named
        ]
    return faults


def _unlisted_faults(document: Document, keys: Iterable[ApiKey], principal: Principal) -> list[Fault]:
    """Return where the document would end keys by not listing them, of who may not revoke those of others."""
    if principal.can_create_keys or principal.is_login:
        return []
    listed = {order.identity for order in document.keys}
    gone = [
        (key.domain, key.user)
        for key in keys
        if (key.domain, key.user) in document.keyed
        and (key.domain, key.user, key.description) not in listed
        and key.key_id != principal.key_id
    ]
    message = "does not list every key that is there, and this token may not revoke keys of others"
    return [Fault(_keys_path(document, place), "may-not-create-keys", message) for place in dict.fromkeys(gone)]


def _keys_path(document: Document, place: tuple[str, str]) -> str:
    domain, user = place
    if domain == ANY:
        return "api-keys"
    kind, key = ("domain", (domain,)) if user == ANY else ("user", place)
    return f"{document.paths[kind, key]}.api-keys"


def check_rights(document: Document, stored: Sequence[Record], principal: Principal) -> None:
    """Let pass what `principal` may do: a super user everything, a domain's manager only that domain.

    What stays as it is takes no right, so that an exported document can be applied by whoever exported it.

    Raises:
        CallError: 403 that names every part of the document that is beyond it, 400 for names that no new domain may
            have.
    """
    known = {one.domain: one for one in stored if isinstance(one, Domain)}
    scopes = {one.key: one.user_scope for one in stored if isinstance(one, User)}
    # Nothing is told of other tenants' keys, not even by a fault that is missing.
    keys = [one for one in stored if isinstance(one, ApiKey) and _rules_place(one.domain, known, principal)]
    named = [
        _named_badly(one, document) for one in document.records if isinstance(one, Domain) and one.domain not in known
    ]
    if bad := [fault for fault in named if fault is not None]:
        raise invalid(bad)
    faults: list[Fault] = []
    if not principal.is_super_user:
        faults += _beyond(document, known, principal)
    for record in document.records:
        if not isinstance(record, User):
            continue
        had = scopes.get(record.key) if _rules_place(record.domain, known, principal) else None
        at = f"{document.paths[kind_of(record), record.key]}.user-scope"
        fault = scope_fault(principal, SCOPES[record.user_scope], had=SCOPES.get(had or ""), field=at)
        if had != record.user_scope and fault is not None:
            faults.append(fault)
    by_order = known_keys(keys)
    for order in document.keys:
        faults += _key_faults(order, by_order.get(order.identity), principal)
    faults += _unlisted_faults(document, keys, principal)
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


def _rules_place(domain: str, known: Mapping[str, Domain], principal: Principal) -> bool:
    if principal.is_super_user:
        return True
    record = known.get(domain)
    return record is not None and principal.rules_domain(domain, reseller=record.reseller)


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
