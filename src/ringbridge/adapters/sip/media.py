"""The relay sessions of a call: the one that its parties speak through, and another where that one cannot follow.

RTPProxy decides once, when a session begins, whether a side's address is learned from packets (its phone is behind
NAT); where it has learned one it takes no other, and where it does not learn it never will. So when a phone behind NAT
leaves a side, comes to it, or moves, the call goes on in another session: whoever came is offered its port from the
start, whoever remains is offered the other one by one re-INVITE.

Nothing is left behind: `tidy` closes what no leg is in, whenever a leg was prepared, came or went; after a restart of
the engine `sweep` closes what was open and is in no leg's record. Sessions are numbered, so their names are known.

A name also says whose it is: engines may share a relay, and one that prepares a call which another one has claimed
(claims can be offered twice) must not open, and then close, the session that its parties speak through.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog

from ringbridge.adapters.relay.rtpproxy import Relay, RelayUnavailable
from ringbridge.adapters.sip.leg import SipCall
from ringbridge.calls.ports import LegOrder
from ringbridge.media.relay_commands import RelayRefused, RelaySession
from ringbridge.model.call import Side, side_of
from ringbridge.model.errors import CallError, Refusal

log = structlog.get_logger()

_LOST: Final = "lost"
_MOST_UNRECORDED: Final = 2
"""How many sessions of a call can be open that no leg's record tells of: a target's, and that of a phone that moves."""


class RelaySessions:
    """Opens and closes them for one engine."""

    def __init__(self, relay: Relay, *, owner: str) -> None:
        """`owner` is the node's name: the same after a restart, and no other's."""
        self._relay = relay
        self._owner = owner

    async def first(self, order: LegOrder) -> RelaySession:
        """Return the session that a call begins with.

        Raises:
            CallError: no relay answers.
        """
        return await self._open(f"{order.session_id}-{self._owner}", number=0, learn=order.learn)

    @asynccontextmanager
    async def for_legs(self, call: SipCall, orders: Sequence[LegOrder]) -> AsyncIterator[RelaySession]:
        """Yield the session whose port legs of one side are offered: the call's, unless that cannot follow them.

        A new one is closed at the end if no leg is in it.

        Raises:
            CallError: no relay answers.
        """
        side = side_of(orders[0].leg_id)
        nat = any(order.target.nat for order in orders)
        if not any(order.transfer for order in orders) or (not nat and side not in call.relay.learn):
            yield call.relay
            return
        async with self.another(call, side, learns=nat) as session:
            yield session

    @asynccontextmanager
    async def another(self, call: SipCall, side: Side, *, learns: bool) -> AsyncIterator[RelaySession]:
        """Yield a new session for a call of which one side changes; `learns`: it is behind NAT from now on.

        It is closed at the end if no leg is in it.

        Raises:
            CallError: no relay answers, or the call ended meanwhile.
        """
        other = call.answered(side.other)
        learn = tuple(one for one in Side if (learns if one is side else other is not None and other.learns))
        call.numbered += 1  # at once, and never again: others may ask while the relay has not answered
        session = await self._open(_first_name(call.relay), number=call.numbered, learn=learn)
        if call.closed:
            self._relay.close(session)
            raise CallError(Refusal.UNAVAILABLE, "call-ended", "the call is over")
        call.relays[session.session_id] = session
        call.preparing.add(session.session_id)
        try:
            yield session
        finally:
            call.preparing.discard(session.session_id)
            self.tidy(call)

    async def taken_up(self, session: RelaySession) -> RelaySession:
        """Return a session of before our own restart as it is now, of another instance than the relay's if it is lost.

        An external relay is asked, since nobody but us counts how often it was started again; silent, it has it still.
        """
        if not self._relay.is_external:
            return session
        now = msgspec.structs.replace(session, instance=self._relay.instance)
        try:
            await self._relay.traffic(now)
        except RelayRefused as refused:
            return msgspec.structs.replace(session, instance=_LOST) if refused.is_gone else now
        except RelayUnavailable:
            pass
        return now

    async def _open(self, first_name: str, *, number: int, learn: Sequence[Side]) -> RelaySession:
        name = _name(first_name, number)
        try:
            session = await self._relay.open(name, learn=learn)
        except (RelayUnavailable, RelayRefused) as failure:
            log.exception("relay_unavailable", session_id=name)
            raise CallError(Refusal.UNAVAILABLE, "relay-unavailable", "no media relay answers") from failure
        return msgspec.structs.replace(session, number=number)

    def tidy(self, call: SipCall) -> None:
        """Close what no leg is in any more, nor going to."""
        legs = [leg for leg in call.legs.values() if leg.released is None]
        used = {call.relay.session_id} | call.preparing
        used |= {one.session_id for leg in legs for one in (leg.relay, leg.moving) if one is not None}
        for name in call.relays.keys() - used:
            self._relay.close(call.relays.pop(name))

    def sweep(self, call: SipCall, *, transfers: int = 0) -> None:
        """After a restart, when `call` has what its legs' records tell of: close what else may be open.

        Each of so many `transfers` may have had a session since the last one that a leg is in: of those that failed
        only the last can be open, but which number that has nobody wrote down.
        """
        call.numbered = max(one.number for one in call.relays.values()) + transfers
        for number in range(call.numbered + 1 + _MOST_UNRECORDED):
            name = _name(_first_name(call.relay), number)
            if name not in call.relays:
                self._relay.close(msgspec.structs.replace(call.relay, session_id=name))

    def close(self, call: SipCall) -> None:
        """Close all that a call has, which is over."""
        call.closed = True
        for session in call.relays.values():
            self._relay.close(session)
        call.relays.clear()


def _name(first_name: str, number: int) -> str:
    return f"{first_name}.{number}" if number else first_name


def _first_name(session: RelaySession) -> str:
    """Return the name of the session that the call of `session` began with."""
    return session.session_id.removesuffix(f".{session.number}")
