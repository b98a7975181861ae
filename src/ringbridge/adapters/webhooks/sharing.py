"""Who of the nodes does what: all see the same nodes alive, and so choose the same one for a piece of work."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from ringbridge.model.directory import Subscription


def chosen(name: str, nodes: Iterable[str]) -> str:
    """Return the one of `nodes` that does what is called `name`: little moves when a node comes or goes."""
    weights = ((blake2b(f"{node}\0{name}".encode()).digest(), node) for node in nodes)
    return max(weights, default=(b"", ""))[1]


def chosen_node(subscription: Subscription, nodes: Iterable[str]) -> str:
    """Return the one of `nodes` that delivers `subscription`; empty for none of them."""
    preferred = subscription.preferred_server
    if preferred and (preferred in nodes or subscription.subscription_geo_support == "no"):
        return preferred
    return chosen(subscription.id, nodes)
