"""`GET …/dialplans/{plan}/test`: which rules were tried, and why one won."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ringbridge.model.directory import DialRule, Domain, PhoneNumber, User
from tests.api.world import World

PATH = "/ns-api/v2/domains/demo/dialplans/gold/test"


@pytest.fixture
def planned(world: World) -> World:
    world.store.put(
        Domain("demo", time_zone="Europe/Copenhagen"),
        User("demo", "1002", time_zone="America/New_York"),
        DialRule(
            "demo",
            "gold",
            "office hours",
            "sip:4531*@*",
            dial_rule_matching_start_time="08:00",
            dial_rule_matching_end_time="12:00",
            dial_rule_translation_destination_user="1002",
        ),
        DialRule(
            "demo",
            "gold",
            "carrier",
            "sip:45*@*",
            dial_rule_application="to-connection",
            dial_rule_parameter="trunk",
            dial_rule_translation_destination_user="0045[*]",
            dial_rule_translation_source_user="+4570101000",
        ),
        DialRule("demo", "gold", "world", "sip:*@*", dial_rule_application="hangup"),
    )
    return world


async def asked(world: World, *, path: str = PATH, key: str | None = None, **query: str) -> httpx.Response:
    async with world.client(world.manager_key if key is None else key) as client:
        return await client.get(path, params={name.replace("_", "-").strip("-"): text for name, text in query.items()})


async def told(world: World, **query: str) -> dict[str, Any]:
    answer = await asked(world, **query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_it_tells_which_rules_were_tried_and_why_one_won(planned: World) -> None:
    found = await told(planned, to="+45 31 23 45 67", from_="1001", at="2026-11-25 11:30:00")
    assert [(one["dialrule"], one["matched"], one["reason"]) for one in found["tried"]] == [
        ("office hours", "no", "holds from 08:00:00 to 12:00:00"),
        ("carrier", "yes", "is the first that matches; [*] is 31234567"),
    ]
    assert found["at"] == "2026-11-25T12:30:00+01:00"
    assert (found["rules-total"], found["tried-total"]) == (3, 2)
    assert found["dialrule"] == "carrier"
    assert (found["dial-rule-application"], found["dial-rule-parameter"]) == ("to-connection", "trunk")
    assert found["destination-user"] == "004531234567"
    assert (found["source-user"], found["source-name"]) == ("+4570101000", None)


@pytest.mark.parametrize("at", ["2026-11-25 10:00:00", "2026-11-25T11:00:00+01:00", "2026-11-25T11:00:00 01:00"])
async def test_the_time_is_that_of_the_domain(planned: World, at: str) -> None:
    assert (await told(planned, to="4531234567", from_="1001", at=at))["dialrule"] == "office hours"
    assert (await told(planned, to="4531234567", from_="1002", at=at))["dialrule"] == "carrier"


async def test_the_application_that_is_asked_for_goes_first(planned: World) -> None:
    found = await told(planned, to="4531234567", at="2026-11-25 10:00:00", dial_rule_application="hangup")
    assert found["dialrule"] == "world"


async def test_a_phone_number_is_tried_as_a_rule(planned: World) -> None:
    planned.store.put(PhoneNumber("demo", "4531234567", user="1002"))
    found = await told(planned, to="4531234567", at="2026-11-25 20:00:00")
    assert (found["dialrule"], found["destination-user"]) == ("4531234567", "1002")
    assert found["tried"][-2]["reason"] == "matches, and comes after the rule that wins"


async def test_no_rule_may_match(planned: World) -> None:
    planned.store.put(DialRule("demo", "silver", "r", "sip:9*@*"))
    answer = await asked(planned, path=PATH.replace("gold", "silver"), to="8")
    assert answer.json()["dialrule"] == ""
    assert answer.json()["reason"] == "none of 1 rules matches"


async def test_every_fault_is_named(planned: World) -> None:
    answer = await asked(planned, to="", from_="a b", at="soon", dial_rule_application="<>")
    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["errors"]] == ["to", "from", "dial-rule-application", "at"]
    assert (await asked(planned, to="((")).json()["errors"][0]["code"] == "not-a-number"
    assert (await asked(planned, to="1\r\n2")).json()["errors"][0]["code"] == "control-character"


async def test_a_plan_that_nobody_has_is_404(planned: World) -> None:
    answer = await asked(planned, path=PATH.replace("gold", "none"), to="1")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "no-such-dial-plan")
    assert (await asked(planned, key=planned.foreign_manager_key, to="1")).status_code == 404
    assert (await asked(planned, key=planned.user_key, to="1")).status_code == 403
    nowhere = PATH.replace("/demo/", "/nowhere/")
    assert (await asked(planned, path=nowhere, key=planned.super_key, to="1")).status_code == 404
