"""Reading the request history: pages and counts of what somebody may see, by SQLite's own index and scan.

A hundred thousand rows are walked in some tenth of a second, on a thread of the readers': only what every list is
narrowed by, the domain, has an index that each request would have to pay for.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from sqlalchemy import Connection

from ringbridge.adapters.exchanges.rows import exchange_of
from ringbridge.model.access import ANY
from ringbridge.model.exchanges import ExchangeQuery, KeptExchange, Whose
from ringbridge.model.masking import mask_numbers

MICROSECONDS = 1e6


def read_page(connection: Connection, wanted: ExchangeQuery, *, start: int, limit: int) -> list[KeptExchange]:
    """Return a page, newest first."""
    where, values = _conditions(connection, wanted)
    statement = f"SELECT body FROM exchanges WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?"  # noqa: S608 - values are bound
    found = connection.exec_driver_sql(statement, (*values, limit, start - 1))
    return [exchange_of(row[0]) for row in found]


def read_count(connection: Connection, wanted: ExchangeQuery) -> int:
    """Return how many there are."""
    where, values = _conditions(connection, wanted)
    statement = f"SELECT count(*) FROM exchanges WHERE {where}"  # noqa: S608 - values are bound
    return int(connection.exec_driver_sql(statement, values).scalar_one())


def read_one(connection: Connection, exchange_id: int, wanted: ExchangeQuery) -> KeptExchange | None:
    """Return one of what is wanted."""
    where, values = _conditions(connection, wanted)
    statement = f"SELECT body FROM exchanges WHERE id = ? AND {where}"  # noqa: S608 - values are bound
    row = connection.exec_driver_sql(statement, (exchange_id, *values)).first()
    return None if row is None else exchange_of(row[0])


def _conditions(connection: Connection, wanted: ExchangeQuery) -> tuple[str, tuple[Any, ...]]:
    terms: list[str] = ["id >= ?"]
    values: list[Any] = [int(wanted.since * MICROSECONDS)]
    if wanted.until != math.inf:
        terms.append("id <= ?")
        values.append(int(wanted.until * MICROSECONDS))
    _add_whose(connection, wanted.whose, terms, values)
    for column in ("method", "key_id", "operation", "domain"):
        value = getattr(wanted, column)
        if value:
            terms.append(f"{column} = ?")
            values.append(value)
    if (wanted.least_status, wanted.most_status) != (0, 999):
        terms.append("status BETWEEN ? AND ?")
        values += (wanted.least_status, wanted.most_status)
    if wanted.path:
        # Else who sees a masked path could find its digits one by one.
        _driver(connection).create_function("masked", 1, mask_numbers, deterministic=True)
        terms.append("CASE WHEN rank <= ? THEN instr(path, ?) ELSE instr(masked(path), ?) END > 0")
        values += (wanted.rank, wanted.path, wanted.path)
    return " AND ".join(terms), tuple(values)


def _add_whose(connection: Connection, whose: Whose, terms: list[str], values: list[Any]) -> None:
    if whose.domains is not None:
        # As one value, since a reseller may have more domains than a statement takes values.
        of_domains = "domain IN (SELECT value FROM json_each(?))"
        values.append(_json(tuple(whose.domains)))
        if any(whose.domains.values()):
            since = {domain: int(at * MICROSECONDS) for domain, at in whose.domains.items()}
            _driver(connection).create_function("since", 1, since.get, deterministic=True)
            of_domains = f"({of_domains} AND id >= since(domain))"
        if whose.reseller is not None:
            of_domains = f"({of_domains} OR (domain = ? AND reseller = ?))"
            values += (ANY, whose.reseller)
        terms.append(of_domains)
    if whose.most_rank is not None:
        terms.append("(rank <= ? OR key_id = ?)")
        values += (whose.most_rank, whose.own_key_id)
    if whose.user is not None:
        terms.append("user = ?")
        values.append(whose.user)
    if whose.key_id is not None:
        terms.append("key_id = ?")
        values.append(whose.key_id)


def _driver(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _json(names: tuple[str, ...]) -> str:
    return msgspec.json.encode(names).decode()
