"""A year of CDRs in the store, and how long the API takes for pages, counts and exports of it.

The rows are written straight into the store's tables, as its own code makes them, with the indexes made afterwards;
then a node serves them. Half of all calls are one domain's, and a tenth of those one user's; a fifth are of a domain
that only ever calls out; the rest are of the many domains of a reseller. Every filter is asked of all of them, by a
reseller, of a domain and of a user, where it finds much and where it finds nothing.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import msgspec
from sqlalchemy import Connection, Engine, Table, text

from ringbridge.adapters.store.cdr_rows import cdr_row, pack_cdr, party_rows
from ringbridge.adapters.store.engine import migrate, open_engine, sqlite_url
from ringbridge.adapters.store.schema import cdr_parties, cdrs
from ringbridge.adapters.store.statements import Row
from ringbridge.bench.cdr_indexes import indexes_of, query_of
from ringbridge.bench.stand import DOMAIN, solo
from ringbridge.model.cdr import Cdr
from ringbridge.model.release import HUNG_UP, RING_TIMEOUT

YEAR_S = 365 * 86_400.0
BATCH = 20_000
TEMPLATES = 20_000
OUTGOING = "outgoing.example"
RESELLER = "bench-reseller"
RESOLD = tuple(f"d{number}.example" for number in range(200))
USERS = 500
SITES = 50
BUSY_USER = "1000"
PLACES = ("all", "reseller", "domain", "calls out", "user")
"""Whose lists are asked for: everybody's, of a reseller of 200 domains, of a domain with half of all calls, of one with
a fifth that only calls out, of a user with a twentieth."""
_WHOSE: dict[str, tuple[tuple[str, ...] | None, str | None]] = {
    "all": (None, None),
    "reseller": (RESOLD, None),
    "domain": ((DOMAIN,), None),
    "calls out": ((OUTGOING,), None),
    "user": ((DOMAIN,), BUSY_USER),
}
REPEATS = 20
ENOUGH_MS = 1000.0
"""What takes longer is not asked twenty times."""
CSV_ROWS = 20_000
UNSORTED = "bench_unsorted"
Line: TypeAlias = tuple[Any, ...]

_COLUMNS = {table.name: [column.name for column in table.columns] for table in (cdrs, cdr_parties)}
_CHANGING = {
    name: [columns.index(one) for one in ("started_at", "id", "body") if one in columns]
    for name, columns in _COLUMNS.items()
}
"""Where the columns stand in which no two rows of a template agree."""


class Timing(msgspec.Struct, frozen=True):
    """What one request took, in milliseconds, the first time and then."""

    place: str
    """Whose list it was."""
    name: str
    """What was asked of it."""
    first_ms: float
    p50_ms: float
    max_ms: float
    status: int


class CdrResult(msgspec.Struct, frozen=True):
    """What was measured."""

    rows: int
    filled_s: float
    timings: list[Timing]
    indexes: dict[str, dict[str, str]]
    """By filter and place: which indexes a page is found by."""
    csv_rows_per_s: float


def _templates(chance: random.Random) -> list[Cdr]:
    """Return calls of all kinds that begin at 0."""
    return [_template(chance) for _ in range(TEMPLATES)]


def _template(chance: random.Random) -> Cdr:
    busy = chance.random()
    domain = DOMAIN if busy < 0.5 else OUTGOING if busy < 0.7 else chance.choice(RESOLD)
    user = BUSY_USER if busy < 0.05 else str(1001 + chance.randrange(USERS))
    colleague, outside = str(1001 + chance.randrange(USERS)), f"45{chance.randrange(20_000_000, 99_999_999)}"
    kind = 1.0 if domain == OUTGOING else chance.random()
    # Between two users, from outside to a user, or from a user to the outside.
    orig, term = (user, colleague) if kind < 0.2 else ("", user) if kind < 0.4 else (user, "")
    answered = chance.random() < 0.7
    seconds = chance.expovariate(1 / 120) if answered else 20.0
    return Cdr(
        id="",
        domain=domain,
        user=user,
        call_id="",
        started_at=0.0,
        ringing_at=2.0,
        orig_answered_at=2.0,
        answered_at=6.0 if answered else 0.0,
        ended_at=6 + seconds,
        talking_s=seconds if answered else 0.0,
        total_s=6 + seconds,
        held_s=0.0,
        cause=HUNG_UP if answered else RING_TIMEOUT,
        ended_by="origination" if answered else "termination",
        disconnect_reason_text="Orig: Bye" if answered else "Term: No Answer",
        orig_user=orig,
        orig_uri=f"sip:{orig or outside}@{domain}",
        orig_caller_id=term or outside,
        orig_sip_call_id="o",
        term_user=term,
        term_uri=f"sip:{term or outside}@{domain}",
        term_caller_id="4570101010",
        term_sip_call_id="t",
        dialled=term or outside,
        codec="PCMU",
        node="bench",
        orig_domain=domain if orig else "",
        orig_name="Ada Lovelace",
        orig_host="192.0.2.1",
        orig_media="192.0.2.1:4000",
        term_domain=domain if term else "",
        term_host="192.0.2.2",
        asked=term or outside,
        application="call",
        orig_site=_site(orig),
        term_site=_site(term),
    )


def _site(user: str) -> str:
    return f"Site {int(user) % SITES}" if user else ""


def samples(rows: int, *, now: float) -> Iterator[tuple[Line, list[Line]]]:
    """Return the rows of a year of calls, oldest first: of each the CDR's and its parties'.

    Only what tells one call from another is made for each; the rest is a template's, so that ten million take minutes.
    """
    chance = random.Random(1)  # noqa: S311 - sample data
    templates = [
        (one, _template_line(cdrs, cdr_row(one)), [_template_line(cdr_parties, row) for row in party_rows(one)])
        for one in _templates(chance)
    ]
    for number in range(rows):
        one, row, parties = templates[chance.randrange(TEMPLATES)]
        at, its_id = now - YEAR_S + YEAR_S * number / rows, f"{number:08x}{chance.getrandbits(96):024x}"
        body = pack_cdr(
            msgspec.structs.replace(
                one,
                id=its_id,
                call_id=f"click-{number:x}",
                started_at=at,
                ringing_at=at + one.ringing_at,
                orig_answered_at=at + one.orig_answered_at,
                answered_at=at + one.answered_at if one.answered_at else 0.0,
                ended_at=at + one.ended_at,
            )
        )
        changed = (at, its_id, body)
        yield _line(cdrs, row, changed), [_line(cdr_parties, party, changed) for party in parties]


def _template_line(table: Table, row: Row) -> Line:
    return tuple(row[name] for name in _COLUMNS[table.name])


def _line(table: Table, template: Line, changed: tuple[float, str, bytes]) -> Line:
    """Return a template's row with the start, id and body of one call."""
    line = list(template)
    for place, value in zip(_CHANGING[table.name], changed, strict=False):
        line[place] = value
    return tuple(line)


