"""`ringbridge top` against the API, on a terminal and without one."""

import json
import signal

import pytest

from tests.api.world import CALLS
from tests.cli.conftest import Api
from tests.cli.forked import Outcome, command
from tests.cli.stories import joined
from tests.cli.terminals import on_terminal
from tests.cli.test_calls import place


async def top(api: Api, *args: str) -> Outcome:
    return await command("top", *args, "--url", api.url, "--key", api.world.user_key)


async def test_without_a_terminal_it_shows_the_calls_once(api: Api) -> None:
    empty = await top(api)
    assert (empty.status, empty.out, empty.err) == (0, "no calls are up\n", "")
    api.engine.script = joined()
    await place(api, "click-1")
    done = await top(api)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("1 call is up: 1 talking\nSTATE ")
    assert "\x1b" not in done.out
    assert [one["call-id"] for one in json.loads((await top(api, "--json")).out)] == ["click-1"]


@pytest.mark.parametrize("who", ["user_key", "super_key"])
async def test_calls_come_change_and_go_on_the_screen(api: Api, owner: None, who: str) -> None:
    async with on_terminal("top", "--url", api.url, "--key", getattr(api.world, who)) as screen:
        before = screen.mode
        await screen.sees("\x1b[?1049h")
        await screen.sees("no calls are up")
        await place(api, "click-1")
        await screen.sees("1 call is up: 1 talking")
        await screen.sees("click-1")
        async with api.world.client() as http:
            assert (await http.delete(f"{CALLS}/click-1")).status_code == 202
        await screen.sees("no calls are up")
        assert screen.mode != before  # keys come at once
        screen.press("q")
        assert await screen.ended() == 0
        await screen.sees("\x1b[?25h\x1b[?1049l")
        assert screen.mode == before


async def test_ctrl_c_leaves_the_terminal_as_it_was(api: Api) -> None:
    async with on_terminal("top", "--url", api.url, "--key", api.world.user_key) as screen:
        before = screen.mode
        await screen.sees("q ends")
        screen.press("\x03")
        assert await screen.ended() == 0
        await screen.sees("\x1b[?1049l")
        assert screen.mode == before


async def test_a_key_that_is_revoked_ends_it_with_the_remedy(api: Api) -> None:
    made = await command("keys", "create", "for the tests here", "--url", api.url, "--key", api.world.super_key)
    key = made.out.strip()
    async with on_terminal("top", "--url", api.url, "--key", key) as screen:
        await screen.sees("q ends")
        key_id = made.err.split()[1]
        assert (await command("keys", "revoke", key_id, "--url", api.url, "--key", api.world.super_key)).status == 0
        api.world.clock.time += 3600  # what the API remembers of a key it forgets by then
        assert await screen.ended() == 2
        await screen.sees("\x1b[?1049l")
        await screen.sees("--key or RINGBRIDGE_CLIENT_API_KEY")


async def test_an_api_that_is_not_there_is_told_before_the_screen_is_taken() -> None:
    async with on_terminal("top", "--url", "http://127.0.0.1:1", "--key", "nsu_x") as screen:
        assert await screen.ended() == 1
        await screen.sees("no answer from http://127.0.0.1:1")
        assert "\x1b[?1049h" not in screen.text


async def test_a_signal_ends_it_as_q_does(api: Api) -> None:
    async with on_terminal("top", "--url", api.url, "--key", api.world.user_key) as screen:
        await screen.sees("q ends")
        screen.process.send_signal(signal.SIGTERM)
        assert await screen.ended() == 0
        await screen.sees("\x1b[?1049l")
