"""One leg as SIP knows it, and the state of it that the bus keeps: the opaque `dialog` of `model.events`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ringbridge.media.offer_answer import Local, Remote, permitted
from ringbridge.media.relay_commands import RelaySession
from ringbridge.media.sdp import Codec
from ringbridge.model.call import Side, side_of
from ringbridge.model.events import Flow
from ringbridge.model.ids import LegId, SessionId
from ringbridge.model.release import ReleaseCause
from ringbridge.sip.session import Session
from ringbridge.sip.session_snapshot import SessionSnapshot


class LegDialog(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that takes a leg up again after a restart: dialog, media session, what was offered and taken."""

    snapshot: SessionSnapshot
    relay: RelaySession
    local: Local
    remote: Remote | None = None
    connection: str = ""
    """Whose credentials answer challenges; they are read again, never stored here."""


_encoder = msgspec.msgpack.Encoder()
decode_dialog = msgspec.msgpack.Decoder(LegDialog).decode


@dataclass(slots=True, eq=False)
class SipLeg:
    """One leg: its SIP session and its media description."""

    call: SipCall
    leg_id: LegId
    session: Session
    relay: RelaySession
    """Where its audio is: its port there is what it was offered."""
    local: Local
    connection: str = ""
    remote: Remote | None = None
    transfer: int = 0
    """Which transfer of the call it is of: it takes the place of an answered leg of an earlier one."""
    learns: bool = False
    """Its media address is learned from packets: its phone is behind NAT."""
    pcmu_only: bool = False
    """Its connection has no codec for sound but PCMU."""
    recorded: bool = False
    """Its phone's calls, or its connection's, are recorded."""
    flow: Flow = Flow.TALK
    """What it has taken of what the brain asked for."""
    wanted: Flow | None = None
    """What it is to be offered, until it has said to that."""
    moving: RelaySession | None = None
    """Where its audio is to be, until it has taken that."""
    offered: Local | None = None
    """Our new offer, while it is out or waits to be made again."""
    tries: int = 0
    """How often that has been made."""
    refusal: ReleaseCause | None = None
    """Why it is not to be dialled, known when it was prepared."""
    sent: bool = False
    answered: bool = False
    released: ReleaseCause | None = None
    """Set when we ended it: what the end is called, whatever the peer says to it."""
    end_told: bool = False
    """The brain knows of its end already, whatever SIP still says to it."""
    going_over: bool = False
    """It is being taken over from another call: its dialog stands, and it has not said yes to our offer."""
    giver: SipLeg | None = None
    """The leg of the other call, if that runs here too: both have the session until the offer is sent."""
    lent: bool = False
    """It is such a giver."""
    probe: str = ""
    """After a restart, the token of the request that asks whether the party still has the dialog."""

    @property
    def side(self) -> Side:
        return side_of(self.leg_id)

    def permitted(self, codecs: Sequence[Codec]) -> Sequence[Codec]:
        """Return those of `codecs` that its connection takes."""
        return permitted(codecs, pcmu_only=True) if self.pcmu_only else codecs

    def dialog(self) -> bytes:
        """Return the state to store."""
        state = LegDialog(self.session.snapshot(), self.relay, self.local, self.remote, self.connection)
        return _encoder.encode(state)


@dataclass(slots=True, eq=False)
class SipCall:
    """One call: its relay sessions and its legs."""

    session_id: SessionId
    domain: str
    relay: RelaySession
    """The one that its parties speak through."""
    relays: dict[str, RelaySession] = field(default_factory=dict)
    """All that are open, by name."""
    preparing: set[str] = field(default_factory=set)
    """Those of them that a leg is being made for."""
    numbered: int = 0
    """The number of the last one, counting from 0."""
    closed: bool = False
    """It is over: what is opened from now on is nobody's."""
    legs: dict[LegId, SipLeg] = field(default_factory=dict)
    ringback: Side | None = None
    """Which side hears ringback."""
    playing: dict[Side, str] = field(default_factory=dict)
    """The prompt that each side hears; none: empty."""
    recording: RelaySession | None = None
    """The session that is being recorded, or was to be."""
    was_recorded: bool = False

    def answered(self, side: Side) -> SipLeg | None:
        """Return the leg of `side` that answered first and is still up."""
        for leg in self.legs.values():
            if leg.answered and leg.released is None and leg.side is side:
                return leg
        return None
