"""Accepting a call: who rings, who is shown, may they; then one write that makes it true in the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ringbridge.calls.found import Found
from ringbridge.calls.ports import Bus, Clock, Ids, Store
from ringbridge.calls.targets import Resolver
from ringbridge.model.access import Principal
from ringbridge.model.call import Call, CallState, Leg, fold
from ringbridge.model.directory import Domain, User
from ringbridge.model.errors import CallError, Conflict, Fault, Refusal, invalid
from ringbridge.model.events import CallerId, CallPlan, CallRequest, CallRequested, Person, TransferPlan
from ringbridge.model.ids import CallId, DomainName, NodeId, SessionId, UserName
from ringbridge.model.numbers import plain_number, same_number

REFUSALS = (
    (Refusal.NOT_FOUND, frozenset({"available-number"})),
    (Refusal.FORBIDDEN, frozenset({"caller-id-not-allowed", "not-your-user", "barred-by-dial-rule"})),
)
"""Faults that are no mistakes: a request that has no other is refused so, and not as invalid."""
ANONYMOUS = CallerId("anonymous", "Anonymous")


class PlaceSettings(msgspec.Struct, frozen=True):
    """Times for accepted calls, in seconds."""

    dial_before_s: float = 30.0
    origination_ring_timeout_s: float = 30.0
    termination_ring_timeout_s: float = 60.0
    max_duration_s: float = 14_400.0


class Placed(msgspec.Struct, frozen=True):
    """An accepted call. `sequence` is what a replica must have applied to show it; `replayed`: it was there before."""

    domain: DomainName
    call_id: CallId
    session_id: SessionId
    sequence: int
    replayed: bool


class Placer:
    """Accepts or refuses calls. One (domain, call-id) is one call for ever (contract §3)."""

    def __init__(
        self, *, bus: Bus, store: Store, clock: Clock, ids: Ids, node: NodeId, settings: PlaceSettings
    ) -> None:
        self._bus = bus
        self._store = store
        self._clock = clock
        self._ids = ids
        self._node = node
        self._settings = settings

    async def place(self, request: CallRequest, principal: Principal, *, faults: Sequence[Fault] = ()) -> Placed:
        """Store the call and return it, or what the same request returned before.

        `faults` are those of the request as it was written: it is refused, and what the directory has against its
        other fields is said in the same answer.

        Raises:
            CallError: refused; the call-id stays free, nothing is stored, nothing rings.
        """
        domain, call_id = DomainName(request.domain), CallId(request.call_id)
        known = None if faults else await self._store.stored_call(domain, call_id)
        if known is not None and (replay := self._replay(known, request)):
            return replay
        call = await self._accept(request, principal, faults)
        try:
            if known is not None and known.state is CallState.BARRED:
                after = known.sequence
                sequence = await self._bus.append_call(domain, call_id, [call], after=after, requested=True)
            else:
                sequence = await self._bus.create_call(domain, call_id, [call])
        except Conflict:
            return await self._replay_from_bus(request)
        return Placed(domain, call_id, call.session_id, sequence, replayed=False)

    async def _replay_from_bus(self, request: CallRequest) -> Placed:
        """Somebody else's POST of this call-id won; the bus knows which."""
        known: Call | None = None
        for message in await self._bus.read_call(DomainName(request.domain), CallId(request.call_id)):
            known = fold(known, message.events, message.sequence)
        replay = None if known is None else self._replay(known, request)
        if replay is None:
            raise CallError(Refusal.UNAVAILABLE, "try-again", "the call-id is just changing hands", retry_after_s=1)
        return replay

    def _replay(self, known: Call, request: CallRequest) -> Placed | None:
        """Return the answer that this same request had; None where a bar has run out and the POST may go on."""
        if known.state is CallState.BARRED:
            if self._clock.now() < known.barred_until:
                raise CallError(Refusal.CONFLICT, "call-ended", "this call-id was ended before it was placed")
            return None
        if known.request != request:
            raise CallError(Refusal.CONFLICT, "call-id-conflict", "this call-id belongs to another request")
        return Placed(known.domain, known.call_id, known.session_id, known.sequence, replayed=True)

    async def _accept(self, request: CallRequest, principal: Principal, faults: Sequence[Fault]) -> CallRequested:
        domain = await self._store.domain(request.domain)
        user = await self._store.user(request.domain, request.user)
        if domain is None or user is None:
            missing = Fault("user", "no-such-user", f"no user {request.user} in domain {request.domain}", request.user)
            raise CallError(Refusal.NOT_FOUND, missing.code, missing.message, faults=[missing, *faults])
        plan = await self._plan(request, domain, user, principal, faults)
        now = self._clock.now()
        return CallRequested(
            domain=DomainName(request.domain),
            user=UserName(request.user),
            call_id=CallId(request.call_id),
            session_id=self._ids.session_id(),
            request=request,
            plan=plan,
            at=now,
            dial_before=now + self._settings.dial_before_s,
            node=self._node,
        )

    async def _plan(
        self, request: CallRequest, domain: Domain, user: User, principal: Principal, written: Sequence[Fault]
    ) -> CallPlan:
        wrong = {fault.field: fault for fault in written}
        resolver = Resolver(self._store, domain, user, at=self._clock.now())
        orig = wrong.get("call-orig-user") or await resolver.origination(request.call_orig_user)
        term = wrong.get("call-term-user") or await resolver.termination(
            request.call_term_user, request.dial_rule_application
        )
        faults = [*written, *(one for one in (orig, term) if isinstance(one, Fault) and one not in written)]
        if isinstance(orig, Found) and (stranger := _not_yours(orig, user, domain, principal)):
            faults.append(stranger)
        forced = isinstance(term, Found) and term.forces_caller
        asked = "" if forced else request.caller_id_number
        shown_to_term = await self._caller_id(asked, "caller-id-number", domain, user, faults)
        outside = isinstance(orig, Found) and orig.leaves_domain
        shown_to_orig = await self._caller_id(
            request.callback_caller_id_number, "callback-caller-id-number", domain, user, faults, any_number=not outside
        )
        if faults or not isinstance(orig, Found) or not isinstance(term, Found):
            raise _refused(faults)
        return CallPlan(
            origination=orig.targets,
            termination=term.targets,
            origination_caller_id=_as_shown(shown_to_orig, orig),
            termination_caller_id=_as_shown(shown_to_term, term),
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
            reseller=domain.reseller,
        )

    async def plan_transfer(self, call: Call, to: str, remaining: Leg) -> TransferPlan:
        """Return who takes the place of whoever transfers `call` to the party `to`; `remaining` stays in it.

        Whom the call's user may not call they may not transfer to either.

        Raises:
            CallError: refused, nothing is stored.
        """
        domain = await self._store.domain(call.domain)
        user = await self._store.user(call.domain, call.user)
        if domain is None or user is None:
            raise CallError(Refusal.NOT_FOUND, "no-such-user", f"no user {call.user} in domain {call.domain}")
        term = await Resolver(self._store, domain, user, at=self._clock.now()).termination(to, "call")
        if isinstance(term, Fault):
            raise _refused([term])
        shown = await self._caller_id_of(remaining, domain, user, outside=term.leaves_domain)
        return TransferPlan(
            targets=term.targets,
            caller_id=_as_shown(shown, term),
            dialled=term.dialled,
            ring_timeout_s=_ring_timeout_s(term, self._settings),
            match_uri=term.pattern,
            person=_person(term.user),
        )

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
                "the user's or the domain's caller ID, or a phone number of the domain that is the user's or nobody's",
            )
        )
        return CallerId(own, name)

    async def _may_show(self, number: str, domain: Domain, user: User) -> bool:
        own = (user.caller_id_number, domain.caller_id_number, user.user)
        if any(mine and same_number(number, mine) for mine in own):
            return True
        held = await self._store.phone_number(domain.domain, number.removeprefix("+"))
        return held is not None and held.enabled == "yes" and held.user in ("", user.user)


def _not_yours(orig: Found, user: User, domain: Domain, principal: Principal) -> Fault | None:
    """A key of one user rings no other user's phone first; whoever rules the domain may ring any."""
    if orig.user is None or orig.user.user == user.user:
        return None
    if principal.rules_domain(domain.domain, reseller=domain.reseller):
        return None
    return Fault("call-orig-user", "not-your-user", "is another user's phone", orig.dialled, "an own device or number")


def _person(user: User | None) -> Person:
    return Person() if user is None else Person(user.full_name)


def _refused(faults: list[Fault]) -> CallError:
    for refusal, codes in REFUSALS:
        if all(fault.code in codes for fault in faults):
            return CallError(refusal, faults[0].code, f"{faults[0].field}: {faults[0].message}", faults=faults)
    return invalid(faults)


def _header(text: str) -> tuple[str, str] | None:
    name, colon, value = text.partition(":")
    return (name.strip(), value.strip()) if colon else None


def _as_shown(caller_id: CallerId, found: Found) -> CallerId:
    """Return what a side is shown, by the dial rule that chose it."""
    shown = found.shown
    if found.hides_caller or shown.user == "":
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
