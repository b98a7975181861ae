"""Live events over HTTP and over a WebSocket: by whom, from where, for how long."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ringbridge.adapters.memory.phones import MemoryPhones
from ringbridge.api.events import streams
from ringbridge.api.events.reach import reach_of
from ringbridge.api.events.slots import StreamSettings
from ringbridge.api.http.server import ApiServer
from ringbridge.api.parts import ApiSettings
from ringbridge.model.access import Scope
from ringbridge.model.directory import Domain
from ringbridge.model.errors import CallError, Refusal
from tests.adapters.bus_calls import until
from tests.adapters.webhook_node import STATES, Calls
from tests.api.logins import give_password, token
from tests.api.streams import EVENTS, Stream, Told, follow
from tests.api.test_call_control import connected, phones
from tests.api.world import CALLS, UNLIMITED, World, order, running_world

__all__ = ["phones"]

SETTINGS = StreamSettings(per_token=3, per_address=5, heartbeat_s=0.05, recheck_s=0.02, send_s=0.2)


@dataclass
class Node:
    world: World
    server: ApiServer

    @property
    def url(self) -> str:
        return self.server.url

    def calls(self) -> Calls:
        return Calls(self.world.bus)

    def ended(self, why: str) -> float:
        """Return how many streams the metrics say have ended so."""
        return self.world.parts.registry.get_sample_value("ringbridge_event_streams_ended_total", {"why": why}) or 0.0

    def open(self) -> float:
        return self.world.parts.registry.get_sample_value("ringbridge_event_streams") or 0.0


@pytest.fixture
async def world() -> AsyncIterator[World]:
    settings = ApiSettings(sync_wait_s=1.0, rate_limits=UNLIMITED, streams=SETTINGS, key_cache_s=0.0)
    async with running_world(settings) as one:
        yield one


@pytest.fixture
async def node(world: World) -> AsyncIterator[Node]:
    server = ApiServer(world.app, port=0)
    await server.start()
    yield Node(world, server)
    await server.stop()


async def refusal(stream: Stream) -> tuple[int, str]:
    return stream.answer.status_code, stream.answer.json()["errors"][0]["code"]


async def place(node: Node, call_id: str, *, key: str = "", path: str = CALLS) -> None:
    async with node.world.client(key or node.world.user_key) as client:
        assert (await client.post(path, json=order(call_id))).status_code == 202


# --- what is told ---


async def test_a_call_is_told_from_its_request_to_its_end(node: Node) -> None:
    async with follow(node.url, node.world.super_key) as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream"
        assert stream.answer.headers["cache-control"] == "no-store"
        ready = await stream.next()
        assert (ready.event, ready.data) == ("ready", {"node": "n1", "heartbeat-seconds": 0.05, "resumed": False})
        await node.calls().whole("c1")
        told = [await stream.of("call")]
        while told[-1].data["action"] != "DELETE":
            told.append(await stream.of("call"))
    states = list(dict.fromkeys(one.data["call-state"] for one in told))
    assert states == STATES
    assert [one.data["sequence"] for one in told] == sorted({one.data["sequence"] for one in told})
    assert {one.data["call-id"] for one in told} == {"c1"}


async def test_what_was_told_can_be_read(node: Node) -> None:
    """An event comes once the local copy has it, so that a GET behind it never shows less."""
    async with follow(node.url, node.world.user_key) as stream:
        await stream.of("ready")
        await place(node, "click-1")
        told = await stream.of("call")
        assert told.data["call-id"] == "click-1"
        async with node.world.client() as client:
            assert [one["call-id"] for one in (await client.get(CALLS)).json()] == ["click-1"]


@pytest.mark.parametrize("key", ["user_key", "manager_key"])
async def test_going_on_from_before_a_name_was_theirs_tells_nobody_of_who_had_it(node: Node, key: str) -> None:
    async with follow(node.url, node.world.super_key) as stream:
        before = (await stream.of("ready")).id
        await place(node, "old")
        assert (await stream.of("call")).data["call-id"] == "old"
    node.world.clock.time += 10
    node.world.put(Domain("demo", made_at=node.world.clock.time))
    async with follow(node.url, getattr(node.world, key), after=before) as stream:
        await stream.of("ready")
        await place(node, "new")
        assert (await stream.of("call")).data["call-id"] == "new"


async def test_where_nothing_happens_heartbeats_move_the_id_on(node: Node) -> None:
    async with follow(node.url, node.world.foreign_key) as stream:
        ready = await stream.of("ready")
        assert (await stream.next()).event == "heartbeat"
        await place(node, "click-1")
        beats = [await stream.of("heartbeat") for _ in range(3)]
        assert beats[-1].id != ready.id
    async with follow(node.url, node.world.super_key, after=beats[-1].id) as stream:
        assert [(await stream.next()).event for _ in range(2)] == ["ready", "heartbeat"]


async def test_a_cdr_is_told_when_a_call_is_over(node: Node) -> None:
    async with follow(node.url, node.world.super_key, model="cdr") as stream:
        await stream.of("ready")
        await node.calls().whole("c1")
        told = await stream.of("cdr")
    assert (told.data["object"], told.data["call-id"], told.data["time_talking"]) == ("cdr", "c1", 5)


# --- from where ---


async def test_a_client_that_comes_back_misses_nothing_and_hears_nothing_twice(node: Node) -> None:
    calls = node.calls()
    async with follow(node.url, node.world.super_key) as stream:
        await stream.of("ready")
        await calls.begin("c1")
        before = [(await stream.of("call")).data["id"]]
        last_id = stream.last_id
    for _ in range(6):
        await calls.step("c1")
    async with follow(node.url, node.world.super_key, last_event_id=last_id) as stream:
        ready = await stream.next()
        assert (ready.event, ready.data["resumed"], ready.id) == ("ready", True, last_id)
        after = [await stream.of("call")]
        while after[-1].data["action"] != "DELETE":
            after.append(await stream.of("call"))
    assert not set(before) & {one.data["id"] for one in after}
    assert list(dict.fromkeys(one.data["call-state"] for one in after)) == STATES[1:]


async def test_events_of_one_message_come_again_whole_when_the_client_was_cut_off_between_them(node: Node) -> None:
    calls = node.calls()
    async with follow(node.url, node.world.super_key) as stream:
        await stream.of("ready")
        await calls.begin("c1")
        for _ in range(4):
            await calls.step("c1")
        await stream.state(call="c1", state="orig-answered")
        invited, ringing = await stream.of("call"), await stream.of("call")
        assert invited.data["id"].split("-")[0] == ringing.data["id"].split("-")[0], "one message, told as two events"
        assert invited.id != ringing.id
    async with follow(node.url, node.world.super_key, after=invited.id) as stream:
        again = [(await stream.of("call")).data["id"] for _ in range(2)]
    assert again == [invited.data["id"], ringing.data["id"]]


async def test_what_is_too_old_is_told_as_a_reset_and_the_lists_are_there_to_read(node: Node) -> None:
    async with follow(node.url, node.world.super_key) as stream:
        current = (await stream.of("ready")).id
    tag, _, rest = current.partition("-")
    other = "0" * 8 if tag != "0" * 8 else "1" * 8
    async with follow(node.url, node.world.super_key, after=f"{other}-{rest}") as stream:
        reset = await stream.next()
        assert (reset.event, reset.id, reset.data["code"]) == ("reset", current, "too-old")
        assert "lists" in reset.data["message"]
        await place(node, "click-1")
        assert (await stream.of("call")).data["call-id"] == "click-1"


async def test_last_event_id_wins_over_after(node: Node) -> None:
    async with follow(node.url, node.world.super_key) as stream:
        current = (await stream.of("ready")).id
    async with follow(node.url, node.world.super_key, last_event_id=current, after="0-0") as stream:
        assert (await stream.next()).id == current


# --- by whom ---


async def told_to(node: Node, key: str, **query: str) -> list[str]:
    """Return the calls that a token is told of while each of two tenants has one, of 1001 to 1002."""
    async with follow(node.url, key, **query) as stream:
        assert stream.answer.status_code == 200, stream.answer.text
        await stream.of("ready")
        calls = node.calls()
        number = len(node.world.hub.writes) + sum(node.world.hub.writes.values())
        for domain in ("demo", "other"):
            await calls.whole(f"{domain}-{number}", domain=domain)  # type: ignore[arg-type] # a name of the sample
        found = set()
        beats = 0
        while beats < 2:
            told = await stream.next()
            beats = beats + 1 if told.event == "heartbeat" else 0
            if told.event == "call":
                found.add(told.data["domain"])
    return sorted(found)


async def test_a_token_is_told_what_it_sees_in_the_lists(node: Node) -> None:
    world = node.world
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")
    assert await told_to(node, world.super_key) == ["demo", "other"]
    assert await told_to(node, world.manager_key) == ["demo"]
    assert await told_to(node, world.foreign_manager_key) == ["other"]
    assert await told_to(node, world.user_key) == ["demo"]
    assert await told_to(node, world.foreign_key) == ["other"]
    assert await told_to(node, reseller) == ["other"]
    assert await told_to(node, world.add_key("demo", "1003", "Basic User")) == []


async def test_a_login_is_told_by_its_scope(node: Node) -> None:
    await give_password(node.world)
    assert await told_to(node, await token(node.world)) == ["demo"]
    await give_password(node.world, scope=Scope.SUPER_USER)
    login = await token(node.world)
    assert await told_to(node, login) == ["demo", "other"]
    assert await told_to(node, login, domain="other") == ["other"]


async def test_whoever_is_called_is_told_from_when_its_phone_rings(node: Node, phones: MemoryPhones) -> None:
    world = node.world
    async with follow(node.url, world.other_user_key) as called, follow(node.url, world.user_key) as maker:
        await called.of("ready")
        async with world.client() as client:
            await connected(world, client)
        first = await called.of("call")
        assert first.data["call-state"] in ("orig-answered", "term-ringing")
        await called.state(call="click-1", state="connected")
        await maker.state(call="click-1", state="requested")
    phones.busy()[0].hang_up()


async def test_it_is_narrowed_by_domain_user_and_call(node: Node) -> None:
    world = node.world
    assert await told_to(node, world.super_key, domain="other") == ["other"]
    assert await told_to(node, world.super_key, domain="demo", user="1001") == ["demo"]
    assert await told_to(node, world.super_key, domain="demo", user="1003") == []
    assert await told_to(node, world.manager_key, user="1001") == ["demo"]
    assert await told_to(node, world.user_key, domain="demo") == ["demo"]
    async with follow(node.url, world.super_key, call_id="c2") as stream:
        await stream.of("ready")
        for name in ("c1", "c2"):
            await node.calls().begin(name)
        assert (await stream.of("call")).data["call-id"] == "c2"


@pytest.mark.parametrize(
    ("key", "query", "expected"),
    [
        ("user_key", {"user": "1002"}, (403, "not-allowed")),
        ("user_key", {"domain": "other"}, (404, "no-such-domain")),
        ("user_key", {"domain": "none"}, (404, "no-such-domain")),
        ("manager_key", {"domain": "other"}, (404, "no-such-domain")),
        ("manager_key", {"user": "9999"}, (404, "no-such-user")),
        ("super_key", {"domain": "none"}, (404, "no-such-domain")),
        ("super_key", {"user": "1001"}, (400, "missing")),
        ("super_key", {"domain": "de mo"}, (400, "bad-name")),
        ("super_key", {"model": "presence"}, (400, "not-one-of")),
        ("super_key", {"after": "yesterday"}, (400, "bad-event-id")),
        ("super_key", {"call_id": "a b"}, (400, "bad-name")),
    ],
)
async def test_beyond_its_reach_nothing_is_opened(
    node: Node, key: str, query: dict[str, str], expected: tuple[int, str]
) -> None:
    async with follow(node.url, getattr(node.world, key), **query) as stream:
        assert await refusal(stream) == expected
    assert node.open() == 0


async def test_every_fault_of_a_query_is_named(node: Node) -> None:
    async with follow(node.url, node.world.super_key, domain="", user="a b", model="x", after="y") as stream:
        faults = stream.answer.json()["errors"]
    assert [one["field"] for one in faults] == ["domain", "user", "model", "after"]


async def test_a_key_for_calls_alone_is_told_no_cdrs(node: Node) -> None:
    key = node.world.add_key("demo", "*", "Office Manager", allowed_models=("call",))
    async with follow(node.url, key) as stream:
        assert (await stream.next()).event == "ready"
    async with follow(node.url, key, model="cdr") as stream:
        assert await refusal(stream) == (403, "model-not-allowed")


# --- for how long ---


async def test_a_key_that_runs_out_ends_its_streams(node: Node) -> None:
    key = node.world.add_key("demo", "*", "Office Manager", expires_at=node.world.clock.now() + 5)
    async with follow(node.url, key) as stream:
        await stream.of("heartbeat")
        node.world.clock.time += 6
        *_, end = await stream.rest()
    assert (end.event, end.data["code"]) == ("end", "expired-token")
    assert node.ended("refused") == 1


async def test_a_revoked_key_ends_its_streams(node: Node) -> None:
    world = node.world
    async with world.client(world.manager_key) as client:
        body = {"description": "a key that is revoked", "domain": "demo", "user-scope": "Office Manager"}
        made = (await client.post("/ns-api/v2/apikeys", json=body)).json()
        async with follow(node.url, made["key"]) as stream:
            await stream.of("ready")
            assert (await client.delete(f"/ns-api/v2/apikeys/{made['key-id']}")).status_code == 202
            *_, end = await stream.rest()
    assert (end.event, end.data["code"]) == ("end", "bad-token")


async def test_a_domain_that_changes_hands_is_told_no_more(node: Node) -> None:
    world = node.world
    async with follow(node.url, world.add_key("*", "*", "Reseller", reseller="acme")) as stream:
        await stream.of("ready")
        domain = await world.store.domain("other")
        assert isinstance(domain, Domain)
        world.store.put(msgspec.structs.replace(domain, reseller="somebody else"))
        await asyncio.sleep(2 * SETTINGS.recheck_s)
        await stream.of("heartbeat")
        await node.calls().whole("c1", domain="other")  # type: ignore[arg-type] # a name of the sample
        assert {(await stream.next()).event for _ in range(3)} == {"heartbeat"}


async def test_streams_of_one_token_and_of_one_address_are_bounded(node: Node) -> None:
    world = node.world
    async with follow(node.url, world.user_key), follow(node.url, world.user_key):
        async with follow(node.url, world.user_key):
            async with follow(node.url, world.user_key) as fourth:
                assert await refusal(fourth) == (429, "too-many-streams")
                assert fourth.answer.headers["retry-after"] == "5"
            async with (
                follow(node.url, world.manager_key),
                follow(node.url, world.manager_key),
                follow(node.url, world.manager_key) as sixth,
            ):
                assert await refusal(sixth) == (429, "too-many-streams")
                assert "address" in sixth.answer.text
        await until(lambda: node.open() == 2)
        async with follow(node.url, world.user_key) as again:
            assert again.answer.status_code == 200
    await until(lambda: node.open() == 0)


async def test_who_loses_its_reach_while_a_stream_begins_is_refused(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def once(*of: Any) -> Any:
        asked.append(of)
        if len(asked) == 2:
            raise CallError(Refusal.NOT_FOUND, "no-such-domain", "no domain demo")
        return await reach_of(*of)

    monkeypatch.setattr(streams, "reach_of", once)
    async with follow(node.url, node.world.user_key) as stream:
        assert await refusal(stream) == (404, "no-such-domain")
    async with follow(node.url, node.world.user_key) as stream:
        assert stream.answer.status_code == 200


async def test_all_logins_of_a_user_count_together(node: Node) -> None:
    await give_password(node.world)
    tokens = [await token(node.world) for _ in range(4)]
    async with (
        follow(node.url, tokens[0]),
        follow(node.url, tokens[1]),
        follow(node.url, tokens[2]),
        follow(node.url, tokens[3]) as fourth,
    ):
        assert await refusal(fourth) == (429, "too-many-streams")


async def test_a_stream_ends_in_time_and_says_so() -> None:
    settings = ApiSettings(streams=StreamSettings(life_s=0.05), rate_limits=UNLIMITED)
    async with running_world(settings) as world, world.client() as client:
        answer = await client.get(EVENTS)
    assert answer.text.startswith("retry: 2000\n\nevent: ready\n")
    assert json.loads(answer.text.rsplit("data: ", 1)[1])["code"] == "too-long-open"


async def test_a_node_that_stops_says_so_and_does_not_wait(node: Node) -> None:
    async with follow(node.url, node.world.super_key) as stream:
        await stream.of("ready")
        node.world.live.close()
        *_, end = await stream.rest()
    assert (end.event, end.data["code"]) == ("end", "node-stops")


async def test_a_client_that_takes_nothing_is_cut_off_and_others_are_told_on(node: Node) -> None:
    """Its connection is dropped, not closed: closing would wait until it reads what it never reads."""
    host, port = node.url.removeprefix("http://").split(":")
    for one in node.server._server.servers[0].sockets:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # or it takes megabytes of events to fill
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        slow.sendall(
            f"GET {EVENTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {node.world.super_key}\r\n\r\n".encode()
        )
        async with follow(node.url, node.world.super_key) as quick:
            await quick.of("ready")
            await until(lambda: node.open() == 2)
            calls, number, told = node.calls(), 0, 0
            while node.ended("slow") == 0:
                await calls.whole(f"c{number}")
                number += 1
                while told < number:
                    told += (await quick.of("call")).data["action"] == "DELETE"
            assert node.open() == 1
            assert len(node.server._server.server_state.connections) == 1
            await node.calls().whole("last")
            assert (await quick.of("call")).data["call-id"] == "last"


# --- over a WebSocket ---


def socket_url(node: Node, **query: str) -> str:
    text = "&".join(f"{name.replace('_', '-')}={value}" for name, value in query.items())
    return f"{node.url.replace('http', 'ws')}{EVENTS}?{text}"


def open_socket(node: Node, key: str, **query: str) -> connect:
    return connect(
        socket_url(node, **query), additional_headers={"Authorization": f"Bearer {key}"}, open_timeout=5, proxy=None
    )


async def message(connection: ClientConnection) -> Told:
    async with asyncio.timeout(5):
        return Told(**json.loads(await connection.recv()))


async def hear_out(connection: ClientConnection, told: list[Told]) -> None:
    """Put what is told into `told` until the connection is closed."""
    while True:
        told.append(await message(connection))


async def refused_socket(node: Node, key: str, **query: str) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        async with open_socket(node, key, **query):
            pass
    answer = caught.value.response
    assert answer.headers["x-request-id"]
    return answer.status_code, json.loads(answer.body)["errors"][0]["code"]


async def test_a_websocket_tells_the_same(node: Node) -> None:
    async with open_socket(node, node.world.super_key) as connection:
        ready = await message(connection)
        assert (ready.event, ready.data["resumed"]) == ("ready", False)
        assert (await message(connection)).event == "heartbeat"
        await node.calls().begin("c1")
        while (told := await message(connection)).event != "call":
            pass
    async with follow(node.url, node.world.super_key, after=ready.id) as stream:
        same: dict[str, Any] = (await stream.of("call")).data
    assert told.data == same
    assert told.id != ready.id
    async with open_socket(node, node.world.super_key, after=told.id) as connection:
        assert (await message(connection)).data["resumed"] is True


async def test_a_websocket_is_refused_as_every_request_is(node: Node) -> None:
    world = node.world
    assert await refused_socket(node, "nsu_nobody") == (401, "bad-token")
    assert await refused_socket(node, world.user_key, domain="other") == (404, "no-such-domain")
    assert await refused_socket(node, world.user_key, user="1002") == (403, "not-allowed")
    assert await refused_socket(node, world.super_key, after="x") == (400, "bad-event-id")
    assert await refused_socket(node, world.add_key("demo", "1001", "No Portal")) == (403, "not-allowed")
    with pytest.raises(InvalidStatus) as caught:
        async with connect(node.url.replace("http", "ws") + "/healthz", open_timeout=5, proxy=None):
            pass
    assert caught.value.response.status_code == 404


async def test_a_websocket_ends_with_its_token(node: Node) -> None:
    key = node.world.add_key("demo", "*", "Office Manager", expires_at=node.world.clock.now() + 5)
    async with open_socket(node, key) as connection:
        await message(connection)
        node.world.clock.time += 6
        told: list[Told] = []
        with pytest.raises(ConnectionClosed) as closed:
            await hear_out(connection, told)
    assert (told[-1].event, told[-1].data["code"]) == ("end", "expired-token")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 3000


async def test_what_a_websocket_s_client_says_is_passed_over_and_bounded(node: Node) -> None:
    async with open_socket(node, node.world.super_key) as connection:
        await message(connection)
        await connection.send("hello")
        assert (await message(connection)).event == "heartbeat"
        await connection.send("x" * 5000)
        with pytest.raises(ConnectionClosed):
            await hear_out(connection, [])
    await until(lambda: node.open() == 0)


async def test_a_websocket_that_goes_leaves_its_place(node: Node) -> None:
    async with open_socket(node, node.world.super_key) as connection:
        await message(connection)
        assert node.open() == 1
    await until(lambda: node.open() == 0)
    assert node.ended("gone") == 1
