"""Presence over one real bus and two nodes, of which one is cut off."""

from __future__ import annotations

import pytest

from ringbridge.adapters.nats.bus import NatsBus
from ringbridge.adapters.presence import watch
from ringbridge.model.errors import Conflict
from ringbridge.model.presence import Presence, UserPresence
from tests.adapters.receiver import receiving
from tests.adapters.test_presence import CALLED, CALLER, states, subscribe
from tests.adapters.two_nodes import buses
from tests.adapters.webhook_node import delivering

__all__ = ["buses"]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.05)


async def test_what_was_stored_is_read_back_in_order_and_two_writers_do_not_meet(
    buses: tuple[NatsBus, NatsBus],
) -> None:
    presence, domain = buses[0].presence, "a.b*>.example"
    assert await buses[0].presence_position() == 0
    assert await presence.last(domain, "1001") is None
    first = UserPresence(domain, "1001", calls={"c1": Presence.INUSE}, devices=("desk",), applied=(1, 2))
    assert await presence.put(first, after=0) == 1
    other = UserPresence("other", "1001")
    assert await presence.put(other, after=0) == 2
    with pytest.raises(Conflict):
        await buses[1].presence.put(first, after=0)
    second = first.after_device("desk", registered=False, at=1.0)
    assert await buses[1].presence.put(second, after=1) == 3
    last = await presence.last(domain, "1001")
    assert last is not None
    assert (last.presence, last.position) == (second, 3)
    found = [await presence.next(after, *where) for after, where in enumerate([(domain,), (None,), (domain, "1001")])]
    assert [one.position if one else 0 for one in found] == [1, 2, 3]
    assert await presence.next(1, domain, "1002") is None
    assert await presence.next(3, None) is None
    assert await buses[0].presence_position() == 3


async def test_the_other_goes_on_when_the_connection_of_one_is_gone(buses: tuple[NatsBus, NatsBus]) -> None:
    async with receiving() as receiver, delivering(buses[0], "a") as one, delivering(buses[1], "b") as two:
        await subscribe(two, receiver.url)

        def feeds() -> list[str]:
            return [node.name for node in (one, two) if node.webhooks._presence._running]

        await receiver.wait(lambda: len(feeds()) == 1 and one.webhooks.held | two.webhooks.held == {"s1"})
        calls = (one if feeds() == ["b"] else two).calls
        dead = buses[0] if feeds() == ["a"] else buses[1]
        await calls.begin("c1")
        for _ in range(3):
            await calls.step("c1")
        await receiver.wait(lambda: states(receiver, "1001") == CALLER[:2])
        await dead.close()
        for _ in range(3):
            await calls.step("c1")
        await receiver.wait(lambda: states(receiver, "1001") == CALLER and states(receiver, "1002") == CALLED)
