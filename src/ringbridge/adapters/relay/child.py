"""Our own relay process, from the engine's side: started or found running, watched, replaced when it dies.

The relay outlives the engine on purpose. `ensure_relay` takes up the one that an earlier engine left in the same
folder, sessions and all; that it is there is told by the lock it holds, not by a pid that may be another's by now.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from ringbridge.adapters.relay.process import ADDRESS_FILE, EXIT_ALREADY_RUNNING, LOCK_FILE, LOG_FILE, Running
from ringbridge.adapters.relay.rtpproxy import Relay, RelayUnavailable

_POLL_S: Final = 0.02
_START_DEADLINE_S: Final = 15.0
"""Loading RTPProxy takes a quarter of a second, on a busy machine some."""
_STOP_DEADLINE_S: Final = 0.8
_MOST_BACKOFF_S: Final = 5.0
_TRIES: Final = 4
_SIGNS_OF_LIFE: Final = 4
"""Pings while the relay waits for one; a lost datagram does not end it."""

_log = structlog.get_logger(__name__)


class RelaySettings(Struct, frozen=True, kw_only=True):
    """How our own relay runs. `data_dir` is a folder of its own; times are seconds."""

    data_dir: Path
    host: str = "127.0.0.1"
    """IP address for RTP."""
    advertise: str | None = None
    """Address in SDP. None: `host`."""
    port_min: int = 16384
    port_max: int = 32766
    linger_s: float = 120.0
    """Until it ends by itself when nobody uses it."""
    session_ttl_s: int = 3600
    """Silence until it drops a session: what an engine that never came back leaves behind. Phones on hold send
    nothing, and nor does anybody while a phone rings, so it must outlast those by far."""
    command_deadline_s: float = 1.0


class RelayRestarted(Struct, frozen=True):
    """The relay died and another took its place: sessions of `lost_instance` have no media any more."""

    lost_instance: str
    new_instance: str


class RelayChild:
    """The relay process of this node; `relay` is its client, always of the instance that runs now."""

    def __init__(self, settings: RelaySettings, relay: Relay, running: Running) -> None:
        self._settings = settings
        self._running = running
        self._listeners: list[Callable[[RelayRestarted], None]] = []
        self._restarting: asyncio.Task[None] | None = None
        self._pidfd = -1
        self._is_stopping = False
        self._gone = asyncio.Event()
        self.relay = relay
        self._watch()
        self._holding = asyncio.get_running_loop().create_task(self._hold())

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def instance(self) -> str:
        return self._running.address.instance

    def on_restart(self, listener: Callable[[RelayRestarted], None]) -> None:
        """Call `listener`, on the event loop, each time that the relay died and was replaced."""
        self._listeners.append(listener)

    async def stop(self) -> None:
        """End the relay, within a second, and let go of it. Doing it again does nothing."""
        if self._is_stopping:
            return
        await self._let_go()
        if self._pidfd < 0:  # it had died; what was to replace it may be up already
            running = _read(self._settings.data_dir / ADDRESS_FILE)
            if running is None or not _is_locked(self._settings.data_dir / LOCK_FILE):
                return
            self._running = running
            self._watch()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._gone.is_set():
                _signal(self._pidfd, number)
            try:
                await asyncio.wait_for(self._gone.wait(), _STOP_DEADLINE_S)
                break
            except TimeoutError:
                _log.warning("relay_did_not_stop", pid=self.pid, signal=number)
        self._unwatch()

    async def detach(self) -> None:
        """Let go of the relay and leave it running, for the next engine to take up. Doing it again does nothing."""
        if self._is_stopping:
            return
        await self._let_go()
        self._unwatch()

    async def _let_go(self) -> None:
        self._is_stopping = True
        self.relay.close_client()
        tasks = [self._holding] if self._restarting is None else [self._holding, self._restarting]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _hold(self) -> None:
        """Show the relay that an engine is there: for want of calls it would think itself left behind, and end."""
        await self.relay.watch(self._settings.linger_s / _SIGNS_OF_LIFE)  # that it died is noticed by `_died`

    # --- watching ----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Notice the death of the process, whether or not it is our child."""
        self._gone.clear()
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            asyncio.get_running_loop().call_soon(self._died)
            return
        asyncio.get_running_loop().add_reader(self._pidfd, self._died)

    def _unwatch(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _died(self) -> None:
        _reap(self.pid)
        self._gone.set()
        if self._is_stopping:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            return
        self._unwatch()
        _log.error("relay_died", pid=self.pid, instance=self.instance)
        self.relay.close_client("the relay died")
        self._restarting = asyncio.get_running_loop().create_task(self._restart())

    async def _restart(self) -> None:
        """Start relays until one stays, ever less often."""
        lost = self.instance
        backoff_s = 0.1
        while True:
            try:
                self._running = await _start_or_find(self._settings)
                await self.relay.retarget(self._running.address)
                await self.relay.ping()
                break
            except RelayUnavailable as error:
                _log.error("relay_not_restarted", error=str(error), retry_in_s=backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _MOST_BACKOFF_S)
        self._watch()
        _log.warning("relay_restarted", pid=self.pid, lost_instance=lost, instance=self.instance)
        for listener in self._listeners:
            listener(RelayRestarted(lost, self.instance))


async def ensure_relay(settings: RelaySettings) -> RelayChild:
    """Return the relay of `settings.data_dir`: the one that runs there, else a new one.

    A running one with other ports or another address is replaced if it has no sessions, and kept if it has.

    Raises:
        RelayUnavailable: it does not start; its log's last line says why.
    """
    for _ in range(_TRIES):
        running = await _start_or_find(settings)
        relay = await Relay.connect(running.address, deadline_s=settings.command_deadline_s)
        try:
            info = await relay.ping()
        except RelayUnavailable:
            relay.close_client()  # found in the moment of its death, or while it could not keep up
            continue
        child = RelayChild(settings, relay, running)
        if info.sessions > 0 or _is_as_wanted(running, settings):
            return child
        await child.stop()
    raise RelayUnavailable(
        f"the relay of {settings.data_dir} does not answer: {_last_line(settings.data_dir / LOG_FILE)}"
    )


def _is_as_wanted(running: Running, settings: RelaySettings) -> bool:
    address = (running.address.media_host, running.host, running.port_min, running.port_max)
    return address == (settings.advertise or settings.host, settings.host, settings.port_min, settings.port_max)


async def _start_or_find(settings: RelaySettings) -> Running:
    """Return the relay of the folder as its address file describes it; start one if the lock is free."""
    data = settings.data_dir
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    pid: int | None = None
    deadline = asyncio.get_running_loop().time() + _START_DEADLINE_S
    try:
        while asyncio.get_running_loop().time() < deadline:
            is_locked = _is_locked(data / LOCK_FILE)
            running = _read(data / ADDRESS_FILE)
            # While one starts, the file of one that was killed may still be there for a moment.
            if running is not None and is_locked and pid in {None, running.pid}:
                pid = None
                return running
            if pid is not None and (status := _reap(pid)) is not None:
                pid = None
                if status != EXIT_ALREADY_RUNNING:  # else another engine was faster: take up the one that it started
                    raise RelayUnavailable(f"the relay ended at once ({status}): {_last_line(data / LOG_FILE)}")
            elif pid is None and not is_locked:
                pid = _spawn(settings)
            await asyncio.sleep(_POLL_S)
    finally:
        if pid is not None:  # given up or cancelled: nobody is going to know of it
            _kill(pid)
    raise RelayUnavailable(f"the relay is not up after {_START_DEADLINE_S} s: {_last_line(data / LOG_FILE)}")


def _spawn(settings: RelaySettings) -> int:
    """Start a relay in a session of its own, so that the terminal's Ctrl-C passes it by; return its pid."""
    command = [sys.executable, "-m", "ringbridge.adapters.relay.process", "--data", str(settings.data_dir.resolve())]
    command += ["--host", settings.host, "--port-min", str(settings.port_min), "--port-max", str(settings.port_max)]
    command += ["--linger", str(settings.linger_s), "--session-ttl", str(settings.session_ttl_s)]
    if settings.advertise:
        command += ["--advertise", settings.advertise]
    log = str(settings.data_dir / LOG_FILE)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    environment = os.environ  # noqa: TID251  handed on to the child, not read
    return os.posix_spawn(sys.executable, command, environment, file_actions=actions, setsid=True)


def _is_locked(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _read(path: Path) -> Running | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _last_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip().rpartition("\n")[2]
    except OSError:
        return "no log"


def _reap(pid: int) -> int | None:
    """Return the exit status of a child that has ended; None if it has not, or is none of ours."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if ended == pid else None


def _kill(pid: int) -> None:
    """End a child that nobody uses yet; it takes a millisecond."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _signal(pidfd: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return
