"""Deliveries from a bus to a real receiver on 127.0.0.1."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from ringbridge.adapters.memory.bus import MemoryHub
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.webhooks import webhooks
from ringbridge.adapters.webhooks.courier import AT_ONCE
from ringbridge.adapters.webhooks.parts import MOST_OF_ONE, Turn
from ringbridge.model import deliveries
from ringbridge.model.deliveries import Attempt
from ringbridge.model.directory import Domain, User
from ringbridge.model.ids import DomainName
from tests.adapters.bus_calls import DOMAIN
from tests.adapters.receiver import Got, Receiver, answer, receiving
from tests.adapters.webhook_node import SECRET, STATES, Node, delivering, states


async def test_a_call_is_told_in_order_and_signed() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.subscribe(receiver.url)
        await node.calls.whole("c1")
        await receiver.wait(lambda: states(receiver.events("c1")) == STATES)
        for got in receiver.got:
            got.check(SECRET)
        events = receiver.events("c1")
        assert [event["action"] for event in (events[0], events[1], events[-1])] == ["INSERT", "UPDATE", "DELETE"]
        assert [event["sequence"] for event in events] == sorted({event["sequence"] for event in events})
        assert len({event["id"] for event in events}) == len(events)


async def test_a_failed_message_is_tried_again_and_what_follows_waits_for_it() -> None:
    async with receiving() as receiver, delivering() as node:
        refuse = {"orig-ringing"}

        def respond(got: Got) -> bytes:
            return answer(500 if got.events[-1]["call-state"] in refuse else 200)

        receiver.respond = respond
        await node.subscribe(receiver.url)
        await node.calls.whole("c1")
        await node.calls.whole("c2")
        await receiver.wait(lambda: len(receiver.got) == 6)  # requested, claimed, and the refused, of each
        assert states(receiver.events("c1")) == STATES[:3]
        refuse.clear()
        node.clock.ahead += 4.0
        await asyncio.sleep(0.1)
        assert len(receiver.got) == 6
        node.clock.ahead += 2.0
        courier = node.webhooks.courier("s1")
        assert courier is not None
        courier._wake.set()
        await receiver.wait(lambda: states(receiver.events("c1")) == STATES)
        await receiver.wait(lambda: states(receiver.events("c2")) == STATES)
        twice = [got.webhook_id for got in receiver.got if got.events[-1]["call-state"] == "orig-ringing"]
        assert len(twice) == 4
        assert len(set(twice)) == 2, "an attempt bears the id of its message"
        await receiver.wait(lambda: not courier.parked)
        found = await logged(node, "s1", 16)
        assert [one.outcome for one in found].count("failed") == 2
        assert {one.number for one in found if one.outcome == "failed"} == {1}
        assert all(one.next_at for one in found if one.outcome == "failed")


async def test_a_dead_receiver_harms_nobody_else_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_FAILED", 8)
    async with receiving() as alive, delivering() as node:
        async with receiving() as dead:
            url, port = dead.url, dead.port
        await node.subscribe(url, "dead")
        await node.subscribe(alive.url, "alive")
        for number in range(40):
            await node.calls.whole(f"c{number}")
        await alive.wait(lambda: is_whole(alive, 40))
        courier = node.webhooks.courier("dead")
        assert courier is not None
        await alive.wait(lambda: len(courier.parked) >= 8)
        assert len(courier.parked) <= 8 + AT_ONCE, "the bus keeps the rest"
        async with receiving(port) as back:

            def is_through() -> bool:
                node.clock.ahead += 30.0
                courier._wake.set()
                return is_whole(back, 40)

            await back.wait(is_through)


async def test_calls_that_a_receiver_refuses_do_not_keep_others_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses more calls than may wait, one after the other: newer ones are told of all the same, and at once."""
    monkeypatch.setattr(deliveries, "MOST_FAILED", 8)
    monkeypatch.setattr(deliveries, "MOST_PARKED", 12)
    async with receiving() as receiver, delivering() as node:
        receiver.respond = lambda got: answer(500 if got.events[0]["call-id"].startswith("bad") else 200)
        await node.subscribe(receiver.url)
        for number in range(20):
            await node.calls.whole(f"bad{number}")
            await node.calls.whole(f"c{number}")
            await receiver.wait(lambda number=number: is_whole(receiver, number + 1))  # type: ignore[misc] # bound now
        courier = node.webhooks.courier("s1")
        assert courier is not None
        await receiver.wait(lambda: len(courier.parked) == 12)
        found = await logged(node, "s1", 168)
        given_up = [one for one in found if one.outcome == "given-up"]
        assert len(given_up) == 8
        assert {one.error for one in given_up} == {"more calls failed than can wait for another attempt"}
        figures = node.desk.figures()
        assert (figures.subscriptions, figures.waiting) == (1, 12)
        assert figures.attempts == {"delivered": 140, "failed": 20, "given-up": 8}
        assert figures.oldest_at is not None
        assert figures.oldest_at <= node.clock.now()


