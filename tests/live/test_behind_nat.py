"""Hold and transfer of phones behind NAT: what they name as theirs is an address that nothing comes from.

What is sent to where the SDP says is heard by nobody, so each sound that is heard went to an address that the relay has
learned. Whoever is hidden: who transfers, who remains, who comes, or all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from ringbridge.adapters.relay.rtpproxy import Relay
from ringbridge.phone.settings import Behaviour
from tests.live.node import Api, Node, document, node, user
from tests.live.talkers import MUSIC, RINGS, Talker, all_hung_up, talkers

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY_S = "127.0.0.99"
"""An address where nobody listens."""
SLOW_S = 1.0


@dataclass
class Stage:
    """A node with three users behind NAT and two that are not."""

    node: Node
    api: Api
    phones: dict[str, Talker]

    def named(self, *names: str) -> tuple[Talker, ...]:
        return tuple(self.phones[name] for name in names)

    async def connected(self, call_id: str, first: str, second: str) -> None:
        """Place a call and return once both hear each other."""
        await self.api.place(call_id, self.phones[first].user, self.phones[second].user)
        await self.api.in_state(call_id, "connected")
        await self.hear_each_other(first, second)

    async def hear_each_other(self, first: str, second: str) -> None:
        one, other = self.named(first, second)
        await one.hears(other)
        await other.hears(one)

    async def order(self, call_id: str, verb: str, **body: str) -> None:
        """PATCH what has to be accepted."""
        answer = await self.api.http.patch(
            f"{self.api.path}/{call_id}/{verb}", json={name.replace("_", "-"): value for name, value in body.items()}
        )
        assert answer.status_code == 202, answer.text

    async def sessions(self) -> int:
        """Return how many sessions the relay has."""
        relay = await Relay.connect(self.node.relay.address)
        try:
            return (await relay.ping()).sessions
        finally:
            relay.close_client()

    async def over(self, call_id: str) -> None:
        """End a call and return once nothing is left of it."""
        assert await self.api.delete(call_id) == 202
        await self.api.in_state(call_id, "ended")
        await all_hung_up(*self.phones.values())
        assert await self.sessions() == 0


HIDDEN = {"ann": "1001", "bob": "1002", "cid": "1003"}
OPEN = {"dan": "1004", "eve": "1005"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    directory = document(users=[user(number, number) for number in (HIDDEN | OPEN).values()])
    async with node(directory, settings={"sip.t1_s": 0.1, "sip.t2_s": 0.4}) as (one, api):
        phones = {}
        for place, (name, number) in enumerate((HIDDEN | OPEN).items()):
            tone_hz, answer_after_s = 1000 + 200 * place, SLOW_S if name == "cid" else 0.05
            behaviour = Behaviour(answer_after_s=answer_after_s, tone_hz=tone_hz)
            named = NOBODY_S if name in HIDDEN else None
            phones[name] = Talker(one, number, tone_hz, behaviour=behaviour, public_address=named)
        async with talkers(one, *phones.values()):
            yield Stage(one, api, phones)
        assert one.faults() == []


@pytest.mark.parametrize(
    ("asker", "remains", "target"),
    [("ann", "bob", "cid"), ("ann", "dan", "eve"), ("dan", "bob", "eve"), ("dan", "eve", "cid"), ("dan", "bob", "cid")],
)
@pytest.mark.parametrize("held", [True, False])
async def test_a_transfer_whoever_is_behind_nat(
    stage: Stage, *, asker: str, remains: str, target: str, held: bool
) -> None:
    name = f"{asker}-{remains}-{target}-{held}"
    await stage.connected(name, asker, remains)
    if held:
        await stage.order(name, "hold")
        await stage.phones[remains].hears(MUSIC)
    await stage.order(name, "transfer", call_term_user=stage.phones[target].user)
    if target == "cid":
        await stage.phones[remains].hears(RINGS)
    await stage.hear_each_other(remains, target)
    assert stage.phones[asker].hung_up()
    assert (await stage.api.in_state(name, "connected"))["call-order"]["release-cause"] is None
    assert await stage.sessions() == 1
    await stage.order(name, "hold")
    await stage.order(name, "unhold")
    await stage.hear_each_other(remains, target)
    await stage.over(name)


async def test_a_transfer_there_and_back(stage: Stage) -> None:
    await stage.connected("back", "ann", "bob")
    for target in ("eve", "ann", "dan"):
        await stage.order("back", "transfer", call_term_user=stage.phones[target].user)
        await stage.hear_each_other("bob", target)
        await stage.api.in_state("back", "connected")
        assert await stage.sessions() == 1
    await stage.over("back")


@pytest.mark.parametrize(
    ("asker", "remains", "far"), [("ann", "bob", "cid"), ("dan", "bob", "eve"), ("dan", "eve", "cid")]
)
async def test_an_attended_transfer_whoever_is_behind_nat(stage: Stage, *, asker: str, remains: str, far: str) -> None:
    first, second = f"first-{far}-{asker}", f"second-{far}-{asker}"
    await stage.connected(first, asker, remains)
    await stage.order(first, "hold")
    await stage.phones[remains].hears(MUSIC)
    await stage.api.place(second, stage.phones[asker].user, stage.phones[far].user)
    session = (await stage.api.in_state(second, "connected"))["call-session-id"]
    await stage.phones[far].hears(stage.phones[asker])
    await stage.order(first, "transfer", call_destination_session_id=session)
    await stage.hear_each_other(remains, far)
    assert stage.phones[asker].hung_up()
    await stage.api.in_state(second, "ended")
    assert await stage.sessions() == 1
    await stage.over(first)


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_a_target_that_rejects_leaves_all_as_it_was(stage: Stage, *, hangs_up: bool) -> None:
    name = f"rejected-{hangs_up}"
    await stage.connected(name, "ann", "bob")
    await stage.order(name, "transfer", call_term_user=stage.phones["cid"].user)
    await stage.phones["bob"].hears(RINGS)
    assert await stage.sessions() == 2
    if hangs_up:
        stage.phones["ann"].phone.hang_up()
        await all_hung_up(stage.phones["ann"])
    await stage.order(name, "reject")
    if hangs_up:
        await stage.api.in_state(name, "ended")
        await all_hung_up(*stage.phones.values())
        assert await stage.sessions() == 0
        return
    await stage.hear_each_other("ann", "bob")
    assert stage.phones["cid"].hung_up()
    assert await stage.sessions() == 1
    await stage.over(name)


@pytest.mark.parametrize("killed", ["before", "after"])
async def test_a_transfer_outlives_the_engine(stage: Stage, *, killed: str) -> None:
    """Killed while the target rings, or when it has answered: it goes on, and nothing is left in the relay."""
    name, relay = f"killed-{killed}", stage.node.relay.pid
    await stage.connected(name, "ann", "bob")
    await stage.order(name, "transfer", call_term_user=stage.phones["cid"].user)
    await stage.phones["bob"].hears(RINGS)
    if killed == "after":
        await stage.hear_each_other("bob", "cid")
    await stage.node.kill()
    await stage.node.start()
    assert stage.node.relay.pid == relay
    await stage.hear_each_other("bob", "cid")
    await stage.api.in_state(name, "connected")
    assert stage.phones["ann"].hung_up()
    assert await stage.sessions() == 1
    await stage.over(name)
