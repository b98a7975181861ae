"""kill -9 of the whole node at twenty random moments under a stream of calls: each accepted call has one CDR."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.live.node import Api, Node, connection, document, node, rule, until
from tests.live.party import Party, PartyCall

KILLS = 20
CALLS_A_SECOND = 25
SEED = 20_261_124


class Phones:
    """Phones that ring, answer, refuse, hang up or do nothing, each after a moment of its own."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def take(self, call: PartyCall) -> None:
        loop, chance = asyncio.get_running_loop(), self._random.random
        if chance() < 0.8:
            loop.call_later(0.05 * chance(), self._unless_over, call, call.ring)
        kind, after_s = chance(), 0.3 * chance()
        if kind < 0.12:
            loop.call_later(after_s, self._unless_over, call, lambda: call.refuse(486))
        elif kind < 0.92:
            loop.call_later(after_s, self._answer, call)

    @staticmethod
    def _unless_over(call: PartyCall, act: object) -> None:
        if not call.ended.is_set() and callable(act):
            act()

    def _answer(self, call: PartyCall) -> None:
        if call.ended.is_set():
            return
        call.answer()
        if self._random.random() < 0.7:
            after_s = 0.4 * self._random.random()
            asyncio.get_running_loop().call_later(after_s, self._unless_over, call, call.hang_up)


class Stream:
    """Calls, one after the other, each with numbers of its own, whether or not anybody listens."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._posts: set[asyncio.Task[None]] = set()
        self.accepted: list[str] = []
        self.unknown: list[str] = []
        """POSTs without an answer: may be accepted or not."""
        self.refused: Counter[int] = Counter()
        self.up = asyncio.Event()

    async def run(self) -> None:
        number = 0
        while True:
            await self.up.wait()
            number += 1
            task = asyncio.create_task(self._post(number))
            self._posts.add(task)
            task.add_done_callback(self._posts.discard)
            await asyncio.sleep(1 / CALLS_A_SECOND)

    async def finished(self) -> None:
        await asyncio.gather(*self._posts)

    async def _post(self, number: int) -> None:
        name = f"stream-{number}"
        try:
            answer = await self._api.post(name, f"71{number:06}", f"72{number:06}")
        except httpx.TransportError:
            self.unknown.append(name)
            return
        if answer.status_code == 202:
            self.accepted.append(name)
        else:
            self.refused[answer.status_code] += 1
        if number % 7 == 0:
            await self._delete(name)

    async def _delete(self, name: str) -> None:
        try:
            await self._api.delete(name)
        except httpx.TransportError:
            return


async def kill_again_and_again(one: Node, stream: Stream) -> None:
    moments = random.Random(SEED)
    for _ in range(KILLS):
        stream.up.set()
        await asyncio.sleep(0.1 + 0.9 * moments.random())
        await one.kill()
        stream.up.clear()
        await one.start()


@pytest.mark.timeout(300)
async def test_every_accepted_call_has_one_cdr_and_nobody_is_rung_twice() -> None:
    settings = {
        "sip.t1_s": 0.1,
        "sip.t2_s": 0.4,
        "calls.orig_ring_timeout_s": 8,
        "calls.term_ring_timeout_s": 8,
        "calls.max_call_s": 10,
        "log.level": "warning",
    }
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Party(Phones(1).take))
        second = await stack.enter_async_context(Party(Phones(2).take))
        directory = document(
            connections=[connection("first", first.port), connection("second", second.port)],
            rules=[rule("71", "first"), rule("72", "second")],
        )
        one, api = await stack.enter_async_context(node(directory, settings=settings))
        stream = Stream(api)
        posting = asyncio.create_task(stream.run())
        try:
            await kill_again_and_again(one, stream)
        finally:
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)
        await stream.finished()
        await api.quiet(within_s=40)

        cdrs = Counter(cdr["call-id"] for cdr in await api.cdrs())
        assert [name for name in stream.accepted if cdrs[name] != 1] == []
        assert {name for name, count in cdrs.items() if count != 1} == set()
        assert set(cdrs) <= {*stream.accepted, *stream.unknown}
        assert set(stream.refused) <= {503}
        assert first.rung_twice() == {}
        assert second.rung_twice() == {}
        await until(lambda: not [*first.up, *second.up], within_s=15, what="no leg is up")
        await until(lambda: not [*first.pending, *second.pending], within_s=15, what="no phone rings")
        assert one.faults() == []
        reasons = Counter(f"{cdr['release-cause']['reason']}" for cdr in await api.cdrs())
        print(f"{len(stream.accepted)} accepted, {len(stream.unknown)} unanswered, {dict(stream.refused)}, {reasons}")  # noqa: T201
