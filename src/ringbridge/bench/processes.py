"""Child processes of a measurement: started, pinned, watched by /proc, and ended by their own id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free for UDP and TCP a moment ago."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                try:
                    udp.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
    raise OSError("no port is free for both UDP and TCP")


class Usage(msgspec.Struct, frozen=True):
    """What a process has used so far: seconds of CPU, bytes of resident memory."""

    cpu_s: float
    rss_bytes: int

    def since(self, before: Usage) -> Usage:
        """Return the difference."""
        return Usage(self.cpu_s - before.cpu_s, self.rss_bytes - before.rss_bytes)


def usage_of(pid: int) -> Usage:
    """Return what process `pid` has used, all its threads together (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage((int(fields[11]) + int(fields[12])) / TICKS, pages * os.sysconf("SC_PAGE_SIZE"))


def peak_of(pid: int) -> int:
    """Return the most resident memory that process `pid` ever had, in bytes (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def unpin(pid: int) -> None:
    """Let process `pid` with all its threads run on every core: a child inherits what its parent is held to."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), range(os.cpu_count() or 1))


class Child:
    """One process; a context that ends it."""

    def __init__(self, command: Sequence[str], *, log: Path, core: int | None = None) -> None:
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        if core is not None:
            os.sched_setaffinity(self.process.pid, {core})

    @property
    def pid(self) -> int:
        return self.process.pid

    def usage(self) -> Usage:
        """Return what it has used so far."""
        return usage_of(self.pid)

    def last_words(self) -> str:
        """Return the end of what it printed."""
        return self._log.read_text(errors="replace")[-2000:]

    def stop(self, number: int = signal.SIGTERM, deadline_s: float = 5.0) -> int:
        """End it and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def close(self) -> None:
        """End it."""
        self.stop()

    def wait(self, deadline_s: float) -> int | None:
        """Return its exit status, or None if it still runs after `deadline_s`."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return None


def ringbridge(*arguments: str) -> list[str]:
    """Return the command that runs this very Ringbridge."""
    return [sys.executable, "-m", "ringbridge", *arguments]


def wait_for_port(port: int, child: Child, *, deadline_s: float) -> None:
    """Return once something listens on TCP `port`.

    Raises:
        TimeoutError: nothing does in time, or the child has ended; with its last words.
    """
    until = time.monotonic() + deadline_s
    while time.monotonic() < until and child.process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}:\n{child.last_words()}")
