"""How a node's engine is doing, in numbers: for whoever watches it, not for what happens to calls."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class EngineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one engine at one moment; counts are since its start."""

    calls: int
    """Calls that run here now."""
    ended: Mapping[str, int]
    """Calls that ended here, by result (`model.release.Result`)."""
    sip_counts: Mapping[str, int]
    """What the SIP endpoint counts, by name: `received`, `malformed`, `retransmissions-sent`…"""
    sip_held: Mapping[str, int]
    """What the SIP endpoint holds now, by name: `sessions`, `client-transactions`…"""
