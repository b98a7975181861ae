"""`ringbridge keys`: API keys: made, shown once, revoked."""

from __future__ import annotations

from typing import Annotated

import typer

from ringbridge.cli.asking import Asking, Limit, asks_api
from ringbridge.cli.completing import SCOPES, words

OPTION_OF = {
    "key-id": "KEY-ID",
    "description": "DESCRIPTION",
    "domain": "--domain",
    "user": "--user",
    "reseller": "--reseller",
    "user-scope": "--scope",
    "ip-address": "--from-address",
    "allowed-models": "--model",
    "expires-datetime": "--expires",
}
KEYS = "/ns-api/v2/apikeys"


@asks_api(OPTION_OF)
async def list_(asking: Asking, *, limit: Limit = 100) -> None:
    """List the API keys that this one rules over; never their secrets."""
    from ringbridge.cli.key_tables import COLUMNS
    from ringbridge.cli.lists import read_list, write_list

    listed = await read_list(asking.api, KEYS, limit=limit)
    write_list(asking, listed, COLUMNS, empty="no keys that this one rules over; `ringbridge keys create` makes one")


@asks_api(OPTION_OF)
async def show(
    asking: Asking,
    key_id: Annotated[str, typer.Argument(metavar="[KEY-ID]", help="Default: the key that asks.")] = "~",
) -> None:
    """Show what a key is for and how far it reaches; by default the one that asks."""
    from ringbridge.cli.key_tables import write_key
    from ringbridge.cli.lists import read_item

    found = await read_item(asking.api, _path(key_id))
    if asking.as_json:
        asking.write_json(found)
    else:
        write_key(asking.terminal, found)


@asks_api(OPTION_OF)
async def create(  # noqa: PLR0913 - one argument an option
    asking: Asking,
    description: Annotated[str, typer.Argument(metavar="DESCRIPTION", help="What it is for; 12 characters at least.")],
    *,
    domain: Annotated[str, typer.Option("--domain", metavar="DOMAIN", help="Whose. Default: as this key.")] = "",
    user: Annotated[str, typer.Option("--user", metavar="USER", help="Acts for this user alone.")] = "",
    reseller: Annotated[str, typer.Option("--reseller", metavar="NAME", help="For this reseller's domains.")] = "",
    scope: Annotated[
        str,
        typer.Option("--scope", metavar="SCOPE", autocompletion=words(*SCOPES), help="Default: what its place is for."),
    ] = "",
    from_address: Annotated[
        list[str] | None,
        typer.Option("--from-address", metavar="ADDRESS", help="Only from here, CIDR too; repeatable."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="MODEL", help="Only for this: call, cdr, …; repeatable.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="It may only read.")] = False,
    can_create_keys: Annotated[bool, typer.Option("--can-create-keys", help="It may make further ones.")] = False,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="2027-01-01T00:00:00Z. Default: never.")
    ] = "",
) -> None:
    """Make a key. It is written to standard output this once, alone on a line, and cannot be read again."""
    import msgspec

    body: dict[str, object] = {
        "description": description,
        "domain": domain,
        "user": user,
        "reseller": reseller,
        "user-scope": scope,
        "ip-address": ",".join(from_address or []),
        "allowed-models": model or "",
        "readonly": "yes" if read_only else "",
        "can-create-keys": "yes" if can_create_keys else "",
        "expires-datetime": expires,
    }
    content = msgspec.json.encode({name: value for name, value in body.items() if value})
    answer = await asking.api.send("POST", KEYS, content=content)
    made = msgspec.json.decode(answer.content, type=dict[str, object])
    if asking.as_json:
        asking.write_json(made)
        return
    from ringbridge.cli.key_tables import whose
    from ringbridge.cli.tables import text_of

    asking.terminal.line(text_of(made, "key"))
    asking.note(
        f"key {text_of(made, 'key-id')} for {whose(made)}, {text_of(made, 'user-scope')}: keep it now, "
        "it is not shown again\n"
        f"`ringbridge keys revoke {text_of(made, 'key-id')}` makes it void"
    )


@asks_api(OPTION_OF)
async def revoke(
    asking: Asking,
    key_ids: Annotated[list[str], typer.Argument(metavar="KEY-ID…", help="As `ringbridge keys list` has them.")],
) -> None:
    """Revoke keys, for good: they are void within the second."""
    import msgspec

    for key_id in key_ids:
        answer = await asking.api.send("DELETE", _path(key_id))
        if asking.as_json:
            asking.write_json(msgspec.json.decode(answer.content))
        else:
            asking.terminal.line(f"revoked {key_id}")


COMMANDS = {"list": list_, "show": show, "create": create, "revoke": revoke}
"""In the order in which `--help` shows them."""


def _path(key_id: str) -> str:
    from urllib.parse import quote

    return f"{KEYS}/{quote(key_id, safe='~')}"
