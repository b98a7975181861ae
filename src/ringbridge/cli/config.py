"""`ringbridge config`: every setting, what it means, and where it comes from."""

from __future__ import annotations

import typer

from ringbridge.cli import options


def config(*, file: options.ConfigFile = None) -> None:
    """Show the configuration that `serve` would take here, each key explained, as TOML.

    What is not set is a comment with its default, so that the output is also a file to begin with: `ringbridge config >
    ringbridge.toml`. Faults are told all at once, and end with 2.
    """
    from ringbridge.config import ConfigError, load_with_sources
    from ringbridge.config.written import write

    try:
        settings, sources = load_with_sources(file)
    except ConfigError as error:
        options.fail(str(error), status=2)
    typer.echo(write(settings, sources), nl=False)
