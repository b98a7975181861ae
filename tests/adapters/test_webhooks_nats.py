"""Two nodes that deliver over one real bus, and what becomes of a subscription when they come, stall and go."""

from __future__ import annotations

from ringbridge.adapters.nats.bus import NatsBus
from tests.adapters.receiver import receiving
from tests.adapters.two_nodes import buses
from tests.adapters.webhook_node import STATES, delivering, states

__all__ = ["buses"]


async def test_the_other_takes_over_when_the_connection_of_one_is_gone(buses: tuple[NatsBus, NatsBus]) -> None:
    async with receiving() as receiver, delivering(buses[0], "a") as one, delivering(buses[1], "b") as two:
        everything = {f"s{number}" for number in range(6)}
        for name in sorted(everything):
            await two.subscribe(f"{receiver.url}/{name}", name)
        await receiver.wait(lambda: one.webhooks.held | two.webhooks.held == everything)
        await receiver.wait(lambda: not one.webhooks.held & two.webhooks.held)
        await two.calls.begin("c1")
        await two.calls.step("c1")
        await receiver.wait(lambda: len({got.webhook_id for got in receiver.got}) == 12)
        await buses[0].close()  # it can say nothing more, and goes on thinking that it delivers
        await receiver.wait(lambda: two.webhooks.held == everything)
        for _ in range(5):
            await two.calls.step("c1")

        def told(name: str) -> list[dict[str, object]]:
            """Return first arrivals: what was not noted as delivered before the connection went comes again."""
            events = [event for got in receiver.got if got.path == f"/hook/{name}" for event in got.events]
            return list({event["id"]: event for event in events}.values())

        await receiver.wait(lambda: all(states(told(name)) == STATES for name in everything))


async def test_an_orderly_stop_hands_over_at_once_and_repeats_nothing(buses: tuple[NatsBus, NatsBus]) -> None:
    async with receiving() as receiver, delivering(buses[1], "b") as two:
        async with delivering(buses[0], "a") as one:
            await one.subscribe(receiver.url, preferred_server="a")
            await receiver.wait(lambda: one.webhooks.held == {"s1"})
            await two.calls.begin("c1")
            # What is on its way when a node stops may come again; what its receiver has taken, and it knows, may not.
            await receiver.wait(lambda: one.desk.figures().attempts == {"delivered": 1})
        await receiver.wait(lambda: two.webhooks.held == {"s1"})
        for _ in range(6):
            await two.calls.step("c1")
        await receiver.wait(lambda: states(receiver.events("c1")) == STATES)
        assert len(receiver.got) == 7
        progress = (await two.desk.progress(["s1"]))["s1"]
        assert progress.node == "b"
