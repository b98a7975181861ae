"""Orders to calls that exist: end, hold, transfer… They reach the owner by request-reply over the bus (`commands`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeAlias

from ringbridge.calls.commands import (
    Command,
    EndCommand,
    HoldWish,
    OrderCommand,
    RejectWish,
    TransferWish,
    Wish,
    decode_answer,
    encode_command,
    order_of,
)
from ringbridge.calls.directory.audit import noted
from ringbridge.calls.holding import UNDER_WAY, asking_leg, check_up, conflict
from ringbridge.calls.ports import Bus, Clock, NodeAway
from ringbridge.model.call import Call, Leg, fold
from ringbridge.model.errors import CallError, Conflict, Refusal
from ringbridge.model.events import CallBarred, CallEnded, CallEvent, Consultation, EndRequested, TransferPlan
from ringbridge.model.ids import CallId, DomainName, UserName
from ringbridge.model.parties import parties
from ringbridge.model.release import DELETED
from ringbridge.model.taking_part import is_of

BAR_S = 86_400.0
"""How long a call-id stays barred when DELETE came before its POST (contract §3)."""
COMMAND_TIMEOUT_S = 5.0
ATTEMPTS = 4
"""A call can move from requested to claimed to over while we look; more moves than that are somebody's bug."""


PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Between attempts to give an order to a call that is carrying out another."""

OFFER_TIMEOUT_S = 45.0
"""How long a party that is up may take to say to the offer that joins it: SIP gives up before."""

TransferPlanner: TypeAlias = Callable[[Call, Leg], AbstractAsyncContextManager[TransferPlan]]
"""Says who takes the place of whoever transfers a call, given as it is now, for the leg that remains.

