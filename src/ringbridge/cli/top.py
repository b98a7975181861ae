"""`ringbridge top`: the calls that are up, as they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ringbridge.cli.asking import Asking, Domain, User, asks_api

if TYPE_CHECKING:
    from ringbridge.cli.screen import Screen
    from ringbridge.cli.watching import Watch

OPTION_OF = {"domain": "--domain", "user": "--user"}
FRAME_S = 0.2
"""The least time between two frames, however much happens."""
TICK_S = 1.0
"""The most: durations go on."""


@asks_api(OPTION_OF, stopped_status=0)
async def top(
    asking: Asking,
    *,
    domain: Domain = None,
    user: User = None,
    once: Annotated[
        bool, typer.Option("--once", help="Show them once and end, as it does where no terminal is.")
    ] = False,
) -> None:
    """Watch the calls that are up: all that the key sees, as they change. q or Ctrl-C ends it."""
    from ringbridge.cli.screen import Screen
    from ringbridge.cli.watching import Watch

    watch = Watch(asking.api, domain=domain, user=user)
    await watch.begin()
    if asking.as_json:
        asking.write_json(watch.calls.shown())
    elif once or not asking.terminal.is_tty:
        _write_once(asking, watch)
    else:
        with Screen(asking.terminal) as screen:
            await _show(screen, watch, asking.api.url)


def _write_once(asking: Asking, watch: Watch) -> None:
    from ringbridge.cli.call_tables import columns
    from ringbridge.cli.tables import write_table

    asking.terminal.line(watch.calls.summary())
    if calls := watch.calls.shown():
        write_table(asking.terminal, columns(), calls)


async def _show(screen: Screen, watch: Watch, url: str) -> None:
    """Draw frames until q is pressed, or the API refuses for good."""
    import asyncio

    drawing = asyncio.create_task(_draw(screen, watch, url))
    watching = asyncio.create_task(watch.run())
    leaving = asyncio.create_task(screen.left.wait())
    tasks = (drawing, watching, leaving)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _draw(screen: Screen, watch: Watch, url: str) -> None:
    import asyncio
    import contextlib
    import time

    while True:
        watch.changed.clear()
        watch.calls.forget(time.monotonic())
        screen.draw(_frame(screen, watch, url))
        await asyncio.sleep(FRAME_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK_S - FRAME_S):
                await watch.changed.wait()


def _frame(screen: Screen, watch: Watch, url: str) -> list[str]:
    """Return the lines of the screen as it is now."""
    from ringbridge.cli.call_tables import columns
    from ringbridge.cli.tables import clean, cut, table_lines
    from ringbridge.cli.terminal import Style

    width, height = screen.size()
    terminal = screen.terminal
    calls = watch.calls.shown()
    is_live = watch.state == "live"
    head = cut(clean(f"{url}  {watch.state}"), width)
    lines = [
        terminal.style(head, Style.DIM if is_live else Style.YELLOW),
        terminal.style(cut(watch.calls.summary(), width), Style.BOLD),
        "",
    ]
    room = max(0, height - len(lines) - 2)  # the table's head, and the last line
    if calls:
        lines += table_lines(terminal, columns(), calls[:room], width=width)
    else:
        lines.append(cut("`ringbridge call TO` places one; it shows here by itself", width))
    left_out = f"{len(calls) - room} more, older; " if len(calls) > room else ""
    lines = lines[: max(0, height - 1)]
    lines += [""] * (height - 1 - len(lines))
    return [*lines, terminal.style(cut(f"{left_out}q ends", width), Style.DIM)]
