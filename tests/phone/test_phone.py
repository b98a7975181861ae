"""The built-in phone against a registrar and a caller over loopback sockets."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringbridge.media import offer_answer
from ringbridge.media.sdp import G722
from ringbridge.media.tones import sine
from ringbridge.phone.audio import read_wav, tone_frames, write_wav
from ringbridge.phone.line import Line
from ringbridge.phone.phone import Phone, RegistrationRefused
from ringbridge.phone.rtp import RtpParty
from ringbridge.phone.settings import Account, Behaviour, PhoneEvent, PhoneEventKind, PhoneSettings
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import Answered, Ended, EndedBy, Failed, IncomingInvite, Progress, ReinviteResult
from tests.phone.pbx import DOMAIN, PASSWORD, Pbx, pbx

Kind = PhoneEventKind


class Diary:
    """What a phone said, and waiting for more of it."""

    def __init__(self) -> None:
        self.events: list[PhoneEvent] = []
        self._more = asyncio.Event()

    def note(self, event: PhoneEvent) -> None:
        self.events.append(event)
        self._more.set()

    @property
    def kinds(self) -> list[PhoneEventKind]:
        return [event.kind for event in self.events]

    async def wait_for(self, kind: PhoneEventKind, within_s: float = 5.0) -> PhoneEvent:
        """Return the first event of that kind."""
        async with asyncio.timeout(within_s):
            while True:
                for event in self.events:
                    if event.kind is kind:
                        return event
                self._more.clear()
                await self._more.wait()


def account(registrar: Peer, user: str = "1001", password: str = PASSWORD) -> Account:
    return Account(user=user, domain=DOMAIN, password=password, registrar=registrar)


@contextlib.asynccontextmanager
async def phone(registrar: Peer, behaviour: Behaviour, diary: Diary, *, user: str = "1001") -> AsyncIterator[Phone]:
    """Run a phone that has registered."""
    one = Phone(PhoneSettings(account(registrar, user), behaviour), listener=diary.note)
    await one.start()
    try:
        await one.registered()
        yield one
    finally:
        await one.stop()


@contextlib.asynccontextmanager
async def caller_rtp(tone_hz: int = 700) -> AsyncIterator[RtpParty]:
    """Give the caller's RTP port, with its tone ready."""
    rtp = await RtpParty.open(ssrc=secrets.randbits(32))
    rtp.play(tone_frames(tone_hz, 0))
    try:
        yield rtp
    finally:
        rtp.close()


def take_answer(one: Pbx, rtp: RtpParty, answered: Answered) -> None:
    """Send the caller's sound to where the phone listens."""
    assert one.offered is not None
    remote = offer_answer.read_answer(answered.sdp, one.offered[1])
    assert remote.host is not None
    rtp.send_to(remote.host, remote.port)


QUICK = Behaviour(answer_after_s=0.05, tone_hz=500)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_registers_with_digest_and_takes_it_back(transport: Transport) -> None:
    diary = Diary()
    async with pbx() as one:
        registrar = Peer(transport, "127.0.0.1", one.node.port)
        async with phone(registrar, QUICK, diary) as registered:
            (binding,) = one.bindings["sip:1001@demo"]
            assert binding.target.transport is transport
            if transport is Transport.UDP:
                assert (binding.target.host, binding.target.port) == registered.address
        assert one.bindings["sip:1001@demo"] == []
    assert diary.kinds == [Kind.REGISTERED, Kind.UNREGISTERED]


async def test_a_wrong_password_is_a_refusal() -> None:
    diary = Diary()
    async with pbx() as one:
        wrong = Phone(PhoneSettings(account(one.peer, password="guess")), listener=diary.note)
        await wrong.start()
        with pytest.raises(RegistrationRefused, match="403"):
            await wrong.registered()
        await wrong.stop()
    assert diary.kinds == [Kind.REGISTRATION_FAILED]


async def test_a_registrar_that_is_not_there_is_known_at_once() -> None:
    async with pbx() as one:
        gone = one.peer
    lost = Phone(PhoneSettings(account(gone)), listener=Diary().note)
    await lost.start()
    with pytest.raises(RegistrationRefused, match="503"):
        await lost.registered(deadline_s=2)
    await lost.stop()


