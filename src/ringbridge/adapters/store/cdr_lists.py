"""The statements behind lists and counts of CDRs: each a merge of ranges of one index, every range in the list's order.

A list's first filter leads, by an index that begins with what it asks for; what comes behind in that index answers the
other filters, so that no row is looked at for being passed over, and a page costs the same whatever there is.

first filter           index, behind the domain, and the user in a user's list     ranges
------------           -------------------------------------------------------     ------
none                   start                                                       one
dialled, else caller   the number, how it is seen, start                           one for each way of seeing it
site                   the first leg's site, how seen, start; the second leg's     … for each leg
type                   how the call is seen, start                                 one for each way asked for

The type of a call is exact beside each of the others. Of two of the others the second passes over what only the first
fits. Statements depend on a query's shape alone, so that they are made once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    Select,
    Table,
    bindparam,
    column,
    false,
    func,
    or_,
    select,
    union_all,
)

from ringbridge.adapters.store.schema import cdr_parties, cdrs, has_site
from ringbridge.model.cdr import Direction
from ringbridge.model.cdr_query import CdrQuery, Place

Conditions: TypeAlias = list[ColumnElement[bool]]

Kind: TypeAlias = tuple[Direction, bool | None]
"""How a call is seen; for a user also whether it is on-net, which the domain's direction says by itself."""
_OF_DOMAIN: tuple[Kind, ...] = tuple((one, None) for one in Direction)
_OF_USER: tuple[Kind, ...] = tuple(product((one for one in Direction if one is not Direction.ON_NET), (False, True)))


class Shape(NamedTuple):
    """What the statement of a query depends on; its values come in as parameters."""

    of_user: bool
    domains: bool
    """Of a domain, not of all."""
    has_end: bool
    kinds: tuple[Kind, ...] | None
    """The ways of seeing a call that are asked for, None for all."""
    caller: bool
    dialled: bool
    site: bool
    after: bool = False


def shape_of(query: CdrQuery, *, domains: bool, after: bool = False) -> Shape:
    """Return the shape of `query`."""
    return Shape(
        of_user=query.user is not None,
        domains=domains,
        has_end=query.until != math.inf,
        kinds=_kinds(query),
        caller=bool(query.caller),
        dialled=bool(query.dialled),
        site=bool(query.site),
        after=after,
    )


def values_of(query: CdrQuery) -> dict[str, object]:
    """Return the parameters of a query's statements, all but domain and page."""
    return {
        "its_user": query.user,
        "since": query.since,
        "until": query.until,
        "its_caller": query.caller,
        "its_dialled": query.dialled,
        "its_site": query.site,
    }


def values_after(after: Place | None) -> dict[str, object]:
    """Return the parameters that a page behind a place has beside."""
    return {} if after is None else {"after_start": after.started_at, "after_id": after.id}


@lru_cache(maxsize=1024)
def page_statement(shape: Shape) -> Executable:
    """Return the SELECT of keys (start and id) in order, of parameters `domain`, `limit`, `skip` and the query's."""
    table = _table(shape)
    at, its_id = table.c.started_at, table.c.id
    ranges = [
        select(at, its_id).where(*conditions).order_by(at.desc(), its_id.desc())
        for conditions in _ranges(shape, _in_domain(table) if shape.domains else [])
    ]
    limit: BindParameter[int] = bindparam("limit")
    skip: BindParameter[int] = bindparam("skip")
    if len(ranges) == 1:
        return ranges[0].limit(limit).offset(skip)
    # Every range is in order by its index, so both databases merge them as they go, and stop when the page is full.
    merged = union_all(*(select(one.subquery()) for one in ranges))
    return merged.order_by(column("started_at").desc(), column("id").desc()).limit(limit).offset(skip)


@lru_cache(maxsize=1024)
def totals_statement(shape: Shape, *, is_limited: bool) -> Select[Any]:
    """Return the SELECT of count and sum, of parameters `domains`, `at_most` where it is limited, and the query's."""
    table = _table(shape)
    within: Conditions = [table.c.domain.in_(bindparam("domains", expanding=True))] if shape.domains else []
    ranges = [select(table.c.seconds).where(*conditions) for conditions in _ranges(shape, within)]
    rows = ranges[0] if len(ranges) == 1 else union_all(*ranges)
    found = (rows.limit(bindparam("at_most")) if is_limited else rows).subquery()
    return select(func.count(), func.coalesce(func.sum(found.c.seconds), 0)).select_from(found)


def _table(shape: Shape) -> Table:
    return cdr_parties if shape.of_user else cdrs


def _in_domain(table: Table) -> Conditions:
    return [table.c.domain == bindparam("domain")]


def _kinds(query: CdrQuery) -> tuple[Kind, ...] | None:
    if query.directions is None and query.on_net is None:
        return None
    every = _OF_DOMAIN if query.user is None else _OF_USER
    return tuple(
        (direction, on_net)
        for direction, on_net in every
        if (query.directions is None or direction in query.directions)
        and query.on_net in (None, direction is Direction.ON_NET if on_net is None else on_net)
    )


def _ranges(shape: Shape, within: Conditions) -> list[Conditions]:
    """Return the conditions of each range; no call is in two of them."""
    kinds: Sequence[Kind | None] = shape.kinds or ()
    if shape.kinds is None:
        is_led = shape.dialled or shape.caller or shape.site
        kinds = (_OF_USER if shape.of_user else _OF_DOMAIN) if is_led else (None,)
    ranges = product(_leads(shape), kinds)
    return [[*within, *lead, *_of_kind(shape, kind), *_rest(shape)] for lead, kind in ranges] or [[false()]]


def _leads(shape: Shape) -> list[Conditions]:
    """Return what each range begins with, behind the domain: the user, and the first filter."""
    table = _table(shape)
    start: Conditions = [table.c.user == bindparam("its_user")] if shape.of_user else []
    if shape.dialled:
        return [[*start, table.c.dialled == bindparam("its_dialled")]]
    if shape.caller:
        return [[*start, table.c.caller == bindparam("its_caller")]]
    if shape.site:
        site: BindParameter[str] = bindparam("its_site")
        return [
            [*start, has_site(table, "orig"), table.c.orig_site == site],
            # `|| ''` so that SQLite does not hold it to the condition of an index, and makes a plan for every value.
            [*start, has_site(table, "term"), table.c.term_site == site, table.c.orig_site + "" != site],
        ]
    return [start]


def _of_kind(shape: Shape, kind: Kind | None) -> Iterator[ColumnElement[bool]]:
    table = _table(shape)
    if kind is None:
        return
    direction, on_net = kind
    yield table.c.direction == direction.value
    if on_net is not None:
        yield table.c.on_net == on_net


def _rest(shape: Shape) -> Iterator[ColumnElement[bool]]:
    """Return what is asked for beside the first filter."""
    table = _table(shape)
    if shape.caller and shape.dialled:
        yield table.c.caller + "" == bindparam("its_caller")  # so that no other index tempts
    if shape.site and (shape.caller or shape.dialled):
        yield or_(table.c.orig_site == bindparam("its_site"), table.c.term_site == bindparam("its_site"))
    yield table.c.started_at >= bindparam("since")
    if shape.has_end:
        yield table.c.started_at <= bindparam("until")
    if shape.after:
        at = table.c.started_at
        start: BindParameter[float] = bindparam("after_start")
        yield at <= start
        yield or_(at < start, table.c.id < bindparam("after_id"))
