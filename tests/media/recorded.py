"""Files as RTPProxy writes them of one leg."""

from struct import pack


def rtp(payload: bytes, *, payload_type: int = 0, timestamp: int = 0, ssrc: int = 1) -> bytes:
    """Return an RTP packet."""
    return pack("!BBHII", 0x80, payload_type, 1, timestamp, ssrc) + payload


def raw(arrived_at: float, packet: bytes, *, six: bool = False) -> bytes:
    """Return a packet behind its header."""
    return pack("=H18xdH", 10 if six else 2, arrived_at, len(packet)) + packet


def talk(began_at: float, payload: bytes, *, packets: int, payload_type: int = 0, ssrc: int = 1) -> bytes:
    """Return a file of packets of 20 ms that all say the same."""
    return b"".join(
        raw(
            began_at + 0.02 * number,
            rtp(payload, payload_type=payload_type, timestamp=160 * number, ssrc=ssrc),
        )
        for number in range(packets)
    )
