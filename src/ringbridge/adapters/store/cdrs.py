"""Reading CDRs: a page in two steps, first the keys from an index alone, then the rows of those keys.

So what a page passes over costs an index entry and no row. `domain IN (…)` in the order of time would sort all that the
domains have. So of several domains SQLite is asked for each in turn, for what is newer than the page so far: most of
them have nothing to add. PostgreSQL, where every question is a journey, is asked for some of each in one statement, and
once more for those that may have more.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeAlias

import msgspec
import structlog
from sqlalchemy import Connection, select, text

from ringbridge.adapters.store.cdr_lists import (
    Shape,
    page_statement,
    pages_statement,
    shape_of,
    totals_statement,
    values_after,
    values_of,
)
from ringbridge.adapters.store.cdr_rows import cdr_of_body
from ringbridge.adapters.store.schema import cdrs
from ringbridge.model.cdr import Cdr
from ringbridge.model.cdr_query import CdrPage, CdrQuery, CdrTotals, Place

log = structlog.get_logger(__name__)

Key: TypeAlias = tuple[float, str]
"""Start and id."""

COUNTED_AT_ONCE = 500
"""Domains in one `IN`."""

# A step from each domain to the next, along the index: as many look-ups as there are domains.
_DOMAINS = text(
    "WITH RECURSIVE found(domain) AS ("
    " SELECT min(domain) FROM cdrs UNION ALL"
    " SELECT (SELECT min(domain) FROM cdrs WHERE domain > found.domain) FROM found WHERE found.domain IS NOT NULL"
    ") SELECT domain FROM found WHERE domain IS NOT NULL"
)


def read_page(
    connection: Connection, *, query: CdrQuery, limit: int, skip: int = 0, after: Place | None = None
) -> CdrPage:
    """Return a page; as `calls.ports.Store.cdrs`."""
    keys = _keys(connection, query, limit + 1, skip, after)
    page = keys[:limit]
    found = _bodies(connection, [key.id for key in page])
    return CdrPage([found[key.id] for key in page if key.id in found], page[-1] if page else None, len(keys) > limit)


def read_totals(connection: Connection, *, query: CdrQuery, at_most: int | None = None) -> CdrTotals:
    """Return the count and the sum; as `calls.ports.Store.count_cdrs`."""
    total = seconds = 0
    domains = _domains(connection, query)
    statement = totals_statement(shape_of(query, domains=domains is not None), is_limited=at_most is not None)
    for some in _parts(domains):
        left = {} if at_most is None else {"at_most": at_most - total}
        row = connection.execute(statement, values_of(query) | {"domains": some} | left).one()
        total, seconds = total + int(row[0]), seconds + int(row[1])
        if at_most is not None and total >= at_most:
            break
    return CdrTotals(total, seconds)


def _domains(connection: Connection, query: CdrQuery) -> Sequence[str] | None:
    """Return the domains to ask one by one, None to ask all as one.

    Callers, numbers and sites are indexed by domain, as an extension is another's in each.
    """
    if query.domains is None and (query.caller or query.dialled or query.site):
        return [row[0] for row in connection.execute(_DOMAINS)]
    return query.domains


def _parts(domains: Sequence[str] | None) -> Iterator[Sequence[str]]:
    if domains is None:
        yield ()
        return
    for first in range(0, len(domains), COUNTED_AT_ONCE):
        yield domains[first : first + COUNTED_AT_ONCE]


def _keys(connection: Connection, query: CdrQuery, limit: int, skip: int, after: Place | None) -> list[Place]:
    domains = _domains(connection, query)
    shape = shape_of(query, domains=domains is not None, after=after is not None)
    values = values_of(query) | values_after(after)
    if domains is None or len(domains) == 1:
        page = {"domain": domains[0] if domains else "", "limit": limit, "skip": skip}
        return [Place(row[0], row[1]) for row in connection.execute(page_statement(shape), values | page)]
    newest = _newest_at_once if connection.dialect.name == "postgresql" else _newest_in_turn
    return [Place(*key) for key in newest(connection, shape, values, domains, skip + limit)[skip:]]


def _newest_in_turn(
    connection: Connection, shape: Shape, values: dict[str, object], domains: Sequence[str], wanted: int
) -> list[Key]:
    """Return the newest keys of several domains, `wanted` of them where there are as many."""
    found: list[Key] = []
    page = values | {"limit": wanted, "skip": 0}
    for domain in domains:
        rows = connection.execute(page_statement(shape), page | {"domain": domain}).all()
        if rows:
            found = sorted([*found, *((row[0], row[1]) for row in rows)], reverse=True)[:wanted]
            if len(found) == wanted:
                page["since"] = found[-1][0]
    return found


def _newest_at_once(
    connection: Connection, shape: Shape, values: dict[str, object], domains: Sequence[str], wanted: int
) -> list[Key]:
    """Return the same as `_newest_in_turn`, in two statements at the most."""
    each = min(wanted, 2 * math.ceil(wanted / max(len(domains), 1)))
    keys = _first_of_each(connection, shape, values | {"domains": domains, "limit": each})
    found = _newest(keys, wanted)
    if len(found) == wanted:
        values = values | {"since": found[-1][0]}
    # Who gave all that it was asked for may have more that is newer than the last of the page.
    behind = [domain for domain, its in keys.items() if len(its) == each < wanted and min(its) >= found[-1]]
    if behind:
        keys |= _first_of_each(connection, shape, values | {"domains": behind, "limit": wanted})
    return _newest(keys, wanted)


def _first_of_each(connection: Connection, shape: Shape, values: dict[str, object]) -> dict[str, list[Key]]:
    found: defaultdict[str, list[Key]] = defaultdict(list)
    for domain, started_at, its_id in connection.execute(pages_statement(shape), values):
        found[domain].append((started_at, its_id))
    return found


def _newest(keys: Mapping[str, list[Key]], wanted: int) -> list[Key]:
    return sorted(chain.from_iterable(keys.values()), reverse=True)[:wanted]


def _bodies(connection: Connection, ids: Sequence[str]) -> dict[str, Cdr]:
    """Return the CDRs that can be read; one that cannot is logged and left out, and stops no list."""
    found: dict[str, Cdr] = {}
    for row in connection.execute(select(cdrs.c.id, cdrs.c.body).where(cdrs.c.id.in_(ids))) if ids else ():
        try:
            found[row[0]] = cdr_of_body(row[1])
        except msgspec.DecodeError:
            log.exception("cdr_unreadable", id=row[0])
    return found
