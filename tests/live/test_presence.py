"""Presence as a subscriber is told of it: real phones that register, ring, hold and go, and a node that is killed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from ringbridge.phone.settings import Behaviour
from tests.adapters.receiver import Receiver, receiving
from tests.live.node import DOMAIN, Api, Node, document, node, user
from tests.live.talkers import Talker, all_hung_up, talkers

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Stage:
    """A node, two phones, and who is told of presence."""

    node: Node
    api: Api
    receiver: Receiver
    ann: Talker
    bob: Talker
    id: str
    secret: str

    def told(self, name: str) -> list[str]:
        """Return what was told of a user, without repetitions."""
        every = [event for got in self.receiver.got for event in got.events if event["user"] == name]
        return [event["presence"] for event in {event["id"]: event for event in every}.values()]

    async def tells(self, name: str, *presence: str) -> None:
        """Return once that, and no more, was told of a user."""
        try:
            await self.receiver.wait(lambda: self.told(name) == list(presence), timeout_s=15)
        except TimeoutError:
            pytest.fail(f"told of {name}: {self.told(name)}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    directory = document(users=[user(name, name) for name in ("1001", "1002")])
    allowed = {"webhooks.allowed_networks": "127.0.0.0/8"}
    async with receiving() as receiver, node(directory, settings=allowed) as (one, api):
        body = {"model": "presence", "post-url": receiver.url, "synchronous": "yes"}
        made = await api.http.post(f"/ns-api/v2/domains/{DOMAIN}/subscriptions", json=body)
        assert made.status_code == 200, made.text
        assert made.json()["status"] == "active"
        slow = Behaviour(answer_after_s=0.5, tone_hz=1000)
        ann, bob = Talker(one, "1001", 1000, behaviour=slow), Talker(one, "1002", 1000, behaviour=slow)
        built = Stage(one, api, receiver, ann, bob, made.json()["id"], made.json()["webhook-secret"])
        async with talkers(one, ann, bob):
            yield built
        await built.receiver.wait(lambda: built.told("1001")[-1] == built.told("1002")[-1] == "inactive", timeout_s=10)
        assert one.faults() == []


async def test_a_call_with_a_hold(stage: Stage) -> None:
    await stage.tells("1001", "open")
    await stage.tells("1002", "open")
    await stage.api.place("c1", "1001", "1002")
    await stage.api.in_state("c1", "connected")
    await stage.tells("1001", "open", "alerting", "inuse")
    await stage.tells("1002", "open", "alerting", "inuse")
    for verb in ("hold", "unhold"):
        answer = await stage.api.http.patch(f"{stage.api.path}/c1/{verb}", json={})
        assert answer.status_code == 202
        await stage.api.in_state("c1", "held" if verb == "hold" else "connected")
    assert await stage.api.delete("c1") == 202
    for name in ("1001", "1002"):
        await stage.tells(name, "open", "alerting", "inuse", "held", "inuse", "open")
    for got in stage.receiver.got:
        got.check(stage.secret)
    await all_hung_up(stage.ann, stage.bob)


async def test_nothing_is_missing_when_the_node_is_killed(stage: Stage) -> None:
    names = ("1001", "1002")
    await stage.receiver.wait(lambda: all(stage.told(name)[-1:] == ["open"] for name in names), timeout_s=15)
    seen = {name: stage.told(name) for name in names}
    await stage.api.place("c2", "1001", "1002")
    await stage.api.in_state("c2", "connected")
    await stage.node.kill()
    await stage.node.start()
    stage.bob.phone.hang_up()
    for name, before in seen.items():
        await stage.tells(name, *before, "alerting", "inuse", "open")
    read = await stage.api.http.get(f"/ns-api/v2/domains/{DOMAIN}/subscriptions/{stage.id}")
    assert (read.json()["model"], read.json()["status"]) == ("presence", "active")
    await all_hung_up(stage.ann, stage.bob)
