"""A child process whose output a test waits for, line by line, each time with a deadline."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

LAST_LINES_S = 0.5


class ChildError(AssertionError):
    """The child did not say or do in time what the test waits for; the message holds its last lines."""


class Child:
    """One process of ours or of a peer; standard error is read together with standard output."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, output: asyncio.StreamReader) -> None:
        self.name = name
        self.lines: list[str] = []
        self._process = process
        self._output = output
        self._read = 0
        self._more = asyncio.Condition()
        self._ended = False
        self._reader = asyncio.create_task(self._read_lines())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def wait_for(self, pattern: str, deadline_s: float = 10.0) -> re.Match[str]:
        """Return the match of the next line that `pattern` is found in; lines before it are passed over.

        Raises:
            ChildError: no such line within `deadline_s` seconds, or the output ended.
        """
        expression = re.compile(pattern)
        end = time.monotonic() + deadline_s
        async with self._more:
            while True:
                while self._read < len(self.lines):
                    self._read += 1
                    if found := expression.search(self.lines[self._read - 1]):
                        return found
                if self._ended:
                    raise ChildError(self._story(f"ended without saying {pattern!r}"))
                try:
                    await asyncio.wait_for(self._more.wait(), end - time.monotonic())
                except TimeoutError:
                    raise ChildError(self._story(f"did not say {pattern!r} in {deadline_s} s")) from None

    async def wait_exit(self, deadline_s: float = 10.0) -> int:
        """Return the exit status, negative for the signal that ended it.

        Raises:
            ChildError: still running after `deadline_s` seconds.
        """
        try:
            status = await asyncio.wait_for(self._process.wait(), deadline_s)
        except TimeoutError:
            raise ChildError(self._story(f"still runs after {deadline_s} s")) from None
        # Its last lines are in the pipe by now; a grandchild may hold that open much longer.
        await asyncio.wait([self._reader], timeout=LAST_LINES_S)
        return status

    async def stop(self, number: signal.Signals = signal.SIGTERM, deadline_s: float = 10.0) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        self.send(number)
        return await self.wait_exit(deadline_s)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def end(self, grace_s: float = 5.0) -> None:
        """End the process whatever it does: the last step of every test."""
        self.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self._process.wait()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read_lines(self) -> None:
        try:
            while line := await self._output.readline():
                async with self._more:
                    self.lines.append(line.decode(errors="replace").rstrip("\r\n"))
                    self._more.notify_all()
        finally:
            async with self._more:
                self._ended = True
                self._more.notify_all()

    def _story(self, fault: str) -> str:
        return "\n".join([f"{self.name} (pid {self.pid}) {fault}; its last lines:", *self.lines[-40:]])


@asynccontextmanager
async def running(
    *args: object, name: str | None = None, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[Child]:
    """Run a program for the length of a block.

    Args:
        args: program and arguments.
        name: what messages call it; the program's own name when None.
        env: its whole environment; None is ours.
        cwd: its working folder; None is ours.
    """
    # The pipe is ours, since asyncio's own makes `wait` last until every grandchild has closed it too.
    ours, theirs = os.pipe()
    output = asyncio.StreamReader(limit=1024 * 1024)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(ours, "rb", buffering=0)
    )
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *map(str, args), stdin=asyncio.subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env, cwd=cwd
            )
        finally:
            os.close(theirs)
        child = Child(name or Path(str(args[0])).name, process, output)
        try:
            yield child
        finally:
            await child.end()
    finally:
        transport.close()
