"""G.711, both laws, between bytes and 16-bit samples, by table.

Python's own `audioop` is deprecated and gone from 3.13 on. The tables follow ITU-T G.711 (1988) tables 1a to 2b;
samples are scaled to 16 bits as everybody does (14 bits of µ-law and 13 of A-law, shifted left).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from functools import cache
from typing import Final

from ringbridge.media.sdp import PCMA, PCMU

SAMPLE_RATE: Final = 8000
"""Samples a second."""
SILENCE: Final = {PCMU.payload_type: b"\xff", PCMA.payload_type: b"\xd5"}
"""One sample of silence, by payload type."""

_BIAS: Final = 132  # added to a µ-law magnitude so that every segment begins at a power of two
_CLIP: Final = 32635


def encode(samples: Iterable[int], payload_type: int) -> bytes:
    """Return 16-bit samples in the law of a payload type (0 or 8), one byte a sample.

    Raises:
        KeyError: the payload type is another one.
    """
    table, shift, mask = _encoder(payload_type)
    return bytes([table[(sample >> shift) & mask] for sample in samples])


def decode(payload: bytes, payload_type: int) -> array[int]:
    """Return the 16-bit samples of a payload in the law of a payload type (0 or 8).

    Raises:
        KeyError: the payload type is another one.
    """
    table = _decoder(payload_type)
    return array("h", [table[byte] for byte in payload])


@cache
def _encoder(payload_type: int) -> tuple[bytes, int, int]:
    """Return a table by the upper bits of a sample, how many bits to drop, and the mask that makes it an index."""
    to_byte, shift = {PCMU.payload_type: (_to_mu_law, 2), PCMA.payload_type: (_to_a_law, 3)}[payload_type]
    size = 65536 >> shift
    half = size // 2
    table = bytes([to_byte(((index + half) % size - half) << shift) for index in range(size)])
    return table, shift, size - 1


@cache
def _decoder(payload_type: int) -> tuple[int, ...]:
    from_byte = {PCMU.payload_type: _from_mu_law, PCMA.payload_type: _from_a_law}[payload_type]
    return tuple([from_byte(byte) for byte in range(256)])


def _to_mu_law(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    segment = magnitude.bit_length() - 8
    return ~(sign | segment << 4 | (magnitude >> segment + 3) & 0x0F) & 0xFF


def _from_mu_law(byte: int) -> int:
    byte ^= 0xFF
    magnitude = (((byte & 0x0F) << 3) + _BIAS << ((byte & 0x70) >> 4)) - _BIAS
    return -magnitude if byte & 0x80 else magnitude


def _to_a_law(sample: int) -> int:
    mask = 0xD5 if sample >= 0 else 0x55
    magnitude = sample >> 3 if sample >= 0 else -(sample >> 3) - 1
    segment = max(magnitude.bit_length() - 5, 0)
    return (segment << 4 | (magnitude >> max(segment, 1)) & 0x0F) ^ mask


def _from_a_law(byte: int) -> int:
    byte ^= 0x55
    segment = (byte & 0x70) >> 4
    magnitude = ((byte & 0x0F) << 4) + 8
    if segment:
        magnitude = magnitude + 0x100 << segment - 1
    return magnitude if byte & 0x80 else -magnitude
