"""What the brain needs from the world, as Protocols. Adapters implement them; `main` alone builds adapters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.history import History
from ringbridge.model.call import Call, Leg, Side
from ringbridge.model.directory import (
    Location,
    Record,
)
from ringbridge.model.events import CallerId, CallEvent, CallRequested, Flow, Target
from ringbridge.model.ids import CallId, DomainName, LegId, NodeId, SessionId
from ringbridge.model.release import ReleaseCause


class Clock(Protocol):
    """Wall time in epoch seconds, for events and timers alike; virtual in tests."""

    def now(self) -> float: ...


class Ids(Protocol):
    """The only source of unpredictable names."""

    def session_id(self) -> SessionId: ...


# --- the bus ---------------------------------------------------------------------------------------------------------


class StoredCallMessage(msgspec.Struct, frozen=True):
    """One message of a call as the bus holds it: events and the stream sequence they were stored at."""

    events: list[CallEvent]
    sequence: int


class StoredRecord(msgspec.Struct, frozen=True):
    """A directory record as the bus holds it, and its revision: what a write must expect as the last."""

    record: Record
    revision: int


class Claimable(Protocol):
    """A requested call that the bus offers to this engine; exactly one of the methods is called, once."""

    @property
    def requested(self) -> CallRequested: ...
    @property
    def sequence(self) -> int:
        """Stream sequence of the request: what the claim must expect as the last."""
        ...

    def done(self) -> None:
        """Claimed, or somebody else has it: never offer it again."""
        ...

    def again(self, after_s: float) -> None:
        """Not now: offer it to any engine after `after_s` seconds."""
        ...


CommandHandler: TypeAlias = Callable[[bytes], Awaitable[bytes]]


class Bus(Protocol):
    """The JetStream bus. A method that returns has stored durably; one that raises has stored nothing that counts.

    Raises everywhere: `model.errors.BusUnavailable` when the bus cannot store within the configured deadline.
    """

    @property
    def is_up(self) -> bool:
        """Whether writes can be expected to work now."""
        ...

    async def create_call(self, domain: DomainName, call_id: CallId, events: Sequence[CallEvent]) -> int:
        """Store the first message of a call and return its stream sequence.

        Raises:
            Conflict: the call's subject tree is not empty.
        """
        ...

    async def append_call(
        self, domain: DomainName, call_id: CallId, events: Sequence[CallEvent], *, after: int, requested: bool = False
    ) -> int:
        """Store the next message of a call, if `after` is the sequence of its last one; return the new sequence.

        `requested` puts it on the subject that engines claim from: a POST after a bar has run out.

        Raises:
            Conflict: something else is the last.
        """
        ...

    async def call_positions(self) -> tuple[int, ...]:
        """Return the position of the last message in each stream of calls, from the bus itself."""
        ...

    async def presence_position(self) -> int:
        """Return the position of the last change of anybody's presence."""
        ...

    async def read_call(self, domain: DomainName, call_id: CallId) -> list[StoredCallMessage]:
        """Return all messages of a call from the bus itself, oldest first; empty when there is none."""
        ...

    async def claims(self, handler: Callable[[Claimable], Awaitable[None]], *, at_most: int) -> None:
        """Run until cancelled: hand each requested call to `handler`, at most `at_most` at a time."""
        ...

    async def serve_commands(self, node: NodeId, handler: CommandHandler) -> None:
        """Answer commands that other nodes send to `node`, until the bus is closed."""
        ...

    async def command(self, node: NodeId, payload: bytes, *, timeout_s: float) -> bytes:
        """Send `payload` to the owner `node` and return its answer.

        Raises:
            NodeAway: nobody answers for `node` in time.
        """
        ...

    async def put_record(self, record: Record, *, only_new: bool = False, revision: int | None = None) -> int:
        """Store a directory record and return the bucket's stream sequence.

        Raises:
            Conflict: `only_new` and it is there, or `revision` is no longer its last.
        """
        ...

    async def read_record(self, kind: str, key: tuple[str, ...]) -> StoredRecord | None:
        """Return a directory record from the bus itself; None where there is none, or it was deleted."""
        ...

    async def delete_record(self, kind: str, key: tuple[str, ...], *, revision: int | None = None) -> int:
        """Delete a directory record and return the bucket's stream sequence.

        Raises:
            Conflict: `revision` is no longer its last.
        """
        ...

    async def put_location(self, location: Location, *, ttl_s: int) -> int: ...

    async def delete_location(self, domain: str, device: str, contact: str) -> int: ...

    async def read_locations(self, domain: str, device: str) -> list[Location]:
        """Return the locations of a device from the bus itself, in no order."""


