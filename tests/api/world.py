"""The API over the in-memory bus and store, with the real replica, placer and control between them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir
from typing import Any, Literal, cast
from uuid import uuid4

import httpcore
import httpx
import msgspec

from ringbridge.adapters.exchanges.store import ExchangeSettings, ExchangeStore
from ringbridge.adapters.memory.bus import MemoryBus, MemoryFeed, MemoryHub
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.subjects import Stream, record_key
from ringbridge.adapters.recordings.folder import RecordingFolder
from ringbridge.adapters.replica.replica import Replica
from ringbridge.adapters.webhooks.desk import WebhookDesk
from ringbridge.adapters.webhooks.parts import CourierParts, Places
from ringbridge.adapters.webhooks.post import Poster, PostSettings
from ringbridge.api.access.rate_limits import RateLimits
from ringbridge.api.app import all_operations, create_app
from ringbridge.api.document.operations import Operation
from ringbridge.api.events.slots import StreamSettings
from ringbridge.api.parts import ApiParts, ApiSettings, Readiness
from ringbridge.calls.access.accounts import make_accounts
from ringbridge.calls.access.passwords import Passwords
from ringbridge.calls.control import Control
from ringbridge.calls.directory.provision import Provision
from ringbridge.calls.directory.writes import DirectoryWrites
from ringbridge.calls.draft import PlaceSettings
from ringbridge.calls.events.live import LiveEvents
from ringbridge.calls.events.subscriptions import Subscriptions
from ringbridge.calls.place import Placer
from ringbridge.model.directory import ApiKey, Device, Domain, Location, PhoneNumber, Record, User, kind_of
from ringbridge.model.ids import NodeId, SessionId
from ringbridge.model.keys import hash_of, key_id_of, make_key, prefix_for

CALLS = "/ns-api/v2/domains/demo/users/1001/calls"
NODE = NodeId("n1")
UNLIMITED = RateLimits(key="off", user="off", domain="off", address="off", unauthenticated="off")

TLS = httpcore.default_ssl_context()
"""One for all worlds: reading the machine's certificates takes 0.1 s."""

SHORT = StreamSettings(life_s=0.02)
"""Event streams that end soon: the clients of these tests read an answer to its end."""


class TestClock:
    """Wall time that tests move."""

    __test__ = False

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time


class CountedIds:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def session_id(self) -> SessionId:
        return SessionId(f"session-{next(self._numbers)}")


