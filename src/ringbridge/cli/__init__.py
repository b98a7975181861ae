"""The command line: `ringbridge serve`, `demo`, `call`, `apply`, `export`, `phone`, `version`.

A command is a module of this package with a function of its name, entered in `COMMANDS`. It imports what it needs
inside that function, so that `ringbridge --help` stays quick; it talks to a running Ringbridge by HTTP alone.
"""

from __future__ import annotations

import importlib

import typer

COMMANDS = ("demo", "serve", "call", "apply", "export", "phone", "bench", "version")
"""In the order in which `--help` shows them."""

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def build() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        name="ringbridge",
        help="Click-to-call: one HTTP request rings two phones and joins them.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )
    for name in COMMANDS:
        module = importlib.import_module(f"ringbridge.cli.{name}")
        app.command(name, context_settings=_SETTINGS)(getattr(module, name))
    return app


def main() -> None:
    """Run the command that the arguments name; the entry point of the `ringbridge` program."""
    build()()
