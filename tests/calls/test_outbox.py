"""How the events of one call reach the bus: in order, few messages, nothing kept back that somebody waits for."""

import asyncio

import pytest

from ringbridge.adapters.memory.bus import MemoryBus
from ringbridge.calls import outbox
from ringbridge.calls.outbox import Outbox
from ringbridge.model.events import CallEvent, LegAnswered, LegRinging
from ringbridge.model.ids import LegId
from tests.calls.samples import START, requested

REQUEST = requested()
LEG = LegId("o1")
RING = LegRinging(LEG, START)
ANSWER = LegAnswered(LEG, b"dialog", "PCMU", START, START)


class Written:
    """An outbox of a call that was just requested, and what its bus holds behind the request."""

    def __init__(self, bus: MemoryBus, sequence: int) -> None:
        self.bus = bus
        self.outbox = Outbox(bus, REQUEST.domain, REQUEST.call_id, after=sequence)

    async def messages(self) -> list[list[CallEvent]]:
        stored = await self.bus.read_call(REQUEST.domain, REQUEST.call_id)
        return [message.events for message in stored[1:]]


@pytest.fixture
async def written() -> Written:
    bus = MemoryBus()
    return Written(bus, await bus.create_call(REQUEST.domain, REQUEST.call_id, [REQUEST]))


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "COMPANY_S", 3600.0)


async def test_a_ring_and_the_answer_behind_it_are_one_message(written: Written, long_wait: None) -> None:
    written.outbox.put([RING])
    written.outbox.put([ANSWER])
    await written.outbox.stored()
    assert await written.messages() == [[RING, ANSWER]]


async def test_a_ring_alone_is_stored_after_the_wait(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "COMPANY_S", 0.001)
    told = asyncio.Event()
    written.outbox.on_stored = lambda _: told.set()
    written.outbox.put([RING])
    assert await written.messages() == []
    async with asyncio.timeout(5):
        await told.wait()
    assert await written.messages() == [[RING]]


async def test_whoever_waits_for_all_to_be_stored_does_not_wait_for_company(written: Written, long_wait: None) -> None:
    written.outbox.put([RING])
    async with asyncio.timeout(5):
        await written.outbox.stored()
    assert await written.messages() == [[RING]]


async def test_what_must_be_stored_now_takes_a_waiting_ring_with_it(written: Written, long_wait: None) -> None:
    written.outbox.put([RING])
    async with asyncio.timeout(5):
        await written.outbox.store([ANSWER])
    assert await written.messages() == [[RING, ANSWER]]


async def test_an_outbox_that_was_given_up_writes_no_ring_later(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "COMPANY_S", 0.001)
    written.outbox.put([RING])
    written.outbox.abandon()
    await asyncio.sleep(0.02)
    assert await written.messages() == []
