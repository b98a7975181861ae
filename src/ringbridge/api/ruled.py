"""Which domains a manager's token rules over: what lists of everything are narrowed to."""

from __future__ import annotations

from ringbridge.calls.ports import Store
from ringbridge.model.access import ANY, Principal
from ringbridge.model.directory import Domain, User


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
    found = [await store.domain(one) for one in ruled]
    made = {domain: _made_at(record) for domain, record in zip(ruled, found, strict=True)}
    is_wide = principal.rules_reseller(ANY) or principal.rules_domain(principal.domain)
    if principal.user != ANY and not is_wide and principal.domain in made:
        user = await store.user(principal.domain, principal.user)
        made[principal.domain] = max(made[principal.domain], _made_at(user))
    return made


async def own_since(store: Store, principal: Principal, domain: str) -> float:
    """Return since when, in epoch seconds, `domain` is the one that a token knows by that name.

    What was before is another tenant's, or another user's: it had the name, and was deleted. 0 for a reseller, whose
    both are.
    """
    if principal.rules_reseller(ANY):
        return 0.0
    return (await own_domains(store, principal)).get(domain, 0.0)


def _made_at(record: Domain | User | None) -> float:
    return 0.0 if record is None else record.made_at
