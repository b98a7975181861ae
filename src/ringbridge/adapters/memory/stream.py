"""A stream of the bus in memory."""

from __future__ import annotations

import asyncio

import msgspec

from ringbridge.model.errors import Conflict


class Entry(msgspec.Struct, frozen=True):
    """One message of a stream; `removed` marks a deleted key."""

    sequence: int
    subject: str
    payload: bytes
    removed: bool


class MemoryStream:
    """One stream: its messages, and the last of each subject tree."""

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.entries: list[Entry] = []
        self.last: dict[str, Entry] = {}
        self.changed = asyncio.Event()

    def store(
        self, subject: str, payload: bytes, *, tree: str, expected: int | None = None, removed: bool = False
    ) -> int:
        self.check(tree, expected)
        entry = Entry(len(self.entries) + 1, subject, payload, removed)
        self.entries.append(entry)
        self.last[tree] = entry
        self.changed.set()
        self.changed = asyncio.Event()
        return entry.sequence

    def check(self, tree: str, expected: int | None) -> None:
        """Return if `expected`, where given, is the last sequence under `tree`.

        Raises:
            Conflict: it is not.
        """
        last = self.last.get(tree)
        if expected is not None and expected != (last.sequence if last else 0):
            raise Conflict
