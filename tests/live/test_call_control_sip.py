"""Hold and transfer as SIP has them: refusals, offers that cross, and a node that is killed in the middle."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from ringbridge.media.sdp import Direction
from tests.live.node import Api, Node, connection, document, node, rule, until
from tests.live.party import Party, PartyCall

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Stage:
    """A node, and phones behind a carrier: numbers that begin with 7."""

    node: Node
    api: Api
    party: Party

    async def connected(self, call_id: str, first: str, second: str) -> tuple[PartyCall, PartyCall]:
        """Place a call and return both phones, connected."""
        await self.api.place(call_id, first, second)
        phones: list[PartyCall] = []
        for number in (first, second):
            phone = await self.party.called(number)
            phone.answer()
            await until(phone.acked.is_set, within_s=5)
            phones.append(phone)
        await self.api.in_state(call_id, "connected")
        return phones[0], phones[1]

    async def order(self, call_id: str, verb: str, **fields: str) -> None:
        """PATCH an order that has to be accepted."""
        body = {name.replace("_", "-"): value for name, value in fields.items()}
        answer = await self.api.http.patch(f"{self.api.path}/{call_id}/{verb}", json=body)
        assert answer.status_code == 202, answer.text

    async def settled(self, call_id: str) -> dict[str, Any]:
        """Return a call once its last order has been carried out, or was not."""
        async with asyncio.timeout(10):
            while True:
                call = await self.api.call(call_id)
                if call["call-order"] is not None and call["call-order"]["done-datetime"]:
                    return call
                await asyncio.sleep(0.02)

    async def restarted(self) -> None:
        """Kill the node and start it again."""
        await self.node.kill()
        await self.node.start()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with Party() as party:
        directory = document(connections=[connection("carrier", party.port)], rules=[rule("7", "carrier")])
        async with node(directory, settings={"sip.t1_s": 0.1, "sip.t2_s": 0.4}) as (one, api):
            yield Stage(one, api, party)
            assert party.rung_twice() == {}, "nobody is dialled twice"


async def test_hold_offers_each_party_its_direction(stage: Stage) -> None:
    first, second = await stage.connected("both", "71001", "72001")
    await stage.order("both", "hold")
    await stage.api.in_state("both", "held")
    await until(lambda: first.offered == [Direction.INACTIVE], within_s=5)
    assert second.offered == [Direction.RECVONLY]
    await stage.order("both", "unhold")
    await stage.api.in_state("both", "connected")
    assert (first.offered[-1], second.offered[-1]) == (Direction.SENDRECV, Direction.SENDRECV)
    assert await stage.api.delete("both") == 202


async def test_a_phone_that_refuses_to_be_held_is_not(stage: Stage) -> None:
    first, second = await stage.connected("refused", "71002", "72002")
    second.says = deque([488])
    await stage.order("refused", "hold")
    call = await stage.settled("refused")
    assert (call["call-state"], call["call-order"]["release-cause"]["sip-status"]) == ("connected", 488)
    assert first.reinvited == 0
    assert await stage.api.delete("refused") == 202


async def test_an_offer_that_met_another_is_made_again(stage: Stage) -> None:
    _, second = await stage.connected("glare", "71003", "72003")
    second.says = deque([491])
    await stage.order("glare", "hold")
    await stage.api.in_state("glare", "held", within_s=10)
    assert second.reinvited == 2
    assert await stage.api.delete("glare") == 202


async def test_a_node_that_is_killed_goes_on_with_a_hold(stage: Stage) -> None:
    first, second = await stage.connected("held-over", "71004", "72004")
    second.says = deque([0])
    await stage.order("held-over", "hold")
    await until(lambda: second.reinvited == 1, within_s=5)
    second.party.endpoint.answer_reinvite(second.session, second.party.now(), status=500)
    await stage.restarted()
    await stage.api.in_state("held-over", "held", within_s=15)
    await until(lambda: first.offered[-1:] == [Direction.INACTIVE], within_s=10)
    second.hang_up()
    cdr = await stage.api.cdr("held-over")
    assert cdr["call-on-hold-duration-seconds"] >= 0
    await until(first.ended.is_set, within_s=5)


async def test_a_node_that_is_killed_goes_on_with_a_transfer(stage: Stage) -> None:
    first, second = await stage.connected("passed-over", "71005", "72005")
    await stage.order("passed-over", "transfer", call_term_user="73005")
    third = await stage.party.called("73005")
    third.ring()
    await stage.restarted()
    third.answer()
    await until(third.acked.is_set, within_s=10)
    await until(first.ended.is_set, within_s=10)
    assert second.is_up
    assert third.is_up
    call = await stage.api.in_state("passed-over", "connected")
    assert call["call-order"]["release-cause"] is None
    second.hang_up()
    await until(third.ended.is_set, within_s=5)
    cdr = await stage.api.cdr("passed-over")
    assert (cdr["call-through-action"], cdr["call-disconnect-reason-text"]) == ("transfer", "Orig: Bye")
    assert [one["call-id"] for one in await stage.api.cdrs()].count("passed-over") == 1


async def test_a_target_that_refuses_after_a_restart_leaves_both_connected(stage: Stage) -> None:
    first, second = await stage.connected("passed-back", "71006", "72006")
    await stage.order("passed-back", "transfer", call_term_user="73006")
    third = await stage.party.called("73006")
    third.ring()
    await stage.restarted()
    third.refuse(486)
    assert (await stage.settled("passed-back"))["call-order"]["release-cause"]["reason"] == "busy"
    assert first.is_up
    assert second.is_up
    await stage.order("passed-back", "hold")
    await stage.api.in_state("passed-back", "held", within_s=15)
    assert await stage.api.delete("passed-back") == 202
    await until(lambda: not (first.is_up or second.is_up), within_s=5)
