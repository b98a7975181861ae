"""SIPp as both phones: what each does, and the one true CDR that comes of it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from ringbridge.bench.processes import Child, free_port
from tests.live.node import Api, connection, document, node, rule, until, user
from tests.live.party import Party, PartyCall

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCENARIOS = Path(__file__).parent / "scenarios"
FIRST, SECOND = "71001", "72001"


@dataclass
class Stage:
    """A node whose numbers 71… and 72… lead to `first` and `second`, by UDP; 73… by TCP; 74… to a carrier."""

    api: Api
    ports: dict[str, int]
    folder: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    ports = {name: free_port() for name in ("first", "second", "tcp", "carrier")}
    proof = {"connection_sip_registration_username": "trunk", "connection_sip_registration_password": "trunk secret"}
    directory = document(
        connections=[
            connection("first", ports["first"]),
            connection("second", ports["second"]),
            connection("tcp", ports["tcp"], connection_sip_transport_protocol="tcp"),
            connection("carrier", ports["carrier"], **proof),
        ],
        rules=[rule("71", "first"), rule("72", "second"), rule("73", "tcp"), rule("74", "carrier")],
        users=[user("1001")],
    )
    # Long enough for a DELETE to come while a phone rings, on a machine that is busy too.
    settings = {"calls.orig_ring_timeout_s": 5, "calls.term_ring_timeout_s": 5, "sip.t1_s": 0.1, "sip.t2_s": 0.4}
    async with node(directory, settings=settings) as (one, api):
        yield Stage(api, ports, tmp_path_factory.mktemp("sipp"))
        assert one.faults() == []


def sipp(stage: Stage, leg: str, scenario: str, *, transport: str = "u1") -> Child:
    """Start SIPp as one phone for one call. `scenario` may name a status after a colon."""
    program = shutil.which("sipp")
    assert program is not None, "SIPp is not installed: apt-get install sip-tester"
    name, _, status = scenario.partition(":")
    script = stage.folder / f"{leg}.xml"
    mirrored = {"sendonly": "recvonly"}.get(status, status)
    text = (SCENARIOS / f"{name}.xml").read_text()
    script.write_text(text.replace("[status]", status).replace("[mirrored]", mirrored))
    command = [program, "-sf", str(script), "-i", "127.0.0.1", "-p", str(stage.ports[leg])]
    command += ["-mp", str(free_port()), "-m", "1", "-nostdin", "-d", "300", "-t", transport, "-timeout", "20"]
    command += ["-trace_err", "-error_file", str(stage.folder / f"{leg}.err")]
    return Child(command, log=stage.folder / f"{leg}.log")


async def finished(child: Child) -> None:
    """Return once a phone's whole scenario has been played."""
    status = await asyncio.to_thread(child.wait, 15.0)
    assert status == 0, f"SIPp ended with {status}: {child.last_words()}"


@dataclass(frozen=True)
class Case:
    """What the phones do, when DELETE comes, and what the CDR says of it."""

    first: str
    second: str | None
    text: str
    cause: tuple[str, str, int | None]
    ended_by: str
    delete_in: str = ""
    answered: bool = False


