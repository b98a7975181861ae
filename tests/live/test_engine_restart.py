"""kill -9 of a node with calls in every state, and its restart: every call is taken up again where it stood."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from ringbridge.media.sdp import Direction
from ringbridge.phone.line import Line
from ringbridge.phone.phone import Phone
from ringbridge.phone.settings import Account, Behaviour, PhoneEvent, PhoneEventKind, PhoneSettings
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import EndedBy
from tests.live.node import DOMAIN, PASSWORD, Api, Node, connection, document, node, rule, until, user
from tests.live.party import Party, PartyCall

pytestmark = pytest.mark.asyncio(loop_scope="module")

TONES_HZ = {"1001": 600, "1002": 900}
STATES = {
    "first-rings": "orig-ringing",
    "first-rings-deleted": "orig-ringing",
    "first-rings-refused": "orig-ringing",
    "second-rings": "term-ringing",
    "second-rings-refused": "term-ringing",
    "second-rings-left": "term-ringing",
    "second-rings-deleted": "term-ringing",
    "joined-first-ends": "connected",
    "joined-second-ends": "connected",
    "joined-deleted": "connected",
    "held-taken-back": "held",
    "held-first-ends": "held",
    "held-deleted": "held",
}


@dataclass
class Stage:
    """A node, the phones behind its two connections, and two registered phones with sound."""

    node: Node
    api: Api
    first: Party
    second: Party
    phones: dict[str, Phone] = field(default_factory=dict)
    events: dict[str, list[PhoneEvent]] = field(default_factory=dict)

    def numbers(self, name: str) -> tuple[str, str]:
        """Return the numbers of a call's two legs."""
        number = 100 + list(STATES).index(name)
        return f"71{number}", f"72{number}"

    def first_leg(self, name: str) -> PartyCall:
        return self.first.of(self.numbers(name)[0])

    def second_leg(self, name: str) -> PartyCall:
        return self.second.of(self.numbers(name)[1])

    async def add_phone(self, name: str) -> None:
        """Start a built-in phone and wait until it is registered."""
        told = self.events.setdefault(name, [])
        registrar = Peer(Transport.UDP, "127.0.0.1", self.node.sip_port)
        behaviour = Behaviour(answer_after_s=0.05, tone_hz=TONES_HZ[name])
        phone = Phone(PhoneSettings(Account(name, DOMAIN, PASSWORD, registrar), behaviour), listener=told.append)
        self.phones[name] = phone
        await phone.start()
        await phone.registered(20)

    def line(self, name: str) -> Line:
        (line,) = self.phones[name].lines
        return line

    def count(self, name: str, kind: PhoneEventKind) -> int:
        return sum(event.kind is kind for event in self.events[name])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        first, second = Party(), Party()
        for party in (first, second):
            await stack.enter_async_context(party)
        directory = document(
            connections=[connection("first", first.port), connection("second", second.port)],
            rules=[rule("71", "first"), rule("72", "second")],
            users=[user(name, name) for name in TONES_HZ],
        )
        one, api = await stack.enter_async_context(node(directory, settings={"sip.t1_s": 0.1, "sip.t2_s": 0.4}))
        built = Stage(one, api, first, second)
        for name in TONES_HZ:
            await built.add_phone(name)
            stack.push_async_callback(built.phones[name].stop, 0.3)
        yield built


async def set_up(stage: Stage, name: str, state: str) -> str:
    """Bring a call to `state`; return its call-id."""
    first_number, second_number = stage.numbers(name)
    await stage.api.place(name, first_number, second_number)
    first = await stage.first.called(first_number)
    first.ring()
    if state != "orig-ringing":
        first.answer()
        second = await stage.second.called(second_number)
        second.ring()
        if state != "term-ringing":
            second.answer()
            if state == "held":
                await until(second.acked.is_set, within_s=5)
                second.offer_direction(Direction.SENDONLY)
    await stage.api.in_state(name, state)
    return name


