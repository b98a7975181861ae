"""The composition root: builds every part in the order in which they need each other, and ends them in reverse.

`running` is a node from start to stop; `serve` runs one until a signal. Nothing else in the program builds adapters.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import structlog

from ringbridge import interpreter
from ringbridge.adapters.connections.keeper import ConnectionKeeper
from ringbridge.adapters.data_folder import FolderTaken, locked, node_id, write_secret
from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.server import NatsServer, ServerFailed, ServerSettings
from ringbridge.adapters.nats.streams import UnfitBus
from ringbridge.adapters.recordings.folder import RecordingFolder
from ringbridge.adapters.relay.child import RelayChild
from ringbridge.adapters.relay.rtpproxy import EXTERNAL, Relay, RelayAddress, RelayUnavailable
from ringbridge.adapters.replica.replica import COMMIT_PAUSE_S, Replica
from ringbridge.adapters.sip.engine import SipEngine
from ringbridge.adapters.sip.front import SipFront
from ringbridge.adapters.sip.node import SipNode
from ringbridge.adapters.sip.node_settings import settings_of
from ringbridge.adapters.sip.recording import Recorder
from ringbridge.adapters.sip.registrar import SipRegistrar
from ringbridge.adapters.store.engine import StoreTooNew, sqlite_url
from ringbridge.adapters.store.store import SqlStore
from ringbridge.adapters.webhooks.desk import WebhookDesk
from ringbridge.adapters.webhooks.parts import CourierParts, Places
from ringbridge.adapters.webhooks.post import Poster, PostSettings
from ringbridge.adapters.webhooks.webhooks import Webhooks
from ringbridge.api.app import create_app
from ringbridge.api.parts import ApiParts, Readiness
from ringbridge.calls.control import Control
from ringbridge.calls.directory.audit import acting
from ringbridge.calls.directory.provision import Provision
from ringbridge.calls.directory.writes import DirectoryWrites
from ringbridge.calls.events.live import LiveEvents
from ringbridge.calls.events.subscriptions import Subscriptions
from ringbridge.calls.figures import EngineFigures
from ringbridge.calls.owner import Owner
from ringbridge.calls.place import Placer
from ringbridge.config import (
    Config,
    ConfigError,
    Durability,
    Role,
)
from ringbridge.main_http import (
    accounts_of,
    api_settings,
    engine_figures,
    exchange_store,
    health_server,
    http_servers,
    place_settings,
    readiness_of,
)
from ringbridge.main_media import media_host, own_relay, recording_keeper
from ringbridge.model.audit import Actor
from ringbridge.model.directory import ApiKey
from ringbridge.model.errors import BusUnavailable, StoreUnavailable
from ringbridge.model.ids import NodeId, SessionId
from ringbridge.model.keys import ALPHABET, RANDOM_LENGTH, SUPER_USER, hash_of, key_id_of, make_key

log = structlog.get_logger()

CATCH_UP_S = 300.0
"""How long a start may take to bring the replica up to the bus: a million users take minutes from nothing."""
UNREAD_PAUSE_S = 0.25
"""How old the local copy of a node without API may be: nobody reads calls there, and a call whose start is one row
costs it less than one whose start is three. What somebody waits for, as a registration, is still written at once."""
RELAY_ASKED_S = 10.0
"""How often an external relay is asked whether it is there; our own is watched as a process."""
ADMIN_KEY_FILE = "admin.key"
RINGBACK = "us"

_MENDABLE = (BusUnavailable, FolderTaken, RelayUnavailable, ServerFailed, StoreTooNew, StoreUnavailable, UnfitBus)
"""What keeps a node from starting, and people can mend."""


class NodeRefused(Exception):
    """The node cannot start; the message says what to change."""


class SystemClock:
    """Wall time."""

    def now(self) -> float:
        return time.time()


class RandomIds:
    """Names that nobody can guess."""

    def session_id(self) -> SessionId:
        return SessionId(secrets.token_hex(16))


def random_part() -> str:
    """Return the unpredictable part of a new API key."""
    return "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))


@dataclass(slots=True)
class Node:
    """A node that runs. `http_url` is None without the API role, the SIP address without the engine role.

    `http_url` is that of HTTPS where HTTP is not served.
    """

    config: Config
    id: NodeId
    http_url: str | None = None
    https_url: str | None = None
    health_url: str | None = None
    sip_host: str | None = None
    sip_port: int | None = None
    admin_key_file: Path | None = None
    bus_url: str = ""
    relay_pid: int | None = None
    nats_pid: int | None = None


async def serve(config: Config, *, ready: Callable[[Node], None] | None = None) -> None:
    """Run a node until SIGINT or SIGTERM; `ready` is called once it takes calls.

    Raises:
        NodeRefused: it cannot start.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with running(config) as node:
        if ready is not None:
            ready(node)
        await stopping.wait()


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[Node]:
    """Run a node for as long as the context lasts.

    Raises:
        NodeRefused: it cannot start.
    """
    async with AsyncExitStack() as stack:
        data_dir = config.node.data_dir
        with _refusing():
            stack.enter_context(locked(data_dir))
        node = Node(config, NodeId(config.node.id) if config.node.id else node_id(data_dir))
        roles = config.node.roles
        if roles == {Role.RELAY}:
            with _refusing():
                child = await own_relay(config, stack)
            log.info("relay_ready", control=child.relay.address.control, pid=child.pid)
            yield node
            return
        with _refusing():
            await _Builder(config, node, stack).build()
        interpreter.settle_down()
        log.info("node_ready", node=node.id, http=node.http_url, sip=f"{node.sip_host}:{node.sip_port}")
        yield node


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Turn what keeps a node from starting, and people can mend, into one refusal that says it."""
    try:
        yield
    except (*_MENDABLE, ConfigError, OSError) as fault:
        raise NodeRefused(str(fault)) from fault


class _Builder:
    """Builds one node into an exit stack."""

    def __init__(self, config: Config, node: Node, stack: AsyncExitStack) -> None:
        self._config = config
        self._node = node
        self._stack = stack
        self._clock = SystemClock()
        self._child: RelayChild | None = None
        self._relay_client: Relay | None = None
        self._figures: Callable[[], EngineFigures] | None = None

    async def build(self) -> None:
        config, stack = self._config, self._stack
        bus = await self._bus()
        store = SqlStore.open_url(config.store.url or sqlite_url(config.store_path), self._clock)
        stack.push_async_callback(store.close)
        pause_s = COMMIT_PAUSE_S if Role.API in config.node.roles else UNREAD_PAUSE_S
        kept_s = (config.store.cdrs_kept_days or math.inf) * 86_400.0
        replica = Replica(
            bus.feed,
            store,
            clock=self._clock,
            commit_pause_s=pause_s,
            cdrs_kept_s=kept_s,
            read=bus.recent.read,
        )
        await replica.start()
        await stack.enter_async_context(_task(replica.run(), "replica"))
        if not await replica.caught_up(timeout_s=CATCH_UP_S):
            raise NodeRefused(f"the local copy did not catch up with the bus within {CATCH_UP_S:g} s")
        if Role.ENGINE in config.node.roles:
            await self._engine(bus, store, replica)
            if Role.API not in config.node.roles and config.health.port is not None:
                await self._health(bus, replica)
        if Role.API in config.node.roles:
            await self._admin_key(bus, store, replica)
            await self._api(bus, store, replica)

    async def _bus(self) -> NatsBus:
        config, url = self._config, self._config.bus.url
        if url is None:
            server = NatsServer(ServerSettings(config.node.data_dir / "bus", program=config.bus.nats_server))
            url = await server.start()
            self._stack.push_async_callback(server.stop)
            self._node.nats_pid = server.pid
        self._node.bus_url = url
        servers = tuple(part.strip() for part in url.split(","))
        replicas = config.bus.replicas or (1 if config.bus.url is None else min(3, len(servers)))
        settings = BusSettings(
            servers=servers,
            name=self._node.id,
            replicas=replicas,
            relaxed=config.bus.durability is Durability.RELAXED,
            connect_deadline_s=config.bus.connect_deadline_s,
            publish_deadline_s=config.bus.publish_deadline_s,
            audit_kept_s=config.bus.audit_kept_s,
        )
        return await self._stack.enter_async_context(NatsBus(settings))

    async def _engine(self, bus: NatsBus, store: SqlStore, replica: Replica) -> None:
        config, node = self._config, self._node
        relay = self._relay_client = await self._relay()
        front = SipFront()
        sip = SipNode(settings_of(config.sip), on_event=front.take)
        await sip.start()
        self._stack.push_async_callback(sip.stop)
        recordings = recording_keeper(config, store)
        recorder = Recorder(relay, has_room=lambda: recordings.has_room, on_over=recordings.poke)
        engine = SipEngine(name=node.id, node=sip, relay=relay, directory=store, ringback=RINGBACK, recorder=recorder)
        registrar = SipRegistrar(
            config=config.sip, node=sip, bus=bus, directory=store, replica=replica, clock=self._clock, node_id=node.id
        )
        keeper = ConnectionKeeper(node=sip, node_id=node.id, bus=bus, store=store, replica=replica, clock=self._clock)
        front.open(node=sip, engine=engine, registrar=registrar, keeper=keeper)
        await self._stack.enter_async_context(_task(keeper.run(), "connections"))
        relay.on_restart(engine.media_lost)
        if self._child is not None:
            self._child.on_restart(lambda restarted: engine.media_lost(restarted.lost_instance))
        owner = Owner(node=node.id, bus=bus, store=store, engine=engine, clock=self._clock)
        await owner.start()
        if config.relay.address is None:
            await self._stack.enter_async_context(_task(recordings.run(engine), "recordings"))
        self._stack.push_async_callback(owner.stop)
        self._figures = lambda: engine_figures(owner, sip.endpoint)
        node.sip_host, node.sip_port = sip.host, sip.port

    async def _relay(self) -> Relay:
        config = self._config.relay
        if config.address is None:
            self._child = await own_relay(self._config, self._stack)
            self._node.relay_pid = self._child.pid
            return self._child.relay
        host = media_host(config, self._config.sip)
        address = RelayAddress(config.address, host, prompts=config.prompts, instance=EXTERNAL)
        relay = await Relay.connect(address, deadline_s=config.command_deadline_s)
        self._stack.callback(relay.close_client)
        await relay.ping()
        await self._stack.enter_async_context(_task(relay.watch(RELAY_ASKED_S), "relay-watch"))
        return relay

    async def _admin_key(self, bus: NatsBus, store: SqlStore, replica: Replica) -> None:
        """Make the first super-user key, once; its file is the only place that has it."""
        file = self._config.node.data_dir / ADMIN_KEY_FILE
        self._node.admin_key_file = file
        if file.exists() or (self._config.bus.url is not None and await store.records("apikey")):
            return
        key = make_key(SUPER_USER, random_part())
        record = ApiKey(
            key_id=key_id_of(key),
            key_sha256=hash_of(key),
            description="first super-user key",
            user_scope="Super User",
            can_create_keys="yes",
            created_at=self._clock.now(),
        )
        with acting(Actor(key_id="system", operation="first start"), self._clock):
            sequence = await bus.put_record(record, only_new=True)
        write_secret(file, key)
        await replica.wait_directory(sequence, timeout_s=CATCH_UP_S)

    async def _api(self, bus: NatsBus, store: SqlStore, replica: Replica) -> None:
        config, node = self._config, self._node
        placer = Placer(
            bus=bus,
            store=store,
            clock=self._clock,
            ids=RandomIds(),
            node=node.id,
            settings=place_settings(config.calls),
        )
        accounts = accounts_of(config.access, store=store, bus=bus, clock=self._clock, random_part=random_part)
        self._stack.callback(accounts.passwords.close)
        await self._stack.enter_async_context(_task(accounts.uses.run(), "key-uses"))
        live = LiveEvents(replica)
        live.start()
        exchanges = exchange_store(config, node=node.id, clock=self._clock)
        if exchanges is not None:
            self._stack.push_async_callback(exchanges.close)
        parts = ApiParts(
            accounts=accounts,
            exchanges=exchanges,
            store=store,
            bus=bus,
            replica=replica,
            placer=placer,
            control=Control(bus=bus, clock=self._clock),
            provision=Provision(bus=bus, store=store, clock=self._clock, random_part=random_part),
            subscriptions=Subscriptions(bus=bus, store=store, clock=self._clock, random_bytes=secrets.token_bytes),
            writes=DirectoryWrites(bus=bus, store=store, replica=replica, clock=self._clock),
            events=await self._events(bus, store, replica),
            live=live,
            recordings=RecordingFolder(config.recordings_folder),
            clock=self._clock,
            readiness=lambda: self._readiness(bus, replica),
            engine=self._figures,
            settings=api_settings(config),
        )
        for server in http_servers(config, create_app(parts)):
            await server.start()
            self._stack.push_async_callback(server.stop)
            node.http_url = server.url
            node.https_url = server.url if server.url.startswith("https:") else node.https_url
        self._stack.callback(live.close)  # before the servers stop: clients hear why, and come back elsewhere

    async def _events(self, bus: NatsBus, store: SqlStore, replica: Replica) -> WebhookDesk:
        """Deliver events to subscribers from this node, and return what the API shows of that."""
        config = self._config.webhooks
        allowed = tuple(ip_network(text, strict=False) for text in config.allowed_networks)
        poster = Poster(PostSettings(timeout_s=config.timeout_s, allowed=allowed), self._clock)
        self._stack.callback(poster.close)
        parts = CourierParts(
            bus=bus, directory=store, poster=poster, clock=self._clock, places=Places(), node=self._node.id
        )
        webhooks = Webhooks(parts, bus=bus, store=store, replica=replica)
        await self._stack.enter_async_context(_task(webhooks.run(), "webhooks"))
        return WebhookDesk(parts, webhooks.courier, couriers=lambda: webhooks.couriers)

    async def _health(self, bus: NatsBus, replica: Replica) -> None:
        """Say over HTTP how this node is, where no API does."""
        server = health_server(self._config.health, lambda: self._readiness(bus, replica), self._figures)
        await server.start()
        self._stack.push_async_callback(server.stop)
        self._node.health_url = server.url

    def _readiness(self, bus: NatsBus, replica: Replica) -> Readiness:
        durability = self._config.bus.durability
        return readiness_of(self._node.id, bus, replica, relay=self._relay_client, durability=durability)


@contextlib.asynccontextmanager
async def _task(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
