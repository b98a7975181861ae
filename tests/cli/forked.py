"""Commands in processes of their own, forked from one that has imported the program already: 20 ms each, not 500."""

import asyncio
import multiprocessing
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ringbridge.cli import main

DEADLINE_S = 30.0

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.cli.warm", "tests.cli.forked"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str


async def command(*args: object) -> Outcome:
    """Run `ringbridge` with arguments to its end."""
    with tempfile.TemporaryDirectory(prefix="rb-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _FORKS.Process(target=_run, args=(list(map(str, args)), out, err, dict(os.environ)))
        process.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await _ended(process.sentinel)
        finally:
            if process.is_alive():
                process.kill()
            process.join()
        return Outcome(process.exitcode or 0, _text(out), _text(err))


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def _ended(sentinel: int) -> None:
    """Wait until a process has ended, which its sentinel can be read for."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(sentinel)


def _run(args: list[str], out: Path, err: Path, environment: dict[str, str]) -> None:
    """Be the program `ringbridge`."""
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        stream.flush()
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.dup2(file, stream.fileno())
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["ringbridge", *args]
    main()
