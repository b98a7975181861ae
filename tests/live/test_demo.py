"""`ringbridge demo` as people run it: the whole program, two phones, one call over HTTP."""

import itertools
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from tests.live.child import Child

StartChild = Callable[..., Awaitable[Child]]
LEARNT_WITHIN_MS = 500.0
STARTS_WITHIN_S = 60.0  # on a busy machine; the figures are the benchmark's business
LADDER = (
    r" 0\.0 +POST +/ns-api/v2/domains/demo/users/1001/calls",
    r" request +1002",
    r" 202 ",
    r" origination +INVITE +1001",
    r" origination +180",
    r" origination +200",
    r" origination +ACK",
    r" termination +INVITE +1002",
    r" termination +180",
    r" termination +200",
    r" termination +ACK",
    r" termination +first audio +1002 hears 1001",
    r" origination +first audio +1001 hears 1002",
    r" origination +tone +1001 hears 900 Hz: the tone of 1002",
    r" termination +tone +1002 hears 600 Hz: the tone of 1001",
    r" termination +BYE +sent by 1002",
    r" origination +BYE +received by 1001",
    r" ended +by termination: completed",
    r" CDR +Term: Bye, completed",
)


def children_of(pid: int) -> set[int]:
    """Return the processes that `pid` started, and theirs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def is_there(path: str) -> bool:
    return Path(path).exists()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_once_rings_two_phones_and_both_hear_each_other(start_child: StartChild, ringbridge: str) -> None:
    demo = await start_child(ringbridge, "demo", "--once", "--http", "127.0.0.1:0", "--sip", "127.0.0.1:0")
    assert await demo.wait_exit(STARTS_WITHIN_S) == 0
    said = "\n".join(demo.lines)
    for step in LADDER:
        assert re.search(step, said), f"{step!r} is missing in:\n{said}"
    assert "measured on the received audio" in said
    times = [float(found) for found in re.findall(r"^ +(\d+\.\d)  ", said, re.MULTILINE)]
    # As it happens: what a phone hears is known at once, a step of the node's when the API tells of it.
    assert all(later > earlier - LEARNT_WITHIN_MS for earlier, later in itertools.pairwise(times)), times
    folder = re.search(r"data +(\S+) \(removed", said)
    assert folder is not None
    assert not is_there(folder[1])


async def test_goes_on_serving_tells_the_next_call_and_leaves_nothing(
    start_child: StartChild, ringbridge: str, data_dir: Path
) -> None:
    demo = await start_child(ringbridge, "demo", "--http", "127.0.0.1:0", "--sip", "127.0.0.1:0", "--data", data_dir)
    curl = await demo.wait_for(r"^curl .*Bearer (?P<key>\S+)'.*", STARTS_WITHIN_S)
    family = children_of(demo.pid)
    assert len(family) >= 2, "bus and relay are processes of their own"
    await opens_the_reference(demo)  # in the order in which they are printed
    await logs_in_to_the_console(demo)
    again = await start_child("bash", "-c", curl[0])
    placed = await again.wait_for(r'"call-id":"([^"]+)"')
    await demo.wait_for(f"call-id {re.escape(placed[1])}")
    await demo.wait_for("origination +tone +1001 hears 900 Hz: the tone of 1002", 20)
    began = time.monotonic()
    assert await demo.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 2.0 + _lag_s()
    assert [pid for pid in family if is_alive(pid)] == []


async def logs_in_to_the_console(demo: Child) -> None:
    """Log in with what the demo prints: as somebody who sees the whole domain."""
    url, user, password = [
        (await demo.wait_for(rf"^  {word} +(\S+)", STARTS_WITHIN_S))[1] for word in ("console", "user", "password")
    ]
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
        page = await client.get(url)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        login = {"grant_type": "password", "client_id": "ringbridge", "username": user, "password": password}
        answer = await client.post(str(page.url.join("/ns-api/v2/tokens")), json=login)
    assert (answer.status_code, answer.json().get("scope")) == (200, "Office Manager")


async def opens_the_reference(demo: Child) -> None:
    """Open the page that the demo prints."""
    url = (await demo.wait_for(r"^  docs +(\S+)", STARTS_WITHIN_S))[1]
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
        page = await client.get(url)
    assert (page.status_code, page.url.path) == (200, "/docs/")
    assert "API reference" in page.text


def _lag_s() -> float:
    """Return how much longer things may take here than on a machine that does nothing else."""
    return 2.0 * max(0.0, os.getloadavg()[0] / (os.cpu_count() or 1) - 1.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_can_be_stopped_while_it_starts(start_child: StartChild, ringbridge: str, number: signal.Signals) -> None:
    demo = await start_child(ringbridge, "demo", "--http", "127.0.0.1:0", "--sip", "127.0.0.1:0")
    await demo.wait_for("  API ", STARTS_WITHIN_S)
    family = children_of(demo.pid)
    assert await demo.stop(number) == 0
    assert [pid for pid in family if is_alive(pid)] == []
