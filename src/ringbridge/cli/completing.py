"""What a shell may complete: the words that an option takes, and the calls that are up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import typer

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
    import asyncio

    from ringbridge.cli.client import ApiError, key_of
    from ringbridge.config import ConfigError, load

    given = ctx.params
    data = given.get("data")
    overrides = {
        "client.url": given.get("url"),
        "client.api_key": given.get("key"),
        "node.data_dir": None if data is None else str(data),
    }
    try:
        settings = load(given.get("config"), overrides)
        key = key_of(settings)
        if key is None:
            return []
        return asyncio.run(_call_names(settings.client.url, key, given.get("domain"), incomplete))
    except (ConfigError, ApiError, TimeoutError):
        return []  # a shell has no place for why; the command itself will say it


async def _call_names(url: str, key: str, domain: str | None, incomplete: str) -> list[str]:
    import asyncio

    from ringbridge.cli.client import ApiClient
    from ringbridge.cli.lists import PAGE, places_of, read_list, widest
    from ringbridge.cli.tables import text_of

    async with asyncio.timeout(WITHIN_S), ApiClient(url, key) as api:
        place = await widest(api, places_of("calls", domain=domain, user=None))
        listed = await read_list(api, place, limit=PAGE)
    names = [text_of(one, "call-id") for one in listed.items]
    return [name for name in names if name.startswith(incomplete)][:MOST]
