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
