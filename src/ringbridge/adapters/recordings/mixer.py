"""Makes one WAV of what the relay wrote of a call: `python -m ringbridge.adapters.recordings.mixer OUT o:FILE t:FILE`.

A process of its own, at a low priority, since an hour of talk is some seconds of work. The first leg is on the
left, the second on the right, 8000 Hz, 16 bits: what every browser plays. The whole file is allocated before anything
is written, so that a full disk is an error here and now.

It prints a JSON object, `Mixed`. Nothing is written where nothing was said.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from struct import pack
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from ringbridge.media import g711
from ringbridge.media.g711 import SAMPLE_RATE
from ringbridge.media.recorded_rtp import Packet, TimeLine, read_packets

CHANNELS: Final = {"o": 0, "t": 1}
"""By the side of the call: origination left, termination right."""
FRAME_BYTES: Final = 2 * len(CHANNELS)
HEADER_BYTES: Final = 44
PRIORITY: Final = 10
"""Below everything that a call waits for; not the lowest, which on a busy machine gets nothing at all."""
MOST_FRAMES: Final = (2**32 - 1 - HEADER_BYTES) // FRAME_BYTES
"""What a WAV file can say that it holds: 37 hours."""


class Mixed(Struct, frozen=True):
    """What came of it. `began_at` is epoch seconds; of no `frames` there is no file."""

    began_at: float
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / SAMPLE_RATE


def mix(tracks: Sequence[tuple[int, Path]], out: Path) -> Mixed:
    """Write what `tracks`, channel and file, hold to `out`, flushed to the disk.

    Raises:
        OSError: a file cannot be read, or there is no room for `out`, which is left behind in pieces.
    """
    with ExitStack() as stack:
        contents = [(channel, stack.enter_context(_mapped(path))) for channel, path in tracks]
        began_at = min((one.arrived_at for _, content in contents for one in read_packets(content)), default=0.0)
        placed = [(channel, TimeLine(began_at), content) for channel, content in contents]
        ends = (at + len(one.payload) for _, line, content in placed for at, one in _on(line, content))
        frames = min(max(ends, default=0), MOST_FRAMES)
        if frames <= 0:
            return Mixed(began_at, 0)
        with out.open("w+b") as file:
            os.posix_fallocate(file.fileno(), 0, HEADER_BYTES + frames * FRAME_BYTES)
            with mmap.mmap(file.fileno(), 0) as whole:
                whole[:HEADER_BYTES] = _header(frames)
                _write(whole, [(channel, TimeLine(began_at), content) for channel, content in contents], frames)
                whole.flush()
            os.fsync(file.fileno())
    return Mixed(began_at, frames)


def _write(whole: mmap.mmap, placed: Sequence[tuple[int, TimeLine, memoryview]], frames: int) -> None:
    with memoryview(whole) as view, view[HEADER_BYTES:] as body, body.cast("h") as samples:
        for channel, line, content in placed:
            for at, packet in _on(line, content):
                heard = g711.decode(packet.payload, packet.payload_type)
                skipped, fits = max(-at, 0), min(len(heard), frames - at)
                if skipped < fits:
                    first, last = 2 * (at + skipped) + channel, 2 * (at + fits)
                    with samples[first:last:2] as place, memoryview(heard) as whole_packet:
                        place[:] = whole_packet[skipped:fits]


def _on(line: TimeLine, content: memoryview) -> Iterator[tuple[int, Packet]]:
    for packet in read_packets(content):
        yield line.place(packet), packet


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """Give the content of a file, which may be larger than what one wants in memory."""
    if path.stat().st_size == 0:
        yield memoryview(b"")
        return
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
    ):
        yield view


def _header(frames: int) -> bytes:
    size = frames * FRAME_BYTES
    count = len(CHANNELS)
    fmt = pack("<4sIHHIIHH", b"fmt ", 16, 1, count, SAMPLE_RATE, SAMPLE_RATE * FRAME_BYTES, FRAME_BYTES, 16)
    return pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + size, b"WAVE") + fmt + pack("<4sI", b"data", size)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Mix and exit: 0, or 1 with the reason on standard error."""
    out, *listed = sys.argv[1:] if argv is None else argv
    os.nice(PRIORITY)
    tracks = [(CHANNELS[one[:1]], Path(one[2:])) for one in listed]
    try:
        mixed = mix(tracks, Path(out))
    except OSError as error:
        sys.exit(f"{error.strerror}: {error.filename or out}")
    sys.stdout.buffer.write(msgspec.json.encode(mixed))
    sys.exit(0)


if __name__ == "__main__":
    main()
