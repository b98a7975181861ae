"""Reading CDRs: a page in two steps, first the keys from an index alone, then the rows of those keys.

So what a page passes over costs an index entry and no row. Lists of several domains are merged from one short list a
domain: `domain IN (…)` in the order of time would sort all that the domains have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import ColumnElement, Connection, FromClause, Select, func, or_, select, text, union_all

from ringbridge.adapters.store_cdr_rows import cdr_of_body
from ringbridge.adapters.store_schema import cdr_parties, cdrs
from ringbridge.model.cdr import Cdr, Direction
from ringbridge.model.cdr_query import CdrPage, CdrQuery, CdrTotals, Place

log = structlog.get_logger(__name__)

MERGED_AT_ONCE = 100
"""Domains in one statement; SQLite takes 500 parts."""
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
    for domains in _domains_to_count(query):
        counted = _counted(query, domains, None if at_most is None else at_most - total)
        row = connection.execute(counted).one()
        total, seconds = total + int(row[0]), seconds + int(row[1])
        if at_most is not None and total >= at_most:
            break
    return CdrTotals(total, seconds)


def _domains_to_count(query: CdrQuery) -> Iterator[Sequence[str] | None]:
    if query.domains is None:
        yield None
        return
    for first in range(0, len(query.domains), COUNTED_AT_ONCE):
        yield query.domains[first : first + COUNTED_AT_ONCE]


def _keys(connection: Connection, query: CdrQuery, limit: int, skip: int, after: Place | None) -> list[Place]:
    domains: Sequence[str | None] | None = query.domains
    if domains is None and (query.caller or query.dialled):
        # Callers and numbers are indexed by domain, as an extension is another's in each.
        domains = [row[0] for row in connection.execute(_DOMAINS)]
    if domains is None:
        domains = [None]
    if len(domains) == 1:
        statement = key_statement(query, domains[0], limit, after).offset(skip)
        return [Place(row[0], row[1]) for row in connection.execute(statement)]
    found: list[tuple[float, str]] = []
    for first in range(0, len(domains), MERGED_AT_ONCE):
        parts = [
            select(key_statement(query, domain, skip + limit, after).subquery())
            for domain in domains[first : first + MERGED_AT_ONCE]
        ]
        found += [(row[0], row[1]) for row in connection.execute(union_all(*parts))]
        found = sorted(found, reverse=True)[: skip + limit]
    return [Place(*key) for key in found[skip:]]


def key_statement(query: CdrQuery, domain: str | None, limit: int, after: Place | None) -> Select[Any]:
    """Return the SELECT of the first `limit` keys (start and id) of one domain, or of all."""
    table = cdrs if query.user is None else cdr_parties
    statement = select(table.c.started_at, table.c.id).select_from(_source(query))
    statement = statement.where(*_conditions(query, None if domain is None else [domain]))
    if after is not None:
        at, its_id = table.c.started_at, table.c.id
        statement = statement.where(at <= after.started_at, or_(at < after.started_at, its_id < after.id))
    return statement.order_by(table.c.started_at.desc(), table.c.id.desc()).limit(limit)


def _counted(query: CdrQuery, domains: Sequence[str] | None, at_most: int | None) -> Select[Any]:
    table = cdrs if query.user is None else cdr_parties
    statement = select(table.c.seconds).select_from(_source(query)).where(*_conditions(query, domains))
    if at_most is not None:
        statement = statement.limit(at_most)
    rows = statement.subquery()
    return select(func.count(), func.coalesce(func.sum(rows.c.seconds), 0)).select_from(rows)


def _source(query: CdrQuery) -> FromClause:
    if query.user is not None and (query.caller or query.dialled or query.site):
        return cdr_parties.join(cdrs, cdrs.c.id == cdr_parties.c.id)
    return cdrs if query.user is None else cdr_parties


def _conditions(query: CdrQuery, domains: Sequence[str] | None) -> Iterator[ColumnElement[bool]]:
    table = cdrs if query.user is None else cdr_parties
    if domains is not None:
        yield table.c.domain == domains[0] if len(domains) == 1 else table.c.domain.in_(domains)
    if query.user is not None:
        yield cdr_parties.c.user == query.user
    yield table.c.started_at >= query.since
    if query.until != math.inf:
        yield table.c.started_at <= query.until
    if query.directions is not None and len(query.directions) == 1:
        yield table.c.direction == next(iter(query.directions)).value
    elif query.directions is not None:
        # Not by the directions' own index, whose order is that of time within one direction alone.
        yield (table.c.direction + 0).in_(sorted(query.directions))
    if query.on_net is not None:
        on_net = cdrs.c.direction == Direction.ON_NET.value if query.user is None else cdr_parties.c.on_net
        yield on_net if query.on_net else ~on_net
    for column, wanted in ((cdrs.c.caller, query.caller), (cdrs.c.dialled, query.dialled)):
        if wanted:
            # In a user's list the user's own index leads, and the row is looked at: no index may tempt away from it.
            yield (column if query.user is None else column + "") == wanted
    if query.site:
        yield or_(cdrs.c.orig_site == query.site, cdrs.c.term_site == query.site)


def _bodies(connection: Connection, ids: Sequence[str]) -> dict[str, Cdr]:
    """Return the CDRs that can be read; one that cannot is logged and left out, and stops no list."""
    found: dict[str, Cdr] = {}
    for row in connection.execute(select(cdrs.c.id, cdrs.c.body).where(cdrs.c.id.in_(ids))) if ids else ():
        try:
            found[row[0]] = cdr_of_body(row[1])
        except msgspec.DecodeError:
            log.exception("cdr_unreadable", id=row[0])
    return found
