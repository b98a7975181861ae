"""The SIP node's settings from the operator's configuration."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from ringbridge.adapters.sip.node import SipNodeSettings
from ringbridge.config import SipConfig
from ringbridge.model.addresses import PeerRules
from ringbridge.sip.timers import Timers

ACK_WITHIN_S = 12.0
"""How long an ACK waits for the bus: a cluster was seen without a leader for 9 s, and a phone waits 32 s."""


def settings_of(config: SipConfig) -> SipNodeSettings:
    """Return what `[sip]` says about sockets, timers and limits."""
    return SipNodeSettings(
        host=config.host,
        port=config.port,
        public_address=config.public_address,
        user_agent=config.user_agent,
        timers=Timers(t1_s=config.t1_s, t2_s=config.t2_s, t4_s=config.t4_s),
        tcp_over_bytes=config.tcp_over_bytes,
        tcp_connect_deadline_s=config.tcp_connect_deadline_s,
        max_packets_per_source_per_s=config.max_packets_per_source_per_s,
        session_expires_s=config.session_expires_s,
        ack_within_s=ACK_WITHIN_S,
        peers=peer_rules_of(config),
    )


def peer_rules_of(config: SipConfig) -> PeerRules:
    """Return where SIP and media may be sent; to this machine only where it is all that can be reached anyhow."""
    return PeerRules(
        loopback=_is_loopback(config.host),
        denied=tuple(ip_network(text, strict=False) for text in sorted(config.denied_networks)),
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
