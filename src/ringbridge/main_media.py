"""The part of the composition root that is about media: our own relay, and what becomes of what it records."""

from __future__ import annotations

from contextlib import AsyncExitStack

from ringbridge.adapters.recordings.folder import RecordingFolder
from ringbridge.adapters.recordings.keeper import History, KeeperSettings, RecordingKeeper
from ringbridge.adapters.relay.child import RelayChild, RelaySettings, ensure_relay
from ringbridge.adapters.sip.node import reachable_address
from ringbridge.config import Config, RelayConfig, SipConfig

RELAY_FOLDER = "relay"


async def own_relay(config: Config, stack: AsyncExitStack) -> RelayChild:
    """Start the relay of this node, or take up the one that runs; it ends with `stack`.

    Raises:
        RelayUnavailable: it does not start.
    """
    settings = RelaySettings(
        data_dir=config.node.data_dir / RELAY_FOLDER,
        host=config.sip.host,
        advertise=media_host(config.relay, config.sip),
        port_min=config.relay.port_min,
        port_max=config.relay.port_max,
        linger_s=config.relay.idle_exit_s,
        session_ttl_s=int(config.relay.media_timeout_s),
        command_deadline_s=config.relay.command_deadline_s,
    )
    child = await ensure_relay(settings)
    stack.push_async_callback(child.stop)
    return child


def media_host(relay: RelayConfig, sip: SipConfig) -> str:
    """Return the address that stands in SDP."""
    return relay.host or sip.public_address or reachable_address(sip.host)


def recording_keeper(config: Config, history: History) -> RecordingKeeper:
    """Return what makes recordings of what our own relay writes."""
    recordings = config.recordings
    settings = KeeperSettings(
        relay=config.node.data_dir / RELAY_FOLDER,
        kept_s=recordings.kept_s,
        least_free_bytes=recordings.least_free_bytes,
    )
    return RecordingKeeper(settings, RecordingFolder(config.recordings_folder), history)
