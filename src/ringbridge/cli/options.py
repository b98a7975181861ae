"""Options that several commands share, and how they become a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeAlias

import typer

if TYPE_CHECKING:
    from ringbridge.cli.client import ApiError
    from ringbridge.config import Config

_ADDRESS = re.compile(
    r"(?P<alone>\d{1,5})|(?P<v6>[0-9A-Fa-f]*(?::[0-9A-Fa-f.]*){2,})"
    r"|(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]*))(?::(?P<port>\d{1,5}))?"
)

ConfigFile: TypeAlias = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration (TOML).")]
Http: TypeAlias = Annotated[str | None, typer.Option("--http", metavar="HOST:PORT", help="Where the API listens.")]
HttpsOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--https", metavar="self-signed|files", help="HTTPS too: a certificate of our own, or of the files."),
]
Sip: TypeAlias = Annotated[
    str | None, typer.Option("--sip", metavar="HOST:PORT", help="Where SIP listens, UDP and TCP.")
]
Data: TypeAlias = Annotated[Path | None, typer.Option("--data", metavar="FOLDER", help="Folder of all that is kept.")]
Bus: TypeAlias = Annotated[
    str | None,
    typer.Option("--bus", metavar="URL", help="External bus, nats://host:port[,…]; default: one of our own."),
]
Roles: TypeAlias = Annotated[
    list[str] | None, typer.Option("--role", metavar="ROLE", help="api, engine or relay; repeatable. Default: all.")
]
PublicAddress: TypeAlias = Annotated[
    str | None, typer.Option("--public-address", metavar="HOST", help="Address that phones see in SIP and SDP.")
]
DurabilityOption: TypeAlias = Annotated[
    str | None, typer.Option("--durability", metavar="strict|relaxed", help="What the bus must promise.")
]
LogLevelOption: TypeAlias = Annotated[
    str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
]
Url: TypeAlias = Annotated[str | None, typer.Option("--url", metavar="URL", help="The API [RINGBRIDGE_CLIENT_URL].")]
Key: TypeAlias = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="API key [RINGBRIDGE_CLIENT_API_KEY, or the data folder's admin key]."),
]
KEY_SOURCES = (
    "`ringbridge demo` prints one; the first of a node that runs here is in {file} (--data names another folder); "
    "`ringbridge keys create` makes more"
)


def load_config(file: Path | None, overrides: dict[str, object]) -> Config:
    """Return the configuration; its faults go to standard error and end the program with status 2."""
    from ringbridge.config import ConfigError, load

    try:
        return load(file, overrides)
    except ConfigError as error:
        fail(str(error), status=2)


def node_overrides(  # noqa: PLR0913 - one argument an option
    *,
    http: str | None,
    sip: str | None,
    data: Path | None,
    bus: str | None,
    roles: list[str] | None,
    public_address: str | None,
    durability: str | None,
    log_level: str | None,
    https: str | None = None,
) -> dict[str, object]:
    """Return what the options of `serve` and `demo` change in the configuration."""
    return {
        **address_overrides("http", http, option="--http"),
        **address_overrides("sip", sip, option="--sip"),
        "http.https": https,
        "node.data_dir": None if data is None else str(data),
        "node.roles": ",".join(roles) if roles else None,
        "bus.url": bus,
        "bus.durability": durability,
        "sip.public_address": public_address,
        "log.level": log_level,
    }


def address_overrides(section: str, text: str | None, *, option: str) -> dict[str, object]:
    """Return `section.host` and `section.port` of `HOST:PORT`, `:PORT`, `HOST`, `[::1]:PORT` or `PORT`."""
    if text is None:
        return {}
    host, port = split_address(text, option=option)
    return {f"{section}.host": host or None, f"{section}.port": port}


def split_address(text: str, *, option: str) -> tuple[str, int | None]:
    """Return host (empty if not named) and port (None if not named) of an address as people write it."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        fail(f"{option}: {text!r} is not HOST:PORT", status=2)
    port = found["port"] or found["alone"]
    return found["bracketed"] or found["v6"] or found["name"] or "", int(port) if port else None


def fail(message: str, *, status: int = 1) -> NoReturn:
    """Say what is wrong on standard error and end the program."""
    typer.echo(f"ringbridge: {message}", err=True)
    raise SystemExit(status)


def key_or_fail(config: Config) -> str:
    """Return the API key to use; without one, say where to get it and end the program with status 2."""
    from ringbridge.cli.client import ADMIN_KEY_FILE, key_of

    key = key_of(config)
    if key is None:
        fail(
            "no API key: give --key, or set RINGBRIDGE_CLIENT_API_KEY\n"
            f"  {KEY_SOURCES.format(file=config.node.data_dir / ADMIN_KEY_FILE)}",
            status=2,
        )
    return key


def say_error(error: ApiError, option_of: Mapping[str, str] | None = None) -> None:
    """Say what the API refused, each fault on a line of its own, and what to do about it, on standard error.

    `option_of` are the options that stand for fields of the request.
    """
    typer.echo(f"ringbridge: {error.message}", err=True)
    for fault in error.faults:
        if fault.field:
            name = (option_of or {}).get(fault.field, fault.field)
            found = f"; found {fault.found!r}" if fault.found is not None else ""
            allowed = f"; allowed: {fault.allowed}" if fault.allowed is not None else ""
            typer.echo(f"  {name}: {fault.message}{found}{allowed}", err=True)
    say_remedy(error)


def say_remedy(error: ApiError) -> None:
    """Say what to do about a refusal, on standard error, where its faults do not say it all."""
    from ringbridge.cli.remedies import remedy_of

    if remedy := remedy_of(error.status, error.codes):
        typer.echo(f"  {remedy}", err=True)
