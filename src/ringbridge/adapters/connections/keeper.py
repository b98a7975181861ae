"""Which engine node keeps watch of which connection or has it registered, and where what it finds is written down.

Every engine node beats on the bus while there is anything to keep. All see the same nodes alive and so choose the same
one for a connection (`webhooks.sharing.chosen`). It takes the connection once its holder has let go of it or is dead,
by a compare-and-set on the connection's state: a record of the directory (`model.connection_states`), so every node
knows it from its own copy. Two that think they are the one cannot both write it, and the one that loses lets go.

A node that the bus is away from goes on with what it has, and writes what it found when the bus is back. So of two
nodes that cannot see each other both may have a connection registered for a while, each at its own address; the one
that is not the chosen one takes its binding back when they meet. What a dead node had registered runs out.
Where no connection asks for anything, nothing is written and nothing sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from ringbridge.adapters.connections.registration import Registrations, register_order
from ringbridge.adapters.connections.watch import Questions, watch
from ringbridge.adapters.node_beats import BeatBus, NodeBeats
from ringbridge.adapters.rounds import go_rounds
from ringbridge.adapters.sip.node import SipNode
from ringbridge.adapters.store.batch import RecordChange
from ringbridge.adapters.webhooks.sharing import chosen
from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.found import is_registered, is_watched, state_address
from ringbridge.calls.ports import Bus, Clock
from ringbridge.model.connection_states import CONNECTION_STATE, ConnectionState, Health, Registered
from ringbridge.model.directory import Connection, Key
from ringbridge.model.errors import BusUnavailable, Conflict
from ringbridge.model.ids import NodeId
from ringbridge.sip.registration import Registration
from ringbridge.sip.session_events import RegistrationResult, RequestResult

log = structlog.get_logger(__name__)

TICK_S = 2.0
DEAD_AFTER_S = 8.0
STOP_S = 2.0
"""What letting go may take when the node stops; the rest is taken over as if the node had died."""
KINDS = frozenset({"connection", CONNECTION_STATE})


class KeeperBus(Bus, BeatBus, Protocol):
    """The bus as the keeper uses it."""


class Following(Protocol):
    """The replica as the keeper follows it."""

    def follow_records(self, listener: Callable[[RecordChange], None]) -> Callable[[], None]: ...


class _Held:
    """A connection that this node keeps; what is found of it is written when `state` is no longer `written`."""

    def __init__(self, connection: Connection, state: ConnectionState, revision: int) -> None:
        self.connection = connection
        self.state = state
        self.written = state
        self.revision = revision
        self.task: asyncio.Task[None] | None = None
        self.registration: Registration | None = None


class ConnectionKeeper:
    """One engine node's part in keeping connections: `run` it as a task, and give it what SIP brings."""

    def __init__(
        self,
        *,
        node: SipNode,
        node_id: NodeId,
        bus: KeeperBus,
        store: Directory,
        replica: Following,
        clock: Clock,
    ) -> None:
        self._node_id = node_id
        self._bus = bus
        self._directory = store
        self._replica = replica
        self._clock = clock
        self._questions = Questions(node)
        self._registrations = Registrations(node)
        self._beats = NodeBeats(bus, "engine", node_id, dead_after_s=DEAD_AFTER_S)
        self._held: dict[Key, _Held] = {}
        self._wanted: dict[Key, Connection] = {}
        self._states: dict[Key, ConnectionState] = {}
        self._changed = True
        self._wake = asyncio.Event()

    @property
    def held(self) -> frozenset[Key]:
        """The connections that this node keeps now."""
        return frozenset(self._held)

    def take(self, event: RequestResult | RegistrationResult) -> bool:
        """Take what SIP brings; false: it is about no connection that is kept here."""
        if isinstance(event, RegistrationResult):
            return self._registrations.take(event)
        return self._questions.take(event)

    async def run(self) -> None:
        """Keep until cancelled, then let go of everything."""
        stop = self._replica.follow_records(self._on_record)
        try:
            await go_rounds("connections", self._tick, self._wake, every_s=TICK_S)
        finally:
            stop()
            await self._let_go()

    def _on_record(self, change: RecordChange) -> None:
        if change.kind in KINDS:
            self._changed = True
            if change.kind != CONNECTION_STATE:
                self._wake.set()

    # --- who keeps ---

    async def _tick(self) -> None:
        await self._look()
        await self._stop_unwanted()
        if not self._wanted and not self._states:
            return
        nodes = await self._beats.alive()
        for key in self._states.keys() - self._wanted.keys():
            if self._is_mine(key, nodes):
                await self._bus.delete_record(CONNECTION_STATE, key)
        leaving = [held for key, held in self._held.items() if not self._is_mine(key, nodes)]
        await asyncio.gather(*map(self._release, leaving))
        for key, connection in self._wanted.items():
            if self._is_mine(key, nodes):
                held = self._held.get(key)
                await (self._take(key, connection, nodes) if held is None else self._write(held))

    def _is_mine(self, key: Key, nodes: frozenset[str]) -> bool:
        return chosen(f"connection {'/'.join(key)}", nodes) == self._node_id

    async def _look(self) -> None:
        """Read what there is to keep, if that has changed."""
        if not self._changed:
            return
        self._changed = False
        connections = await self._directory.records("connection")
        self._wanted = {one.key: one for one in connections if isinstance(one, Connection) and _is_kept(one)}
        states = await self._directory.records(CONNECTION_STATE)
        self._states = {one.key: one for one in states if isinstance(one, ConnectionState)}
        for key, held in list(self._held.items()):
            state = self._states.get(key)
            if state is None or state.node == self._node_id:
                continue
            stored = await self._bus.read_record(CONNECTION_STATE, key)  # the copy may be older than what we wrote
            if stored is None or stored.revision != held.revision:
                del self._held[key]
                await self._end(held)

    async def _stop_unwanted(self) -> None:
        """End what is kept of connections that are gone, or were changed: those are taken anew."""
        ending: list[_Held] = []
        for key, held in list(self._held.items()):
            now = self._wanted.get(key)
            if now is None or _what_is_kept(now) != _what_is_kept(held.connection):
                ending.append(self._held.pop(key))
        await asyncio.gather(*map(self._end, ending))

    async def _take(self, key: Key, connection: Connection, nodes: frozenset[str]) -> None:
        """Begin to keep a connection, unless another node does still."""
        stored = await self._bus.read_record(CONNECTION_STATE, key)
        state = stored.record if stored is not None else None
        if isinstance(state, ConnectionState) and state.node not in ("", self._node_id) and state.node in nodes:
            return
        state = _begun(connection, state if isinstance(state, ConnectionState) else None, self._node_id)
        try:
            revision = await self._bus.put_record(
                state, only_new=stored is None, revision=None if stored is None else stored.revision
            )
        except Conflict:
            self._wake.set()
            return
        log.info("connection_taken", domain=connection.domain, connection=key[1])
        held = self._held[key] = _Held(connection, state, revision)
        if is_watched(connection):
            held.task = asyncio.create_task(self._keep(held), name=f"connection-{'/'.join(key)}")
        if is_registered(connection):
            held.registration = self._registrations.begin(connection, lambda event: self._registered(held, event))

    async def _end(self, held: _Held) -> None:
        """Stop asking, and take back what is registered."""
        if held.task is not None:
            held.task.cancel()
            await asyncio.gather(held.task, return_exceptions=True)
        if held.registration is not None:
            await self._registrations.end(held.registration)

    async def _keep(self, held: _Held) -> None:
        def found(health: Health, reason: str) -> None:
            self._found(held, health, reason)

        try:
            await watch(held.connection, self._questions, found)
        except Exception:
            # The one guard of this task: a bug leaves one connection unwatched, and its health unknown.
            log.exception("connection_watch_failed_by_a_bug", connection=held.connection.key)
            self._found(held, Health.UNKNOWN, "")

    # --- what is found ---

    def _found(self, held: _Held, health: Health, reason: str) -> None:
        before = held.state
        if (health, reason) == (before.health, before.health_reason):
            return
        at = before.health_at if health is before.health else self._clock.now()
        held.state = msgspec.structs.replace(before, health=health, health_reason=reason, health_at=at)
        if health is not before.health:
            tell = log.warning if health is Health.DOWN else log.info
            tell("connection_health", connection=before.connection, domain=before.domain, health=health, reason=reason)
        self._wake.set()

    def _registered(self, held: _Held, event: RegistrationResult) -> None:
        now, before = self._clock.now(), held.state
        is_there = event.expires_s > 0
        held.state = msgspec.structs.replace(
            before,
            registration=Registered.YES if is_there else Registered.NO,
            registration_reason=f"{event.status} {event.reason}".rstrip(),
            registered_at=now if is_there else before.registered_at,
            registration_expires_at=now + event.expires_s if is_there else 0.0,
        )
        if held.state.registration is not before.registration or not is_there:
            tell = log.info if is_there else log.warning
            tell(
                "connection_registration",
                connection=before.connection,
                domain=before.domain,
                state=held.state.registration,
                reason=held.state.registration_reason,
            )
        self._wake.set()

    async def _write(self, held: _Held) -> None:
        """Store what was found since the last time; whoever finds somebody else's word there lets go."""
        state = held.state
        if state == held.written:
            return
        try:
            held.revision = await self._bus.put_record(state, revision=held.revision)
        except Conflict:
            del self._held[state.key]
            await self._end(held)
            return
        held.written = state

    async def _release(self, held: _Held) -> None:
        """Stop keeping a connection, and say so: another node is to take it."""
        del self._held[held.state.key]
        await self._end(held)
        state = _left(held.state)
        try:
            await self._bus.put_record(state, revision=held.revision)
        except Conflict:
            return

    async def _let_go(self) -> None:
        held = list(self._held.values())
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(*map(self._release, held), return_exceptions=True)
                if self._wanted:
                    await self._beats.stop()
        except (TimeoutError, BusUnavailable):
            log.info("connections_not_released")


