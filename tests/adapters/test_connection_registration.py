"""Connections that are registered at their carriers, by one engine node each."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from ringbridge.adapters.connections.registration import register_order
from ringbridge.adapters.memory.bus import MemoryHub
from ringbridge.model.connection_states import ConnectionState, Registered
from ringbridge.model.directory import Connection
from ringbridge.sip import registration
from ringbridge.sip.digest import make_ha1
from ringbridge.sip.digest_server import DigestServer, Verdict, read_credentials
from ringbridge.sip.message import Request, Response
from tests.adapters.loops import until
from tests.adapters.test_connection_keeper import Node as _Node
from tests.adapters.test_connection_keeper import _quick, carrier, keeping
from tests.adapters.trunk import Trunk, status, trunk

__all__ = ["_quick"]

PASSWORD = "the carrier's secret"


class Registrar:
    """A carrier's registrar with digest: who is bound where, and what it was asked."""

    def __init__(self, *, expires_s: int = 3600) -> None:
        self.expires_s = expires_s
        self.bound: dict[str, int] = {}
        """Contacts now, with how often each was asked for."""
        self.aors: set[str] = set()
        self._digest = DigestServer(key=secrets.token_bytes(32), nonce_lifetime_s=60.0)

    def __call__(self, request: Request) -> Response | None:
        if request.method != "REGISTER":
            return status(200)(request)
        now, realm = time.time(), "carrier.example"
        fields = read_credentials(request, realm)
        ha1 = make_ha1(fields.text("username") or "" if fields is not None else "", realm, PASSWORD)
        if self._digest.check(fields, ha1, "REGISTER", realm, now) is not Verdict.OK:
            return status(401, *self._digest.challenge(realm, now))(request)
        found = re.fullmatch("<(.*)>", request.first("Contact") or "")
        assert found is not None
        contact = found[1]
        self.aors.add(request.to.uri)
        if request.first("Expires") == "0":
            self.bound.pop(contact, None)
            return status(200)(request)
        self.bound[contact] = self.bound.get(contact, 0) + 1
        return status(200, ("Contact", f"<{contact}>;expires={self.expires_s}"))(request)


def line(address: str, **more: object) -> Connection:
    return carrier(
        address,
        connection_health_check_enabled="no",
        **{
            "connection_sip_registration_enabled": "yes",
            "connection_sip_registration_username": "line7",
            "connection_sip_registration_password": PASSWORD,
            **more,
        },
    )


async def is_registered(node: _Node, wanted: Registered, reason: str = "") -> ConnectionState:
    """Return the state of the connection once it is so."""
    async with asyncio.timeout(5):
        while True:
            state = await node.state()
            if state is not None and state.registration is wanted and state.registration_reason.startswith(reason):
                return state
            await asyncio.sleep(0.005)


def contact_of(node: _Node) -> str:
    return f"sip:line7@127.0.0.1:{node.sip.port}"


@pytest.fixture
async def edge() -> AsyncIterator[Trunk]:
    async with trunk() as one:
        yield one


async def test_it_is_registered_with_digest_refreshed_and_taken_back_when_the_node_stops(edge: Trunk) -> None:
    edge.says = registrar = Registrar(expires_s=1)
    async with keeping(MemoryHub()) as node:
        await node.bus.put_record(line(edge.address))
        state = await is_registered(node, Registered.YES, "200")
        assert state.registered_at == node.clock.at
        assert state.registration_expires_at == node.clock.at + 1
        assert registrar.bound.keys() == {contact_of(node)}
        assert registrar.aors == {"sip:line7@127.0.0.1"}
        await until(lambda: registrar.bound[contact_of(node)] > 1)
        assert edge.count("OPTIONS") == 0
    assert not registrar.bound


async def test_one_that_is_refused_is_tried_again(edge: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_FIRST_RETRY_S", 0.05)
    edge.says = status(503)
    async with keeping(MemoryHub()) as node:
        await node.bus.put_record(line(edge.address))
        await is_registered(node, Registered.NO, "503")
        await until(lambda: edge.count("REGISTER") > 2)
        edge.says = Registrar()
        await is_registered(node, Registered.YES)


async def test_a_wrong_password_is_told(edge: Trunk) -> None:
    edge.says = Registrar()
    async with keeping(MemoryHub()) as node:
        await node.bus.put_record(line(edge.address, connection_sip_registration_password="another"))
        await is_registered(node, Registered.NO, "401")
        await node.bus.put_record(line(edge.address))
        await is_registered(node, Registered.YES)


@pytest.mark.parametrize("how", ["deleted", "switched off"])
async def test_it_is_taken_back_when_it_is_not_wanted_any_more(edge: Trunk, how: str) -> None:
    edge.says = registrar = Registrar()
    async with keeping(MemoryHub()) as node:
        one = line(edge.address)
        await node.bus.put_record(one)
        await is_registered(node, Registered.YES)
        if how == "deleted":
            await node.bus.delete_record("connection", one.key)
        else:
            await node.bus.put_record(msgspec.structs.replace(one, connection_sip_registration_enabled="no"))
        await until(lambda: not registrar.bound)
        await node.is_gone()


async def test_a_change_of_anything_else_disturbs_nothing(edge: Trunk) -> None:
    edge.says = registrar = Registrar()
    async with keeping(MemoryHub()) as node:
        await node.bus.put_record(line(edge.address))
        await is_registered(node, Registered.YES)
        asked = edge.count("REGISTER")
        await node.bus.put_record(line(edge.address, description="the first line"))
        await asyncio.sleep(0.2)
        assert edge.count("REGISTER") == asked
        await node.bus.put_record(line(edge.address, connection_sip_registration_username="line7@acme.example"))
        await until(lambda: registrar.aors == {"sip:line7@127.0.0.1", "sip:line7@acme.example"})
        assert registrar.bound == {contact_of(node): 1}


async def test_exactly_one_of_two_nodes_registers_and_the_other_when_that_one_stops(edge: Trunk) -> None:
    edge.says = registrar = Registrar()
    hub = MemoryHub()
    async with keeping(hub, "a") as one:
        async with keeping(hub, "b") as other:
            await one.bus.put_record(line(edge.address))
            await until(lambda: bool(one.keeper.held | other.keeper.held))
            await asyncio.sleep(0.3)  # both have seen each other's beats by now
            await is_registered(one, Registered.YES)
            holder = one if one.keeper.held else other
            await until(lambda: registrar.bound.keys() == {contact_of(holder)})
        await until(lambda: registrar.bound.keys() == {contact_of(one)})
        assert (await is_registered(one, Registered.YES)).node == "a"
    assert not registrar.bound


@pytest.mark.parametrize(
    ("name", "aor", "registrar", "user"),
    [
        ("line7", "sip:line7@127.0.0.1", "sip:127.0.0.1", "line7"),
        ("line7@acme.example", "sip:line7@acme.example", "sip:acme.example", "line7"),
        ("li;ne>7", "sip:li;ne%3E7@127.0.0.1", "sip:127.0.0.1", "li;ne%3E7"),
    ],
)
def test_what_is_registered(name: str, aor: str, registrar: str, user: str) -> None:
    order = register_order(line("127.0.0.1:5080", connection_sip_registration_username=name))
    assert (order.aor, order.registrar, order.contact_user) == (aor, registrar, user)
    assert order.peer.port == 5080
