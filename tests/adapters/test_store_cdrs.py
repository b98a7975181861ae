"""Lists and counts of CDRs: the store in memory says plainly what is meant, and SQL finds the same."""

from __future__ import annotations

import asyncio
import itertools
import math
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict
from sqlalchemy import Connection, Executable, event, insert

from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.store.batch import ReplicaStore, StoreBatch
from ringbridge.adapters.store.cdr_lists import page_statement, shape_of, totals_statement, values_after, values_of
from ringbridge.adapters.store.cdr_rows import cdr_row, party_rows
from ringbridge.adapters.store.cdrs import read_page, read_totals
from ringbridge.adapters.store.engine import migrate, open_engine, sqlite_url
from ringbridge.adapters.store.readers import StoreReaders
from ringbridge.adapters.store.schema import cdr_parties, cdrs
from ringbridge.adapters.store.store import SqlStore
from ringbridge.model.cdr import Cdr, Direction
from ringbridge.model.cdr_query import CdrPage, CdrQuery, CdrTotals, Place
from ringbridge.model.errors import StoreUnavailable
from ringbridge.model.ids import DomainName, SessionId
from tests.adapters.bus_calls import TestClock
from tests.adapters.cdr_samples import cdr, outside

DEMO = CdrQuery(domains=("demo",))


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ReplicaStore]:
    made: ReplicaStore = (
        MemoryStore(TestClock()) if request.param == "memory" else SqlStore.open(tmp_path / "s.db", TestClock())
    )
    yield made
    await made.close()


def names(page: CdrPage) -> list[str]:
    return [one.call_id for one in page.cdrs]


async def found(store: ReplicaStore, **query: object) -> list[str]:
    return names(await store.cdrs(CdrQuery(**{"domains": ("demo",)} | query), limit=100))  # type: ignore[arg-type] # fields by name


async def test_a_user_s_history_has_what_was_made_answered_and_missed(store: ReplicaStore) -> None:
    await store.apply(
        StoreBatch(
            cdrs=[
                cdr("answered", started_at=5.0),
                cdr("missed", started_at=4.0, answered_at=0.0),
                cdr("never-rung", started_at=3.0, answered_at=0.0, term_sip_call_id=""),
                cdr("out", started_at=2.0, **outside("4570203040")),
                cdr("for-another", started_at=1.0, user="1003", orig_user="1001"),
            ]
        )
    )
    assert await found(store, user="1001") == ["answered", "missed", "never-rung", "out", "for-another"]
    assert await found(store, user="1002") == ["answered", "missed", "for-another"]
    assert await found(store, user="1003") == ["for-another"]
    assert await found(store, user="1002", directions=frozenset({Direction.MISSED})) == ["missed"]
    assert await found(store, user="1001", directions=frozenset({Direction.INBOUND})) == []
    assert await found(store, user="1001", on_net=False) == ["out"]
    assert await found(store, domains=("other",), user="1001") == []


async def test_filters_find_a_number_however_it_is_written(store: ReplicaStore) -> None:
    mobile = {"orig_user": "", "orig_uri": "sip:+4531000000@carrier.example"}
    await store.apply(
        StoreBatch(
            cdrs=[
                cdr("out", started_at=3.0, **outside("+4570203040")),
                cdr("mobile", started_at=2.0, **mobile),
                cdr("inside", started_at=1.0, orig_site="North", term_site="South"),
            ]
        )
    )
    assert await found(store, dialled="4570203040") == ["out"]
    assert await found(store, caller="4531000000") == ["mobile"]
    assert await found(store, caller="1001") == ["out", "inside"]
    assert await found(store, user="1001", caller="1001", dialled="1002") == ["inside"]
    assert await found(store, site="South") == ["inside"]
    assert await found(store, user="1002", site="North") == ["inside"]
    assert await found(store, domains=None, caller="4531000000") == ["mobile"]
    assert await found(store, directions=frozenset({Direction.ON_NET})) == ["inside"]
    assert await found(store, on_net=False) == ["out", "mobile"]
    assert await store.count_cdrs(CdrQuery(caller="1001")) == CdrTotals(2, 20)