async def test_a_receiver_that_refused_only_is_tried_with_newer_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_FAILED", 8)
    async with receiving() as receiver, delivering() as node:
        receiver.respond = lambda got: answer(500 if got.events[0]["call-id"].startswith("bad") else 200)
        await node.subscribe(receiver.url)
        for number in range(8):
            await node.calls.whole(f"bad{number}")
        courier = node.webhooks.courier("s1")
        await receiver.wait(lambda: courier is not None and len(courier.parked) == 8)
        for number in range(5):
            await node.calls.whole(f"c{number}")
        await asyncio.sleep(0.1)
        assert not is_whole(receiver, 5)
        node.clock.ahead += deliveries.PROBE_S
        assert courier is not None
        courier._wake.set()
        await receiver.wait(lambda: is_whole(receiver, 5))
        assert len(courier.parked) == 8


async def test_a_slow_receiver_is_given_up_and_delays_nobody() -> None:
    async with receiving() as slow, receiving() as quick, delivering(timeout_s=0.3) as node:
        slow.delay_s = 5.0
        await node.subscribe(slow.url, "slow")
        await node.subscribe(quick.url, "quick")
        for number in range(20):
            await node.calls.whole(f"c{number}")
        await quick.wait(lambda: is_whole(quick, 20))
        assert slow.most_at_once <= 4
        (first, *_) = await logged(node, "slow", 1)
        assert first.error == "no whole answer within 0.3 s"


async def test_a_tenant_with_many_slow_receivers_waits_for_them_alone() -> None:
    async with receiving() as slow, receiving() as quick, delivering(timeout_s=60.0) as node:
        slow.delay_s = 60.0
        await node.bus.put_record(Domain("slow.example"))
        for number in range(20):
            await node.subscribe(slow.url, f"slow{number}", holder_domain="slow.example")
        await node.subscribe(quick.url, "quick", holder_domain=DOMAIN)
        await slow.wait(lambda: len(node.webhooks.held) == 21)
        for number in range(4):
            await node.calls.begin(f"c{number}")
        await quick.wait(lambda: len(quick.got) == 4)
        assert slow.at_once == MOST_OF_ONE[Turn.WORKING]


async def test_a_test_does_not_wait_for_receivers_that_do_not_answer() -> None:
    async with receiving() as slow, receiving() as quick, delivering(timeout_s=60.0) as node:
        slow.delay_s = 60.0
        dead = await node.subscribe(slow.url, "dead", holder_domain="slow.example")
        mine = await node.subscribe(quick.url, "mine", holder_domain=DOMAIN)
        async with asyncio.TaskGroup() as group:
            tests = [group.create_task(node.desk.test(dead)) for _ in range(40)]
            await slow.wait(lambda: slow.at_once == MOST_OF_ONE[Turn.BY_HAND])
            async with asyncio.timeout(2):
                assert (await node.desk.test(mine)).outcome == "delivered"
            assert {tenant for _, tenant in node.parts.places._own} == {"domain slow.example"}, "who waits, and no more"
            for one in tests:
                one.cancel()


async def test_410_ends_a_subscription_and_a_new_url_begins_it_again() -> None:
    async with receiving() as receiver, delivering() as node:
        receiver.respond = lambda _: answer(410)
        one = await node.subscribe(receiver.url)
        await node.calls.whole("c1")
        await receiver.wait(lambda: receiver.got and not node.webhooks.held)
        progress = (await node.desk.progress(["s1"]))["s1"]
        assert (progress.ended_restarts, progress.is_failing, progress.node) == (0, True, "")
        seen = len(receiver.got)
        receiver.respond = lambda _: answer(200)
        await node.calls.whole("c2")
        await asyncio.sleep(0.1)
        assert len(receiver.got) == seen
        await node.bus.put_record(msgspec.structs.replace(one, restarts=1))
        await receiver.wait(lambda: states(receiver.events("c2")) == STATES)


