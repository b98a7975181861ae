"""Work that goes round by round, whatever a round runs into."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from ringbridge.adapters.rounds import go_rounds
from ringbridge.model.errors import BusUnavailable, Conflict


async def test_no_round_that_fails_is_the_last_and_waiting_is_told_once() -> None:
    faults: list[Exception | None] = [BusUnavailable(), Conflict(), None, ValueError("a bug"), None, BusUnavailable()]
    done, wake = asyncio.Event(), asyncio.Event()

    async def one() -> None:
        wake.set()  # something has changed again: the next round comes at once, long before it is due
        if not faults:
            done.set()
        elif (fault := faults.pop(0)) is not None:
            raise fault

    with capture_logs() as told:
        task = asyncio.create_task(go_rounds("work", one, wake, every_s=3600))
        try:
            await asyncio.wait_for(done.wait(), 5)
        finally:
            task.cancel()
            await asyncio.wait([task])
    assert [line["event"] for line in told] == ["rounds_wait", "round_ended_by_a_bug", "rounds_wait"]


async def test_a_round_comes_when_it_is_due_though_nothing_has_changed() -> None:
    rounds = asyncio.Queue[None]()

    async def one() -> None:
        rounds.put_nowait(None)

    task = asyncio.create_task(go_rounds("work", one, asyncio.Event(), every_s=0.01))
    try:
        for _ in range(3):
            await asyncio.wait_for(rounds.get(), 5)
    finally:
        task.cancel()
        await asyncio.wait([task])
