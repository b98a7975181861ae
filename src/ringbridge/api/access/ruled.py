"""Which domains a manager's token rules over: what lists of everything are narrowed to."""

from __future__ import annotations

from typing import Final

from ringbridge.calls.ports import Store
from ringbridge.model.access import ANY, Principal
from ringbridge.model.directory import Domain, User

CLOCKS_DIFFER_S: Final = 1.0
"""By how much those of two nodes may."""


async def ruled_domains(store: Store, principal: Principal) -> tuple[str, ...] | None:
    """Return the domains that a token rules over; None for all."""
    if principal.is_super_user:
        return None
    if not principal.rules_reseller(ANY):
        return (principal.domain,) if principal.domain != ANY else ()
    domains = [one for one in await store.records("domain") if isinstance(one, Domain)]
    return tuple(one.domain for one in domains if principal.rules_domain(one.domain, reseller=one.reseller))


async def own_domains(store: Store, principal: Principal) -> dict[str, float]:
    """Return the domains that a token rules over or is of, by when each was made in epoch seconds, 0 if not known.

    Of a user's token it is when the user was made. All are a super user's, and none is told.
    """
    if principal.is_super_user:
        return {}
    ruled = await ruled_domains(store, principal) or ()
    return {domain: await _made_at(store, principal, domain) for domain in ruled}


async def own_since(store: Store, principal: Principal, domain: str) -> float:
    """Return since when, in epoch seconds, `domain` is the one that a token knows by that name.

    What was before is another tenant's, or another user's: it had the name, and was deleted. 0 for a reseller, whose
    both are, and where it is not known. A little early, so that no clock that is behind hides somebody's first call.
    """
    if principal.rules_reseller(ANY):
        return 0.0
    return max(0.0, await _made_at(store, principal, domain) - CLOCKS_DIFFER_S)


async def _made_at(store: Store, principal: Principal, domain: str) -> float:
    """Return when a domain was made, or, for a token that does not rule over it, the token's user in it."""
    records: list[Domain | User | None] = [await store.domain(domain)]
    if principal.user != ANY and not principal.rules_reseller(ANY) and not principal.rules_domain(domain):
        records.append(await store.user(domain, principal.user))
    return max(0.0 if one is None else one.made_at for one in records)