async def test_a_redirect_is_a_failure() -> None:
    async with receiving() as receiver, receiving() as elsewhere, delivering() as node:
        location = f"Location: {elsewhere.url}".encode()
        receiver.respond = lambda _: answer(307, b"", location)
        await node.subscribe(receiver.url)
        await node.calls.begin("c1")
        (attempt,) = await logged(node, "s1", 1)
        assert (attempt.outcome, attempt.status, attempt.error) == ("failed", 307, "redirects are not followed")
        assert elsewhere.got == []


async def test_only_what_it_is_about_is_told() -> None:
    other = DomainName("other.example")
    async with receiving() as receiver, delivering() as node:
        await node.bus.put_record(Domain(other, reseller="else"))
        for name, more in {
            "user": {"user": "1002"},
            "stranger": {"user": "1003"},
            "reseller": {"domain": "*", "reseller": "acme"},
            "all": {"domain": "*"},
            "cdr": {"model": "cdr"},
        }.items():
            await node.subscribe(f"{receiver.url}/{name}", name, **more)
        await node.calls.whole("c1")
        await node.calls.whole("c2", user="1002")
        await node.calls.whole("c3", domain=other)

        def told(name: str) -> set[str]:
            return {got.events[0]["call-id"] for got in receiver.got if got.path == f"/hook/{name}"}

        await receiver.wait(lambda: told("all") == {"c1", "c2", "c3"})
        await receiver.wait(lambda: told("cdr") == told("reseller") == {"c1", "c2"})
        await receiver.wait(lambda: told("user") == {"c1", "c2"})
        assert told("stranger") == set()

        def rung() -> list[dict[str, object]]:
            events = [event for got in receiver.got if got.path == "/hook/user" for event in got.events]
            return [event for event in events if event["call-id"] == "c1"]

        # From when the user's phone is called.
        await receiver.wait(lambda: states(rung()) == ["orig-answered", "term-ringing", "connected", "ended"])
        cdrs = [event for got in receiver.got if got.path == "/hook/cdr" for event in got.events]
        assert [(cdr["object"], cdr["action"], cdr["duration"]) for cdr in cdrs] == [("cdr", "INSERT", 9)] * 2


async def test_a_private_address_is_refused_unless_it_is_allowed() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.subscribe(receiver.url.replace("127.0.0.1", "[::ffff:127.0.0.1]"), "mapped")
        await node.subscribe("http://10.255.255.1:9/", "private")
        await node.subscribe("http://2130706433:9/x", "number")
        await node.calls.begin("c1")
        for name in ("mapped", "private"):
            (attempt,) = await logged(node, name, 1)
            assert "an address that is not allowed" in attempt.error
        assert receiver.got == []


async def test_a_node_that_comes_back_goes_on_where_it_stood() -> None:
    hub = MemoryHub()
    async with receiving() as receiver:
        async with delivering(hub) as node:
            await node.subscribe(receiver.url)
            await node.calls.begin("c1")
            await node.calls.step("c1")
            await receiver.wait(lambda: len(receiver.got) == 2)
            await logged(node, "s1", 2)  # the answers have arrived too
        calls = node.calls
        for _ in range(5):
            await calls.step("c1")
        async with delivering(hub):
            await receiver.wait(lambda: states(receiver.events("c1")) == STATES)
        assert len(receiver.got) == 7, "an orderly stop repeats nothing"


async def test_another_node_takes_over_from_one_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TICK_S", 0.05)
    monkeypatch.setattr(webhooks, "DEAD_AFTER_S", 1.5)  # a busy machine stops both for a while
    hub = MemoryHub()
    async with receiving() as receiver, delivering(hub, "a") as one, delivering(hub, "b") as two:
        for number in range(8):
            await one.subscribe(f"{receiver.url}/{number}", f"s{number}")
        everything = {f"s{number}" for number in range(8)}

        def is_shared_out() -> bool:
            here, there = one.webhooks.held, two.webhooks.held
            return bool(here and there) and here | there == everything and not here & there

        await receiver.wait(is_shared_out)  # one that began before it saw the other may have to let go of some
        await one.calls.begin("c1")
        await receiver.wait(lambda: len(receiver.got) == 8)
        one.die()
        await two.calls.adopt(one.calls).step("c1")
        await receiver.wait(lambda: two.webhooks.held == everything)
        await receiver.wait(lambda: len({got.webhook_id for got in receiver.got}) == 16)


