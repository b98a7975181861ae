"""`ringbridge cdrs`: the calls that are over."""

from __future__ import annotations

from typing import Annotated

import typer

from ringbridge.cli.asking import Asking, CannotDo, Domain, User, asks_api
from ringbridge.cli.completing import TYPES, words

DEFAULT_LIMIT = 100
OPTION_OF = {
    "datetime-start": "--since",
    "datetime-end": "--until",
    "type": "--type",
    "caller": "--from",
    "dialled": "--to",
    "site": "--site",
    "domain": "--domain",
    "user": "--user",
}

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Began then or later: 2026-11-24T13:00:00Z, or 2h, 7d. Default: 1d."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Began then or earlier. Default: now.")]
Kind = Annotated[
    str | None,
    typer.Option("--type", metavar="TYPE", help=f"One of: {', '.join(TYPES)}.", autocompletion=words(*TYPES)),
]
From = Annotated[str | None, typer.Option("--from", metavar="PARTY", help="The first leg's user or number.")]
To = Annotated[str | None, typer.Option("--to", metavar="PARTY", help="What was dialled.")]
Site = Annotated[str | None, typer.Option("--site", metavar="SITE", help="Site of one of the two users.")]


def _query(
    *,
    since: Since = None,
    until: Until = None,
    type_: Kind = None,
    from_: From = None,
    to: To = None,
    site: Site = None,
) -> dict[str, str]:
    """Return the query of what the options say; times as `2h` are taken from now."""
    from datetime import UTC, datetime

    from ringbridge.cli.cdr_tables import as_time

    given = {
        "datetime-start": since,
        "datetime-end": until,
        "type": type_,
        "caller": from_,
        "dialled": to,
        "site": site,
    }
    query = {name: value for name, value in given.items() if value is not None}
    for name in ("datetime-start", "datetime-end"):
        if name in query:
            query[name] = as_time(query[name], datetime.now(UTC))
    return query


@asks_api(OPTION_OF, query=_query)
async def list_(
    asking: Asking,
    *,
    query: dict[str, str],
    domain: Domain = None,
    user: User = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, max=1_000_000, metavar="N", help="At most so many. Default: 100; CSV: all."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV (RFC 4180), with every field.")] = False,
) -> None:
    """List the calls that are over, newest first: the last day's of all that the key sees."""
    from ringbridge.cli.cdr_tables import COLUMNS
    from ringbridge.cli.lists import places_of, read_list, widest, write_list

    if csv and asking.as_json:
        raise CannotDo("--csv and --json: only one of them can be had")
    place = await widest(asking.api, places_of("cdrs", domain=domain, user=user))
    if csv:
        await _write_csv(asking, place, query if limit is None else {**query, "limit": str(limit)})
        return
    listed = await read_list(asking.api, place, limit=limit or DEFAULT_LIMIT, query=query)
    empty = "no calls in that time that match; --since 7d looks back further"
    write_list(asking, listed, COLUMNS, empty=empty)


@asks_api(OPTION_OF, query=_query)
async def count(
    asking: Asking,
    *,
    query: dict[str, str],
    domain: Domain = None,
    user: User = None,
) -> None:
    """Count the calls that are over, and how long they lasted together."""
    import msgspec

    from ringbridge.cli.lists import places_of, widest
    from ringbridge.cli.tables import lasting

    place = await widest(asking.api, places_of("cdrs", domain=domain, user=user))
    answer = await asking.api.send("GET", f"{place}/count", query=query)
    totals = msgspec.json.decode(answer.content, type=dict[str, int])
    if asking.as_json:
        asking.write_json(totals)
        return
    total = totals["total"]
    together = lasting(totals["call-total-duration-seconds"])
    asking.terminal.line(f"{total} call{'' if total == 1 else 's'}, {together} together")


@asks_api(OPTION_OF)
async def show(
    asking: Asking,
    call: Annotated[str, typer.Argument(metavar="CALL", help="Its call-id, session id or SIP Call-ID.")],
    *,
    domain: Domain = None,
    user: User = None,
) -> None:
    """Show the CDR of one call of the last day: every field that has something in it."""
    from ringbridge.cli.cdr_tables import result
    from ringbridge.cli.finding import find_call
    from ringbridge.cli.lists import read_item
    from ringbridge.cli.tables import text_of, write_fields

    found = await find_call(asking.api, call, domain=domain, user=user, is_over_too=True)
    cdr = await read_item(asking.api, f"{found.path}/cdr")
    if asking.as_json:
        asking.write_json(cdr)
        return
    write_fields(
        asking.terminal, [(name, result(cdr) if name == "release-cause" else text_of(cdr, name)) for name in cdr]
    )


COMMANDS = {"list": list_, "show": show, "count": count}
"""In the order in which `--help` shows them."""


async def _write_csv(asking: Asking, place: str, query: dict[str, str]) -> None:
    import sys

    async with asking.api.stream(place, query=query, headers={"Accept": "text/csv"}) as answer:
        async for part in answer.aiter_bytes():
            sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
