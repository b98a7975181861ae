"""kill -9 of a delivering node at random moments under a stream of calls: subscribers miss nothing, in order."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest

from tests.adapters.receiver import OK, Got, Receiver, answer, receiving
from tests.live.node import DOMAIN, Api, connection, document, node, rule, until
from tests.live.party import Party
from tests.live.test_random_kills import Phones, Stream

KILLS = 6
SEED = 20_261_125
REFUSED_SHARE = 0.02


async def subscribe(api: Api, url: str, model: str) -> tuple[str, str]:
    """Return id and secret of a new subscription to the whole domain."""
    body = {"model": model, "post-url": url, "synchronous": "yes"}
    made = await api.http.post(f"/ns-api/v2/domains/{DOMAIN}/subscriptions", json=body)
    assert made.status_code == 200, made.text
    return made.json()["id"], made.json()["webhook-secret"]


def gone_wrong(events: list[dict[str, Any]]) -> str:
    """Return what is wrong with what came of one call that is over; empty when it is as it must be."""
    arrived = list(dict.fromkeys(event["sequence"] for event in events))
    if arrived != sorted(arrived):
        return f"first arrivals are out of order: {arrived}"
    states = [event["call-state"] for event in events]
    if states[0] != "requested" or "ended" not in states:
        return f"the beginning or the end is missing: {states}"
    if any(before["time_answer"] and not after["time_answer"] for before, after in pairwise(unique(events))):
        return f"it went back: {states}"
    return ""


def unique(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects without their repetitions."""
    return list({event["id"]: event for event in events}.values())


def untold(receiver: Receiver, cdrs: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return what came of each call whose end has not come."""
    told = {cdr["call-id"]: receiver.events(cdr["call-id"]) for cdr in cdrs}
    return {
        call_id: [f"{event['sequence']} {event['call-state']}" for event in events]
        for call_id, events in told.items()
        if not any(event["remove"] == "yes" for event in events)
    }


async def all_told(receiver: Receiver, cdrs: list[dict[str, Any]], *, within_s: float) -> None:
    """Return once the end of every call has come.

    Raises:
        AssertionError: it has not, `within_s` seconds later; with what came of those calls.
    """
    try:
        await until(lambda: not untold(receiver, cdrs), within_s=within_s)
    except AssertionError:
        assert untold(receiver, cdrs) == {}, f"not told within {within_s} s"


@pytest.mark.timeout(300)
async def test_no_event_is_lost_and_each_call_is_told_in_order() -> None:
    settings = {
        "sip.t1_s": 0.1,
        "sip.t2_s": 0.4,
        "calls.orig_ring_timeout_s": 5,
        "calls.term_ring_timeout_s": 5,
        "calls.max_call_s": 5,
        "log.level": "warning",
        "webhooks.allowed_networks": "127.0.0.0/8",
    }
    chance = random.Random(SEED)
    refused: set[str] = set()  # once each: who is refused twice waits for five minutes

    def respond(got: Got) -> bytes:
        if got.webhook_id in refused or chance.random() >= REFUSED_SHARE:
            return OK
        refused.add(got.webhook_id)
        return answer(500)

    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Party(Phones(1).take))
        second = await stack.enter_async_context(Party(Phones(2).take))
        told, mirror, settled = [await stack.enter_async_context(receiving()) for _ in range(3)]
        told.respond = respond
        directory = document(
            connections=[connection("first", first.port), connection("second", second.port)],
            rules=[rule("71", "first") | {"dialrule": "first"}, rule("72", "second") | {"dialrule": "second"}],
        )
        one, api = await stack.enter_async_context(node(directory, settings=settings))
        name, secret = await subscribe(api, told.url, "call")
        await subscribe(api, mirror.url, "call_origid")
        await subscribe(api, settled.url, "cdr")
        stream = Stream(api)
        posting = asyncio.create_task(stream.run())
        try:
            for _ in range(KILLS):
                stream.up.set()
                await asyncio.sleep(0.5 + chance.random())
                await one.kill()
                stream.up.clear()
                await one.start()
        finally:
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)
        await stream.finished()
        await api.quiet(within_s=40)

        cdrs = await api.cdrs()
        assert len(cdrs) > 20
        for receiver in (told, mirror, settled):
            await all_told(receiver, cdrs, within_s=60)
        for cdr in cdrs:  # what one of two was told, the other was told: a loss would have to hit both alike
            ids = [{event["id"] for event in one.events(cdr["call-id"])} for one in (told, mirror)]
            assert ids[0] == ids[1]
        wrong = {cdr["call-id"]: gone_wrong(told.events(cdr["call-id"])) for cdr in cdrs}
        assert {call_id: why for call_id, why in wrong.items() if why} == {}
        for got in told.got:
            got.check(secret)
        attempts = await api.http.get(f"/ns-api/v2/domains/{DOMAIN}/subscriptions/{name}/deliveries?limit=1000")
        assert {one["outcome"] for one in attempts.json()} == {"delivered", "failed"}
        assert one.faults() == []
        count = sum(len(unique(told.events(cdr["call-id"]))) for cdr in cdrs)
        repeated = sum(len(told.events(cdr["call-id"])) for cdr in cdrs) - count
        print(f"{len(cdrs)} calls, {count} events, {repeated} sent again, {len(settled.got)} CDRs")  # noqa: T201
