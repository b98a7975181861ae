"""Whom a client's address stands for."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_network
from typing import Final

IPV6_HOLDER_BITS: Final = 64
"""What one client commonly has (RFC 6177 §2): it could use another address for each request."""


def holder_of(address: str) -> str:
    """Return whom a client's address stands for: itself, of IPv6 its /64."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, IPV6_HOLDER_BITS), strict=False))
