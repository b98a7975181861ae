"""What SIP tells of a leg, as what the brain understands: endpoint events in, leg signals out, media in between."""

from __future__ import annotations

import asyncio
import time
from typing import assert_never

import structlog

from ringbridge.adapters.relay.rtpproxy import Relay, RelayUnavailable
from ringbridge.adapters.sip.leg import SipCall, SipLeg
from ringbridge.adapters.sip.media import RelaySessions
from ringbridge.adapters.sip.node import SipNode
from ringbridge.adapters.sip.offers import DIRECTIONS, LegOffers
from ringbridge.adapters.sip.recording import Recorder
from ringbridge.adapters.sip.remote_media import MEDIA_REFUSED, MediaRefused, permitted
from ringbridge.adapters.sip.sound import Sound
from ringbridge.calls import ports
from ringbridge.calls.ports import LegSignal, MediaLost, Refused, Ringing, SignalHandler, Updated
from ringbridge.media.offer_answer import NothingInCommon, Remote, answer, offer_again, read_answer, read_answer_again
from ringbridge.media.relay_commands import RelayRefused, RelaySession
from ringbridge.media.sdp import SdpError
from ringbridge.model.call import Side
from ringbridge.model.errors import CallError
from ringbridge.model.ids import SessionId
from ringbridge.model.release import HUNG_UP, RELAY_LOST, ReleaseCause, Result, of_sip_status
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import (
    AckReceived,
    Answered,
    Ended,
    EndedBy,
    EndpointEvent,
    Failed,
    Failure,
    IncomingInvite,
    IncomingRequest,
    InfoReceived,
    Progress,
    RegistrationResult,
    Reinvited,
    ReinviteResult,
    RequestResult,
)

log = structlog.get_logger()

NO_COMMON_CODEC = ReleaseCause(Result.FAILED, "no-common-codec", 488)
SESSION_EXPIRED = ReleaseCause(Result.FAILED, "session-expired")
"""Its session timer ran out: its party has not refreshed it, or has not answered our refreshes."""
DIALOG_DIED = ReleaseCause(Result.FAILED, "dialog-died")
CONNECTION_DOWN = ReleaseCause(Result.UNREACHABLE, "connection-down")
"""Its connection does not answer, by the node that keeps watch of it: nothing was sent."""
TRANSPORT_FAILED = ReleaseCause(Result.UNREACHABLE, "transport-failed")

ENDS = {EndedBy.REMOTE: HUNG_UP, EndedBy.EXPIRED: SESSION_EXPIRED}
"""Why a leg has ended, by who ended its session; by all others its dialog died."""


def _ignore(session_id: SessionId, signal: LegSignal) -> None:
    log.warning("signal_without_listener", session_id=session_id, signal=type(signal).__name__)


