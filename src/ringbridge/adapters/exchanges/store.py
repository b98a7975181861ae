"""The request history of this node: a SQLite database of its own, written by one thread, a batch at a time.

It is no part of the store, which is a copy of the bus and can be had from it again: requests are this node's alone, and
go with its folder. Nobody waits for a row, so none is flushed to the disk: a crash of the machine costs the last
seconds, and a file that cannot be read is begun anew.

What it costs decides how it is written. Many rows go in by one statement, since the driver gives the interpreter's lock
away for each, and has to ask the event loop for it back. Pages are large, since a row with its bodies fills half of a
usual one.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import structlog

from ringbridge.adapters.exchanges.reads import read_count, read_one, read_page
from ringbridge.adapters.exchanges.rows import COLUMNS, CREATE, VERSION, Row, row_of
from ringbridge.adapters.store.engine import open_engine, sqlite_url
from ringbridge.adapters.store.readers import StoreReaders
from ringbridge.calls.ports import Clock
from ringbridge.model.exchanges import Exchange, ExchangeQuery, KeptExchange

log = structlog.get_logger(__name__)

Flush: TypeAlias = "asyncio.Future[None]"

QUEUE: Final = 4096
"""Requests that wait to be written: a second of all that one node answers. The writer may hold as many again."""
QUEUE_BYTES: Final = 48 * 1024 * 1024
"""Their bodies at most; fewer may wait where larger bodies are kept."""
BATCH_PAUSE_S: Final = 0.25
SWEEP_EVERY_S: Final = 60.0
AT_ONCE: Final = (128, 32, 8, 1)
"""Rows in one statement."""
ROOM_AT_ONCE: Final = 64
"""Rows that make room together, of one of several domains that have about as many."""

_VALUES: Final = f"({', '.join('?' * len(COLUMNS))})"
_INSERT: Final = {
    many: f"INSERT INTO exchanges ({', '.join(COLUMNS)}) VALUES {', '.join([_VALUES] * many)}"  # noqa: S608 - our own
    for many in AT_ONCE
}
_OLDEST_OF: Final = "DELETE FROM exchanges WHERE id IN (SELECT id FROM exchanges WHERE domain = ? ORDER BY id LIMIT ?)"


class ExchangeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept."""

    path: Path
    node: str
    kept_s: float
    most_kept: int
    """Rows. The oldest of the domain that has the most go first, so that a busy one never pushes out a quiet one's."""
    body_bytes: int


