"""The event loop's own connection to the store: look-ups by key, which take less than handing them to a thread would.

What the database cannot do now is told as `StoreUnavailable`; the connection is dropped, and the next read opens one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, Select
from sqlalchemy.exc import SQLAlchemyError

from ringbridge.adapters.store.engine import forbid_writing
from ringbridge.model.errors import StoreUnavailable

log = structlog.get_logger(__name__)


class StoreLink:
    """One connection that only reads, opened when it is needed."""

    def __init__(self, engine: Engine) -> None:
        self.dialect = engine.dialect
        self._engine = engine
        self._connection: Connection | None = None
        self._driver: Any = None
        self._driver_fault: type[Exception] = engine.dialect.loaded_dbapi.Error

    def all(self, statement: Select[Any]) -> Sequence[Any]:
        """Return all rows.

        Raises:
            StoreUnavailable: the database cannot say now.
        """
        try:
            return self._open().execute(statement).all()
        except SQLAlchemyError as error:
            raise self._failed(error) from error

    def first(self, statement: Select[Any]) -> Any:
        """Return the first row, or None; as `all`."""
        rows = self.all(statement)
        return rows[0] if rows else None

    def look_up(self, sql: str, parameters: Any) -> list[Any]:
        """Return all rows of a statement in the driver's own words; as `all`."""
        try:
            if self._driver is None:
                self._driver = self._open().connection.dbapi_connection
            cursor = self._driver.cursor()
            try:
                cursor.execute(sql, parameters)
                return list(cursor.fetchall())
            finally:
                cursor.close()
        except (self._driver_fault, SQLAlchemyError) as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except (self._driver_fault, SQLAlchemyError):
                connection.invalidate()

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            forbid_writing(self._connection)
        return self._connection

    def _failed(self, error: Exception) -> StoreUnavailable:
        log.warning("store_read_failed", fault=str(error.__cause__ or error))
        self.close()
        return StoreUnavailable()


class Lookup:
    """A SELECT compiled once and run on the driver's own connection: 15 µs instead of 100."""

    def __init__(self, link: StoreLink, statement: Select[Any], *names: str) -> None:
        compiled = statement.compile(dialect=link.dialect)
        self._link = link
        self._sql = str(compiled)
        self._names = names
        self._order = compiled.positiontup

    def rows(self, *values: str | float) -> list[Any]:
        """Return the rows for `values`, given in the order of the names."""
        by_name = dict(zip(self._names, values, strict=True))
        parameters = by_name if self._order is None else [by_name[name] for name in self._order]
        return self._link.look_up(self._sql, parameters)
