"""The server of our own: it starts, keeps running, ends, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ringbridge.adapters.nats.bus import BusSettings, NatsBus
from ringbridge.adapters.nats.server import (
    ClusterSettings,
    NatsServer,
    ServerFailed,
    ServerSettings,
    config_text,
    find_program,
)
from ringbridge.model.ids import CallId
from tests.adapters.bus_calls import DOMAIN, requested, until


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def test_it_starts_quickly_and_stops_quickly(tmp_path: Path) -> None:
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    began = time.monotonic()
    await server.start()
    assert time.monotonic() - began < 2
    pid = server.pid
    assert pid is not None
    assert os.getsid(pid) == pid
    began = time.monotonic()
    await server.stop()
    assert time.monotonic() - began < 1
    assert not is_running(pid)
    assert server.pid is None
    assert (tmp_path / "bus" / "nats-server.conf").stat().st_mode & 0o077 == 0


async def test_what_was_stored_is_there_after_a_stop(tmp_path: Path) -> None:
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    async with NatsBus(BusSettings((await server.start(),), "n1")) as bus:
        await bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
    await server.stop()
    async with NatsBus(BusSettings((await server.start(),), "n1")) as bus:
        assert len(await bus.read_call(DOMAIN, CallId("c1"))) == 1
    await server.stop()


async def test_it_is_started_again_at_the_same_place_when_it_dies(tmp_path: Path) -> None:
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    url = await server.start()
    try:
        async with NatsBus(BusSettings((url,), "n1")) as bus:
            await bus.create_call(DOMAIN, CallId("c1"), [requested("c1")])
            first = server.pid
            server.kill()
            await bus.create_call(DOMAIN, CallId("c2"), [requested("c2")])
            assert server.pid != first
            assert server.starts == 2
            assert server.url == url
            assert len(await bus.read_call(DOMAIN, CallId("c1"))) == 1
    finally:
        await server.stop()


async def test_a_folder_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    await server.start()
    with pytest.raises(ServerFailed, match="in use"):
        await NatsServer(ServerSettings(tmp_path / "bus")).start()
    await server.stop()
    await server.start()
    await server.stop()


async def test_a_program_that_cannot_serve_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="cannot be run"):
        find_program(tmp_path / "none")
    with pytest.raises(ServerFailed, match="ended with"):
        await NatsServer(ServerSettings(tmp_path / "bus", program=Path("/bin/false"))).start()
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    await server.start()
    await server.stop()


PARENT = """
    import asyncio, sys
    from pathlib import Path
    from ringbridge.adapters.nats.server import NatsServer, ServerSettings

    async def main() -> None:
        server = NatsServer(ServerSettings(Path(sys.argv[1])))
        await server.start()
        print(server.pid, flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
"""


async def test_it_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220 - a short pipe of our own
        [sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path / "bus")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        parent.kill()
        again = NatsServer(ServerSettings(tmp_path / "bus"))
        await again.start()
        assert not is_running(pid)
        await again.stop()
    finally:
        parent.kill()
        parent.wait()
        if parent.stdout is not None:
            parent.stdout.close()


async def test_an_orphan_is_ended_before_its_files_are_used(tmp_path: Path) -> None:
    settings = ServerSettings(tmp_path / "bus")
    (tmp_path / "bus").mkdir()
    config = tmp_path / "bus" / "nats-server.conf"
    config.write_text(config_text(settings, -1))
    orphan = await asyncio.create_subprocess_exec(
        str(find_program(None)), "-c", str(config), start_new_session=True, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        (tmp_path / "bus" / "nats-server.pid").write_text(str(orphan.pid))
        await until(lambda: list((tmp_path / "bus").glob("nats-server_*.ports")))
        server = NatsServer(settings)
        await server.start()
        await asyncio.wait_for(orphan.wait(), 1)
        await server.stop()
    finally:
        if orphan.returncode is None:
            orphan.kill()
            await orphan.wait()


async def test_somebody_else_s_process_is_left_alone(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "30")
    try:
        (tmp_path / "bus").mkdir()
        (tmp_path / "bus" / "nats-server.pid").write_text(str(bystander.pid))
        server = NatsServer(ServerSettings(tmp_path / "bus"))
        await server.start()
        await server.stop()
        assert bystander.returncode is None
    finally:
        bystander.send_signal(signal.SIGKILL)
        await bystander.wait()


def test_the_configuration_flushes_every_write() -> None:
    cluster = ClusterSettings("c", 7001, (7001, 7002))
    text = config_text(ServerSettings(Path('/x "y"'), cluster=cluster, password="p"), 4222)
    assert "sync_interval: always" in text
    assert 'listen: "127.0.0.1:4222"' in text
    assert '"nats-route://127.0.0.1:7002"' in text
    assert "http" not in text


async def test_kill_9_under_load_loses_no_acknowledged_write(tmp_path: Path) -> None:
    server = NatsServer(ServerSettings(tmp_path / "bus"))
    url = await server.start()
    acknowledged: dict[int, str] = {}
    try:
        async with NatsBus(BusSettings((url,), "n1")) as bus:

            async def write(worker: int) -> None:
                for number in range(60):
                    name = f"c{worker}-{number}"
                    acknowledged[await bus.create_call(DOMAIN, CallId(name), [requested(name)])] = name

            def reached(goal: int) -> bool:
                return len(acknowledged) >= goal

            writers = [asyncio.create_task(write(worker)) for worker in range(16)]
            for goal in (150, 300, 450):
                await until(functools.partial(reached, goal), timeout_s=20)
                server.kill()
            await asyncio.gather(*writers)
            assert server.starts == 4
            assert len(acknowledged) == 16 * 60
            for sequence, name in acknowledged.items():
                found = await bus.read_call(DOMAIN, CallId(name))
                assert [message.sequence for message in found] == [sequence]
    finally:
        await server.stop()
