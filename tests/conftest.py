"""What every test may ask for: free ports, a folder for data, processes that end with the test."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("repeatable")

StartProcess = Callable[..., subprocess.Popen[bytes]]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that did not run has not passed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    unrun = [kind for kind in ("skipped", "xfailed") if reporter and reporter.stats.get(kind)]
    if unrun and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _own_settings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for variable in [name for name in os.environ if name.startswith("RINGBRIDGE_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Give ports of the loopback address that are free for UDP and TCP alike, never the same twice in one test."""
    given: set[int] = set()

    def find() -> int:
        for _ in range(100):
            with socket.socket(type=socket.SOCK_STREAM) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                tcp.bind(("127.0.0.1", 0))
                port = int(tcp.getsockname()[1])
                try:
                    udp.bind(("127.0.0.1", port))
                except OSError:
                    continue
            if port not in given:
                given.add(port)
                return port
        raise AssertionError("no port is free for both UDP and TCP")

    return find


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Give an empty folder whose path is short enough to hold a unix socket (107 bytes)."""
    path = Path(tempfile.mkdtemp(prefix="rb-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start_process() -> Iterator[StartProcess]:
    """Start a process as `subprocess.Popen` does; it is ended, by its own pid, when the test is over."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*args: object, **kwargs: object) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = subprocess.Popen(list(map(str, args)), **kwargs)  # type: ignore[call-overload] # kwargs are Popen's own
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        end_process(process)


def end_process(process: subprocess.Popen[bytes], grace_s: float = 5.0) -> int:
    """Ask one process to end, make it end after `grace_s` seconds, and return its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    return process.returncode
