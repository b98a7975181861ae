"""Presence from calls and locations on a bus to a real receiver on 127.0.0.1."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from ringbridge.adapters.memory.bus import MemoryBus, MemoryHub
from ringbridge.adapters.nats.subjects import Stream, kept_subject
from ringbridge.adapters.presence import feed as presence_feed
from ringbridge.adapters.presence import watch
from ringbridge.adapters.presence.phones import phones_key
from ringbridge.adapters.webhooks import webhooks
from ringbridge.calls.events.ports import PresenceMessage
from ringbridge.model.deliveries import Attempt
from ringbridge.model.directory import Device, Domain, Location, Subscription
from ringbridge.model.ids import DomainName
from tests.adapters.bus_calls import DOMAIN, until
from tests.adapters.receiver import Got, Receiver, answer, receiving
from tests.adapters.webhook_node import SECRET, Node, delivering

CALLER = ["alerting", "inuse", "inactive"]
CALLED = ["alerting", "inuse", "inactive"]
"""What is told of each party of a whole call, neither having a phone that is registered."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.02)
    monkeypatch.setattr(webhooks, "TICK_S", 0.1)


async def subscribe(node: Node, url: str, name: str = "s1", **more: object) -> Subscription:
    """Subscribe to presence from now on, as the API does."""
    since = (await node.bus.presence_position(), *await node.bus.call_positions())
    return await node.subscribe(
        url, name, **{"model": "presence", "since": since, "created_at": node.clock.now(), **more}
    )


def of(receiver: Receiver, user: str, path: str = "/hook") -> list[dict[str, Any]]:
    """Return the objects that came of a user, without their repetitions."""
    every = [event for got in receiver.got if got.path == path for event in got.events if event["user"] == user]
    return list({event["id"]: event for event in every}.values())


def states(receiver: Receiver, user: str, path: str = "/hook") -> list[object]:
    return [event["presence"] for event in of(receiver, user, path)]


def phone(node: Node, device: str, *, port: int = 5062) -> Location:
    return Location(
        DOMAIN,
        device,
        f"sip:{device}@127.0.0.1:{port}",
        node.clock.now() + 600,
        registered_at=node.clock.now(),
    )


async def has_phones(node: Node, user: str, *devices: str) -> None:
    for device in devices:
        await node.bus.put_record(Device(DOMAIN, user, device))


async def begun(node: Node) -> None:
    """Return when the feed of the node runs."""
    await until(lambda: node.webhooks._presence._running)


async def test_a_call_is_told_for_each_user_in_order_and_signed() -> None:
    async with receiving() as receiver, delivering() as node:
        await subscribe(node, receiver.url)
        await node.calls.whole("c1")
        await receiver.wait(lambda: states(receiver, "1001") == CALLER and states(receiver, "1002") == CALLED)
        for got in receiver.got:
            got.check(SECRET)
        events = of(receiver, "1001")
        assert [event["sequence"] for event in events] == sorted({event["sequence"] for event in events})
        assert {(event["object"], event["action"], event["call-id"]) for event in events} == {
            ("presence", "UPDATE", "c1")
        }
        assert [event["calls"] for event in events] == [1, 1, 0]
        assert (events[0]["domain"], events[0]["hostname"], events[0]["devices"]) == (DOMAIN, "n1", [])


async def test_a_call_that_changes_nothing_for_a_busy_user_is_not_told_of() -> None:
    async with receiving() as receiver, delivering() as node:
        await subscribe(node, receiver.url)
        await node.calls.begin("c1")
        for _ in range(3):
            await node.calls.step("c1")
        await receiver.wait(lambda: states(receiver, "1001") == ["alerting", "inuse"])
        await node.calls.whole("c2")
        await receiver.wait(lambda: states(receiver, "1002") == CALLED)
        for _ in range(3):
            await node.calls.step("c1")
        await receiver.wait(lambda: states(receiver, "1001") == CALLER)
        await receiver.wait(lambda: states(receiver, "1002") == [*CALLED, *CALLED])


