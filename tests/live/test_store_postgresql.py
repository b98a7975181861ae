"""The store on PostgreSQL: the same contract, test for test, and what only a server can do: go away and come back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import Connection, event, insert

from ringbridge.adapters.store.batch import ReplicaStore, StoreBatch
from ringbridge.adapters.store.cdr_lists import page_statement, shape_of, values_of
from ringbridge.adapters.store.cdr_rows import cdr_row, party_rows
from ringbridge.adapters.store.cdrs import read_page
from ringbridge.adapters.store.engine import migrate, open_engine, upgrade
from ringbridge.adapters.store.schema import cdr_parties, cdrs, metadata
from ringbridge.adapters.store.store import SqlStore
from ringbridge.model.cdr_query import CdrQuery
from ringbridge.model.directory import User
from ringbridge.model.errors import StoreUnavailable
from tests.adapters import test_store, test_store_cdrs
from tests.adapters.bus_calls import DOMAIN, TestClock
from tests.adapters.cdr_samples import cdr
from tests.adapters.test_store import put
from tests.adapters.test_store_cdrs import DEMO, LISTS, list_name, names
from tests.adapters.test_store_sqlite import check_that_cdrs_outlive_the_step_to_every_filter
from tests.live.node import document, node, user
from tests.live.postgres import new_database, postgres

NUMBERS = itertools.count(1)

# Every test of the contract is collected here too, with the fixtures of this file.
globals().update({name: test for name, test in vars(test_store).items() if name.startswith("test_")})
test_histories = test_store_cdrs.test_a_user_s_history_has_what_was_made_answered_and_missed
test_filters = test_store_cdrs.test_filters_find_a_number_however_it_is_written
test_pages = test_store_cdrs.test_pages_by_place_and_by_number_are_the_same
test_sql_finds_what_is_meant = test_store_cdrs.test_sql_finds_what_is_meant


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def url(server: str) -> str:
    return new_database(server, f"store{next(NUMBERS)}")


@pytest.fixture
async def store(url: str, clock: TestClock) -> AsyncIterator[ReplicaStore]:
    made = SqlStore.open_url(url, clock)
    yield made
    await made.close()


@pytest.fixture(scope="module")
def connection(server: str) -> Iterator[Connection]:
    engine = open_engine(new_database(server, "agree"))
    migrate(engine)
    with engine.connect() as one:
        yield one
    engine.dispose()


@pytest.mark.parametrize("make", [migrate, upgrade])
def test_the_steps_lead_to_the_tables_that_the_code_uses(url: str, make: object) -> None:
    engine = open_engine(url)
    (migrate if make is migrate else upgrade)(engine)
    assert not migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_cdrs_outlive_the_step_to_every_filter(url: str) -> None:
    engine = open_engine(url)
    check_that_cdrs_outlive_the_step_to_every_filter(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def filled(connection: Connection) -> Connection:
    """Return the connection with as many rows as make an index worth it, and as few as a test has time for."""
    some = [
        cdr(
            f"{number:05}",
            started_at=float(number),
            dialled=str(number),
            domain=domain,
            term_domain=domain,
            orig_site=f"Site {number % 40}",
            orig_user=str(1000 + number % 300) if number % 3 else "",
            answered_at=float(number % 2),
        )
        for number in range(12_000)
        for domain in [f"d{number % 50}" if number % 20 else "demo"]
    ]
    connection.execute(insert(cdrs), [cdr_row(one) for one in some])
    connection.execute(insert(cdr_parties), [row for one in some for row in party_rows(one)])
    connection.commit()
    connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
    return connection


@pytest.mark.parametrize(("query", "index"), LISTS, ids=list_name)
def test_a_list_is_read_from_an_index_in_its_order(filled: Connection, query: CdrQuery, index: str) -> None:
    statement = page_statement(shape_of(query, domains=query.domains is not None))
    values = values_of(query) | {"domain": "demo", "limit": 100, "skip": 0}
    explained: list[str] = []

    def explain(_: object, cursor: psycopg.Cursor, sql: str, parameters: dict[str, object], *__: object) -> None:
        explained.extend(row[0] for row in cursor.connection.execute(f"EXPLAIN {sql}".encode(), parameters))

    event.listen(filled, "before_cursor_execute", explain)
    try:
        filled.execute(statement, values)
    finally:
        event.remove(filled, "before_cursor_execute", explain)
    plan = "\n".join(explained)
    assert "Index Only Scan" in plan, plan
    assert {"cdr_parties": "cdr_parties_pkey"}.get(index, index) in plan, plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("filters", [{}, {"caller": "1001"}, {"caller": "1001", "site": "Site 9"}], ids=str)
def test_a_list_of_many_domains_asks_the_server_a_few_times(filled: Connection, filters: dict[str, str]) -> None:
    """And finds what asking each domain finds."""
    asked: list[str] = []

    def count(_: object, __: object, sql: str, *___: object) -> None:
        asked.append(sql)

    domains = ("demo", *(f"d{number}" for number in range(50)))
    query = CdrQuery(domains=domains, **filters)  # type: ignore[arg-type] # fields by name
    event.listen(filled, "before_cursor_execute", count)
    try:
        page = read_page(filled, query=query, limit=100)
    finally:
        event.remove(filled, "before_cursor_execute", count)
    assert len(asked) <= 3
    each = [
        one for domain in domains for one in read_page(filled, query=replace(query, domains=(domain,)), limit=100).cdrs
    ]
    assert page.cdrs == sorted(each, key=lambda one: (one.started_at, one.id), reverse=True)[:100]


@pytest.mark.parametrize("user", [None, "1001"], ids=["domain", "user"])
def test_a_site_that_no_call_has_passes_over_none(filled: Connection, user: str | None) -> None:
    query = CdrQuery(domains=("demo",), user=user, caller="1001", site="nowhere")
    ran: list[str] = []

    def explain(_: object, cursor: psycopg.Cursor, sql: str, parameters: dict[str, object], *__: object) -> None:
        ran.extend(row[0] for row in cursor.connection.execute(f"EXPLAIN ANALYZE {sql}".encode(), parameters))

    event.listen(filled, "before_cursor_execute", explain)
    try:
        assert read_page(filled, query=query, limit=100).cdrs == []
    finally:
        event.remove(filled, "before_cursor_execute", explain)
    by_caller = [step for step in ran if "_by_caller" in step]
    assert by_caller
    assert all("never executed" in step or "rows=0 " in step for step in by_caller)


async def test_a_server_that_went_away_is_found_again(store: ReplicaStore, server: str) -> None:
    user = User(DOMAIN, "1001")
    await store.apply(put(user))
    await store.apply(StoreBatch(cdrs=[cdr("a")]))
    assert await store.records("user") == [user]
    assert names(await store.cdrs(DEMO, limit=1)) == ["a"]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'store%'")
    with pytest.raises(StoreUnavailable):
        await store.records("user")
    assert await store.records("user") == [user]
    with pytest.raises(StoreUnavailable):
        await store.apply(StoreBatch(cdrs=[cdr("b", started_at=2000.0)]))
    await store.apply(StoreBatch(cdrs=[cdr("b", started_at=2000.0)]))
    found: list[str] = []
    for _ in range(10):  # each reader's thread finds out for itself
        try:
            found = names(await store.cdrs(DEMO, limit=2))
        except StoreUnavailable:
            await asyncio.sleep(0)
    assert found == ["b", "a"]


def test_a_server_that_is_not_there_is_said_to_be_so(clock: TestClock) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SqlStore.open_url("postgresql://ringbridge:secret@127.0.0.1:1/none", clock)


async def test_a_node_runs_on_it(url: str) -> None:
    async with node(document(users=[user("1001")]), settings={"store.url": url}) as (one, api):
        assert await api.cdrs() == []
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT count(*) FROM records WHERE kind = 'user'").fetchone()
        assert found == (2,)
        assert not (one.data / "ringbridge.db").exists()
        assert one.faults() == []
