"""What a dial plan costs a call, however many rules it has: read from the store, chosen by the index."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ringbridge.adapters.store.batch import RecordChange, StoreBatch
from ringbridge.adapters.store.store import SqlStore
from ringbridge.model.dial_plan import Dialling
from ringbridge.model.directory import DialRule

DOMAIN = "bench.example"
CALLS = 5000


class PlanResult(msgspec.Struct, frozen=True):
    """One plan: what it takes to make ready after a change, and what a call costs then."""

    name: str
    ready_ms: float
    first_us: float
    """Per call while patterns are compiled that no call has met yet."""
    p50_us: float
    p99_us: float


class _Clock:
    def now(self) -> float:
        return time.time()


def _rules(shape: str, count: int) -> list[DialRule]:
    def pattern(number: int) -> str:
        return {"prefixes": f"sip:45{number:05}*@*", "areas": f"sip:NXX{number:05}X@*"}[shape]

    rules = [DialRule(DOMAIN, shape, f"r{number}", pattern(number)) for number in range(count - 1)]
    return [*rules, DialRule(DOMAIN, shape, "rest", "*")]


async def measure_dial_plans(folder: Path, *, rules: int) -> list[PlanResult]:
    """Return what plans of `rules` rules cost, by the shape of their patterns."""
    store = SqlStore.open(folder / "plans.db", _Clock())
    try:
        return [await _measure(store, shape, rules) for shape in ("prefixes", "areas")]
    finally:
        await store.close()


async def _measure(store: SqlStore, shape: str, count: int) -> PlanResult:
    rules = _rules(shape, count)
    await store.apply(StoreBatch(records=[RecordChange("dialrule", rule.key, rule) for rule in rules]))
    started = time.perf_counter()
    await store.dial_plan(DOMAIN, shape)
    ready_s = time.perf_counter() - started
    now = datetime.now(UTC)
    numbers = [
        f"45{number % count:05}77" if shape == "prefixes" else f"212{number % count:05}7" for number in range(CALLS)
    ]
    calls = [Dialling(f"sip:{number}@{DOMAIN}", f"sip:1001@{DOMAIN}", "call", now) for number in numbers]
    first = await _seconds(store, shape, calls)
    again = sorted(await _seconds(store, shape, calls))
    return PlanResult(
        name=f"{count} rules, {shape}",
        ready_ms=1e3 * ready_s,
        first_us=1e6 * sum(first) / CALLS,
        p50_us=1e6 * again[CALLS // 2],
        p99_us=1e6 * again[CALLS * 99 // 100],
    )


async def _seconds(store: SqlStore, shape: str, calls: list[Dialling]) -> list[float]:
    taken = []
    for call in calls:
        started = time.perf_counter()
        if (await store.dial_plan(DOMAIN, shape)).choose(call) is None:
            raise AssertionError("the last rule matches everything")
        taken.append(time.perf_counter() - started)
    return taken
