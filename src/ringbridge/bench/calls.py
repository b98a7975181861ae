"""Complete two-leg calls a second: HTTP POSTs in, SIPp as both phones, everything on; and what a held call costs."""

from __future__ import annotations

import asyncio
import csv
import json
import secrets
import shutil
import signal
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import httpx
import msgspec

from ringbridge.bench.http_load import HttpLoad, Outcome, post
from ringbridge.bench.processes import Child, Usage, usage_of
from ringbridge.bench.stand import DOMAIN, USER, Stand

SETTLE_S = 12.0
"""How long the last calls may take to end after the last POST and their talk time."""

PAGE = 1000
FORGOTTEN_S = 34.0
"""After this an INVITE transaction has ended its last timer (64 times T1, RFC 3261 §17)."""


class CallsResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    asked_rate: float
    posts: Outcome
    completed: int
    failed: int
    seconds: float
    """How long POSTs came."""
    late_s: float
    """How much later the last call was over than its POST and its talk time ask for: what had been put off."""
    cdrs: int
    engine: Usage
    api: Usage
    bus: Usage
    relay: Usage

    @property
    def rate(self) -> float:
        """Calls a second that were set up and ended as they should, what was put off included in the time."""
        return self.completed / (self.seconds + self.late_s)


def sipp(stand: Stand, name: str, port: int, *, hold_ms: int, media_port: int) -> Child:
    """Start SIPp as the phones of one leg."""
    program = shutil.which("sipp")
    if program is None:
        raise FileNotFoundError("SIPp is not installed: apt-get install sip-tester")
    scenario = stand.folder / f"{name}.xml"
    scenario.write_text(files("ringbridge.bench").joinpath("scenarios", f"{name}.xml").read_text())
    command = [program, "-sf", str(scenario), "-i", "127.0.0.1", "-p", str(port), "-mp", str(media_port)]
    command += [
        "-nostdin",
        "-trace_err",
        "-error_file",
        str(stand.folder / f"{name}.err"),
        "-d",
        str(hold_ms),
        "-l",
        "1000000",
        "-trace_stat",
        "-fd",
        "200ms",
    ]
    command += ["-stf", str(stand.folder / f"{name}.csv"), "-skip_rlimit", "-buff_size", "4194304"]
    return Child(command, log=stand.folder / f"{name}.log")


def sipp_counts(file: Path) -> tuple[int, int]:
    """Return (successful, failed) calls of SIPp's statistics file."""
    rows = list(csv.DictReader(file.open(), delimiter=";"))
    return int(rows[-1]["SuccessfulCall(C)"]), int(rows[-1]["FailedCall(C)"])


def call_maker(key: str, *, run: str = "", synchronous: bool = False) -> Callable[[int], bytes]:
    """Return the function that makes the bytes of POST number n, each a new call: `{run}-{n}`."""
    run = run or secrets.token_hex(4)
    path = f"/ns-api/v2/domains/{DOMAIN}/users/{USER}/calls"

    def make(number: int) -> bytes:
        body = {
            "call-id": f"{run}-{number}",
            "call-orig-user": f"71{number:08d}",
            "call-term-user": f"72{number:08d}",
            "synchronous": "yes" if synchronous else "no",
        }
        return post("127.0.0.1", path, key, json.dumps(body).encode())

    return make


async def measure_calls(stand: Stand, *, rate: float, seconds: float, hold_ms: int) -> CallsResult:
    """Place `rate` calls a second for `seconds`, each up for `hold_ms`, and say what became of them."""
    first = sipp(stand, "origination", stand.orig_port, hold_ms=hold_ms, media_port=6000)
    second = sipp(stand, "termination", stand.term_port, hold_ms=hold_ms, media_port=6200)
    pids = {"engine": stand.engine.pid, "api": stand.api.pid, "bus": stand.nats.pid or 0, "relay": stand.relay_pid}
    try:
        await asyncio.sleep(0.5)
        make = call_maker(stand.key)
        cdrs_before = await _cdr_count(stand)
        before = {name: usage_of(pid) for name, pid in pids.items()}
        in_time = time.monotonic() + seconds + hold_ms / 1000
        async with HttpLoad("127.0.0.1", stand.http_port) as load:
            posts = await load.run(make, rate=rate, seconds=seconds)
        total = int(rate * seconds)
        until = time.monotonic() + hold_ms / 1000 + SETTLE_S
        completed = failed = 0
        while time.monotonic() < until:
            await asyncio.sleep(0.2)
            completed, failed = sipp_counts(stand.folder / "termination.csv")
            if completed + failed >= total:
                break
        late_s = max(0.0, time.monotonic() - in_time)
        after = {name: usage_of(pid).since(before[name]) for name, pid in pids.items()}
        orig_completed, orig_failed = sipp_counts(stand.folder / "origination.csv")
        cdrs = await _cdr_count(stand) - cdrs_before
    finally:
        first.stop(signal.SIGKILL)
        second.stop(signal.SIGKILL)
    return CallsResult(
        asked_rate=rate,
        posts=posts,
        completed=min(completed, orig_completed),
        failed=max(failed, orig_failed, total - min(completed, orig_completed)),
        seconds=seconds,
        late_s=late_s,
        cdrs=cdrs,
        **after,
    )


class HeldResult(msgspec.Struct, frozen=True, kw_only=True):
    """What held calls cost: resident memory of the engine with `held` calls up, after set-up has been forgotten."""

    held: int
    growth_bytes: int

    @property
    def bytes_a_call(self) -> float:
        return self.growth_bytes / self.held if self.held else 0.0


async def measure_held(stand: Stand, *, rate: float, calls: int) -> HeldResult:
    """Set `calls` up at `rate` a second, hold them until their INVITE transactions are gone, and look."""
    hold_s = calls / rate + FORGOTTEN_S + 10
    first = sipp(stand, "origination", stand.orig_port, hold_ms=int(hold_s * 1000), media_port=6000)
    second = sipp(stand, "termination", stand.term_port, hold_ms=int(hold_s * 1000), media_port=6200)
    try:
        await asyncio.sleep(0.5)
        before = stand.engine.usage()
        async with HttpLoad("127.0.0.1", stand.http_port) as load:
            await load.run(call_maker(stand.key), rate=rate, seconds=calls / rate)
        await asyncio.sleep(FORGOTTEN_S)
        growth = stand.engine.usage().since(before).rss_bytes
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stand.http_port}") as client:
            headers = {"Authorization": f"Bearer {stand.key}"}
            answer = await client.get(f"/ns-api/v2/domains/{DOMAIN}/calls/count", headers=headers)
            held = int(answer.json()["total"])
    finally:
        first.stop(signal.SIGKILL)
        second.stop(signal.SIGKILL)
    return HeldResult(held=held, growth_bytes=growth)


async def _cdr_count(stand: Stand) -> int:
    """Return how many CDRs the domain has, page by page."""
    total = 0
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stand.http_port}", timeout=30) as client:
        headers = {"Authorization": f"Bearer {stand.key}"}
        while True:
            page = {"start": total + 1, "limit": PAGE}
            answer = await client.get(f"/ns-api/v2/domains/{DOMAIN}/cdrs", headers=headers, params=page)
            found = len(answer.raise_for_status().json())
            total += found
            if found < PAGE:
                return total
