"""The commands that ask the API, against a whole node with real phones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.cli.forked import Outcome, command
from tests.cli.terminals import on_terminal
from tests.live.node import Api, Node, document, node, user
from tests.live.talkers import Talker, all_hung_up, talkers

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Stage:
    """A node with three users, each with one phone."""

    node: Node
    api: Api
    phones: tuple[Talker, ...]

    @property
    def where(self) -> tuple[str, ...]:
        """The options that name the node; its admin key is found in its data folder."""
        return "--url", f"http://127.0.0.1:{self.node.http_port}", "--data", str(self.node.data)

    async def run(self, *args: str) -> Outcome:
        """Run a command that has to succeed."""
        done = await command(*args, *self.where)
        assert done.status == 0, done
        return done


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    directory = document(users=[user(name, name) for name in ("1001", "1002", "1003", "1004")])
    async with node(directory) as (one, api):
        phones = tuple(Talker(one, name, tone) for name, tone in (("1001", 1000), ("1002", 1200), ("1003", 1400)))
        async with talkers(one, *phones):
            yield Stage(one, api, phones)


async def test_a_call_is_watched_held_transferred_ended_and_found_in_the_history(stage: Stage) -> None:
    ann, bob, cid = stage.phones
    async with on_terminal("top", *stage.where) as screen:
        await screen.sees("  live")
        await screen.sees("no calls are up")
        await stage.run("call", "1002", "--user", "1001", "--domain", "acme", "--call-id", "watched")
        await screen.sees("1 talking")
        held = await stage.run("calls", "hold", "watched")
        assert held.out == "hold of watched accepted\ndone; the call is held\n"
        await screen.sees("1 on hold")
        await stage.run("calls", "unhold", "watched")
        await screen.sees("1 talking")
        moved = await stage.run("calls", "transfer", "watched", "1003")
        assert "done; the call is connected" in moved.out
        await cid.hears(bob)
        await screen.sees("1003")
        shown = await stage.run("calls", "show", "watched")
        assert "transfer to 1003: done" in shown.out
        listed = json.loads((await stage.run("calls", "list", "--json")).out)
        assert [one["call-id"] for one in listed] == ["watched"]
        await stage.run("calls", "end", "watched")
        await screen.sees("no calls are up")
        await all_hung_up(ann, bob, cid)
        screen.press("q")
        assert await screen.ended() == 0
    assert "call-ended-by" in (await stage.run("cdrs", "show", "watched")).out
    assert "watched" in (await stage.run("cdrs", "list", "--since", "1h")).out
    assert "watched" in (await stage.run("cdrs", "list", "--csv", "--domain", "acme")).out


async def test_devices_tell_which_phone_is_registered(stage: Stage) -> None:
    lines = [line.split() for line in (await stage.run("devices", "list")).out.splitlines()[1:]]
    states = {line[0]: line[3] for line in lines}
    assert states == {"1001": "registered", "1002": "registered", "1003": "registered", "1004": "unregistered"}


async def test_top_outlives_a_restart_of_the_node(stage: Stage) -> None:
    async with on_terminal("top", *stage.where) as screen:
        await screen.sees("  live")
        await stage.node.kill()
        await screen.sees("no answer from")
        await stage.node.start()
        await screen.sees("  live")
        screen.press("q")
        assert await screen.ended() == 0
