"""Where bytes came from and where they go."""

from dataclasses import dataclass
from enum import StrEnum


class Transport(StrEnum):
    """A SIP transport, spelled as in the Via header (RFC 3261 §20.42, RFC 7118 §5)."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"
    WS = "WS"
    WSS = "WSS"

    @property
    def reliable(self) -> bool:
        """Whether the transport delivers or fails, so that nothing is sent twice (RFC 3261 §17)."""
        return self is not Transport.UDP


@dataclass(frozen=True, slots=True)
class Peer:
    """One far end: transport, IP address without brackets, and port."""

    transport: Transport
    host: str
    port: int
