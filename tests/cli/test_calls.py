"""`ringbridge calls` against the API: seen, shown and ordered about by whatever key sees them."""

import asyncio
import json

import pytest

from ringbridge.model.release import HUNG_UP
from tests.api.world import CALLS, order
from tests.cli.conftest import PROGRAM, Api
from tests.cli.forked import Outcome, command
from tests.cli.stories import ended, joined


async def calls(api: Api, *args: str, key: str | None = None) -> Outcome:
    return await command("calls", *args, "--url", api.url, "--key", key or api.world.super_key)


async def place(api: Api, call_id: str, *, state: str = "connected") -> None:
    """Place a call, a second after the last, and return when the API shows it in that state."""
    api.world.clock.time += 1
    async with api.world.client() as http:
        assert (await http.post(CALLS, json=order(call_id))).status_code == 202
        for _ in range(500):
            if (await http.get(f"{CALLS}/{call_id}")).json()["call-state"] == state:
                return
            await asyncio.sleep(0.02)
    raise AssertionError(f"{call_id} did not become {state}")


@pytest.mark.parametrize("who", ["super_key", "manager_key", "user_key"])
async def test_every_key_lists_all_that_it_sees(api: Api, who: str) -> None:
    api.engine.script = joined()
    await place(api, "click-1")
    done = await calls(api, "list", key=getattr(api.world, who))
    assert (done.status, done.err) == (0, "")
    head, line = done.out.splitlines()
    assert head.split() == ["STATE", "FROM", "TO", "TALKING", "STARTED", "BY", "DOMAIN", "CALL-ID"]
    cells = line.split()
    assert cells[:3] == ["connected", "1001", "1002"]
    assert cells[-3:] == ["1001", "demo", "click-1"]


async def test_a_list_is_json_when_asked_for_and_no_more_than_asked_for(api: Api) -> None:
    for number in range(3):
        await place(api, f"click-{number}", state="requested")
    done = await calls(api, "list", "--json", "--limit", "2")
    assert [one["call-id"] for one in json.loads(done.out)] == ["click-0", "click-1"]
    assert done.err == "2 of 3 shown; --limit N shows more\n"
    assert json.loads((await calls(api, "list", "--json", key=api.world.foreign_key)).out) == []


async def test_no_calls_says_what_to_do_next(api: Api) -> None:
    done = await calls(api, "list")
    assert (done.status, done.out) == (0, "")
    assert "`ringbridge call TO` places one" in done.err


@pytest.mark.parametrize("who", ["super_key", "manager_key", "user_key", "other_user_key"])
async def test_a_call_is_shown_with_its_legs_and_its_ladder_to_whoever_is_in_it(api: Api, who: str) -> None:
    api.engine.script = joined()
    await place(api, "click-1")
    done = await calls(api, "show", "click-1", key=getattr(api.world, who))
    assert (done.status, done.err) == (0, "")
    assert "state      connected" in done.out
    assert "placed by  1001@demo" in done.out
    assert "termination  answered  1002" in done.out
    assert "INVITE" in done.out


async def test_a_call_that_is_over_is_found_too(api: Api) -> None:
    api.engine.script = [*joined(), ended(HUNG_UP)]
    await place(api, "click-1", state="ended")
    shown = json.loads((await calls(api, "show", "click-1", "--json")).out)
    assert shown["call-state"] == "ended"
    steps = json.loads((await calls(api, "ladder", "click-1", "--json", key=api.world.manager_key)).out)["steps"]
    assert steps[-1]["step"] == "ended"


async def test_calls_are_ended_by_a_key_of_another_user_of_the_domain(api: Api) -> None:
    await place(api, "click-1", state="requested")
    await place(api, "click-2", state="requested")
    done = await calls(api, "end", "click-1", "click-2", key=api.world.manager_key)
    assert (done.status, done.out) == (0, "ending click-1\nending click-2\n")
    async with api.world.client() as http:
        for name in ("click-1", "click-2"):
            assert (await http.get(f"{CALLS}/{name}/ladder")).json()["call-state"] == "ended"