async def test_phones_that_come_and_go_are_told_of_and_those_that_stay_are_not() -> None:
    async with receiving() as receiver, delivering() as node:
        await has_phones(node, "1001", "desk", "mobile")
        await subscribe(node, receiver.url)
        await begun(node)
        await node.bus.put_location(phone(node, "desk"), ttl_s=600)
        await receiver.wait(lambda: states(receiver, "1001") == ["open"])
        await node.bus.put_location(phone(node, "desk"), ttl_s=600)  # as each few minutes
        await node.bus.put_location(phone(node, "desk", port=5099), ttl_s=600)
        await node.bus.put_location(phone(node, "mobile"), ttl_s=600)
        await receiver.wait(lambda: len(of(receiver, "1001")) == 2)
        await node.calls.whole("c1")
        await receiver.wait(lambda: states(receiver, "1001") == ["open", "open", "alerting", "inuse", "open"])
        for device, port in (("desk", 5062), ("desk", 5099), ("mobile", 5062)):
            await node.bus.delete_location(DOMAIN, device, phone(node, device, port=port).contact)
        await receiver.wait(lambda: states(receiver, "1001")[-1] == "inactive")
        events = of(receiver, "1001")
        assert [event["device"] for event in events] == ["desk", "mobile", "", "", "", "desk", "mobile"]
        assert [event["devices"] for event in events[:2]] == [["desk"], ["desk", "mobile"]]
        assert [event["devices"] for event in events[-2:]] == [["mobile"], []]


async def test_a_device_that_goes_to_another_user_leaves_the_first() -> None:
    async with receiving() as receiver, delivering() as node:
        await has_phones(node, "1001", "desk")
        await subscribe(node, receiver.url)
        await begun(node)
        await node.bus.put_location(phone(node, "desk"), ttl_s=600)
        await receiver.wait(lambda: states(receiver, "1001") == ["open"])
        await node.bus.delete_record("device", (DOMAIN, "desk"))
        await has_phones(node, "1002", "desk")
        await node.bus.put_location(phone(node, "desk", port=5063), ttl_s=600)
        await receiver.wait(lambda: states(receiver, "1002") == ["open"])
        assert states(receiver, "1001") == ["open", "inactive"]


async def test_a_phone_that_is_there_when_it_begins_is_no_change() -> None:
    async with receiving() as receiver, delivering() as node:
        await has_phones(node, "1001", "desk")
        await node.bus.put_location(phone(node, "desk"), ttl_s=600)
        await subscribe(node, receiver.url, created_at=node.clock.now() + 1.0)
        await begun(node)
        await node.bus.put_location(phone(node, "desk"), ttl_s=600)
        await node.calls.whole("c1")
        await receiver.wait(lambda: states(receiver, "1001") == ["alerting", "inuse", "open"])


async def test_what_it_is_not_about_is_not_told() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.bus.put_record(Domain("other.example", reseller="acme"))
        await subscribe(node, f"{receiver.url}/user", "s1", user="1002")
        await subscribe(node, f"{receiver.url}/domain", "s2", domain="other.example")
        await subscribe(node, f"{receiver.url}/reseller", "s3", domain="*", reseller="else")
        await subscribe(node, f"{receiver.url}/acme", "s4", domain="*", reseller="acme")
        await node.calls.whole("c1")
        await receiver.wait(lambda: states(receiver, "1001", "/hook/acme") == CALLER)
        await receiver.wait(lambda: states(receiver, "1002", "/hook/user") == CALLED)
        assert {got.path for got in receiver.got} == {"/hook/acme", "/hook/user"}
        assert states(receiver, "1001", "/hook/user") == []


