"""How far somebody has followed the calls of all streams, as one id that any node understands.

Calls lie in several streams of the bus, each with its own numbers, and nodes apply them side by side in an order of
their own. So one number cannot say what a client has had; one for each stream can, at every node. `tag` stands for the
streams themselves: the numbers of streams that were made again mean nothing to those who knew the old ones.

Written as `1f0c9a2b-3.0.z.0.0.k1.0.0`: the tag, and the positions to base 36.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

MARK_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-z]{1,13}(\.[0-9a-z]{1,13}){0,15}$"
_MARK: Final = re.compile(MARK_PATTERN.removesuffix("$"))
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Mark(msgspec.Struct, frozen=True):
    """A position in each stream of calls; that of the stream `n` lies at `positions[n]`."""

    tag: str
    positions: tuple[int, ...]

    @property
    def text(self) -> str:
        """What a client keeps and sends back."""
        return f"{self.tag}-{'.'.join(map(_to_base_36, self.positions))}"

    def reaches(self, floor: Mark) -> bool:
        """Return whether it is of the same streams and in none of them before `floor`."""
        return (
            self.tag == floor.tag
            and len(self.positions) == len(floor.positions)
            and all(mine >= its for mine, its in zip(self.positions, floor.positions, strict=True))
        )

    def has(self, position: int) -> bool:
        """Return whether the message at `position` lies at or before it."""
        return position <= self.positions[position % len(self.positions)]

    def passing(self, position: int) -> Mark:
        """Return the mark that has everything of this one, and the message at `position`."""
        if self.has(position):
            return self
        positions = list(self.positions)
        positions[position % len(positions)] = position
        return Mark(self.tag, tuple(positions))

    def joined(self, other: Mark) -> Mark:
        """Return the mark that has what either has, both being of the same streams."""
        return Mark(self.tag, tuple(map(max, self.positions, other.positions)))


def tag_of(incarnations: Iterable[str]) -> str:
    """Return the tag of streams by what tells each from one that was made again under its name."""
    return blake2b("\0".join(incarnations).encode(), digest_size=4).hexdigest()


def parse_mark(text: str) -> Mark:
    """Return the mark that a client sends back.

    Raises:
        ValueError: it is none of ours.
    """
    if not _MARK.fullmatch(text):
        raise ValueError("no id of an event")
    tag, _, positions = text.partition("-")
    return Mark(tag, tuple(int(one, 36) for one in positions.split(".")))


def _to_base_36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
