"""One call of a phone: its SIP session, its RTP port, and what the phone's behaviour makes of it.

Each call has one task for what takes time (waiting before the answer, opening the port, hanging up after a while) and
one that watches the sound; both end with the call.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import TypeAlias

from ringbridge.adapters.sip.node import SipNode, reachable_address
from ringbridge.media import offer_answer
from ringbridge.media.offer_answer import DEFAULT_CODECS, Local, NothingInCommon, Remote
from ringbridge.media.sdp import PCMU, Codec, SdpError
from ringbridge.phone.audio import frames, read_wav, tone_frames, write_wav
from ringbridge.phone.auto_answer import auto_answer_asked
from ringbridge.phone.rtp import RtpParty
from ringbridge.phone.settings import Behaviour, PhoneEvent, PhoneEventKind, PhoneSettings
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import Answered, Ended, EndedBy, Failed, IncomingInvite, Progress, Reinvited

_TONE_POLL_S = 0.25

Reporter: TypeAlias = Callable[[PhoneEvent], None]


class Line:
    """One call, from the INVITE to `ended`."""

    def __init__(
        self, node: SipNode, session: Session, settings: PhoneSettings, *, number: int, report: Reporter
    ) -> None:
        self.session = session
        self.number = number
        self.ended = asyncio.Event()
        self.rtp: RtpParty | None = None
        """The RTP port, once there is one."""
        self.answered = False
        self._node = node
        self._settings = settings
        self._behaviour = settings.behaviour
        self._report = report
        self._local: Local | None = None
        self._codecs: tuple[Codec, ...] = DEFAULT_CODECS
        self._awaits_answer = False
        self._hanging_up = False
        self._tones: tuple[float, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- called ------------------------------------------------------------------------------------------------------

    def invited(self, event: IncomingInvite) -> None:
        """Ring, answer or refuse, as the behaviour says."""
        request, behaviour = event.request, self._behaviour
        caller = request.from_
        asked = auto_answer_asked(request)
        shown = f'"{caller.display}" {caller.uri}' if caller.display else caller.uri
        self._tell(PhoneEventKind.INVITED, f"from {shown}" + (f", asks for auto-answer ({asked})" if asked else ""))
        if behaviour.reject_status is not None:
            self.refuse(behaviour.reject_status)
            return
        self._node.endpoint.ring(self.session, self._node.now())
        self._tell(PhoneEventKind.RINGING, "180")
        answer_after_s = 0.0 if asked and behaviour.obeys_auto_answer else behaviour.answer_after_s
        if answer_after_s is not None:
            self._start(self._answer(event.sdp, answer_after_s))

    def refuse(self, status: int) -> None:
        """Refuse the call with a final status."""
        self._node.endpoint.reject(self.session, self._node.now(), status=status)
        self._tell(PhoneEventKind.REFUSED, str(status))
        self._node.wake()

    async def _answer(self, sdp: bytes, after_s: float) -> None:
        await asyncio.sleep(after_s)
        rtp = await self._open_rtp()
        ours = offer_answer.offer(session_id=secrets.randbits(62), host=self._node.host, port=rtp.port)
        remote = None
        if sdp:
            try:
                ours, remote = offer_answer.answer(sdp, ours, allowed=DEFAULT_CODECS)
            except (SdpError, NothingInCommon):
                self.refuse(488)
                return
        self._local = ours
        self._awaits_answer = remote is None
        self.answered = True
        self._node.endpoint.answer(self.session, ours.sdp(), self._node.now())
        self._node.wake()
        self._tell(PhoneEventKind.ANSWERED, "200")
        if remote is not None:
            self._take(remote)
        await self._hang_up_in_time()

    def acknowledged(self, sdp: bytes) -> None:
        """Take the ACK of our 200, and the answer in it where the offer was ours."""
        self._tell(PhoneEventKind.ACKNOWLEDGED)
        self._take_answer(sdp)

    # --- calling -----------------------------------------------------------------------------------------------------

    def progress(self, event: Progress) -> None:
        """Hear that the other side rings."""
        media = ", early media" if event.sdp else ""
        self._tell(PhoneEventKind.PROGRESS, f"{event.status} {event.reason}{media}")

    def answered_by_peer(self, event: Answered) -> None:
        """Hear that the other side has answered."""
        self.answered = True
        self._tell(PhoneEventKind.ANSWERED, f"{event.status} {event.reason}")
        self._take_answer(event.sdp)
        self._start(self._hang_up_in_time())

    def calling(self, rtp: RtpParty, offer: Local) -> None:
        """Take note that an INVITE with `offer` leaves, for which `rtp` listens."""
        self._adopt(rtp)
        self._local = offer
        self._awaits_answer = True
        self._tell(PhoneEventKind.CALLING)

    # --- both --------------------------------------------------------------------------------------------------------

    def reinvited(self, event: Reinvited) -> None:
        """Answer the other side's re-INVITE or UPDATE."""
        endpoint, now = self._node.endpoint, self._node.now()
        if self._local is None:
            endpoint.answer_reinvite(self.session, now, status=488)
            return
        if not event.sdp:
            self._local = offer_answer.offer_again(self._local, self._codecs)
            self._awaits_answer = True
            endpoint.answer_reinvite(self.session, now, sdp=self._local.sdp())
            self._tell(PhoneEventKind.REINVITED, f"{event.method} that asks for our offer")
            return
        try:
            self._local, remote = offer_answer.answer(event.sdp, self._local, allowed=DEFAULT_CODECS)
        except (SdpError, NothingInCommon):
            endpoint.answer_reinvite(self.session, now, status=488)
            return
        endpoint.answer_reinvite(self.session, now, sdp=self._local.sdp())
        self._tell(PhoneEventKind.REINVITED, f"{event.method}{', holds us' if remote.held else ''}")
        self._take(remote)

    def hang_up(self) -> None:
        """End the call however it stands; again is harmless."""
        if self.ended.is_set() or self._hanging_up:
            return
        self._hanging_up = True
        way = "BYE" if self.answered else ("CANCEL" if self.session.caller else "480")
        self._node.endpoint.hang_up(self.session, self._node.now())
        self._node.wake()
        self._tell(PhoneEventKind.HANGING_UP, way)

    def over(self, event: Ended | Failed) -> None:
        """Take the end of the session."""
        self.close()
        if isinstance(event, Failed):
            self._tell(PhoneEventKind.CALL_FAILED, f"{event.status} {event.reason}")
            return
        by_remote = "cancelled" if event.status == 487 else "BYE received"
        ways = {
            EndedBy.REMOTE: by_remote,
            EndedBy.LOCAL: f"by us ({event.status})",
            EndedBy.TIMEOUT: "no ACK or no life",
            EndedBy.EXPIRED: "its session timer ran out",
        }
        reason = f", {event.reason_header}" if event.reason_header else ""
        self._tell(PhoneEventKind.ENDED, ways[event.by] + reason)

    def close(self) -> None:
        """Give the RTP port back and write the recording; what SIP still has to say goes on without us."""
        if self.ended.is_set():
            return
        if self.rtp is not None:
            self.rtp.close()
            if self._behaviour.record is not None:
                write_wav(self._behaviour.record, self.rtp.samples())
        for task in self._tasks:
            task.cancel()
        self.ended.set()

    # --- sound -------------------------------------------------------------------------------------------------------

    async def _open_rtp(self) -> RtpParty:
        rtp = await open_rtp(self._settings)
        self._adopt(rtp)
        return rtp

    def _adopt(self, rtp: RtpParty) -> None:
        self.rtp = rtp
        if self._behaviour.record is not None:
            rtp.record_all()
        rtp.on_stream = self._heard_stream
        self._start(self._listen(rtp))

    def _heard_stream(self, ssrc: int) -> None:
        self._tell(PhoneEventKind.FIRST_AUDIO, f"first RTP packet of stream {ssrc:08x}", ssrc=ssrc)

    def _take_answer(self, sdp: bytes) -> None:
        if not self._awaits_answer or self._local is None:
            return
        self._awaits_answer = False
        try:
            remote = offer_answer.read_answer(sdp, self._local)
        except (SdpError, NothingInCommon):
            self.hang_up()
            return
        self._take(remote)

    def _take(self, remote: Remote) -> None:
        """Send to where the other side listens, in its first codec; nothing while it holds us."""
        if self.rtp is None:
            return
        self._codecs = remote.codecs
        if remote.held or remote.host is None:
            self.rtp.pause()
            return
        codec = next((codec for codec in remote.codecs if not codec.is_event), PCMU)
        self.rtp.use(codec)
        self.rtp.send_to(remote.host, remote.port)
        self.rtp.play(sound(self._behaviour, codec.payload_type))

    async def _listen(self, rtp: RtpParty) -> None:
        await rtp.hearing.wait()
        before: tuple[float, ...] = ()
        while True:
            await asyncio.sleep(_TONE_POLL_S)
            found = await asyncio.to_thread(rtp.heard_tones)
            now_heard = tuple(sorted(tone.frequency_hz for tone in found))
            if now_heard and now_heard == before and now_heard != self._tones:  # heard twice: not between two tones
                self._tones = now_heard
                text = " and ".join(f"{tone:g} Hz" for tone in now_heard)
                self._tell(PhoneEventKind.TONE, f"hears {text}", tones_hz=now_heard)
            before = now_heard

    async def _hang_up_in_time(self) -> None:
        if self._behaviour.hang_up_after_s is not None:
            await asyncio.sleep(self._behaviour.hang_up_after_s)
            self.hang_up()

    # --- bookkeeping -------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(
        self, kind: PhoneEventKind, detail: str = "", *, tones_hz: tuple[float, ...] = (), ssrc: int | None = None
    ) -> None:
        self._report(
            PhoneEvent(
                kind=kind,
                at=time.time(),
                detail=detail,
                call=self.number,
                sip_call_id=self.session.sip_call_id,
                tones_hz=tones_hz,
                ssrc=ssrc,
            )
        )


async def open_rtp(settings: PhoneSettings) -> RtpParty:
    """Return a new RTP port at the address that the phone's SIP listens on.

    Raises:
        OSError: none can be had.
    """
    return await RtpParty.open(reachable_address(settings.host), ssrc=secrets.randbits(32))


def sound(behaviour: Behaviour, payload_type: int) -> tuple[bytes, ...]:
    """Return the frames that a phone plays.

    Raises:
        ValueError, OSError: the WAV file or the tone is none that can be played.
    """
    if behaviour.play is not None:
        return frames(read_wav(behaviour.play), payload_type)
    return tone_frames(behaviour.tone_hz, payload_type)