async def test_a_failed_change_is_tried_again_and_what_follows_of_that_user_waits() -> None:
    async with receiving() as receiver, delivering() as node:
        refused: list[str] = []

        def respond(got: Got) -> bytes:
            (event,) = got.events
            if event["user"] == "1001" and event["presence"] == "inuse" and not refused:
                refused.append(event["id"])
                return answer(500)
            return answer(204)

        receiver.respond = respond
        await subscribe(node, receiver.url)
        await node.calls.whole("c1")
        await receiver.wait(lambda: states(receiver, "1002") == CALLED)
        assert states(receiver, "1001") == ["alerting", "inuse"]
        courier = node.webhooks.courier("s1")
        assert courier is not None
        assert [(one.domain, one.call_id) for one in courier.parked] == [(DOMAIN, "1001")]
        courier.hasten()
        await receiver.wait(lambda: states(receiver, "1001") == CALLER)
        assert sum(event["id"] == refused[0] for got in receiver.got for event in got.events) == 2
        await receiver.wait(lambda: not courier.parked)
        attempts: list[Attempt] = []
        while len(attempts) < 7:
            attempts = await node.desk.attempts("s1")
            await asyncio.sleep(0.05)
        assert {one.call_id for one in attempts} == {"c1"}
        again = await node.desk.resend(
            (await node.store.subscription("s1")) or pytest.fail("gone"), attempts[0].delivery_id
        )
        assert again is not None
        assert again.events == attempts[0].events


async def test_another_node_goes_on_and_nothing_is_missing_or_told_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "DEAD_AFTER_S", 0.5)
    monkeypatch.setattr(presence_feed, "FLUSH_S", 3600.0)  # it dies before it has noted anything
    hub = MemoryHub()
    async with receiving() as receiver, delivering(hub, "n1") as one:
        await subscribe(one, receiver.url)
        await begun(one)
        await one.calls.begin("c1")
        for _ in range(4):
            await one.calls.step("c1")
        await receiver.wait(lambda: states(receiver, "1001") == ["alerting", "inuse"])
        await receiver.wait(lambda: states(receiver, "1002") == ["alerting"])
        one.die()
        async with delivering(hub, "n2") as two:
            calls = two.calls.adopt(one.calls)
            for _ in range(2):
                await calls.step("c1")
            await receiver.wait(lambda: states(receiver, "1001") == CALLER and states(receiver, "1002") == CALLED)
            assert len(hub.streams[Stream.PRESENCE].entries) == 6, "what was derived before is not derived again"


async def test_phones_that_came_or_went_while_no_node_derived_are_told_of() -> None:
    """Also those of users of whom nothing was ever told; and no others."""
    hub = MemoryHub()
    async with receiving() as receiver:
        async with delivering(hub, "n1") as one:
            await has_phones(one, "1001", "desk", "stays")
            await has_phones(one, "1002", "mobile")
            for device in ("desk", "stays"):
                await one.bus.put_location(phone(one, device), ttl_s=600)
            await subscribe(one, receiver.url, created_at=one.clock.now() + 1.0)
            await begun(one)
            await until(lambda: kept_subject(phones_key(DOMAIN)) in hub.streams[Stream.WEBHOOKS].last)
        bus = MemoryBus(hub)
        await bus.delete_location(DOMAIN, "desk", phone(one, "desk").contact)
        await bus.put_location(phone(one, "mobile"), ttl_s=600)
        async with delivering(hub, "n2"):
            await receiver.wait(lambda: states(receiver, "1002") == ["open"])
            await receiver.wait(lambda: [event["devices"] for event in of(receiver, "1001")] == [["stays"]])
            assert of(receiver, "1001")[0]["device"] == "desk"


async def test_two_feeds_at_once_write_what_one_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TICK_S", 60.0)
    hub = MemoryHub()
    async with receiving() as receiver, delivering(hub, "n1") as one, delivering(hub, "n2") as two:
        subscription = await subscribe(one, receiver.url)
        await receiver.wait(lambda: "s1" in one.webhooks.held | two.webhooks.held)
        for node in (one, two):
            await node.webhooks._presence.share_out([subscription], frozenset({node.name}))
        for number in range(1, 6):
            await one.calls.whole(f"c{number}")
            await receiver.wait(lambda number=number: states(receiver, "1001") == number * CALLER)  # type: ignore[misc] # bound now
            await receiver.wait(lambda number=number: states(receiver, "1002") == number * CALLED)  # type: ignore[misc] # bound now
        assert all(node.webhooks._presence._running for node in (one, two))
        assert len(hub.streams[Stream.PRESENCE].entries) == 30


