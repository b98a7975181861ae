"""Presence: whether a user's phones are registered, ring, or are in a call (contract §5, model `presence`).

    inactive    no phone is registered, and none is in a call
    open        a phone is registered, and none rings or is in a call
    alerting    a phone rings
    held        a phone is in a call that is on hold, whoever put it there
    inuse       a phone is in a call, also while the other side still rings

A user with several calls has the presence that stands lowest here: who speaks is busy, though another phone rings.

What the bus keeps of a user is the whole of that at one moment (`UserPresence`), one message a change, so that the last
message is the state and all of them are what subscribers are told. `applied` says which messages of calls are in it:
whoever derives it again, after a crash or beside another, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from ringbridge.model.call import Call, CallState, LegState
from ringbridge.model.event_payloads import legacy_time
from ringbridge.model.taking_part import is_theirs

replace = msgspec.structs.replace


class Presence(StrEnum):
    """The API's own words, from the least to the most busy."""

    INACTIVE = "inactive"
    OPEN = "open"
    ALERTING = "alerting"
    HELD = "held"
    INUSE = "inuse"


_ORDER = tuple(Presence)


def _busiest(found: Iterable[Presence], least: Presence) -> Presence:
    return max(found, key=_ORDER.index, default=least)


def presence_in(call: Call) -> dict[str, Presence]:
    """Return the presence that `call` gives to each user of its domain whose phone rings or is up in it."""
    if call.is_over:
        return {}
    found: dict[str, Presence] = {}
    up = Presence.HELD if call.state is CallState.HELD else Presence.INUSE
    for leg in call.legs:
        user = leg.target.user
        if not user or not is_theirs(call, leg, user):
            continue
        if leg.state is LegState.RINGING:
            found[user] = _busiest((found.get(user, Presence.ALERTING), Presence.ALERTING), Presence.ALERTING)
        elif leg.state is LegState.ANSWERED:
            found[user] = _busiest((found.get(user, up), up), up)
    return found


class UserPresence(msgspec.Struct, frozen=True, omit_defaults=True):
    """A user at one moment. `at` is epoch seconds; `call_id` or `device` is what changed it, `node` who saw that."""

    domain: str
    user: str
    calls: dict[str, Presence] = {}
    """By call-id, those in which a phone of the user rings or is up."""
    devices: tuple[str, ...] = ()
    """Those that are registered, by name."""
    applied: tuple[int, ...] = ()
    """For each stream of calls the position of the last message that is in it."""
    is_told: bool = True
    """Whether a subscriber sees anything else than before."""
    at: float = 0.0
    call_id: str = ""
    device: str = ""
    node: str = ""

    @property
    def presence(self) -> Presence:
        return _busiest(self.calls.values(), Presence.OPEN if self.devices else Presence.INACTIVE)

    def has(self, position: int) -> bool:
        """Return whether the message of a call at `position` is in it, or one behind that in the same stream."""
        return bool(self.applied) and self.applied[position % len(self.applied)] >= position

    def after_call(
        self, call_id: str, presence: Presence | None, *, position: int, streams: int, at: float
    ) -> UserPresence:
        """Return it after the message at `position` gave the user `presence` in a call; None: no part in it."""
        calls = {name: one for name, one in self.calls.items() if name != call_id}
        if presence is not None:
            calls[call_id] = presence
        applied = list(self.applied) or [0] * streams
        applied[position % streams] = position
        return self._told(replace(self, calls=calls, applied=tuple(applied), at=at, call_id=call_id, device=""))

    def after_device(self, device: str, *, registered: bool, at: float) -> UserPresence:
        """Return it after a device came or went."""
        devices = {*self.devices, device} if registered else {*self.devices} - {device}
        return self._told(replace(self, devices=tuple(sorted(devices)), at=at, call_id="", device=device))

    def _told(self, after: UserPresence) -> UserPresence:
        return replace(after, is_told=(self.presence, self.devices) != (after.presence, after.devices))


class PresenceObject(msgspec.Struct, frozen=True):
    """What a subscriber is sent of one change; `sequence` grows with each change of a user."""

    id: str
    object: str
    action: str
    sequence: int
    hostname: str
    domain: str
    user: str
    presence: str
    calls: int
    """How many the user's phones are in, or ring for."""
    devices: tuple[str, ...]
    time: str
    call_id: str = msgspec.field(name="call-id")
    device: str


def presence_object(one: UserPresence, position: int) -> PresenceObject:
    """Return what is sent of a change that the bus has at `position`."""
    return PresenceObject(
        id=f"presence-{position}",
        object="presence",
        action="UPDATE",
        sequence=position,
        hostname=one.node,
        domain=one.domain,
        user=one.user,
        presence=one.presence.value,
        calls=len(one.calls),
        devices=one.devices,
        time=legacy_time(one.at),
        call_id=one.call_id,
        device=one.device,
    )
