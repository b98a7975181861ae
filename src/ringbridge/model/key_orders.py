"""API keys as they are asked for and told (contract §2; schemas `CreateApikeyRequest` and on).

A key never reaches further than its maker: neither in scope, nor in whose it is, nor in addresses, models or time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from ringbridge.model import names
from ringbridge.model.access import ANY, MODEL_NAMES, SCOPES, Principal, Scope, parse_models, parse_networks
from ringbridge.model.directory import ApiKey, YesNo
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.times import epoch_s, instant_text
from ringbridge.model.wire import control_fault, json_type, shown

MIN_DESCRIPTION, MAX_DESCRIPTION = 12, 256
RESELLER_NAME: Final = names.DOMAIN


class KeyOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A key to make."""

    description: str
    domain: str
    user: str
    reseller: str
    user_scope: str
    ip_address: str = ""
    readonly: YesNo = "no"
    can_create_keys: YesNo = "no"
    allowed_models: tuple[str, ...] = ()
    expires_at: float = 0.0


class KeyView(msgspec.Struct, frozen=True, rename="kebab", kw_only=True, omit_defaults=True):
    """Schema `ApiKey`; `key` in the answer to its creation only."""

    description: str
    key_id: str
    key: str = ""
    reseller: str
    user: str
    domain: str
    user_scope: str
    ip_address: str
    readonly: str
    can_create_keys: str
    allowed_models: tuple[str, ...]
    created_datetime: str
    lastused_datetime: str | None
    """Right to the hour; null: never."""
    expires_datetime: str | None
    """Null: never."""


def key_view(key: ApiKey, *, used_at: float, text: str = "") -> KeyView:
    """Return a key as it is told; never its secret, but for `text` when it was just made."""
    return KeyView(
        description=key.description,
        key_id=key.key_id,
        key=text,
        reseller=key.reseller,
        user=key.user,
        domain=key.domain,
        user_scope=key.user_scope,
        ip_address=key.ip_address,
        readonly=key.readonly,
        can_create_keys=key.can_create_keys,
        allowed_models=key.allowed_models,
        created_datetime=instant_text(key.created_at),
        lastused_datetime=instant_text(used_at) or None,
        expires_datetime=instant_text(key.expires_at) or None,
    )


class _Body:
    """Takes fields out of a body, and collects what is wrong with them."""

    def __init__(self, raw: Mapping[str, object]) -> None:
        self.raw = raw
        self.faults: list[Fault] = []

    def text(self, name: str, default: str = "", *, check: Callable[[str], str | None] | None = None) -> str:
        value = self.raw.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool | list | dict):
            self.fault(name, "wrong-type", f"must be text, not {json_type(value)}")
            return default
        text = str(value)
        if (control := control_fault(name, text)) is not None:
            self.faults.append(control)
            return default
        if check is not None and (allowed := check(text)) is not None:
            self.fault(name, "bad-value", f"must be {allowed}", found=text, allowed=allowed)
            return default
        return text

    def yes_no(self, name: str) -> YesNo:
        value = self.raw.get(name)
        if value in (None, "", "no", False):
            return "no"
        if value in ("yes", True):
            return "yes"
        self.fault(name, "not-one-of", "must be yes or no", allowed="yes, no")
        return "no"

    def models(self) -> tuple[str, ...]:
        """Take a list of models, or a comma list as text."""
        value = self.raw.get("allowed-models")
        listed = value if isinstance(value, list) else [value or ""]
        found = frozenset[str]().union(*(parse_models(one) if isinstance(one, str) else {"?"} for one in listed))
        if unknown := found - {*MODEL_NAMES, ANY}:
            allowed = ", ".join(MODEL_NAMES)
            self.fault("allowed-models", "not-one-of", f"must be of {allowed}", found=min(unknown), allowed=allowed)
        return () if ANY in found else tuple(sorted(found))

    def fault(
        self, name: str, code: str, message: str, *, found: str | None = None, allowed: str | None = None
    ) -> None:
        self.faults.append(Fault(name, code, message, found=shown(found) if found else None, allowed=allowed))


