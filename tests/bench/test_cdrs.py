"""The year of CDRs that a measurement stands on is what the store's own code would have written."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from ringbridge.adapters.store.cdr_rows import cdr_of_body, cdr_row, party_rows
from ringbridge.adapters.store.engine import open_engine, sqlite_url
from ringbridge.adapters.store.schema import cdr_parties, cdrs, metadata
from ringbridge.bench.cdr_indexes import indexes_of, query_of
from ringbridge.bench.cdrs import YEAR_S, fill


def test_the_rows_of_a_measurement_are_the_store_s_own(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "s.db"))
    fill(engine, 200, now=1_800_000_000.0)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        rows = [row._asdict() for row in connection.execute(select(cdrs).order_by(cdrs.c.started_at))]
        parties = [row._asdict() for row in connection.execute(select(cdr_parties))]
    assert len(rows) == 200
    assert rows[0]["started_at"] == 1_800_000_000.0 - YEAR_S
    found = [cdr_of_body(row["body"]) for row in rows]
    assert [cdr_row(one) for one in found] == rows
    expected = [row for one in found for row in party_rows(one)]
    assert sorted(parties, key=lambda row: (row["id"], row["user"])) == sorted(
        expected, key=lambda row: (row["id"], row["user"])
    )
    engine.dispose()


def test_a_measurement_tells_the_indexes_of_a_page(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "s.db"))
    fill(engine, 200, now=1_800_000_000.0)

    def told(user: str | None = None, **filters: str) -> str:
        return indexes_of(engine, query_of(filters, domains=("bench",), user=user, since=0.0))

    assert told() == "cdrs_of_domain"
    assert told(user="1000") == "key"
    assert told(type="Missed") == "cdrs_by_direction"
    assert told(user="1000", caller="1001", type="On-net") == "cdr_parties_by_caller"
    assert told(site="Site 7") == "cdrs_by_orig_site cdrs_by_term_site"
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX cdrs_by_direction")
        connection.exec_driver_sql("DROP INDEX cdrs_of_domain")
    assert "cdrs_by_direction" not in told(type="Missed").split()
    engine.dispose()
