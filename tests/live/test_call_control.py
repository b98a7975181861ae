"""Hold and transfer as three phones hear them: a whole node, its relay, and sound that is measured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from ringbridge.phone.settings import Behaviour
from tests.live.node import Api, Node, document, node, user
from tests.live.talkers import MUSIC, NOBODY, RINGS, Talker, all_hung_up, talkers

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Stage:
    """A node with three users, each with one phone."""

    node: Node
    api: Api
    ann: Talker
    bob: Talker
    cid: Talker

    async def connected(self, call_id: str) -> None:
        """Place a call from Ann to Bob and return once they hear each other."""
        await self.api.place(call_id, "1001", "1002")
        await self.api.in_state(call_id, "connected")
        await self.ann.hears(self.bob)
        await self.bob.hears(self.ann)

    async def order(self, call_id: str, verb: str, **body: str) -> int:
        """PATCH; return the status."""
        answer = await self.api.http.patch(
            f"{self.api.path}/{call_id}/{verb}", json={name.replace("_", "-"): value for name, value in body.items()}
        )
        return answer.status_code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    directory = document(users=[user(name, name) for name in ("1001", "1002", "1003")])
    async with node(directory) as (one, api):
        slow = Behaviour(answer_after_s=1.5, tone_hz=1400)
        phones = (Talker(one, "1001", 1000), Talker(one, "1002", 1200), Talker(one, "1003", 1400, behaviour=slow))
        async with talkers(one, *phones):
            yield Stage(one, api, *phones)
        assert one.faults() == []


async def test_hold_gives_the_other_party_music_and_unhold_both_back(stage: Stage) -> None:
    await stage.connected("held")
    assert await stage.order("held", "hold") == 202
    await stage.api.in_state("held", "held")
    await stage.bob.hears(MUSIC)
    await stage.ann.hears(NOBODY)
    assert await stage.order("held", "unhold") == 202
    await stage.api.in_state("held", "connected")
    await stage.ann.hears(stage.bob)
    await stage.bob.hears(stage.ann)
    assert await stage.api.delete("held") == 202
    cdr = await stage.api.cdr("held")
    assert cdr["call-on-hold-duration-seconds"] >= 1
    await all_hung_up(stage.ann, stage.bob)


async def test_the_second_leg_holds_by_its_own_name(stage: Stage) -> None:
    await stage.connected("held-by-bob")
    name = (await stage.api.call("held-by-bob"))["call-term-call-id"]
    assert await stage.order(name, "hold") == 202
    await stage.api.in_state("held-by-bob", "held")
    await stage.ann.hears(MUSIC)
    await stage.bob.hears(NOBODY)
    assert await stage.order(name, "unhold") == 202
    await stage.bob.hears(stage.ann)
    stage.ann.phone.hang_up()
    assert (await stage.api.cdr("held-by-bob"))["call-ended-by"] == "origination"
    await all_hung_up(stage.ann, stage.bob)


async def test_a_transfer_joins_the_other_party_with_the_new_one(stage: Stage) -> None:
    await stage.connected("passed-on")
    assert await stage.order("passed-on", "transfer", call_term_user="1003") == 202
    await stage.bob.hears(RINGS)
    await stage.bob.hears(stage.cid)
    await stage.cid.hears(stage.bob)
    assert stage.ann.hung_up()
    call = await stage.api.call("passed-on")
    assert (call["call-state"], call["call-orig-user"], call["call-term-user"]) == ("connected", "1002", "1003")
    stage.cid.phone.hang_up()
    cdr = await stage.api.cdr("passed-on")
    assert (cdr["call-orig-user"], cdr["call-term-user"]) == (1002, "1003")
    assert (cdr["call-through-user"], cdr["call-through-action"]) == ("1001", "transfer")
    assert cdr["call-disconnect-reason-text"] == "Term: Bye", "the one who came is the second party"
    await all_hung_up(stage.ann, stage.bob, stage.cid)


async def test_the_second_leg_is_transferred_from_hold(stage: Stage) -> None:
    await stage.connected("passed-back")
    name = (await stage.api.call("passed-back"))["call-term-call-id"]
    assert await stage.order(name, "hold") == 202
    await stage.ann.hears(MUSIC)
    assert await stage.order(name, "transfer", call_term_user="1003") == 202
    await stage.ann.hears(RINGS)
    await stage.ann.hears(stage.cid)
    await stage.cid.hears(stage.ann)
    assert stage.bob.hung_up()
    assert await stage.api.delete("passed-back") == 202
    assert (await stage.api.cdr("passed-back"))["call-on-hold-duration-seconds"] >= 1
    await all_hung_up(stage.ann, stage.bob, stage.cid)


async def test_whoever_transfers_may_hang_up_at_once(stage: Stage) -> None:
    await stage.connected("dropped")
    assert await stage.order("dropped", "transfer", call_term_user="1003") == 202
    stage.ann.phone.hang_up()
    await stage.bob.hears(RINGS)
    await stage.bob.hears(stage.cid)
    assert await stage.api.delete("dropped") == 202
    await all_hung_up(stage.ann, stage.bob, stage.cid)


@pytest.mark.parametrize("held", [True, False])
async def test_an_attended_transfer_joins_the_other_parties_of_two_calls(stage: Stage, *, held: bool) -> None:
    first, second = f"first-{held}", f"second-{held}"
    await stage.connected(first)
    if held:
        assert await stage.order(first, "hold") == 202
        await stage.bob.hears(MUSIC)
    await stage.api.place(second, "1001", "1003")
    session = (await stage.api.in_state(second, "connected"))["call-session-id"]
    await stage.cid.hears(stage.ann)
    assert await stage.order(first, "transfer", call_destination_session_id=session, hostname="any") == 202
    await stage.bob.hears(stage.cid)
    await stage.cid.hears(stage.bob)
    assert stage.ann.hung_up()
    call = await stage.api.in_state(first, "connected")
    assert (call["call-orig-user"], call["call-term-user"], call["call-by-user"]) == ("1002", "1003", "1001")
    await stage.api.in_state(second, "ended")
    stage.bob.phone.hang_up()
    cdr = await stage.api.cdr(first)
    assert (cdr["call-orig-user"], cdr["call-term-user"], cdr["call-through-user"]) == (1002, "1003", "1001")
    assert (cdr["call-through-action"], cdr["call-disconnect-reason-text"]) == ("transfer", "Orig: Bye")
    assert (cdr["call-on-hold-duration-seconds"] > 0) is held
    cdr = await stage.api.cdr(second)
    assert (cdr["call-orig-user"], cdr["call-term-user"], cdr["call-through-user"]) == (1001, "1003", "1001")
    assert cdr["release-cause"] == {"result": "completed", "reason": "transferred", "sip-status": None}
    await all_hung_up(stage.ann, stage.bob, stage.cid)


async def test_a_target_that_rejects_leaves_both_talking(stage: Stage) -> None:
    await stage.connected("refused")
    assert await stage.order("refused", "transfer", call_term_user="1003") == 202
    await stage.bob.hears(RINGS)
    assert await stage.order("refused", "reject") == 202
    await stage.bob.hears(stage.ann)
    await stage.ann.hears(stage.bob)
    assert stage.cid.hung_up()
    assert (await stage.api.call("refused"))["call-order"]["release-cause"]["reason"] == "rejected"
    assert await stage.api.delete("refused") == 202
    await all_hung_up(stage.ann, stage.bob, stage.cid)
