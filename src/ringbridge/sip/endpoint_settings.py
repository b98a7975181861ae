"""What an endpoint is told once, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ringbridge.sip.timers import Timers

ALLOW: Final = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY")
SUPPORTED: Final = ("Supported", "100rel, timer")
UNTIMED: Final = ("Supported", "100rel")
"""RFC 4028 §9: who does not name `timer` is left no timer to keep; where a session is to have none."""
SDP: Final = ("Content-Type", "application/sdp")


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Identity, timers and limits of one endpoint.

    `host` and the ports are what peers are told (Via, Contact): the address under which this endpoint is reached.
    """

    host: str
    udp_port: int
    tcp_port: int | None = None
    """Also used for TLS and WebSocket; None: `udp_port` is named there, where nobody may listen."""
    user_agent: str = "Ringbridge"
    contact_user: str = "ringbridge"
    """User part of our Contact."""
    application_methods: frozenset[str] = frozenset(("REGISTER",))
    """Methods outside of dialogs that are raised as `IncomingRequest`; a phone sets none, and refuses REGISTER."""
    timers: Timers = field(default_factory=Timers)
    tcp_over_bytes: int = 1300
    """RFC 3261 §18.1.1: a larger request goes by TCP where the peer has it."""
    session_expires_s: int | None = None
    """Session timer (RFC 4028) that our INVITEs ask for; None: only when the peer asks."""
    min_se_s: int = 90
    """Shortest session timer that we take; RFC 4028 §4 allows no less than 90."""
    shed_retry_after_s: int = 5
    """Retry-After of the 503 that new INVITEs get while `Endpoint.shedding`."""
    ack_within_s: float = 0.0
    """How long the ACK of an answer waits for `Endpoint.acknowledge`, so that the answer can be stored first; after
    that it leaves all the same. 0: it leaves at once."""
    restore_cseq_gap: int = 100_000
    """How far a restored dialog's CSeq jumps ahead of what may have been used since its snapshot."""


@dataclass(frozen=True, slots=True)
class EndpointSizes:
    """What an endpoint holds now; all zero once everything is over and has lingered its time."""

    client_transactions: int
    server_transactions: int
    sessions: int
    registrations: int
    timers: int


@dataclass(slots=True)
class EndpointCounters:
    """What happened since the start; never reset."""

    received: int = 0
    malformed: int = 0
    """Could not be read; answered 4xx where that was possible, else dropped."""
    stray_responses: int = 0
    """Responses that belong to no transaction of ours: dropped."""
    stray_acks: int = 0
    """ACKs that belong to nothing of ours: dropped."""
    ignored: int = 0
    """Inputs for which a state table has no entry."""
    retransmissions_sent: int = 0
    retransmissions_received: int = 0
    shed: int = 0
    """INVITEs refused with 503 because of `Endpoint.shedding`."""
    refused_addresses: int = 0
    """Messages not sent, and media not taken, because of where they would have gone."""
