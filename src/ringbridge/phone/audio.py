"""What the built-in phone says and hears: tones and WAV files as ready frames, and tones found in what came in."""

from __future__ import annotations

import wave
from array import array
from collections.abc import Sequence
from math import cos, gcd, log10, pi
from pathlib import Path
from typing import Final

from msgspec import Struct

from ringbridge.media import g711
from ringbridge.media.tones import sine

FRAME_SAMPLES: Final = 160
"""20 ms, as everybody sends it (RFC 3551 §4.2)."""
FRAME_S: Final = FRAME_SAMPLES / g711.SAMPLE_RATE
_FULL_SCALE: Final = 32768.0


class HeardTone(Struct, frozen=True):
    """A tone in what was heard: `level_db` below a full-scale sine wave, `share` of all the sound's power (0 to 1)."""

    frequency_hz: float
    level_db: float
    share: float


# --- to be sent ------------------------------------------------------------------------------------------------------


def tone_frames(frequency_hz: int, payload_type: int) -> tuple[bytes, ...]:
    """Return frames of 20 ms that repeat without a click; computed once, so that sending costs nothing.

    Raises:
        ValueError: the frequency is not one that a telephone carries.
    """
    if not 50 <= frequency_hz <= 3400:
        raise ValueError(f"{frequency_hz} Hz does not pass a telephone (50 to 3400)")
    frames_a_second = g711.SAMPLE_RATE // FRAME_SAMPLES
    count = frames_a_second // gcd(frequency_hz, frames_a_second)
    return frames(sine((frequency_hz,), count * FRAME_SAMPLES), payload_type)


def frames(samples: Sequence[int], payload_type: int) -> tuple[bytes, ...]:
    """Return samples cut into frames of 20 ms; the last is filled up with silence."""
    payload = g711.encode(samples, payload_type)
    cut = [payload[start : start + FRAME_SAMPLES] for start in range(0, len(payload), FRAME_SAMPLES)]
    if cut:
        cut[-1] = cut[-1].ljust(FRAME_SAMPLES, g711.SILENCE[payload_type])
    return tuple(cut)


# --- heard -----------------------------------------------------------------------------------------------------------

_STEP_HZ: Final = 10
_LOWEST_HZ: Final = 200
_HIGHEST_HZ: Final = 2000
_WINDOW: Final = 800
"""Samples of the search: 100 ms, which tells tones 10 Hz apart."""
_LEAST_SHARE: Final = 0.1


def heard_tones(samples: Sequence[int]) -> tuple[HeardTone, ...]:
    """Return the tones in the last 100 ms of what was heard, loudest first; empty for silence, speech or noise.

    By Goertzel's recurrence, over 200 to 2000 Hz, to 5 Hz. It takes some 15 ms: for now and then, not for every packet.
    """
    window = samples[-_WINDOW:]
    power = sum([sample * sample for sample in window]) / max(len(window), 1)
    if len(window) < _WINDOW or power < 100.0:
        return ()
    grid = [_power_at(window, hertz) for hertz in range(_LOWEST_HZ, _HIGHEST_HZ + 1, _STEP_HZ)]
    peaks = [
        index
        for index in range(1, len(grid) - 1)
        if grid[index - 1] < grid[index] >= grid[index + 1] and grid[index] >= _LEAST_SHARE * power
    ]
    found = []
    for index in peaks:
        near = _LOWEST_HZ + index * _STEP_HZ
        best_power, best_hz = max([(_power_at(window, hertz), hertz) for hertz in (near - 5, near, near + 5)])
        level_db = 10 * log10(2 * best_power / _FULL_SCALE**2)
        found.append(HeardTone(best_hz, level_db, min(best_power / power, 1.0)))
    return tuple(sorted(found, key=lambda tone: -tone.share))


def hears(samples: Sequence[int], frequency_hz: float, *, tolerance_hz: float = 10) -> bool:
    """Return whether `frequency_hz` is among the tones in the last 100 ms of `samples`."""
    return any(abs(tone.frequency_hz - frequency_hz) <= tolerance_hz for tone in heard_tones(samples))


def _power_at(window: Sequence[int], frequency_hz: float) -> float:
    """Return the mean power of a sine wave of `frequency_hz` in `window`."""
    coefficient = 2 * cos(2 * pi * frequency_hz / g711.SAMPLE_RATE)
    last = before = 0.0
    for sample in window:
        last, before = sample + coefficient * last - before, last
    energy = last * last + before * before - coefficient * last * before
    return 2 * energy / len(window) ** 2


# --- files -----------------------------------------------------------------------------------------------------------


def read_wav(path: Path) -> array[int]:
    """Return the samples of a WAV file: 8000 Hz, 16 bits, one channel.

    Raises:
        ValueError: it is another kind of file; what it should be is said.
        OSError: it cannot be read.
    """
    try:
        with wave.open(str(path), "rb") as file:
            found = (file.getframerate(), file.getsampwidth(), file.getnchannels())
            content = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is no WAV file: {error}") from error
    if found != (g711.SAMPLE_RATE, 2, 1):
        rate, width, channels = found
        raise ValueError(f"{path} has {rate} Hz, {8 * width} bits, {channels} channels; 8000 Hz, 16 bits, 1 is needed")
    return array("h", content)


def write_wav(path: Path, samples: array[int]) -> None:
    """Write samples as a WAV file that `read_wav` takes."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(g711.SAMPLE_RATE)
        file.writeframes(samples.tobytes())