COMPLETED = ("completed", "hung-up", None)
DELETED = ("cancelled", "deleted", None)
CASES = {
    "first hangs up": Case("hang_up", "answer", "Orig: Bye", COMPLETED, "origination", answered=True),
    "second hangs up": Case("answer", "hang_up", "Term: Bye", COMPLETED, "termination", answered=True),
    "first busy": Case("refuse:486 Busy Here", None, "Orig: 486 Busy Here", ("busy", "busy", 486), "origination"),
    "second busy": Case("answer", "refuse:486 Busy Here", "Term: 486 Busy Here", ("busy", "busy", 486), "termination"),
    "second declines": Case(
        "answer", "refuse:603 Decline", "Term: 603 Decline", ("rejected", "declined", 603), "termination"
    ),
    "second away": Case(
        "answer",
        "refuse:480 Temporarily Unavailable",
        "Term: 480 Temporarily Unavailable",
        ("no-answer", "temporarily-unavailable", 480),
        "termination",
    ),
    "second redirects": Case(
        "answer",
        "refuse:302 Moved Temporarily",
        "Term: 302 Moved Temporarily",
        ("rejected", "redirected", 302),
        "termination",
    ),
    "second knows no call": Case(
        "answer",
        "refuse:481 Call Does Not Exist",
        "Term: 481 Call/Transaction Does Not Exist",
        ("failed", "sip-481", 481),
        "termination",
    ),
    "first does not answer": Case("ring", None, "Orig: No Answer", ("no-answer", "ring-timeout", None), "origination"),
    "second does not answer": Case(
        "answer", "ring", "Term: No Answer", ("no-answer", "ring-timeout", None), "termination"
    ),
    "first gives up": Case(
        "hang_up", "ring", "Orig: Cancel", ("cancelled", "origination-hung-up", None), "origination"
    ),
    "deleted while first rings": Case("ring", None, "Orig: Cancel", DELETED, "system", delete_in="orig-ringing"),
    "deleted while second rings": Case("answer", "ring", "Orig: Cancel", DELETED, "system", delete_in="term-ringing"),
    "deleted while joined": Case(
        "answer",
        "answer",
        "System: deleted",
        ("completed", "deleted", None),
        "system",
        delete_in="connected",
        answered=True,
    ),
    "answer crosses our CANCEL": Case("race", None, "Orig: Cancel", DELETED, "system", delete_in="orig-ringing"),
    "early media": Case(
        "answer", "early_media", "System: deleted", ("completed", "deleted", None), "system", "connected", answered=True
    ),
    "reliable provisional": Case(
        "answer", "prack", "System: deleted", ("completed", "deleted", None), "system", "connected", answered=True
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_call(stage: Stage, name: str) -> None:
    case, api = CASES[name], stage.api
    call_id = name.replace(" ", "-")
    phones = [sipp(stage, "first", case.first)]
    if case.second is not None:
        phones.append(sipp(stage, "second", case.second))
    try:
        await asyncio.sleep(0.3)
        await api.place(call_id, FIRST, SECOND)
        if case.delete_in:
            await api.in_state(call_id, case.delete_in)
            assert await api.delete(call_id) == 202
        cdr = await api.cdr(call_id)
        for phone in phones:
            await finished(phone)
    finally:
        for phone in phones:
            phone.stop()
    cause = cdr["release-cause"]
    assert (cause["result"], cause["reason"], cause["sip-status"]) == case.cause
    assert (cdr["call-ended-by"], cdr["call-disconnect-reason-text"]) == (case.ended_by, case.text)
    assert bool(cdr["call-answer-datetime"]) == case.answered
    assert cdr["call-start-datetime"] <= cdr["call-disconnect-datetime"]
    assert (cdr["call-orig-caller-id"], cdr["call-term-caller-id"]) == (4531000000, "+4531000000")
    assert [one["call-id"] for one in await api.cdrs()].count(call_id) == 1
    await api.quiet()


async def test_hold_by_the_second_phone(stage: Stage) -> None:
    phones = [sipp(stage, "first", "answer"), sipp(stage, "second", "hold")]
    try:
        await asyncio.sleep(0.3)
        await stage.api.place("held", FIRST, SECOND)
        await stage.api.in_state("held", "held")
        await stage.api.in_state("held", "connected")
        assert await stage.api.delete("held") == 202
        for phone in phones:
            await finished(phone)
    finally:
        for phone in phones:
            phone.stop()
    assert (await stage.api.cdr("held"))["call-answer-datetime"]


@pytest.mark.parametrize("asker", ["call-id", "second leg"])
async def test_hold_by_order_offers_each_leg_its_direction(stage: Stage, asker: str) -> None:
    sides = ("held:inactive", "held:sendonly") if asker == "call-id" else ("held:sendonly", "held:inactive")
    call_id = f"ordered-{asker.replace(' ', '-')}"
    phones = [sipp(stage, "first", sides[0]), sipp(stage, "second", sides[1])]
    try:
        await asyncio.sleep(0.3)
        await stage.api.place(call_id, FIRST, SECOND)
        call = await stage.api.in_state(call_id, "connected")
        name = call_id if asker == "call-id" else call["call-term-call-id"]
        await ordered(stage, call_id, name, "hold")
        await stage.api.in_state(call_id, "held")
        await ordered(stage, call_id, name, "unhold")
        await stage.api.in_state(call_id, "connected")
        assert await stage.api.delete(call_id) == 202
        for phone in phones:
            await finished(phone)
    finally:
        for phone in phones:
            phone.stop()
    assert (await stage.api.cdr(call_id))["call-disconnect-reason-text"] == "System: deleted"


@pytest.mark.parametrize("asker", ["call-id", "second leg"])
async def test_a_transfer_of_either_leg_ends_that_leg_and_joins_the_other(stage: Stage, asker: str) -> None:
    call_id = f"transferred-{asker.replace(' ', '-')}"
    phones = {leg: sipp(stage, leg, "answer") for leg in ("first", "second", "carrier")}
    leaves, stays = ("first", "second") if asker == "call-id" else ("second", "first")
    try:
        await asyncio.sleep(0.3)
        await stage.api.place(call_id, FIRST, SECOND)
        call = await stage.api.in_state(call_id, "connected")
        name = call_id if asker == "call-id" else call["call-term-call-id"]
        await ordered(stage, call_id, name, "transfer", {"call-term-user": "74001"})
        await finished(phones[leaves])
        assert (await stage.api.call(call_id))["call-state"] == "connected"
        assert await stage.api.delete(call_id) == 202
        await finished(phones[stays])
        await finished(phones["carrier"])
    finally:
        for phone in phones.values():
            phone.stop()
    assert (await stage.api.cdr(call_id))["call-through-action"] == "transfer"


async def ordered(stage: Stage, call_id: str, name: str, verb: str, body: dict[str, str] | None = None) -> None:
    """PATCH an order, and return once it has been carried out."""
    answer = await stage.api.http.patch(f"{stage.api.path}/{name}/{verb}", json=body or {})
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(10):
        while True:
            order = (await stage.api.call(call_id))["call-order"]
            if order is not None and order["action"] == verb and order["done-datetime"]:
                assert order["release-cause"] is None
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("leg", "number", "scenario"), [("tcp", "73001", "answer"), ("carrier", "74001", "challenge")])
async def test_second_leg_by_tcp_and_by_a_carrier_that_challenges(
    stage: Stage, leg: str, number: str, scenario: str
) -> None:
    transport = "t1" if leg == "tcp" else "u1"
    phones = [sipp(stage, "first", "answer"), sipp(stage, leg, scenario, transport=transport)]
    try:
        await asyncio.sleep(0.3)
        await stage.api.place(f"by-{leg}", FIRST, number)
        await stage.api.in_state(f"by-{leg}", "connected")
        assert await stage.api.delete(f"by-{leg}") == 202
        for phone in phones:
            await finished(phone)
    finally:
        for phone in phones:
            phone.stop()


async def test_nobody_listens_at_the_second_phone(stage: Stage) -> None:
    phone = sipp(stage, "first", "answer")
    try:
        await asyncio.sleep(0.3)
        await stage.api.place("nobody", FIRST, SECOND)
        cause = (await stage.api.cdr("nobody"))["release-cause"]
        assert (cause["result"], cause["reason"]) == ("unreachable", "transport-failed")
        await finished(phone)
    finally:
        phone.stop()


async def test_fifty_posts_of_one_call_id_ring_once(stage: Stage) -> None:
    async with Party(PartyCall.ring) as party:
        await stage.api.apply(
            document(connections=[connection("first", party.port)], rules=[rule("7", "first")], users=[user("1001")])
        )
        answers = await asyncio.gather(*(stage.api.post("once", FIRST, SECOND) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {202}
        assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
        await party.called(FIRST)
        assert await stage.api.delete("once") == 202
        await stage.api.cdr("once")
        assert len(party.calls) == 1
        # DELETE at once: the phone may ring for a moment, and nothing stays.
        await stage.api.place("never-mind", "71002", "72002")
        assert await stage.api.delete("never-mind") == 202
        assert (await stage.api.cdr("never-mind"))["release-cause"]["result"] == "cancelled"
        await until(lambda: not party.pending, within_s=5)
        assert party.rung_twice() == {}
