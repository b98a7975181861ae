"""What a phone is told once: who it is, where it registers, and how it behaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from ringbridge.sip.peer import Peer


@dataclass(frozen=True, slots=True)
class Account:
    """Who a phone is: its address-of-record is `sip:{user}@{domain}`, its digest user name `user`."""

    user: str
    domain: str
    password: str
    registrar: Peer
    """Where REGISTER and its own calls go; the host may be a name."""

    @property
    def aor(self) -> str:
        return f"sip:{self.user}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a phone does when it is called. Times are seconds."""

    answer_after_s: float | None = 1.0
    """None: rings for ever."""
    reject_status: int | None = None
    """Refuses every call with this status (486 is busy)."""
    obeys_auto_answer: bool = True
    """Answers at once when the INVITE asks for that."""
    hang_up_after_s: float | None = None
    """After the answer; None: leaves that to the other side."""
    tone_hz: int = 440
    """What it plays; hertz."""
    play: Path | None = None
    """WAV file (16-bit mono, 8000 Hz) to play in a loop instead of the tone."""
    record: Path | None = None
    """WAV file for what is heard; with more than one call, the last."""


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """One phone."""

    account: Account
    behaviour: Behaviour = Behaviour()
    host: str = "127.0.0.1"
    """Address to listen on; also what Via, Contact and SDP name, unless `public_address` is given."""
    public_address: str | None = None
    """What Via, Contact and SDP name in its place: a phone behind NAT names one where nobody reaches it."""
    port: int = 0
    """SIP port; 0 takes any."""
    expires_s: int = 600
    """Registration asked for, seconds."""


class PhoneEventKind(StrEnum):
    """What can happen to a phone."""

    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    REGISTRATION_FAILED = "registration-failed"
    INVITED = "invited"
    """An INVITE came in."""
    RINGING = "ringing"
    """180 was sent."""
    ANSWERED = "answered"
    """200 was sent; of a call that the phone made: 200 came and ACK was sent."""
    ACKNOWLEDGED = "acknowledged"
    """The ACK of our 200 came."""
    REFUSED = "refused"
    """We sent a final refusal."""
    CALLING = "calling"
    """We sent an INVITE."""
    PROGRESS = "progress"
    """A provisional response to it."""
    CALL_FAILED = "call-failed"
    """It was refused, or never answered."""
    FIRST_AUDIO = "first-audio"
    """The first RTP packet of a stream: the relay's ringback, then the other side."""
    TONE = "tone"
    """Another tone than before is heard."""
    REINVITED = "reinvited"
    """The other side sent a re-INVITE."""
    HANGING_UP = "hanging-up"
    """We sent BYE or CANCEL."""
    ENDED = "ended"
    """The call is over; the detail says by whom."""


@dataclass(frozen=True, slots=True)
class PhoneEvent:
    """One thing that happened, at `at` in epoch seconds.

    `call` counts the phone's calls from 1; 0 for what belongs to none. `sip_call_id` names the call's dialog.
    """

    kind: PhoneEventKind
    at: float
    detail: str = ""
    call: int = 0
    sip_call_id: str = ""
    tones_hz: tuple[float, ...] = ()
    """For TONE: what is heard."""
    ssrc: int | None = None
    """For FIRST_AUDIO: which stream."""


Listener: TypeAlias = Callable[[PhoneEvent], None]
