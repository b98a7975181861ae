"""A file as an answer, whole or one range of its bytes (RFC 9110 §14), in bounded memory."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from msgspec import Struct

from ringbridge.api.http.streamed import StreamedAnswer

CHUNK: Final = 262_144
_RANGE: Final = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")


class Part(Struct, frozen=True):
    """Bytes `start` up to before `end`; `is_whole`: no range was asked for."""

    start: int
    end: int
    is_whole: bool = False


def part_of(asked: bytes, size: int) -> Part | None:
    """Return what a `Range` header asks for of `size` bytes; None where the file has none of it (416).

    RFC 9110 §14.2: a header that is not understood is ignored, and so are several ranges at once.
    """
    found = _RANGE.fullmatch(asked.strip())
    if found is None or not (found[1] or found[2]):
        return Part(0, size, is_whole=True)
    if not found[1]:
        last = int(found[2])
        return Part(max(size - last, 0), size) if last and size else None
    start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return Part(0, size, is_whole=True)
    return Part(start, end) if start < size else None


class FileAnswer(StreamedAnswer):
    """A part of a file, read a chunk at a time; if the file goes meanwhile, the connection is cut."""

    __slots__ = ()

    def __init__(
        self, read: Callable[[int, int], Awaitable[bytes]], *, size: int, part: Part, content_type: bytes, name: str
    ) -> None:
        """`read` takes where to start and how many bytes, and answers fewer where the file ends."""
        headers = [
            (b"accept-ranges", b"bytes"),
            (b"content-disposition", f'inline; filename="{name}"'.encode()),
        ]
        if not part.is_whole:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (part.start, part.end - 1, size)))
        super().__init__(_chunks(read, part), content_type=content_type, headers=headers)
        self.status = 200 if part.is_whole else 206
        self.headers.append((b"content-length", b"%d" % (part.end - part.start)))


async def _chunks(read: Callable[[int, int], Awaitable[bytes]], part: Part) -> AsyncIterator[bytes]:
    at = part.start
    while at < part.end:
        chunk = await read(at, min(CHUNK, part.end - at))
        if not chunk:
            raise ConnectionAbortedError("the file has gone")
        at += len(chunk)
        yield chunk