class LegEvents:
    """Translates for one engine. `legs` are all that are alive; a leg is taken out when SIP has forgotten it."""

    def __init__(self, *, node: SipNode, relay: Relay, sound: Sound, media: RelaySessions, recorder: Recorder) -> None:
        self._node = node
        self._relay = relay
        self._sound = sound
        self._media = media
        self._recorder = recorder
        self._moves: set[asyncio.Task[None]] = set()
        self.offers = LegOffers(node=node, take_remote=self._take_remote, tell=self._tell)
        self.legs: dict[Session, SipLeg] = {}
        self.handler: SignalHandler = _ignore

    def tell(self, session_id: SessionId, signal: LegSignal) -> None:
        """Pass a signal on."""
        self.handler(session_id, signal)

    def take(self, event: EndpointEvent) -> bool:
        """Handle an event; false: it is about no leg of ours."""
        if isinstance(event, IncomingInvite | RegistrationResult) or event.__class__ is IncomingRequest:
            return False
        session = event.session
        leg = self.legs.get(session) if session is not None else None
        if leg is None:
            return False
        self._handle(event, leg)
        return True

    def _handle(self, event: EndpointEvent, leg: SipLeg) -> None:
        match event:
            case Progress():
                self._on_progress(event, leg)
            case Answered():
                self._on_answered(event, leg)
            case Failed():
                self._on_failed(event, leg)
            case Ended(by=EndedBy.TIMEOUT, status=503):
                self._on_out_of_reach(leg)
            case Ended():
                self._on_ended(event, leg)
            case Reinvited():
                self._on_reinvited(event, leg)
            case ReinviteResult():
                self.offers.on_result(event, leg)
            case AckReceived():
                self._on_ack(event, leg)
            case InfoReceived():
                self._on_info(event, leg)
            case RequestResult():
                self._on_request_result(event, leg)
            case IncomingInvite() | IncomingRequest() | RegistrationResult():
                pass
            case _:
                assert_never(event)

    def _tell(self, leg: SipLeg, signal: LegSignal) -> None:
        self.handler(leg.call.session_id, signal)

    # --- before the answer --------------------------------------------------------------------------------------------

    def _on_progress(self, event: Progress, leg: SipLeg) -> None:
        early = False
        # Another phone of this side may have won already, and the CANCEL of this one be still to come.
        winner = leg.call.answered(leg.side)
        heard = leg.released is None and (winner is None or winner.transfer < leg.transfer)
        # In another session than the one who would hear it, until the answer moves that one there.
        heard = heard and leg.relay.session_id == leg.call.relay.session_id
        if event.sdp and heard and leg.call.answered(leg.side.other) is not None:
            try:
                self._listen_to(leg, permitted(self._node, read_answer(event.sdp, leg.local)))
                early = True
            except (SdpError, NothingInCommon) as bad:
                log.warning("early_media_unusable", leg=leg.leg_id, reason=str(bad))
        self._tell(leg, Ringing(leg.leg_id, early))

    def _on_answered(self, event: Answered, leg: SipLeg) -> None:
        acked_at = time.time()
        if leg.released is not None:
            return
        try:
            remote = permitted(self._node, read_answer(event.sdp, leg.local))
        except (SdpError, NothingInCommon) as bad:
            log.warning("answer_unusable", leg=leg.leg_id, reason=str(bad))
            leg.released = MEDIA_REFUSED if isinstance(bad, MediaRefused) else NO_COMMON_CODEC
            leg.end_told = True
            self._node.endpoint.hang_up(leg.session, self._node.now(), reason_header="SIP;cause=488")
            self._tell(leg, Refused(leg.leg_id, leg.released))
            return
        wins = leg.call.answered(leg.side) is None
        leg.answered = True
        leg.remote = remote
        if wins:
            self._listen_to(leg, remote)
        media = f"{remote.host}:{remote.port}" if remote.host else ""
        self._tell(leg, ports.Answered(leg.leg_id, leg.dialog(), remote.codec, acked_at, media))
        if wins and (other := leg.call.answered(leg.side.other)):
            self.offers.join(other, leg)
            self._recorder.refresh(leg.call)

    def attach(self, leg: SipLeg) -> None:
        """Let an answered leg be the one that its side of the call hears and speaks with."""
        call = leg.call
        if leg.relay.session_id != call.relay.session_id:
            call.relay = leg.relay
            call.playing.pop(leg.side, None)
        if leg.remote is not None:
            self._listen_to(leg, leg.remote)
        other = call.answered(leg.side.other)
        if other is not None:
            self.offers.join(other, leg)
        self._media.tidy(call)
        self._sound.refresh(call)
        self._recorder.refresh(call)

    def gather(self, call: SipCall) -> None:
        """After a restart: have both parties where the last of them to move is, if they are not together."""
        answered = [leg for leg in map(call.answered, Side) if leg is not None]
        if not answered:
            return
        lead = max(answered, key=lambda leg: leg.relay.number)
        call.relay = lead.relay
        for leg in answered:
            if leg.relay.session_id != lead.relay.session_id:
                self.offers.join(leg, lead)

    def _on_failed(self, event: Failed, leg: SipLeg) -> None:
        self.legs.pop(leg.session, None)
        if leg.end_told:
            return
        leg.released = leg.released or _cause_of(event)
        self._tell(leg, Refused(leg.leg_id, leg.released))

    def _on_out_of_reach(self, leg: SipLeg) -> None:
        """Let a leg go whose dialog leads where nothing may be sent."""
        self.legs.pop(leg.session, None)
        if leg.released is None:
            leg.released = TRANSPORT_FAILED
            signal = Refused if leg.going_over else ports.HungUp
            leg.going_over = False
            self._tell(leg, signal(leg.leg_id, TRANSPORT_FAILED))

    # --- after the answer ---------------------------------------------------------------------------------------------

    def _on_ended(self, event: Ended, leg: SipLeg) -> None:
        self.legs.pop(leg.session, None)
        if leg.going_over:
            leg.going_over = False
            leg.released = leg.released or ENDS.get(event.by, DIALOG_DIED)
            self._tell(leg, Refused(leg.leg_id, leg.released))
            return
        if event.by is EndedBy.LOCAL or leg.released is not None:
            return
        leg.released = ENDS.get(event.by, DIALOG_DIED)
        self._recorder.refresh(leg.call)
        self._tell(leg, ports.HungUp(leg.leg_id, leg.released))

    def _on_reinvited(self, event: Reinvited, leg: SipLeg) -> None:
        other = leg.call.answered(leg.side.other)
        allowed = leg.permitted(other.remote.codecs if other and other.remote else leg.local.codecs)
        most = DIRECTIONS[leg.flow]
        if leg.learns and leg.answered and _is_elsewhere(event.sdp, leg):
            move = asyncio.get_running_loop().create_task(self._on_moved(event, leg, leg.session.offer))
            self._moves.add(move)
            move.add_done_callback(self._moves.discard)
            return
        if not event.sdp:
            leg.local = offer_again(leg.local, allowed, direction=most)
            self._node.endpoint.answer_reinvite(leg.session, self._node.now(), sdp=leg.local.sdp())
            return
        try:
            local, remote = answer(event.sdp, leg.local, allowed=allowed, most=most)
            permitted(self._node, remote)
        except (SdpError, NothingInCommon) as bad:
            log.warning("reinvite_unusable", leg=leg.leg_id, reason=str(bad))
            self._node.endpoint.answer_reinvite(leg.session, self._node.now(), status=488)
            return
        leg.local = local
        self._node.endpoint.answer_reinvite(leg.session, self._node.now(), sdp=local.sdp())
        self._changed(leg, remote)

    async def _on_moved(self, event: Reinvited, leg: SipLeg, asked: object) -> None:
        """A phone behind NAT has its audio elsewhere: only another session takes it from there."""
        try:
            async with self._media.another(leg.call, leg.side, learns=True) as relay:
                # It may have hung up or taken its offer back meanwhile, and then made another.
                if leg.session.offer is asked:
                    self._move(event, leg, relay)
        except CallError:
            if leg.session.offer is asked:
                self._node.endpoint.answer_reinvite(leg.session, self._node.now(), status=500)
        self._node.wake()

    def _move(self, event: Reinvited, leg: SipLeg, relay: RelaySession) -> None:
        if self.legs.get(leg.session) is not leg or leg.lent or leg.call.answered(leg.side) is not leg:
            # On its way into another call, or out of this one. RFC 3261 §14.1: it may ask again in a while.
            self._node.endpoint.answer_reinvite(leg.session, self._node.now(), status=491)
            return
        other = leg.call.answered(leg.side.other)
        allowed = leg.permitted(other.remote.codecs if other and other.remote else leg.local.codecs)
        try:
            local, remote = answer(
                event.sdp, leg.local, allowed=allowed, most=DIRECTIONS[leg.flow], at=relay.at(leg.side)
            )
            permitted(self._node, remote)
        except (SdpError, NothingInCommon) as bad:
            log.warning("reinvite_unusable", leg=leg.leg_id, reason=str(bad))
            self._node.endpoint.answer_reinvite(leg.session, self._node.now(), status=488)
            return
        self._node.endpoint.answer_reinvite(leg.session, self._node.now(), sdp=local.sdp())
        leg.local, leg.relay, leg.remote = local, relay, remote
        self.attach(leg)
        self._tell(leg, Updated(leg.leg_id, leg.dialog(), remote.held))

    def _on_ack(self, event: AckReceived, leg: SipLeg) -> None:
        if event.sdp:
            try:
                self._changed(leg, permitted(self._node, read_answer_again(event.sdp, leg.local, leg.remote)))
            except (SdpError, NothingInCommon) as bad:
                log.warning("answer_unusable", leg=leg.leg_id, reason=str(bad))

    def _changed(self, leg: SipLeg, remote: Remote) -> None:
        self._take_remote(leg, remote)
        self._tell(leg, Updated(leg.leg_id, leg.dialog(), remote.held))

    def _take_remote(self, leg: SipLeg, remote: Remote) -> None:
        """Note what an answered leg says of its audio now, and let both sides hear what follows from that."""
        moved = leg.remote is None or (leg.remote.host, leg.remote.port) != (remote.host, remote.port)
        if leg.remote is None:
            leg.call.playing.pop(leg.side, None)  # in a new session nothing is played yet
            self._media.tidy(leg.call)
        leg.remote = remote
        if moved:
            self._listen_to(leg, remote)
        self._sound.refresh(leg.call)
        self._recorder.refresh(leg.call)

    def _on_request_result(self, event: RequestResult, leg: SipLeg) -> None:
        """Have the state of a leg stored that was taken up again and lives: its next CSeq must be above the probe's."""
        if event.token == leg.probe and event.status not in (408, 481):
            self._tell(leg, Updated(leg.leg_id, leg.dialog(), leg.remote is not None and leg.remote.held))

    def _on_info(self, event: InfoReceived, leg: SipLeg) -> None:
        """DTMF by INFO goes on to the other party: the relay carries only what is in RTP."""
        other = leg.call.answered(leg.side.other)
        if other is not None and event.content_type.lower().startswith("application/dtmf"):
            self._node.endpoint.send_info(
                other.session, self._node.now(), content_type=event.content_type, body=event.body
            )

    # --- media --------------------------------------------------------------------------------------------------------

    def _listen_to(self, leg: SipLeg, remote: Remote) -> None:
        if remote.host is None:
            return
        relay = leg.relay.learning(leg.side, on=leg.learns)
        told = self._relay.set_remote(relay, leg.side, remote.host, remote.port)
        told.add_done_callback(lambda done: self._media_told(done, leg))

    def _media_told(self, done: asyncio.Future[int], leg: SipLeg) -> None:
        failure = done.exception() if not done.cancelled() else None
        if isinstance(failure, RelayRefused | RelayUnavailable) and leg.released is None:
            log.error("relay_lost_the_call", leg=leg.leg_id, reason=str(failure))
            self._tell(leg, MediaLost(RELAY_LOST))


def _is_elsewhere(sdp: bytes, leg: SipLeg) -> bool:
    """Return whether a leg's new offer says that its audio is at another address than before."""
    try:
        _, remote = answer(sdp, leg.local, allowed=leg.local.codecs)
    except (SdpError, NothingInCommon):
        return False
    if remote.host is None or leg.remote is None or leg.remote.host is None:
        return False
    return (remote.host, remote.port) != (leg.remote.host, leg.remote.port)


def _cause_of(event: Failed) -> ReleaseCause:
    match event.cause:
        case Failure.TRANSPORT:
            return TRANSPORT_FAILED
        case Failure.TIMEOUT:
            return of_sip_status(408)
        case Failure.RESPONSE | Failure.CANCELLED:
            return of_sip_status(event.status)
        case _:
            assert_never(event.cause)
