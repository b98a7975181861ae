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
fits; a site beside a number is looked for first, so that one that no call has passes over nothing. Statements depend on
a query's shape alone, so that they are made once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Executable,
    FromClause,
    Select,
    Text,
    bindparam,
    case,
    column,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)

from ringbridge.adapters.store.schema import cdr_parties, cdrs, has_site
from ringbridge.model.cdr import Direction
from ringbridge.model.cdr_query import CdrQuery, Place

Conditions: TypeAlias = list[ColumnElement[bool]]
Within: TypeAlias = Callable[[FromClause], Conditions]
"""The conditions that keep a table to the domains that are asked for."""

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
    limit: BindParameter[int] = bindparam("limit")
    skip: BindParameter[int] = bindparam("skip")
    return _in_order(shape, bindparam("domain")).limit(limit).offset(skip)


@lru_cache(maxsize=1024)
def pages_statement(shape: Shape) -> Select[Any]:
    """Return the SELECT of domain, start and id of the first of each of several domains, in no order of the whole.

    Its parameters are `domains`, the `limit` of each, and the query's. LATERAL, which SQLite has not: a server is asked
    once where a file is asked once for each domain.
    """
    limit: BindParameter[int] = bindparam("limit")
    domains: BindParameter[Sequence[str]] = bindparam("domains", type_=ARRAY(Text))
    asked = func.unnest(domains).table_valued("domain").render_derived(name="asked")
    # By name: SQLAlchemy would put a column of `asked` into the innermost FROM once more.
    page = _in_order(shape, literal_column("asked.domain", Text)).limit(limit).lateral("page")
    return select(asked.c.domain, page.c.started_at, page.c.id).select_from(asked.join(page, true()))


def _in_order(shape: Shape, domain: ColumnElement[str]) -> Select[Any] | CompoundSelect[Any]:
    """Return the SELECT of keys in order, of one domain or of all."""
    table = _table(shape)
    at, its_id = table.c.started_at, table.c.id
    within: Within = lambda rows: [rows.c.domain == domain] if shape.domains else []  # noqa: E731 - as short as it is
    ranges = [
        select(at, its_id).where(*conditions).order_by(at.desc(), its_id.desc())
        for conditions in _ranges(shape, within)
    ]
    if len(ranges) == 1:
        return ranges[0]
    # Every range is in order by its index, so both databases merge them as they go, and stop when the page is full.
    merged = union_all(*(select(one.subquery()) for one in ranges))
    return merged.order_by(column("started_at").desc(), column("id").desc())


@lru_cache(maxsize=1024)
def totals_statement(shape: Shape, *, is_limited: bool) -> Select[Any]:
    """Return the SELECT of count and sum, of parameters `domains`, `at_most` where it is limited, and the query's."""
    table = _table(shape)
    domains: BindParameter[Sequence[str]] = bindparam("domains", expanding=True)
    within: Within = lambda rows: [rows.c.domain.in_(domains)] if shape.domains else []  # noqa: E731 - as short as it is
    ranges = [select(table.c.seconds).where(*conditions) for conditions in _ranges(shape, within)]
    rows = ranges[0] if len(ranges) == 1 else union_all(*ranges)
    found = (rows.limit(bindparam("at_most")) if is_limited else rows).subquery()
    return select(func.count(), func.coalesce(func.sum(found.c.seconds), 0)).select_from(found)


def _table(shape: Shape) -> FromClause:
    return cdr_parties if shape.of_user else cdrs


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


def _ranges(shape: Shape, within: Within) -> list[Conditions]:
    """Return the conditions of each range; no call is in two of them."""
    table = _table(shape)
    kinds: Sequence[Kind | None] = shape.kinds or ()
    if shape.kinds is None:
        is_led = shape.dialled or shape.caller or shape.site
        kinds = (_OF_USER if shape.of_user else _OF_DOMAIN) if is_led else (None,)
    ranges = product(_leads(shape, table), kinds)
    return [[*within(table), *lead, *_of_kind(table, kind), *_rest(shape, table, within)] for lead, kind in ranges] or [
        [false()]
    ]


def _leads(shape: Shape, table: FromClause) -> list[Conditions]:
    """Return what each range begins with, behind the domain: the user, and the first filter."""
    start = _of_user(shape, table)
    if shape.dialled:
        return [[*start, table.c.dialled == bindparam("its_dialled")]]
    if shape.caller:
        return [[*start, table.c.caller == bindparam("its_caller")]]
    if shape.site:
        orig, term = _at_site(table)
        # `|| ''` so that SQLite does not hold it to the condition of an index, and makes a plan for every value.
        return [[*start, *orig], [*start, *term, table.c.orig_site + "" != bindparam("its_site")]]
    return [start]


def _of_user(shape: Shape, table: FromClause) -> Conditions:
    return [table.c.user == bindparam("its_user")] if shape.of_user else []


def _at_site(table: FromClause) -> tuple[Conditions, Conditions]:
    """Return what the first leg's site is asked for by, and the second's."""
    site: BindParameter[str] = bindparam("its_site")
    return (
        [has_site(table, "orig"), table.c.orig_site == site],
        [has_site(table, "term"), table.c.term_site == site],
    )


def _of_kind(table: FromClause, kind: Kind | None) -> Iterator[ColumnElement[bool]]:
    if kind is None:
        return
    direction, on_net = kind
    yield table.c.direction == direction.value
    if on_net is not None:
        yield table.c.on_net == on_net


def _rest(shape: Shape, table: FromClause, within: Within) -> Iterator[ColumnElement[bool]]:
    """Return what is asked for beside the first filter."""
    if shape.caller and shape.dialled:
        yield table.c.caller + "" == bindparam("its_caller")  # so that no other index tempts
    if shape.site and (shape.caller or shape.dialled):
        yield or_(table.c.orig_site == bindparam("its_site"), table.c.term_site == bindparam("its_site"))
    yield table.c.started_at >= _since(shape, table, within)
    if shape.has_end:
        yield table.c.started_at <= bindparam("until")
    if shape.after:
        at = table.c.started_at
        start_after: BindParameter[float] = bindparam("after_start")
        yield at <= start_after
        yield or_(at < start_after, table.c.id < bindparam("after_id"))


def _since(shape: Shape, table: FromClause, within: Within) -> ColumnElement[float]:
    """Return where a range ends: nowhere, and so before it begins, where no call has the site that a number is beside.

    Within the bound, as SQLite goes through a range before it looks at a condition of its own that no row matters to.
    """
    since: BindParameter[float] = bindparam("since")
    if not shape.site or not (shape.caller or shape.dialled):
        return since
    sited = table.alias("sited")
    start = [*within(sited), *_of_user(shape, sited)]
    return case((or_(*(exists(sited.c.id).where(*start, *leg) for leg in _at_site(sited))), since))
