"""Work that a node goes round by round, at once when something has changed, whatever a round runs into."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ringbridge.model.errors import BusUnavailable, Conflict

log = structlog.get_logger(__name__)


async def go_rounds(work: str, one: Callable[[], Awaitable[None]], wake: asyncio.Event, *, every_s: float) -> None:
    """Do `one` round every `every_s` seconds, and whenever `wake` is set, until cancelled.

    A round that the bus is away for, or that another node was faster in, is done again with the next; the log says so
    once. One that ends by a bug is logged, and the others are done all the same.
    """
    is_waiting = False
    while True:
        wake.clear()
        try:
            await one()
            is_waiting = False
        except (BusUnavailable, Conflict) as fault:
            if not is_waiting:
                log.info("rounds_wait", work=work, why=type(fault).__name__)
            is_waiting = True
        except Exception:
            log.exception("round_ended_by_a_bug", work=work)  # the one guard of this task
        try:
            async with asyncio.timeout(every_s):
                await wake.wait()
        except TimeoutError:
            continue
