"""What a controller asks for. It performs nothing itself: the run of the call does, in this order."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from ringbridge.model.call import Side
from ringbridge.model.events import CallEvent, Consultation, Flow, HandoverOrdered
from ringbridge.model.ids import LegId, SessionId
from ringbridge.model.release import ReleaseCause


class Timer(StrEnum):
    """The clocks of one call; each runs at most once at a time."""

    RING_ORIGINATION = "ring-origination"
    RING_TERMINATION = "ring-termination"
    RING_TRANSFER = "ring-transfer"
    MAX_DURATION = "max-duration"
    HANDOVER = "handover"


class Publish(msgspec.Struct, frozen=True):
    """Store these events, in one batch, after those before. An `Invite` later on waits until all is stored."""

    events: tuple[CallEvent, ...]


class Prepare(msgspec.Struct, frozen=True):
    """Fix the INVITEs of one side, or of who replaces it by a transfer; `prepared` or `unprepared` is told of it."""

    side: Side


class Ask(msgspec.Struct, frozen=True):
    """Ask another call for the leg of a consultation; `asked` is told what it says."""

    consultation: Consultation
    transfer: int
    by: str


class TakeOver(msgspec.Struct, frozen=True):
    """As `Prepare`, of a leg that is up in another call: its new offer is fixed, from its state in that call."""

    side: Side
    dialog: bytes
    giver: SessionId
    """The other call."""


class LookUp(msgspec.Struct, frozen=True):
    """See what has become of a leg that was given to another call; `decided` is told."""

    handover: HandoverOrdered
    sip_call_id: str


class LetGo(msgspec.Struct, frozen=True):
    """Forget a leg, which another call has now: nothing is said to its phone."""

    leg_id: LegId


class Invite(msgspec.Struct, frozen=True):
    """Send a prepared leg's INVITE, or the offer to one that is taken over, once everything published is stored."""

    leg_id: LegId


class Release(msgspec.Struct, frozen=True):
    """End a leg however it stands: CANCEL, BYE, or nothing."""

    leg_id: LegId
    cause: ReleaseCause


class Ringback(msgspec.Struct, frozen=True):
    """Let the answered leg of a side hear ringback from the relay, or stop it."""

    side: Side
    on: bool


class Attach(msgspec.Struct, frozen=True):
    """Let an answered leg be the one that its side of the call hears and speaks with."""

    leg_id: LegId


class Arrange(msgspec.Struct, frozen=True):
    """Offer an answered leg another flow of audio; the controller is told by an `Arranged` signal."""

    leg_id: LegId
    flow: Flow


class StartTimer(msgspec.Struct, frozen=True):
    """Tell the controller `timer` at `at`, epoch seconds."""

    timer: Timer
    at: float


class StopTimer(msgspec.Struct, frozen=True):
    """`timer` is of no interest any more."""

    timer: Timer


class Finish(msgspec.Struct, frozen=True):
    """The call is over: give its media back and forget it once everything published is stored."""


Action: TypeAlias = (
    Publish
    | Prepare
    | Ask
    | TakeOver
    | LookUp
    | LetGo
    | Invite
    | Release
    | Ringback
    | Attach
    | Arrange
    | StartTimer
    | StopTimer
    | Finish
)