def fill(engine: Engine, rows: int, *, now: float) -> None:
    """Write `rows` CDRs into new tables."""
    migrate(engine)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA cache_size = -1000000")
            connection.exec_driver_sql("PRAGMA synchronous = OFF")
        indexes = [*cdrs.indexes, *cdr_parties.indexes]
        for index in indexes:
            index.drop(connection)
        # Parties are written in the order of their key, once all are there: a b-tree that is filled anywhere is slow.
        connection.execute(text(f"CREATE TABLE {UNSORTED} AS SELECT * FROM cdr_parties WHERE 1 = 0"))  # noqa: S608 - ours
        connection.commit()
        lines = samples(rows, now=now)
        while batch := list(itertools.islice(lines, BATCH)):
            _insert(connection, cdrs, cdrs.name, [line for line, _ in batch])
            _insert(connection, cdr_parties, UNSORTED, [line for _, parties in batch for line in parties])
        key = ", ".join(f'"{column.name}"' for column in cdr_parties.primary_key)
        connection.execute(text(f"INSERT INTO cdr_parties SELECT * FROM {UNSORTED} ORDER BY {key}"))  # noqa: S608 - ours
        connection.execute(text(f"DROP TABLE {UNSORTED}"))
        for index in indexes:
            index.create(connection)
        connection.commit()
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _insert(connection: Connection, table: Table, into: str, lines: list[Line]) -> None:
    """Write `lines`, rows of `table`, into the table of the same columns that is called `into`."""
    names = _COLUMNS[table.name]
    driver: Any = connection.connection.dbapi_connection
    columns = ", ".join(f'"{name}"' for name in names)
    with closing(driver.cursor()) as cursor:
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(names))
            cursor.executemany(f"INSERT INTO {into} ({columns}) VALUES ({marks})", lines)  # noqa: S608 - our own names
        else:
            with cursor.copy(f"COPY {into} ({columns}) FROM STDIN") as copy:
                for one in lines:
                    copy.write_row(one)
    driver.commit()


async def measure_cdrs(folder: Path, *, rows: int, url: str | None) -> CdrResult:
    """Fill a store with `rows` CDRs and ask the API for them; `url` names an empty PostgreSQL database."""
    now, began = time.time(), time.perf_counter()
    options = _prepare(folder, rows, url, now)
    filled_s = time.perf_counter() - began
    async with solo(folder, *options) as node:
        base = f"http://127.0.0.1:{node.http_port}/ns-api/v2"
        async with AsyncExitStack() as stack:

            async def opened(key: str) -> httpx.AsyncClient:
                headers = {"Authorization": f"Bearer {key}"}
                return await stack.enter_async_context(httpx.AsyncClient(base_url=base, headers=headers, timeout=120))

            client = await opened(node.key)
            reseller = await opened(await _resold(client))
            requests = await _requests(client, rows, now)
            timings = [await _time(reseller if one.place == "reseller" else client, one) for one in requests]
            csv_rows_per_s = await _export(client, now)
    return CdrResult(rows, filled_s, timings, _indexes(folder, url, requests, now), csv_rows_per_s)


