"""Where pages of CDRs ended, so that the next is found at once however deep it lies, and continues exactly there.

A program that counts `start` up by itself asks for item 900,001 of a list that grows at its head. Passing over 900,000
is slow, and repeats as many as have come meanwhile. So what each token was told last is remembered for a while: the
page that begins where another ended goes on behind its last CDR, as the `next` link does by `after`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import TypeAlias
from urllib.parse import urlencode

from ringbridge.model.cdr_query import Place

Key: TypeAlias = tuple[bytes, int]
"""`list_of` a token, a path and filters, and the `start` that the place is for."""

KEPT_S = 300.0
KEPT = 4096


def list_of(key_id: str, path: str, filters: Mapping[str, str]) -> bytes:
    """Return what stands for a list that a token pages through: short, however long its path and filters are."""
    return blake2b("\0".join((key_id, path, urlencode(sorted(filters.items())))).encode(), digest_size=16).digest()


class Places:
    """The places that pages ended at, for as long as somebody may page on."""

    def __init__(self) -> None:
        self._places: OrderedDict[Key, tuple[float, Place]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def remember(self, key: Key, place: Place, *, now: float) -> None:
        """Keep where the page before `key` ended."""
        self._places[key] = (now + KEPT_S, place)
        self._places.move_to_end(key)
        if len(self._places) > KEPT:
            self._places.popitem(last=False)
        while next(iter(self._places.values()))[0] <= now:
            self._places.popitem(last=False)

    def find(self, key: Key, *, now: float) -> Place | None:
        """Return where the page before `key` ended, if that was just told."""
        ends, place = self._places.get(key, (0.0, None))
        return place if now < ends else None
