"""Tones: ringback as callers of a country know it, and plain sine waves."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import pi, sin
from typing import Final

from msgspec import Struct

from ringbridge.media.g711 import SAMPLE_RATE

PEAK: Final = 8000
"""Loudest sample of a tone: 12 dB below the most that 16 bits hold, about what exchanges send."""


class Cadence(Struct, frozen=True):
    """Frequencies in hertz that sound together, and seconds of sound and silence in turn."""

    frequencies_hz: tuple[int, ...]
    on_off_s: tuple[float, ...]


RINGBACK: Final = {
    "us": Cadence((440, 480), (2.0, 4.0)),
    "eu": Cadence((425,), (1.0, 4.0)),
    "uk": Cadence((400, 450), (0.4, 0.2, 0.4, 2.0)),
}
"""Ringback by country: ITU-T E.180 Supplement 2; `eu` is what most of the continent uses."""


HOLD: Final = (523.25, 659.25, 783.99, 659.25, 587.33, 698.46, 880.0, 698.46)
"""Hold music: an arpeggio of two chords, one note every half second, in hertz. Whoever waits knows that the line is up.

Our own, so that nobody's licence is needed; quieter than ringback (`HOLD_PEAK`), since one hears it for longer.
"""
HOLD_PEAK: Final = 3000
_NOTE_S: Final = 0.5


def hold_music() -> array[int]:
    """Return one round of the hold music as samples; each note fades, so that it repeats without a click."""
    count = round(_NOTE_S * SAMPLE_RATE)
    samples = array("h")
    for note_hz in HOLD:
        tone = sine((note_hz,), count, peak=HOLD_PEAK)
        samples.extend(round(sample * (1 - index / count)) for index, sample in enumerate(tone))
    return samples


def cadence(tone: Cadence) -> array[int]:
    """Return one period of a cadence as samples; it repeats without a click."""
    samples = array("h")
    for index, seconds in enumerate(tone.on_off_s):
        count = round(seconds * SAMPLE_RATE)
        samples.extend(sine(tone.frequencies_hz, count) if index % 2 == 0 else array("h", bytes(2 * count)))
    return samples


def sine(frequencies_hz: Sequence[float], count: int, *, peak: int = PEAK) -> array[int]:
    """Return `count` samples of sine waves that sound together, `peak` the loudest sample there can be."""
    each = peak / len(frequencies_hz)
    steps = [2 * pi * frequency / SAMPLE_RATE for frequency in frequencies_hz]
    return array("h", [round(sum([each * sin(step * index) for step in steps])) for index in range(count)])
