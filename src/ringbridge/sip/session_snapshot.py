"""All that must survive a crash to take a session up again: small, no secrets, safe to keep in events."""

from __future__ import annotations

import msgspec


class PeerSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A `Peer` on the wire of the bus."""

    transport: str
    host: str
    port: int


class SessionTimerSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """The agreed session timer (RFC 4028)."""

    expires_s: int
    we_refresh: bool


class SessionSnapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """One session as `Session.snapshot()` gives it and `Endpoint.restore` takes it.

    It holds no password and no digest response: `restore` is given the credentials again.
    """

    sip_call_id: str
    caller: bool
    """We sent the INVITE."""
    answered: bool
    local_tag: str
    local: str
    """Our From (or To) name-addr, without tag."""
    remote: str
    peer: PeerSnapshot
    request_uri: str
    """Request-URI of the INVITE."""
    invite_branch: str
    invite_cseq: int
    local_cseq: int
    remote_cseq: int = 0
    remote_tag: str = ""
    remote_target: str = ""
    """Request-URI of what we send inside the dialog; empty before it stands."""
    route_set: tuple[str, ...] = ()
    invite_routes: tuple[str, ...] = ()
    """Route values of the INVITE: its CANCEL and the ACK of a refusal repeat them."""
    peer_tcp: PeerSnapshot | None = None
    stay_with_peer: bool = False
    peer_updates: bool = False
    """The peer allows UPDATE."""
    peer_timer: SessionTimerSnapshot | None = None
    timer_s: int | None = None
    """`InviteOrder.session_expires_s`."""
    realm: str = ""
    """The realm that was answered, where the credentials name none: the dialog's route may lead to another host."""
    local_sdp: bytes = b""
    """Our last offer or answer, for a refresh by re-INVITE."""