def _like(pattern: Callable[[str], object], allowed: str) -> Callable[[str], str | None]:
    return lambda text: None if text == ANY or pattern(text) else allowed


def _description(text: str) -> str | None:
    fits = MIN_DESCRIPTION <= len(text) <= MAX_DESCRIPTION
    return None if fits else f"{MIN_DESCRIPTION} to {MAX_DESCRIPTION} characters"


def _networks(text: str) -> str | None:
    try:
        parse_networks(text)
    except ValueError:
        return "a comma list of addresses and CIDR"
    return None


def _scope(text: str) -> str | None:
    return None if text in SCOPES else f"one of {', '.join(SCOPES)}"


def _instant(text: str) -> str | None:
    return None if epoch_s(text) else "YYYY-MM-DD HH:MM:SS in UTC, or RFC 3339"


def read_order(raw: Mapping[str, object], maker: Principal) -> KeyOrder:
    """Return the key that `raw` asks for; `~` and what it leaves out are the maker's own.

    Raises:
        CallError: it has faults; all are named.
    """
    body = _Body(raw)
    description = body.text("description", check=_description)
    if not description and not any(fault.field == "description" for fault in body.faults):
        body.fault("description", "missing", "is required", allowed=f"at least {MIN_DESCRIPTION} characters")
    domain = body.text(
        "domain", maker.domain, check=_like(lambda text: text == "~" or names.DOMAIN.fullmatch(text), "a domain")
    )
    user = body.text("user", ANY, check=_like(lambda text: text == "~" or names.USER.fullmatch(text), "a user"))
    reseller = body.text("reseller", ANY, check=_like(RESELLER_NAME.fullmatch, "a reseller"))
    domain = maker.domain if domain == "~" else domain
    user = maker.user if user == "~" else user
    if domain == ANY and user != ANY:
        body.fault("domain", "missing", "is required for a key of a user")
    place = _place_scope(domain=domain, user=user, reseller=reseller)
    scope = body.text("user-scope", least_wire(place, maker), check=_scope)
    if user == ANY and domain != ANY and scope in SCOPES and not SCOPES[scope].reaches(Scope.OFFICE_MANAGER):
        message = "a key without a user rules its domain: Office Manager at least"
        body.fault("user-scope", "scope-too-narrow", message, found=scope, allowed=Scope.OFFICE_MANAGER.wire)
    order = KeyOrder(
        description=description,
        domain=domain,
        user=user,
        reseller=reseller,
        user_scope=scope,
        ip_address=body.text("ip-address", check=_networks),
        readonly=body.yes_no("readonly"),
        can_create_keys=body.yes_no("can-create-keys"),
        allowed_models=body.models(),
        expires_at=epoch_s(body.text("expires-datetime", check=_instant)) or 0.0,
    )
    if body.faults:
        raise invalid(body.faults)
    return order


def _place_scope(*, domain: str, user: str, reseller: str) -> Scope:
    if user != ANY:
        return Scope.BASIC_USER
    if domain != ANY:
        return Scope.OFFICE_MANAGER
    return Scope.SUPER_USER if reseller == ANY else Scope.RESELLER


def least_wire(scope: Scope, maker: Principal) -> str:
    """Return the scope of a key that names none: what its place is for, and no more than the maker's."""
    return (scope if maker.ceiling.reaches(scope) else maker.ceiling).wire


