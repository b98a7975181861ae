"""Cutting a byte stream into messages (RFC 3261 §18.3) and answering keep-alives (RFC 5626 §4.4.1).

On a stream the only border is Content-Length: when it is missing, there twice or no number, nobody knows where the
next message begins, so the connection has to end. Each byte is looked at once, however slowly they drip in.
"""

import re
from dataclasses import dataclass
from typing import Final

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.message import DEFAULT, Limits

PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"

_LENGTH: Final = re.compile(rb"\r\n(?:Content-Length|l)[ \t]*+:(?:[ \t]++|\r\n[ \t]++)*+([^\r\n]*+)", re.IGNORECASE)
_FIRST: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")


@dataclass(frozen=True, slots=True)
class Framed:
    """What came of some bytes, in this order: take `messages`, send `reply` (pongs, or nothing), and on `fault` close.

    With a fault, the last message may be one whose Content-Length is nonsense: `message.parse` refuses it with the
    status to answer before closing.
    """

    messages: tuple[bytes, ...]
    reply: bytes
    fault: ProtocolError | None


class StreamFramer:
    """The receiving side of one connection."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._scanned = 0  # where the search for the end of the headers goes on
        self._need = 0  # length of the message whose headers are there; 0: not known yet
        self._empty_lines = 0
        self._fault: ProtocolError | None = None

    @property
    def waiting(self) -> bool:
        """Whether a message has begun and is not complete: the caller may set it a deadline."""
        return bool(self._buffer) and self._fault is None

    def feed(self, data: bytes) -> Framed:
        """Take bytes from the connection; after a fault, all that follows is dropped."""
        messages: list[bytes] = []
        pongs = 0
        if self._fault is None:
            self._buffer += data
            try:
                while True:
                    pongs += self._skip_empty_lines()
                    message = self._next_message(messages)
                    if message is None:
                        break
                    messages.append(message)
            except ProtocolError as fault:
                self._fault = fault
                self._buffer.clear()
        return Framed(tuple(messages), PONG * pongs, self._fault)

    def _skip_empty_lines(self) -> int:
        """Drop the empty lines between messages; return how many pings they were."""
        pings = 0
        buffer = self._buffer
        if self._need or not buffer.startswith(b"\r\n"):
            return 0
        end = 0
        while buffer.startswith(b"\r\n", end):
            end += 2
            self._empty_lines += 1
            if self._empty_lines == 2:
                self._empty_lines = 0
                pings += 1
        del buffer[:end]
        return pings

    def _next_message(self, before: list[bytes]) -> bytes | None:
        buffer = self._buffer
        if not buffer or buffer == b"\r":
            return None
        if not self._need:
            if buffer[0] not in _FIRST:
                raise ProtocolError(None, "Not SIP")
            end = buffer.find(b"\r\n\r\n", self._scanned)
            if end < 0:
                self._scanned = max(0, len(buffer) - 3)
                if len(buffer) > self._limits.message_bytes:
                    raise ProtocolError(None, "Message too large")
                return None
            self._need = self._length(bytes(buffer[: end + 4]), before)
            if self._need > self._limits.message_bytes:
                raise ProtocolError(None, "Message too large")
        if len(buffer) < self._need:
            return None
        message = bytes(buffer[: self._need])
        del buffer[: self._need]
        self._scanned = self._need = self._empty_lines = 0
        return message

    def _length(self, head: bytes, before: list[bytes]) -> int:
        values = _LENGTH.findall(head)
        if len(values) == 1:
            value = values[0].strip(b" \t")
            if value.isdigit() and len(value) <= 10:
                return len(head) + int(value)
        if values:
            before.append(head)
        raise ProtocolError(400, "No usable Content-Length")