async def test_rings_answers_plays_and_hears(tmp_path: Path) -> None:
    diary, recording = Diary(), tmp_path / "heard.wav"
    behaviour = Behaviour(answer_after_s=0.05, tone_hz=500, record=recording)
    async with pbx() as one, phone(one.peer, behaviour, diary), caller_rtp(700) as rtp:
        session = one.call("1001", rtp)
        assert (await one.wait_for(Progress)).status == 180
        take_answer(one, rtp, await one.wait_for(Answered))
        heard = await diary.wait_for(Kind.TONE)
        assert list(heard.tones_hz) == [700]
        assert [tone.frequency_hz for tone in rtp.heard_tones()] == [500]
        one.hang_up(session)
        await diary.wait_for(Kind.ENDED)
        assert diary.kinds[1:] == [
            Kind.INVITED,
            Kind.RINGING,
            Kind.ANSWERED,
            Kind.ACKNOWLEDGED,
            Kind.FIRST_AUDIO,
            Kind.TONE,
            Kind.ENDED,
        ]
        times = [event.at for event in diary.events]
        assert times == sorted(times)
        assert {event.sip_call_id for event in diary.events[1:]} == {session.sip_call_id}
    assert len(read_wav(recording)) > 1000


async def test_plays_a_wav_file_instead_of_the_tone(tmp_path: Path) -> None:
    file = tmp_path / "played.wav"
    write_wav(file, sine((900,), 8000))
    async with pbx() as one, phone(one.peer, Behaviour(answer_after_s=0.0, play=file), Diary()), caller_rtp() as rtp:
        one.call("1001", rtp)
        take_answer(one, rtp, await one.wait_for(Answered))
        await asyncio.wait_for(rtp.hearing.wait(), 2)
        await asyncio.sleep(0.25)
        assert [tone.frequency_hz for tone in rtp.heard_tones()] == [900]


@pytest.mark.parametrize(
    "header",
    [
        ("Call-Info", "<sip:demo>;answer-after=0"),
        ("Alert-Info", "<http://127.0.0.1>;info=alert-autoanswer;delay=0"),
        ("Alert-Info", "<http://127.0.0.1>;info=Auto Answer;delay=0"),
        ("Answer-Mode", "Auto"),
        ("P-Auto-answer", "normal"),
    ],
)
async def test_answers_at_once_when_asked_to(header: tuple[str, str]) -> None:
    async with pbx() as one, phone(one.peer, Behaviour(answer_after_s=30), Diary()), caller_rtp() as rtp:
        one.call("1001", rtp, header)
        await one.wait_for(Answered)


async def test_may_be_told_not_to_obey() -> None:
    diary = Diary()
    behaviour = Behaviour(answer_after_s=None, obeys_auto_answer=False)
    async with pbx() as one, phone(one.peer, behaviour, diary), caller_rtp() as rtp:
        session = one.call("1001", rtp, ("Answer-Mode", "Auto"))
        await one.wait_for(Progress)
        await asyncio.sleep(0.1)
        one.hang_up(session)
        failed = await one.wait_for(Failed)
        assert failed.status == 487
        assert (await diary.wait_for(Kind.ENDED)).detail == "cancelled"
        assert Kind.ANSWERED not in diary.kinds


@pytest.mark.parametrize("status", [486, 480, 603])
async def test_refuses_with_the_status_that_it_is_told(status: int) -> None:
    diary = Diary()
    async with pbx() as one, phone(one.peer, Behaviour(reject_status=status), diary), caller_rtp() as rtp:
        one.call("1001", rtp)
        assert (await one.wait_for(Failed)).status == status
        assert Kind.RINGING not in diary.kinds


async def test_hangs_up_after_a_while() -> None:
    behaviour = Behaviour(answer_after_s=0.0, hang_up_after_s=0.1)
    diary = Diary()
    async with pbx() as one, phone(one.peer, behaviour, diary), caller_rtp() as rtp:
        one.call("1001", rtp)
        await one.wait_for(Answered)
        assert (await one.wait_for(Ended)).by is EndedBy.REMOTE
        assert (await diary.wait_for(Kind.ENDED)).detail == "by us (200)"


