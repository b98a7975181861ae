"""Derives presence for the subscriptions to it: from calls and locations to the stream of presence (contract §5).

A domain that somebody wants to know the presence in has one feed, on one node (`presence.feeds` says which). It reads
the streams of calls side by side, the oldest message first, from where the last one stood, and hears of locations from
the local copy. What a message changes for a user is compared and set in that user's own subject.

The theory. A user's last message says which messages of calls are in it (`UserPresence.applied`), and each stream is
read in order. So a feed that begins again a little before where the last one stopped changes nothing, and two that run
side by side for a moment, one of them thought dead, write the same. What a feed was not there for is made good when a
user is looked at first: calls that are not up any more go, calls that are come, as of the positions where it reads.

Locations come as they are, not as a history: a phone that came and went while no feed ran is not told of. One that
did either is, by what the bus says of its user, or where that is nothing by what the last feed began with (`phones`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from dataclasses import dataclass

import msgspec
import structlog

from ringbridge.adapters.presence.phones import keep_phones, kept_phones
from ringbridge.calls.events.ports import CallMessage, EventBus
from ringbridge.calls.ports import Clock, Store
from ringbridge.model.access import ANY
from ringbridge.model.call import Call, fold
from ringbridge.model.deliveries import CallName
from ringbridge.model.directory import User
from ringbridge.model.errors import BusUnavailable, Conflict
from ringbridge.model.events import CallRequested
from ringbridge.model.ids import CallId, DomainName
from ringbridge.model.presence import Presence, UserPresence, presence_in

log = structlog.get_logger(__name__)

MOST_CALLS = 4096
MOST_USERS = 4096
"""What is kept in mind; what is forgotten is read again."""
FLUSH_S = 0.5
BUS_AWAY_S = 1.0
LOOKED_UP_AT_ONCE = 50
"""Devices, before others have their turn: looking one up does not wait, but takes 50 µs."""
MOST_ACTIVE = 100
"""Calls of one user that are looked at."""

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(tuple[int, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedParts:
    """What feeds of one node share."""

    bus: EventBus
    store: Store
    clock: Clock
    node: str


@dataclass(frozen=True, slots=True)
class _Known:
    """A user as the bus has it; `position` is 0 where the bus has nothing."""

    presence: UserPresence
    position: int


def feed_key(domain: str) -> tuple[str, ...]:
    """Return where it is kept how far the feed of a domain is."""
    return ("presence", domain)


async def kept_positions(bus: EventBus, domain: str) -> tuple[int, ...]:
    """Return how far the feed of a domain is; empty when there was none."""
    kept = await bus.read_kept(feed_key(domain))
    try:
        return _decoder.decode(kept.payload) if kept is not None else ()
    except msgspec.DecodeError as bad:
        log.error("presence_positions_unreadable", domain=domain, why=str(bad))  # noqa: TRY400 - says it all
        return ()


class PresenceFeed:
    """The feed of one domain, or of all; `run` it as a task."""

    def __init__(self, parts: FeedParts, domain: str, positions: tuple[int, ...], *, new_since: float | None) -> None:
        """`new_since`, of a feed that did not run before, is when somebody began to want it, in epoch seconds."""
        self._parts = parts
        self.domain = domain
        self._only = None if domain == ANY else domain
        self._positions = list(positions)
        self._new_since = new_since
        self._wanted = list(positions)
        """For each stream the last position that is known to be there."""
        self._unread = set(range(len(positions)))
        self._heads: dict[int, CallMessage] = {}
        """The next message of each stream, as far as there is one: the oldest of them is taken first."""
        self._moved: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Devices to look at."""
        self._registered: dict[tuple[str, str], str] = {}
        """The user of each device that is registered, as far as was looked."""
        self._calls: OrderedDict[CallName, Call | None] = OrderedDict()
        self._users: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._wake = asyncio.Event()
        self._dirty = asyncio.Event()

    # --- from outside ---

    def news(self, position: int) -> None:
        """Note that the stream of `position` holds a message there that may be ours."""
        stream = position % len(self._positions)
        if position > max(self._positions[stream], self._wanted[stream]):
            self._wanted[stream] = position
            if stream not in self._heads:
                self._unread.add(stream)
                self._wake.set()

    def moved(self, domain: str, device: str) -> None:
        """Note that a device came, went, or was heard of again."""
        self._moved[domain, device] = None
        self._wake.set()

    async def run(self) -> None:
        """Derive until cancelled."""
        for count, one in enumerate(await self._parts.store.all_locations(self._only)):
            if count % LOOKED_UP_AT_ONCE == 0:
                await asyncio.sleep(0)
            place = (one.domain, one.device)
            device = await self._parts.store.device(*place)
            if device is None:
                continue
            if self._new_since is not None and one.registered_at >= self._new_since:
                self._moved[place] = None
            else:
                self._registered[place] = device.user
        async with asyncio.TaskGroup() as group:
            group.create_task(self._flush_loop())
            group.create_task(self._look_back() if self._new_since is None else self._keep_phones())
            await self._loop()

    async def flush(self) -> None:
        """Write how far it is."""
        await self._parts.bus.put_kept(feed_key(self.domain), _encode(tuple(self._positions)))

    async def _flush_loop(self) -> None:
        while True:
            try:
                await self.flush()
            except BusUnavailable:
                await asyncio.sleep(BUS_AWAY_S)
                continue
            await asyncio.sleep(FLUSH_S)
            await self._dirty.wait()
            self._dirty.clear()

    async def _loop(self) -> None:
        while True:
            self._wake.clear()
            try:
                if self._moved:
                    place = next(iter(self._moved))
                    del self._moved[place]
                    await self._look_at(*place)
                elif self._unread:
                    await self._read(next(iter(self._unread)))
                elif self._heads:
                    await self._take(min(self._heads, key=lambda stream: _at(self._heads[stream])))
                else:
                    await self._wake.wait()
            except BusUnavailable:
                await asyncio.sleep(BUS_AWAY_S)

    # --- calls ---

    async def _read(self, stream: int) -> None:
        """Have the next message of a stream at hand, if there is any."""
        wanted = self._wanted[stream]
        message = await self._parts.bus.next_call_message(self._positions[stream], self._only)
        if message is not None:
            self._heads[stream] = message
        if message is not None or self._wanted[stream] == wanted:
            self._unread.discard(stream)

    async def _take(self, stream: int) -> None:
        """Derive what the message at hand of a stream changes."""
        message = self._heads[stream]
        before = await self._call_before(message)
        after = fold(before, message.events, message.position)
        was, now = presence_in(before) if before else {}, presence_in(after) if after else {}
        for user in sorted(was.keys() | now.keys()):
            if was.get(user) != now.get(user):
                await self._apply(message, user, now.get(user))
        self._keep(message.name, after)
        self._positions[stream] = message.position
        del self._heads[stream]
        self._unread.add(stream)
        self._dirty.set()

    async def _apply(self, message: CallMessage, user: str, presence: Presence | None) -> None:
        """Store what a message makes of a user in its call, unless that is stored already."""
        while True:
            known = await self._user(message.name.domain, user)
            if known.presence.has(message.position):
                return
            after = known.presence.after_call(
                message.name.call_id,
                presence,
                position=message.position,
                streams=len(self._positions),
                at=self._parts.clock.now(),
            )
            if await self._put(known, after):
                return

    async def _call_before(self, message: CallMessage) -> Call | None:
        """Return a call as it was before a message."""
        name = message.name
        if isinstance(message.events[0] if message.events else None, CallRequested):
            return None
        if name not in self._calls:
            call: Call | None = None
            for one in await self._parts.bus.read_call(DomainName(name.domain), CallId(name.call_id)):
                if one.sequence < message.position:
                    call = fold(call, one.events, one.sequence)
            return call
        return self._calls[name]

    def _keep(self, name: CallName, call: Call | None) -> None:
        self._calls[name] = call
        self._calls.move_to_end(name)
        if call is not None and call.is_over:
            del self._calls[name]
        elif len(self._calls) > MOST_CALLS:
            self._calls.popitem(last=False)

    # --- locations ---

    async def _look_at(self, domain: str, device: str) -> None:
        """Store that a device came or went, if it did."""
        store, place = self._parts.store, (domain, device)
        record = await store.device(domain, device)
        is_there = record is not None and bool(await store.locations(domain, device))
        before, now = self._registered.get(place), record.user if record is not None and is_there else None
        try:
            if before not in (None, now):
                await self._tell_device(domain, before, device, is_there=False)
                del self._registered[place]
            if now not in (None, before):
                await self._tell_device(domain, now, device, is_there=True)
                self._registered[place] = now
        except BusUnavailable:
            self.moved(domain, device)
            raise

    async def _tell_device(self, domain: str, user: str, device: str, *, is_there: bool) -> None:
        """Store that a device of a user came or went, unless the bus knows."""
        while True:
            known = await self._user(domain, user)
            if is_there == (device in known.presence.devices):
                return
            after = known.presence.after_device(device, registered=is_there, at=self._parts.clock.now())
            if await self._put(known, after):
                return

    async def _look_back(self) -> None:
        """Look at the devices that were otherwise when the last feed ran: they came or went while none did."""
        before = await self._phones_before()
        for record in await self._parts.store.records("user", self._only):
            if not isinstance(record, User):
                continue
            known = await self._devices_told(record)
            if known is None and before is not None:
                known = before.get((record.domain, record.user), set())
            if known is None:
                continue
            for device in known ^ set(await self._devices(record.domain, record.user)):
                if device in known:
                    self._registered[record.domain, device] = record.user
                else:
                    self._registered.pop((record.domain, device), None)
                self.moved(record.domain, device)
        await self._keep_phones()

    async def _phones_before(self) -> dict[tuple[str, str], set[str]] | None:
        """Return the devices of each user when the last feed began; None where that is not known."""
        while True:
            try:
                phones = await kept_phones(self._parts.bus, self.domain)
            except BusUnavailable:
                await asyncio.sleep(BUS_AWAY_S)
                continue
            if phones is None:
                return None
            found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
            for (domain, device), user in phones.items():
                found[domain, user].add(device)
            return found

    async def _keep_phones(self) -> None:
        while True:
            try:
                return await keep_phones(self._parts.bus, self.domain, self._registered)
            except BusUnavailable:
                await asyncio.sleep(BUS_AWAY_S)

    async def _devices_told(self, user: User) -> set[str] | None:
        """Return the devices of a user that are registered as far as the bus knows; None where it knows nothing."""
        while True:
            try:
                last = await self._parts.bus.presence.last(user.domain, user.user)
            except BusUnavailable:
                await asyncio.sleep(BUS_AWAY_S)
            else:
                return None if last is None else set(last.presence.devices)

    async def _devices(self, domain: str, user: str) -> tuple[str, ...]:
        devices = await self._parts.store.devices_of(domain, user)
        return tuple(sorted(one.device for one in devices if (domain, one.device) in self._registered))

    # --- users ---

    async def _user(self, domain: str, user: str) -> _Known:
        """Return a user as the bus has it, calls as they are where we read."""
        place = (domain, user)
        if place not in self._users:
            last = await self._parts.bus.presence.last(domain, user)
            if last is None:
                devices = await self._devices(domain, user)
                known = _Known(UserPresence(domain, user, devices=devices, node=self._parts.node), 0)
            else:
                known = _Known(last.presence, last.position)
            calls = await self._calls_of(known.presence)
            self._users[place] = _Known(msgspec.structs.replace(known.presence, calls=calls), known.position)
            if len(self._users) > MOST_USERS:
                self._users.popitem(last=False)
        self._users.move_to_end(place)
        return self._users[place]

    async def _calls_of(self, one: UserPresence) -> dict[str, Presence]:
        """Return a user's calls and the presence in each, by the messages that were read."""
        page = await self._parts.store.active_calls(domain=one.domain, user=one.user, limit=MOST_ACTIVE)
        found: dict[str, Presence] = {}
        for call_id in one.calls.keys() | {call.call_id for call in page.calls}:
            call: Call | None = None
            for message in await self._parts.bus.read_call(DomainName(one.domain), CallId(call_id)):
                if one.has(message.sequence) or message.sequence <= self._read_up_to(message.sequence):
                    call = fold(call, message.events, message.sequence)
            if call is not None and (presence := presence_in(call).get(one.user)) is not None:
                found[call_id] = presence
        return found

    def _read_up_to(self, position: int) -> int:
        return self._positions[position % len(self._positions)]

    async def _put(self, known: _Known, after: UserPresence) -> bool:
        """Store a change; False: somebody else has, and the user has to be looked at again."""
        place = (after.domain, after.user)
        after = msgspec.structs.replace(after, node=self._parts.node)
        try:
            position = await self._parts.bus.presence.put(after, after=known.position)
        except Conflict:
            self._users.pop(place, None)
            return False
        self._users[place] = _Known(after, position)
        return True


def _at(message: CallMessage) -> float:
    """Return when a message was written, by the clock of its writer; 0 where it does not say."""
    return max((getattr(event, "at", 0.0) for event in message.events), default=0.0)