class NodeAway(Exception):
    """The node that owns a call does not answer now."""


# --- the store: this node's replica ----------------------------------------------------------------------------------


class CallPage(msgspec.Struct, frozen=True):
    """Part of a list: `calls` oldest first, and the `total` there are."""

    calls: list[Call]
    total: int


class Store(Directory, History, Protocol):
    """Everything that is read, from the local replica alone; it goes on while the bus is away."""

    async def call(self, domain: DomainName, name: str) -> Call | None:
        """Return a call by the application's call-id, else its session id, else a leg's SIP Call-ID (contract §3)."""
        ...

    async def stored_call(self, domain: DomainName, call_id: CallId) -> Call | None:
        """Return a call by the application's call-id alone: one look-up, where `call` needs three to say no."""
        ...

    async def active_calls(
        self,
        *,
        domain: str | None = None,
        user: str | None = None,
        since: float = 0.0,
        start: int = 1,
        limit: int = 100,
    ) -> CallPage:
        """Return active calls of all, a domain, or a user who made or is in them; requested at `since` or later."""
        ...

    async def active_calls_of(
        self, domains: Sequence[str] | None, *, since: float = 0.0, start: int = 1, limit: int = 100
    ) -> CallPage:
        """Return the active calls of several domains, or (None) of all; `limit` 0 counts them alone."""
        ...

    async def count_active(self, *, domain: str | None = None, user: str | None = None, since: float = 0.0) -> int: ...

    async def active_by_user(self, domain: str) -> dict[str, int]:
        """Return how many calls each user of a domain has, made or with a phone of theirs; only those who have any."""
        ...

    async def owned_calls(self, node: NodeId) -> list[Call]:
        """Return the calls that are not over and that `node` owns."""
        ...


class Replica(Protocol):
    """The loop that keeps the store up to date with the bus."""

    @property
    def fault(self) -> str:
        """Why the store cannot be written now; empty when it can. Until then it tells what was, not what is."""
        ...

    async def wait_calls(self, sequence: int, *, timeout_s: float) -> bool:
        """Return whether the store has applied the CALLS stream up to `sequence` within `timeout_s`."""
        ...

    async def wait_directory(self, sequence: int, *, timeout_s: float) -> bool: ...

    def follow_calls(self, listener: Callable[[Call], None]) -> Callable[[], None]:
        """Call `listener` with each call as it is after every applied batch; returns how to stop that."""
        ...


# --- the call engine -------------------------------------------------------------------------------------------------


class LegOrder(msgspec.Struct, frozen=True):
    """One leg to prepare: whom to ring, and what it shows."""

    session_id: SessionId
    leg_id: LegId
    target: Target
    caller_id: CallerId
    domain: DomainName
    auto_answer: bool = False
    added_header: tuple[str, str] | None = None
    transfer: int = 0
    """Which transfer of the call it is of; 0: it is of the call as it was requested."""
    learn: tuple[Side, ...] = ()
    """Sides of the whole call whose media address is learned from packets (`Target.nat`)."""
    pcmu_only: bool = False
    """Whether anybody in the whole call takes PCMU alone (`Target.pcmu_only`), so that nobody is offered another."""


class PreparedLeg(msgspec.Struct, frozen=True):
    """A leg whose INVITE is fixed to the byte and has not left."""

    leg_id: LegId
    target: Target
    sip_call_id: str
    dialog: bytes


class Ringing(msgspec.Struct, frozen=True):
    """The phone rings; `early_media` when its own ringback or announcement is on the way."""

    leg_id: LegId
    early_media: bool


class Answered(msgspec.Struct, frozen=True):
    """`dialog` is the leg's new state; the ACK is due at `acked_at`, epoch seconds."""

    leg_id: LegId
    dialog: bytes
    codec: str
    acked_at: float
    remote_media: str = ""


