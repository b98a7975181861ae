"""Who may give somebody what they log in with.

A login is bound to no addresses, models or end, and an Office Manager's makes keys: what a token may not do itself, it
would do with the password that it just set.
"""

from __future__ import annotations

from ringbridge.model.access import Principal, Scope
from ringbridge.model.errors import CallError, Fault, Refusal


def login_fault(maker: Principal, scope: Scope, *, field: str) -> Fault | None:
    """Return why `maker` may not give a user of `scope` a secret to log in with; `field` is what it would do so by."""
    if not maker.ceiling.reaches(scope):
        return Fault(
            field, "scope-too-wide", "this user's scope is wider than your own", scope.wire, maker.ceiling.wire
        )
    if limits := limits_of(maker):
        return Fault(field, "limited-token", f"a login would not have the limits of this token: {limits}")
    if scope.reaches(Scope.OFFICE_MANAGER) and not maker.can_create_keys:
        return Fault(field, "may-not-create-keys", "this user's logins make keys, and this token may not")
    return None


def scope_fault(maker: Principal, scope: Scope, *, had: Scope | None, field: str) -> Fault | None:
    """Return why `maker` may not give a user `scope`, who `had` another or, with None, is new and has no password."""
    if not maker.ceiling.reaches(scope):
        return Fault(field, "scope-too-wide", "is wider than your own", scope.wire, maker.ceiling.wire)
    return None if had is None or had.reaches(scope) else login_fault(maker, scope, field=field)


def limits_of(maker: Principal) -> str:
    """Return the names of what binds a token and would bind no login of the same scope; empty for none."""
    limits = {
        "ip-address": bool(maker.networks),
        "allowed-models": bool(maker.allowed_models),
        "expires-datetime": bool(maker.keys_end_at),
        "delegated": maker.is_delegated,
    }
    return ", ".join(name for name, binds in limits.items() if binds)


def refusal_of(fault: Fault) -> CallError:
    """Return the 403 of one fault."""
    return CallError(Refusal.FORBIDDEN, fault.code, f"{fault.field}: {fault.message}", faults=[fault])
