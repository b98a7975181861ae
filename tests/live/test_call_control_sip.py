"""Hold and transfer as SIP has them: refusals, offers that cross, and a node that is killed in the middle."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from ringbridge.media.sdp import Direction, parse
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


async def consulting(stage: Stage, name: str, number: int) -> tuple[PartyCall, PartyCall, PartyCall, PartyCall]:
    """Bring up two calls of one user; return the user's phones in both, and the far ones."""
    own, far = await stage.connected(name, f"71{number}", f"72{number}")
    own2, far2 = await stage.connected(f"{name}-2", f"73{number}", f"74{number}")
    return own, own2, far, far2


async def joined(stage: Stage, name: str, *own: PartyCall) -> dict[str, Any]:
    """Return the first call once the far parties are joined."""
    for phone in own:
        await until(phone.ended.is_set, within_s=10)
    await stage.api.in_state(f"{name}-2", "ended")
    return await stage.api.in_state(name, "connected")


async def test_the_party_that_is_taken_over_is_offered_the_other_call_s_address(stage: Stage) -> None:
    own, own2, far, far2 = await consulting(stage, "joined", 110)
    await stage.order("joined", "transfer", call_destination_session_id="joined-2")
    call = await joined(stage, "joined", own, own2)
    assert (far.reinvited, far2.reinvited) == (0, 1), "one new offer, to the one who is taken over"
    assert far2.offered == [Direction.SENDRECV]
    ports = [parse(one).media[0].port for one in (far2.offer, far2.offers[0], own.offer)]
    assert ports[1] == ports[2] != ports[0], "that of the phone whose place it takes"
    origins = [parse(one).origin for one in (far2.offer, far2.offers[0])]
    assert (origins[1].session_id, origins[1].version) == (origins[0].session_id, origins[0].version + 1)
    assert call["call-legs"][2]["sip-call-id"] == (await stage.api.call("joined-2"))["call-term-call-id"]
    far2.hang_up()
    await until(far.ended.is_set, within_s=5)
    assert (await stage.api.cdr("joined"))["call-disconnect-reason-text"] == "Term: Bye"


async def test_a_party_that_meets_the_offer_with_another_is_asked_again(stage: Stage) -> None:
    own, own2, far, far2 = await consulting(stage, "met", 120)
    far2.says = deque([491])
    await stage.order("met", "transfer", call_destination_session_id="met-2")
    await joined(stage, "met", own, own2)
    assert far2.reinvited == 2
    assert await stage.api.delete("met") == 202
    await until(lambda: not (far.is_up or far2.is_up), within_s=5)


async def test_a_party_that_will_not_go_over_is_released_and_the_first_call_goes_on(stage: Stage) -> None:
    own, own2, far, far2 = await consulting(stage, "unwilling", 130)
    far2.says = deque([488])
    await stage.order("unwilling", "transfer", call_destination_session_id="unwilling-2")
    call = await stage.settled("unwilling")
    assert (call["call-state"], call["call-order"]["release-cause"]["sip-status"]) == ("connected", 488)
    await until(far2.ended.is_set, within_s=5)
    assert own.is_up
    assert far.is_up
    await until(own2.ended.is_set, within_s=5)
    assert (await stage.api.cdr("unwilling-2"))["release-cause"]["reason"] == "transferred"
    assert await stage.api.delete("unwilling") == 202


async def test_a_node_that_is_killed_while_it_takes_a_party_over_goes_on_with_it(stage: Stage) -> None:
    own, own2, far, far2 = await consulting(stage, "taken", 140)
    far2.says = deque([0])
    await stage.order("taken", "transfer", call_destination_session_id="taken-2")
    await until(lambda: far2.reinvited == 1, within_s=5)
    await stage.node.kill()
    far2.party.endpoint.answer_reinvite(far2.session, far2.party.now(), status=500)
    await stage.node.start()
    await joined(stage, "taken", own, own2)
    assert far.is_up
    assert far2.is_up
    far.hang_up()
    await until(far2.ended.is_set, within_s=5)
    for name in ("taken", "taken-2"):
        await stage.api.cdr(name)


async def test_a_party_that_hangs_up_while_nobody_listens_is_missed(stage: Stage) -> None:
    own, own2, far, far2 = await consulting(stage, "gone", 150)
    far2.says = deque([0])
    await stage.order("gone", "transfer", call_destination_session_id="gone-2")
    await until(lambda: far2.reinvited == 1, within_s=5)
    await stage.node.kill()
    far2.hang_up()
    await stage.node.start()
    assert (await stage.settled("gone"))["call-order"]["release-cause"] is not None
    assert own.is_up
    assert far.is_up
    await until(own2.ended.is_set, within_s=10)
    assert await stage.api.delete("gone") == 202
    for name in ("gone", "gone-2"):
        await stage.api.cdr(name)
    await until(lambda: not (own.is_up or far.is_up), within_s=5)


@pytest.mark.timeout(180)
async def test_a_node_killed_at_any_moment_of_an_attended_transfer_leaves_nothing(stage: Stage) -> None:
    """kill -9 some milliseconds into it: all four phones end up on hook, and both calls have one CDR."""
    outcomes: list[str] = []
    for number, after_ms in enumerate((0, 1, 2, 4, 6, 9, 13, 20, 40, 260), start=1):
        name = f"killed-{after_ms}"
        phones = await consulting(stage, name, 1600 + number)
        path = f"{stage.api.path}/{name}/transfer"
        ordering = asyncio.create_task(stage.api.http.patch(path, json={"call-destination-session-id": f"{name}-2"}))
        await asyncio.sleep(after_ms / 1000)
        await stage.restarted()
        await asyncio.gather(ordering, return_exceptions=True)
        call = await stage.api.call(name)
        outcome = "not stored" if call["call-order"] is None else "as before"
        if call["call-order"] is not None and (await stage.settled(name))["call-order"]["release-cause"] is None:
            await joined(stage, name, *phones[:2])
            assert all(phone.is_up for phone in phones[2:])
            outcome = "joined"
        outcomes.append(outcome)
        for one in (name, f"{name}-2"):
            assert await stage.api.delete(one) == 202
        cdrs = [await stage.api.cdr(one, within_s=15) for one in (name, f"{name}-2")]
        assert len({cdr["id"] for cdr in cdrs}) == 2
        await until(lambda phones=phones: not any(phone.is_up for phone in phones), within_s=10)  # type: ignore[misc] # bound now
    names = [one["call-id"] for one in await stage.api.cdrs()]
    assert {name: names.count(name) for name in names if names.count(name) != 1} == {}
    await stage.api.quiet()
    print(f"outcomes of kills: {outcomes}")  # noqa: T201


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