async def test_orders_are_followed_until_they_are_carried_out(api: Api, owner: None) -> None:
    await place(api, "click-1")
    held = await calls(api, "hold", "click-1")
    assert (held.status, held.out, held.err) == (0, "hold of click-1 accepted\ndone; the call is held\n", "")
    again = await calls(api, "hold", "click-1")
    assert (again.status, again.out) == (0, "hold of click-1 accepted\nthe call is held\n")
    other = await calls(api, "unhold", "click-1", "--user", "1002", "--domain", "demo")
    assert (other.status, other.out) == (2, "")
    assert other.err.startswith("ringbridge: ")
    back = await calls(api, "unhold", "click-1", "--json", key=api.world.user_key)
    assert (back.status, json.loads(back.out)["code"]) == (0, 202)


async def test_a_transfer_that_is_not_carried_out_says_why(api: Api, owner: None) -> None:
    await place(api, "click-1")
    nowhere = await calls(api, "transfer", "click-1", "9999", key=api.world.user_key)
    assert (nowhere.status, nowhere.out) == (2, "")
    assert "  TO: " in nowhere.err


async def test_what_is_not_there_is_told_with_where_to_look(api: Api) -> None:
    done = await calls(api, "end", "nothing")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("ringbridge: no call nothing is up that this key sees\n")
    assert "`ringbridge calls list`" in done.err
    own = await calls(api, "show", "nothing", "--domain", "demo", "--user", "1001")
    assert own.err == (
        "ringbridge: no call nothing\n"
        "  `ringbridge calls list` has those that are up, `ringbridge cdrs list` those that are over\n"
    )


async def test_one_name_in_two_domains_has_to_be_told_apart(api: Api) -> None:
    await place(api, "click-1", state="requested")
    async with api.world.client(api.world.foreign_key) as http:
        assert (await http.post(CALLS.replace("demo", "other"), json=order("click-1"))).status_code == 202
    done = await calls(api, "show", "click-1")
    assert done.status == 2
    assert "in several domains: demo, other\n  --domain says which is meant" in done.err
    assert (await calls(api, "show", "click-1", "--domain", "other")).status == 0


async def test_faults_name_the_option(api: Api) -> None:
    done = await calls(api, "list", "--domain", "a b")
    assert done.status == 2
    assert "  --domain: is no domain name; found 'a b'; allowed: 1 to 64 letters, digits" in done.err
    limit = await calls(api, "list", "--limit", "0")
    assert limit.status == 2
    assert "--limit" in limit.err


async def test_refusals_say_what_to_do(api: Api) -> None:
    bad = await calls(api, "list", key="nsu_wrong")
    assert bad.status == 2
    assert "the token is not valid" in bad.err
    assert "--key or RINGBRIDGE_CLIENT_API_KEY" in bad.err
    foreign = await calls(api, "list", "--domain", "other", key=api.world.user_key)
    assert "ringbridge: no domain other\n  missing, or not for this key" in foreign.err
    gone = await command("calls", "list", "--key", "nsu_x", "--url", "http://127.0.0.1:1")
    assert gone.status == 1
    assert "`ringbridge demo` or `ringbridge serve` starts one" in gone.err
    keyless = await command("calls", "list", "--data", "/nonexistent")
    assert keyless.status == 2
    assert (
        "`ringbridge demo` prints one; the first of a node that runs here is in /nonexistent/admin.key" in keyless.err
    )


async def test_tab_completes_the_calls_that_are_up(api: Api) -> None:
    for name in ("click-1", "click-2", "other"):
        await place(api, name, state="requested")
    environment = {"_RINGBRIDGE_COMPLETE": "complete_bash", "COMP_CWORD": "3", "COMP_WORDS": "ringbridge calls end cl"}
    for url, expected in ((api.url, ["click-1", "click-2"]), ("http://127.0.0.1:1", [])):
        client = {"RINGBRIDGE_CLIENT_URL": url, "RINGBRIDGE_CLIENT_API_KEY": api.world.user_key}
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            env=environment | client,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert (out.decode().split(), err) == (expected, b"")