class Updated(msgspec.Struct, frozen=True):
    """The answered leg changed; `held` when its party put us on hold."""

    leg_id: LegId
    dialog: bytes
    held: bool


class Arranged(msgspec.Struct, frozen=True):
    """What an answered leg said to the `flow` that it was offered: `cause` is None when it took it."""

    leg_id: LegId
    flow: Flow
    dialog: bytes
    held: bool
    cause: ReleaseCause | None = None


class Refused(msgspec.Struct, frozen=True):
    """The INVITE ended without an answer: a final response, a timeout, or our own cancelling."""

    leg_id: LegId
    cause: ReleaseCause


class HungUp(msgspec.Struct, frozen=True):
    """An answered leg is over, not by us: the party's BYE, or the dialog died."""

    leg_id: LegId
    cause: ReleaseCause


class MediaLost(msgspec.Struct, frozen=True):
    """The relay lost this call's media; it cannot be had back."""

    cause: ReleaseCause


LegSignal: TypeAlias = Ringing | Answered | Updated | Arranged | Refused | HungUp | MediaLost
SignalHandler: TypeAlias = Callable[[SessionId, LegSignal], None]


class CallEngine(Protocol):
    """Legs, whatever carries them: SIP here; FreeSWITCH or Asterisk would be another adapter.

    Signals come through the handler given to `listen`, on the event loop, in the order in which things happened.
    """

    def listen(self, handler: SignalHandler) -> None: ...

    async def prepare(self, orders: Sequence[LegOrder]) -> list[PreparedLeg]:
        """Fix the INVITEs of one side of one call and take a media session; nothing leaves yet.

        All orders are of one session and one side. A leg is offered the codecs that the answered leg of the other side
        took, if there is one.

        Raises:
            CallError: no leg can be prepared (the relay is away, an address does not resolve).
        """
        ...

    async def take_over(self, order: LegOrder, dialog: bytes, *, giver: SessionId) -> PreparedLeg:
        """Prepare a leg that is up in another call, `giver`, here or on another node: `dialog` is its state there.

        It is the other call's until `invite` makes it this one's, by a new offer in its dialog. What it says to that is
        told as of a leg that was dialled: `Answered`, or `Refused`, which ends it.

        Raises:
            CallError: it cannot be prepared.
        """
        ...

    def dialog(self, session_id: SessionId, leg_id: LegId) -> bytes:
        """Return the state of an answered leg as it is now; empty when it is over."""
        ...

    def let_go(self, session_id: SessionId, leg_id: LegId) -> None:
        """Forget a leg, which another call has taken over: nothing is said to its phone."""
        ...

    def invite(self, session_id: SessionId, leg_id: LegId) -> None:
        """Send a prepared leg's INVITE; or its new offer, if it was taken over."""
        ...

    def acknowledge(self, session_id: SessionId, leg_id: LegId) -> None:
        """Confirm an answer to the phone, now that it is stored; a phone repeats its answer until then."""
        ...

    def release(self, session_id: SessionId, leg_id: LegId, cause: ReleaseCause) -> None:
        """End a leg however it stands: drop what is only prepared, CANCEL before the answer, BYE after it.

        Before the answer a `Refused` signal follows unless it was only prepared; after it none does.
        """
        ...

    def ringback(self, session_id: SessionId, side: Side, *, on: bool) -> None:
        """Let the answered leg of a side hear ringback from the relay, or stop it."""
        ...

    def attach(self, session_id: SessionId, leg_id: LegId) -> None:
        """Let an answered leg be the one that its side hears and speaks with: after a transfer, or one that failed.

        Of several answered legs of a side the first is attached by itself.
        """
        ...

    def arrange(self, session_id: SessionId, leg_id: LegId, flow: Flow) -> None:
        """Offer an answered leg another flow of audio (hold, unhold); an `Arranged` signal follows.

        Whoever is on hold hears music from the relay. Two offers that cross are tried again.
        """
        ...

    async def restore(self, session_id: SessionId, domain: DomainName, legs: Sequence[Leg]) -> None:
        """Take a call's legs up again from their `dialog`, as after a restart. No INVITE is sent again."""
        ...

    async def close(self, session_id: SessionId) -> None:
        """Give the call's media session back and forget the call; its legs are over."""
        ...