class ExchangeStore:
    """The history; `calls.exchange_ports.Exchanges`."""

    def __init__(self, settings: ExchangeSettings, clock: Clock) -> None:
        """Begin to write.

        Raises:
            OSError: the file can neither be opened nor begun anew.
        """
        self._settings = settings
        self._clock = clock
        self._queue: deque[tuple[int, Exchange] | Flush] = deque()
        self._woken = threading.Event()
        self._hurry = threading.Event()
        self._stopping = False
        self._swept_at = 0.0
        self._dropped: Counter[str] = Counter(queue=0, write=0)
        self._most_waiting = min(QUEUE, max(1, QUEUE_BYTES // (2 * settings.body_bytes + 1)))
        self._connection = _open(settings.path)
        self._held: Counter[str] = Counter(
            dict(self._connection.execute("SELECT domain, count(*) FROM exchanges GROUP BY domain").fetchall())
        )
        self._last_id = int(self._connection.execute("SELECT coalesce(max(id), 0) FROM exchanges").fetchone()[0])
        self._thread = threading.Thread(target=self._run, name="request-history", daemon=True)
        self._thread.start()
        self._readers = StoreReaders(open_engine(sqlite_url(settings.path)))

    @property
    def node(self) -> str:
        return self._settings.node

    @property
    def body_bytes(self) -> int:
        return self._settings.body_bytes

    @property
    def dropped(self) -> Mapping[str, int]:
        return self._dropped

    def add(self, exchange: Exchange) -> None:
        queue = self._queue
        if len(queue) >= self._most_waiting:
            self._dropped["queue"] += 1
            return
        self._last_id = max(int(exchange.answered_at * 1e6), self._last_id + 1)
        queue.append((self._last_id, exchange))
        if len(queue) == 1:
            self._woken.set()

    async def page(self, wanted: ExchangeQuery, *, start: int, limit: int) -> list[KeptExchange]:
        await self._written()
        wanted = self._still_kept(wanted)
        return await self._readers.run(lambda connection: read_page(connection, wanted, start=start, limit=limit))

    async def count(self, wanted: ExchangeQuery) -> int:
        await self._written()
        wanted = self._still_kept(wanted)
        return await self._readers.run(lambda connection: read_count(connection, wanted))

    async def one(self, exchange_id: int, wanted: ExchangeQuery) -> KeptExchange | None:
        await self._written()
        wanted = self._still_kept(wanted)
        return await self._readers.run(lambda connection: read_one(connection, exchange_id, wanted))

    async def close(self) -> None:
        """Write what waits, and let go of the file; the writer is the last to close, and checkpoints."""
        self._readers.stop()
        self._stopping = True
        self._hurry.set()
        self._woken.set()
        self._thread.join()

    async def _written(self) -> None:
        """Return once all that was added before is written, so that who asks finds it."""
        flush: Flush = asyncio.get_running_loop().create_future()
        self._queue.append(flush)
        self._hurry.set()
        self._woken.set()
        await flush

    def _still_kept(self, wanted: ExchangeQuery) -> ExchangeQuery:
        oldest = self._clock.now() - self._settings.kept_s
        return msgspec.structs.replace(wanted, since=max(wanted.since, oldest))

    # --- on the thread ---

    def _run(self) -> None:
        while not self._stopping or self._queue:
            if self._woken.wait(SWEEP_EVERY_S) and not self._stopping:
                self._hurry.wait(BATCH_PAUSE_S)
            self._hurry.clear()
            self._woken.clear()
            self._write_some()
            while self._queue:
                self._write_some()
        self._connection.close()

    def _write_some(self) -> None:
        """Write what waits, as much as may wait at once; a row that comes meanwhile may be written with it."""
        rows: list[Row] = []
        flushes: list[Flush] = []
        while self._queue and len(rows) < self._most_waiting:
            waiting = self._queue.popleft()
            if isinstance(waiting, tuple):
                try:
                    rows.append(row_of(*waiting))
                except Exception:
                    # The one guard of this thread: a request that nobody foresaw costs its own row, and no other.
                    self._dropped["write"] += 1
                    log.exception("request_not_kept", operation=waiting[1].operation)
            else:
                flushes.append(waiting)
        try:
            self._commit(rows)
        except sqlite3.Error as error:
            # Full, or away: what is here now is lost, and what comes later may be kept again.
            self._dropped["write"] += len(rows)
            log.warning("request_history_not_written", fault=str(error), rows=len(rows))
        for flush in flushes:
            loop = flush.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, flush)

    def _commit(self, rows: Sequence[Row]) -> None:
        now = self._clock.now()
        sweeps = not 0.0 <= now - self._swept_at < SWEEP_EVERY_S
        if not rows and not sweeps:
            return
        held = self._held.copy()
        connection = self._connection
        with connection:
            connection.execute("BEGIN")
            for part in _parts(rows):
                connection.execute(_INSERT[len(part)], list(chain.from_iterable(part)))
            held.update(row[1] for row in rows)
            if sweeps:
                self._sweep(held, now - self._settings.kept_s)
            self._make_room(held)
        self._held = held
        self._swept_at = now if sweeps else self._swept_at

    def _sweep(self, held: Counter[str], before: float) -> None:
        """Delete what is too old."""
        oldest = (int(before * 1e6),)
        counted = "SELECT domain, count(*) FROM exchanges WHERE id < ? GROUP BY domain"
        for domain, rows in self._connection.execute(counted, oldest).fetchall():
            held[domain] -= rows
        self._connection.execute("DELETE FROM exchanges WHERE id < ?", oldest)

    def _make_room(self, held: Counter[str]) -> None:
        """Delete what is too much."""
        while (excess := held.total() - self._settings.most_kept) > 0:
            (domain, most), *others = held.most_common(2)
            second = others[0][1] if others else 0
            rows = min(excess, max(most - second, ROOM_AT_ONCE))
            self._connection.execute(_OLDEST_OF, (domain, rows))
            held[domain] -= rows


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield the rows in parts of as many as there is a statement for."""
    at = 0
    for many in AT_ONCE:
        while len(rows) - at >= many:
            yield rows[at : at + many]
            at += many


def _settle(flush: Flush) -> None:
    if not flush.done():
        flush.set_result(None)


def _open(path: Path) -> sqlite3.Connection:
    """Return the connection that writes; a file that is none of ours, or of another version, is begun anew.

    Raises:
        OSError: that cannot be done.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _prepared(path)
    except sqlite3.Error as error:
        log.warning("request_history_begun_anew", file=str(path), fault=str(error))
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    try:
        return _prepared(path)
    except sqlite3.Error as error:
        raise OSError(f"{path}: the request history cannot be opened: {error}") from error


def _prepared(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        for pragma in ("page_size=65536", "journal_mode=WAL", "synchronous=NORMAL", "cache_size=-8192"):
            connection.execute(f"PRAGMA {pragma}")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in (*CREATE, f"PRAGMA user_version={VERSION}"):
                connection.execute(statement)
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"is of version {version}, this program knows {VERSION}")
        connection.execute("SELECT 1 FROM exchanges LIMIT 1").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection
