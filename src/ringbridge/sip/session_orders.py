"""What the application orders from the endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from ringbridge.sip.digest import Credentials
from ringbridge.sip.peer import Peer


@dataclass(frozen=True, slots=True)
class InviteOrder:
    """One party to invite.

    `from_` and `to` are name-addrs without a tag (`"Ann" <sip:1001@demo>`). `headers` come on top of the endpoint's own
    (Via, From, To, Call-ID, CSeq, Contact, Max-Forwards, Allow, Supported, User-Agent, Content-Type, Content-Length).
    `peer.host` may be a name only if whoever sends for the endpoint resolves names.
    """

    peer: Peer
    uri: str
    from_: str
    to: str
    sdp: bytes
    headers: tuple[tuple[str, str], ...] = ()
    credentials: Credentials | None = None
    route_set: tuple[str, ...] = ()
    """Route header values of the initial INVITE (a Path, an outbound proxy); replaced by the dialog's own later."""
    peer_tcp: Peer | None = None
    """Where requests over `tcp_over_bytes` go; tried once, then `peer` (RFC 3261 §18.1.1)."""
    sip_call_id: str | None = None
    """None: a new one."""
    session_expires_s: int | None = None
    """Session timer to ask for (RFC 4028); None: the endpoint's own; 0: none, and none is known to the peer."""
    stay_with_peer: bool = False
    """NAT: requests inside the dialog go to where the peer's answer came from, whatever its Contact says."""


@dataclass(frozen=True, slots=True)
class RegisterOrder:
    """One binding to keep at a registrar.

    `registrar` is the Request-URI (`sip:demo`); `aor` the address-of-record (`sip:1001@demo`), From and To alike.
    """

    peer: Peer
    registrar: str
    aor: str
    contact_user: str
    credentials: Credentials | None = None
    expires_s: int = 3600
    headers: tuple[tuple[str, str], ...] = ()
    route_set: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestOrder:
    """One request outside of any dialog: OPTIONS to ask whether a connection lives, and the like."""

    peer: Peer
    method: str
    uri: str
    from_: str
    to: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    credentials: Credentials | None = None