async def test_what_was_sent_can_be_sent_again_and_tested() -> None:
    async with receiving() as receiver, delivering() as node:
        one = await node.subscribe(receiver.url)
        await node.calls.begin("c1")
        (attempt,) = await logged(node, "s1", 1)
        assert attempt.delivery_id == receiver.got[0].webhook_id
        again = await node.desk.resend(one, attempt.delivery_id)
        assert again is not None
        assert (again.kind, again.outcome) == ("resend", "delivered")
        assert receiver.got[1].body == receiver.got[0].body
        assert receiver.got[1].webhook_id == receiver.got[0].webhook_id
        tested = await node.desk.test(one)
        receiver.got[2].check(SECRET)
        assert receiver.got[2].events[0]["object"] == "test"
        assert tested.status == 204
        for name in ("msg_s1_999999", "msg_s2_8", "msg_s1_x", "", attempt.delivery_id + "0"):
            assert await node.desk.resend(one, name) is None
        assert {one.kind for one in await logged(node, "s1", 3)} == {"event", "resend", "test"}


async def test_nothing_is_sent_again_that_was_never_sent() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.calls.whole("before")
        one = await node.subscribe(receiver.url)
        await node.calls.begin("after")
        (sent,) = await logged(node, "s1", 1)
        prefix = sent.delivery_id.rpartition("_")[0]
        found = [await node.desk.resend(one, f"{prefix}_{position}") for position in range(200)]
        assert [attempt.delivery_id for attempt in found if attempt is not None] == [sent.delivery_id]


async def test_the_answer_is_read_to_a_limit_and_shown_in_part() -> None:
    async with receiving() as receiver, delivering() as node:
        receiver.respond = lambda _: answer(503, b"no\x00\x1b " + b"x" * 1_000_000)
        await node.subscribe(receiver.url)
        await node.calls.begin("c1")
        (attempt,) = await logged(node, "s1", 1)
        assert attempt.excerpt.startswith("no   xxx")
        assert len(attempt.excerpt) <= 256


async def test_an_expired_subscription_is_deleted() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.subscribe(receiver.url, expires_at=node.clock.now() + 60)
        await receiver.wait(lambda: node.webhooks.held)
        node.clock.ahead += 61
        await node.bus.put_record(User(DOMAIN, "1001"))
        await node.subscribe(receiver.url, "s2")
        await receiver.wait(lambda: node.webhooks.held == {"s2"})
        await deleted(node, "s1")


async def test_one_that_only_a_node_that_is_gone_may_deliver_is_deleted_all_the_same() -> None:
    async with receiving() as receiver, delivering() as node:
        only = {"subscription_geo_support": "no", "preferred_server": "nowhere"}
        await node.subscribe(receiver.url, expires_at=node.clock.now() + 60, **only)
        await node.subscribe(receiver.url, "s2")
        await receiver.wait(lambda: node.webhooks.held == {"s2"})
        node.clock.ahead += 61
        await node.subscribe(receiver.url, "s3")
        await receiver.wait(lambda: node.webhooks.held == {"s2", "s3"})
        await deleted(node, "s1")


async def test_a_subscription_goes_with_those_that_it_is_about() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.subscribe(receiver.url, "gone", user="1001")
        await node.subscribe(receiver.url, "stays")
        await receiver.wait(lambda: node.webhooks.held == {"gone", "stays"})
        await node.bus.delete_record("user", (DOMAIN, "1001"))
        await node.subscribe(receiver.url, "later")
        await receiver.wait(lambda: node.webhooks.held == {"stays", "later"})
        await deleted(node, "gone")


async def test_without_subscriptions_nothing_is_written_and_no_call_is_looked_at() -> None:
    hub = MemoryHub()
    async with delivering(hub) as node:
        await node.calls.whole("c1")
        assert hub.writes[Stream.WEBHOOKS] == 0
        assert node.replica.listeners == 0


def is_whole(receiver: Receiver, calls: int) -> bool:
    """Return whether every call was told, each from its first state to its last in order."""
    return all(states(receiver.events(f"c{number}")) == STATES for number in range(calls))


async def deleted(node: Node, name: str) -> None:
    """Return once a subscription is no longer there."""
    async with asyncio.timeout(10):
        while await node.store.subscription(name) is not None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


async def logged(node: Node, name: str, count: int) -> list[Attempt]:
    """Return the logged attempts, oldest first, once there are `count`."""
    async with asyncio.timeout(10):
        while len(found := await node.desk.attempts(name)) < count:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)
    return found[::-1]
