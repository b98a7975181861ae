"""SIP and tel URIs, and the name-addr that wraps them (RFC 3261 §19.1, §20.10, §25.1; RFC 3966)."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote as percent_encode
from urllib.parse import unquote as percent_decode

from msgspec import Struct, field
from msgspec.structs import replace

from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.params import CONTROL, SHORT, Params, format_params, parse_params, quote, unquote

_USER_SAFE: Final = "-_.!~*'()&=+$,;?/"
_PASSWORD_SAFE: Final = "-_.!~*'()&=+$,"  # noqa: S105  characters, no password
_PARAM_SAFE: Final = "-_.!~*'()[]/:&+$"
_HEADER_SAFE: Final = "-_.!~*'()[]/?:+$"

# RFC 3261 §25.1 has no "#" in a user part, but phones send it unescaped in feature codes: read it, send it as %23.
_SIP: Final = re.compile(
    r"(?P<scheme>[sS][iI][pP][sS]?):"
    r"(?:(?P<user>(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#]++|%[0-9A-Fa-f]{2})++)"
    r"(?::(?P<password>(?:[A-Za-z0-9\-_.!~*'()&=+$,]++|%[0-9A-Fa-f]{2})*+))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<params>(?:;[^;?@\s<>\",]++)*+)"
    r"(?:\?(?P<headers>[^\s<>\"@]++))?"
)
_TEL: Final = re.compile(r"[tT][eE][lL]:(?P<number>\+?[0-9A-Fa-f*#().\-]*+)(?P<params>(?:;[^;?@\s<>\",]++)*+)")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_SHAPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:[^\s<>\"\x00-\x20\x7f]++")
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9._-]*")
_NAME_ADDR: Final = re.compile(
    r'(?:"(?P<quoted>(?:[^"\\]++|\\.)*+)"|(?P<plain>[^"<>,;]*+))\s*+<(?P<uri>[^<>]*+)>\s*+(?:;(?P<params>.*))?',
    re.DOTALL,
)


def scheme_of(uri: str) -> str | None:
    """Return the lower-case scheme of any URI, or None when it has none."""
    found = _SCHEME.match(uri)
    return found[1].lower() if found else None


def _decode(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return percent_decode(text, errors="strict")
    except UnicodeDecodeError:
        raise ProtocolError(400, "Escapes in a URI are not UTF-8") from None


def _parse_uri_params(text: str) -> dict[str, str | None]:
    params: dict[str, str | None] = {}
    for item in text[1:].split(";"):
        name, equals, value = item.partition("=")
        name = _decode(name).lower()
        if not name or name in params:
            raise ProtocolError(400, "Bad URI parameter")
        params[name] = _decode(value) if equals else None
    return params


def _parse_uri_headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (item.partition("=") for item in text.split("&"))
    return tuple((_decode(name), _decode(value)) for name, _, value in pairs)


_NO_PARAMS: Final[Params] = {}
_COMPARED: Final = frozenset(("user", "ttl", "method", "maddr", "transport"))  # these count also when only one has them


class Uri(Struct, frozen=True, gc=False):
    """A sip, sips or tel URI with its escapes decoded; of a tel URI `user` is the number and `host` is empty.

    `host` of an IPv6 address has its brackets where it was parsed, and gets them where it has none.
    """

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    params: Params = field(default_factory=dict[str, str | None])
    headers: tuple[tuple[str, str], ...] = ()
    password: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Read a URI.

        Raises:
            ProtocolError: 400, malformed; 416, a scheme other than sip, sips and tel.
        """
        found = _SIP.fullmatch(text)
        if found is None:
            return cls._parse_other(text)
        scheme, user, password, host, port, params, headers = found.groups()
        number = int(port) if port else None
        if number is not None and not 0 < number < 65536:
            raise ProtocolError(400, "Bad port in a URI")
        return cls(
            scheme.lower(),
            user if user is None else _decode(user),
            host,
            number,
            _parse_uri_params(params) if params else _NO_PARAMS,
            _parse_uri_headers(headers) if headers else (),
            password if password is None else _decode(password),
        )

    @classmethod
    def _parse_other(cls, text: str) -> "Uri":
        scheme = scheme_of(text)
        if scheme is None or scheme in ("sip", "sips"):
            raise ProtocolError(400, "Bad URI")
        if scheme != "tel":
            raise ProtocolError(416, "Unsupported URI Scheme")
        found = _TEL.fullmatch(text)
        if found is None or not found["number"].strip("+-.()"):
            raise ProtocolError(400, "Bad URI")
        params = _parse_uri_params(found["params"]) if found["params"] else _NO_PARAMS
        return cls("tel", found["number"], "", None, params)

    def param(self, name: str) -> str | None:
        """Return a parameter's value; None also when it has no value or is not there."""
        return self.params.get(name)

    @property
    def address(self) -> str:
        """The host without the brackets of an IPv6 reference."""
        return self.host[1:-1] if self.host[:1] == "[" else self.host

    def aor(self) -> str:
        """Return scheme, user and lower-case host alone: the form in which addresses-of-record are compared."""
        return str(replace(self, host=self.host.lower(), port=None, params=_NO_PARAMS, headers=(), password=None))

    def equivalent(self, other: "Uri") -> bool:
        """Whether two URIs mean the same resource by RFC 3261 §19.1.4."""
        if (self.scheme, self.user, self.password, self.port) != (other.scheme, other.user, other.password, other.port):
            return False
        if self.host.lower() != other.host.lower() or sorted(self.headers) != sorted(other.headers):
            return False
        for name in self.params.keys() | other.params.keys():
            both = name in self.params and name in other.params
            if (both or name in _COMPARED) and (self.param(name) or "").lower() != (other.param(name) or "").lower():
                return False
        return True

    def serialize(self) -> str:
        """Return the URI, its user part, parameters and headers percent-encoded.

        Raises:
            UnsafeHeader: scheme or host have characters that cannot be escaped there.
        """
        if self.scheme == "tel":
            if _TEL.fullmatch(f"tel:{self.user}") is None:
                raise UnsafeHeader("URI number", "not a telephone number")
            return f"tel:{self.user}{self._serialize_params()}"
        if self.scheme not in ("sip", "sips"):
            raise UnsafeHeader("URI scheme", "neither sip, sips nor tel")
        host = f"[{self.host}]" if ":" in self.host and self.host[0] != "[" else self.host
        if _HOST.fullmatch(host) is None:
            raise UnsafeHeader("URI host", "neither a host name nor an address")
        text = self.scheme + ":"
        if self.user is not None:
            text += percent_encode(self.user, safe=_USER_SAFE)
            if self.password is not None:
                text += ":" + percent_encode(self.password, safe=_PASSWORD_SAFE)
            text += "@"
        text += host
        if self.port is not None:
            text += f":{self.port}"
        if self.params:
            text += self._serialize_params()
        if self.headers:
            pairs = (
                f"{percent_encode(n, safe=_HEADER_SAFE)}={percent_encode(v, safe=_HEADER_SAFE)}"
                for n, v in self.headers
            )
            text += "?" + "&".join(pairs)
        return text

    def _serialize_params(self) -> str:
        parts = []
        for name, value in self.params.items():
            parts.append(";" + percent_encode(name, safe=_PARAM_SAFE))
            if value is not None:
                parts.append("=" + percent_encode(value, safe=_PARAM_SAFE))
        return "".join(parts)

    def __str__(self) -> str:
        return self.serialize()


