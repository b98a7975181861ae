"""What the request history costs: the same reads of two API processes, one that keeps it and one that does not.

Both stand on one core and are asked in turns, a short while each, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec

from ringbridge.adapters.nats.server import NatsServer, ServerSettings
from ringbridge.bench.calls import call_maker
from ringbridge.bench.http_load import HttpLoad, get
from ringbridge.bench.stand import DOMAIN, USER, SoloStand, solo

KNOWN_CALLS = 100
CORE = 0
ROUNDS = 8
ON, OFF = "on", "off"


class HistoryCost(msgspec.Struct, frozen=True):
    """CPU of the API process for one GET of a call, in ms, and how many were dropped from the history of how many."""

    on_ms: float
    off_ms: float
    kept: int
    dropped: int

    @property
    def share(self) -> float:
        """What the history adds, as a part of a request without it."""
        return self.on_ms / self.off_ms - 1.0


async def measure_request_history(folder: Path, *, seconds: float) -> HistoryCost:
    """Read calls flat out, `seconds` in all of each process."""
    async with AsyncExitStack() as stack:
        stands: dict[str, SoloStand] = {}
        for name, kept_s in ((ON, 604_800), (OFF, 0)):
            server = NatsServer(ServerSettings(folder / f"bus-{name}"))
            url = await server.start()
            stack.push_async_callback(server.stop)
            config = folder.with_name(f"{name}.toml")
            config.write_text(f"[requests]\nkept_s = {kept_s}\n")
            options = ("--role", "api", "--bus", url, "--config", str(config))
            stands[name] = await stack.enter_async_context(solo(folder / f"api-{name}", *options, core=CORE))
        loads = {
            name: await stack.enter_async_context(HttpLoad("127.0.0.1", stand.http_port))
            for name, stand in stands.items()
        }
        makers = {name: await _known_calls(stand, loads[name]) for name, stand in stands.items()}
        cpu_s = {ON: 0.0, OFF: 0.0}
        answers = {ON: 0, OFF: 0}
        for number in range(2 * ROUNDS):
            name = (ON, OFF, OFF, ON)[number % 4]
            before = stands[name].node.usage()
            load = await loads[name].flat_out(makers[name], seconds=seconds / ROUNDS)
            await asyncio.sleep(0.5)  # what is still to be written belongs to it
            cpu_s[name] += stands[name].node.usage().since(before).cpu_s
            answers[name] += load.statuses.total()
        per_ms = {name: 1000 * cpu_s[name] / answers[name] for name in (ON, OFF)}
        return HistoryCost(per_ms[ON], per_ms[OFF], *await _kept(stands[ON]))


async def _known_calls(stand: SoloStand, load: HttpLoad) -> Callable[[int], bytes]:
    """Make calls, and return what makes the bytes of a GET of one of them."""
    await load.run(call_maker(stand.key, run="known"), rate=KNOWN_CALLS, seconds=1.0)

    def read_call(number: int) -> bytes:
        path = f"/ns-api/v2/domains/{DOMAIN}/users/{USER}/calls/known-{number % KNOWN_CALLS}"
        return get("127.0.0.1", path, stand.key)

    await load.run(read_call, rate=1000.0, seconds=1.0)
    return read_call


async def _kept(stand: SoloStand) -> tuple[int, int]:
    """Return how many requests the history holds, and how many it dropped."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stand.http_port}", timeout=30) as client:
        headers = {"Authorization": f"Bearer {stand.key}"}
        counted = await client.get("/ringbridge/v1/requests/count", headers=headers)
        metrics = (await client.get("/metrics")).text
    lines = [line for line in metrics.splitlines() if line.startswith("ringbridge_request_history_dropped_total")]
    return int(counted.json()["total"]), int(sum(float(line.split()[-1]) for line in lines))
