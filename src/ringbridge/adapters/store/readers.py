"""Threads that read the store, each on a connection of its own: for what may take long (lists, counts, exports).

A read ends by its deadline, so that no request leaves work behind that nobody waits for. What the database cannot do
now (locked, full, away) is told as `StoreUnavailable`, and the next read gets a new connection.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ringbridge.adapters.store.engine import forbid_writing
from ringbridge.model.errors import StoreUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")
Read: TypeAlias = Callable[[Connection], Any]

READERS = 4
SLOW_AT_ONCE = 2
"""Counts of millions at a time: the others stay free for pages."""
DEADLINE_S = 15.0
"""Below the API's own deadline, so that this refusal is told and not that."""
OPCODES = 20_000
"""How often SQLite looks at the clock: every millisecond or so."""


class StoreReaders:
    """Takes reads from the event loop; `run` returns what they return."""

    def __init__(self, engine: Engine, *, deadline_s: float = DEADLINE_S) -> None:
        self._engine = engine
        self._deadline_s = deadline_s
        self._queue: SimpleQueue[tuple[Read, asyncio.Future[Any]] | None] = SimpleQueue()
        self._slow = asyncio.Semaphore(SLOW_AT_ONCE)
        self._threads: list[threading.Thread] = []

    async def run(self, read: Callable[[Connection], T], *, slow: bool = False) -> T:
        """Return what `read` returns; `slow` ones take turns.

        Raises:
            StoreUnavailable: the database cannot say now, or it took too long.
        """
        if not self._threads:
            self._start()
        if not slow:
            return await self._handed_over(read)
        async with self._slow:
            return await self._handed_over(read)

    async def _handed_over(self, read: Callable[[Connection], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put((read, future))
        return await future

    def _start(self) -> None:
        for number in range(READERS):
            thread = threading.Thread(target=self._run, name=f"store-reader-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Return when what was handed over is read and all connections are closed."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    # --- on the threads ---

    def _run(self) -> None:
        reader = _Reader(self._engine, self._deadline_s)
        while (work := self._queue.get()) is not None:
            read, future = work
            if not future.cancelled():
                found, fault = reader.outcome(read)
                loop = future.get_loop()
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_settle, future, found, fault)
        reader.close()


class _Reader:
    """One thread's connection."""

    def __init__(self, engine: Engine, deadline_s: float) -> None:
        self._engine = engine
        self._deadline_s = deadline_s
        self._connection: Connection | None = None
        self._ends_at = 0.0

    def outcome(self, read: Read) -> tuple[object, Exception | None]:
        """Return what `read` returns, or why it could not."""
        self._ends_at = time.monotonic() + self._deadline_s
        try:
            if self._connection is None:
                self._connection = self._open()
            return read(self._connection), None
        except SQLAlchemyError as error:
            late = time.monotonic() >= self._ends_at
            log.warning("store_read_failed", fault=str(error.__cause__ or error), late=late)
            self.close()
            return None, StoreUnavailable("this takes too long; ask for less of it" if late else None)
        except Exception as error:  # noqa: BLE001 - the one guard of this thread: whoever waits must hear of it
            return None, error

    def _open(self) -> Connection:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        forbid_writing(connection)
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.dbapi_connection
            driver.set_progress_handler(lambda: time.monotonic() >= self._ends_at, OPCODES)
        else:
            connection.exec_driver_sql(f"SET statement_timeout = {int(1000 * self._deadline_s)}")
        return connection

    def close(self) -> None:
        if self._connection is None:
            return
        try:
            self._connection.close()
        except SQLAlchemyError:
            self._connection.invalidate()
        self._connection = None


def _settle(future: asyncio.Future[Any], found: object, fault: Exception | None) -> None:
    if future.done():
        return
    if fault is None:
        future.set_result(found)
    else:
        future.set_exception(fault)
