"""Which client stands behind a proxy: `Forwarded` (RFC 7239) and `X-Forwarded-For`, believed from trusted proxies only.

Each proxy adds to the right who asked it, so the list is read from the right, and only as far as trusted proxies wrote
it. A proxy that writes one of the two headers passes on what a client wrote into the other: where both are there and
do not name the same client, neither is believed, and the proxy itself is who asks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from ringbridge.model.access import Network

Address: TypeAlias = IPv4Address | IPv6Address
MOST_HOPS: Final = 32
"""Proxies in a row; a list of more is somebody's play."""

_PAIR: Final = re.compile(r'[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s";,]*))[ \t]*')
_V4_WITH_PORT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}")
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?")


def client_behind(peer: str, headers: Sequence[tuple[bytes, bytes]], trusted: Sequence[Network]) -> str:
    """Return the address of the client whose request `peer` sent: its own, unless it is a trusted proxy that says."""
    if not _is_trusted(_address(peer), trusted):
        return peer
    told = []
    for name, hops_of in ((b"forwarded", _forwarded), (b"x-forwarded-for", _listed)):
        lines = [value.decode("latin-1") for its_name, value in headers if its_name == name]
        if lines:
            told.append(_first_untrusted(peer, hops_of(", ".join(lines)), trusted))
    return told[0] if told and len(set(told)) == 1 else peer


def scheme_behind(peer: str, headers: Sequence[tuple[bytes, bytes]], trusted: Sequence[Network]) -> str:
    """Return the scheme that a trusted proxy was asked by, as its `X-Forwarded-Proto` says; empty where none says."""
    told = {value.strip().lower() for name, value in headers if name == b"x-forwarded-proto"}
    found = next(iter(told)).decode("latin-1") if len(told) == 1 else ""
    return found if found in {"http", "https"} and _is_trusted(_address(peer), trusted) else ""


def _first_untrusted(peer: str, hops: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the last hop that is no trusted proxy, or the proxy that did not say who asked it."""
    found = peer
    for hop in list(reversed(hops))[:MOST_HOPS]:
        address = _address(hop)
        if address is None:
            break
        found = str(address)
        if not _is_trusted(address, trusted):
            break
    return found


def _is_trusted(address: Address | None, trusted: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in trusted)


def _address(text: str) -> Address | None:
    """Return the address of a hop, which may have a port; None for `unknown`, an obfuscated name, or nonsense."""
    text = text.strip()
    if (with_port := _V4_WITH_PORT.fullmatch(text) or _BRACKETED.fullmatch(text)) is not None:
        text = with_port[1]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def _listed(text: str) -> list[str]:
    return text.split(",")


def _forwarded(text: str) -> list[str]:
    """Return the `for` of each element (RFC 7239 §4), empty where it has none; of what cannot be read, nothing."""
    hops, at, named = [], 0, ""
    while True:
        found = _PAIR.match(text, at)
        if found is None:
            return [""]
        if found[1].lower() == "for":
            named = found[3] if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
        at = found.end()
        if at == len(text) or text[at] == ",":
            hops.append(named)
            named = ""
        elif text[at] != ";":
            return [""]
        if at == len(text):
            return hops
        at += 1
