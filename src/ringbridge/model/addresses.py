"""Where a tenant may not have us send: webhooks outside of the public Internet (contract §5), SIP to ourselves.

A tenant chooses the URL, and this program stands where much can be reached that a tenant must not reach: the machine
itself, its network, the metadata service of a cloud. What counts is the address that is connected to, never its name.
IPv6 has many ways of writing an IPv4 address into one of its own; such a one is public only if both are.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from msgspec import Struct

from ringbridge.model.access import Network

_NOT_PUBLIC: Final = tuple(
    (ip_network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared address space"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local, where clouds have their metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/96", "unspecified, loopback or IPv4-compatible"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard-only"),
        ("2001::/23", "protocol assignments, Teredo among them"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
"""IANA's registries of special-purpose addresses, and what embeds an IPv4 address. Own, since the standard library's
`is_global` changes from one patch release of Python to the next."""
_PUBLIC_IPV6: Final = ip_network("2000::/3")
"""All that IANA has given out as global unicast."""
_LAST_32_BITS: Final = tuple(
    ip_network(network) for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that traffic to `address` may end at, where it names one."""
    if any(address in network for network in _LAST_32_BITS):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour or (address.teredo[1] if address.teredo else None)


def refusal_of(text: str, allowed: Iterable[Network] = ()) -> str | None:
    """Return why nothing may be sent to the address `text`, or None if it may.

    `allowed` are the operator's exceptions; one that covers an address covers an IPv4 address inside it only if it
    covers that too.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return "no address"
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "bound to an interface"
    exceptions = tuple(allowed)
    reason = _reason(address)
    if reason is not None and not any(address in network for network in exceptions):
        return reason
    inner = embedded_ipv4(address) if isinstance(address, IPv6Address) else None
    if inner is not None and (reason := _reason(inner)) and not any(inner in network for network in exceptions):
        return f"{reason}, inside IPv6"
    return None


def _reason(address: IPv4Address | IPv6Address) -> str | None:
    for network, name in _NOT_PUBLIC:
        if address in network:
            return name
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return "not given out"
    return None


_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_NEVER_A_PEER: Final = tuple(
    (ip_network(network), name)
    for network, name in (
        ("0.0.0.0/8", "unspecified"),
        ("169.254.0.0/16", "link-local, where clouds have their metadata"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "broadcast or reserved"),
        ("::/128", "unspecified"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)


class PeerRules(Struct, frozen=True):
    """Which addresses SIP and media may be sent to: phones and PBXs are in private networks, so those are allowed."""

    loopback: bool = False
    """Whether the phones may be on this machine."""
    denied: tuple[Network, ...] = ()
    """The networks of the operator's own servers."""

    def refusal_of(self, text: str) -> str | None:
        """Return why nothing may be sent to the address `text`, or None if it may."""
        try:
            address = ip_address(text)
        except ValueError:
            return "no address"
        inner = embedded_ipv4(address) if isinstance(address, IPv6Address) else None
        # ::1 and :: are of the block that embeds IPv4, and embed none.
        found = (address,) if inner is None or int(address) <= 1 else (address, inner)
        return next((reason for one in found if (reason := self._reason(one)) is not None), None)

    def _reason(self, address: IPv4Address | IPv6Address) -> str | None:
        if any(address in network for network in self.denied):
            return "in sip.denied_networks"
        if any(address in network for network in _LOOPBACK):
            return None if self.loopback else "loopback"
        return next((name for network, name in _NEVER_A_PEER if address in network), None)
