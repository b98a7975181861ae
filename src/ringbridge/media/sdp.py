"""SDP as telephony uses it (RFC 8866): bytes to a typed description and back.

Why own: of the published libraries one is a dictionary builder without types (270 µs to parse a desk phone's offer),
the other comes with a whole WebRTC stack. This takes a tenth of the time, has limits, and refuses control characters
both ways. What telephony has no use for (time zones, repeat times, keys, bandwidth) is read over.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final

from msgspec import Struct

MAX_BYTES: Final = 16 * 1024
MAX_MEDIA: Final = 8
MAX_FORMATS: Final = 64


class SdpError(ValueError):
    """A description that cannot be read, or one that must not be sent."""


class Direction(StrEnum):
    """Which way media flows, from the view of whoever wrote the description (RFC 8866 §6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def mirrored(self) -> Direction:
        """The same flow from the other party's view (RFC 3264 §6.1)."""
        return _MIRRORED.get(self, self)

    @property
    def sends(self) -> bool:
        """Whether who wrote it sends."""
        return self in {Direction.SENDRECV, Direction.SENDONLY}

    @property
    def receives(self) -> bool:
        """Whether who wrote it takes media."""
        return self in {Direction.SENDRECV, Direction.RECVONLY}

    def within(self, most: Direction) -> Direction:
        """Return this, cut down to what `most` allows either way."""
        return _BY_WAYS[self.sends and most.sends, self.receives and most.receives]


_BY_WAYS: Final = {(direction.sends, direction.receives): direction for direction in Direction}
_MIRRORED: Final = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}
_DIRECTIONS: Final = {direction.value: direction for direction in Direction}


class Codec(Struct, frozen=True):
    """One payload type and what it stands for; `clock_rate` in hertz, `fmtp` without the payload type."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    fmtp: str = ""

    def matches(self, other: Codec) -> bool:
        """Return whether both name one encoding under one number, so that packets pass between them unchanged."""
        return (
            self.payload_type == other.payload_type
            and self.clock_rate == other.clock_rate
            and self.channels == other.channels
            and self.name.upper() == other.name.upper()
        )

    @property
    def is_event(self) -> bool:
        """Whether it carries DTMF (RFC 4733), not sound."""
        return self.name.lower() == "telephone-event"


PCMU: Final = Codec(0, "PCMU", 8000)
PCMA: Final = Codec(8, "PCMA", 8000)
G722: Final = Codec(9, "G722", 8000)
"""Its RTP clock runs at 8000 although it samples at 16000 (RFC 3551 §4.5.2)."""
TELEPHONE_EVENT: Final = Codec(101, "telephone-event", 8000, fmtp="0-16")
STATIC: Final = {
    codec.payload_type: codec
    for codec in (PCMU, Codec(3, "GSM", 8000), Codec(4, "G723", 8000), PCMA, G722, Codec(18, "G729", 8000))
}
"""Payload types that need no rtpmap (RFC 3551 §6); the ones telephones use."""


class Origin(Struct, frozen=True):
    """The `o=` line: who made the description, and which version of it this is (RFC 8866 §5.2)."""

    username: str
    session_id: int
    version: int
    address: str


class Media(Struct, frozen=True):
    """One `m=` section. `address` is its own `c=`, if it has one; `direction` None where it does not say."""

    kind: str
    port: int
    proto: str
    formats: tuple[str, ...]
    address: str | None = None
    codecs: tuple[Codec, ...] = ()
    ptime_ms: int | None = None
    direction: Direction | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    """Every other `a=` line, in order; the value is empty for a flag."""


class Description(Struct, frozen=True):
    """A whole description; `address` is the session's `c=`, for media without one."""

    origin: Origin
    media: tuple[Media, ...]
    address: str | None = None
    direction: Direction = Direction.SENDRECV
    attributes: tuple[tuple[str, str], ...] = ()

    def address_of(self, media: Media) -> str | None:
        """Return where `media` is to be sent."""
        return media.address or self.address

    def direction_of(self, media: Media) -> Direction:
        """Return the direction of `media`: its own, else the session's, else sendrecv."""
        return media.direction or self.direction


