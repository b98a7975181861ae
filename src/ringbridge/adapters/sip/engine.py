"""The call engine on SIP and a media relay: legs in, INVITEs and RTP ports out (`calls.ports.CallEngine`).

Every call has one relay session with a port for each side, made before the first INVITE. Each leg is offered its own
port (no re-INVITE is needed to join two legs): what a leg answers is told to the relay, which forwards between whatever
two addresses it knows. A leg is re-INVITEd only where the other one takes another codec than it would send, since the
relay does not transcode, and where a transfer goes on in another relay session (`sip.media`).
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from ringbridge.adapters.relay.rtpproxy import Relay
from ringbridge.adapters.sip.invite import credentials_of, invite_order, reason_header
from ringbridge.adapters.sip.leg import LegDialog, SipCall, SipLeg, decode_dialog
from ringbridge.adapters.sip.leg_events import CONNECTION_DOWN, NO_COMMON_CODEC, LegEvents
from ringbridge.adapters.sip.media import RelaySessions
from ringbridge.adapters.sip.node import SipNode, new_token
from ringbridge.adapters.sip.recording import Recorder
from ringbridge.adapters.sip.sound import UNKNOWN, Sound
from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.found import why_down
from ringbridge.calls.ports import LegOrder, MediaLost, PreparedLeg, Refused, SignalHandler
from ringbridge.media.offer_answer import DEFAULT_CODECS, carries_sound, offer, offer_again, permitted
from ringbridge.media.relay_commands import RelaySession
from ringbridge.model.call import Leg, Side, side_of
from ringbridge.model.directory import Connection
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.events import Flow
from ringbridge.model.ids import DomainName, LegId, SessionId
from ringbridge.model.release import RELAY_LOST, ReleaseCause
from ringbridge.sip.errors import UnsafeHeader
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import EndpointEvent

log = structlog.get_logger()


class SipEngine:
    """Implements `calls.ports.CallEngine`; `main` wires its `on_event` to the SIP node."""

    def __init__(
        self, *, name: str, node: SipNode, relay: Relay, directory: Directory, ringback: str, recorder: Recorder
    ) -> None:
        """`name` is the node's in the cluster; `ringback` that of a prompt which the relay has: `us`, `eu`, `uk`."""
        self._node = node
        self._relay = relay
        self._directory = directory
        self._calls: dict[SessionId, SipCall] = {}
        self._sound = Sound(relay, ringback=ringback)
        self._media = RelaySessions(relay, owner=name)
        self._recorder = recorder
        self._events = LegEvents(node=node, relay=relay, sound=self._sound, media=self._media, recorder=recorder)

    @property
    def calls(self) -> int:
        """How many calls have legs or media here now."""
        return len(self._calls)

    def has(self, session_id: SessionId) -> bool:
        """Whether a call has legs or media here."""
        return session_id in self._calls

    def stop_recording(self) -> None:
        """Record no call any more that is being recorded; the calls go on."""
        for call in self._calls.values():
            self._recorder.stop(call)

    def listen(self, handler: SignalHandler) -> None:
        self._events.handler = handler

    def on_event(self, event: EndpointEvent) -> bool:
        """Take what the SIP endpoint tells; false: it is about no leg of ours."""
        return self._events.take(event)

    # --- preparing and dialling ---------------------------------------------------------------------------------------

    async def prepare(self, orders: Sequence[LegOrder]) -> list[PreparedLeg]:
        first = orders[0]
        call = self._calls.get(first.session_id) or await self._open(first)
        async with self._media.for_legs(call, orders) as relay:
            prepared: list[PreparedLeg] = []
            try:
                for order in orders:
                    leg = await self._prepare_leg(call, order, relay)
                    prepared.append(PreparedLeg(order.leg_id, order.target, leg.session.sip_call_id, leg.dialog()))
            except CallError:
                for one in prepared:
                    self._drop(call.legs.pop(one.leg_id))
                raise
        return prepared

    async def _open(self, order: LegOrder) -> SipCall:
        session = await self._media.first(order)
        call = SipCall(order.session_id, order.domain, session, {session.session_id: session})
        self._calls[order.session_id] = call
        return call

    async def _prepare_leg(self, call: SipCall, order: LegOrder, relay: RelaySession) -> SipLeg:
        side = side_of(order.leg_id)
        other = call.answered(side.other)
        codecs = other.remote.codecs if other and other.remote else DEFAULT_CODECS
        refusal: ReleaseCause | None = None
        if (order.pcmu_only or order.target.pcmu_only) and not carries_sound(
            codecs := permitted(codecs, pcmu_only=True)
        ):
            codecs, refusal = DEFAULT_CODECS, NO_COMMON_CODEC
        local = offer(session_id=int(new_token()[:15], 16), host=relay.host, port=relay.port(side), codecs=codecs)
        connection = await self._connection(order.domain, order.target.connection)
        if not order.target.emergency and await why_down(self._directory, connection) is not None:
            refusal = CONNECTION_DOWN
        try:
            session = self._node.endpoint.prepare_invite(invite_order(order, sdp=local.sdp(), connection=connection))
        except (UnsafeHeader, ValueError) as unsafe:
            raise CallError(Refusal.INVALID, "unsafe-header", str(unsafe)) from unsafe
        leg = SipLeg(
            call,
            order.leg_id,
            session,
            relay,
            local,
            order.target.connection,
            transfer=order.transfer,
            learns=order.target.nat,
            pcmu_only=order.target.pcmu_only,
            refusal=refusal,
            recorded=order.target.recorded,
        )
        self._adopt(leg)
        return leg

    async def take_over(self, order: LegOrder, dialog: bytes, *, giver: SessionId) -> PreparedLeg:
        call, state = self._calls.get(order.session_id), decode_dialog(dialog)
        if call is None:
            raise CallError(Refusal.UNAVAILABLE, "media-lost", "the call has no media session any more")
        async with self._media.for_legs(call, [order]) as relay:
            return await self._lend(order, state, call, relay, giver=giver)

    async def _lend(
        self, order: LegOrder, state: LegDialog, call: SipCall, relay: RelaySession, *, giver: SessionId
    ) -> PreparedLeg:
        side = side_of(order.leg_id)
        other, lender = call.answered(side.other), self._lender(giver, state.snapshot.sip_call_id)
        codecs = permitted(
            other.remote.codecs if other and other.remote else DEFAULT_CODECS, pcmu_only=order.target.pcmu_only
        )
        if not carries_sound(codecs):
            raise CallError(Refusal.UNAVAILABLE, "no-common-codec", "the parties have no codec in common")
        leg = SipLeg(
            call,
            order.leg_id,
            lender.session if lender else await self._taken_up(order.domain, state),
            relay,
            offer_again(lender.local if lender else state.local, codecs, at=relay.at(side)),
            state.connection,
            lender.remote if lender else state.remote,
            transfer=order.transfer,
            learns=order.target.nat,
            pcmu_only=order.target.pcmu_only,
            recorded=order.target.recorded,
            going_over=True,
            giver=lender,
        )
        if lender is None:
            self._adopt(leg)
        else:
            lender.lent, call.legs[leg.leg_id] = True, leg
        return PreparedLeg(order.leg_id, order.target, leg.session.sip_call_id, leg.dialog())

    def _lender(self, giver: SessionId, sip_call_id: str) -> SipLeg | None:
        """Return the leg that another call has here."""
        call = self._calls.get(giver)
        legs = [leg for leg in call.legs.values() if leg.answered and leg.released is None] if call else []
        return next((leg for leg in legs if leg.session.sip_call_id == sip_call_id), None)

    async def _taken_up(self, domain: str, state: LegDialog) -> Session:
        credentials = credentials_of(await self._connection(domain, state.connection))
        return self._node.endpoint.restore(state.snapshot, self._node.now(), credentials=credentials)

    async def _connection(self, domain: str, pattern: str) -> Connection | None:
        return await self._directory.connection(domain, pattern) if pattern else None

    def _adopt(self, leg: SipLeg) -> None:
        leg.call.legs[leg.leg_id] = leg
        self._events.legs[leg.session] = leg

    def invite(self, session_id: SessionId, leg_id: LegId) -> None:
        leg = self._find(session_id, leg_id)
        if leg is None:
            return
        if leg.refusal is not None:
            # Nothing leaves: SIP forgets the session, and what it says to that is told as this cause.
            leg.released = leg.refusal
            self._node.endpoint.hang_up(leg.session, self._node.now())
            self._node.wake()
            return
        leg.sent = True
        if not leg.going_over:
            self._node.endpoint.send_invite(leg.session, self._node.now())
            self._node.wake()
            return
        if leg.giver is not None:
            leg.giver.call.legs.pop(leg.giver.leg_id, None)
            if leg.giver.released is not None:  # it has hung up a moment ago
                leg.going_over, leg.released = False, leg.giver.released
                self._events.tell(session_id, Refused(leg_id, leg.released))
                return
            leg.giver = None
        self._adopt(leg)
        self._events.offers.take_over(leg)

    def acknowledge(self, session_id: SessionId, leg_id: LegId) -> None:
        if leg := self._find(session_id, leg_id):
            self._node.endpoint.acknowledge(leg.session)
            self._node.wake()

    def release(self, session_id: SessionId, leg_id: LegId, cause: ReleaseCause) -> None:
        leg = self._find(session_id, leg_id)
        if leg is None or leg.released is not None:
            return
        leg.released = cause
        self._recorder.refresh(leg.call)
        if not leg.sent:
            self._forget(leg)
            if leg.going_over:
                return
        self._node.endpoint.hang_up(leg.session, self._node.now(), reason_header=reason_header(cause))
        self._node.wake()

    def dialog(self, session_id: SessionId, leg_id: LegId) -> bytes:
        leg = self._find(session_id, leg_id)
        return leg.dialog() if leg is not None and leg.answered and leg.released is None else b""

    def let_go(self, session_id: SessionId, leg_id: LegId) -> None:
        call = self._calls.get(session_id)
        if call is not None and (leg := call.legs.pop(leg_id, None)):
            self._forget(leg)

    def _drop(self, leg: SipLeg) -> None:
        """Take back a leg that was not dialled and that nobody was told of."""
        del self._events.legs[leg.session]
        self._node.endpoint.hang_up(leg.session, self._node.now())

    def _forget(self, leg: SipLeg) -> None:
        """Have nothing more to do with a leg; its session too is forgotten if it is another node's now, or still."""
        if self._events.legs.get(leg.session) is leg and not leg.lent:
            del self._events.legs[leg.session]
            if leg.answered or leg.going_over:
                self._node.endpoint.forget(leg.session)
        if leg.giver is not None:
            leg.giver.lent = False

    def _find(self, session_id: SessionId, leg_id: LegId) -> SipLeg | None:
        call = self._calls.get(session_id)
        return call.legs.get(leg_id) if call else None

    # --- media --------------------------------------------------------------------------------------------------------

    def ringback(self, session_id: SessionId, side: Side, *, on: bool) -> None:
        if call := self._calls.get(session_id):
            self._sound.ringback(call, side, on=on)

    def attach(self, session_id: SessionId, leg_id: LegId) -> None:
        leg = self._find(session_id, leg_id)
        if leg is not None and leg.answered and leg.released is None:
            self._events.attach(leg)

    def arrange(self, session_id: SessionId, leg_id: LegId, flow: Flow) -> None:
        leg = self._find(session_id, leg_id)
        if leg is not None and leg.answered and leg.released is None:
            self._events.offers.arrange(leg, flow)

    def media_lost(self, instance: str) -> None:
        """Tell every call whose relay session was in `instance` that its media is gone."""
        for call in list(self._calls.values()):
            if call.relay.instance == instance:
                self._events.tell(call.session_id, MediaLost(RELAY_LOST))

    # --- restart and end ----------------------------------------------------------------------------------------------

    async def restore(self, session_id: SessionId, domain: DomainName, legs: Sequence[Leg]) -> None:
        for record in legs:
            if not record.dialog:
                continue
            state = decode_dialog(record.dialog)
            session = await self._taken_up(domain, state)
            relay = await self._media.taken_up(state.relay)
            call = self._calls.setdefault(session_id, SipCall(session_id, domain, relay))
            call.relays[relay.session_id] = relay
            leg = SipLeg(call, record.leg_id, session, relay, state.local, state.connection, state.remote, sent=True)
            leg.answered = state.snapshot.answered and record.answered_at > 0
            leg.going_over = state.snapshot.answered and not leg.answered
            leg.flow = record.flow
            leg.learns = record.target.nat
            leg.pcmu_only = record.target.pcmu_only
            leg.recorded = record.target.recorded
            leg.transfer = record.transfer
            call.playing = dict.fromkeys(Side, UNKNOWN)
            self._adopt(leg)
            if leg.going_over:
                self._events.offers.take_over(leg)  # whether it was offered before is not known
            elif leg.answered:
                # Its party may have hung up while nobody listened. RFC 3261 §12.2.2: who has no such dialog says 481.
                leg.probe = self._node.endpoint.send_in_dialog(session, self._node.now(), method="OPTIONS")
                self._node.wake()
        restored = self._calls.get(session_id)
        if restored is not None:
            self._media.sweep(restored, transfers=max((record.transfer for record in legs), default=0))
            self._events.gather(restored)
            self._recorder.refresh(restored)
        if restored is not None and restored.relay.instance != self._relay.instance:
            self._events.tell(session_id, MediaLost(RELAY_LOST))

    async def close(self, session_id: SessionId) -> None:
        call = self._calls.pop(session_id, None)
        if call is None:
            return
        call.ringback = None
        for leg in call.legs.values():
            if leg.going_over and not leg.sent:
                self._forget(leg)
            if self._events.legs.get(leg.session) is leg:
                del self._events.legs[leg.session]
                if leg.released is None:
                    self._node.endpoint.hang_up(leg.session, self._node.now())
                    self._node.wake()
        call.legs.clear()  # each knows its call: apart, both go at once and not with the garbage collector
        self._media.close(call)
        self._recorder.over(call)
