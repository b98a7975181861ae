"""A directory of many users: how soon a new node has it, what it holds in memory, and how quickly it lists."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import closing
from pathlib import Path

import httpx
import msgspec

from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.server import NatsServer, ServerSettings, config_text, find_program
from ringbridge.bench.processes import Child, free_port, peak_of, ringbridge, wait_for_port
from ringbridge.model.directory import Domain, User

DOMAIN = "bench"
AT_ONCE = 256
START_S = 600.0
READS = 30
FIRST_NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Margaret", "Alan", "Radia")
LAST_NAMES = ("Lovelace", "Hopper", "Dijkstra", "Liskov", "Knuth", "Hamilton", "Turing", "Perlman")


class Reads(msgspec.Struct, frozen=True):
    """What one read took over HTTP with authentication, in milliseconds; `cpu_ms` is of the node alone."""

    p50_ms: float
    max_ms: float
    cpu_ms: float


class DirectoryFigures(msgspec.Struct, frozen=True):
    """What was seen."""

    users: int
    written_a_second: float
    rebuilt_s: float
    """From the start of a node without a store until it has every user."""
    cpu_s: float
    """That the node used for it."""
    rss_bytes: int
    """Of the node, after the rebuild and the reads."""
    peak_bytes: int
    """The most that it ever was."""
    reads: dict[str, Reads]


def user(number: int) -> User:
    """Return one of the users: as filled in as they are in practice."""
    first, last = FIRST_NAMES[number % 8], LAST_NAMES[number // 8 % 8]
    return User(
        DOMAIN,
        f"{number:08d}",
        name_first_name=first,
        name_last_name=f"{last}{number // 64}",
        email_address=f"user{number}@bench.example",
        caller_id_number=f"45{number:08d}",
        other={"department": f"Department {number % 500}", "site": f"Site {number % 50}"},
    )


async def fill(settings: ServerSettings, users: int) -> float:
    """Put a domain with `users` into the files of a bus; return how many a second.

    The server that does it flushes when it likes: what is measured is a node that reads them.
    """
    port = free_port()
    configuration = config_text(settings, port).replace("sync_interval: always", 'sync_interval: "2m"')
    file = settings.data_dir / "filling.conf"
    await asyncio.to_thread(settings.data_dir.mkdir, parents=True)
    await asyncio.to_thread(file.write_text, configuration)
    log = settings.data_dir / "filling.log"
    with closing(Child([str(find_program(None)), "-c", str(file)], log=log)) as server:
        await asyncio.to_thread(wait_for_port, port, server, deadline_s=START_S)
        url = f"nats://ringbridge:{settings.password}@127.0.0.1:{port}"
        async with NatsBus(BusSettings((url,), "bench", relaxed=True)) as bus:
            await bus.put_record(Domain(DOMAIN))
            started = time.monotonic()
            for start in range(0, users, AT_ONCE):
                some = range(start, min(start + AT_ONCE, users))
                await asyncio.gather(*(bus.put_record(user(number)) for number in some))
            return users / (time.monotonic() - started)


async def measure_directory(folder: Path, *, users: int) -> DirectoryFigures:
    """Fill a bus, start a node on it, and read from the node."""
    settings = ServerSettings(folder / "bus")
    written = await fill(settings, users)
    server = NatsServer(settings)
    url = await server.start()
    try:
        port = free_port()
        started = time.monotonic()
        options = ("--role", "api", "--bus", url, "--http", str(port), "--data", str(folder / "api"))
        with closing(Child(ringbridge("serve", *options, "--log-level", "warning"), log=folder / "api.log")) as node:
            await asyncio.to_thread(wait_for_port, port, node, deadline_s=START_S)
            key = (folder / "api" / "admin.key").read_text().strip()
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
                await _complete(client, users)
                rebuilt_s, cpu_s = time.monotonic() - started, node.usage().cpu_s
                reads = {name: await _timed(client, node, path) for name, path in _reads(users).items()}
            return DirectoryFigures(
                users=users,
                written_a_second=written,
                rebuilt_s=rebuilt_s,
                cpu_s=cpu_s,
                rss_bytes=node.usage().rss_bytes,
                peak_bytes=peak_of(node.pid),
                reads=reads,
            )
    finally:
        await server.stop()


def _reads(users: int) -> dict[str, str]:
    listed = f"/ns-api/v2/domains/{DOMAIN}/users"
    return {
        "first page": listed,
        "page in the middle": f"{listed}?start={users // 2}",
        "search by name": f"{listed}?name-last-name=turing1*",
        "search by number": f"{listed}?caller-id-number=45{users // 2:08d}",
        "count": f"{listed}/count",
        "one user": f"{listed}/{users // 2:08d}",
    }


async def _complete(client: httpx.AsyncClient, users: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        answer = await client.get(f"/ns-api/v2/domains/{DOMAIN}/users/count")
        if answer.status_code == 200 and answer.json()["total"] >= users:
            return
        await asyncio.sleep(0.25)
    raise TimeoutError(f"not all of {users} users are there after {START_S:g} s")


async def _timed(client: httpx.AsyncClient, node: Child, path: str) -> Reads:
    took = []
    before = node.usage()
    for _ in range(READS):
        started = time.perf_counter()
        answer = await client.get(path)
        took.append(1000 * (time.perf_counter() - started))
        answer.raise_for_status()
    cpu_s = node.usage().since(before).cpu_s
    return Reads(statistics.median(took), max(took), 1000 * cpu_s / READS)
