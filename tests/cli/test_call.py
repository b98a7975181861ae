"""`ringbridge call` against the API, with an engine whose story is written down."""

import re
from collections.abc import Sequence

import pytest

from ringbridge.model.directory import DialRule
from ringbridge.model.events import CallEvent, LegInvited
from ringbridge.model.release import HUNG_UP, of_sip_status
from tests.cli.conftest import Api
from tests.cli.forked import Outcome, command
from tests.cli.stories import CLAIMED, O1, START, ended, joined, target


async def call(api: Api, *args: str) -> Outcome:
    return await command("call", "1002", "--url", api.url, "--key", api.world.user_key, *args)


def steps(outcome: Outcome) -> list[str]:
    found = re.findall(r"^ +[0-9.]+  (origination|termination|) *  (\S+)", outcome.out, re.MULTILINE)
    return [f"{side[:4]} {step}".strip() for side, step in found]


LEG = ("INVITE", "180", "200", "ACK")


async def test_shows_the_ladder_until_both_are_joined(api: Api) -> None:
    api.engine.script = joined()
    done = await call(api, "--call-id", "click-1")
    assert (done.status, done.err) == (0, "")
    assert "call-id click-1" in done.out
    expected = ["request", "claimed", *(f"orig {step}" for step in LEG), *(f"term {step}" for step in LEG), "joined"]
    assert sorted(steps(done)) == sorted(expected)


async def test_waits_for_the_end_when_asked_to(api: Api) -> None:
    api.engine.script = [*joined(), ended(HUNG_UP)]
    done = await call(api, "--wait")
    assert done.status == 0
    assert steps(done)[-1] == "ended"


@pytest.mark.parametrize(("status", "exit_status"), [(486, 10), (480, 11), (500, 15)])
async def test_the_exit_status_tells_why_it_was_not_joined(api: Api, status: int, exit_status: int) -> None:
    script: Sequence[Sequence[CallEvent]] = [
        [CLAIMED, LegInvited(O1, target("1001"), "sip-o1", b"", START + 0.02)],
        ended(of_sip_status(status)),
    ]
    api.engine.script = script
    assert (await call(api)).status == exit_status


async def test_a_refused_request_names_every_fault(api: Api) -> None:
    done = await call(api, "--caller-id", "not a number", "--call-id", "bad id")
    assert done.status == 2
    assert "call-id:" in done.err
    assert "caller-id-number:" in done.err
    assert done.out == ""


async def test_a_dry_run_says_what_would_ring_and_rings_nothing(api: Api) -> None:
    done = await call(api, "--dry-run", "--auto-answer")
    assert (done.status, done.err) == (0, "")
    assert "origination  1001_desk, at udp:127.0.0.1:5070" in done.out
    assert "termination  1002_desk, at udp:127.0.0.1:5070" in done.out
    assert "sees 457011001 Ada" in done.out
    assert "asked to answer by itself" in done.out
    assert "nothing is against it" in done.out
    assert api.world.writes == 0


async def test_a_dry_run_names_every_reason_and_the_rules_that_were_tried(api: Api) -> None:
    api.world.store.put(
        DialRule("demo", "demo", "night", "sip:10*@*", dial_rule_matching_start_date="2099-01-01"),
        DialRule("demo", "demo", "closed", "sip:1*@*", dial_rule_application="hangup"),
    )
    done = await call(api, "--dry-run", "--caller-id", "+4599999999")
    assert done.status == 2
    assert "rule night of plan demo holds from 2099-01-01 on" in done.out
    assert "rule closed of plan demo is the first that matches" in done.out
    assert "against      call-term-user: dial rule closed of plan demo refuses it" in done.out
    assert "against      caller-id-number: is not a caller ID that this user may show" in done.out


async def test_without_a_key_it_says_what_to_do() -> None:
    done = await command("call", "1002", "--data", "/nonexistent")
    assert done.status == 2
    assert "RINGBRIDGE_CLIENT_API_KEY" in done.err


async def test_an_api_that_is_not_there_has_its_own_status() -> None:
    done = await command("call", "1002", "--key", "nsu_x", "--url", "http://127.0.0.1:1")
    assert done.status == 1
