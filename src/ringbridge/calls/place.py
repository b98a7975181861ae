"""Accepting a call: who rings, who is shown, may they; then one write that makes it true in the whole cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from ringbridge.calls.draft import Draft, Drafts, PlaceSettings, refusal_of
from ringbridge.calls.limits import LimitBus, Limits
from ringbridge.calls.ports import Clock, Ids, Store
from ringbridge.model.access import Principal
from ringbridge.model.call import Call, CallState, Leg, fold
from ringbridge.model.errors import CallError, Conflict, Fault, Refusal
from ringbridge.model.events import CallPlan, CallRequest, CallRequested, TransferPlan
from ringbridge.model.ids import CallId, DomainName, NodeId, SessionId, UserName


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
        self, *, bus: LimitBus, store: Store, clock: Clock, ids: Ids, node: NodeId, settings: PlaceSettings
    ) -> None:
        self._bus = bus
        self._store = store
        self._clock = clock
        self._ids = ids
        self._node = node
        self._settings = settings
        self._drafts = Drafts(store=store, clock=clock, settings=settings)
        self._limits = Limits(bus=bus, store=store, clock=clock, longest_call_s=settings.longest_call_s)

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
        draft = await self._drafts.draft(request, principal, faults)
        if draft.plan is None:
            raise refusal_of(draft.faults)
        call = self._requested(request, draft.plan)
        await self._limits.take(draft.claims, domain=domain, call_id=call_id, session_id=call.session_id)
        try:
            if known is not None and known.state is CallState.BARRED:
                after = known.sequence
                sequence = await self._bus.append_call(domain, call_id, [call], after=after, requested=True)
            else:
                sequence = await self._bus.create_call(domain, call_id, [call])
        except Conflict:
            # The slots stay: the call that is stored found them taken for its id. What it does not need comes free.
            return await self._replay_from_bus(request)
        return Placed(domain, call_id, call.session_id, sequence, replayed=False)

    async def explain(self, request: CallRequest, principal: Principal, *, faults: Sequence[Fault] = ()) -> Draft:
        """Return what `place` would do with the request, with every reason against it; nothing is stored.

        Raises:
            CallError: there is no such user; or the bus cannot say how far limits are reached.
        """
        draft = await self._drafts.draft(request, principal, faults)
        against = [*draft.faults, *await self._limits.look(draft.claims, domain=DomainName(request.domain))]
        known = await self._store.stored_call(DomainName(request.domain), CallId(request.call_id))
        if known is not None:
            against += self._reasons_of(known, request)
        return msgspec.structs.replace(draft, faults=tuple(against))

    @asynccontextmanager
    async def planned_transfer(self, call: Call, user: str, to: str, remaining: Leg) -> AsyncIterator[TransferPlan]:
        """Give who takes the place of `user`, who transfers `call` to the party `to`; `remaining` stays in it.

        The transfer is ordered inside: places under limits are taken for it, and given back if it is refused.

        Raises:
            CallError: refused, nothing is stored.
        """
        draft = await self._drafts.transfer(call, user, to, remaining)
        async with self._limits.taken_for_transfer(draft.claims, call):
            yield draft.plan

    @asynccontextmanager
    async def held_for_join(self, call: Call, user: str, plan: TransferPlan) -> AsyncIterator[None]:
        """Take the places of the party that `call` takes over by an attended transfer, which is ordered inside."""
        claims = await self._drafts.claims_of_join(call, user, plan)
        async with self._limits.taken_for_transfer(claims, call):
            yield

    def _reasons_of(self, known: Call, request: CallRequest) -> list[Fault]:
        """Return what a call of the same id has against another one."""
        try:
            replay = self._replay(known, request)
        except CallError as refusal:
            return [Fault("call-id", refusal.code, refusal.message, request.call_id)]
        if replay is None:
            return []
        message = "is this same call, which was placed before: it is answered again, and nobody is rung"
        return [Fault("call-id", "call-id-replayed", message, request.call_id)]

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

    def _requested(self, request: CallRequest, plan: CallPlan) -> CallRequested:
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
