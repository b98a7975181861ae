"""What every command that asks the API has in common: where it is, the key, `--json`, and how a refusal is told.

A command is an `async def` that takes an `Asking` first and returns its exit status (None: 0); `asks_api` makes of it
what typer takes, with the options that all of them have behind its own.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ringbridge.cli import options

if TYPE_CHECKING:
    import asyncio

    from ringbridge.cli.client import ApiClient
    from ringbridge.cli.terminal import Terminal

Command: TypeAlias = Callable[..., Coroutine[object, object, int | None]]
"""Takes an `Asking`, then its own options by name."""

EXIT_STATUS = "Exit status: 0 done, 1 no answer from the API, 2 refused, or the command line is wrong."
"""What the commands made here end with; the help of each says it."""

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="What the API answers, as JSON.")]
Domain: TypeAlias = Annotated[
    str | None, typer.Option("--domain", metavar="DOMAIN", help="In which domain. Default: all that the key sees.")
]
User: TypeAlias = Annotated[str | None, typer.Option("--user", metavar="USER", help="Only of this user.")]
OfDomain: TypeAlias = Annotated[
    str | None, typer.Option("--domain", metavar="DOMAIN", help="Whose. Default: the key's own.")
]
More: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any other field of the API; repeatable.")
]
Limit: TypeAlias = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, metavar="N", help="At most so many.")]


class CannotDo(Exception):
    """The command cannot be done as it was given; the message says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What a command asks with, and where it answers."""

    api: ApiClient
    terminal: Terminal
    as_json: bool

    def write_json(self, value: object) -> None:
        """Write a value of the API as JSON that people can read too."""
        import msgspec

        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")

    def note(self, text: str) -> None:
        """Say something beside the answer, on standard error."""
        typer.echo(text, err=True)


def asked_password() -> str:
    """Return a password from whoever sits at the terminal, or else the first line of standard input.

    Raises:
        CannotDo: there is none.
    """
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise CannotDo("--ask-password: standard input has no line; one with the password is needed")
    return line


@dataclass(frozen=True, slots=True)
class _Given:
    """What the options that all of them have say."""

    url: str
    key: str
    as_json: bool


def _given(
    *,
    json: Json = False,
    url: options.Url = None,
    key: options.Key = None,
    data: options.Data = None,
    config: options.ConfigFile = None,
) -> _Given:
    settings = options.load_config(
        config, {"client.url": url, "client.api_key": key, "node.data_dir": None if data is None else str(data)}
    )
    return _Given(settings.client.url, options.key_or_fail(settings), json)


_SHARED = inspect.signature(_given, eval_str=True).parameters


def asks_api(
    option_of: Mapping[str, str] | None = None,
    *,
    query: Callable[..., dict[str, str]] | None = None,
    stopped_status: int = 128 + signal.SIGINT,
) -> Callable[[Command], Callable[..., None]]:
    """Make a command of an `async def`.

    `option_of` are the options that stand for fields of its requests; it ends with `stopped_status` by Ctrl-C. Options
    that several commands have alike are those of `query`, whose answer the command takes as `query`.
    """
    asked = inspect.signature(query, eval_str=True).parameters if query is not None else {}

    def made(command: Command) -> Callable[..., None]:
        @wraps(command)
        def run_it(**values: Any) -> None:
            from ringbridge.cli.running import run

            given = _given(**{name: values.pop(name) for name in _SHARED})
            if query is not None:
                values["query"] = query(**{name: values.pop(name) for name in asked})

            async def main(stop: asyncio.Event) -> int:
                status = await _answered(given, lambda asking: command(asking, **values), stop, option_of or {})
                return stopped_status if status is None else status

            raise SystemExit(run(main))

        own = [
            one
            for name, one in list(inspect.signature(command, eval_str=True).parameters.items())[1:]
            if name != "query"
        ]
        signature = inspect.Signature([*asked.values(), *own, *_SHARED.values()])
        run_it.__signature__ = signature  # type: ignore[attr-defined] # what typer reads
        run_it.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n{EXIT_STATUS}"
        return run_it

    return made


async def _answered(
    given: _Given,
    command: Callable[[Asking], Coroutine[object, object, int | None]],
    stop: asyncio.Event,
    option_of: Mapping[str, str],
) -> int | None:
    """Return the exit status; None when it was stopped."""
    from ringbridge.cli.client import ApiClient, ApiError
    from ringbridge.cli.running import unless_stopped
    from ringbridge.cli.terminal import Terminal

    async def told(asking: Asking) -> int:
        try:
            return await command(asking) or 0
        except ApiError as error:
            options.say_error(error, option_of)
            return 1 if error.status == 0 else 2
        except CannotDo as fault:
            typer.echo(f"ringbridge: {fault}", err=True)
            return 2
        except BrokenPipeError:  # `ringbridge … | head` has read enough
            # So that the last flush has somewhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    async with ApiClient(given.url, given.key) as api:
        return await unless_stopped(told(Asking(api, Terminal(), given.as_json)), stop)
