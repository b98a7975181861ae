"""`ringbridge users`: the people of a domain, each with an extension."""

from __future__ import annotations

from typing import Annotated

import typer

from ringbridge.cli.asking import Asking, Domain, Limit, More, OfDomain, asked_password, asks_api
from ringbridge.cli.completing import SCOPES, words

OPTION_OF = {
    "user": "USER",
    "domain": "--domain",
    "name-first-name": "--first-name",
    "name-last-name": "--last-name",
    "email-address": "--email",
    "user-scope": "--scope",
    "caller-id-number": "--caller-id",
    "user-login-password": "the password",
}

UserName = Annotated[str, typer.Argument(metavar="USER", help="Extension, or user@domain.")]


@asks_api(OPTION_OF)
async def list_(
    asking: Asking,
    *,
    domain: Domain = None,
    name: Annotated[
        str | None, typer.Option("--last-name", metavar="NAME", help="Only with this name; love* for what begins so.")
    ] = None,
    limit: Limit = 100,
) -> None:
    """List users: all that the key sees."""
    from ringbridge.cli.directory_lists import USER_COLUMNS, users_of
    from ringbridge.cli.lists import write_list

    query = {} if name is None else {"name-last-name": name}
    listed = await users_of(asking.api, domain, limit=limit, query=query)
    empty = "no users here; `ringbridge users add` makes one, `ringbridge apply FILE` many"
    write_list(asking, listed, USER_COLUMNS, empty=empty)


@asks_api(OPTION_OF)
async def show(
    asking: Asking,
    user: Annotated[str, typer.Argument(metavar="[USER]", help="Extension, or user@domain. Default: the key's.")] = "~",
    *,
    domain: OfDomain = None,
) -> None:
    """Show a user: every field that has something in it, and the devices."""
    from ringbridge.cli.directory_lists import DEVICE_COLUMNS, user_named
    from ringbridge.cli.lists import PAGE, read_item, read_list
    from ringbridge.cli.tables import text_of, write_fields, write_table

    path = user_named(user, domain)
    found = await read_item(asking.api, path)
    if asking.as_json:
        asking.write_json(found)
        return
    write_fields(asking.terminal, [(name, text_of(found, name)) for name in found])
    devices = await read_list(asking.api, f"{path}/devices", limit=PAGE)
    if devices.items:
        asking.terminal.line()
        write_table(asking.terminal, DEVICE_COLUMNS, devices.items)


@asks_api(OPTION_OF)
async def add(  # noqa: PLR0913 - one argument an option
    asking: Asking,
    user: UserName,
    *,
    first_name: Annotated[str, typer.Option("--first-name", metavar="NAME")],
    last_name: Annotated[str, typer.Option("--last-name", metavar="NAME")],
    email: Annotated[str, typer.Option("--email", metavar="ADDRESS")],
    scope: Annotated[
        str, typer.Option("--scope", metavar="SCOPE", autocompletion=words(*SCOPES), help="What the user may do.")
    ] = "Basic User",
    caller_id: Annotated[str, typer.Option("--caller-id", metavar="NUMBER", help="What calls outside show.")] = "",
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="Ask for a password to log in with; not on a terminal: read a line.")
    ] = False,
    more: More = None,
    domain: OfDomain = None,
) -> None:
    """Add a user. A phone of theirs is a device: `ringbridge devices add` makes one."""
    from urllib.parse import unquote

    import msgspec

    from ringbridge.cli.directory_lists import named_fields, user_named
    from ringbridge.cli.tables import text_of

    own = {
        "name-first-name": first_name,
        "name-last-name": last_name,
        "email-address": email,
        "user-scope": scope,
        "caller-id-number": caller_id,
    }
    collection, _, last = user_named(user, domain).rpartition("/")
    name = unquote(last)
    body = {name: value for name, value in own.items() if value} | named_fields(more or [])
    body |= {"user": name, "synchronous": "yes"}
    if ask_password:
        body["user-login-password"] = asked_password()
    answer = await asking.api.send("POST", collection, content=msgspec.json.encode(body))
    made = msgspec.json.decode(answer.content, type=dict[str, object])
    if asking.as_json:
        asking.write_json(made)
    else:
        asking.terminal.line(
            f"added {name}@{text_of(made, 'domain')}" if answer.status_code == 200 else f"adding {name}"
        )


@asks_api(OPTION_OF)
async def remove(
    asking: Asking,
    users: Annotated[list[str], typer.Argument(metavar="USER…", help="Extensions, or user@domain.")],
    *,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="With all that uses them: devices, numbers, keys.")
    ] = False,
    domain: OfDomain = None,
) -> None:
    """Remove users."""
    import msgspec

    from ringbridge.cli.directory_lists import user_named

    query = {"cascade": "yes"} if cascade else {}
    for user in users:
        answer = await asking.api.send("DELETE", user_named(user, domain), query=query)
        if asking.as_json:
            asking.write_json(msgspec.json.decode(answer.content))
        else:
            asking.terminal.line(f"removed {user}")


COMMANDS = {"list": list_, "show": show, "add": add, "remove": remove}
"""In the order in which `--help` shows them."""