def _is_kept(connection: Connection) -> bool:
    return is_watched(connection) or is_registered(connection)


def _what_is_kept(connection: Connection) -> tuple[object, ...]:
    """Return all of a connection that keeping it goes by: a change of anything else disturbs nothing."""
    order = register_order(connection) if is_registered(connection) else None
    interval_s = connection.connection_health_check_interval_seconds if is_watched(connection) else None
    return (state_address(connection), interval_s, order)


def _begun(connection: Connection, before: ConnectionState | None, node: str) -> ConnectionState:
    """Return the state of a connection that a node begins to keep; what is known of its health still holds."""
    watched = is_watched(connection)
    is_known = before is not None and before.address == state_address(connection) and watched and before.watched
    state = (
        before
        if before is not None and is_known
        else ConnectionState(domain=connection.domain, connection=connection.connection_orig_match_pattern)
    )
    return msgspec.structs.replace(
        state,
        address=state_address(connection),
        node=node,
        watched=watched,
        registration=Registered.NO if is_registered(connection) else Registered.NOT_WANTED,
        registration_reason="",
        registration_expires_at=0.0,
    )


def _left(state: ConnectionState) -> ConnectionState:
    """Return the state of a connection that its node has let go of."""
    registration = Registered.NO if state.registration is Registered.YES else state.registration
    return msgspec.structs.replace(state, node="", registration=registration, registration_expires_at=0.0)
