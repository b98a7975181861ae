"""What the owner of one call asks of another call: to give a leg, and what has become of one (`handing_over`)."""

from __future__ import annotations

from typing import Protocol

from ringbridge.calls.commands import HandoverWish, OrderCommand, decode_answer, encode_command
from ringbridge.calls.handing_over import Decision, decision_of
from ringbridge.calls.ports import Bus, NodeAway
from ringbridge.model.call import Call, fold
from ringbridge.model.errors import BusUnavailable, CallError
from ringbridge.model.events import Consultation, HandoverOrdered
from ringbridge.model.ids import CallId, DomainName
from ringbridge.model.release import ReleaseCause, Result

ASK_TIMEOUT_S = 5.0
ATTEMPTS = 3
"""Its owner may be another by now than the bus said a moment ago."""


class OtherCalls(Protocol):
    """The calls of a domain besides the one that is run."""

    async def ask(self, domain: DomainName, consultation: Consultation, wish: HandoverWish) -> bytes | ReleaseCause:
        """Return the state of the leg that the consultation's owner gives, or why it is not given. Safe to repeat."""
        ...

    async def look_up(self, domain: DomainName, handover: HandoverOrdered, sip_call_id: str) -> Decision:
        """Return what has become of the leg `sip_call_id` that was given to another call."""
        ...


class CallsOnBus:
    """`OtherCalls` by the bus: request-reply to whoever owns them, and their events."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def ask(self, domain: DomainName, consultation: Consultation, wish: HandoverWish) -> bytes | ReleaseCause:
        payload = encode_command(OrderCommand(domain, consultation.call_id, wish))
        try:
            for _ in range(ATTEMPTS):
                call = await self._read(domain, consultation.call_id)
                if call is None or call.session_id != consultation.session_id or call.is_over or not call.owner:
                    return ReleaseCause(Result.FAILED, "destination-ended")
                answer = decode_answer(await self._bus.command(call.owner, payload, timeout_s=ASK_TIMEOUT_S))
                if answer.check():
                    return answer.dialog or ReleaseCause(Result.FAILED, "destination-party-left")
        except CallError as refused:
            return ReleaseCause(Result.FAILED, f"destination-{refused.code}")
        except NodeAway:
            pass
        return ReleaseCause(Result.FAILED, "destination-owner-away")

    async def look_up(self, domain: DomainName, handover: HandoverOrdered, sip_call_id: str) -> Decision:
        try:
            other = await self._read(domain, handover.call_id)
        except BusUnavailable:
            return Decision.OPEN
        return decision_of(other, handover, sip_call_id)

    async def _read(self, domain: DomainName, call_id: CallId) -> Call | None:
        call: Call | None = None
        for message in await self._bus.read_call(domain, call_id):
            call = fold(call, message.events, message.sequence)
        return call
