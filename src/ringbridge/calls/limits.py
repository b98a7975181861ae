"""Limits on calls, held across nodes (`model.limits`): slots are taken before a call is stored, and never leak.

A slot is not given back when its call ends. Whoever finds a subject full looks which of its slots' calls are over, by
the local copy, and takes what is free: so no node has to live for a slot to come free. A slot whose call nobody knows
is kept for `GRACE_S`, while its call may be on its way, and then settled by the bus itself. A subject without a limit
costs nothing; one with a limit costs a write to the bus for each call, as what was last written is remembered.

Of a connection legs have slots: what a call has beyond its legs that are not over is free. A transfer takes the slot of
its target before it is ordered; until the copy shows the order, that too is kept for `GRACE_S`. An attended one takes
it for the call that goes on, beside the one that the other call has until it is over.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeAlias

import msgspec
import structlog

from ringbridge.calls.ports import Bus, Clock, Store
from ringbridge.model.call import Call, fold
from ringbridge.model.errors import BusUnavailable, CallError, Conflict, Fault, Refusal
from ringbridge.model.ids import CallId, DomainName, SessionId
from ringbridge.model.limits import Claim, Held, Slot, SubjectKey, fault_of, retry_after_s, slots_needed

log = structlog.get_logger()

GRACE_S: Final = 60.0
"""Far longer than a call that is being placed takes to be seen by every copy."""
ATTEMPTS: Final = 50
"""Compare-and-sets for one slot. Each that is lost was won by another call, on another node."""
REMEMBERED: Final = 10_000
ROOM: Final = 8
"""Slots beyond twice those last seen alive, before the dead among them are looked for: keeps the value short."""

Taken: TypeAlias = list[tuple[SubjectKey, Slot]]
"""Slots, each with what it is of."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Held).decode


class LimitBus(Bus, Protocol):
    """A bus that keeps limits too."""

    async def read_limit(self, subject: tuple[str, ...]) -> tuple[bytes, int]:
        """Return what is kept of a limited subject, empty when nothing is, and its revision; from the bus itself."""
        ...

    async def write_limit(self, subject: tuple[str, ...], payload: bytes, *, after: int, ttl_s: int = 0) -> int:
        """Store what is kept of a limited subject, if `after` is its revision; return the new one.

        It is forgotten after `ttl_s` seconds; 0: never.

        Raises:
            Conflict: something else is the last.
        """
        ...


class _Known(msgspec.Struct):
    """What this node last saw of a subject."""

    held: Held
    revision: int
    is_fresh: bool
    """Just read from the bus: nobody's write can have been missed but by a conflict."""


