"""What only a store on disk has: files, steps, several connections."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, column, insert, select, table
from sqlalchemy.exc import SQLAlchemyError

import ringbridge.adapters.store.store
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.store.batch import Offset, RecordChange, StoreBatch
from ringbridge.adapters.store.cdr_rows import cdr_row, party_rows
from ringbridge.adapters.store.engine import HEAD, StoreTooNew, migrate, open_engine, sqlite_url, upgrade
from ringbridge.adapters.store.schema import cdr_parties, cdrs, metadata
from ringbridge.adapters.store.store import SqlStore
from ringbridge.model.directory import User
from tests.adapters.bus_calls import DOMAIN, TestClock
from tests.adapters.cdr_samples import cdr, outside


@pytest.mark.parametrize("make", [migrate, upgrade])
def test_the_steps_lead_to_the_tables_that_the_code_uses(tmp_path: Path, make: Callable[[Engine], object]) -> None:
    engine = open_engine(sqlite_url(tmp_path / "s.db"))
    make(engine)
    assert not migrate(engine)
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    scripts = ScriptDirectory(str(Path(ringbridge.adapters.store.__path__[0]) / "migrations"))
    assert scripts.get_heads() == [HEAD]


def check_that_cdrs_outlive_the_step_to_every_filter(engine: Engine) -> None:
    """Rows of the step before are those of this version once the steps behind it are gone."""
    upgrade(engine, "0007")
    some = [cdr("inside", orig_site="North"), cdr("out", started_at=2000.0, **outside("+4570203040"))]
    rows, parties = [cdr_row(one) for one in some], [row for one in some for row in party_rows(one)]
    with engine.begin() as connection:
        connection.execute(insert(cdrs), rows)
        for party in parties:
            names = ("domain", "user", "started_at", "id", "direction", "on_net", "seconds")
            before = table("cdr_parties", *map(column, names))
            connection.execute(insert(before), {name: party[name] for name in names})
    assert migrate(engine)
    with engine.connect() as connection:
        assert [row._asdict() for row in connection.execute(select(cdrs).order_by(cdrs.c.started_at))] == rows
        found = [row._asdict() for row in connection.execute(select(cdr_parties))]
    order = itemgetter("id", "user")
    assert sorted(found, key=order) == sorted(parties, key=order)


def test_cdrs_outlive_the_step_to_every_filter(tmp_path: Path) -> None:
    check_that_cdrs_outlive_the_step_to_every_filter(open_engine(sqlite_url(tmp_path / "s.db")))


def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "s.db"))
    migrate(engine)
    with sqlite3.connect(tmp_path / "s.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    with pytest.raises(StoreTooNew, match="9999"):
        migrate(engine)


async def test_what_was_applied_is_there_after_a_restart(tmp_path: Path) -> None:
    store = SqlStore.open(tmp_path / "s.db", TestClock())
    user = User(DOMAIN, "1001")
    await store.apply(
        StoreBatch(records=[RecordChange("user", user.key, user)], offsets={Stream.DIRECTORY: Offset("a", 3)})
    )
    await store.close()
    again = SqlStore.open(tmp_path / "s.db", TestClock())
    assert await again.user(DOMAIN, "1001") == user
    assert await again.offset(Stream.DIRECTORY) == Offset("a", 3)
    await again.close()


async def test_a_batch_that_cannot_be_written_is_not_written_at_all(tmp_path: Path) -> None:
    store = SqlStore.open(tmp_path / "s.db", TestClock())
    user = User(DOMAIN, "1001")
    change = RecordChange("user", user.key, user)
    too_large = {Stream.CALLS0: Offset("a", 2**80)}
    with pytest.raises((SQLAlchemyError, OverflowError)):
        await store.apply(StoreBatch(records=[change], offsets=too_large))  # type: ignore[arg-type] # str enum keys
    assert await store.user(DOMAIN, "1001") is None
    await store.apply(StoreBatch(records=[change]))
    assert await store.user(DOMAIN, "1001") == user
    await store.close()


async def test_reads_go_on_while_another_connection_writes(tmp_path: Path) -> None:
    store = SqlStore.open(tmp_path / "s.db", TestClock())
    blocker = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    user = User(DOMAIN, "1001")
    writing = asyncio.ensure_future(store.apply(StoreBatch(records=[RecordChange("user", user.key, user)])))
    async with asyncio.timeout(1):
        assert await store.user(DOMAIN, "1001") is None
    assert not writing.done()
    blocker.execute("COMMIT")
    blocker.close()
    await writing
    assert await store.user(DOMAIN, "1001") == user
    await store.close()


def test_a_login_name_is_found_by_its_index(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "store.db"))
    migrate(engine)
    with engine.connect() as connection:
        sql = "SELECT body FROM records WHERE kind = 'user' AND parent <> '' AND parent = 'ada' LIMIT 2"
        plan = " ".join(str(row) for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + sql))
    engine.dispose()
    assert "users_by_login" in plan


async def test_names_that_nobody_has_push_nothing_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ringbridge.adapters.store.store, "KEPT_MISSES", 10)
    store = SqlStore.open(tmp_path / "s.db", TestClock())
    user = User(DOMAIN, "1001")
    await store.apply(StoreBatch(records=[RecordChange("user", user.key, user)]))
    known = await store.user(DOMAIN, "1001")
    for number in range(25):
        assert await store.user(DOMAIN, f"45{number:08}") is None
    assert await store.user(DOMAIN, "1001") is known
    assert len(store._missing) <= 10
    await store.close()
