"""What the terminal shows: colours and bold on a terminal, plain text into files and pipes."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ringbridge.phone.settings import PhoneEvent


class Style(Enum):
    """How a text looks on a terminal (SGR parameters)."""

    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"


class Terminal:
    """Writes lines to `stream`, styled if it is a terminal; every line is out at once."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self.is_tty = self._stream.isatty()
        self.topic = ""
        """What the last lines were about, for those who write about several things."""

    def style(self, text: str, *styles: Style) -> str:
        """Return `text` as it is to be written."""
        if not self.is_tty or not styles or not text:
            return text
        return f"\x1b[{';'.join(style.value for style in styles)}m{text}\x1b[0m"

    def line(self, text: str = "", *styles: Style) -> None:
        """Write one line."""
        print(self.style(text, *styles), file=self._stream, flush=True)

    def raw(self, text: str) -> None:
        """Write text as it is, with what steers the terminal."""
        print(text, end="", file=self._stream, flush=True)

    def phone_event(self, event: PhoneEvent) -> None:
        """Write what happened to a phone: local time, the call's number, what, and more about it."""
        at = datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S.%f")[:-3]
        call = f"call {event.call}" if event.call else ""
        name = self.style(f"{event.kind.value:<20}", *_PHONE_STYLES.get(event.kind.value, ()))
        self.line(f"{at}  {call:<8}  {name}  {event.detail}".rstrip())


_PHONE_STYLES = {
    "registered": (Style.GREEN,),
    "answered": (Style.GREEN,),
    "first-audio": (Style.CYAN,),
    "tone": (Style.CYAN,),
    "registration-failed": (Style.RED,),
    "call-failed": (Style.RED,),
    "refused": (Style.YELLOW,),
    "ended": (Style.BOLD,),
}
