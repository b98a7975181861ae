"""`ringbridge devices`: phones, and whether each is registered."""

from __future__ import annotations

from typing import Annotated

import typer

from ringbridge.cli.asking import Asking, Domain, Limit, More, OfDomain, User, asked_password, asks_api
from ringbridge.cli.completing import device_names

PASSWORD = "device-sip-registration-password"  # noqa: S105 - the field's name on the wire
MADE_PASSWORD_BYTES = 18
"""As the API makes them."""
OPTION_OF = {
    "device": "DEVICE",
    "domain": "--domain",
    "user": "--user",
    "device-models-model": "--model",
    "auto-answer-enabled": "--auto-answer",
    PASSWORD: "the password",
}

AskPassword = Annotated[
    bool, typer.Option("--ask-password", help="Ask for its password; not on a terminal: read a line.")
]
Named = typer.Argument(metavar="DEVICE", help="Its name, or device@domain.", autocompletion=device_names)
OfUser = Annotated[str | None, typer.Option("--user", metavar="USER", help="Whose. Default: it is looked for.")]


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
    empty = "no such devices; `ringbridge devices add` makes one, `ringbridge phone` registers one to try with"
    write_list(asking, listed, DEVICE_COLUMNS, empty=empty)


@asks_api(OPTION_OF)
async def show(asking: Asking, device: Annotated[str, Named], *, user: OfUser = None, domain: OfDomain = None) -> None:
    """Show a device: every field that has something in it, and where it is registered. Never its password."""
    from ringbridge.cli.directory_lists import device_path
    from ringbridge.cli.lists import read_item
    from ringbridge.cli.tables import text_of, write_fields

    found = await read_item(asking.api, await device_path(asking.api, device, domain=domain, user=user))
    if asking.as_json:
        asking.write_json(found)
    else:
        write_fields(asking.terminal, [(name, text_of(found, name)) for name in found])


@asks_api(OPTION_OF)
async def add(  # noqa: PLR0913 - one argument an option
    asking: Asking,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Its name: the user name that the phone logs in by.")],
    *,
    user: Annotated[str, typer.Option("--user", metavar="USER", help="Whose phone: extension, or user@domain.")],
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="What phone it is.")] = "",
    auto_answer: Annotated[bool, typer.Option("--auto-answer", help="It answers its user's own calls itself.")] = False,
    ask_password: AskPassword = False,
    more: More = None,
    domain: OfDomain = None,
) -> None:
    """Add a device. Its password is written to standard output this once, alone on a line, and is never told again."""
    import msgspec

    from ringbridge.cli.directory_lists import named_fields, user_named
    from ringbridge.cli.tables import text_of

    own = {"device-models-model": model, "auto-answer-enabled": "yes" if auto_answer else ""}
    collection = f"{user_named(user, domain)}/devices"
    body = {name: value for name, value in own.items() if value} | named_fields(more or [])
    body |= {"device": device, "synchronous": "yes"}
    if ask_password:
        body[PASSWORD] = asked_password()
    answer = await asking.api.send("POST", collection, content=msgspec.json.encode(body))
    made = msgspec.json.decode(answer.content, type=dict[str, object])
    if asking.as_json:
        asking.write_json(made)
        return
    password = text_of(made, PASSWORD)
    if password:
        asking.terminal.line(password)
    aor = text_of(made, "device-sip-registration-uri")
    asking.note(
        f"{f'added {aor}' if aor else f'adding {device}'}: the phone logs in as {device}"
        + (
            ", with this password: keep it now, it is not shown again"
            if password
            else ", with the password that you gave"
        )
        + f"\n`ringbridge devices show {device}` says whether it is registered"
    )


@asks_api(OPTION_OF)
async def reset_password(
    asking: Asking,
    device: Annotated[str, Named],
    *,
    ask_password: AskPassword = False,
    user: OfUser = None,
    domain: OfDomain = None,
) -> None:
    """Give a device another password, made here: it is written to standard output this once, alone on a line."""
    import secrets

    import msgspec

    from ringbridge.cli.directory_lists import device_path

    path = await device_path(asking.api, device, domain=domain, user=user)
    password = asked_password() if ask_password else secrets.token_urlsafe(MADE_PASSWORD_BYTES)
    answer = await asking.api.send("PUT", path, content=msgspec.json.encode({PASSWORD: password}))
    told = {} if ask_password else {PASSWORD: password}
    if asking.as_json:
        asking.write_json(msgspec.json.decode(answer.content, type=dict[str, object]) | told)
        return
    for line in told.values():
        asking.terminal.line(line)
    asking.note(
        f"{device} has another password"
        + (": keep it now, it is not shown again" if told else ", the one that you gave")
        + "\nthe phone needs it at its next registration; until its last one runs out it is rung as before"
    )


@asks_api(OPTION_OF)
async def remove(
    asking: Asking,
    devices: Annotated[
        list[str],
        typer.Argument(metavar="DEVICE…", help="Their names, or device@domain.", autocompletion=device_names),
    ],
    *,
    user: OfUser = None,
    domain: OfDomain = None,
) -> None:
    """Remove devices: their phones can neither register nor be rung any more."""
    import msgspec

    from ringbridge.cli.directory_lists import device_path

    for device in devices:
        answer = await asking.api.send("DELETE", await device_path(asking.api, device, domain=domain, user=user))
        if asking.as_json:
            asking.write_json(msgspec.json.decode(answer.content))
        else:
            asking.terminal.line(f"removed {device}")


COMMANDS = {"list": list_, "show": show, "add": add, "reset-password": reset_password, "remove": remove}
"""In the order in which `--help` shows them."""
