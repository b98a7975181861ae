"""The virtual phones of the call engine in memory: the world outside, which outlives every engine.

`MemoryPhones` keeps what every phone was asked, so that a test can say who was dialled, when, how often, and who is
still off the hook. What a phone says while no engine listens is heard later where SIP would repeat it (200, a refusal,
BYE) and lost where it would not (a provisional response).
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from ringbridge.calls.ports import Answered, Arranged, Clock, HungUp, LegOrder, LegSignal, Refused, Ringing, Updated
from ringbridge.model.events import Flow
from ringbridge.model.ids import LegId, SessionId
from ringbridge.model.release import HUNG_UP, of_sip_status

if TYPE_CHECKING:
    from ringbridge.adapters.memory.engine import MemoryEngine

CODEC = "PCMU"


class Script(msgspec.Struct, frozen=True):
    """What a phone does by itself when an INVITE comes. Times are seconds after the step before."""

    rings: bool = True
    early_media: bool = False
    status: int | None = 200
    """Its final response; None: it waits for the test (or for CANCEL)."""
    after_s: float = 0.0
    hangs_up_after_s: float | None = None
    offer_status: int | None = 200
    """What it says to a new offer once it is up; None: nothing, until the test lets it."""
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
        self.flow = Flow.TALK
        self.held = False
        self.offers: list[Flow] = []
        """Every flow that it was offered once it was up."""
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
            self.held = on
            dialog = dialog_of(self.sip_call_id, answered=True)
            self.engine.hear(self, Updated(self.order.leg_id, dialog, on))

    def take_offer(self, flow: Flow) -> None:
        """Take a re-INVITE; answer it as the script says."""
        if self.state is PhoneState.UP:
            self.offers.append(flow)
            if self._script.offer_status is not None:
                self.answer_offer(self._script.offer_status)

    def answer_offer(self, status: int = 200) -> None:
        """Answer the last re-INVITE."""
        flow = self.offers[-1]
        cause = None if status == 200 else of_sip_status(status)
        if cause is None:
            self.flow = flow
        dialog = dialog_of(self.sip_call_id, answered=True)
        self.engine.hear(self, Arranged(self.order.leg_id, flow, dialog, self.held, cause))

    def go_over(self, session_id: SessionId, leg_id: LegId, engine: MemoryEngine) -> None:
        """Take a re-INVITE from another call, whose leg it becomes if it says yes."""
        self.engine = engine
        self.order = msgspec.structs.replace(self.order, session_id=session_id, leg_id=leg_id)
        if self.state is not PhoneState.UP:
            asyncio.get_running_loop().call_soon(engine.hear, self, Refused(leg_id, of_sip_status(481)))
            return
        self.held = False
        self.flow = Flow.TALK
        self._answer = None
        if self._script.offer_status is not None:
            asyncio.get_running_loop().call_soon(self.answer_over, self._script.offer_status)

    def answer_over(self, status: int = 200) -> None:
        """Answer the re-INVITE of another call."""
        if self.state is not PhoneState.UP:
            return
        if status == 200:
            dialog = dialog_of(self.sip_call_id, answered=True)
            media = f"{self.order.target.host}:4000"
            self.engine.hear(self, Answered(self.order.leg_id, dialog, CODEC, self.engine.clock.now(), media))
        else:
            self.state = PhoneState.OVER  # nobody speaks with it any more: our BYE
            self.engine.hear(self, Refused(self.order.leg_id, of_sip_status(status)))

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


class Dialog(msgspec.Struct, frozen=True):
    """A leg's state as the engine in memory stores it."""

    sip_call_id: str
    answered: bool


_encoder = msgspec.msgpack.Encoder()
decode_dialog = msgspec.msgpack.Decoder(Dialog).decode


def dialog_of(sip_call_id: str, *, answered: bool) -> bytes:
    """Return a leg's state as this engine stores it."""
    return _encoder.encode(Dialog(sip_call_id, answered))
