"""What the relay plays to the legs of a call: ringback while a phone rings, music to whoever is on hold.

A leg hears music when it is on hold by the API (`Flow.MUSIC`), or when the other party holds it at its own phone, which
sends nothing then. While a prompt is played the other leg's packets are held back by the relay.
"""

from __future__ import annotations

import asyncio

from ringbridge.adapters.relay.rtpproxy import HOLD_PROMPT, Relay
from ringbridge.adapters.sip.leg import SipCall
from ringbridge.model.call import Side
from ringbridge.model.events import Flow

RINGBACK_AFTER_S = 0.1
"""How long a phone rings before the other party hears it: one that answers at once (auto-answer, a gateway) is not
announced by a blip of ringback, and costs the relay two commands less."""
UNKNOWN = "?"
"""After a restart: something may be playing."""


class Sound:
    """Plays for one engine."""

    def __init__(self, relay: Relay, *, ringback: str) -> None:
        """`ringback` is the name of a prompt that the relay has: `us`, `eu`, `uk`."""
        self._relay = relay
        self._ringback = ringback

    def ringback(self, call: SipCall, side: Side, *, on: bool) -> None:
        """Let the answered leg of a side hear ringback, or stop it."""
        call.ringback = side if on else None
        if on:
            asyncio.get_running_loop().call_later(RINGBACK_AFTER_S, self.refresh, call)
        else:
            self.refresh(call)

    def refresh(self, call: SipCall) -> None:
        """Let both sides hear what is due now."""
        for side in Side:
            prompt = self._due(call, side)
            if prompt == call.playing.get(side, ""):
                continue
            call.playing[side] = prompt
            leg = call.answered(side)
            if not prompt:
                self._relay.stop_play(leg.relay if leg else call.relay, side)
            elif leg is not None and leg.remote and self._relay.address.prompts:
                payload_types = [codec.payload_type for codec in leg.remote.codecs if not codec.is_event]
                self._relay.play(leg.relay, side, prompt, payload_types=payload_types)

    def _due(self, call: SipCall, side: Side) -> str:
        leg, other = call.answered(side), call.answered(side.other)
        if leg is None:
            return ""
        if call.ringback is side:
            return self._ringback
        held_at_phone = other is not None and other.remote is not None and other.remote.held
        if leg.flow is Flow.MUSIC or (leg.flow is Flow.TALK and held_at_phone):
            return HOLD_PROMPT
        return ""
