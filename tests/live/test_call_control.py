"""Hold and transfer as three phones hear them: a whole node, its relay, and sound that is measured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.live.node import Api, Node, document, node, user
from tests.live.talkers import MUSIC, NOBODY, Talker, all_hung_up, talkers

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
        answer = await self.api.http.patch(f"{self.api.path}/{call_id}/{verb}", json=body)
        return answer.status_code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    directory = document(users=[user(name, name) for name in ("1001", "1002", "1003")])
    async with node(directory) as (one, api):
        phones = (Talker(one, "1001", 1000), Talker(one, "1002", 1200), Talker(one, "1003", 1400))
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
