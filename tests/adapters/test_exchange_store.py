"""The request history in its file: what is kept, how long, and what happens when it cannot be."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from ringbridge.adapters.exchanges import store as exchange_store
from ringbridge.adapters.exchanges.store import ExchangeSettings, ExchangeStore
from ringbridge.model.access import ANY, Principal, Scope
from ringbridge.model.errors import StoreUnavailable
from ringbridge.model.exchanges import Exchange, ExchangeQuery, Whose

ALL = ExchangeQuery(whose=Whose())


class Clock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time


def principal(domain: str = "demo", user: str = "1001", scope: Scope = Scope.BASIC_USER) -> Principal:
    return Principal("Yt5cXo2eQ8aL", domain, user, scope)


def exchange(clock: Clock, by: Principal | None = None, **changes: object) -> Exchange:
    one = Exchange(
        answered_at=clock.now(),
        seconds=0.25,
        operation="read-call",
        method="GET",
        path="/ns-api/v2/domains/~/users/~/calls/c1",
        query=b"",
        status=200,
        by=by or principal(),
        address="192.0.2.7",
        request_id="r-1",
        headers=((b"user-agent", b"crm/3.1"),),
        body=b"",
        body_size=0,
        answer_headers=((b"content-type", b"application/json"),),
        answer=b"{}",
        answer_size=2,
        tells_secrets=False,
    )
    return msgspec.structs.replace(one, **changes)


def settings(folder: Path, *, most_kept: int = 10_000, kept_s: float = 3600.0) -> ExchangeSettings:
    return ExchangeSettings(path=folder / "requests.db", node="n1", kept_s=kept_s, most_kept=most_kept, body_bytes=4096)


def bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("requests.db*"))


@asynccontextmanager
async def opened(its: ExchangeSettings, clock: Clock) -> AsyncIterator[ExchangeStore]:
    store = ExchangeStore(its, clock)
    try:
        yield store
    finally:
        await store.close()


async def test_what_was_added_is_read_back_newest_first_and_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(settings(tmp_path), clock) as store:
        for number in range(300):
            store.add(exchange(clock, path=f"/{number}"))
        assert await store.count(ALL) == 300
    async with opened(settings(tmp_path), clock) as store:
        store.add(exchange(clock, path="/last", body=b'{"a": 1}', body_size=8))
        page = await store.page(ALL, start=1, limit=3)
        assert [one.path for one in page] == ["/last", "/299", "/298"]
        assert [one.path for one in await store.page(ALL, start=300, limit=5)] == ["/1", "/0"]
        last = page[0]
        assert last == await store.one(last.id, ALL)
        assert (last.user_agent, last.scope, last.key_prefix, last.body.state) == (
            "crm/3.1",
            "Basic User",
            "nsu_",
            "whole",
        )
        assert last.asked_at == pytest.approx(clock.now() - 0.25, abs=0.01)
        assert await store.one(last.id, ExchangeQuery(whose=Whose({"other": 0.0}))) is None


@pytest.mark.parametrize(
    ("narrowed", "paths"),
    [
        ({"method": "POST"}, "b"),
        ({"path": "/A"}, ""),
        ({"path": "/b"}, "b"),
        ({"least_status": 400, "most_status": 499}, "c"),
        ({"key_id": "other"}, "d"),
        ({"operation": "list-users"}, "a"),
        ({"domain": "other"}, ""),
        ({"since": 1_800_000_020.0, "until": 1_800_000_030.0}, "dc"),
    ],
)
async def test_it_is_narrowed_by_every_filter(tmp_path: Path, narrowed: dict[str, object], paths: str) -> None:
    clock = Clock()
    other = Principal("other", "demo", "1001", Scope.BASIC_USER)
    async with opened(settings(tmp_path), clock) as store:
        for one in (
            exchange(clock, path="/a", operation="list-users"),
            exchange(clock, path="/b", method="POST", answered_at=clock.now() + 10),
            exchange(clock, path="/c", status=404, answered_at=clock.now() + 20),
            exchange(clock, other, path="/d", answered_at=clock.now() + 30),
        ):
            store.add(one)
        wanted = msgspec.structs.replace(ALL, **narrowed)
        assert "".join(one.path.strip("/") for one in await store.page(wanted, start=1, limit=9)) == paths
        assert await store.count(wanted) == len(paths)


async def test_whose_it_is_decides_who_finds_it(tmp_path: Path) -> None:
    clock = Clock()
    reseller = Principal("r", ANY, ANY, Scope.RESELLER, reseller="acme")
    async with opened(settings(tmp_path), clock) as store:
        for by in (
            principal(),
            principal(user="1002"),
            principal("other"),
            reseller,
            Principal("s", ANY, ANY, Scope.SUPER_USER),
        ):
            store.add(exchange(clock, by))
        for whose, total in (
            (Whose(), 5),
            (Whose({"demo": 0.0}), 2),
            (Whose({"demo": 0.0}, user="1002"), 1),
            (Whose({"other": 0.0, "none": 0.0}, reseller="acme"), 2),
            (Whose({}, reseller="acme"), 1),
            (Whose({}, reseller="*"), 1),
            (Whose(key_id="r"), 1),
            (Whose({}), 0),
            (Whose(most_rank=Scope.RESELLER.rank), 4),
            (Whose(most_rank=Scope.OFFICE_MANAGER.rank), 3),
            (Whose(most_rank=Scope.OFFICE_MANAGER.rank, own_key_id="s"), 4),
            (Whose({"demo": clock.now(), "other": clock.now() + 1}), 2),
            (Whose({"demo": clock.now() + 1, "other": 0.0}, reseller="acme"), 2),
        ):
            assert await store.count(ExchangeQuery(whose=whose)) == total, whose


async def test_a_path_is_looked_for_as_it_is_seen(tmp_path: Path) -> None:
    """Nobody finds the digits of a masked number one by one."""
    clock = Clock()
    async with opened(settings(tmp_path), clock) as store:
        store.add(exchange(clock, principal(scope=Scope.OFFICE_MANAGER), path="/phonenumbers/4570102030"))
        for rank, path, total in (
            (Scope.OFFICE_MANAGER.rank, "/4570102", 1),
            (Scope.BASIC_USER.rank, "/4570102", 0),
            (Scope.BASIC_USER.rank, "/45", 0),
            (Scope.BASIC_USER.rank, "phonenumbers/****", 1),
        ):
            assert await store.count(ExchangeQuery(whose=Whose(), rank=rank, path=path)) == total


async def test_what_is_too_old_is_neither_told_nor_left_in_the_file(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(settings(tmp_path, kept_s=60.0), clock) as store:
        store.add(exchange(clock))
        clock.time += 30
        store.add(exchange(clock))
        assert await store.count(ALL) == 2
        clock.time += 40
        assert await store.count(ALL) == 1
        clock.time += 60
        store.add(exchange(clock))
        assert await store.count(ALL) == 1
    with closing(sqlite3.connect(tmp_path / "requests.db")) as file:
        assert file.execute("SELECT count(*) FROM exchanges").fetchone() == (1,)


async def test_too_many_push_out_the_oldest_of_the_domain_that_has_the_most(tmp_path: Path) -> None:
    clock = Clock()
    its = settings(tmp_path, most_kept=1000)
    async with opened(its, clock) as store:
        for number in range(100):
            store.add(exchange(clock, principal("quiet"), path=f"/{number}"))
        for _ in range(4):
            for number in range(900):
                store.add(exchange(clock, principal("busy"), path=f"/{number}"))
            await store.count(ALL)
        assert await store.count(ALL) == 1000
        assert await store.count(ExchangeQuery(whose=Whose({"quiet": 0.0}))) == 100
        newest = await store.page(ExchangeQuery(whose=Whose({"busy": 0.0})), start=1, limit=1)
        assert newest[0].path == "/899"
    async with opened(msgspec.structs.replace(its, most_kept=150), clock) as store:
        store.add(exchange(clock, principal("new")))
        assert await store.count(ALL) == 150
        assert await store.count(ExchangeQuery(whose=Whose({"new": 0.0}))) == 1
        assert await store.count(ExchangeQuery(whose=Whose({"quiet": 0.0}))) > 0


async def test_a_full_queue_drops_and_counts_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_store, "QUEUE", 10)
    clock = Clock()
    async with opened(settings(tmp_path), clock) as store:
        blocker = sqlite3.connect(tmp_path / "requests.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")  # the writer waits for it, nobody else does
        for _ in range(40):
            store.add(exchange(clock))
        assert store.dropped["queue"] > 0
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await store.count(ALL) == 40 - store.dropped["queue"]


async def test_the_larger_bodies_are_the_fewer_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_store, "QUEUE_BYTES", 20 * 2 * 4097)
    clock = Clock()
    async with opened(settings(tmp_path), clock) as store:
        blocker = sqlite3.connect(tmp_path / "requests.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        for _ in range(100):
            store.add(exchange(clock))
        assert store.dropped["queue"] >= 100 - 2 * 20  # as many wait in the queue as the writer has in its hands
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await store.count(ALL) == 100 - store.dropped["queue"]


async def test_what_cannot_be_written_is_counted_and_later_requests_are_kept(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(settings(tmp_path), clock) as store:
        other = sqlite3.connect(tmp_path / "requests.db")
        other.execute("ALTER TABLE exchanges RENAME TO gone")
        other.commit()
        store.add(exchange(clock))
        with pytest.raises(StoreUnavailable):
            await store.count(ALL)
        assert store.dropped == {"queue": 0, "write": 1}
        other.execute("ALTER TABLE gone RENAME TO exchanges")
        other.commit()
        other.close()
        store.add(exchange(clock))
        assert await store.count(ALL) == 1
        assert store.dropped == {"queue": 0, "write": 1}


@pytest.mark.parametrize("found", [b"this is no database, but a text that is long enough" * 40, b""])
async def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path, found: bytes) -> None:
    (tmp_path / "requests.db").write_bytes(found)
    clock = Clock()
    async with opened(settings(tmp_path), clock) as store:
        store.add(exchange(clock))
        assert await store.count(ALL) == 1


async def test_a_file_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "requests.db")
    other.execute("CREATE TABLE exchanges (what TEXT)")
    other.execute("PRAGMA user_version=99")
    other.commit()
    other.close()
    async with opened(settings(tmp_path), Clock()) as store:
        assert await store.count(ALL) == 0


async def test_a_folder_where_no_file_can_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "requests.db").mkdir()
    with pytest.raises(OSError, match=r"requests\.db"):
        ExchangeStore(settings(tmp_path), Clock())


async def test_a_secret_is_not_even_in_the_file(tmp_path: Path) -> None:
    clock = Clock()
    key = "nsu_Yt5cXo2eQ8aLf0Gh7jKp3mRs6vWx9zBd1nTq4uEy5iOcA2rJ1c8f0a9d"
    body = b'{"password": "correct-horse"}'
    async with opened(settings(tmp_path), clock) as store:
        store.add(
            exchange(
                clock,
                path=f"/apikeys/{key}",
                headers=((b"user-agent", f"curl {key}".encode()),),
                query=b"access_token=correct-horse",
                body=body,
                body_size=len(body),
            )
        )
        kept = (await store.page(ALL, start=1, limit=1))[0]
        assert (kept.path, kept.user_agent) == ("/apikeys/[hidden]", "curl [hidden]")
    kept_bytes = bytes_in(tmp_path)
    assert b"hidden" in kept_bytes
    assert b"horse" not in kept_bytes
    assert key.encode() not in kept_bytes
