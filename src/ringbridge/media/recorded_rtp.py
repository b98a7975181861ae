"""What RTPProxy writes of a call, and where on the recording's time line each packet belongs.

A file holds the packets that came from one leg, each behind a header of 30 bytes (`pkt_hdr_adhoc` of its
`rtpp_record_adhoc.h`, in the byte order of its machine): source address, time of arrival, length. Only G.711 is heard;
telephone-events and comfort noise are passed over.

Packets of one stream (RFC 3550 §5.1, SSRC) follow each other by their timestamps, so that jitter on the way is not
heard as clicks. A stream begins where its first packet arrived, and is set down anew wherever arrival and timestamp
have come apart: a phone that was on hold, another phone after a transfer, clocks that differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct as Layout
from typing import Final

from msgspec import Struct

from ringbridge.media.g711 import SAMPLE_RATE, SILENCE

_RECORD: Final = Layout("=H18xdH")
_AF_INET: Final = 2
_AF_INET6: Final = 10
_RTP: Final = Layout("!BBHII")
_APART_S: Final = 0.4
"""More than the jitter that a phone's buffer takes."""


class Packet(Struct, frozen=True, gc=False):
    """One packet of G.711. `arrived_at` is epoch seconds."""

    arrived_at: float
    payload_type: int
    timestamp: int
    ssrc: int
    payload: bytes


def read_packets(data: memoryview) -> Iterator[Packet]:
    """Yield the packets of a file, up to where it was cut off: its relay died, or the disk was full."""
    at = 0
    while at + _RECORD.size <= len(data):
        family, arrived_at, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if family not in (_AF_INET, _AF_INET6) or at + length > len(data):
            return
        packet = _packet(arrived_at, data[at : at + length])
        at += length
        if packet is not None:
            yield packet


def _packet(arrived_at: float, data: memoryview) -> Packet | None:
    """Return an RTP packet (RFC 3550 §5.1) that can be heard."""
    if len(data) < _RTP.size or data[0] >> 6 != 2:
        return None
    flags, marked_type, _, timestamp, ssrc = _RTP.unpack_from(data)
    payload_type = marked_type & 0x7F
    if payload_type not in SILENCE:
        return None
    begins = _RTP.size + 4 * (flags & 0x0F)
    if flags & 0x10 and len(data) >= begins + 4:
        begins += 4 + 4 * int.from_bytes(data[begins + 2 : begins + 4])
    ends = len(data) - (data[-1] if flags & 0x20 else 0)
    payload = bytes(data[begins:ends]) if begins < ends else b""
    return Packet(arrived_at, payload_type, timestamp, ssrc, payload) if payload else None


class TimeLine:
    """Where the packets of one leg belong, in samples since `began_at` (epoch seconds)."""

    def __init__(self, began_at: float) -> None:
        self._began_at = began_at
        self._ssrc: int | None = None
        self._timestamp = 0
        self._position = 0

    def place(self, packet: Packet) -> int:
        """Return the position of a packet's first sample; packets come in the order of their arrival."""
        arrived = round((packet.arrived_at - self._began_at) * SAMPLE_RATE)
        if packet.ssrc == self._ssrc:
            ahead = (packet.timestamp - self._timestamp + 0x80000000) % 0x100000000 - 0x80000000
            position = self._position + ahead
            if abs(position - arrived) <= _APART_S * SAMPLE_RATE:
                return position
        self._ssrc, self._timestamp, self._position = packet.ssrc, packet.timestamp, arrived
        return arrived
