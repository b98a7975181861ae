"""`ringbridge apply`: makes the directory match a YAML file, and says each change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringbridge.cli import options

if TYPE_CHECKING:
    from ringbridge.cli.client import ApiError, Applied, NewKey
    from ringbridge.cli.documents import YamlDocument


def apply(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML: domains, users, devices, numbers, keys …")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    url: options.Url = None,
    key: options.Key = None,
    data: options.Data = None,
    config: options.ConfigFile = None,
) -> None:
    """Make the directory match FILE, say each change, and show new API keys; safe to repeat.

    Exit status: 0 done, 2 the file has faults or may not be applied, 1 no answer from the API.
    """
    from ringbridge.cli.documents import DocumentError, YamlDocument
    from ringbridge.cli.running import run

    settings = options.load_config(
        config, {"client.url": url, "client.api_key": key, "node.data_dir": None if data is None else str(data)}
    )
    try:
        document = YamlDocument.of_file(file)
    except DocumentError as error:
        options.fail(str(error), status=2)
    api_key = options.key_or_fail(settings)
    raise SystemExit(run(lambda _: _apply(settings.client.url, api_key, document, dry_run=dry_run)))


async def _apply(url: str, key: str, document: YamlDocument, *, dry_run: bool) -> int:
    from ringbridge.cli.client import ApiClient, ApiError

    async with ApiClient(url, key) as api:
        try:
            applied = await api.apply(document.value, dry_run=dry_run)
        except ApiError as error:
            _say_faults(error, document)
            return 1 if error.status == 0 else 2
    _say_changes(applied)
    return 0


def _say_faults(error: ApiError, document: YamlDocument) -> None:
    typer.echo(f"ringbridge: {error.message}", err=True)
    for fault in error.faults:
        if fault.field:
            found = f"; found {fault.found!r}" if fault.found is not None else ""
            allowed = f"; allowed: {fault.allowed}" if fault.allowed is not None else ""
            place = f"{document.name}:{document.line_of(fault.field)}"
            typer.echo(f"  {place}: {fault.field}: {fault.message}{found}{allowed}", err=True)
    options.say_remedy(error)
    _say_keys(error.keys)


def _say_changes(applied: Applied) -> None:
    from ringbridge.cli.terminal import Style, Terminal

    terminal = Terminal()
    styles = {"create": Style.GREEN, "update": Style.YELLOW, "delete": Style.RED}
    for change in applied.changes:
        action = terminal.style(f"{change.action:<6}", styles.get(change.action, Style.BOLD))
        terminal.line(f"{action}  {change.kind:<11}  {change.key}  {', '.join(change.fields)}".rstrip())
    count = len(applied.changes)
    summary = f"{count} change{'' if count == 1 else 's'}" if count else "nothing to change"
    terminal.line(summary + (", dry run: nothing was stored" if applied.dry_run else ""))
    _say_keys(applied.keys)


def _say_keys(keys: Sequence[NewKey]) -> None:
    from ringbridge.cli.terminal import Style, Terminal

    terminal = Terminal()
    if keys:
        terminal.line()
        terminal.line("New API keys, shown this once:", Style.BOLD)
        for key in keys:
            terminal.line(f"  {key.key}  {key.domain}/{key.user}  {key.description}")
