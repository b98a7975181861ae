"""Running a command until it is done or told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import TypeVar

import uvloop

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(main: Callable[[asyncio.Event], Coroutine[object, object, int]]) -> int:
    """Run `main` on uvloop and return its exit status.

    The first Ctrl-C or SIGTERM sets the event that `main` is given, so that it ends in order; another one cancels it.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        stop = asyncio.Event()
        task = loop.create_task(main(stop))

        def on_signal() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        for number in _SIGNALS:
            loop.add_signal_handler(number, on_signal)
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            return 128 + signal.SIGINT
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


async def unless_stopped(work: Coroutine[object, object, T], stop: asyncio.Event) -> T | None:
    """Return what `work` returns, or None if `stop` is set first: then it is cancelled, and awaited to its end."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, stopping):
            one.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
