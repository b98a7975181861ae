"""`ringbridge devices`: phones, and whether each is registered."""

from __future__ import annotations

from typing import Annotated

import typer

from ringbridge.cli.asking import Asking, Domain, Limit, User, asks_api

OPTION_OF = {"domain": "--domain", "user": "--user"}


@asks_api(OPTION_OF)
async def list_(
    asking: Asking,
    *,
    registered: Annotated[
        bool | None, typer.Option("--registered/--not-registered", help="Only those that are, or that are not.")
    ] = None,
    domain: Domain = None,
    user: User = None,
    limit: Limit = 100,
) -> None:
    """List devices, and whether each is registered now: all that the key sees."""
    from ringbridge.cli.directory_lists import DEVICE_COLUMNS, devices_of
    from ringbridge.cli.lists import write_list

    listed = await devices_of(asking.api, domain=domain, user=user, limit=limit, registered=registered)
    empty = "no such devices; `ringbridge apply FILE` makes some, `ringbridge phone` registers one to try with"
    write_list(asking, listed, DEVICE_COLUMNS, empty=empty)


COMMANDS = {"list": list_}
"""In the order in which `--help` shows them."""