def read_update(raw: Mapping[str, object], key: ApiKey, maker: Principal) -> ApiKey:
    """Return `key` with what `raw` changes.

    Raises:
        CallError: it has faults, or would reach further than whoever changes it.
    """
    body = _Body(raw)
    changed = msgspec.structs.replace(
        key,
        description=body.text("description", key.description, check=_description),
        ip_address=body.text("ip-address", "", check=_networks) if "ip-address" in raw else key.ip_address,
        allowed_models=body.models() if "allowed-models" in raw else key.allowed_models,
    )
    if body.faults:
        raise invalid(body.faults)
    faults = [*addresses_beyond(changed.ip_address, maker), *models_beyond(changed.allowed_models, maker)]
    # What it was allowed before it was widened by others is theirs to answer for.
    _refuse([one for one in faults if one.field in raw])
    return changed


def check_not_wider(order: KeyOrder, maker: Principal, *, reseller: str) -> KeyOrder:
    """Return the order, with the maker's own limits where it names none; `reseller` is that of its domain.

    Raises:
        CallError: 403 that names everything in which the key would reach further than its maker.
    """
    faults: list[Fault] = []
    as_key = ApiKey(
        key_id="", key_sha256="", description="", domain=order.domain, user=order.user, reseller=order.reseller
    )
    if not maker.rules_key(as_key, reseller=reseller):
        name = "user" if order.user != ANY else "domain" if order.domain != ANY else "reseller"
        faults.append(Fault(name, "not-allowed", "is more than this token rules over", found=getattr(order, name)))
    if not maker.ceiling.reaches(SCOPES[order.user_scope]) and not _is_own_user(order, maker):
        allowed = maker.ceiling.wire
        faults.append(Fault("user-scope", "scope-too-wide", "is wider than your own", order.user_scope, allowed))
    limits = KeyOrder(
        description=order.description,
        domain=order.domain,
        user=order.user,
        reseller=order.reseller,
        user_scope=order.user_scope,
        ip_address=order.ip_address or ",".join(str(network) for network in maker.networks),
        readonly=order.readonly,
        can_create_keys=order.can_create_keys,
        allowed_models=order.allowed_models or tuple(sorted(maker.allowed_models)),
        expires_at=order.expires_at or maker.keys_end_at,
    )
    faults += [*addresses_beyond(limits.ip_address, maker), *models_beyond(limits.allowed_models, maker)]
    faults += ends_beyond(limits.expires_at, maker)
    _refuse(faults)
    return limits


def _is_own_user(order: KeyOrder, maker: Principal) -> bool:
    """Return whether it is a key for the maker's own user, whose scope bounds both."""
    own = not maker.is_login and (order.domain, order.user) == (maker.domain, maker.user)
    return own and maker.user != ANY and maker.scope.reaches(SCOPES[order.user_scope])


def ends_beyond(expires_at: float, maker: Principal) -> list[Fault]:
    """Return the fault of a key that would outlive its maker."""
    if not maker.keys_end_at or 0 < expires_at <= maker.keys_end_at:
        return []
    return [Fault("expires-datetime", "too-late", "is later than this token's own end")]


def addresses_beyond(ip_address: str, maker: Principal) -> list[Fault]:
    """Return the fault of a key that could be used from more addresses than its maker."""
    if not maker.networks:
        return []
    wanted = parse_networks(ip_address)
    inside = wanted and all(
        any(one.version == own.version and one.subnet_of(own) for own in maker.networks)  # type: ignore[arg-type] # same version
        for one in wanted
    )
    allowed = ",".join(str(network) for network in maker.networks)
    return [] if inside else [Fault("ip-address", "address-too-wide", "is wider than your own", ip_address, allowed)]


def models_beyond(models: tuple[str, ...], maker: Principal) -> list[Fault]:
    """Return the fault of a key that could be used for more than its maker."""
    if not maker.allowed_models or (models and maker.allowed_models.issuperset(models)):
        return []
    allowed = ", ".join(sorted(maker.allowed_models))
    return [Fault("allowed-models", "models-too-wide", "are more than your own", ", ".join(models), allowed)]


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise CallError(Refusal.FORBIDDEN, faults[0].code, f"{faults[0].field}: {faults[0].message}", faults=faults)