class Listening:
    """Watches how long a party of a call hears nothing."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines
        self.longest_gap_s = 0.0
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(0.02)
            now = loop.time()
            if now - last < 0.1:  # else this process was held up, not the sound
                for line in self._lines:
                    assert line.rtp is not None
                    self.longest_gap_s = max(self.longest_gap_s, now - (line.rtp.last_received_at or now))
            last = now

    async def stop(self) -> float:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.longest_gap_s


async def hear_each_other(stage: Stage) -> None:
    for name, other in (("1001", "1002"), ("1002", "1001")):
        rtp = stage.line(name).rtp
        assert rtp is not None
        rtp.forget()
        await until(
            lambda rtp=rtp, tone=TONES_HZ[other]: any(  # type: ignore[misc] # bound now
                abs(heard.frequency_hz - tone) <= 10 for heard in rtp.heard_tones()
            ),
            within_s=5,
            what=f"{name} hears {other}",
        )


async def test_killed_with_calls_in_every_state_and_started_again(stage: Stage) -> None:
    api = stage.api
    await api.place("sound", "1001", "1002")
    await api.in_state("sound", "connected")
    await hear_each_other(stage)
    for name, state in STATES.items():
        await set_up(stage, name, state)

    listening = Listening([stage.line("1001"), stage.line("1002")])
    relay = stage.node.relay.pid
    await stage.node.kill()
    died_at = time.monotonic()
    # What phones do while nobody listens: it comes again until somebody does.
    stage.first_leg("first-rings").answer()
    stage.second_leg("second-rings").answer()
    stage.first_leg("joined-first-ends").hang_up()
    await stage.node.start()
    away_s = time.monotonic() - died_at
    assert stage.node.relay.pid == relay

    # Taken up where they stood.
    assert (await api.in_state("sound", "connected"))["call-id"] == "sound"
    for name, state in STATES.items():
        if name not in ("first-rings", "second-rings", "joined-first-ends"):
            assert (await api.call(name))["call-state"] == state

    # Each goes on and ends as if nothing had been.
    (await stage.second.called(stage.numbers("first-rings")[1])).answer()
    await api.in_state("first-rings", "connected")
    await api.in_state("second-rings", "connected")
    await until(stage.first_leg("first-rings").acked.is_set, within_s=5)
    assert await api.delete("first-rings") == 202
    stage.second_leg("second-rings").hang_up()
    stage.first_leg("first-rings-refused").refuse(486)
    stage.second_leg("second-rings-refused").refuse(486)
    stage.first_leg("second-rings-left").hang_up()
    stage.second_leg("joined-second-ends").hang_up()
    stage.first_leg("held-first-ends").hang_up()
    stage.second_leg("held-taken-back").offer_direction(Direction.SENDRECV)
    await api.in_state("held-taken-back", "connected")
    stage.first_leg("held-taken-back").hang_up()
    for name in ("first-rings-deleted", "second-rings-deleted", "joined-deleted", "held-deleted"):
        assert await api.delete(name) == 202
    await hear_each_other(stage)
    gap_s = await listening.stop()
    stage.phones["1002"].hang_up()

    expected = {
        "sound": ("completed", "hung-up", "termination"),
        "first-rings": ("completed", "deleted", "system"),
        "first-rings-deleted": ("cancelled", "deleted", "system"),
        "first-rings-refused": ("busy", "busy", "origination"),
        "second-rings": ("completed", "hung-up", "termination"),
        "second-rings-refused": ("busy", "busy", "termination"),
        "second-rings-left": ("cancelled", "origination-hung-up", "origination"),
        "second-rings-deleted": ("cancelled", "deleted", "system"),
        "joined-first-ends": ("failed", "dialog-died", "origination"),  # its BYE found nobody
        "joined-second-ends": ("completed", "hung-up", "termination"),
        "joined-deleted": ("completed", "deleted", "system"),
        "held-taken-back": ("completed", "hung-up", "origination"),
        "held-first-ends": ("completed", "hung-up", "origination"),
        "held-deleted": ("completed", "deleted", "system"),
    }
    found = {}
    for name in expected:
        cdr = await api.cdr(name, within_s=15)
        found[name] = (cdr["release-cause"]["result"], cdr["release-cause"]["reason"], cdr["call-ended-by"])
    assert found == expected
    await api.quiet()
    assert sorted(cdr["call-id"] for cdr in await api.cdrs()) == sorted(expected)
    await until(lambda: not stage.first.up and not stage.second.up, within_s=5)
    assert not stage.first.pending
    assert not stage.second.pending
    for party in (stage.first, stage.second):
        assert party.rung_twice() == {}
        assert {call.end.by for call in party.calls if call.end} <= {EndedBy.REMOTE, EndedBy.LOCAL}
    for name in TONES_HZ:
        assert stage.count(name, PhoneEventKind.INVITED) == 1
    assert gap_s < 0.25, f"silence of {gap_s:.2f} s in {away_s:.1f} s without an engine"
    assert stage.node.faults() == []
    print(f"longest gap in the sound {gap_s * 1000:.0f} ms, engine away for {away_s:.1f} s")  # noqa: T201


async def test_an_answer_that_the_bus_had_not_stored_is_not_lost(stage: Stage) -> None:
    """The phone answers while the bus stands still, and the node is killed: nobody may be left up."""
    await stage.api.place("unstored", "71900", "72900")
    first = await stage.first.called("71900")
    first.ring()
    await stage.api.in_state("unstored", "orig-ringing")
    bus = stage.node.nats_pid
    os.kill(bus, signal.SIGSTOP)
    try:
        first.answer()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first.acked.wait(), 1.0)
        await stage.node.kill()
    finally:
        os.kill(bus, signal.SIGKILL)
    await stage.node.start()
    second = await stage.second.called("72900")
    second.answer()
    await stage.api.in_state("unstored", "connected")
    await until(first.acked.is_set, within_s=5)
    second.hang_up()
    assert (await stage.api.cdr("unstored"))["release-cause"]["reason"] == "hung-up"
    await until(first.ended.is_set, within_s=5)


async def test_a_hang_up_that_the_bus_had_not_stored_is_not_lost(stage: Stage) -> None:
    await stage.api.place("hung-up", "71901", "72901")
    first = await stage.first.called("71901")
    first.answer()
    second = await stage.second.called("72901")
    second.answer()
    await stage.api.in_state("hung-up", "connected")
    bus = stage.node.nats_pid
    os.kill(bus, signal.SIGSTOP)
    try:
        first.hang_up()
        await until(first.ended.is_set, within_s=5)
        await stage.node.kill()
    finally:
        os.kill(bus, signal.SIGKILL)
    await stage.node.start()
    cdr = await stage.api.cdr("hung-up", within_s=15)
    assert cdr["call-ended-by"] == "origination"
    await until(second.ended.is_set, within_s=5)
    await stage.api.quiet()


async def test_relay_killed_ends_its_calls_and_serves_new_ones(stage: Stage) -> None:
    for name, number in (("lost-up", "910"), ("lost-ringing", "911")):
        await stage.api.place(name, f"71{number}", f"72{number}")
        (await stage.first.called(f"71{number}")).answer()
        second = await stage.second.called(f"72{number}")
        second.ring()
    stage.second.of("72910").answer()
    await stage.api.in_state("lost-up", "connected")
    os.kill(stage.node.relay.pid, signal.SIGKILL)
    for name in ("lost-up", "lost-ringing"):
        cause = (await stage.api.cdr(name))["release-cause"]
        assert (cause["result"], cause["reason"]) == ("failed", "relay-lost")
    await until(lambda: not stage.first.up and not stage.second.up and not stage.second.pending, within_s=5)
    await stage.api.place("relay-again", "71912", "72912")
    (await stage.first.called("71912")).answer()
    (await stage.second.called("72912")).answer()
    await stage.api.in_state("relay-again", "connected")
    assert await stage.api.delete("relay-again") == 202
    await stage.api.quiet()


async def test_bus_killed_and_calls_go_on(stage: Stage) -> None:
    """Calls that are up stay up, and one that was ended meanwhile has its CDR; a POST is stored or gets 503."""
    await stage.api.place("bus-up", "71920", "72920")
    (await stage.first.called("71920")).answer()
    (await stage.second.called("72920")).answer()
    await stage.api.in_state("bus-up", "connected")
    stage.first.on_invite = stage.second.on_invite = PartyCall.answer
    accepted: list[str] = []
    refused: list[int] = []

    async def post(number: int) -> None:
        answer = await stage.api.post(f"bus-{number}", f"71{number}", f"72{number}")
        if answer.status_code == 202:
            accepted.append(f"bus-{number}")
        else:
            refused.append(answer.status_code)

    posts = []
    for number in range(930, 970):
        if number == 940:
            os.kill(stage.node.nats_pid, signal.SIGKILL)
        if number == 945:
            stage.first.of("71920").hang_up()
        posts.append(asyncio.get_running_loop().create_task(post(number)))
        await asyncio.sleep(0.02)
    await asyncio.gather(*posts)
    assert set(refused) <= {503}
    assert len(accepted) >= 10
    assert (await stage.api.cdr("bus-up"))["release-cause"]["reason"] == "hung-up"
    for name in accepted:
        await stage.api.in_state(name, "connected", "ended", within_s=15)
        await stage.api.delete(name)
    await stage.api.quiet()
    found = [cdr["call-id"] for cdr in await stage.api.cdrs() if cdr["call-id"].startswith("bus-")]
    assert sorted(found) == sorted([*accepted, "bus-up"])
    for party in (stage.first, stage.second):
        assert party.rung_twice() == {}
        await until(lambda party=party: not party.up, within_s=5)  # type: ignore[misc] # bound now
    print(f"{len(accepted)} stored, {len(refused)} refused")  # noqa: T201