# --- reading ---------------------------------------------------------------------------------------------------------

_CONTROL: Final = re.compile(r"[^\t\n -~\u00a0-\U0010ffff]")


def parse(body: bytes) -> Description:
    """Return what `body` says, in time linear in its length.

    Lines may end in CRLF or LF (RFC 8866 §5 asks parsers to take both).

    Raises:
        SdpError: it is too long, holds a control character, or a line that matters cannot be read.
    """
    if len(body) > MAX_BYTES:
        raise SdpError(f"SDP of {len(body)} bytes; at most {MAX_BYTES}")
    text = body.decode("utf-8", "replace").replace("\r\n", "\n").strip("\n")
    if _CONTROL.search(text):
        raise SdpError("control character in SDP")
    head, *streams = text.split("\nm=")
    lines = head.split("\n")
    if lines[0].rstrip() != "v=0":
        raise SdpError("SDP does not begin with v=0")
    if len(streams) > MAX_MEDIA:
        raise SdpError(f"{len(streams)} m= lines; at most {MAX_MEDIA}")
    session = _Section(lines)
    if session.origin is None:
        raise SdpError("SDP without o=")
    return Description(
        origin=session.origin,
        media=tuple([_media(stream) for stream in streams]),
        address=session.address,
        direction=session.direction or Direction.SENDRECV,
        attributes=tuple(session.attributes),
    )


class _Section:
    """The lines between two `m=`, sorted by what they are."""

    __slots__ = ("address", "attributes", "direction", "fmtps", "origin", "ptime_ms", "rtpmaps")

    def __init__(self, lines: list[str]) -> None:
        self.origin: Origin | None = None
        self.address: str | None = None
        self.direction: Direction | None = None
        self.ptime_ms: int | None = None
        self.rtpmaps: dict[str, str] = {}
        self.fmtps: dict[str, str] = {}
        self.attributes: list[tuple[str, str]] = []
        for line in lines:
            kind = line[:2]
            if kind == "a=":
                self._attribute(line)
            elif kind == "c=":
                self.address = self.address or _address(line)
            elif kind == "o=":
                self.origin = _origin(line)
            elif kind[1:] != "=":
                raise SdpError(f"not a line of SDP: {line[:40]!r}")

    def _attribute(self, line: str) -> None:
        name, _, value = line[2:].partition(":")
        if name == "rtpmap":
            payload_type, _, encoding = value.partition(" ")
            self.rtpmaps[payload_type] = encoding
        elif name == "fmtp":
            payload_type, _, parameters = value.partition(" ")
            self.fmtps[payload_type] = parameters
        elif name in _DIRECTIONS:
            self.direction = _DIRECTIONS[name]
        elif name == "ptime":
            self.ptime_ms = _number(value.strip().partition(".")[0], 1, 1000, "ptime")
        else:
            self.attributes.append((name, value))


class _Stream(Struct, frozen=True):
    """What an `m=` section says apart from its port: it is the same in every call of one telephone."""

    formats: tuple[str, ...]
    address: str | None
    codecs: tuple[Codec, ...]
    ptime_ms: int | None
    direction: Direction | None
    attributes: tuple[tuple[str, str], ...]


def _media(section: str) -> Media:
    line, _, rest = section.partition("\n")
    parts = line.split(maxsplit=3)
    if len(parts) != 4:
        raise SdpError(f"cannot read m= line: {line[:60]!r}")
    kind, port, proto, formats = parts
    stream = _stream(formats, rest, "RTP/" in proto)
    return Media(
        kind.lower(),
        _number(port.partition("/")[0], 0, 65535, "port"),
        proto,
        stream.formats,
        stream.address,
        stream.codecs,
        stream.ptime_ms,
        stream.direction,
        stream.attributes,
    )


