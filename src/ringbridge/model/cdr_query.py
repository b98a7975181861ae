"""Which CDRs are asked for, and where in their order one stands. Newest first: by start, then by id (contract §6)."""

from __future__ import annotations

import math

import msgspec

from ringbridge.model.cdr import Cdr, Direction, parties_of


class Place(msgspec.Struct, frozen=True):
    """The place of one CDR in the order; the same on every node, so that any of them can go on from there."""

    started_at: float
    id: str


class CdrQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a list or a count is of. Bounds belong to it; empty text is no filter.

    `domains` is None for all of them. With a `user` there is one domain, and directions are as that user sees them.
    """

    domains: tuple[str, ...] | None = None
    user: str | None = None
    since: float = 0.0
    until: float = math.inf
    directions: frozenset[Direction] | None = None
    on_net: bool | None = None
    caller: str = ""
    dialled: str = ""
    site: str = ""


class CdrPage(msgspec.Struct, frozen=True):
    """Part of a list: one that could not be read is left out of `cdrs`, but not passed over in the order."""

    cdrs: list[Cdr]
    last: Place | None = None
    """Where the page ends; None when it is empty."""
    more: bool = False


class CdrTotals(msgspec.Struct, frozen=True):
    """How many CDRs, and how many seconds they lasted together."""

    total: int
    seconds: int


def place_of(cdr: Cdr) -> Place:
    """Return where `cdr` stands."""
    return Place(cdr.started_at, cdr.id)


def plain(number: str) -> str:
    """Return a number or a user as it is stored and looked for: without separators and leading `+`."""
    return number.translate(_SEPARATORS).removeprefix("+").lower()


_SEPARATORS = str.maketrans("", "", " -()/[]\u00a0")


def total_seconds(cdr: Cdr) -> int:
    """Return the whole seconds of a call: what is shown, and what sums are made of."""
    return round(cdr.total_s)


def fits(cdr: Cdr, query: CdrQuery) -> bool:
    """Return whether `query` asks for `cdr`: what a database does with indexes, said plainly."""
    if query.domains is not None and query.user is None and cdr.domain not in query.domains:
        return False
    direction: Direction = cdr.direction
    if query.user is not None:
        seen = [one for one in parties_of(cdr) if one.domain in (query.domains or ()) and one.user == query.user]
        if not seen:
            return False
        direction = seen[0].direction
    return (
        query.since <= cdr.started_at <= query.until
        and (query.directions is None or direction in query.directions)
        and query.on_net in (None, cdr.is_on_net)
        and query.caller in ("", plain(cdr.caller))
        and query.dialled in ("", plain(cdr.dialled))
        and (not query.site or query.site in (cdr.orig_site, cdr.term_site))
    )