class Limits:
    """Takes slots for calls, or says which limit is reached."""

    def __init__(self, *, bus: LimitBus, store: Store, clock: Clock, longest_call_s: float) -> None:
        """`longest_call_s` is after how many seconds a slot's call must be over, whatever is known of it."""
        self._bus = bus
        self._store = store
        self._clock = clock
        self._longest_call_s = longest_call_s
        self._known: OrderedDict[SubjectKey, tuple[Held, int]] = OrderedDict()
        self._alive: dict[SubjectKey, int] = {}
        self._turns: dict[SubjectKey, tuple[asyncio.Lock, int]] = {}

    async def take(
        self, claims: Sequence[Claim], *, domain: DomainName, call_id: CallId, session_id: SessionId, transfer: int = 0
    ) -> Taken:
        """Take the slots of a call, or of its transfer of that number, all of them or none; return the new ones.

        Raises:
            CallError: 429 that names every limit that is reached; or the bus cannot store it.
        """
        taken: Taken = []
        faults: list[Fault] = []
        wait_s = 0
        try:
            for claim in claims:
                slot = Slot(call_id, session_id, self._clock.now(), claim.slots, transfer)
                async with self._turn(claim.subject):
                    refused = await self._take_one(claim, domain, slot, taken)
                if refused is not None:
                    faults.append(refused[0])
                    wait_s = max(wait_s, refused[1])
        except BaseException:
            await self.give_back(taken)
            raise
        if faults:
            await self.give_back(taken)
            raise CallError(Refusal.TOO_MANY, faults[0].code, faults[0].message, faults=faults, retry_after_s=wait_s)
        return taken

    @asynccontextmanager
    async def taken_for_transfer(self, claims: Sequence[Claim], call: Call) -> AsyncIterator[None]:
        """Take the slots of a transfer of `call` that is ordered inside; when the order is refused, give them back.

        Where nobody can say whether it was, they come free by themselves.

        Raises:
            CallError: as `take`.
        """
        number = call.transfers + 1
        taken = await self.take(
            claims, domain=call.domain, call_id=call.call_id, session_id=call.session_id, transfer=number
        )
        try:
            yield
        except CallError as refused:
            if refused.refusal is not Refusal.UNAVAILABLE:
                await self.give_back(taken)
            raise

    async def look(self, claims: Sequence[Claim], *, domain: DomainName) -> list[Fault]:
        """Return which limits are reached now, and take nothing."""
        faults = []
        for claim in claims:
            known = await self._read(claim.subject)
            held = await self._without_dead(domain, claim.subject, known.held)
            if (fault := fault_of(claim, held, self._clock.now())) is not None:
                faults.append(fault)
        return faults

    async def give_back(self, taken: Taken) -> None:
        """Give slots back that came to nothing; what cannot be given back comes free too."""
        for subject, slot in taken:
            try:
                async with self._turn(subject):
                    await self._give_back_one(subject, slot)
            except (BusUnavailable, CallError):
                log.warning("slot_left_behind", subject=subject)

    async def _give_back_one(self, subject: SubjectKey, slot: Slot) -> None:
        for _ in range(ATTEMPTS):
            known = await self._last(subject)
            held = known.held.without(slot)
            if held == known.held or await self._write(subject, held, known.revision):
                return

    async def _take_one(self, claim: Claim, domain: DomainName, slot: Slot, taken: Taken) -> tuple[Fault, int] | None:
        """Take one subject's slots, and say so in `taken`; return the limit that is reached, and when to try again."""
        for _ in range(ATTEMPTS):
            known = await self._last(claim.subject)
            now, held = self._clock.now(), known.held
            if held.has_place(claim, slot):
                return None  # also the same request, twice at once: only one of them will be stored
            if fault_of(claim, held, now) or held.active >= 2 * self._alive.get(claim.subject, 0) + ROOM:
                held = await self._without_dead(domain, claim.subject, held)
                self._alive[claim.subject] = held.active
            fault = None if held.has_room(claim, slot) else fault_of(claim, held, now)
            if fault is not None and not known.is_fresh:
                self._known.pop(claim.subject, None)
                continue
            if fault is not None:
                return fault, retry_after_s(claim, held, now)
            if await self._write(claim.subject, held.with_slot(claim, slot), known.revision):
                if claim.active is not None:
                    taken.append((claim.subject, slot))
                return None
        message = f"too many calls of {claim.named} are being placed at once; try again"
        raise CallError(Refusal.UNAVAILABLE, "limits-contended", message, retry_after_s=1)

    # --- the value on the bus -----------------------------------------------------------------------------------------

    async def _last(self, subject: SubjectKey) -> _Known:
        known = self._known.get(subject)
        return await self._read(subject) if known is None else _Known(*known, is_fresh=False)

    async def _read(self, subject: SubjectKey) -> _Known:
        payload, revision = await self._bus.read_limit(subject)
        try:
            held = _decode(payload) if payload else Held()
        except msgspec.DecodeError:
            log.exception("limit_unreadable", subject=subject)
            held = Held()
        return _Known(held, revision, is_fresh=True)

    async def _write(self, subject: SubjectKey, held: Held, revision: int) -> bool:
        """Return whether `held` is what the bus keeps now; false: another node was first."""
        try:
            revision = await self._bus.write_limit(subject, _encode(held), after=revision)
        except Conflict:
            self._known.pop(subject, None)
            return False
        except BusUnavailable:
            self._known.pop(subject, None)
            raise
        self._known[subject] = (held, revision)
        self._known.move_to_end(subject)
        if len(self._known) > REMEMBERED:
            forgotten, _ = self._known.popitem(last=False)
            self._alive.pop(forgotten, None)
        return True

    @asynccontextmanager
    async def _turn(self, subject: SubjectKey) -> AsyncIterator[None]:
        """Let the calls of this node come one after the other, so that they do not compete with each other."""
        lock, users = self._turns.get(subject, (None, 0))
        lock = lock or asyncio.Lock()
        self._turns[subject] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns[subject]
            if users == 1:
                del self._turns[subject]
            else:
                self._turns[subject] = (lock, users - 1)

    # --- slots that are free ------------------------------------------------------------------------------------------

    async def _without_dead(self, domain: DomainName, subject: SubjectKey, held: Held) -> Held:
        needed = {
            session_id: await self._needed(domain, subject, slots) for session_id, slots in held.of_calls().items()
        }
        return held.cut(needed)

    async def _needed(self, domain: DomainName, subject: SubjectKey, slots: Sequence[Slot]) -> int:
        """Return how many of one call's slots are not free."""
        now, newest = self._clock.now(), slots[-1]
        if newest.at + self._longest_call_s < now:
            return 0
        call = await self._store.stored_call(domain, newest.call_id)
        # One that is up has the slots of its id, also where another node took them for this same request.
        if call is None or (call.session_id != newest.session_id and call.is_over):
            if now < newest.at + GRACE_S:
                return sum(slot.count for slot in slots)
            call = await self._on_bus(domain, newest.call_id)
        if call is None or call.is_over:
            return 0
        on_their_way = [one.count for one in slots if one.transfer > call.transfers and now < one.at + GRACE_S]
        return slots_needed(call, subject) + sum(on_their_way)

    async def _on_bus(self, domain: DomainName, call_id: CallId) -> Call | None:
        call: Call | None = None
        for message in await self._bus.read_call(domain, call_id):
            call = fold(call, message.events, message.sequence)
        return call
