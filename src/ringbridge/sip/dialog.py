"""A dialog: what both sides must remember to go on talking (RFC 3261 §12).

It knows its identity, the numbers of the requests in both directions, where requests go (route set and remote target)
and hence the head of every request that we send inside it. It sends nothing and has no state but these.
"""

from __future__ import annotations

from typing import Final

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.message import Request, Response
from ringbridge.sip.message_base import Message
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.uri import NameAddress, Uri

_PRIVATE: Final = ("10.", "192.168.", "169.254.", "fd", "fe80:", *(f"172.{second}." for second in range(16, 32)))


class Dialog:
    """One dialog from our side; an early one has no `remote_tag` check of its own, its session keeps it by that tag."""

    __slots__ = (
        "local",
        "local_cseq",
        "local_tag",
        "peer",
        "remote",
        "remote_cseq",
        "remote_rseq",
        "remote_tag",
        "route_set",
        "sip_call_id",
        "stay_with_peer",
        "target",
    )

    def __init__(self, *, sip_call_id: str, local: str, local_tag: str, remote: str, target: str, peer: Peer) -> None:
        self.sip_call_id = sip_call_id
        self.local = local
        """Our name-addr with our tag: From of what we send."""
        self.local_tag = local_tag
        self.remote = remote
        """The peer's name-addr, with its tag once it has one: To of what we send."""
        self.remote_tag = ""
        self.target = target
        """Remote target: Request-URI of what we send."""
        self.peer = peer
        """Where requests go next."""
        self.route_set: tuple[str, ...] = ()
        self.local_cseq = 0
        self.remote_cseq = 0
        """Highest number the peer used; 0: none yet."""
        self.remote_rseq = 0
        """RSeq of the last reliable provisional response that we took (RFC 3262 §4)."""
        self.stay_with_peer = False

    def next_cseq(self) -> int:
        """Return the number of our next request."""
        self.local_cseq += 1
        return self.local_cseq

    def accept(self, response: Response, source: Peer) -> None:
        """Learn tag, route set and remote target from a response that makes the dialog (RFC 3261 §12.1.2)."""
        to = response.first("To") or ""
        self.remote = to
        self.remote_tag = response.to.tag or ""
        self.route_set = ()
        try:
            if response.first("Record-Route") is not None:
                self.route_set = tuple(reversed(response.all("Record-Route")))
        except ProtocolError:
            pass  # a 2xx has to be acknowledged, whatever else is wrong with it
        self.refresh_target(response, source)

    def refresh_target(self, message: Message, source: Peer) -> None:
        """Take the Contact of a target refresh request or its 2xx as the new remote target (RFC 3261 §12.2)."""
        contact = contact_of(message)
        if contact is not None:
            self.target = contact
        self.peer = next_hop(self, source)

    def request_line(self) -> tuple[str, tuple[str, ...]]:
        """Return the Request-URI and the Route values of a request inside the dialog (RFC 3261 §12.2.1.1)."""
        routes = self.route_set
        if not routes or is_loose(routes[0]):
            return self.target, routes
        # RFC 3261 §12.2.1.1: a strict router wants its own URI as the Request-URI, and the target as the last Route.
        return bare_uri(routes[0]), (*routes[1:], f"<{self.target}>")


def dialog_from_request(request: Request, *, local_tag: str, source: Peer) -> Dialog:
    """Return the dialog that an INVITE to us makes (RFC 3261 §12.1.1)."""
    to = request.first("To") or ""
    dialog = Dialog(
        sip_call_id=request.call_id,
        local=f"{to};tag={local_tag}",
        local_tag=local_tag,
        remote=request.first("From") or "",
        target=request.from_.uri,
        peer=source,
    )
    dialog.remote_tag = request.from_.tag or ""
    dialog.remote_cseq = request.cseq.number
    dialog.route_set = tuple(request.all("Record-Route"))
    dialog.refresh_target(request, source)
    return dialog


def contact_of(message: Message) -> str | None:
    """Return the URI of the only Contact; None when there is none that can be read."""
    value = message.first("Contact")
    if value is None:
        return None
    try:
        return NameAddress.parse(value).uri if "," not in value else message.contacts[0].uri
    except ProtocolError:
        return None


def sdp_of(message: Message) -> bytes:
    """Return the body if it is SDP, else nothing."""
    if not message.body or (message.first("Content-Type") or "")[:15].lower() != "application/sdp":
        return b""
    return message.body


def is_loose(route: str) -> bool:
    """Whether a Route value names a loose router (`;lr`, RFC 3261 §16.12.1); one that cannot be read counts as such."""
    if ";lr" in route:
        return True
    try:
        return "lr" in NameAddress.parse(route).parsed_uri().params
    except ProtocolError:
        return True


def bare_uri(route: str) -> str:
    """Return a Route value's URI without what may not stand in a Request-URI (RFC 3261 §19.1.1, table 1)."""
    uri = NameAddress.parse(route).uri
    return uri.partition("?")[0]


def next_hop(dialog: Dialog, source: Peer) -> Peer:
    """Return where requests of a dialog go, `source` being where its last message came from (RFC 3261 §8.1.2)."""
    if dialog.stay_with_peer:
        return source
    routes = dialog.route_set
    if not routes and source.transport is Transport.UDP and dialog.target.endswith(f"@{source.host}:{source.port}"):
        return source  # the plain case, without reading the URI
    try:
        text = NameAddress.parse(routes[0]).uri if routes else dialog.target
        uri = Uri.parse(text)
    except ProtocolError:
        return source
    return _address(uri, source, routed=bool(routes))


def listening_address(dialog: Dialog) -> Peer | None:
    """Return where the peer says that it listens, for when the dialog's connection has gone; None: nowhere."""
    routes = dialog.route_set
    try:
        uri = Uri.parse(NameAddress.parse(routes[0]).uri if routes else dialog.target)
    except ProtocolError:
        return None
    transport = _transport(uri)
    if not uri.address or transport in (Transport.WS, Transport.WSS) or uri.address.endswith(".invalid"):
        return None
    return Peer(transport, uri.address, uri.port or _default_port(transport))


def _default_port(transport: Transport) -> int:
    return 5061 if transport is Transport.TLS else 5060


def _address(uri: Uri, source: Peer, *, routed: bool) -> Peer:
    host = uri.address
    transport = _transport(uri)
    if not host or transport in (Transport.WS, Transport.WSS) or host.endswith(".invalid"):
        return source  # RFC 7118 §5: a browser is reached by the connection that it opened, and no other way
    if host == source.host and transport is source.transport:
        if transport.reliable and not routed:
            return source  # Deviates: a phone that dialled in by TCP seldom listens where its Contact says
    elif not routed and source.host != host and _hides(host) and not _hides(source.host):
        return source  # Deviates: a private address behind NAT leads nowhere from here
    return Peer(transport, host, uri.port or _default_port(transport))


def _transport(uri: Uri) -> Transport:
    name = uri.params.get("transport")
    if name:
        try:
            return Transport(name.upper())
        except ValueError:
            return Transport.UDP
    return Transport.TLS if uri.scheme == "sips" else Transport.UDP


def _hides(host: str) -> bool:
    """Whether an address is of a private network (RFC 1918, RFC 3927, RFC 4193)."""
    return host.lower().startswith(_PRIVATE) and ("." in host or ":" in host)
