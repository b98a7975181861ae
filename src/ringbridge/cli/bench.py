"""`ringbridge bench`: what this machine can do, measured from outside with SIPp as both phones."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable


class What(StrEnum):
    """What is measured."""

    CALLS = "calls"
    HELD = "held"
    POSTS = "posts"
    API = "api"
    REQUESTS = "requests"
    LATENCY = "latency"
    DIALPLAN = "dialplan"
    CDRS = "cdrs"
    DIRECTORY = "directory"
    ALL = "all"


def _postgresql(url: str | None) -> str | None:
    """Refuse what a node would not take for its store, before it is filled for minutes."""
    if url and not url.startswith("postgresql://"):
        raise typer.BadParameter("must begin with postgresql://")
    return url


def bench(  # noqa: PLR0913 - the options of one command
    what: Annotated[
        What,
        typer.Argument(help="calls, held, posts, api, requests, latency, dialplan, cdrs, directory, or all of them."),
    ] = What.ALL,
    *,
    rate: Annotated[float | None, typer.Option(help="Calls or requests a second.", min=1, max=20_000)] = None,
    seconds: Annotated[float, typer.Option(help="How long each load lasts.", min=1, max=600)] = 10.0,
    hold_s: Annotated[float, typer.Option(help="How long each call stays up.", min=0.1, max=600)] = 3.0,
    rules: Annotated[int, typer.Option(help="Rules of a plan, for `dialplan`.", min=10, max=100_000)] = 10_000,
    calls: Annotated[int, typer.Option(help="Calls held at once, for `held`.", min=10, max=4000)] = 2000,
    rows: Annotated[int, typer.Option(help="CDRs in the store, for `cdrs`; a busy year has ten million.", min=1000)] = (
        200_000
    ),
    users: Annotated[int, typer.Option(help="Users of a domain, for `directory`.", min=1000, max=10_000_000)] = 100_000,
    store_url: Annotated[
        str | None, typer.Option(help="An empty PostgreSQL database, for `cdrs`: postgresql://….", callback=_postgresql)
    ] = None,
) -> None:
    """Measure calls a second, CPU and memory a call, and latencies; needs SIPp (apt-get install sip-tester).

    Everything runs on this machine and listens on loopback alone. Figures are of this run; compare ratios.
    """
    import uvloop

    say = typer.echo
    say("Relay: rtp.io (RTPProxy) in its own process. Bus: one nats-server, every write flushed. Store: SQLite, FULL.")
    with tempfile.TemporaryDirectory(prefix="ringbridge-bench-") as folder:
        where = Path(folder)
        if what in (What.CALLS, What.ALL):
            uvloop.run(_calls(where / "calls", rate or 400.0, seconds, hold_s, say))
        if what in (What.HELD, What.ALL):
            uvloop.run(_held(where / "held", min(rate or 100.0, 200.0), calls, say))
        if what in (What.POSTS, What.ALL):
            uvloop.run(_posts(where / "posts", rate or 500.0, seconds, say))
        if what in (What.API, What.ALL):
            uvloop.run(_api(where / "api", seconds, say))
        if what in (What.REQUESTS, What.ALL):
            uvloop.run(_requests(where / "requests", seconds, say))
        if what in (What.LATENCY, What.ALL):
            uvloop.run(_latency(where / "latency", 20.0 if what is What.ALL else rate or 20.0, seconds, say))
        if what in (What.DIALPLAN, What.ALL):
            uvloop.run(_dial_plans(where / "dialplan", rules, say))
        if what in (What.CDRS, What.ALL):
            uvloop.run(_cdrs(where / "cdrs", rows, store_url, say))
        if what in (What.DIRECTORY, What.ALL):
            uvloop.run(_directory(where / "directory", users, say))


async def _calls(folder: Path, rate: float, seconds: float, hold_s: float, say: Callable[[str], None]) -> None:
    from ringbridge.bench.calls import measure_calls
    from ringbridge.bench.stand import stand

    async with stand(folder, pin=True) as where:
        result = await measure_calls(where, rate=rate, seconds=seconds, hold_ms=int(1000 * hold_s))
    total = int(rate * seconds)
    say(f"calls    {result.completed} of {total} complete, {result.failed} failed, {result.cdrs} CDRs")
    say(f"         {result.rate:.0f} a second; the engine on one core")
    say(f"         asked for {rate:g} a second for {seconds:g} s; the last call was over {result.late_s:.1f} s late")
    for name, usage in (("engine", result.engine), ("api", result.api), ("bus", result.bus), ("relay", result.relay)):
        say(f"         {name:6} {1000 * usage.cpu_s / total:5.2f} ms CPU a call")
    say(f"         POST p50 {result.posts.percentile_ms(50):.1f} ms, p99 {result.posts.percentile_ms(99):.1f} ms")


async def _held(folder: Path, rate: float, calls: int, say: Callable[[str], None]) -> None:
    from ringbridge.bench.calls import measure_held
    from ringbridge.bench.stand import stand

    async with stand(folder, pin=False) as where:
        result = await measure_held(where, rate=rate, calls=calls)
    say(f"held     {result.held} calls up: {result.bytes_a_call / 1024:.1f} KB of the engine's memory each")


async def _posts(folder: Path, rate: float, seconds: float, say: Callable[[str], None]) -> None:
    from ringbridge.bench.posts import measure_posts

    outcome = await measure_posts(folder, rate=rate, seconds=seconds)
    accepted = outcome.statuses[202]
    say(f"posts    {accepted} of {int(rate * seconds)} accepted (202), {accepted / outcome.lasted_s:.0f} a second")
    say(f"         p50 {outcome.percentile_ms(50):.1f} ms, p99 {outcome.percentile_ms(99):.1f} ms; API role alone")


async def _api(folder: Path, seconds: float, say: Callable[[str], None]) -> None:
    from ringbridge.bench.api import measure_api

    for one in await measure_api(folder, seconds=seconds):
        say(f"api      {one.name:26} {one.reached:5.0f} a second flat out, {one.flat_out_cpu_ms:.2f} ms CPU each")
        steady = f"at {one.steady_rate:.0f} a second"
        say(
            f"         {steady:26} p50 {one.steady.percentile_ms(50):.1f} ms, p99 {one.steady.percentile_ms(99):.1f} ms"
        )
        if one.failed:
            say(f"         {one.failed} answers of another status")


async def _requests(folder: Path, seconds: float, say: Callable[[str], None]) -> None:
    from ringbridge.bench.requests import measure_request_history

    result = await measure_request_history(folder, seconds=seconds)
    say(f"requests a GET of a call: {result.off_ms:.3f} ms CPU without request history, {result.on_ms:.3f} with it")
    say(f"         {100 * result.share:+.1f} %; {result.kept} kept, {result.dropped} dropped")


async def _latency(folder: Path, rate: float, seconds: float, say: Callable[[str], None]) -> None:
    from ringbridge.bench.posts import measure_invite_latency

    result = await measure_invite_latency(folder, rate=rate, seconds=seconds)
    say(f"latency  POST to INVITE at {rate:g} calls a second, {result.calls} calls, everything in one process:")
    say(f"         p50 {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms")


async def _dial_plans(folder: Path, rules: int, say: Callable[[str], None]) -> None:
    from ringbridge.bench.dial_plan import measure_dial_plans

    for result in await measure_dial_plans(folder, rules=rules):
        say(f"dialplan {result.name}: a call p50 {result.p50_us:.0f} us, p99 {result.p99_us:.0f} us")
        say(f"         {result.first_us:.0f} us while its patterns are new; after a change {result.ready_ms:.0f} ms")


async def _cdrs(folder: Path, rows: int, store_url: str | None, say: Callable[[str], None]) -> None:
    from ringbridge.bench.cdrs import PLACES, measure_cdrs

    result = await measure_cdrs(folder, rows=rows, url=store_url)
    database = "PostgreSQL" if store_url else "SQLite"
    say(f"cdrs     {result.rows} CDRs of a year in {database}, written in {result.filled_s:.0f} s")
    say("         pages of 100 over HTTP, milliseconds: median (slowest)")
    say(f"         {'':26}" + "".join(f"{place:>13}" for place in PLACES))
    for name in dict.fromkeys(one.name for one in result.timings):
        cells = {
            one.place: f"{one.p50_ms:.0f} ({max(one.first_ms, one.max_ms):.0f})" if one.status == 200 else one.status
            for one in result.timings
            if one.name == name
        }
        say(f"         {name:26}" + "".join(f"{cells.get(place, ''):>13}" for place in PLACES))
    say("         indexes that those pages are found by")
    for name, by_place in result.indexes.items():
        say(f"         {name}: " + ", ".join(f"{place} {index}" for place, index in by_place.items()))
    say(f"         CSV: {result.csv_rows_per_s:.0f} CDRs a second")


async def _directory(folder: Path, users: int, say: Callable[[str], None]) -> None:
    from ringbridge.bench.directory import measure_directory

    result = await measure_directory(folder, users=users)
    say(f"directory {result.users} users in one domain, put on the bus at {result.written_a_second:.0f} a second")
    say(f"         a new node has them after {result.rebuilt_s:.0f} s and {result.cpu_s:.0f} s of CPU")
    say(f"         its memory: {result.rss_bytes / 2**20:.0f} MB, {result.peak_bytes / 2**20:.0f} MB at the most")
    for name, read in result.reads.items():
        say(f"         {name:18} {read.p50_ms:6.1f} ms, slowest {read.max_ms:.1f} ms, {read.cpu_ms:.1f} ms of CPU")
