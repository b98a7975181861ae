"""`ringbridge call`: places one call over HTTP and shows its ladder."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from ringbridge.cli import options

if TYPE_CHECKING:
    import asyncio

    from ringbridge.cli.client import ApiClient, CallOrder, Ladder
    from ringbridge.cli.terminal import Terminal

POLL_S = 0.1
EXIT_STATUS = {"completed": 0, "busy": 10, "no-answer": 11, "rejected": 12, "unreachable": 13, "cancelled": 14}
"""By the release cause's result; anything else is 15. 1: the API cannot be reached, 2: it refused the request."""
OTHER_STATUS = 15


def call(  # noqa: PLR0913 - one argument an option
    *,
    to: Annotated[str, typer.Argument(metavar="TO", help="Whom to connect to: extension, number or user@domain.")],
    from_: Annotated[
        str,
        typer.Option(
            "--from", metavar="PARTY", help="Whose phone rings first: device, user or number. Default: yours."
        ),
    ] = "",
    user: Annotated[str, typer.Option("--user", help="Whose call it is; ~ is the key's own.")] = "~",
    domain: Annotated[str, typer.Option("--domain", help="In which domain; ~ is the key's own.")] = "~",
    caller_id: Annotated[str, typer.Option("--caller-id", help="Number that the second party sees.")] = "",
    auto_answer: Annotated[bool, typer.Option("--auto-answer", help="Ask the first phone to answer itself.")] = False,
    call_id: Annotated[
        str | None, typer.Option("--call-id", help="Name of the call; the same is never dialled twice.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the call to its end, not only until it is joined.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would ring, and what is against it.")
    ] = False,
    url: options.Url = None,
    key: options.Key = None,
    data: options.Data = None,
    config: options.ConfigFile = None,
) -> None:
    """Place a call and show what happens, until both are joined. Ctrl-C ends the call.

    Exit status: 0 joined, 10 busy, 11 no answer, 12 rejected, 13 unreachable, 14 cancelled, 15 failed,
    2 the request was refused, 1 no answer from the API. With --dry-run: 0 it would ring, 2 something is against it.
    """
    from ringbridge.cli.client import CallOrder
    from ringbridge.cli.running import run

    settings = options.load_config(
        config, {"client.url": url, "client.api_key": key, "node.data_dir": None if data is None else str(data)}
    )
    order = CallOrder(
        call_id=call_id or f"cli-{secrets.token_hex(10)}",
        call_term_user=to,
        call_orig_user=from_,
        caller_id_number=caller_id,
        auto_answer_enabled="yes" if auto_answer else "",
        synchronous="yes",
    )
    api_key = options.key_or_fail(settings)
    if dry_run:
        raise SystemExit(run(lambda _: _explain(settings.client.url, api_key, (domain, user), order)))
    raise SystemExit(run(lambda stop: _place(settings.client.url, api_key, (domain, user), order, stop, wait=wait)))


async def _explain(url: str, key: str, owner: tuple[str, str], order: CallOrder) -> int:
    from ringbridge.cli.client import ApiClient, ApiError
    from ringbridge.cli.explanation import write_explanation
    from ringbridge.cli.terminal import Terminal

    async with ApiClient(url, key) as api:
        try:
            found = await api.explain_call(*owner, order)
        except ApiError as error:
            options.say_error(error)
            return 1 if error.status == 0 else 2
    write_explanation(Terminal(), found)
    return 0 if found.would_ring == "yes" else 2


async def _place(
    url: str, key: str, owner: tuple[str, str], order: CallOrder, stop: asyncio.Event, *, wait: bool
) -> int:
    from ringbridge.cli.client import ApiClient, ApiError
    from ringbridge.cli.terminal import Style, Terminal

    terminal = Terminal()
    async with ApiClient(url, key) as api:
        try:
            await api.make_call(*owner, order)
            terminal.line(f"call-id {order.call_id}", Style.DIM)
            return await _follow(api, owner, order.call_id, terminal, stop, wait=wait)
        except ApiError as error:
            options.say_error(error)
            return 1 if error.status == 0 else 2


async def _follow(
    api: ApiClient, owner: tuple[str, str], call_id: str, terminal: Terminal, stop: asyncio.Event, *, wait: bool
) -> int:
    """Write each step once; return the exit status when the call is joined (with `wait`: over)."""
    import asyncio

    from ringbridge.cli.steps import HEADING, word_of, write_step
    from ringbridge.cli.terminal import Style

    terminal.line(HEADING, Style.DIM)
    written: set[tuple[str, str]] = set()
    ending = False
    while True:
        ladder = await _read_ladder(api, owner, call_id)
        for rung in ladder.steps if ladder is not None else ():
            if (rung.step, rung.leg_id) not in written:
                written.add((rung.step, rung.leg_id))
                write_step(terminal, rung.ms, leg=rung.leg, step=word_of(rung), detail=rung.detail)
        if ladder is not None and ladder.release_cause is not None:
            joined = ("joined", "") in written
            return 0 if joined else EXIT_STATUS.get(ladder.release_cause.result, OTHER_STATUS)
        if ("joined", "") in written and not wait and not ending:
            return 0
        if stop.is_set() and not ending:
            ending = True
            await api.end_call(*owner, call_id)
        await asyncio.sleep(POLL_S)


async def _read_ladder(api: ApiClient, owner: tuple[str, str], call_id: str) -> Ladder | None:
    """Return the ladder; None while the local copy of that node does not have the call yet."""
    from ringbridge.cli.client import ApiError

    try:
        return await api.ladder(*owner, call_id)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
