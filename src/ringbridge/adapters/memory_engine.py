"""The call engine in memory: virtual phones in place of SIP, with the port's contract kept to the letter.

`MemoryPhones` is the world outside: it outlives every engine, as phones outlive a node that was killed. It keeps what
every phone was asked, so that a test can say who was dialled, when, how often, and who is still off the hook. A
`MemoryEngine` is one node's; `crash` makes it fall silent in the middle of everything.

What a phone says while no engine listens is heard later where SIP would repeat it (200, a refusal, BYE) and lost where
it would not (a provisional response).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from ringbridge.calls.ports import (
    Answered,
    Clock,
    HungUp,
    LegOrder,
    LegSignal,
    MediaLost,
    PreparedLeg,
    Refused,
    Ringing,
    SignalHandler,
    Updated,
)
from ringbridge.model.call import Leg
from ringbridge.model.ids import DomainName, LegId, SessionId
from ringbridge.model.release import HUNG_UP, RELAY_LOST, ReleaseCause, of_sip_status

CODEC = "PCMU"


class Script(msgspec.Struct, frozen=True):
    """What a phone does by itself when an INVITE comes. Times are seconds after the step before."""

    rings: bool = True
    early_media: bool = False
    status: int | None = 200
    """Its final response; None: it waits for the test (or for CANCEL)."""
    after_s: float = 0.0
    hangs_up_after_s: float | None = None
    answers_cancel: bool = False
    """Its 200 crosses our CANCEL."""


ANSWERS = Script()
SILENT = Script(rings=False, status=None)
RINGS = Script(status=None)


class InviteSeen(msgspec.Struct, frozen=True):
    """One INVITE as it reached a phone."""

    at: float
    order: LegOrder
    sip_call_id: str

    @property
    def label(self) -> str:
        return self.order.target.label


class PhoneState(Enum):
    """Where one dialog is, as its phone sees it."""

    INVITED = "invited"
    RINGING = "ringing"
    UP = "up"
    OVER = "over"


class MemoryPhones:
    """All phones there are. `scripts` is by `Target.label`; a phone without one takes `default`."""

    def __init__(self, clock: Clock, default: Script = ANSWERS) -> None:
        self.clock = clock
        self.default = default
        self.scripts: dict[str, Script] = {}
        self.invites: list[InviteSeen] = []
        self.dialogs: dict[str, Phone] = {}
        self._count = 0

    def new_sip_call_id(self, order: LegOrder) -> str:
        """Return a Call-ID that no other leg has."""
        self._count += 1
        return f"{order.session_id}.{order.leg_id}.{self._count}"

    def ring(self, order: LegOrder, sip_call_id: str, engine: MemoryEngine) -> None:
        """Take an INVITE."""
        self.invites.append(InviteSeen(self.clock.now(), order, sip_call_id))
        if sip_call_id not in self.dialogs:
            script = self.scripts.get(order.target.label, self.default)
            self.dialogs[sip_call_id] = Phone(order, sip_call_id, engine, script)

    def of(self, session_id: str, leg_id: str) -> Phone:
        """Return the phone that rings, or rang, for a leg; it is there once its INVITE is."""
        return next(
            phone
            for phone in self.dialogs.values()
            if (phone.order.session_id, phone.order.leg_id) == (session_id, leg_id)
        )

    def busy(self) -> list[Phone]:
        """Return the phones that ring or are off the hook."""
        return [phone for phone in self.dialogs.values() if phone.state is not PhoneState.OVER]


class Phone:
    """One dialog at one phone. Tests move it by hand where its script leaves off."""

    def __init__(self, order: LegOrder, sip_call_id: str, engine: MemoryEngine, script: Script) -> None:
        self.order = order
        self.sip_call_id = sip_call_id
        self.state = PhoneState.INVITED
        self.engine = engine
        self.acked = False
        """Somebody has acknowledged its 200; it repeats it until then."""
        self._answer: Answered | None = None
        self._script = script
        self._unheard: deque[LegSignal] = deque()
        asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        if self._script.rings:
            self.ring(early_media=self._script.early_media)
        if self._script.status is not None:
            asyncio.get_running_loop().call_later(self._script.after_s, self._finally)

    def _finally(self) -> None:
        if self._script.status == 200:
            self.answer()
        elif self._script.status is not None:
            self.refuse(self._script.status)

    def ring(self, *, early_media: bool = False) -> None:
        """Say 180, or 183 with SDP."""
        if self.state in (PhoneState.INVITED, PhoneState.RINGING):
            self.state = PhoneState.RINGING
            self.engine.hear(self, Ringing(self.order.leg_id, early_media))

    def answer(self) -> None:
        """Say 200; it is repeated until somebody acknowledges."""
        if self.state not in (PhoneState.INVITED, PhoneState.RINGING):
            return
        self.state = PhoneState.UP
        dialog = dialog_of(self.sip_call_id, answered=True)
        acked_at = self.engine.clock.now()
        self._answer = Answered(self.order.leg_id, dialog, CODEC, acked_at, f"{self.order.target.host}:4000")
        self.engine.hear(self, self._answer)
        if self._script.hangs_up_after_s is not None:
            asyncio.get_running_loop().call_later(self._script.hangs_up_after_s, self.hang_up)

    def refuse(self, status: int) -> None:
        """Say a final response that is no answer."""
        if self.state in (PhoneState.INVITED, PhoneState.RINGING):
            self.state = PhoneState.OVER
            self._say(Refused(self.order.leg_id, of_sip_status(status)))

    def hang_up(self) -> None:
        """Say BYE."""
        if self.state is PhoneState.UP:
            self.state = PhoneState.OVER
            self._say(HungUp(self.order.leg_id, HUNG_UP))

    def hold(self, *, on: bool) -> None:
        """Put the other party on hold, or take it back."""
        if self.state is PhoneState.UP:
            dialog = dialog_of(self.sip_call_id, answered=True)
            self.engine.hear(self, Updated(self.order.leg_id, dialog, on))

    def _say(self, signal: LegSignal) -> None:
        """Say what is repeated until it is heard."""
        if not self.engine.hear(self, signal):
            self._unheard.append(signal)

    def take_cancel(self) -> bool:
        """Return whether the CANCEL came before the answer; its 200 may cross it."""
        if self._script.answers_cancel:
            return False
        if self.state in (PhoneState.INVITED, PhoneState.RINGING):
            self.state = PhoneState.OVER
        return self.state is PhoneState.OVER

    def take_bye(self) -> None:
        """The other end has hung up."""
        self.state = PhoneState.OVER
        self._unheard.clear()

    def listen_to(self, engine: MemoryEngine) -> None:
        """Repeat to `engine`, after a restart, what nobody has heard."""
        self.engine = engine
        if self._answer is not None and not self.acked:
            engine.hear(self, self._answer)
        while self._unheard:
            engine.hear(self, self._unheard.popleft())


class _Dialog(msgspec.Struct, frozen=True):
    sip_call_id: str
    answered: bool


_encoder = msgspec.msgpack.Encoder()
_decode_dialog = msgspec.msgpack.Decoder(_Dialog).decode


def dialog_of(sip_call_id: str, *, answered: bool) -> bytes:
    """Return a leg's state as this engine stores it."""
    return _encoder.encode(_Dialog(sip_call_id, answered))


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

    def invite(self, session_id: SessionId, leg_id: LegId) -> None:
        leg = self._find(session_id, leg_id)
        if leg is not None and leg.order is not None and leg.released is None:
            leg.sent = True
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
        if phone is not None and not phone.take_cancel() and not phone.acked:
            phone.take_bye()  # its 200 crossed the CANCEL: ACK, then BYE (RFC 3261 §9.1)
        self._tell(session_id, Refused(leg.leg_id, leg.released or of_sip_status(487)))

    def acknowledge(self, session_id: SessionId, leg_id: LegId) -> None:
        leg = self._find(session_id, leg_id)
        if leg is not None and (phone := self.phones.dialogs.get(leg.sip_call_id)):
            phone.acked = True

    def ringback(self, session_id: SessionId, *, on: bool) -> None:
        session = self._sessions.get(session_id)
        if session is not None and not self._crashed and session.ringback is not on:
            session.ringback = on
            self.ringbacks.append((session_id, on))

    async def restore(self, session_id: SessionId, domain: DomainName, legs: Sequence[Leg]) -> None:  # noqa: ARG002 - as CallEngine
        await asyncio.sleep(0)
        if self.restore_fails:
            raise self.restore_fails.popleft()
        session = self._sessions.setdefault(session_id, _Session())
        for record in legs:
            if not record.dialog:
                continue
            state = _decode_dialog(record.dialog)
            leg = _Leg(record.leg_id, state.sip_call_id, sent=True, answered=state.answered, final=state.answered)
            session.legs[record.leg_id] = leg
            if phone := self.phones.dialogs.get(state.sip_call_id):
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
        if isinstance(signal, Answered):
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
