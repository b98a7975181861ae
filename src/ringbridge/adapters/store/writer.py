"""The one thread that writes the store: batches become rows, all that wait in one transaction (group commit)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeAlias

import msgspec
from sqlalchemy import Connection, Dialect, Engine, Table, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from ringbridge.adapters.nats.subjects import CALL_STREAMS, SHARDS, Stream
from ringbridge.adapters.store.batch import LegName, LocationChange, StoreBatch, TakesPart
from ringbridge.adapters.store.cdr_rows import cdr_row, party_rows
from ringbridge.adapters.store.records import RecordWriter
from ringbridge.adapters.store.records import drop as drop_records
from ringbridge.adapters.store.schema import call_names, call_users, calls, cdr_parties, cdrs, locations, offsets
from ringbridge.adapters.store.statements import Many, Row
from ringbridge.model.call import Call
from ringbridge.model.errors import StoreUnavailable

Work: TypeAlias = Callable[[Connection], None]

CACHE_KIB = 65_536  # of SQLite's pages: a directory of a million is written all over

_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


def _upsert(dialect: Dialect, table: Table, changing: Sequence[str] | None = None) -> Many:
    """Return an INSERT that, where the key is there, sets the `changing` columns; None means all."""
    make = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    key = [column.name for column in table.primary_key]
    names = [column.name for column in table.columns]
    if changing is None:
        changing = [name for name in names if name not in key]
    statement = make(table)
    if changing:
        set_ = {name: statement.excluded[name] for name in changing}
        statement = statement.on_conflict_do_update(index_elements=key, set_=set_)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    return Many(dialect, statement, *names)


def _delete_by(dialect: Dialect, table: Table, *names: str) -> Many:
    statement = delete(table).where(*(table.c[name] == bindparam(f"its_{name}") for name in names))
    return Many(dialect, statement, *(f"its_{name}" for name in names))


_CALL_OF_USER = select(calls.c.domain).where(
    calls.c.domain == call_users.c.domain, calls.c.call_id == call_users.c.call_id
)
_NAMED_CALL = select(calls.c.domain).where(
    calls.c.domain == call_names.c.domain, calls.c.call_id == call_names.c.call_id
)


class StoreWriter:
    """Takes work from the event loop; each piece is done when its future is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: SimpleQueue[tuple[Work, asyncio.Future[None]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        dialect = engine.dialect
        self._put_offset = _upsert(dialect, offsets)
        self._records = RecordWriter(dialect)
        self._delete_location = _delete_by(dialect, locations, "domain", "device", "contact_digest")
        self._delete_call = _delete_by(dialect, calls, "domain", "call_id")
        self._delete_user = _delete_by(dialect, call_users, "domain", "user", "call_id")
        self._put_location = _upsert(dialect, locations)
        # Who called, and when, is fixed; only the end of a call moves it from one index to another.
        self._put_live_call = _upsert(dialect, calls, ("owner", "state", "sequence", "body"))
        self._put_ended_call = _upsert(dialect, calls, ("owner", "state", "is_over", "ended_at", "sequence", "body"))
        self._put_name = _upsert(dialect, call_names, ())
        self._put_user = _upsert(dialect, call_users, ())
        self._put_cdr = _upsert(dialect, cdrs)
        self._put_party = _upsert(dialect, cdr_parties)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when everything handed over is written."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def write(self, batch: StoreBatch) -> asyncio.Future[None]:
        """Write `batch`."""
        return self.do(lambda connection: self._write(connection, batch))

    def do(self, work: Work) -> asyncio.Future[None]:
        """Do `work` in a transaction, with what else waits."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((work, future))
        return future

    # --- on the thread ---

    def _run(self) -> None:
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(f"PRAGMA cache_size=-{CACHE_KIB}")
                connection.rollback()
            while (first := self._queue.get()) is not None:
                together = [first]
                ends = False
                try:
                    while (another := self._queue.get_nowait()) is not None:
                        together.append(another)
                    ends = True
                except Empty:
                    pass
                self._commit(connection, together)
                if ends:
                    return

    def _commit(self, connection: Connection, together: list[tuple[Work, asyncio.Future[None]]]) -> None:
        fault: Exception | None = None
        try:
            with connection.begin():
                for work, _ in together:
                    work(connection)
        except (OperationalError, InterfaceError, InternalError) as error:
            # Locked, full, away: the same can be written later.
            fault = StoreUnavailable(f"the local copy cannot be written now: {error.__cause__ or error}")
        except Exception as error:  # noqa: BLE001 - the one guard of this thread: whoever waits must hear of it
            fault = error
        for _, future in together:
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, future, fault)

    def _write(self, connection: Connection, batch: StoreBatch) -> None:
        for stream in batch.dropped:
            _drop(connection, stream)
        self._records.write(connection, batch.records)
        for statement, rows in (
            (self._delete_location, [_location_key(one) for one in batch.locations if one.location is None]),
            (self._put_location, [_location_row(one) for one in batch.locations if one.location is not None]),
            (self._delete_call, [{"its_domain": call.domain, "its_call_id": call.call_id} for call in batch.replaced]),
            (self._put_live_call, [_call_row(call) for call in batch.calls if not call.is_over]),
            (self._put_ended_call, [_call_row(call) for call in batch.calls if call.is_over]),
            (self._put_name, [_name_row(name) for name in batch.leg_names]),
            (self._delete_user, [_user_row(one, "its_") for one, is_in in batch.users.items() if not is_in]),
            (self._put_user, [_user_row(one) for one, is_in in batch.users.items() if is_in]),
            (self._put_cdr, [cdr_row(cdr) for cdr in batch.cdrs]),
            (self._put_party, [row for cdr in batch.cdrs for row in party_rows(cdr)]),
            (
                self._put_offset,
                [
                    {"stream": stream, "incarnation": offset.incarnation, "sequence": offset.sequence}
                    for stream, offset in batch.offsets.items()
                ],
            ),
        ):
            statement.run_named(connection, rows)


def _drop(connection: Connection, stream: str) -> None:
    """Delete what came from `stream`; CDRs stay, they tell of calls that were."""
    if stream in CALL_STREAMS:
        shard = CALL_STREAMS.index(Stream(stream))
        connection.execute(delete(calls).where(calls.c.sequence % SHARDS == shard))
        connection.execute(delete(call_names).where(~_NAMED_CALL.exists()))
        connection.execute(delete(call_users).where(~_CALL_OF_USER.exists()))
    elif stream == Stream.DIRECTORY:
        drop_records(connection)
    else:
        connection.execute(delete(locations))
    connection.execute(delete(offsets).where(offsets.c.stream == stream))


def _settle(future: asyncio.Future[None], fault: Exception | None) -> None:
    if future.done():
        return
    if fault is None:
        future.set_result(None)
    else:
        future.set_exception(fault)


def _location_key(change: LocationChange) -> Row:
    return {"its_domain": change.domain, "its_device": change.device, "its_contact_digest": change.contact_digest}


def _location_row(change: LocationChange) -> Row:
    return {
        "domain": change.domain,
        "device": change.device,
        "contact_digest": change.contact_digest,
        "expires_at": change.location.expires_at if change.location else 0.0,
        "body": _json(change.location),
    }


def _call_row(call: Call) -> Row:
    return {
        "domain": call.domain,
        "call_id": call.call_id,
        "session_id": call.session_id,
        "user": call.user,
        "owner": call.owner,
        "state": call.state.value,
        "is_over": call.is_over,
        "started_at": call.requested_at,
        "ended_at": max(call.ended_at, call.barred_until),
        "sequence": call.sequence,
        "body": _pack(call),
    }


def _name_row(name: LegName) -> Row:
    return {"domain": name.domain, "name": name.sip_call_id, "call_id": name.call_id}


def _user_row(one: TakesPart, prefix: str = "") -> Row:
    return {f"{prefix}domain": one.domain, f"{prefix}user": one.user, f"{prefix}call_id": one.call_id}
