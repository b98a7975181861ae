"""A call worked out before it is accepted: who rings, who is shown, and every reason against it.

What places a call and what only explains one (`dry-run`) work from the same draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ringbridge.calls.dial_plans import Tries
from ringbridge.calls.found import Found, Resolved, is_watched, why_down
from ringbridge.calls.ports import Clock, Store
from ringbridge.calls.spending import Spending
from ringbridge.calls.targets import Resolver
from ringbridge.model.access import Principal
from ringbridge.model.call import Call, Leg
from ringbridge.model.dial_policy import is_emergency, policy_fault
from ringbridge.model.dial_times import zone_of
from ringbridge.model.directory import Connection, Domain, User
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.events import CallerId, CallPlan, CallRequest, Person, Target, TransferPlan
from ringbridge.model.limits import Claim, claims_of, claims_of_join, claims_of_transfer
from ringbridge.model.numbers import plain_number, same_number
from ringbridge.model.rates import Rates

ANONYMOUS: Final = CallerId("anonymous", "Anonymous")
ORIGINATION: Final = "call-orig-user"
TERMINATION: Final = "call-term-user"
REFUSALS: Final = (
    (Refusal.NOT_FOUND, frozenset({"available-number"})),
    (Refusal.UNAVAILABLE, frozenset({"connection-down"})),
    (
        Refusal.FORBIDDEN,
        frozenset(
            {
                "barred-by-dial-rule",
                "caller-id-not-allowed",
                "country-not-allowed",
                "dial-policy",
                "high-cost-number",
                "no-price",
                "not-your-user",
                "spend-cap-reached",
            }
        ),
    ),
)
"""Faults that are no mistakes: a request that has no other is refused so, and not as invalid."""


class PlaceSettings(msgspec.Struct, frozen=True):
    """Times for accepted calls, in seconds; what domains without lists of their own allow; what calls cost."""

    dial_before_s: float = 30.0
    origination_ring_timeout_s: float = 30.0
    termination_ring_timeout_s: float = 60.0
    max_duration_s: float = 14_400.0
    allowed_countries: str = ""
    rates: Rates | None = None

    @property
    def longest_call_s(self) -> float:
        """After how many seconds a call is over, whatever is known of it: all the ringing and late clocks included."""
        return self.max_duration_s + 3600.0


class Draft(msgspec.Struct, frozen=True):
    """A call that may be placed if there are no `faults`; `plan` is None else."""

    domain: Domain
    user: User
    origination: Resolved
    termination: Resolved
    origination_caller_id: CallerId
    termination_caller_id: CallerId
    faults: tuple[Fault, ...]
    tries: dict[str, Tries]
    """The dial rules that were tried, by the request's field that asked for them."""
    claims: tuple[Claim, ...] = ()
    """The limits that it counts against."""
    plan: CallPlan | None = None


class TransferDraft(msgspec.Struct, frozen=True):
    """A transfer that may be ordered; `claims` are the limits that its target counts against."""

    plan: TransferPlan
    claims: tuple[Claim, ...]


class Drafts:
    """Works calls out, by the local copy of the directory alone."""

    def __init__(self, *, store: Store, clock: Clock, settings: PlaceSettings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._spending = Spending(
            store=store, clock=clock, rates=settings.rates, longest_call_s=settings.longest_call_s
        )

    async def draft(self, request: CallRequest, principal: Principal, written: Sequence[Fault] = ()) -> Draft:
        """Return the call as it would be; `written` are the faults of the request as it was written.

        Raises:
            CallError: there is no such user.
        """
        domain = await self._store.domain(request.domain)
        user = await self._store.user(request.domain, request.user)
        if domain is None or user is None:
            missing = Fault("user", "no-such-user", f"no user {request.user} in domain {request.domain}", request.user)
            raise CallError(Refusal.NOT_FOUND, missing.code, missing.message, faults=[missing, *written])
        resolver = Resolver(self._store, domain, user, at=self._clock.now())
        wrong = {fault.field: fault for fault in written}
        orig = wrong.get(ORIGINATION) or await resolver.origination(request.call_orig_user)
        term = wrong.get(TERMINATION) or await resolver.termination(
            request.call_term_user, request.dial_rule_application
        )
        faults = [*written, *(one for one in (orig, term) if isinstance(one, Fault) and one not in written)]
        if isinstance(orig, Found) and (stranger := _not_yours(orig, user, domain, principal)):
            faults.append(stranger)
        faults += await self._faults_of_policy(domain, user, ((ORIGINATION, orig), (TERMINATION, term)))
        shown_to_orig, shown_to_term = await self._caller_ids(request, domain, user, (orig, term), faults)
        draft = Draft(
            domain=domain,
            user=user,
            origination=orig,
            termination=term,
            origination_caller_id=shown_to_orig,
            termination_caller_id=shown_to_term,
            faults=tuple(faults),
            tries=resolver.tries,
        )
        if not isinstance(orig, Found) or not isinstance(term, Found):
            return draft
        draft = msgspec.structs.replace(draft, claims=_claims(domain, user, (ORIGINATION, orig), (TERMINATION, term)))
        return draft if faults else msgspec.structs.replace(draft, plan=self._plan(request, draft, orig, term))

    def _plan(self, request: CallRequest, draft: Draft, orig: Found, term: Found) -> CallPlan:
        return CallPlan(
            origination=_targets(orig, draft.domain),
            termination=_targets(term, draft.domain),
            origination_caller_id=draft.origination_caller_id,
            termination_caller_id=draft.termination_caller_id,
            dialled=term.dialled,
            origination_user=orig.user.user if orig.user else "",
            auto_answer=request.auto_answer_enabled,
            added_header=_header(request.call_term_added_sip_header),
            origination_ring_timeout_s=self._settings.origination_ring_timeout_s,
            termination_ring_timeout_s=_ring_timeout_s(term, self._settings),
            max_duration_s=self._settings.max_duration_s,
            match_uri=term.pattern,
            origination_person=_person(orig.user),
            termination_person=_person(term.user),
            reseller=draft.domain.reseller,
        )

    async def _faults_of_policy(self, domain: Domain, user: User, sides: Sequence[tuple[str, Resolved]]) -> list[Fault]:
        """Return what is against what would ring outside: policy, countries, its price, a connection that is down."""
        outside = [(field, side.dialled) for field, side in sides if isinstance(side, Found) and side.leaves_domain]
        countries = self._settings.allowed_countries
        found = [policy_fault(number, field, domain, user, default_countries=countries) for field, number in outside]
        faults = [fault for fault in found if fault is not None]
        faults += await self._spending.faults(domain, user, outside, zone_of((domain.time_zone,)))
        return faults + await self._faults_of_health(domain, sides)

    async def _faults_of_health(self, domain: Domain, sides: Sequence[tuple[str, Resolved]]) -> list[Fault]:
        """Return what is against connections that are down; a call for help is tried all the same."""
        faults: list[Fault] = []
        for field, side in sides:
            if not isinstance(side, Found) or side.connection is None or is_emergency(side.dialled, domain):
                continue
            reason = await why_down(self._store, side.connection)
            if reason is not None:
                name = side.connection.connection_orig_match_pattern
                message = f"would go out by connection {name}, which is down: {reason}"
                faults.append(Fault(field, "connection-down", message, found=name))
        return faults

    async def transfer(self, call: Call, name: str, to: str, remaining: Leg) -> TransferDraft:
        """Return who takes the place of the user `name`, who transfers `call` to `to`; `remaining` stays in it.

        Whom they may not call they may not transfer to either.

        Raises:
            CallError: refused.
        """
        domain = await self._store.domain(call.domain)
        user = await self._store.user(call.domain, name)
        if domain is None or user is None:
            raise CallError(Refusal.NOT_FOUND, "no-such-user", f"no user {name} in domain {call.domain}")
        term = await Resolver(self._store, domain, user, at=self._clock.now()).termination(to, "call")
        if isinstance(term, Fault):
            raise refusal_of([term])
        if faults := await self._faults_of_policy(domain, user, ((TERMINATION, term),)):
            raise refusal_of(faults)
        shown = await self._caller_id_of(remaining, domain, user, outside=term.leaves_domain)
        plan = TransferPlan(
            targets=_targets(term, domain),
            caller_id=_as_shown(shown, term),
            dialled=term.dialled,
            ring_timeout_s=_ring_timeout_s(term, self._settings),
            match_uri=term.pattern,
            person=_person(term.user),
        )
        return TransferDraft(plan, _claims(domain, user, (TERMINATION, term), is_transfer=True))

    async def claims_of_join(self, call: Call, user: str, plan: TransferPlan) -> tuple[Claim, ...]:
        """Return the limits that the target of an attended transfer counts against, whose leg is up; none inside."""
        (target,) = plan.targets
        domain = await self._store.domain(call.domain)
        asker = await self._store.user(call.domain, user)
        connection = await self._store.connection(call.domain, target.connection) if target.connection else None
        if domain is None or asker is None or connection is None or is_emergency(plan.dialled, domain):
            return ()
        return claims_of_join(domain, connection, user=asker)

    # --- caller IDs ---------------------------------------------------------------------------------------------------

    async def _caller_ids(
        self,
        request: CallRequest,
        domain: Domain,
        user: User,
        sides: tuple[Resolved, Resolved],
        faults: list[Fault],
    ) -> tuple[CallerId, CallerId]:
        """Return what the first and the second leg are shown; what the user may not use is added to `faults`."""
        orig, term = sides
        forced = isinstance(term, Found) and term.forces_caller
        asked = "" if forced else request.caller_id_number
        to_term = await self._caller_id(asked, "caller-id-number", domain, user, faults)
        outside = isinstance(orig, Found) and orig.leaves_domain
        to_orig = await self._caller_id(
            request.callback_caller_id_number, "callback-caller-id-number", domain, user, faults, any_number=not outside
        )
        return _as_shown(to_orig, orig), _as_shown(to_term, term)

    async def _caller_id(
        self, text: str, field: str, domain: Domain, user: User, faults: list[Fault], *, any_number: bool = False
    ) -> CallerId:
        """Return what is shown; a number that the user may not use becomes a fault.

        `any_number`: it is shown to a phone of the own domain only, where clients put the customer's number so that
        the user sees whom the call is for.
        """
        name = user.caller_id_name or user.full_name or domain.caller_id_name
        own = user.caller_id_number or domain.caller_id_number or user.user
        if not text.strip():
            return CallerId(own, name)
        number = plain_number(text)
        if number is None:
            faults.append(Fault(field, "not-a-number", "is no number", text, "digits with an optional leading +"))
            return CallerId(own, name)
        if await self._may_show(number, domain, user):
            return CallerId(number, name)
        if any_number:
            return CallerId(number)
        faults.append(
            Fault(
                field,
                "caller-id-not-allowed",
                "is not a caller ID that this user may show",
                text,
                "the user's or the domain's caller ID, a phone number of the domain that is the user's or nobody's, "
                "or a number verified for either",
            )
        )
        return CallerId(own, name)

    async def _caller_id_of(self, leg: Leg, domain: Domain, user: User, *, outside: bool) -> CallerId:
        """Return what is shown of a party that is transferred: as if it called itself.

        A number outside is shown to phones of the own domain only; to carriers it is nobody's here to show, and the
        transferring user's own is.
        """
        party = await self._store.user(domain.domain, leg.target.user) if leg.target.user else None
        if party is not None:
            return await self._caller_id("", "caller-id-number", domain, party, [])
        number = plain_number(leg.target.label)
        if number is None or (outside and not await self._may_show(number, domain, user)):
            return await self._caller_id("", "caller-id-number", domain, user, [])
        return CallerId(number)

    async def _may_show(self, number: str, domain: Domain, user: User) -> bool:
        own = (user.caller_id_number, domain.caller_id_number, user.user)
        verified = [*user.verified_caller_ids.split(","), *domain.verified_caller_ids.split(",")]
        if any(mine.strip() and same_number(number, mine.strip()) for mine in (*own, *verified)):
            return True
        held = await self._store.phone_number(domain.domain, number.removeprefix("+"))
        return held is not None and held.enabled == "yes" and held.user in ("", user.user)


def refusal_of(faults: Sequence[Fault]) -> CallError:
    """Return how a call with these faults (at least one) is refused."""
    for refusal, codes in REFUSALS:
        if all(fault.code in codes for fault in faults):
            return CallError(refusal, faults[0].code, f"{faults[0].field}: {faults[0].message}", faults=faults)
    return invalid(faults)


def _claims(domain: Domain, user: User, *sides: tuple[str, Found], is_transfer: bool = False) -> tuple[Claim, ...]:
    """Return the limits that a call to these sides counts against, or a transfer; none for a call for help."""
    outside = [(field, side, side.connection) for field, side in sides if side.connection is not None]
    if any(is_emergency(side.dialled, domain) for _, side, _ in outside):
        return ()
    connections: tuple[tuple[str, Connection], ...] = tuple((field, connection) for field, _, connection in outside)
    claims = claims_of_transfer if is_transfer else claims_of
    return claims(domain, user, connections, is_offnet=bool(outside))


def _targets(side: Found, domain: Domain) -> tuple[Target, ...]:
    """Return what rings, with what is a call for help marked as that."""
    if side.connection is None or not is_watched(side.connection) or not is_emergency(side.dialled, domain):
        return side.targets
    return tuple(msgspec.structs.replace(target, emergency=True) for target in side.targets)


def _not_yours(orig: Found, user: User, domain: Domain, principal: Principal) -> Fault | None:
    """A key of one user rings no other user's phone first; whoever rules the domain may ring any."""
    if orig.user is None or orig.user.user == user.user:
        return None
    if principal.rules_domain(domain.domain, reseller=domain.reseller):
        return None
    return Fault(ORIGINATION, "not-your-user", "is another user's phone", orig.dialled, "an own device or number")


def _person(user: User | None) -> Person:
    if user is None:
        return Person()
    return Person(user.full_name, user.other.get("site", ""), user.other.get("department", ""))


def _header(text: str) -> tuple[str, str] | None:
    name, colon, value = text.partition(":")
    return (name.strip(), value.strip()) if colon else None


def _as_shown(caller_id: CallerId, side: Resolved) -> CallerId:
    """Return what a side is shown, by the dial rule that chose it."""
    if not isinstance(side, Found):
        return caller_id
    shown = side.shown
    if side.hides_caller or shown.user == "":
        return ANONYMOUS
    return CallerId(
        number=caller_id.number if shown.user is None else shown.user,
        name=caller_id.name if shown.name is None else shown.name,
        host=shown.host or "",
    )


def _ring_timeout_s(term: Found, settings: PlaceSettings) -> float:
    if term.rings_on:
        return settings.max_duration_s
    if term.user is None or term.user.ring_no_answer_timeout_seconds is None:
        return settings.termination_ring_timeout_s
    return float(max(1, term.user.ring_no_answer_timeout_seconds))
