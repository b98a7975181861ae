"""A PostgreSQL server of our own in a temporary folder: loopback only, as a user without rights, ended by its pid."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from ringbridge.bench.processes import free_port

START_S = 20.0
SERVERS = "/usr/lib/postgresql"
"""Where Debian keeps them, by version, and no PATH looks."""


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs."""
    folders = sorted(Path(SERVERS).glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join(map(str, folders)))
    assert found is not None, f"{name} is not installed: apt-get install postgresql-15"
    return found


def _without_rights() -> dict[str, Any]:
    """Return how a process is started: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server for the length of a block; yield its URL without a database's name."""
    rights = _without_rights()
    with tempfile.TemporaryDirectory(prefix="ringbridge-pg-", dir="/tmp") as name:
        folder = Path(name)
        if rights:
            os.chown(folder, rights["user"], rights["group"])
        data, port = folder / "data", free_port()
        make = [program("initdb"), "--pgdata", str(data), "--username", "ringbridge", "--auth", "trust", "--no-sync"]
        subprocess.run(
            [*make, "--encoding", "UTF8", "--locale", "C"], check=True, stdout=subprocess.DEVNULL, cwd=folder, **rights
        )
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        command = [program("postgres"), "-D", str(data)]
        for option, value in options.items():
            command += ["-c", f"{option}={value}"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **rights)
        url = f"postgresql://ringbridge@127.0.0.1:{port}"
        try:
            _wait(url, server, folder / "log")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # "fast": clients are cut off
            server.wait(START_S)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(int(START_S / 0.05)):
        try:
            psycopg.connect(f"{url}/postgres", connect_timeout=1).close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            signal.sigtimedwait([], 0.05)
    raise AssertionError(log.read_text())


def new_database(url: str, name: str) -> str:
    """Make a database, and return its URL."""
    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{url}/{name}"