class World:
    """One node's API and what it stands on."""

    def __init__(self, settings: ApiSettings | None = None, exchanges: ExchangeSettings | None = None) -> None:
        self.clock = TestClock()
        self.exchanges = None if exchanges is None else ExchangeStore(exchanges, self.clock)
        self.hub = MemoryHub()
        self.bus = MemoryBus(self.hub)
        self.store = MemoryStore(self.clock)
        self.feed = MemoryFeed(self.hub)
        self.replica = Replica(self.feed, self.store, clock=self.clock, commit_pause_s=0.001)
        self.ready = True
        poster = Poster(PostSettings(timeout_s=1.0, allowed=(ip_network("127.0.0.0/8"),)), self.clock, tls=TLS)
        self.desk = WebhookDesk(
            CourierParts(
                bus=self.bus, directory=self.store, poster=poster, clock=self.clock, places=Places(), node=NODE
            ),
            lambda _: None,
        )
        self._key_numbers = itertools.count(1)
        self.passwords = Passwords(memory_kib=64, passes=1)
        self.accounts = make_accounts(
            store=self.store,
            bus=self.bus,
            clock=self.clock,
            random_part=self._random_part,
            passwords=self.passwords,
        )
        self.live = LiveEvents(self.replica)
        self._data = Path(gettempdir()) / f"rb-{uuid4().hex}"  # made when something is recorded
        self.recordings = RecordingFolder(self._data)
        self.parts = ApiParts(
            store=self.store,
            bus=self.bus,
            replica=self.replica,
            placer=Placer(
                bus=self.bus,
                store=self.store,
                clock=self.clock,
                ids=CountedIds(),
                node=NODE,
                settings=PlaceSettings(),
            ),
            control=Control(bus=self.bus, clock=self.clock),
            provision=Provision(store=self.store, bus=self.bus, clock=self.clock, random_part=self._random_part),
            subscriptions=Subscriptions(
                store=self.store, bus=self.bus, clock=self.clock, random_bytes=self._random_bytes
            ),
            accounts=self.accounts,
            writes=DirectoryWrites(store=self.store, bus=self.bus, replica=self.replica, clock=self.clock),
            events=self.desk,
            clock=self.clock,
            readiness=self._readiness,
            exchanges=self.exchanges,
            recordings=self.recordings,
            live=self.live,
            settings=settings or ApiSettings(sync_wait_s=1.0, rate_limits=UNLIMITED, streams=SHORT),
        )
        self.app = create_app(self.parts)
        self.super_key = self.add_key("*", "*", "Super User", can_create_keys="yes")
        self.manager_key = self.add_key("demo", "*", "Office Manager", can_create_keys="yes")
        self.user_key = self.add_key("demo", "1001", "Basic User")
        self.other_user_key = self.add_key("demo", "1002", "Basic User")
        self.foreign_key = self.add_key("other", "1001", "Basic User")
        self.foreign_manager_key = self.add_key("other", "*", "Office Manager")
        self.readonly_key = self.add_key("demo", "*", "Office Manager", readonly="yes")
        self.put_directory()

    @cached_property
    def operations(self) -> list[Operation]:
        """Every operation that is served, but for those that serve the document."""
        return all_operations(self.parts)

    def _readiness(self) -> Readiness:
        bus = "up" if self.bus.is_up else "down"
        return Readiness(
            ready=self.ready and self.bus.is_up, node="n1", bus=bus, durability="strict", relay="up", replica_lag=0
        )

    def _random_part(self) -> str:
        return f"{next(self._key_numbers):048d}"[::-1]

    def _random_bytes(self, size: int) -> bytes:
        return next(self._key_numbers).to_bytes(size, "big")

    def add_key(
        self,
        domain: str,
        user: str,
        scope: str,
        *,
        readonly: Literal["yes", "no"] = "no",
        can_create_keys: Literal["yes", "no"] = "no",
        ip_address: str = "",
        reseller: str = "*",
        allowed_models: tuple[str, ...] = (),
        expires_at: float = 0.0,
    ) -> str:
        number = 100_000 + next(self._key_numbers)
        text = make_key(prefix_for(domain=domain, user=user, reseller=reseller), f"{number:012d}".ljust(48, "x"))
        self.store.put(
            ApiKey(
                key_id=key_id_of(text),
                key_sha256=hash_of(text),
                description=f"test key number {number}",
                domain=domain,
                user=user,
                reseller=reseller,
                user_scope=scope,
                readonly=readonly,
                can_create_keys=can_create_keys,
                ip_address=ip_address,
                allowed_models=allowed_models,
                expires_at=expires_at,
            )
        )
        return text

    def put(self, *records: Record) -> None:
        """Put directory records on the bus and, so that nobody has to wait for it, into the store."""
        self.store.put(*records)
        stream = self.hub.streams[Stream.DIRECTORY]
        for record in records:
            subject = record_key(kind_of(record), record.key)
            stream.store(subject, msgspec.json.encode(record), tree=subject)

    @property
    def directory_sequence(self) -> int:
        """The last sequence of the directory on the bus."""
        return len(self.hub.streams[Stream.DIRECTORY].entries)

    def put_directory(self) -> None:
        records: list[Record] = [Domain("demo"), Domain("other", reseller="acme")]
        for domain in ("demo", "other"):
            for user in ("1001", "1002", "1003"):
                records.append(User(domain, user, name_first_name="Ada", caller_id_number=f"45701{user}"))
                records.append(Device(domain, user, f"{user}_desk"))
        records.append(PhoneNumber("demo", "4570102030"))
        self.put(*records)
        for domain in ("demo", "other"):
            for user in ("1001", "1002"):  # 1003 has a device that is not registered
                self.store.put_location(
                    Location(
                        domain=domain,
                        device=f"{user}_desk",
                        contact=f"sip:{user}_desk@127.0.0.1:5070",
                        expires_at=self.clock.now() + 1e9,
                        peer_host="127.0.0.1",
                        peer_port=5070,
                    )
                )

    def client(self, key: str | None = None, *, address: str = "127.0.0.1") -> httpx.AsyncClient:
        """Return a client with `key` (the user's by default; empty for none)."""
        key = self.user_key if key is None else key
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(cast("Any", self.app), client=(address, 4711), raise_app_exceptions=True),
            base_url="http://ringbridge.test",
            headers={b"Authorization": f"Bearer {key}".encode("latin-1")} if key else {},
        )

    def close(self) -> None:
        """End what is no task."""
        self.passwords.close()
        rmtree(self._data, ignore_errors=True)

    @property
    def writes(self) -> int:
        """How many messages the bus has stored."""
        return sum(self.hub.writes.values())


@asynccontextmanager
async def running_world(
    settings: ApiSettings | None = None, exchanges: ExchangeSettings | None = None, *, kind: type[World] = World
) -> AsyncIterator[World]:
    """Yield a world whose replica runs; with `exchanges` it keeps a request history."""
    world = kind(settings, exchanges)
    await world.replica.start()
    task = asyncio.create_task(world.replica.run())
    try:
        assert await world.replica.caught_up(timeout_s=5)
        world.live.start()
        yield world
    finally:
        task.cancel()
        await asyncio.wait([task])
        world.close()
        if world.exchanges is not None:
            await world.exchanges.close()


def order(call_id: str = "click-1", **fields: object) -> dict[str, Any]:
    """Return the body of a call from 1001 to 1002; `_` in names is `-`."""
    body: dict[str, Any] = {"call-id": call_id, "call-term-user": "1002"}
    return body | {name.replace("_", "-"): value for name, value in fields.items()}