class NameAddress(Struct, frozen=True, gc=False):
    """A display name, a URI as it was sent, and header parameters: From, To, Contact, Route and so on.

    `uri` is text because most steps only copy it; `parsed_uri()` reads it.
    """

    display: str
    uri: str
    params: Params = field(default_factory=dict[str, str | None])

    @classmethod
    def parse(cls, text: str) -> "NameAddress":
        """Read one name-addr or addr-spec with its parameters.

        Raises:
            ProtocolError: 400.
        """
        return _short_address(text) if len(text) <= SHORT else _parse_address(text)

    @property
    def tag(self) -> str | None:
        """The tag parameter of From and To."""
        return self.params.get("tag")

    def param(self, name: str) -> str | None:
        """Return a header parameter's value; None also when it has no value or is not there."""
        return self.params.get(name)

    def parsed_uri(self) -> Uri:
        """Return the URI read.

        Raises:
            ProtocolError: as `Uri.parse`.
        """
        return Uri.parse(self.uri)

    def serialize(self) -> str:
        """Return `"display" <uri>;params`.

        Raises:
            UnsafeHeader: a control character, or a URI that would not stay inside its brackets.
        """
        if _SHAPE.fullmatch(self.uri) is None:
            raise UnsafeHeader("URI", "not a URI")
        text = f"<{self.uri}>{format_params(self.params)}"
        if not self.display:
            return text
        if CONTROL.search(self.display):
            raise UnsafeHeader("display name", "control character")
        return f"{quote(self.display)} {text}"

    def __str__(self) -> str:
        return self.serialize()


def _parse_address(text: str) -> NameAddress:
    found = _NAME_ADDR.fullmatch(text)
    if found is None:
        return _parse_addr_spec(text)
    quoted, plain, uri, params = found.groups()
    if _SHAPE.fullmatch(uri) is None:
        raise ProtocolError(400, "Bad URI in an address")
    display = plain.strip() if quoted is None else unquote(f'"{quoted}"')
    return NameAddress(display, uri, parse_params(params) if params is not None else _NO_PARAMS)


def _parse_addr_spec(text: str) -> NameAddress:
    uri, semicolon, params = text.partition(";")
    uri = uri.strip()
    # RFC 3261 §20: a URI with a comma, question mark or semicolon must be in angle brackets.
    if _SHAPE.fullmatch(uri) is None or "," in uri or "?" in uri:
        raise ProtocolError(400, "Bad address")
    return NameAddress("", uri, parse_params(params) if semicolon else _NO_PARAMS)


_short_address = lru_cache(4096)(_parse_address)
