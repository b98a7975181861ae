"""Two nodes of the program on one bus of three servers: a call is one call, wherever it is asked for and followed."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from ringbridge.adapters.nats.subjects import Stream
from ringbridge.bench.processes import free_port
from tests.api.streams import Stream as Followed
from tests.api.streams import follow
from tests.live.cluster import Cluster, three_servers
from tests.live.node import Api, Node, connection, document, node, rule, until, user
from tests.live.party import Party, PartyCall

pytestmark = pytest.mark.asyncio(loop_scope="module")

POSTS_A_SECOND = 50
POSTS = 400


@dataclass
class Stage:
    """Two nodes, and the phones behind their connection: numbers 71… wait to be told, 72… are busy."""

    cluster: Cluster
    here: Api
    there: Api
    phones: Party
    nodes: tuple[Node, Node]


def busy(call: PartyCall) -> None:
    if call.number.startswith("72"):
        call.refuse(486)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(three_servers(tmp_path_factory.mktemp("cluster")))
        phones = await stack.enter_async_context(Party(busy))
        settings = {"bus.url": ",".join(cluster.urls), "log.level": "warning"}
        directory = document(
            connections=[connection("phones", phones.port)], rules=[rule("7", "phones")], users=[user("1001")]
        )
        one, here = await stack.enter_async_context(node(directory, settings=settings))
        other = Node(settings=settings)
        stack.push_async_callback(other.close)
        other.key = one.key  # the cluster has one directory, keys and all
        await other.start()
        there = await stack.enter_async_context(Api(other))
        yield Stage(cluster, here, there, phones, (one, other))
        assert [*one.faults(), *other.faults()] == []


async def test_a_node_without_api_says_how_it_is(stage: Stage) -> None:
    port = free_port()
    settings = {"bus.url": ",".join(stage.cluster.urls), "log.level": "warning", "health.port": port}
    engine = Node(arguments=("--role", "engine"), settings=settings)
    engine.key = stage.nodes[0].key
    try:
        await engine.start()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["relay"]) == (200, "up")
            metrics = (await client.get("/metrics")).text
        assert "ringbridge_calls 0.0" in metrics
        assert 'ringbridge_sip_events_total{event="malformed"} 0.0' in metrics
        await engine.child.stop(signal.SIGTERM)
        assert engine.faults() == []
    finally:
        await engine.close()


async def test_a_call_is_read_followed_and_ended_on_either_node(stage: Stage) -> None:
    answer = await stage.here.post("followed", "71001", "71002", synchronous="yes")
    assert (answer.status_code, answer.json()["call-id"]) == (200, "followed")
    assert (await stage.here.call("followed"))["call-id"] == "followed"
    await stage.there.in_state("followed", "requested", "claimed", within_s=1)
    steps = (("71001", "orig-ringing", "orig-answered"), ("71002", "term-ringing", "connected"))
    for number, ringing, answered in steps:
        phone = await stage.phones.called(number)
        phone.ring()
        for api in (stage.here, stage.there):
            await api.in_state("followed", ringing, within_s=1)
        phone.answer()
        for api in (stage.here, stage.there):
            await api.in_state("followed", answered, within_s=1)
    assert await stage.there.delete("followed") == 202
    cdrs = [await api.cdr("followed") for api in (stage.here, stage.there)]
    assert cdrs[0] == cdrs[1]
    assert cdrs[0]["release-cause"]["reason"] == "deleted"
    await until(lambda: not stage.phones.up, within_s=5)


async def test_whoever_follows_calls_goes_on_at_the_other_node_and_misses_nothing(stage: Stage) -> None:
    here, there = (str(api.http.base_url) for api in (stage.here, stage.there))
    key = str(stage.nodes[0].key)

    numbers = itertools.count(729_000)

    async def place(name: str) -> None:
        await stage.here.place(name, str(next(numbers)), "71009")  # busy at once
        await stage.there.cdr(name)

    async def told_until(stream: Followed, name: str) -> list[str]:
        """Return the ids of events up to the end of a call."""
        ids: list[str] = []
        while True:
            told = await stream.of("call")
            ids.append(told.data["id"])
            if (told.data["call-id"], told.data["action"]) == (name, "DELETE"):
                return ids

    async with follow(there, key) as witness:
        await witness.of("ready")
        async with follow(here, key) as stream:
            await stream.of("ready")
            await place("before")
            seen = await told_until(stream, "before")
        for number in range(5):
            await place(f"between-{number}")
        async with follow(there, key, last_event_id=stream.last_id) as stream:
            ready = await stream.next()
            assert (ready.event, ready.data["resumed"]) == ("ready", True)
            await place("after")
            seen += await told_until(stream, "after")
        assert await told_until(witness, "after") == seen


async def test_fifty_posts_over_both_nodes_make_one_call(stage: Stage) -> None:
    apis = (stage.here, stage.there)
    answers = await asyncio.gather(*(apis[number % 2].post("once", "71003", "71004") for number in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    phone = await stage.phones.called("71003")
    assert await stage.there.delete("once") == 202
    await until(phone.ended.is_set, within_s=5)
    for api in apis:
        await api.cdr("once")
    assert stage.phones.rung_twice() == {}


async def has_all(api: Api, acknowledged: set[str]) -> Counter[str]:
    """Return how many CDRs each call has, once all that were `acknowledged` have one.

    While leaders are chosen, what was acknowledged can be seconds ahead of what a node shows, its counts included.
    """
    end = time.monotonic() + 60
    while True:
        cdrs = Counter(str(cdr["call-id"]) for cdr in await api.cdrs())
        if not (missing := acknowledged - cdrs.keys()):
            return cdrs
        assert time.monotonic() < end, f"acknowledged, and after 60 s without a CDR: {sorted(missing)}"
        await asyncio.sleep(0.5)


async def test_an_attended_transfer_joins_the_parties_of_calls_on_two_nodes(stage: Stage) -> None:
    """The second call's far party goes over to the first call's node: one new offer in its dialog, from there."""
    calls: dict[str, tuple[str, PartyCall, PartyCall]] = {}
    for number in range(20):
        name, numbers = f"joined-{number}", (f"7100{number:02}1", f"7100{number:02}2")
        await stage.here.place(name, *numbers)
        phones: list[PartyCall] = []
        for one in numbers:
            phone = await stage.phones.called(one)
            phone.answer()
            await until(phone.acked.is_set, within_s=5)
            phones.append(phone)
        call = await stage.here.in_state(name, "connected")
        if call["core-server"] not in calls:
            calls[call["core-server"]] = (name, phones[0], phones[1])
        else:
            await stage.here.delete(name)
        if len(calls) == 2:
            break
    (first, own, far), (second, own2, far2) = calls.values()
    body = {"call-destination-session-id": second}
    answer = await stage.there.http.patch(f"{stage.there.path}/{first}/transfer", json=body)
    assert answer.status_code == 202, answer.text
    for phone in (own, own2):
        await until(phone.ended.is_set, within_s=5)
    await stage.there.in_state(second, "ended")
    call = await stage.there.in_state(first, "connected")
    assert call["call-order"]["release-cause"] is None
    assert (far.is_up, far2.is_up, far2.reinvited) == (True, True, 1)
    far2.hang_up()
    await until(far.ended.is_set, within_s=5)
    cdrs = [await stage.here.cdr(name) for name in (first, second)]
    assert [cdr["call-through-action"] for cdr in cdrs] == ["transfer", "transfer"]
    assert cdrs[0]["call-disconnect-reason-text"] == "Term: Bye"
    assert cdrs[1]["release-cause"]["reason"] == "transferred"


@pytest.mark.timeout(180)
async def test_no_acknowledged_post_is_lost_when_a_bus_leader_is_killed(stage: Stage) -> None:
    apis = (stage.here, stage.there)
    statuses: dict[str, int] = {}

    async def post(number: int) -> None:
        name = f"stream-{number}"
        try:
            statuses[name] = (await apis[number % 2].post(name, f"72{number:04}", "71009")).status_code
        except httpx.TransportError:
            statuses[name] = 0

    posts: list[asyncio.Task[None]] = []
    began = time.monotonic()
    for number in range(POSTS):
        posts.append(asyncio.create_task(post(number)))
        if number == POSTS // 4:
            (await stage.cluster.leader(Stream.CALLS0)).kill()
        await asyncio.sleep(max(0.0, began + number / POSTS_A_SECOND - time.monotonic()))
    await asyncio.gather(*posts)
    acknowledged = {name for name, status in statuses.items() if status == 202}
    assert set(statuses.values()) <= {202, 503}
    assert len(acknowledged) > POSTS * 3 // 4
    for api in apis:
        cdrs = await has_all(api, acknowledged)
        await api.quiet(within_s=60)
        assert {name: count for name, count in cdrs.items() if count > 1} == {}
    assert stage.phones.rung_twice() == {}
    print(f"{len(acknowledged)} of {POSTS} acknowledged")  # noqa: T201
