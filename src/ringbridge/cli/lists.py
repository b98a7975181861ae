"""Lists of the API: the widest that a key sees, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import msgspec

from ringbridge.cli.asking import Asking
from ringbridge.cli.client import ApiClient, ApiError
from ringbridge.cli.tables import Column, Item, write_table

API: Final = "/ns-api/v2"
PAGE: Final = 1000
"""The most that the API puts on one page."""
SELF: Final = "~"
_TOO_WIDE: Final = frozenset({"not-allowed", "token-has-no-domain", "token-has-no-user"})
"""What the API says when a list is wider than the key; a narrower one may do."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The beginning of a list."""

    items: list[Item]
    total: int | None
    """How many there are in all, where the API counts them."""
    has_more: bool


def domain_path(domain: str) -> str:
    """Return the path of a domain; `~` is the key's own."""
    return f"{API}/domains/{quote(domain, safe='~')}"


def user_path(domain: str, user: str) -> str:
    """Return the path of a user; `~` is the key's own."""
    return f"{domain_path(domain)}/users/{quote(user, safe='~')}"


def places_of(what: str, *, domain: str | None, user: str | None) -> list[str]:
    """Return the paths of the lists of `what` that may be meant, the widest first."""
    if user is not None:
        return [f"{user_path(domain or SELF, user)}/{what}"]
    own = [f"{domain_path(domain or SELF)}/{what}", f"{user_path(domain or SELF, SELF)}/{what}"]
    return own if domain is not None else [f"{API}/{what}", *own]


async def read_item(api: ApiClient, path: str) -> Item:
    """Return one resource."""
    return msgspec.json.decode((await api.send("GET", path)).content, type=Item)


async def read_list(api: ApiClient, path: str, *, limit: int, query: Mapping[str, str] | None = None) -> Listed:
    """Return the first `limit` of a list."""
    found: list[Item] = []
    answer = await api.send("GET", path, query={**(query or {}), "limit": str(min(limit, PAGE))})
    told = answer.headers.get("x-total-count")
    while True:
        found += msgspec.json.decode(answer.content, type=list[Item])
        onward = answer.links.get("next", {}).get("url")
        if onward is None or len(found) >= limit:
            return Listed(found[:limit], None if told is None else int(told), onward is not None or len(found) > limit)
        answer = await api.send("GET", onward)


async def widest(api: ApiClient, places: Sequence[str]) -> str:
    """Return the first of the lists that the key may read.

    Raises:
        ApiError: it may read none; why it may not read the last.
    """
    for place in places[:-1]:
        try:
            await api.send("GET", place, query={"limit": "1"})
        except ApiError as error:
            if not error.codes & _TOO_WIDE:
                raise
        else:
            return place
    return places[-1]


def write_list(asking: Asking, listed: Listed, columns: Sequence[Column], *, empty: str) -> None:
    """Write a list as a table or as JSON; what is left out is told beside it, and `empty` where there is nothing."""
    if asking.as_json:
        asking.write_json(listed.items)
    elif not listed.items:
        asking.note(empty)
    else:
        write_table(asking.terminal, columns, listed.items)
    if listed.has_more:
        of = f" of {listed.total}" if listed.total is not None else ""
        asking.note(f"{len(listed.items)}{of} shown; --limit N shows more")