async def test_pages_by_place_and_by_number_are_the_same(store: ReplicaStore) -> None:
    """Many calls of one moment: their ids order them."""
    await store.apply(StoreBatch(cdrs=[cdr(f"{number:02}", started_at=float(number // 7)) for number in range(30)]))
    whole = names(await store.cdrs(DEMO, limit=100))
    assert whole == [f"{number:02}" for number in range(29, -1, -1)]
    place: Place | None = None
    walked: list[str] = []
    for skip in range(0, 30, 7):
        page = await store.cdrs(DEMO, limit=7, after=place)
        assert names(page) == names(await store.cdrs(DEMO, limit=7, skip=skip))
        assert page.more == (skip < 28 - 7 + 7 and skip + 7 < 30)
        walked += names(page)
        place = page.last
    assert walked == whole
    assert await store.cdrs(DEMO, limit=7, skip=30) == CdrPage([], None, more=False)


DOMAINS = ("a", "b", "c")
TEXT = st.sampled_from(["1", "2", "3"])
CDRS = st.builds(
    cdr,
    st.uuids().map(lambda one: one.hex[:6]),
    domain=st.sampled_from(DOMAINS),
    user=TEXT,
    orig_user=st.sampled_from(["", "1", "2"]),
    orig_domain=st.just(""),
    term_user=st.sampled_from(["", "2", "3"]),
    term_domain=st.sampled_from(["", "b"]),
    term_sip_call_id=st.sampled_from(["", "t1"]),
    dialled=TEXT,
    started_at=st.integers(0, 5).map(float),
    answered_at=st.sampled_from([0.0, 9.0]),
    total_s=st.floats(0, 100),
    orig_site=st.sampled_from(["", "N"]),
    term_site=st.sampled_from(["", "N", "S"]),
)
QUERIES = st.builds(
    CdrQuery,
    domains=st.one_of(st.none(), st.sets(st.sampled_from(DOMAINS)).map(lambda some: tuple(sorted(some)))),
    since=st.integers(0, 3).map(float),
    until=st.sampled_from([2.0, 4.0, math.inf]),
    directions=st.one_of(st.none(), st.sets(st.sampled_from(list(Direction)), min_size=1).map(frozenset)),
    on_net=st.sampled_from([None, True, False]),
    caller=st.sampled_from(["", "1"]),
    dialled=st.sampled_from(["", "2"]),
    site=st.sampled_from(["", "N"]),
)
USER_QUERIES = st.builds(
    lambda query, domain, user: CdrQuery(
        domains=(domain,),
        user=user,
        since=query.since,
        until=query.until,
        directions=query.directions,
        on_net=query.on_net,
        caller=query.caller,
        dialled=query.dialled,
        site=query.site,
    ),
    QUERIES,
    st.sampled_from(DOMAINS),
    TEXT,
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    engine = open_engine(sqlite_url(tmp_path_factory.mktemp("agree") / "s.db"))
    migrate(engine)
    with engine.connect() as one:
        yield one


@settings(max_examples=60)
@given(
    some=st.lists(CDRS, max_size=12, unique_by=lambda one: one.id),
    query=st.one_of(QUERIES, USER_QUERIES),
    limit=st.integers(1, 5),
    skip=st.integers(0, 4),
)
def test_sql_finds_what_is_meant(
    connection: Connection, some: list[Cdr], query: CdrQuery, limit: int, skip: int
) -> None:
    plain = MemoryStore(TestClock())
    asyncio.run(plain.apply(StoreBatch(cdrs=some)))
    meant = asyncio.run(plain.cdrs(query, limit=limit, skip=skip))
    onward = asyncio.run(plain.cdrs(query, limit=limit, after=meant.last))
    if some:
        connection.execute(insert(cdrs), [cdr_row(one) for one in some])
        connection.execute(insert(cdr_parties), [row for one in some for row in party_rows(one)])
    try:
        assert read_page(connection, query=query, limit=limit, skip=skip) == meant
        assert read_page(connection, query=query, limit=limit, after=meant.last) == onward
        assert read_totals(connection, query=query) == asyncio.run(plain.count_cdrs(query))
        assert read_totals(connection, query=query, at_most=3).total == min(
            3, read_totals(connection, query=query).total
        )
    finally:
        connection.rollback()


MISSED, RECEIVED = frozenset({Direction.MISSED}), frozenset({Direction.MISSED, Direction.INBOUND})
LISTS: list[tuple[CdrQuery, str]] = [
    (CdrQuery(), "cdrs_by_time"),
    (CdrQuery(directions=MISSED), "cdrs_by_direction_of_all"),
    (CdrQuery(on_net=False), "cdrs_by_direction_of_all"),
    (DEMO, "cdrs_of_domain"),
    (CdrQuery(domains=("demo",), until=9.0), "cdrs_of_domain"),
    (CdrQuery(domains=("demo",), directions=MISSED), "cdrs_by_direction"),
    (CdrQuery(domains=("demo",), directions=RECEIVED), "cdrs_by_direction"),
    (CdrQuery(domains=("demo",), on_net=True), "cdrs_by_direction"),
    (CdrQuery(domains=("demo",), on_net=False), "cdrs_by_direction"),
    (CdrQuery(domains=("demo",), caller="1001"), "cdrs_by_caller"),
    (CdrQuery(domains=("demo",), caller="1001", directions=RECEIVED), "cdrs_by_caller"),
    (CdrQuery(domains=("demo",), caller="1001", dialled="1002", site="N"), "cdrs_by_dialled"),
    (CdrQuery(domains=("demo",), caller="1001", site="N"), "cdrs_by_caller"),
    (CdrQuery(domains=("demo",), dialled="1002"), "cdrs_by_dialled"),
    (CdrQuery(domains=("demo",), dialled="1002", site="N"), "cdrs_by_dialled"),
    (CdrQuery(domains=("demo",), site="N"), "cdrs_by_"),
    (CdrQuery(domains=("demo",), site="N", directions=RECEIVED), "cdrs_by_"),
    (CdrQuery(domains=("demo",), user="1001"), "cdr_parties"),
    (CdrQuery(domains=("demo",), user="1001", site="N"), "cdr_parties_by_"),
    (CdrQuery(domains=("demo",), user="1001", directions=MISSED), "cdr_parties_by_direction"),
    (CdrQuery(domains=("demo",), user="1001", on_net=False), "cdr_parties_by_direction"),
    (CdrQuery(domains=("demo",), user="1001", site="N", directions=RECEIVED), "cdr_parties_by_"),
    (CdrQuery(domains=("demo",), user="1001", caller="1002"), "cdr_parties_by_caller"),
    (CdrQuery(domains=("demo",), user="1001", caller="1002", dialled="1001", site="N"), "cdr_parties_by_dialled"),
    (CdrQuery(domains=("demo",), user="1001", dialled="1002", directions=RECEIVED), "cdr_parties_by_dialled"),
]
"""What can be asked for, and the beginning of the index that it is read from."""


def list_name(one: object) -> str:
    """Return a test's name: what a query asks for."""
    if not isinstance(one, CdrQuery):
        return str(one)
    return ",".join(f"{name}={value}" for name, value in asdict(one).items() if value not in (None, "", 0.0, math.inf))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    engine = open_engine(sqlite_url(tmp_path_factory.mktemp("plans") / "s.db"))
    migrate(engine)
    with engine.connect() as one:
        yield one


@pytest.mark.parametrize(("query", "index"), LISTS, ids=list_name)
@pytest.mark.parametrize("after", [None, Place(5.0, "s-1")], ids=["first", "next"])
def test_a_list_is_read_from_an_index_alone_and_never_sorted(
    empty: Connection, query: CdrQuery, index: str, after: Place | None
) -> None:
    shape = shape_of(query, domains=query.domains is not None, after=after is not None)
    values = values_of(query) | values_after(after) | {"domain": "demo", "limit": 100, "skip": 0}
    steps = plan_of(empty, page_statement(shape), values)
    reads = [step for step in steps if not step.startswith(("MERGE", "LEFT", "RIGHT", "SCALAR SUBQUERY"))]
    assert reads
    for step in reads:
        assert "SEARCH" in step
        if " sited " in step:
            assert "_site (" in step
            continue
        assert f"INDEX {index}" in step or (index == "cdr_parties" and "USING PRIMARY KEY (domain" in step)
        assert "COVERING INDEX" in step or "PRIMARY KEY" in step
    counted = totals_statement(shape_of(query, domains=query.domains is not None), is_limited=True)
    steps = plan_of(empty, counted, values | {"domains": query.domains, "at_most": 100})
    assert [step for step in steps if "SCAN cdr" in step or "USE TEMP" in step] == []
    assert all("COVERING" in step or "PRIMARY KEY" in step for step in steps if "SEARCH" in step)


def plan_of(connection: Connection, statement: Executable, values: dict[str, object]) -> list[str]:
    """Return the steps of SQLite's plan for a statement."""
    explained: list[str] = []

    def explain(_: object, cursor: sqlite3.Cursor, sql: str, parameters: Sequence[object], *__: object) -> None:
        explained.extend(row[-1] for row in cursor.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters))

    event.listen(connection, "before_cursor_execute", explain)
    try:
        connection.execute(statement, values)
    finally:
        event.remove(connection, "before_cursor_execute", explain)
    return explained


@pytest.mark.parametrize("user", [None, "1001"], ids=["domain", "user"])
def test_a_site_that_no_call_has_passes_over_none(connection: Connection, user: str | None) -> None:
    """However many calls have the caller that is asked for beside it."""
    some = [cdr(f"{number:04}", started_at=float(number), orig_site="N") for number in range(2000)]
    connection.execute(insert(cdrs), [cdr_row(one) for one in some])
    connection.execute(insert(cdr_parties), [row for one in some for row in party_rows(one)])
    try:
        found = [
            steps_of(connection, CdrQuery(domains=("demo",), user=user, caller="1001", site=site)) for site in "NS"
        ]
        assert [page.more for page, _ in found] == [True, False]
        assert found[1][1] < found[0][1] < 2000
    finally:
        connection.rollback()


def steps_of(connection: Connection, query: CdrQuery) -> tuple[CdrPage, int]:
    """Return a short page, and the steps in tens that SQLite's machine went for it."""
    driver: Any = connection.connection.dbapi_connection
    steps = itertools.count()
    driver.set_progress_handler(lambda: next(steps) < 0, 10)
    page = read_page(connection, query=query, limit=3)
    driver.set_progress_handler(None, 0)
    return page, next(steps)


async def test_a_record_that_cannot_be_read_stops_no_list(tmp_path: Path) -> None:
    store = SqlStore.open(tmp_path / "s.db", TestClock())
    await store.apply(StoreBatch(cdrs=[cdr("a", started_at=3.0), cdr("b", started_at=2.0), cdr("c", started_at=1.0)]))
    with sqlite3.connect(tmp_path / "s.db") as other:
        other.execute("UPDATE cdrs SET body = x'ff' WHERE id = 's-b'")
    other.close()
    page = await store.cdrs(DEMO, limit=2)
    assert names(page) == ["a"]
    assert (page.more, page.last) == (True, Place(2.0, "s-b"))
    assert names(await store.cdrs(DEMO, limit=2, after=page.last)) == ["c"]
    await store.close()


async def test_a_count_of_millions_leaves_the_event_loop_free(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "s.db"))
    readers = StoreReaders(engine)
    asked, answered = threading.Event(), threading.Event()

    def slow(_: Connection) -> int:
        asked.set()
        assert answered.wait(5)
        return 7

    reading = asyncio.ensure_future(readers.run(slow, slow=True))
    while not asked.is_set():  # noqa: ASYNC110 - the event is a thread's
        await asyncio.sleep(0.001)
    assert not reading.done()
    assert await readers.run(lambda connection: connection.exec_driver_sql("SELECT 1").scalar()) == 1
    answered.set()
    assert await reading == 7
    readers.stop()


async def test_a_read_ends_by_its_deadline(tmp_path: Path) -> None:
    readers = StoreReaders(open_engine(sqlite_url(tmp_path / "s.db")), deadline_s=0.05)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(StoreUnavailable, match="too long"):
        await readers.run(lambda connection: connection.exec_driver_sql(endless).scalar())
    assert await readers.run(lambda connection: connection.exec_driver_sql("SELECT 1").scalar()) == 1
    readers.stop()


async def test_a_store_that_cannot_be_read_is_said_to_be_so_and_tried_again(tmp_path: Path) -> None:
    store = SqlStore.open(tmp_path / "s.db", TestClock())
    await store.apply(StoreBatch(cdrs=[cdr("a")]))
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("ALTER TABLE cdrs RENAME TO elsewhere")
    with pytest.raises(StoreUnavailable):
        await store.cdrs(DEMO, limit=1)
    with pytest.raises(StoreUnavailable):
        await store.cdr(DomainName("demo"), SessionId("s-a"))
    with pytest.raises(StoreUnavailable, match="written"):
        await store.apply(StoreBatch(cdrs=[cdr("b", started_at=1.0)]))
    other.execute("ALTER TABLE elsewhere RENAME TO cdrs")
    other.close()
    await store.apply(StoreBatch(cdrs=[cdr("b", started_at=1.0)]))
    assert names(await store.cdrs(DEMO, limit=9)) == ["a", "b"]
    assert await store.cdr(DomainName("demo"), SessionId("s-a")) == cdr("a")
    await store.close()
