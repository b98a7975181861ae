"""Connections at a node as its operator has it: a carrier that is watched goes and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from ringbridge.sip.message import Request, Response
from tests.adapters.test_connection_registration import PASSWORD as REGISTRATION
from tests.adapters.test_connection_registration import Registrar
from tests.adapters.trunk import Answer, Trunk, status, trunk
from tests.live.node import CALLER_ID, DOMAIN, Api, connection, document, node, rule, until, user

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Stage:
    """A node, and the edge of its carrier, where everybody is busy. The numbers 7… and 8… lead there."""

    api: Api
    edge: Trunk

    async def told(self, field: str, value: str, *, name: str = "carrier", within_s: float = 20.0) -> dict[str, object]:
        """Return a connection once a field of it is so."""
        async with asyncio.timeout(within_s):
            while True:
                answer = await self.api.http.get(f"/ns-api/v2/domains/{DOMAIN}/connections/{name}")
                assert answer.status_code == 200, answer.text
                told: dict[str, object] = answer.json()
                if told.get(field) == value:
                    return told
                await asyncio.sleep(0.05)


def busy(to_options: Answer) -> Answer:
    """Return what an edge says at which everybody is busy."""

    registrar = Registrar()

    def says(request: Request) -> Response | None:
        if request.method == "REGISTER":
            return registrar(request)
        if request.method == "INVITE":
            return status(486)(request)
        return to_options(request) if request.method != "ACK" else None

    return says


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(trunk())
        edge.says = busy(status(200))
        watched = connection(
            "carrier",
            int(edge.address.rpartition(":")[2]),
            connection_health_check_enabled="yes",
            connection_health_check_interval_seconds=5,
            connection_custom_p_asserted_id_format="tel:[*]",
        )
        line = connection(
            "line",
            int(edge.address.rpartition(":")[2]),
            connection_sip_session_timer_enabled="no",
            connection_sip_registration_enabled="yes",
            connection_sip_registration_username="line7",
            connection_sip_registration_password=REGISTRATION,
        )
        directory = document(
            connections=[watched, line], rules=[rule("7", "carrier"), rule("8", "line")], users=[user("1001")]
        )
        _, api = await stack.enter_async_context(node(directory, settings={"log.level": "warning"}))
        yield Stage(api, edge)


async def test_a_carrier_that_takes_no_calls_gets_none_until_it_does_again(stage: Stage) -> None:
    await stage.told("connection-health-state", "up")
    stage.edge.says = busy(status(503))
    told = await stage.told("connection-health-state", "down")
    assert str(told["connection-health-reason"]).startswith("503")
    invited = stage.edge.count("INVITE")
    refused = await stage.api.post("c1", "7101", "7102")
    assert refused.status_code == 503, refused.text
    assert {one["code"] for one in refused.json()["errors"]} == {"connection-down"}
    assert stage.edge.count("INVITE") == invited
    stage.edge.says = busy(status(200))
    await stage.told("connection-health-state", "up")
    await stage.api.place("c1", "7101", "7102")
    await stage.api.in_state("c1", "ended")
    assert stage.edge.count("INVITE") == invited + 1


async def test_a_connection_is_registered_with_digest_and_taken_back(stage: Stage) -> None:
    told = await stage.told("connection-sip-registration-state", "registered", name="line")
    assert told["connection-sip-registration-expires-datetime"]
    path = f"/ns-api/v2/domains/{DOMAIN}/connections/line"
    answer = await stage.api.http.put(path, json={"connection-sip-registration-enabled": "no"})
    assert answer.status_code == 202, answer.text

    def is_taken_back() -> bool:
        asked = [one for one in stage.edge.requests if one.method == "REGISTER"]
        return asked[-1].first("Expires") == "0" and asked[-1].first("Authorization") is not None

    await until(is_taken_back, within_s=10)


async def test_a_connection_says_whether_its_calls_have_a_session_timer(stage: Stage) -> None:
    for call_id, number in (("t7", "7201"), ("t8", "8201")):
        await stage.api.place(call_id, number, number)
        await stage.api.in_state(call_id, "ended")
    invites = {one.uri.removeprefix("sip:")[:4]: one for one in stage.edge.requests if one.method == "INVITE"}
    assert (invites["7201"].first("Session-Expires"), "timer" in invites["7201"].tokens("Supported")) == ("1800", True)
    assert (invites["8201"].first("Session-Expires"), "timer" in invites["8201"].tokens("Supported")) == (None, False)


async def test_a_caller_is_asserted_as_the_connection_wants_it(stage: Stage) -> None:
    await stage.api.place("p7", "7301", "8301", callback_caller_id_number=CALLER_ID)
    await stage.api.in_state("p7", "ended")
    (invite,) = [one for one in stage.edge.requests if one.method == "INVITE" and one.uri.startswith("sip:7301@")]
    assert (invite.first("P-Asserted-Identity") or "").endswith(f"<tel:{CALLER_ID}>")
