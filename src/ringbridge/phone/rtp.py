"""The built-in phone's end of an RTP stream (RFC 3550): one UDP port that sends a frame each 20 ms and listens.

Symmetric: packets leave from the port that hears (RFC 4961). Frames are ready bytes, so a packet costs a header and a
system call. What is heard is kept as it came and decoded only when somebody asks.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Final, Self, cast

from ringbridge.media import g711
from ringbridge.media.sdp import PCMU, TELEPHONE_EVENT, Codec
from ringbridge.phone.audio import FRAME_S, FRAME_SAMPLES, HeardTone, heard_tones

_HEADER: Final = Struct("!BBHII")
_VERSION_2: Final = 0x80
_MARKER: Final = 0x80
_DIGITS: Final = "0123456789*#ABCD"
_MOST_LATE_FRAMES: Final = 5
"""A loop that was held up longer than this skips frames instead of sending a burst."""
_HEARD_FRAMES: Final = 500
"""How much of what was heard is kept: 10 s, unless a recording is asked for."""


class RtpParty(asyncio.DatagramProtocol):
    """One party's RTP port. Times are those of the event loop's clock, in seconds; None until it happened."""

    def __init__(
        self, *, ssrc: int, codec: Codec = PCMU, event_payload_type: int = TELEPHONE_EVENT.payload_type
    ) -> None:
        self._codec = codec
        self._event_payload_type = event_payload_type
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._remote: tuple[str, int] | None = None
        self._frames: tuple[bytes, ...] = ()
        self._is_repeated = True
        self._next_frame = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self.ssrc = ssrc
        self._sequence = ssrc & 0x7FFF
        self._timestamp = (ssrc * 7919) & 0x7FFFFFFF
        self._is_first = True
        self._heard: deque[tuple[int, bytes]] = deque(maxlen=_HEARD_FRAMES)
        self._last_sequence: int | None = None
        self._last_event: int | None = None
        self._heard_ssrc: int | None = None
        self.host = ""
        self.port = 0
        self.sent = 0
        self.received = 0
        self.lost = 0
        """Packets that are missing by their sequence numbers; one that comes late counts as lost too."""
        self.first_sent_at: float | None = None
        self.first_received_at: float | None = None
        self.last_received_at: float | None = None
        self.hearing = asyncio.Event()
        """Set with the first packet that comes in."""
        self.on_stream: Callable[[int], None] | None = None
        """Told the SSRC of each new stream, at its first packet: a prompt of the relay, then the other party."""
        self.digits = ""
        """DTMF heard as telephone-events (RFC 4733), in order."""

    @classmethod
    async def open(cls, host: str = "127.0.0.1", port: int = 0, *, ssrc: int, codec: Codec = PCMU) -> Self:
        """Return a party that listens on `host` and `port` (0: any free, even one) and sends nothing yet.

        `ssrc` is its random name in the stream (RFC 3550 §8), of 32 bits; sequence and timestamp begin from it.

        Raises:
            OSError: the port cannot be had.
        """
        loop = asyncio.get_running_loop()
        for _ in range(50):
            transport, party = await loop.create_datagram_endpoint(
                lambda: cls(ssrc=ssrc, codec=codec), local_addr=(host, port)
            )
            if port or party.port % 2 == 0:
                return party
            transport.close()  # RFC 3550 §11: RTP has the even port, RTCP the odd one above it
        raise OSError(f"no free even port on {host}")

    # --- sending -----------------------------------------------------------------------------------------------------

    def send_to(self, host: str, port: int) -> None:
        """Send what is played to `host` and `port` from now on."""
        self._remote = (host, port)

    def use(self, codec: Codec) -> None:
        """Send in `codec` from now on, which the frames given to `play` next must be in; it must be a G.711 one."""
        self._codec = codec

    def play(self, ready: Sequence[bytes], *, repeat: bool = True) -> None:
        """Send `ready` (frames of 20 ms in our codec) from now on, once or over and over; then, silence."""
        self._frames = tuple(ready) or (g711.SILENCE[self._codec.payload_type] * FRAME_SAMPLES,)
        self._is_repeated = repeat
        self._next_frame = 0
        if self._timer is None:
            self._due_at = self._loop.time()
            self._tick()

    def pause(self) -> None:
        """Send nothing until `play` is called again, as a phone on hold does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_first = True

    def close(self) -> None:
        """Stop, and give the port back; counts and what was heard stay readable."""
        self.pause()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _tick(self) -> None:
        now = self._loop.time()
        late = int((now - self._due_at) / FRAME_S)
        if late > _MOST_LATE_FRAMES:
            self._timestamp += late * FRAME_SAMPLES
            self._due_at += late * FRAME_S
        while self._due_at <= now:
            self._send_frame(now)
            self._due_at += FRAME_S
        self._timer = self._loop.call_at(self._due_at, self._tick)

    def _send_frame(self, now: float) -> None:
        frame = self._frames[self._next_frame]
        self._next_frame += 1
        if self._next_frame == len(self._frames):
            self._next_frame = 0
            if not self._is_repeated:
                self._frames = (g711.SILENCE[self._codec.payload_type] * FRAME_SAMPLES,)
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        if self._remote is None or self._transport is None:
            return
        # RFC 3551 §4.1: the marker stands on the first packet after silence.
        payload_type = self._codec.payload_type | (_MARKER if self._is_first else 0)
        self._sequence = (self._sequence + 1) & 0xFFFF
        header = _HEADER.pack(_VERSION_2, payload_type, self._sequence, self._timestamp, self.ssrc)
        self._transport.sendto(header + frame, self._remote)
        self._is_first = False
        self.sent += 1
        if self.first_sent_at is None:
            self.first_sent_at = now

    # --- hearing -----------------------------------------------------------------------------------------------------

    def record_all(self) -> None:
        """Keep everything that is heard from now on, for `samples`; otherwise the last 10 s are kept."""
        self._heard = deque(self._heard)

    def samples(self, *, last_s: float | None = None) -> array[int]:
        """Return what was heard, decoded: all that is kept, or about the last `last_s` seconds."""
        heard: Iterable[tuple[int, bytes]] = self._heard
        if last_s is not None:
            wanted = int(last_s * g711.SAMPLE_RATE)
            recent: list[tuple[int, bytes]] = []
            for packet in reversed(self._heard):
                if wanted <= 0:
                    break
                recent.append(packet)
                wanted -= len(packet[1])
            heard = reversed(recent)
        decoded = array("h")
        for payload_type, payload in heard:
            decoded.extend(g711.decode(payload, payload_type))
        return decoded

    def heard_tones(self) -> tuple[HeardTone, ...]:
        """Return the tones in the last 100 ms that were heard, loudest first."""
        return heard_tones(self.samples(last_s=0.12))

    def forget(self) -> None:
        """Forget what was heard so far; counts stay."""
        self._heard.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's is one, though not by descent
        self.host, self.port = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002  asyncio's signature
        if len(data) < _HEADER.size or data[0] >> 6 != 2:
            return
        now = self._loop.time()
        flags, marked_type, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        payload_type = marked_type & 0x7F
        payload = data[_HEADER.size + 4 * (flags & 0x0F) :]
        if payload_type == self._event_payload_type:
            self._hear_event(payload, timestamp)
        elif payload_type in g711.SILENCE:
            self._heard.append((payload_type, payload))
        else:
            return
        self.received += 1
        self.last_received_at = now
        if self.first_received_at is None:
            self.first_received_at = now
            self.hearing.set()
        self._count_lost(sequence)
        if ssrc != self._heard_ssrc:
            self._heard_ssrc = ssrc
            if self.on_stream is not None:
                self.on_stream(ssrc)

    def error_received(self, exc: Exception) -> None:
        """Pass over ICMP errors: the other side is not there yet, or no longer (RFC 3550 has no answer to them)."""

    def _hear_event(self, payload: bytes, timestamp: int) -> None:
        """Note a digit once: all packets of one event have its start as timestamp (RFC 4733 §2.2)."""
        if len(payload) >= 4 and payload[0] < len(_DIGITS) and timestamp != self._last_event:
            self._last_event = timestamp
            self.digits += _DIGITS[payload[0]]

    def _count_lost(self, sequence: int) -> None:
        if self._last_sequence is not None:
            gap = (sequence - self._last_sequence) & 0xFFFF
            if 1 < gap < 1000:  # more is another stream: a prompt begins, or the far end was changed
                self.lost += gap - 1
        self._last_sequence = sequence
