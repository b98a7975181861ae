"""Orders to calls that exist: today, to end one. They reach the owner by request-reply over the bus."""

from __future__ import annotations

import msgspec

from ringbridge.calls.ports import Bus, Clock, NodeAway
from ringbridge.model.call import Call, CallState, fold
from ringbridge.model.errors import CallError, Conflict, Refusal
from ringbridge.model.events import CallBarred, CallEnded, CallEvent, EndRequested
from ringbridge.model.ids import CallId, DomainName, UserName
from ringbridge.model.release import DELETED

BAR_S = 86_400.0
"""How long a call-id stays barred when DELETE came before its POST (contract §3)."""
COMMAND_TIMEOUT_S = 5.0
ATTEMPTS = 4
"""A call can move from requested to claimed to over while we look; more moves than that are somebody's bug."""


class EndCommand(msgspec.Struct, frozen=True, tag="end"):
    """End a call that the receiving node owns."""

    domain: str
    call_id: str
    by: str


class CommandAnswer(msgspec.Struct, frozen=True):
    """`running` is false when the node does not run the call (any more)."""

    running: bool


_encoder = msgspec.msgpack.Encoder()
decode_command = msgspec.msgpack.Decoder(EndCommand).decode
_decode_answer = msgspec.msgpack.Decoder(CommandAnswer).decode


def encode_answer(answer: CommandAnswer) -> bytes:
    """Return the bytes of an owner's answer."""
    return _encoder.encode(answer)


class Control:
    """Ends calls, in any state, wherever they run."""

    def __init__(self, *, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def end(self, call: Call | None, *, domain: str, user: str, name: str, by: str) -> None:
        """End the call `name` of `domain`; `call` is what this node's replica knows of it. Safe to repeat.

        Returns once the wish is stored. A name that no call has is barred for a day, so that a POST which is still
        on its way does not ring anybody.

        Raises:
            CallError: not found (the name is barred now), or its owner cannot be reached (nothing was done).
        """
        call_id = CallId(call.call_id if call else name)
        if call is None:
            call = await self._bar(DomainName(domain), UserName(user), call_id)
        for _ in range(ATTEMPTS):
            if call is None or call.state is CallState.BARRED or call.user != user:
                raise CallError(Refusal.NOT_FOUND, "no-such-call", f"no call {name} of this user")
            if call.is_over or await self._end_now(call, by):
                return
            call = await self._read(call.domain, call_id)
        raise CallError(Refusal.UNAVAILABLE, "owner-away", "the call's engine does not answer now", retry_after_s=2)

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
        command = _encoder.encode(EndCommand(call.domain, call.call_id, by))
        try:
            answer = await self._bus.command(call.owner, command, timeout_s=COMMAND_TIMEOUT_S)
        except NodeAway as away:
            raise CallError(
                Refusal.UNAVAILABLE, "owner-away", "the call's engine does not answer now", retry_after_s=2
            ) from away
        return _decode_answer(answer).running
