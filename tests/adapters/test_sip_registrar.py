"""The registrar on real sockets, a real phone's REGISTER, and a bus, store and replica in memory."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from hashlib import md5, sha256

import pytest

from ringbridge.adapters.memory.bus import MemoryBus, MemoryFeed, MemoryHub
from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.replica.replica import Replica
from ringbridge.adapters.sip.node import SipNode, SipNodeSettings
from ringbridge.adapters.sip.registrar import SipRegistrar
from ringbridge.calls.access.credentials import delete_with_credential
from ringbridge.config import DigestHash, SipConfig
from ringbridge.main import SystemClock
from ringbridge.model.directory import Device, Domain, Location
from ringbridge.model.ids import NodeId
from ringbridge.sip.digest import Credentials
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import EndpointEvent, IncomingRequest, RegistrationResult
from ringbridge.sip.session_orders import RegisterOrder

PASSWORD = "secret"


class MovesNothing(MemoryBus):
    """A bus with a bug in it."""

    async def put_location(self, location: object, *, ttl_s: int) -> int:
        raise ZeroDivisionError


class Hurried(MemoryBus):
    """A bus on which somebody deletes each device, or makes it anew, while its location is on its way."""

    def __init__(self, hub: MemoryHub, *, made_anew: bool) -> None:
        super().__init__(hub)
        self.made_anew = made_anew

    async def put_location(self, location: Location, *, ttl_s: int) -> int:
        key = ("acme", "1001")
        store = MemoryStore(SystemClock())
        await delete_with_credential(store, self, "device", key)
        if self.made_anew:
            await self.put_record(Device("acme", "1001", "1001", ha1_md5="another's", ha1_sha256="another's"))
        return await super().put_location(location, ttl_s=ttl_s)


class Registrar:
    """The registrar of domain `acme` with device 1001, and a phone."""

    def __init__(self, node: SipNode, store: MemoryStore) -> None:
        self.node = node
        self.store = store
        self.results: asyncio.Queue[EndpointEvent] = asyncio.Queue()
        self.phone = SipNode(SipNodeSettings(port=0), on_event=self.results.put_nowait)

    async def register(self, domain: str, *, device: str = "1001", password: str = PASSWORD) -> int:
        """Return the final status of a REGISTER."""
        order = RegisterOrder(
            peer=Peer(Transport.UDP, self.node.host, self.node.port),
            registrar=f"sip:{domain}",
            aor=f"sip:{device}@{domain}",
            contact_user=device,
            credentials=Credentials(username=device, password=password, host=self.node.host),
        )
        self.phone.endpoint.register(order, self.phone.now())
        self.phone.wake()
        async with asyncio.timeout(5):
            result = await self.results.get()
        assert isinstance(result, RegistrationResult)
        return result.status


def ha1(hashed: str) -> str:
    text = f"1001:acme:{PASSWORD}".encode()
    return (md5(text, usedforsecurity=False) if hashed == "md5" else sha256(text)).hexdigest()


@contextlib.asynccontextmanager
async def registrar(bus: MemoryBus, config: SipConfig | None = None) -> AsyncIterator[Registrar]:
    clock = SystemClock()
    store = MemoryStore(clock)
    device = Device(domain="acme", user="1001", device="1001", ha1_md5=ha1("md5"), ha1_sha256=ha1("sha256"))
    store.put(Domain(domain="acme"), device)
    await bus.put_record(device)
    replica = Replica(MemoryFeed(bus.hub), store, clock=clock, commit_pause_s=0.001)
    await replica.start()
    following = asyncio.create_task(replica.run())
    taken: list[SipRegistrar] = []

    def take(event: EndpointEvent) -> None:
        assert isinstance(event, IncomingRequest)
        taken[0].take(event)

    node = SipNode(SipNodeSettings(port=0), on_event=take)
    taken.append(
        SipRegistrar(
            config=config or SipConfig(),
            node=node,
            node_id=NodeId("n1"),
            bus=bus,
            directory=store,
            replica=replica,
            clock=clock,
        )
    )
    found = Registrar(node, store)
    try:
        await node.start()
        await found.phone.start()
        yield found
    finally:
        await found.phone.stop()
        await node.stop()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize("domain", ["acme", "ACME", "Acme"])
async def test_a_phone_registers_however_it_writes_its_domain(domain: str) -> None:
    """RFC 3261 §19.1.4: the host of a URI is compared without regard to case."""
    async with registrar(MemoryBus(MemoryHub())) as found:
        assert await found.register(domain) == 200
        (location,) = await found.store.locations("acme", "1001")
        assert location.peer_port == found.phone.port


@pytest.mark.parametrize(("domain", "device", "password"), [("acme", "1001", "wrong"), ("acme", "1002", PASSWORD)])
async def test_a_stranger_is_not_registered(domain: str, device: str, password: str) -> None:
    async with registrar(MemoryBus(MemoryHub())) as found:
        assert await found.register(domain, device=device, password=password) == 401
        assert await found.store.locations("acme", device) == []


@pytest.mark.parametrize("made_anew", [False, True])
async def test_a_device_that_goes_while_it_registers_leaves_no_location(*, made_anew: bool) -> None:
    bus = Hurried(MemoryHub(), made_anew=made_anew)
    async with registrar(bus) as found:
        assert await found.register("acme") == 401
        assert await bus.read_locations("acme", "1001") == []


async def test_a_location_goes_with_its_device_though_the_local_copy_does_not_have_it_yet() -> None:
    bus = MemoryBus(MemoryHub())
    async with registrar(bus) as found:
        assert await found.register("acme") == 200
        await delete_with_credential(MemoryStore(SystemClock()), bus, "device", ("acme", "1001"))
        assert await bus.read_locations("acme", "1001") == []


async def test_a_bus_that_is_away_is_said() -> None:
    bus = MemoryBus(MemoryHub())
    async with registrar(bus) as found:
        bus.hub.is_up = False
        assert await found.register("acme") == 503


async def test_a_bug_is_told_to_the_phone_that_it_hit() -> None:
    async with registrar(MovesNothing(MemoryHub())) as found:
        assert await found.register("acme") == 500


@pytest.mark.parametrize("hashes", [["SHA-256", "MD5"], ["MD5"], ["SHA-256"]])
async def test_a_challenge_has_the_hashes_of_the_configuration_the_best_first(hashes: list[str]) -> None:
    config = SipConfig(digest_algorithms=frozenset(map(DigestHash, hashes)))
    async with registrar(MemoryBus(MemoryHub()), config) as found:
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(udp, (found.node.host, found.node.port))
            lines = [
                "REGISTER sip:acme SIP/2.0",
                "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1;rport",
                "Max-Forwards: 70",
            ]
            lines += ["From: <sip:1001@acme>;tag=1", "To: <sip:1001@acme>", "Call-ID: 1", "CSeq: 1 REGISTER"]
            lines += ["Contact: <sip:1001@127.0.0.1>", "Content-Length: 0", "", ""]
            await loop.sock_sendall(udp, "\r\n".join(lines).encode())
            async with asyncio.timeout(5):
                answer = (await loop.sock_recv(udp, 65_535)).decode()
    assert re.findall(r"WWW-Authenticate: .*algorithm=([^,]+)", answer) == hashes
    # A phone that knows both proves itself by what is asked for.
    async with registrar(MemoryBus(MemoryHub()), config) as found:
        assert await found.register("acme") == 200
