"""What a shell may complete: the words that an option takes, the calls that are up, and devices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import typer

if TYPE_CHECKING:
    from ringbridge.cli.client import ApiClient

Names: TypeAlias = "Callable[[ApiClient, Mapping[str, Any]], Awaitable[list[str]]]"
"""Asks for names; takes the options that are on the line by now."""

WITHIN_S: Final = 1.5
"""How long somebody who pressed Tab waits for the API."""
MOST: Final = 200
TYPES: Final = ("outbound", "inbound", "missed", "received", "on-net", "off-net")
SCOPES: Final = (
    "Basic User",
    "Advanced User",
    "Call Center Agent",
    "Call Center Supervisor",
    "Site Manager",
    "Office Manager",
    "Reseller",
    "Super User",
    "Simple User",
    "NDP",
    "No Portal",
)


def words(*known: str) -> Callable[[str], list[str]]:
    """Return what completes to one of the `known` words."""

    def complete(incomplete: str) -> list[str]:
        return [one for one in known if one.lower().startswith(incomplete.lower())]

    return complete


def call_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the call-ids of calls that are up and begin so; none where the API does not say in a moment."""
    return _from_api(ctx, incomplete, _calls)


def device_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of devices that begin so, likewise."""
    return _from_api(ctx, incomplete, _devices)


def _from_api(ctx: typer.Context, incomplete: str, names: Names) -> list[str]:
    import asyncio

    from ringbridge.cli.client import ApiClient, ApiError, key_of
    from ringbridge.config import ConfigError, load

    given = ctx.params
    data = given.get("data")
    overrides = {
        "client.url": given.get("url"),
        "client.api_key": given.get("key"),
        "node.data_dir": None if data is None else str(data),
    }

    async def found(url: str, key: str) -> list[str]:
        async with asyncio.timeout(WITHIN_S), ApiClient(url, key) as api:
            return await names(api, given)

    try:
        settings = load(given.get("config"), overrides)
        key = key_of(settings)
        known = [] if key is None else asyncio.run(found(settings.client.url, key))
    except (ConfigError, ApiError, TimeoutError):
        return []  # a shell has no place for why; the command itself will say it
    return [name for name in known if name.startswith(incomplete)][:MOST]


async def _calls(api: ApiClient, given: Mapping[str, Any]) -> list[str]:
    from ringbridge.cli.lists import PAGE, places_of, read_list, widest
    from ringbridge.cli.tables import text_of

    place = await widest(api, places_of("calls", domain=given.get("domain"), user=None))
    listed = await read_list(api, place, limit=PAGE)
    return [text_of(one, "call-id") for one in listed.items]


async def _devices(api: ApiClient, given: Mapping[str, Any]) -> list[str]:
    from ringbridge.cli.directory_lists import devices_of
    from ringbridge.cli.lists import PAGE
    from ringbridge.cli.tables import text_of

    listed = await devices_of(api, domain=given.get("domain"), user=given.get("user"), limit=PAGE, registered=None)
    return [text_of(one, "device") for one in listed.items]
