"""Headers by name, and the typed readings that requests and responses share."""

from collections.abc import Iterable

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.headers import CSeq, MediaType, Via, parse_count, parse_seconds, parse_tokens
from ringbridge.sip.names import BY_NAME, canonical
from ringbridge.sip.params import split
from ringbridge.sip.uri import NameAddress


class Message:
    """What requests and responses share: headers in order, typed readings, and a body.

    `headers` holds (canonical name, value) pairs. Change them with `add`, `set` and `remove`, which forget what was
    typed. The typed readings raise ProtocolError(400) if the header is missing or malformed; `via`, `from_`, `to`,
    `call_id` and `cseq` never do on what `parse` returned.
    """

    __slots__ = ("_contacts", "_cseq", "_first", "_from", "_record_routes", "_routes", "_to", "_via", "body", "headers")

    def __init__(self, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self.headers = list(headers)
        self.body = body
        self._forget()

    def _forget(self) -> None:
        self._first: dict[str, str] | None = None
        self._via: Via | None = None
        self._from: NameAddress | None = None
        self._to: NameAddress | None = None
        self._cseq: CSeq | None = None
        self._contacts: list[NameAddress] | None = None
        self._routes: list[NameAddress] | None = None
        self._record_routes: list[NameAddress] | None = None

    # -- by name

    def first(self, name: str) -> str | None:
        """Return the first value of a header as it was sent, or None."""
        first = self.by_name()
        value = first.get(name)
        if value is not None:
            return value
        known = BY_NAME.get(name.lower())
        if known is not None:
            return first.get(known)
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def by_name(self) -> dict[str, str]:
        """Return the first value of each header by canonical name; kept."""
        first = self._first
        if first is None:
            first = self._first = dict(reversed(self.headers))
        return first

    def all(self, name: str) -> list[str]:
        """Return every value of a list header, split at its commas; [] if it is not there.

        Raises:
            ProtocolError: 400, a quote is never closed.
        """
        items: list[str] = []
        for value in self.lines(name):
            if "," in value:
                items += split(value, ",")
            else:
                items.append(value)
        return items

    def lines(self, name: str) -> list[str]:
        """Return every value of a header as it was sent, one a line (for those whose commas separate nothing)."""
        known = BY_NAME.get(name) or BY_NAME.get(name.lower())
        if known is not None:
            return [value for key, value in self.headers if key == known]
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def tokens(self, name: str) -> list[str]:
        """Return the tokens of a list header (Require, Supported, Allow …), empty ones passed over."""
        return [token for value in self.lines(name) for token in parse_tokens(value)]

    def add(self, name: str, value: str) -> None:
        """Append a header."""
        self.headers.append((canonical(name) or name, value))
        self._forget()

    def set(self, name: str, value: str) -> None:
        """Replace every value of a header by one, in the place of the first."""
        key = canonical(name) or name
        places = [i for i, (other, _) in enumerate(self.headers) if other.lower() == key.lower()]
        kept = [pair for i, pair in enumerate(self.headers) if i not in places]
        kept.insert(places[0] if places else len(kept), (key, value))
        self.headers = kept
        self._forget()

    def remove(self, name: str) -> None:
        """Drop every value of a header."""
        key = (canonical(name) or name).lower()
        self.headers = [pair for pair in self.headers if pair[0].lower() != key]
        self._forget()

    def _need(self, name: str) -> str:
        value = self.first(name)
        if value is None:
            raise ProtocolError(400, f"Missing {name}")
        return value

    # -- typed

    @property
    def via(self) -> Via:
        """The top Via."""
        via = self._via
        if via is None:
            value = self._need("Via")
            via = self._via = Via.parse(value if "," not in value else split(value, ",")[0])
        return via

    @property
    def from_(self) -> NameAddress:
        """From."""
        address = self._from
        if address is None:
            address = self._from = NameAddress.parse(self._need("From"))
        return address

    @property
    def to(self) -> NameAddress:
        """To."""
        address = self._to
        if address is None:
            address = self._to = NameAddress.parse(self._need("To"))
        return address

    @property
    def call_id(self) -> str:
        """Call-ID."""
        value = self._need("Call-ID")
        if not value or " " in value:
            raise ProtocolError(400, "Bad Call-ID")
        return value

    @property
    def cseq(self) -> CSeq:
        """CSeq: `number` and `method`."""
        cseq = self._cseq
        if cseq is None:
            cseq = self._cseq = CSeq.parse(self._need("CSeq"))
        return cseq

    @property
    def contacts(self) -> list[NameAddress]:
        """Every Contact; `Contact: *` is not an address and raises (see `registrar`)."""
        addresses = self._contacts
        if addresses is None:
            addresses = self._contacts = self._addresses("Contact")
        return addresses

    @property
    def routes(self) -> list[NameAddress]:
        """Every Route, topmost first."""
        addresses = self._routes
        if addresses is None:
            addresses = self._routes = self._addresses("Route")
        return addresses

    @property
    def record_routes(self) -> list[NameAddress]:
        """Every Record-Route, topmost first."""
        addresses = self._record_routes
        if addresses is None:
            addresses = self._record_routes = self._addresses("Record-Route")
        return addresses

    def _addresses(self, name: str) -> list[NameAddress]:
        if self.first(name) is None:
            return []
        return [NameAddress.parse(value) for value in self.all(name)]

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, 0 to 255 (RFC 3261 §20.22), or None."""
        value = self.first("Max-Forwards")
        return None if value is None else parse_count("Max-Forwards", value, 255)

    @property
    def expires(self) -> int | None:
        """Expires in seconds, or None."""
        value = self.first("Expires")
        return None if value is None else parse_seconds("Expires", value)

    @property
    def content_type(self) -> str | None:
        """The media type of the body, lower case, without parameters; or None."""
        value = self.first("Content-Type")
        return None if value is None else MediaType.parse(value).name
