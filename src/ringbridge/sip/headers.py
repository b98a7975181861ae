"""The structured headers that every transaction needs: Via, CSeq, media types, small numbers.

Values are frozen msgspec structs where style.md has dataclasses, because five of them are made for each message: 0.2 µs
each against 1.7. Short ones are remembered (`lru_cache`): a call repeats its few Via, From, To and CSeq values in every
message. Long ones are not, so that nobody can fill the memory with them.
"""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.params import SHORT, Params, format_params, parse_params, split
from ringbridge.sip.peer import Peer

COOKIE: Final = "z9hG4bK"
"""RFC 3261 §8.1.1.7: how a branch begins that identifies a transaction by itself."""

MAX_CSEQ: Final = 2**31 - 1
"""RFC 3261 §8.1.1.5: sequence numbers are below 2**31."""

MAX_SECONDS: Final = 2**32 - 1
"""RFC 3261 §20.19: the largest delta-seconds; larger ones are read as this."""

_VIA: Final = re.compile(
    r"[sS][iI][pP]\s*+/\s*+2\.0\s*+/\s*+(?P<transport>[A-Za-z0-9\-.!%*_+`'~]++)\s++"
    r"(?P<host>\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9_][A-Za-z0-9._-]*+)"
    r"(?:\s*+:\s*+(?P<port>[0-9]{1,5}))?\s*+(?:;(?P<params>.*))?",
    re.DOTALL,
)
_CSEQ: Final = re.compile(r"([0-9]{1,64})\s++([A-Za-z0-9\-.!%*_+`'~]++)")
_MEDIA_TYPE: Final = re.compile(
    r"([A-Za-z0-9\-.!%*_+`'~]++)\s*+/\s*+([A-Za-z0-9\-.!%*_+`'~]++)\s*+(?:;(.*))?", re.DOTALL
)
_DIGITS: Final = re.compile(r"[0-9]{1,400}")


class Via(Struct, frozen=True, gc=False):
    """One hop of a message's path; `transport` in capitals, `host` as it was sent (IPv6 in brackets)."""

    transport: str
    host: str
    port: int | None
    params: Params

    @classmethod
    def parse(cls, text: str) -> "Via":
        """Read one Via value.

        Raises:
            ProtocolError: 400.
        """
        return _short_via(text) if len(text) <= SHORT else _parse_via(text)

    @property
    def branch(self) -> str | None:
        """The branch, with or without the cookie."""
        return self.params.get("branch")

    @property
    def has_cookie(self) -> bool:
        """Whether the branch alone identifies the transaction (RFC 3261 §17.2.3); a bare cookie does not."""
        branch = self.params.get("branch")
        return branch is not None and len(branch) > len(COOKIE) and branch[:7].lower() == "z9hg4bk"

    @property
    def sent_by(self) -> str:
        """Host and port as compared in transaction matching: lower case, the port only if it was given."""
        return self.host.lower() if self.port is None else f"{self.host.lower()}:{self.port}"

    def stamped(self, peer: Peer) -> "Via":
        """Return this Via as the receiver must keep it: where the request really came from.

        RFC 3261 §18.2.1: `received` when the sent-by host is not the source address. RFC 3581 §4: if `rport` was asked
        for, its value is the source port and `received` is always there.
        """
        asks = "rport" in self.params
        host = self.host[1:-1] if self.host[:1] == "[" else self.host
        if not asks and host.lower() == peer.host.lower():
            return self
        params = {**self.params, "received": peer.host}
        if asks:
            params["rport"] = str(peer.port)
        return replace(self, params=params)

    def serialize(self) -> str:
        """Return the header value.

        Raises:
            UnsafeHeader: it could not be read back.
        """
        port = "" if self.port is None else f":{self.port}"
        text = f"SIP/2.0/{self.transport} {self.host}{port}{format_params(self.params)}"
        if _VIA.fullmatch(text) is None:
            raise UnsafeHeader("Via", "not a sent-by")
        return text

    def __str__(self) -> str:
        return self.serialize()


class CSeq(Struct, frozen=True, gc=False):
    """Sequence number and method of a request."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> "CSeq":
        """Read a CSeq value.

        Raises:
            ProtocolError: 400, malformed or not below 2**31 (RFC 3261 §8.1.1.5).
        """
        return _short_cseq(text) if len(text) <= SHORT else _parse_cseq(text)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


class MediaType(Struct, frozen=True, gc=False):
    """A media type (`application/sdp`, lower case) or range (`*/*`) with its parameters."""

    name: str
    params: Params

    @classmethod
    def parse(cls, text: str) -> "MediaType":
        """Read one media type or range.

        Raises:
            ProtocolError: 400.
        """
        found = _MEDIA_TYPE.fullmatch(text)
        if found is None:
            raise ProtocolError(400, "Bad media type")
        return cls(f"{found[1]}/{found[2]}".lower(), parse_params(found[3]) if found[3] is not None else {})

    def covers(self, name: str) -> bool:
        """Whether a range of Accept covers a media type."""
        return self.name in ("*/*", name) or self.name == name.partition("/")[0] + "/*"


def _parse_via(text: str) -> Via:
    found = _VIA.fullmatch(text)
    if found is None:
        raise ProtocolError(400, "Bad Via")
    transport, host, port, params = found.groups()
    number = int(port) if port else None
    if number is not None and not 0 < number < 65536:
        raise ProtocolError(400, "Bad port in Via")
    return Via(transport.upper(), host, number, parse_params(params) if params is not None else {})


def _parse_cseq(text: str) -> CSeq:
    found = _CSEQ.fullmatch(text)
    if found is None:
        raise ProtocolError(400, "Bad CSeq")
    number = int(found[1])
    if number > MAX_CSEQ:
        raise ProtocolError(400, "CSeq out of range")
    return CSeq(number, found[2])


_short_via = lru_cache(2048)(_parse_via)
_short_cseq = lru_cache(512)(_parse_cseq)


def parse_count(name: str, text: str, largest: int) -> int:
    """Read a header that is a bare number of at most `largest`.

    Raises:
        ProtocolError: 400.
    """
    if _DIGITS.fullmatch(text) is None or (number := int(text)) > largest:
        raise ProtocolError(400, f"Bad {name}")
    return number


def parse_seconds(name: str, text: str) -> int:
    """Read delta-seconds; a parameter or comment behind them is passed over, a value too large is read as 2**32 - 1.

    Raises:
        ProtocolError: 400.
    """
    digits = re.split(r"[;( ]", text, maxsplit=1)[0]
    if _DIGITS.fullmatch(digits) is None:
        raise ProtocolError(400, f"Bad {name}")
    return min(int(digits), MAX_SECONDS)


def parse_tokens(text: str) -> list[str]:
    """Read a comma list of tokens (Require, Supported, Allow …); empty items are passed over."""
    return [item for item in split(text, ",") if item]
