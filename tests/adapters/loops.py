"""Both event loops: the program runs on uvloop, and must not depend on it."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
import uvloop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

on_both_loops = pytest.mark.parametrize(
    "loop_factory",
    [pytest.param(uvloop.new_event_loop, id="uvloop"), pytest.param(asyncio.new_event_loop, id="asyncio")],
)


def run(main: Coroutine[object, object, None], loop_factory: LoopFactory) -> None:
    """Run `main` on a loop of that kind, for 20 seconds at most."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(main, 20))


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait for `condition` to hold."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - conditions of all kinds, on objects that know nothing of tests
            await asyncio.sleep(0.002)