The transfer is ordered inside.
"""
JoinHolder: TypeAlias = Callable[[Call, TransferPlan], AbstractAsyncContextManager[None]]
"""Takes the places of the party that a call, given as it is now, takes over. The transfer is ordered inside."""


class Control:
    """Gives orders to calls, wherever they run."""

    def __init__(self, *, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def end(self, call: Call | None, *, domain: str, user: str, name: str, by: str) -> None:
        """End the call `name` of `domain` for `user`; `call` is what this node's replica knows. Safe to repeat.

        Returns once the wish is stored. A name that no call has is barred for a day, so that a POST which is still
        on its way does not ring anybody.

        Raises:
            CallError: not found (the name is barred now), or its owner cannot be reached (nothing was done).
        """
        call_id = CallId(call.call_id if call else name)
        if call is None:
            call = await self._bar(DomainName(domain), UserName(user), call_id)
        for _ in range(ATTEMPTS):
            if call is None or not is_of(call, user):
                raise CallError(Refusal.NOT_FOUND, "no-such-call", f"no call {name} of this user")
            if call.is_over or await noted(self._bus, call, "end", partial(self._end_now, call, by)):
                return
            call = await self._read(call.domain, call_id)
        raise _owner_away()

    async def _bar(self, domain: DomainName, user: UserName, call_id: CallId) -> Call | None:
        now = self._clock.now()
        try:
            await self._bus.create_call(domain, call_id, [CallBarred(domain, user, call_id, now, now + BAR_S)])
        except Conflict:
            return await self._read(domain, call_id)
        return None

    async def _read(self, domain: DomainName, call_id: CallId) -> Call | None:
        call: Call | None = None
        for message in await self._bus.read_call(domain, call_id):
            call = fold(call, message.events, message.sequence)
        return call

    async def _end_now(self, call: Call, by: str) -> bool:
        """Return whether the wish is stored; false means: look again."""
        if not call.owner:
            now = self._clock.now()
            events: list[CallEvent] = [EndRequested(by, now), CallEnded(DELETED, "system", now)]
            try:
                await self._bus.append_call(call.domain, call.call_id, events, after=call.sequence)
            except Conflict:
                return False
            return True
        return await self._send(call, EndCommand(call.domain, call.call_id, by))

    async def hold(self, call: Call, name: str, *, user: str, on: bool, by: str) -> None:
        """Let the party that `name` stands for (`holding.asking_leg`) hold the other, or take it back. Safe to repeat.

        Returns once the order is stored; what the phones say to it shows in the call.

        Raises:
            CallError: the state of the call does not allow it, or its owner cannot be reached; nothing was done.
        """
        wish = HoldWish(name, on, by, user)
        await self._once_free(call, lambda now: self._order(now, wish))

    async def transfer(self, call: Call, name: str, *, user: str, plan: TransferPlanner, by: str) -> None:
        """Let another party take the place of the one that `name` stands for (`holding.asking_leg`).

        `plan` is asked who that is, with the leg that remains, once the state is known to allow it. Returns once the
        order is stored; what comes of it shows in the call.

        Raises:
            CallError: the state of the call does not allow it, or its owner cannot be reached; nothing was done.
        """
        await self._once_free(call, lambda now: self._transfer(now, name, user=user, plan=plan, by=by))

    async def _transfer(self, call: Call, name: str, *, user: str, plan: TransferPlanner, by: str) -> None:
        now = await self._up_to_date(call)
        if now.is_over:
            raise conflict("call-ended", "the call is over")
        asker, other = check_up(now, asking_leg(now, name, user))
        async with plan(now, other) as planned:
            await self._order(now, TransferWish(asker.leg_id, planned, by))

    async def join(self, call: Call, name: str, *, user: str, second: Call, held: JoinHolder, by: str) -> None:
        """Attended transfer: join the other party of `call` with the other party of `second`, the user's both.

        Returns once the order is stored; what comes of it shows in both calls.

        Raises:
            CallError: the state of either does not allow it, or its owner cannot be reached; nothing was done.
        """
        await self._once_free(call, lambda now: self._join(now, name, user=user, second=second, held=held, by=by))

    async def _join(self, call: Call, name: str, *, user: str, second: Call, held: JoinHolder, by: str) -> None:
        there = await self._up_to_date(second)
        if there.is_over:
            raise conflict("destination-ended", "the call of call-destination-session-id is over")
        try:
            _, far = check_up(there, asking_leg(there, there.call_id, user))
        except CallError as refused:
            message = f"the call of call-destination-session-id: {refused.message}"
            raise CallError(refused.refusal, f"destination-{refused.code}", message) from refused
        planned = _joining(there, far)

        @asynccontextmanager
        async def plan(now: Call, _: Leg) -> AsyncIterator[TransferPlan]:
            async with held(now, planned):
                yield planned

        await self._transfer(call, name, user=user, plan=plan, by=by)

    async def _once_free(self, call: Call, give: Callable[[Call], Awaitable[None]]) -> None:
        """Give an order; where an earlier one is being carried out, try for a while.

        A phone mostly answers an offer at once, and a call shows `held` as soon as it is, with the holder's own phone
        still to be told. Whoever holds, and goes on with the next order, is right to.
        """
        for pause_s in PAUSES_S:
            try:
                return await give(call)
            except CallError as refused:
                if not refused.code.endswith(UNDER_WAY):
                    raise
            await asyncio.sleep(pause_s)
            call = await self._read(call.domain, call.call_id) or call
        return await give(call)

    async def _up_to_date(self, call: Call) -> Call:
        """Return a call as it is: a local copy that shows it connected, and no order, is as good as the bus."""
        if call.joined_at and call.order is None:
            return call
        return await self._read(call.domain, call.call_id) or call

    async def reject(self, call: Call, *, by: str) -> None:
        """Refuse a call on behalf of the party that is being rung.

        Raises:
            CallError: nobody is, or its owner cannot be reached; nothing was done.
        """
        await self._order(call, RejectWish(by))

    async def _order(self, call: Call, wish: Wish) -> None:
        """Send `wish` to whoever runs the call meanwhile."""
        command = OrderCommand(call.domain, call.call_id, wish)
        known: Call | None = call
        for _ in range(ATTEMPTS):
            if known is None or known.is_over:
                raise conflict("call-ended", "the call is over")
            if not known.owner and known is not call:
                raise conflict("call-not-connected", "nobody has been called yet")
            if known.owner and await noted(self._bus, known, order_of(wish), partial(self._send, known, command)):
                return
            known = await self._read(known.domain, known.call_id)
        raise _owner_away()

    async def _send(self, call: Call, command: Command) -> bool:
        """Return whether the owner has stored it; false means: it does not run the call, look again."""
        try:
            answer = await self._bus.command(call.owner, encode_command(command), timeout_s=COMMAND_TIMEOUT_S)
        except NodeAway as away:
            raise _owner_away() from away
        return decode_answer(answer).check()


def _joining(second: Call, far: Leg) -> TransferPlan:
    """Return the plan by which the party of `far`, in the call `second`, takes the place of who transfers to it."""
    between = parties(second)
    is_term = between.term is not None and between.term.leg_id == far.leg_id
    return TransferPlan(
        targets=(far.target,),
        caller_id=between.shown_to_term if is_term else between.shown_to_orig,
        dialled=between.dialled if is_term else far.target.label,
        ring_timeout_s=OFFER_TIMEOUT_S,
        match_uri=between.match_uri if is_term else "",
        person=between.term_person if is_term else between.orig_person,
        consultation=Consultation(second.call_id, second.session_id, far.sip_call_id),
    )


def _owner_away() -> CallError:
    return CallError(Refusal.UNAVAILABLE, "owner-away", "the call's engine does not answer now", retry_after_s=2)