async def test_answers_hold_and_unhold() -> None:
    diary = Diary()
    async with pbx() as one, phone(one.peer, Behaviour(answer_after_s=0.0), diary) as called, caller_rtp() as rtp:
        session = one.call("1001", rtp)
        take_answer(one, rtp, await one.wait_for(Answered))
        await asyncio.wait_for(rtp.hearing.wait(), 2)
        assert one.offered is not None
        held = one.offered[1].sdp().replace(b"a=sendrecv\r\n", b"") + b"a=sendonly\r\n"
        one.node.endpoint.reinvite(session, held, one.node.now())
        one.node.wake()
        result = await one.wait_for(ReinviteResult)
        assert result.status == 200
        assert b"a=recvonly" in result.sdp
        await asyncio.sleep(0.1)
        silent_since = rtp.received
        await asyncio.sleep(0.1)
        assert rtp.received == silent_since
        assert "holds us" in (await diary.wait_for(Kind.REINVITED)).detail
        one.node.endpoint.reinvite(session, one.offered[1].sdp(), one.node.now())
        one.node.wake()
        assert (await one.wait_for(ReinviteResult)).status == 200
        await asyncio.sleep(0.1)
        assert rtp.received > silent_since
        assert len(called.lines) == 1


async def test_an_offer_that_it_cannot_take_is_refused() -> None:
    async with pbx() as one, phone(one.peer, QUICK, Diary()), caller_rtp() as rtp:
        one.codecs = (G722,)
        one.call("1001", rtp)
        assert (await one.wait_for(Failed)).status == 488


async def test_calls_through_its_registrar() -> None:
    diary = Diary()
    async with pbx() as one, phone(one.peer, QUICK, diary) as calling:
        line = await calling.call("1002")
        invite = await one.wait_for(IncomingInvite)
        assert invite.request.uri == "sip:1002@demo"
        one.node.endpoint.ring(invite.session, one.node.now())
        one.node.wake()
        await diary.wait_for(Kind.PROGRESS)
        one.node.endpoint.reject(invite.session, one.node.now(), status=486)
        one.node.wake()
        assert (await diary.wait_for(Kind.CALL_FAILED)).detail.startswith("486")
        assert line.ended.is_set()


async def test_two_phones_hear_each_other() -> None:
    """One phone's registrar is the other phone: it refuses to register anybody, and takes calls all the same."""
    one_diary, other_diary = Diary(), Diary()
    async with pbx() as registrar, phone(registrar.peer, Behaviour(answer_after_s=0.0, tone_hz=600), one_diary) as one:
        host, port = one.address
        behaviour = Behaviour(tone_hz=900)
        other = Phone(
            PhoneSettings(account(Peer(Transport.UDP, host, port), "1002"), behaviour), listener=other_diary.note
        )
        await other.start()
        line: Line = await other.call("1001")
        heard_by_other = await other_diary.wait_for(Kind.TONE)
        heard_by_one = await one_diary.wait_for(Kind.TONE)
        assert (heard_by_one.tones_hz, heard_by_other.tones_hz) == ((900,), (600,))
        line.hang_up()
        await one_diary.wait_for(Kind.ENDED)
        await other.stop()


async def test_stopping_ends_its_calls() -> None:
    diary = Diary()
    async with pbx() as one:
        async with phone(one.peer, Behaviour(answer_after_s=0.0), diary), caller_rtp() as rtp:
            one.call("1001", rtp)
            await one.wait_for(Answered)
        assert (await one.wait_for(Ended)).by is EndedBy.REMOTE
    assert diary.kinds[-3:] == [Kind.HANGING_UP, Kind.ENDED, Kind.UNREGISTERED]


async def test_a_tone_that_no_telephone_carries_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="does not pass a telephone"):
        await Phone(
            PhoneSettings(account(Peer(Transport.UDP, "127.0.0.1", 5060)), Behaviour(tone_hz=9000)),
            listener=Diary().note,
        ).start()