def _prepare(folder: Path, rows: int, url: str | None, now: float) -> list[str]:
    """Fill the store, and return the options with which a node serves it."""
    folder.mkdir(parents=True)
    engine = _engine(folder, url)
    fill(engine, rows, now=now)
    engine.dispose()
    if url is None:
        return []
    config = folder / "bench.toml"
    config.write_text(f'[store]\nurl = "{url}"\n')
    return ["--config", str(config)]


def _engine(folder: Path, url: str | None) -> Engine:
    return open_engine(url or sqlite_url(folder / "ringbridge.db"))


def _indexes(folder: Path, url: str | None, requests: Sequence[_Request], now: float) -> dict[str, dict[str, str]]:
    engine = _engine(folder, url)
    found: dict[str, dict[str, str]] = {}
    for one in requests:
        if one.filters is not None:
            domains, user = _WHOSE[one.place]
            query = query_of(one.filters, domains=domains, user=user, since=now - YEAR_S - 86_400)
            found.setdefault(one.name, {})[one.place] = indexes_of(engine, query)
    engine.dispose()
    return found


async def _resold(client: httpx.AsyncClient) -> str:
    """Give the reseller its domains; return its API key."""
    for domain in (OUTGOING, *RESOLD):
        reseller = RESELLER if domain in RESOLD else "another"
        body = {"domain": domain, "reseller": reseller, "description": "Calls of a year"}
        (await client.post("/domains", json=body)).raise_for_status()
    body = {"description": "A reseller's key", "reseller": RESELLER, "domain": "*", "user-scope": "Reseller"}
    made = await client.post("/apikeys", json=body)
    made.raise_for_status()
    return str(made.json()["key"])


class _Request(msgspec.Struct, frozen=True):
    place: str
    name: str
    path: str
    params: dict[str, str]
    filters: dict[str, str] | None = None
    """Of those that ask for a filter's first page."""


async def _requests(client: httpx.AsyncClient, rows: int, now: float) -> list[_Request]:
    year = {"datetime-start": _when(now - YEAR_S - 86_400)}
    domain, outgoing = f"/domains/{DOMAIN}/cdrs", f"/domains/{OUTGOING}/cdrs"
    busy = f"/domains/{DOMAIN}/users/{BUSY_USER}/cdrs"
    (newest, *_) = (await client.get(domain, params=year | {"limit": "1", "type": "Outbound"})).json()
    dialled = str(newest["call-orig-to-user"])
    filters = [
        {},
        *({"type": name} for name in ("Outbound", "Inbound", "Missed", "Received", "On-net", "Off-net")),
        *({"caller": one} for one in (BUSY_USER, "1234", "none")),
        *({"dialled": one} for one in ("1234", dialled, "none")),
        *({"site": one} for one in ("Site 7", "none")),
        {"caller": BUSY_USER, "type": "Missed"},
        {"caller": BUSY_USER, "dialled": "1234"},
        {"caller": BUSY_USER, "site": "none"},
        {"dialled": "1234", "site": "none"},
        {"site": "Site 7", "type": "Outbound"},
    ]
    places = dict(zip(PLACES, ("/cdrs", "/cdrs", domain, outgoing, busy), strict=True))
    filtered = [
        _Request(place, _named(one), path, year | one, one) for one in filters for place, path in places.items()
    ]
    middle = str(max(rows // 4, 1))
    return [
        *filtered,
        _Request("domain", "1000 a page", domain, year | {"limit": "1000"}),
        _Request("domain", "last day", domain, {}),
        _Request("domain", "behind the middle", domain, year | {"after": f"{now - YEAR_S / 2!r}_z"}),
        _Request("domain", "start in the middle", domain, year | {"start": middle}),
        _Request("domain", "count of a day", f"{domain}/count", {}),
        _Request("user", "count of the year", f"{busy}/count", year),
        _Request("domain", "count of the year", f"{domain}/count", year),
        _Request("all", "count of the year", "/cdrs/count", year),
    ]


def _named(filters: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in filters.items()) or "no filter"


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


async def _time(client: httpx.AsyncClient, request: _Request) -> Timing:
    took: list[float] = []
    status = 0
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        status = (await client.get(request.path, params=request.params)).status_code
        took.append(1000 * (time.perf_counter() - began))
        if took[-1] > ENOUGH_MS and len(took) > 2:
            break
    first, *then = took
    return Timing(request.place, request.name, first, sorted(then)[len(then) // 2], max(then), status)


async def _export(client: httpx.AsyncClient, now: float) -> float:
    """Return the CDRs a second of a CSV of a domain, read as it comes and then left."""
    params = {"datetime-start": _when(now - YEAR_S - 86_400)}
    lines, began = 0, time.perf_counter()
    path = f"/domains/{DOMAIN}/cdrs"
    async with client.stream("GET", path, params=params, headers={"Accept": "text/csv"}) as answer:
        async for _ in answer.aiter_lines():
            lines += 1
            if lines >= CSV_ROWS:
                break
    return lines / (time.perf_counter() - began)
