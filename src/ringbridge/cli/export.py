"""`ringbridge export`: writes the directory as a YAML file that `ringbridge apply` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringbridge.cli import options

HEADER = """\
# The directory of {url}. `ringbridge apply` of this file there changes nothing.
# Passwords and keys are not in it: applying leaves those that are there as they are.
"""


def export(
    *,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Without it, to the terminal.")] = None,
    domain: Annotated[list[str] | None, typer.Option(help="Only this domain; may be given again.")] = None,
    url: options.Url = None,
    key: options.Key = None,
    data: options.Data = None,
    config: options.ConfigFile = None,
) -> None:
    """Write the directory, as far as the key rules over it, as YAML.

    Exit status: 0 done, 2 it may not be read or not be written, 1 no answer from the API.
    """
    from ringbridge.cli.running import run

    settings = options.load_config(
        config, {"client.url": url, "client.api_key": key, "node.data_dir": None if data is None else str(data)}
    )
    api_key = options.key_or_fail(settings)
    raise SystemExit(run(lambda _: _export(settings.client.url, api_key, file, domain or [])))


async def _export(url: str, key: str, file: Path | None, only: list[str]) -> int:
    import asyncio

    from ringbridge.cli.client import ApiClient, ApiError
    from ringbridge.cli.documents import yaml_text

    async with ApiClient(url, key) as api:
        try:
            document = await api.export()
        except ApiError as error:
            options.say_error(error)
            return 1 if error.status == 0 else 2
    domains = document.get("domains", [])
    known = {one["domain"] for one in domains}
    if only:
        document = {"domains": [one for one in domains if one["domain"] in only]}
    missing = [name for name in only if name not in known]
    if missing:
        typer.echo(f"ringbridge: no domain {', '.join(missing)}", err=True)
        return 2
    text = HEADER.format(url=url) + yaml_text(document)
    if file is None:
        typer.echo(text, nl=False)
        return 0
    try:
        await asyncio.to_thread(file.write_text, text, encoding="utf-8")
    except OSError as error:
        typer.echo(f"ringbridge: {error}", err=True)
        return 2
    return 0
