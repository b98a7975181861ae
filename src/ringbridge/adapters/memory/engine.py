"""The call engine in memory: virtual phones in place of SIP, with the port's contract kept to the letter.

A `MemoryEngine` is one node's, over the phones of `memory.phones`; `crash` makes it fall silent in the middle of
everything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ringbridge.adapters.memory.phones import MemoryPhones, Phone, decode_dialog, dialog_of
from ringbridge.calls.ports import (
    Answered,
    HungUp,
    LegOrder,
    LegSignal,
    MediaLost,
    PreparedLeg,
    Refused,
    SignalHandler,
)
from ringbridge.model.call import Leg, Side
from ringbridge.model.events import Flow
from ringbridge.model.ids import DomainName, LegId, SessionId
from ringbridge.model.release import RELAY_LOST, ReleaseCause, of_sip_status


@dataclass(slots=True, eq=False)
class _Leg:
    """A leg as the engine sees it. `sent`: its INVITE left; `final`: it has been answered or refused."""

    leg_id: LegId
    sip_call_id: str
    order: LegOrder | None = None
    sent: bool = False
    answered: bool = False
    final: bool = False
    released: ReleaseCause | None = None
    going_over: bool = False
    """It is up in another call, `giver`, and is taken over from there."""
    giver: SessionId | None = None


@dataclass(slots=True, eq=False)
class _Session:
    legs: dict[LegId, _Leg] = field(default_factory=dict)
    ringback: bool = False


class MemoryEngine:
    """`calls.ports.CallEngine` over `MemoryPhones`. `…_fails` hold what the next `prepare`s and `restore`s raise."""

    def __init__(self, phones: MemoryPhones) -> None:
        self.phones = phones
        self.clock = phones.clock
        self.prepare_fails: deque[BaseException] = deque()
        self.restore_fails: deque[BaseException] = deque()
        self.media_is_lost = False
        """The relay was restarted while no engine ran: calls that are restored have no media any more."""
        self.ringbacks: list[tuple[SessionId, bool]] = []
        self.attached: list[tuple[SessionId, LegId]] = []
        self.closed: list[SessionId] = []
        self._sessions: dict[SessionId, _Session] = {}
        self._handler: SignalHandler | None = None
        self._crashed = False

    @property
    def calls(self) -> int:
        """How many calls have legs or media here now."""
        return len(self._sessions)

    def crash(self) -> None:
        """Do nothing and say nothing from now on, as a process that was killed."""
        self._crashed = True

    def listen(self, handler: SignalHandler) -> None:
        self._handler = handler

    # --- what the brain asks for ---

    async def prepare(self, orders: Sequence[LegOrder]) -> list[PreparedLeg]:
        await asyncio.sleep(0)
        if self.prepare_fails:
            raise self.prepare_fails.popleft()
        if self._crashed:
            await asyncio.get_running_loop().create_future()
        session = self._sessions.setdefault(orders[0].session_id, _Session())
        prepared: list[PreparedLeg] = []
        for order in orders:
            name = self.phones.new_sip_call_id(order)
            session.legs[order.leg_id] = _Leg(order.leg_id, name, order)
            dialog = dialog_of(name, answered=False)
            prepared.append(PreparedLeg(order.leg_id, order.target, name, dialog))
        return prepared

    async def take_over(self, order: LegOrder, dialog: bytes, *, giver: SessionId) -> PreparedLeg:
        await asyncio.sleep(0)
        if self.prepare_fails:
            raise self.prepare_fails.popleft()
        name = decode_dialog(dialog).sip_call_id
        leg = _Leg(order.leg_id, name, order, going_over=True, giver=giver)
        self._sessions.setdefault(order.session_id, _Session()).legs[order.leg_id] = leg
        return PreparedLeg(order.leg_id, order.target, name, dialog)

    def dialog(self, session_id: SessionId, leg_id: LegId) -> bytes:
        leg = self._find(session_id, leg_id)
        is_up = leg is not None and leg.answered and leg.released is None
        return dialog_of(leg.sip_call_id, answered=True) if leg is not None and is_up else b""

    def let_go(self, session_id: SessionId, leg_id: LegId) -> None:
        session = self._sessions.get(session_id)
        if session is not None and not self._crashed:
            session.legs.pop(leg_id, None)

    def invite(self, session_id: SessionId, leg_id: LegId) -> None:
        leg = self._find(session_id, leg_id)
        if leg is None or leg.order is None or leg.released is not None:
            return
        leg.sent = True
        if leg.going_over:
            if giver := self._sessions.get(leg.giver or session_id):
                giver.legs = {name: one for name, one in giver.legs.items() if one.sip_call_id != leg.sip_call_id}
                self._sessions[session_id].legs[leg_id] = leg
            self.phones.dialogs[leg.sip_call_id].go_over(session_id, leg_id, self)
        else:
            self.phones.ring(leg.order, leg.sip_call_id, self)

    def release(self, session_id: SessionId, leg_id: LegId, cause: ReleaseCause) -> None:
        leg = self._find(session_id, leg_id)
        if leg is None or leg.released is not None:
            return
        leg.released = cause
        if leg.sent and not leg.final:
            asyncio.get_running_loop().call_soon(self._cancel, session_id, leg)
        elif leg.sent and leg.answered and (phone := self.phones.dialogs.get(leg.sip_call_id)):
            phone.take_bye()

    def _cancel(self, session_id: SessionId, leg: _Leg) -> None:
        if leg.final or self._crashed:
            return
        leg.final = True
        phone = self.phones.dialogs.get(leg.sip_call_id)
        if phone is not None and leg.going_over:
            phone.take_bye()
        elif phone is not None and not phone.take_cancel() and not phone.acked:
            phone.take_bye()  # its 200 crossed the CANCEL: ACK, then BYE (RFC 3261 §9.1)
        self._tell(session_id, Refused(leg.leg_id, leg.released or of_sip_status(487)))

    def acknowledge(self, session_id: SessionId, leg_id: LegId) -> None:
        leg = self._find(session_id, leg_id)
        if leg is not None and (phone := self.phones.dialogs.get(leg.sip_call_id)):
            phone.acked = True

    def ringback(self, session_id: SessionId, side: Side, *, on: bool) -> None:  # noqa: ARG002 - as CallEngine
        session = self._sessions.get(session_id)
        if session is not None and not self._crashed and session.ringback is not on:
            session.ringback = on
            self.ringbacks.append((session_id, on))

    def attach(self, session_id: SessionId, leg_id: LegId) -> None:
        if self._find(session_id, leg_id) is not None:
            self.attached.append((session_id, leg_id))

    def arrange(self, session_id: SessionId, leg_id: LegId, flow: Flow) -> None:
        leg = self._find(session_id, leg_id)
        if leg is not None and leg.released is None and (phone := self.phones.dialogs.get(leg.sip_call_id)):
            asyncio.get_running_loop().call_soon(phone.take_offer, flow)

    async def restore(self, session_id: SessionId, domain: DomainName, legs: Sequence[Leg]) -> None:  # noqa: ARG002 - as CallEngine
        await asyncio.sleep(0)
        if self.restore_fails:
            raise self.restore_fails.popleft()
        session = self._sessions.setdefault(session_id, _Session())
        for record in legs:
            if not record.dialog:
                continue
            state = decode_dialog(record.dialog)
            is_up = state.answered and record.answered_at > 0
            leg = _Leg(record.leg_id, state.sip_call_id, sent=True, answered=is_up, final=is_up)
            leg.going_over = state.answered and not is_up
            session.legs[record.leg_id] = leg
            phone = self.phones.dialogs.get(state.sip_call_id)
            if phone is not None and leg.going_over:
                phone.go_over(session_id, record.leg_id, self)
            elif phone is not None:
                phone.listen_to(self)
        if self.media_is_lost:
            self.lose_media(session_id)

    async def close(self, session_id: SessionId) -> None:
        await asyncio.sleep(0)
        if self._crashed:
            return
        session = self._sessions.pop(session_id, None)
        for leg in session.legs.values() if session else ():
            phone = self.phones.dialogs.get(leg.sip_call_id)
            if phone is not None and leg.sent and leg.released is None:
                phone.take_bye()
        self.closed.append(session_id)

    # --- what the phones say ---

    def hear(self, phone: Phone, signal: LegSignal) -> bool:
        """Take what a phone says; false where nobody is there to hear it."""
        if self._crashed:
            return False
        session_id = phone.order.session_id
        leg = self._find(session_id, signal.leg_id) if not isinstance(signal, MediaLost) else None
        if leg is None:
            phone.take_bye()  # RFC 3261: a 200 of no call of ours is ACKed and ended, all else answered 481
            return True
        if leg.going_over and isinstance(signal, HungUp):
            signal = Refused(leg.leg_id, signal.cause)
        if isinstance(signal, Answered):
            leg.going_over = False
            if leg.answered:
                phone.acked = True  # a repetition of what is known
                return True
            leg.answered = leg.final = True
            if leg.released is not None:
                phone.take_bye()
                self._tell(session_id, Refused(leg.leg_id, leg.released))
                return True
        if isinstance(signal, Refused):
            leg.final = True
            signal = Refused(leg.leg_id, leg.released or signal.cause)
        elif leg.released is not None:
            return True
        self._tell(session_id, signal)
        return True

    def lose_media(self, session_id: SessionId) -> None:
        """Tell a call that its relay was restarted."""
        self._tell(session_id, MediaLost(RELAY_LOST))

    def _tell(self, session_id: SessionId, signal: LegSignal) -> None:
        if self._handler is not None and not self._crashed:
            self._handler(session_id, signal)

    def _find(self, session_id: SessionId, leg_id: LegId) -> _Leg | None:
        session = self._sessions.get(session_id)
        return session.legs.get(leg_id) if session and not self._crashed else None