async def test_a_call_that_is_up_already_counts_and_is_told_of_when_it_changes() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.calls.begin("old")
        for _ in range(5):
            await node.calls.step("old")
        await subscribe(node, receiver.url)
        await begun(node)
        await node.calls.whole("c1")
        await until(lambda: len(node.bus.hub.streams[Stream.PRESENCE].entries) == 6)  # type: ignore[union-attr] # the one in memory
        assert receiver.got == [], "another call makes nobody busier"
        await node.calls.step("old")
        await receiver.wait(lambda: states(receiver, "1001") == ["inactive"] == states(receiver, "1002"))


async def test_without_a_subscription_nothing_is_derived() -> None:
    async with receiving() as receiver, delivering() as node:
        one = await subscribe(node, receiver.url)
        await begun(node)
        await node.calls.whole("c1")
        await receiver.wait(lambda: states(receiver, "1002") == CALLED)
        await node.bus.delete_record("subscription", one.key)
        await until(lambda: not node.webhooks._presence._running)
        entries = len(node.bus.hub.streams[Stream.PRESENCE].entries)  # type: ignore[union-attr] # it is the one in memory
        await node.calls.whole("c2")
        await asyncio.sleep(0.2)
        assert node.replica.listeners == 0
        assert len(node.bus.hub.streams[Stream.PRESENCE].entries) == entries  # type: ignore[union-attr] # as above
        assert await node.bus.read_kept(presence_feed.feed_key(DOMAIN)) is None


async def test_a_subscription_to_calls_becomes_one_to_presence_and_back() -> None:
    async with receiving() as receiver, delivering() as node:
        one = await node.subscribe(receiver.url)
        await node.calls.whole("c1")
        await receiver.wait(lambda: receiver.events("c1")[-1:] and receiver.events("c1")[-1]["action"] == "DELETE")
        await node.bus.put_record(msgspec.structs.replace(one, model="presence"))
        await begun(node)
        await receiver.wait(lambda: node.webhooks.courier("s1"))
        seen = len(receiver.got)
        await node.calls.whole("c2")
        await receiver.wait(lambda: len(receiver.got) == seen + 6)
        assert {event["object"] for got in receiver.got[seen:] for event in got.events} == {"presence"}
        await node.bus.put_record(one)

        def is_back() -> bool:
            courier = node.webhooks.courier("s1")
            return courier is not None and courier.subscription.model == "call"

        await receiver.wait(is_back)
        await node.calls.whole("c3")
        await receiver.wait(lambda: {event["object"] for event in receiver.events("c3")} == {"call"})


async def test_however_many_wait_for_presence_the_bus_is_asked_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """And all of them are told."""
    async with receiving() as receiver, delivering() as node:
        asked: list[str | None] = []
        read = node.bus.presence.next

        async def counted(after: int, domain: str | None, user: str | None = None) -> PresenceMessage | None:
            asked.append(domain)
            return await read(after, domain, user)

        monkeypatch.setattr(node.bus.presence, "next", counted)
        for number in range(20):
            await subscribe(node, receiver.url, f"s{number}")
        await until(lambda: len(node.webhooks.held) == 20)
        await begun(node)
        await until(lambda: asked[-3:] == [None] * 3)  # those of one domain have looked, and found nothing
        asked.clear()
        await until(lambda: len(asked) >= 10)
        assert set(asked) == {None}
        await node.calls.whole("c1")
        told = 20 * (len(CALLER) + len(CALLED))
        await receiver.wait(lambda: len({event["id"] for got in receiver.got for event in got.events}) * 20 == told)
        await receiver.wait(lambda: sum(len(got.events) for got in receiver.got) >= told)


async def test_of_other_domains_nothing_is_derived() -> None:
    async with receiving() as receiver, delivering() as node:
        await node.bus.put_record(Domain("other.example"))
        await subscribe(node, receiver.url, domain="other.example")
        await begun(node)
        await node.calls.whole("c1")
        await node.calls.whole("c2", domain=DomainName("other.example"))
        await asyncio.sleep(0.3)
        assert node.bus.hub.streams[Stream.PRESENCE].entries == []  # type: ignore[union-attr] # it is the one in memory
