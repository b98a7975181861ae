"""Which domains a manager's token rules over: what lists of everything are narrowed to."""

from __future__ import annotations

from ringbridge.calls.ports import Store
from ringbridge.model.access import ANY, Principal
from ringbridge.model.directory import Domain


async def ruled_domains(store: Store, principal: Principal) -> tuple[str, ...] | None:
    """Return the domains that a token rules over; None for all."""
    if principal.is_super_user:
        return None
    if not principal.rules_reseller(ANY):
        return (principal.domain,) if principal.domain != ANY else ()
    domains = [one for one in await store.records("domain") if isinstance(one, Domain)]
    return tuple(one.domain for one in domains if principal.rules_domain(one.domain, reseller=one.reseller))
