"""What one API process on one core answers: reads of a call and of a user, calls accepted, calls read back at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.bench.calls import call_maker
from ringbridge.bench.http_load import HttpLoad, Outcome, get
from ringbridge.bench.stand import DOMAIN, USER, SoloStand, solo

WARM_UP_S = 2.0
KNOWN_CALLS = 100
CORE = 0


class ApiResult(msgspec.Struct, frozen=True):
    """One kind of request: as many as it can answer (`flat_out`), and at a steady rate (`steady`)."""

    name: str
    flat_out: Outcome
    flat_out_cpu_ms: float
    """CPU of the API process, all its threads, for one request of `flat_out`."""
    steady: Outcome
    steady_rate: float
    expected: int
    """The status that each answer should have."""

    @property
    def reached(self) -> float:
        """Good answers a second, flat out."""
        return self.flat_out.statuses[self.expected] / self.flat_out.lasted_s

    @property
    def failed(self) -> int:
        """Answers of another status, in both loads."""
        loads = (self.flat_out, self.steady)
        return sum(load.statuses.total() - load.statuses[self.expected] for load in loads)


@asynccontextmanager
async def _stand(folder: Path) -> AsyncIterator[SoloStand]:
    """Run a bus like the embedded one, and a node with the API role alone, held to one core."""
    server = NatsServer(ServerSettings(folder / "bus"))
    url = await server.start()
    try:
        async with solo(folder / "api", "--role", "api", "--bus", url, core=CORE) as stand:
            yield stand
    finally:
        await server.stop()


async def measure_api(folder: Path, *, seconds: float) -> list[ApiResult]:
    """Ask an API process for all that its marks speak of, one kind of request after the other."""
    async with _stand(folder) as stand, HttpLoad("127.0.0.1", stand.http_port) as load:
        run = "known"
        await load.run(call_maker(stand.key, run=run), rate=KNOWN_CALLS / WARM_UP_S, seconds=WARM_UP_S)
        user = f"/ns-api/v2/domains/{DOMAIN}/users/{USER}"

        def read_call(number: int) -> bytes:
            return get("127.0.0.1", f"{user}/calls/{run}-{number % KNOWN_CALLS}", stand.key)

        def read_user(_: int) -> bytes:
            return get("127.0.0.1", user, stand.key)

        kinds = (
            _Kind("GET a call", lambda: read_call, 200, 1500.0),
            _Kind("GET a user", lambda: read_user, 200, 1500.0),
            _Kind("POST a call, 202", lambda: call_maker(stand.key), 202, 300.0),
            _Kind("POST a call, synchronous", lambda: call_maker(stand.key, synchronous=True), 200, 300.0),
        )
        return [await _measure(stand, load, kind, seconds) for kind in kinds]


class _Kind(msgspec.Struct, frozen=True):
    """A kind of request: `maker` returns a function that makes the bytes of request n, all of them new."""

    name: str
    maker: Callable[[], Callable[[int], bytes]]
    expected: int
    steady_rate: float


async def _measure(stand: SoloStand, load: HttpLoad, kind: _Kind, seconds: float) -> ApiResult:
    await load.run(kind.maker(), rate=kind.steady_rate / 2, seconds=WARM_UP_S)
    await asyncio.sleep(1.0)
    steady = await load.run(kind.maker(), rate=kind.steady_rate, seconds=seconds)
    await asyncio.sleep(1.0)
    before = stand.node.usage()
    flat_out = await load.flat_out(kind.maker(), seconds=seconds)
    cpu_s = stand.node.usage().since(before).cpu_s
    answers = max(1, flat_out.statuses.total())
    return ApiResult(kind.name, flat_out, 1000 * cpu_s / answers, steady, kind.steady_rate, kind.expected)
