"""Statements of the store's writer: compiled once, and run for many rows by the driver itself.

SQLAlchemy's own way, which looks the statement up and its parameters through for every run, takes twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Connection, Dialect

Row: TypeAlias = dict[str, Any]


class Many:
    """One statement for rows whose values stand in the order of `names`, or are found by them.

    Values go to the driver as they are: bytes, text, numbers and truths, which both drivers take so.
    """

    def __init__(self, dialect: Dialect, statement: Any, *names: str) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        self._sql = str(compiled)
        self._names = names
        self._order = compiled.positiontup
        """The names by place, of a driver that counts parameters; None for one that names them."""

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run it for `rows`, whose values stand in the order of the names."""
        if not rows:
            return
        if self._order is None:
            self.run_named(connection, [dict(zip(self._names, row, strict=True)) for row in rows])
            return
        places = [self._names.index(name) for name in self._order]
        connection.exec_driver_sql(self._sql, [tuple([row[place] for place in places]) for row in rows])

    def run_named(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it for `rows`."""
        if not rows:
            return
        if self._order is None:
            connection.exec_driver_sql(self._sql, list(rows))
            return
        values = itemgetter(*self._order)
        connection.exec_driver_sql(self._sql, [values(row) for row in rows])
