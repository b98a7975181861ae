"""The terminal as one screen that is drawn anew: left as it was found, whatever ends the program."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import termios
import tty
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from ringbridge.cli.terminal import Terminal

ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""The other screen, so that what was on this one is there again afterwards; and no cursor (xterm's private modes)."""
LEAVE: Final = "\x1b[?25h\x1b[?1049l"
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
QUIT: Final = frozenset(b"qQ")


class Screen:
    """A screen; `left` is set when the user presses q."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.left = asyncio.Event()
        self._mode: list[Any] | None = None

    def __enter__(self) -> Self:
        if sys.stdin.isatty():
            file = sys.stdin.fileno()
            self._mode = termios.tcgetattr(file)
            tty.setcbreak(file)  # keys come at once and are not shown; Ctrl-C is a signal still
            asyncio.get_running_loop().add_reader(file, self._on_key)
        self._write(ENTER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(LEAVE)
        if self._mode is not None:
            file = sys.stdin.fileno()
            asyncio.get_running_loop().remove_reader(file)
            termios.tcsetattr(file, termios.TCSADRAIN, self._mode)

    def size(self) -> tuple[int, int]:
        """Return its columns and lines."""
        columns, lines = shutil.get_terminal_size()
        return columns, lines

    def draw(self, lines: Sequence[str]) -> None:
        """Show `lines`, in place of what was there, without a flicker."""
        self._write(HOME + "\r\n".join(f"{line}{REST_OF_LINE}" for line in lines) + REST_OF_SCREEN)

    def _on_key(self) -> None:
        keys = os.read(sys.stdin.fileno(), 64)
        if not keys or QUIT & set(keys):
            self.left.set()

    def _write(self, text: str) -> None:
        self.terminal.raw(text)
