"""Reading CDRs: a page in two steps, first the keys from an index alone, then the rows of those keys.

So what a page passes over costs an index entry and no row. Of several domains each is asked in turn, for what is newer
than the page so far: most of them have nothing to add. `domain IN (…)` in the order of time would sort all that the
domains have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import structlog
from sqlalchemy import Connection, select, text

from ringbridge.adapters.store.cdr_lists import page_statement, shape_of, totals_statement, values_after, values_of
from ringbridge.adapters.store.cdr_rows import cdr_of_body
from ringbridge.adapters.store.schema import cdrs
from ringbridge.model.cdr import Cdr
from ringbridge.model.cdr_query import CdrPage, CdrQuery, CdrTotals, Place

log = structlog.get_logger(__name__)

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
    statement = page_statement(shape_of(query, domains=domains is not None, after=after is not None))
    values = values_of(query) | values_after(after)
    if domains is None or len(domains) == 1:
        page = {"domain": domains[0] if domains else "", "limit": limit, "skip": skip}
        return [Place(row[0], row[1]) for row in connection.execute(statement, values | page)]
    wanted = skip + limit
    found: list[tuple[float, str]] = []
    since = query.since
    for domain in domains:
        page = {"domain": domain, "limit": wanted, "skip": 0, "since": since}
        rows = connection.execute(statement, values | page).all()
        if rows:
            found = sorted([*found, *((row[0], row[1]) for row in rows)], reverse=True)[:wanted]
            since = found[-1][0] if len(found) == wanted else since
    return [Place(*key) for key in found[skip:]]


def _bodies(connection: Connection, ids: Sequence[str]) -> dict[str, Cdr]:
    """Return the CDRs that can be read; one that cannot is logged and left out, and stops no list."""
    found: dict[str, Cdr] = {}
    for row in connection.execute(select(cdrs.c.id, cdrs.c.body).where(cdrs.c.id.in_(ids))) if ids else ():
        try:
            found[row[0]] = cdr_of_body(row[1])
        except msgspec.DecodeError:
            log.exception("cdr_unreadable", id=row[0])
    return found
