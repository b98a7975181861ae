"""Server-sent events as they come off the line (HTML standard §9.2.6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class ServerEvent(NamedTuple):
    """One event; `heartbeat` where only an id came."""

    event: str
    id: str
    data: str


class EventReader:
    """Takes text in any pieces; gives the events that are whole."""

    def __init__(self) -> None:
        self._rest = ""
        self._event, self._id = "", ""
        self._data: list[str] = []

    def feed(self, text: str) -> Iterator[ServerEvent]:
        """Take more text and yield what it completes."""
        # Ringbridge ends lines by LF alone; what else Unicode calls a line's end may stand in a name.
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if not line:
                if self._id or self._data:
                    yield ServerEvent(self._event or "heartbeat", self._id, "\n".join(self._data))
                self._event, self._id, self._data = "", "", []
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "event":
                    self._event = value
                case "id":
                    self._id = value
                case "data":
                    self._data.append(value)
                case _:  # a comment, or `retry`, which `watching` does not go by
                    pass
