"""Which calls the relay records: those that one of whose phones, or connections, is recorded, while both sides are up.

From the answer of the second leg on, each leg's packets go to a file of its own, in whatever relay session the call is;
when no recorded leg is in the call any more, as after a transfer, the recording ends. What a party does not hear, as
while it is on hold with music, is not recorded. No call waits for any of this, and none is harmed where it fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import structlog

from ringbridge.adapters.recordings.keeper import raw_name
from ringbridge.adapters.relay.rtpproxy import Relay, RelayUnavailable
from ringbridge.adapters.sip.leg import SipCall
from ringbridge.media.relay_commands import RelayRefused, RelaySession
from ringbridge.model.call import Side

log = structlog.get_logger()


class Recorder:
    """Records for one engine. `has_room` tells whether there is room on the disk; `on_over` that there is work."""

    def __init__(self, relay: Relay, *, has_room: Callable[[], bool], on_over: Callable[[], None]) -> None:
        self._relay = relay
        self._has_room = has_room
        self._on_over = on_over

    def refresh(self, call: SipCall) -> None:
        """Record what is to be recorded now, and nothing else."""
        wanted = call.relay if _is_recorded(call) else None
        if call.recording == wanted:
            return
        if call.recording is not None:
            self.stop(call)
        if wanted is not None:
            self._start(call, wanted)

    def _start(self, call: SipCall, session: RelaySession) -> None:
        call.recording = session  # whatever comes of it: it is not tried again with each packet of SIP
        if not self._relay.address.records:
            log.warning("call_not_recorded", session_id=call.session_id, reason="the relay is not our own")
            return
        if not self._has_room():
            log.error("call_not_recorded", session_id=call.session_id, reason="the disk is nearly full")
            return
        now = time.time()
        for side in Side:
            told = self._relay.record(session, side, raw_name(call.domain, call.session_id, side, at=now))
            told.add_done_callback(partial(_told, call))
        call.was_recorded = True

    def stop(self, call: SipCall) -> None:
        """Stop recording a call that goes on."""
        if call.recording is not None:
            for side in Side:
                self._relay.stop_record(call.recording, side)
            call.recording = None

    def over(self, call: SipCall) -> None:
        """Have made what can be made of a call that is over."""
        if call.was_recorded:
            self._on_over()


def _is_recorded(call: SipCall) -> bool:
    up = [call.answered(side) for side in Side]
    return not call.closed and all(up) and any(leg is not None and leg.recorded for leg in up)


def _told(call: SipCall, done: asyncio.Future[None]) -> None:
    failure = None if done.cancelled() else done.exception()
    if isinstance(failure, RelayRefused | RelayUnavailable):
        log.error("call_not_recorded", session_id=call.session_id, reason=str(failure))
    elif not done.cancelled():
        log.info("call_recorded", session_id=call.session_id)
