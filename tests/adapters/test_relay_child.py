"""The relay process: found again, replaced when it dies, ended on request and by itself."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ringbridge.adapters.relay.child import RelayRestarted, RelaySettings, ensure_relay
from ringbridge.adapters.relay.process import EXIT_ALREADY_RUNNING
from ringbridge.adapters.relay.rtpproxy import RelayUnavailable
from tests.adapters.relay_folder import relay_in


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_gone(pid: int, *, within_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + within_s
    while is_running(pid):
        assert asyncio.get_running_loop().time() < deadline, f"process {pid} still runs"
        await asyncio.sleep(0.02)


async def test_it_ends_within_a_second_of_being_told_to_even_with_calls_up(data_dir: Path) -> None:
    async with relay_in(data_dir) as child:
        await child.relay.open("call-1")
        started = asyncio.get_running_loop().time()
        await child.stop()
        assert asyncio.get_running_loop().time() - started < 1
        assert not is_running(child.pid)
        assert not (data_dir / "relay.json").exists()
        await child.stop()


async def test_the_next_engine_takes_up_the_one_that_runs(data_dir: Path) -> None:
    async with relay_in(data_dir) as first:
        await first.relay.open("call-1")
        await first.detach()
        async with relay_in(data_dir) as second:
            assert (second.pid, second.instance) == (first.pid, first.instance)
            assert (await second.relay.ping()).sessions == 1


async def test_a_second_one_in_the_same_folder_gives_way(data_dir: Path) -> None:
    async with relay_in(data_dir):
        command = [sys.executable, "-m", "ringbridge.adapters.relay.process", "--data", str(data_dir)]
        second = await asyncio.create_subprocess_exec(*command)
        assert await asyncio.wait_for(second.wait(), 15) == EXIT_ALREADY_RUNNING


async def test_engines_that_start_together_share_one(data_dir: Path) -> None:
    settings = RelaySettings(data_dir=data_dir, linger_s=20)
    children = await asyncio.gather(ensure_relay(settings), ensure_relay(settings))
    try:
        assert children[0].pid == children[1].pid
    finally:
        for child in children:
            await child.stop()


async def test_one_that_dies_is_replaced_and_everybody_is_told(data_dir: Path) -> None:
    async with relay_in(data_dir) as child:
        await child.relay.open("call-1")
        told: asyncio.Future[RelayRestarted] = asyncio.get_running_loop().create_future()
        child.on_restart(told.set_result)
        lost, pid = child.instance, child.pid
        under_way = asyncio.ensure_future(child.relay.ping())
        os.kill(pid, signal.SIGKILL)
        news = await asyncio.wait_for(told, 15)
        assert news == RelayRestarted(lost, child.instance)
        assert (lost, pid) != (child.instance, child.pid)
        assert (await child.relay.ping()).sessions == 0
        await asyncio.wait([under_way])
        under_way.exception()
        assert not is_running(pid)


async def test_stopping_while_it_is_being_replaced_leaves_none_behind(data_dir: Path) -> None:
    for wait_s in (0.0, 0.05, 0.4):
        async with relay_in(data_dir) as child:
            os.kill(child.pid, signal.SIGKILL)
            await asyncio.sleep(wait_s)
            await child.stop()
        assert processes_of(data_dir) == []


def processes_of(data_dir: Path) -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(data_dir) in read_command(path)]


def read_command(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def test_a_killed_one_leaves_nothing_that_misleads_the_next_engine(data_dir: Path) -> None:
    async with relay_in(data_dir) as child:
        await child.detach()
        os.kill(child.pid, signal.SIGKILL)
        async with relay_in(data_dir) as second:
            assert second.instance != child.instance
            await second.relay.ping()


async def test_ctrl_c_of_the_terminal_is_not_for_it(data_dir: Path) -> None:
    async with relay_in(data_dir) as child:
        os.kill(child.pid, signal.SIGINT)
        os.kill(child.pid, signal.SIGHUP)
        await asyncio.sleep(0.2)
        assert os.getsid(child.pid) == child.pid
        await child.relay.ping()


async def test_with_an_engine_it_stays_however_long_nobody_calls(data_dir: Path) -> None:
    async with relay_in(data_dir, linger_s=1.0) as child:
        instance = child.instance
        await asyncio.sleep(3.5)
        assert child.instance == instance
        assert (await child.relay.ping()).instance == instance


async def test_left_behind_it_ends_by_itself_but_not_while_it_has_a_call(data_dir: Path) -> None:
    async with relay_in(data_dir, linger_s=1.0) as child:
        session = await child.relay.open("call-1")
        await asyncio.sleep(2.5)
        await child.relay.close(session)
        await child.detach()
        # It was our child and nobody watches it any more, so its end is told by the lock's release, not by its pid.
        deadline = asyncio.get_running_loop().time() + 6
        while (data_dir / "relay.json").exists():
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)


async def test_other_ports_are_taken_on_when_no_call_is_up(data_dir: Path) -> None:
    wanted = RelaySettings(data_dir=data_dir, port_min=17000, port_max=18000, linger_s=20)
    async with relay_in(data_dir) as first:
        await first.detach()
        second = await ensure_relay(wanted)
        try:
            assert second.instance != first.instance
            session = await second.relay.open("call-1")
            assert 17000 <= session.orig_port <= 18000
            await second.detach()
            third = await ensure_relay(RelaySettings(data_dir=data_dir, linger_s=20))
            assert third.instance == second.instance  # a call is up, which counts for more than its ports
            await third.detach()
        finally:
            await (await ensure_relay(wanted)).stop()


async def test_an_address_that_is_not_ours_is_told_by_the_log(data_dir: Path) -> None:
    with pytest.raises(RelayUnavailable, match=r"cannot listen on 192\.0\.2\.55"):
        await ensure_relay(RelaySettings(data_dir=data_dir, host="192.0.2.55"))


def test_the_command_line_says_what_it_takes() -> None:
    command = [sys.executable, "-m", "ringbridge.adapters.relay.process", "--help"]
    assert b"--port-min" in subprocess.run(command, capture_output=True, check=True).stdout
