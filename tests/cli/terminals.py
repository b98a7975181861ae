"""A command on a terminal of its own, as a person has it."""

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.cli.conftest import PROGRAM

COLUMNS, LINES = 100, 12
DEADLINE_S = 30.0


class OnTerminal:
    """A running command: what it has written, and keys for it."""

    def __init__(self, process: asyncio.subprocess.Process, file: int) -> None:
        self.process = process
        self.text = ""
        self._file = file
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(file, self._read)

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._file, keys.encode())

    async def sees(self, text: str) -> None:
        """Return once the command has written `text`, and forget what came before it."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while text not in self.text:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} did not come; there is {self.text!r}") from None
        self.text = self.text.partition(text)[2]

    async def ended(self) -> int:
        """Return its exit status once it has ended."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()

    @property
    def mode(self) -> list[object]:
        """The terminal's settings."""
        return list(termios.tcgetattr(self._file))

    def close(self) -> None:
        """Forget the terminal."""
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def _read(self) -> None:
        try:
            self.text += os.read(self._file, 65536).decode(errors="replace")
        except OSError:  # the other side is closed
            asyncio.get_running_loop().remove_reader(self._file)
        self._news.set()


@asynccontextmanager
async def on_terminal(*args: object) -> AsyncIterator[OnTerminal]:
    """Run `ringbridge` with arguments on a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *map(str, args),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal, as on any terminal
    )
    running = OnTerminal(process, ours)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        running.close()
        os.close(theirs)
