"""A call by any of its names, whoever's it is: the API's paths name a domain and a user, people rarely do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from ringbridge.cli.asking import CannotDo
from ringbridge.cli.cdr_tables import domain_of
from ringbridge.cli.client import ApiClient, ApiError
from ringbridge.cli.lists import SELF, places_of, read_item, read_list, user_path, widest
from ringbridge.cli.tables import Item, text_of

MOST_CALLS: Final = 20_000
"""How many calls that are up are looked through for a name."""
MOST_CDRS: Final = 5_000
"""How many of the last day's CDRs, the newest first, are looked through for a name."""
_NOT_THERE: Final = frozenset({"no-such-call", "token-has-no-domain", "token-has-no-user"})


@dataclass(frozen=True, slots=True)
class Found:
    """A call, and whose path leads to it."""

    domain: str
    user: str
    call: Item

    @property
    def call_id(self) -> str:
        """The application's name of it."""
        return text_of(self.call, "call-id")

    @property
    def path(self) -> str:
        """The call's own path."""
        return call_path(self.domain, self.user, self.call_id)


def call_path(domain: str, user: str, name: str) -> str:
    """Return the path of a call."""
    return f"{user_path(domain, user)}/calls/{quote(name, safe='')}"


async def read_call(api: ApiClient, domain: str, user: str, name: str) -> Item:
    """Return a call."""
    return await read_item(api, call_path(domain, user, name))


async def find_call(
    api: ApiClient, name: str, *, domain: str | None, user: str | None, is_over_too: bool = False
) -> Found:
    """Return a call by its call-id, its session id or a SIP Call-ID.

    Where domain or user is not named they are the key's own; if it has none, or no such call is theirs, those of the
    calls that the key sees; with `is_over_too` of those of the last day too.

    Raises:
        ApiError: there is none, or it may not be read.
        CannotDo: several domains have one of that name, or none that is seen.
    """
    try:
        call = await read_call(api, domain or SELF, user or SELF, name)
        return Found(domain or SELF, user or SELF, call)
    except ApiError as error:
        if not error.codes & _NOT_THERE or (domain and user):
            raise
    owners = await _owners(api, name, domain=domain)
    if not owners and is_over_too:
        owners = await _owners_of_ended(api, name, domain=domain)
    if not owners:
        where = f" in domain {domain}" if domain else ""
        over = "" if is_over_too else " is up"
        raise CannotDo(
            f"no call {name}{over}{where} that this key sees\n"
            "  `ringbridge calls list` has those that are up, `ringbridge cdrs list` those that are over; "
            "--domain and --user name whose it is"
        )
    if len(owners) > 1:
        domains = ", ".join(sorted(owner for owner, _ in owners))
        raise CannotDo(f"a call {name} is in several domains: {domains}\n  --domain says which is meant")
    [(its_domain, its_user)] = owners
    return Found(its_domain, user or its_user, await read_call(api, its_domain, user or its_user, name))


async def _owners(api: ApiClient, name: str, *, domain: str | None) -> set[tuple[str, str]]:
    place = await widest(api, places_of("calls", domain=domain, user=None))
    listed = await read_list(api, place, limit=MOST_CALLS)
    return {(text_of(one, "call-orig-domain"), acting_user(one)) for one in listed.items if name in _names(one)}


async def _owners_of_ended(api: ApiClient, name: str, *, domain: str | None) -> set[tuple[str, str]]:
    place = await widest(api, places_of("cdrs", domain=domain, user=None))
    listed = await read_list(api, place, limit=MOST_CDRS)
    fields = ("call-id", "call-session-id", "call-orig-sip-call-id", "call-term-call-id")
    return {
        (domain_of(one), text_of(one, "call-by-user"))
        for one in listed.items
        if name in {text_of(one, field) for field in fields}
    }


def _names(call: Item) -> set[str]:
    return {
        text_of(call, "call-id"),
        text_of(call, "call-session-id"),
        *(text_of(leg, "sip-call-id") for leg in legs(call)),
    }


def acting_user(call: Item) -> str:
    """Return on whose behalf orders are given where nobody says: the maker's; behind a transfer, of who is in it."""
    if text_of(call, "call-by-call-id") == text_of(call, "call-id"):
        return text_of(call, "call-by-user")
    up = [leg for leg in legs(call) if leg.get("state") == "answered" and leg.get("user")]
    return text_of(up[0], "user") if up else text_of(call, "call-by-user")


def legs(call: Item) -> list[Item]:
    """Return the legs of a call."""
    found = call.get("call-legs")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def order_of(call: Item) -> Item:
    """Return what was asked of a call last; empty where nothing was."""
    found = call.get("call-order")
    return found if isinstance(found, dict) else {}
