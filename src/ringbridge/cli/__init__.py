"""The command line: `ringbridge serve`, `demo`, `call`, `top`, `calls list` and so on.

A command is a module of this package with a function of its name, entered in `COMMANDS`; a group of commands, entered
in `GROUPS`, is a module with a table of them, `COMMANDS`, whose docstring says what they are about. A command imports
what it needs inside its function, so that `ringbridge --help` stays quick; it talks to a running Ringbridge by HTTP
alone.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import typer

from ringbridge.cli.faults import Command

COMMANDS = ("demo", "serve", "call", "top", "apply", "export", "phone", "config", "bench", "version")
GROUPS = ("calls", "cdrs", "users", "devices", "keys")
"""In the order in which `--help` shows them."""

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def build() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        name="ringbridge",
        help="Click-to-call: one HTTP request rings two phones and joins them.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )
    for name in COMMANDS:
        module = importlib.import_module(f"ringbridge.cli.{name}")
        app.command(name, cls=Command, context_settings=_SETTINGS)(getattr(module, name))
    for name in GROUPS:
        module = importlib.import_module(f"ringbridge.cli.{name}")
        app.add_typer(_group(module), name=name)
    return app


def _group(module: ModuleType) -> typer.Typer:
    """Return the commands of a module as one command, `calls` with `list`, `show` and so on below it."""
    about = (module.__doc__ or "").partition(": ")[2].strip()
    group = typer.Typer(
        help=about[:1].upper() + about[1:], no_args_is_help=True, rich_markup_mode=None, context_settings=_SETTINGS
    )
    for name, command in module.COMMANDS.items():
        group.command(name, cls=Command, context_settings=_SETTINGS)(command)
    return group


def main() -> None:
    """Run the command that the arguments name; the entry point of the `ringbridge` program."""
    build()()
