"""By which indexes pages of CDRs are found: as the database itself explains the statements of the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Engine, event

from ringbridge.adapters.store.cdrs import read_page
from ringbridge.api.cdrs.query import ON_NET_TYPES, TYPES
from ringbridge.model.cdr_query import CdrQuery

PAGE: Final = 100
_EXPLAIN: Final = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}
_INDEX: Final = re.compile(r"\b(?:INDEX|Index(?: Only)? Scan(?: Backward)? using|Index Scan on) (\w+)|(PRIMARY KEY)")
_WITHOUT: Final = re.compile(r"\bSCAN (?:cdr\w+)$|Seq Scan on (?:cdr\w+)", re.MULTILINE)
KEYS: Final = re.compile(r"PRIMARY KEY|\w+_pkey|sqlite_autoindex\w+")
"""Names of primary keys, by which also the rows of a page are fetched."""


def indexes_of(engine: Engine, query: CdrQuery) -> str:
    """Return the names of the indexes behind a page of `query`; `none` stands for a table that is read whole."""
    steps: list[str] = []

    def explain(_: object, cursor: Any, sql: str, parameters: Any, *__: object) -> None:
        told = cursor.connection.cursor().execute(f"{_EXPLAIN[engine.dialect.name]} {sql}", parameters)
        steps.append("\n".join(str(row[-1]) for row in told))

    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", explain)
        try:
            read_page(connection, query=query, limit=PAGE)
        finally:
            event.remove(connection, "before_cursor_execute", explain)
    # The last statement fetches the rows of the page by their keys.
    plan = "\n".join(steps[:-1] or steps)
    found = {name or key for name, key in _INDEX.findall(plan)}
    if _WITHOUT.search(plan):
        found.add("none")
    named = sorted(name for name in found if not KEYS.fullmatch(name))
    return " ".join(named or ["key" for name in found][:1])


def query_of(
    filters: Mapping[str, str], *, domains: tuple[str, ...] | None, user: str | None, since: float
) -> CdrQuery:
    """Return what a request with these `filters` asks for."""
    asked = filters.get("type", "").lower()
    return CdrQuery(
        domains=domains,
        user=user,
        since=since,
        directions=TYPES.get(asked),
        on_net=ON_NET_TYPES.get(asked),
        caller=filters.get("caller", ""),
        dialled=filters.get("dialled", ""),
        site=filters.get("site", ""),
    )