@lru_cache(maxsize=128)
def _stream(formats_text: str, lines: str, is_rtp: bool) -> _Stream:  # noqa: FBT001  part of what is looked up
    """Return what stands below an `m=` line; kept, since telephones say the same few over and over."""
    formats = tuple(formats_text.split())
    if len(formats) > MAX_FORMATS:
        raise SdpError(f"{len(formats)} formats in a stream; at most {MAX_FORMATS}")
    section = _Section(lines.split("\n") if lines else [])
    rtpmaps, fmtps = section.rtpmaps, section.fmtps
    found = [_codec(number, rtpmaps.get(number), fmtps.get(number, "")) for number in formats] if is_rtp else []
    codecs = tuple([codec for codec in found if codec])
    return _Stream(formats, section.address, codecs, section.ptime_ms, section.direction, tuple(section.attributes))


def _codec(payload_type: str, encoding: str | None, fmtp: str) -> Codec | None:
    """Return the codec of a payload type, or None where nothing says what it is."""
    number = _number(payload_type, 0, 127, "payload type")
    if encoding is None:
        known = STATIC.get(number)
        if known is None or not fmtp:
            return known
        return Codec(number, known.name, known.clock_rate, known.channels, fmtp)
    name, _, rest = encoding.strip().partition("/")
    rate, _, channels = rest.partition("/")
    if not name:
        raise SdpError(f"cannot read rtpmap of {number}")
    return Codec(
        number,
        name,
        _number(rate, 1, 1_000_000, "clock rate"),
        _number(channels, 1, 255, "channels") if channels else 1,
        fmtp,
    )


def _origin(line: str) -> Origin:
    parts = line[2:].split()
    if len(parts) != 6 or parts[3] != "IN":
        raise SdpError(f"cannot read o= line: {line[:60]!r}")
    return Origin(
        username=parts[0],
        session_id=_number(parts[1], 0, 2**128, "session id"),
        version=_number(parts[2], 0, 2**128, "session version"),
        address=parts[5],
    )


def _address(line: str) -> str:
    parts = line[2:].split()
    if len(parts) != 3 or parts[0] != "IN" or parts[1] not in {"IP4", "IP6"}:
        raise SdpError(f"cannot read c= line: {line[:60]!r}")
    return parts[2].partition("/")[0]


def _number(text: str, least: int, most: int, what: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 40 and least <= (number := int(text)) <= most:
        return number
    raise SdpError(f"{what}: {text[:40]!r} is not a number from {least} to {most}")


# --- writing ---------------------------------------------------------------------------------------------------------


def serialize(description: Description) -> bytes:
    """Return the description as bytes, lines ending in CRLF.

    Raises:
        SdpError: a part of it holds a control character, or it breaks a limit of `parse`.
    """
    origin = description.origin
    lines = [
        "v=0",
        f"o={origin.username} {origin.session_id} {origin.version} {_net(origin.address)}",
        "s=-",
    ]
    if description.address is not None:
        lines.append(f"c={_net(description.address)}")
    lines.append("t=0 0")
    if description.direction is not Direction.SENDRECV:
        lines.append(f"a={description.direction}")
    lines += [_attribute_line(*attribute) for attribute in description.attributes]
    for media in description.media:
        _write_media(media, lines)
    joined = "".join(lines)
    if "\n" in joined or _CONTROL.search(joined):
        raise SdpError("control character in SDP")
    body = ("\r\n".join(lines) + "\r\n").encode()
    if len(body) > MAX_BYTES or len(description.media) > MAX_MEDIA:
        raise SdpError("SDP too long to be sent")
    return body


def _write_media(media: Media, lines: list[str]) -> None:
    lines.append(f"m={media.kind} {media.port} {media.proto} {' '.join(media.formats)}")
    if media.address is not None:
        lines.append(f"c={_net(media.address)}")
    for codec in media.codecs:
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
        if codec.fmtp:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
    if media.ptime_ms is not None:
        lines.append(f"a=ptime:{media.ptime_ms}")
    if media.direction is not None:
        lines.append(f"a={media.direction}")
    lines += [_attribute_line(*attribute) for attribute in media.attributes]


def _attribute_line(name: str, value: str) -> str:
    return f"a={name}:{value}" if value else f"a={name}"


def _net(address: str) -> str:
    return f"IN {'IP6' if ':' in address else 'IP4'} {address}"
