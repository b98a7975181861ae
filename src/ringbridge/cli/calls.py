"""`ringbridge calls`: the calls that are up, one call with its ladder, and orders to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ringbridge.cli.asking import Asking, CannotDo, Domain, Limit, User, asks_api
from ringbridge.cli.completing import call_names

if TYPE_CHECKING:
    from ringbridge.cli.finding import Found
    from ringbridge.cli.tables import Item

OPTION_OF = {"domain": "--domain", "user": "--user", "call-term-user": "TO"}

CallName = Annotated[
    str,
    typer.Argument(
        metavar="CALL",
        help="Its call-id, session id, or the SIP Call-ID of one of its legs.",
        autocompletion=call_names,
    ),
]
OfDomain = Annotated[str | None, typer.Option("--domain", metavar="DOMAIN", help="In which domain it is.")]
ByUser = Annotated[
    str | None, typer.Option("--user", metavar="USER", help="On behalf of which user. Default: whose call it is.")
]


@asks_api(OPTION_OF)
async def list_(asking: Asking, *, domain: Domain = None, user: User = None, limit: Limit = 100) -> None:
    """List the calls that are up, oldest first: all that the key sees."""
    from ringbridge.cli.call_tables import columns
    from ringbridge.cli.lists import places_of, read_list, widest, write_list

    place = await widest(asking.api, places_of("calls", domain=domain, user=user))
    listed = await read_list(asking.api, place, limit=limit)
    empty = "no calls are up; `ringbridge call TO` places one, `ringbridge cdrs list` has those that are over"
    write_list(asking, listed, columns(), empty=empty)


@asks_api(OPTION_OF)
async def show(asking: Asking, call: CallName, *, domain: OfDomain = None, user: ByUser = None) -> None:
    """Show a call with its legs and its ladder; also one that ended less than a day ago."""
    from ringbridge.cli.call_tables import write_call
    from ringbridge.cli.finding import find_call

    found = await find_call(asking.api, call, domain=domain, user=user, is_over_too=True)
    if asking.as_json:
        asking.write_json(found.call)
        return
    write_call(asking.terminal, found.call, await asking.api.ladder(found.domain, found.user, found.call_id))


@asks_api(OPTION_OF)
async def ladder(asking: Asking, call: CallName, *, domain: OfDomain = None, user: ByUser = None) -> None:
    """Show a call step by step."""
    from ringbridge.cli.call_tables import write_ladder
    from ringbridge.cli.finding import find_call
    from ringbridge.cli.lists import read_item

    found = await find_call(asking.api, call, domain=domain, user=user, is_over_too=True)
    if asking.as_json:
        asking.write_json(await read_item(asking.api, f"{found.path}/ladder"))
        return
    write_ladder(asking.terminal, await asking.api.ladder(found.domain, found.user, found.call_id))


@asks_api(OPTION_OF)
async def end(
    asking: Asking,
    calls: Annotated[
        list[str],
        typer.Argument(metavar="CALL…", help="As `ringbridge calls list` names them.", autocompletion=call_names),
    ],
    *,
    domain: OfDomain = None,
    user: ByUser = None,
) -> None:
    """End calls, in any state."""
    from ringbridge.cli.finding import find_call

    for name in calls:
        found = await find_call(asking.api, name, domain=domain, user=user)
        answer = await asking.api.send("DELETE", found.path)
        _say(asking, answer.content, f"ending {found.call_id}")


@asks_api(OPTION_OF)
async def hold(asking: Asking, call: CallName, *, domain: OfDomain = None, user: ByUser = None) -> None:
    """Put the other party on hold: it hears music."""
    await _order(asking, call, domain, user, verb="hold")


@asks_api(OPTION_OF)
async def unhold(asking: Asking, call: CallName, *, domain: OfDomain = None, user: ByUser = None) -> None:
    """Take the other party back from hold."""
    await _order(asking, call, domain, user, verb="unhold")


@asks_api(OPTION_OF)
async def transfer(
    asking: Asking,
    call: CallName,
    to: Annotated[str, typer.Argument(metavar="TO", help="Who takes the place: extension, number or user@domain.")],
    *,
    domain: OfDomain = None,
    user: ByUser = None,
) -> None:
    """Let another party take the place of the one on whose behalf it is asked (a blind transfer)."""
    await _order(asking, call, domain, user, verb="transfer", body={"call-term-user": to})


COMMANDS = {
    "list": list_,
    "show": show,
    "ladder": ladder,
    "end": end,
    "hold": hold,
    "unhold": unhold,
    "transfer": transfer,
}
"""In the order in which `--help` shows them."""


async def _order(
    asking: Asking,
    name: str,
    domain: str | None,
    user: str | None,
    *,
    verb: str,
    body: Item | None = None,
) -> None:
    """Give an order, wait until it is carried out, and say what became of it."""
    import msgspec

    from ringbridge.cli.finding import find_call

    found = await find_call(asking.api, name, domain=domain, user=user)
    content = None if body is None else msgspec.json.encode(body)
    answer = await asking.api.send("PATCH", f"{found.path}/{verb}", content=content)
    _say(asking, answer.content, f"{verb} of {found.call_id} accepted")
    if not asking.as_json:
        await _follow(asking, found, verb)


async def _follow(asking: Asking, found: Found, verb: str) -> None:
    import asyncio

    from ringbridge.cli.finding import order_of, read_call
    from ringbridge.cli.tables import text_of

    last = text_of(order_of(found.call), "ordered-datetime")
    for read in range(ORDER_READS):
        await asyncio.sleep(ORDER_READ_EVERY_S)
        call = await read_call(asking.api, found.domain, found.user, found.call_id)
        order = order_of(call)
        if text_of(order, "ordered-datetime") == last:
            if read < NO_ORDER_READS:
                continue
            asking.terminal.line(f"the call is {text_of(call, 'call-state')}")  # there was nothing to do
            return
        cause = order.get("release-cause")
        if isinstance(cause, dict):
            raise CannotDo(f"{verb} was not carried out: {text_of(cause, 'reason', 'result')}")
        if order.get("done-datetime"):
            asking.terminal.line(f"done; the call is {text_of(call, 'call-state')}")
            return
    asking.terminal.line(f"still being carried out: `ringbridge calls show {found.call_id}` tells what becomes of it")


ORDER_READS = 50
ORDER_READ_EVERY_S = 0.1
"""How often, and how long apart, a call is read until its order is carried out; a transfer rings longer than that."""
NO_ORDER_READS = 10
"""After so many that show no new order there was nothing to do: the call was on hold already."""


def _say(asking: Asking, answer: bytes, text: str) -> None:
    import msgspec

    if asking.as_json:
        asking.write_json(msgspec.json.decode(answer))
    else:
        asking.terminal.line(text)
