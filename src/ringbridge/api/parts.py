"""What the API is made of; `main` puts it together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from prometheus_client import CollectorRegistry

from ringbridge import __version__
from ringbridge.api.access.rate_limits import RateLimits
from ringbridge.api.events.slots import StreamSettings
from ringbridge.api.http.metrics import CallMetrics
from ringbridge.calls.access.accounts import Accounts
from ringbridge.calls.control import Control
from ringbridge.calls.directory.provision import Provision
from ringbridge.calls.directory.writes import DirectoryWrites
from ringbridge.calls.events.live import LiveEvents
from ringbridge.calls.events.ports import EventDeliveries
from ringbridge.calls.events.subscriptions import Subscriptions
from ringbridge.calls.exchange_ports import Exchanges
from ringbridge.calls.figures import EngineFigures
from ringbridge.calls.place import Placer
from ringbridge.calls.ports import Bus, Clock, Replica, Store
from ringbridge.calls.recording_ports import Recordings
from ringbridge.model.access import Network


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the API. Times are seconds, sizes bytes."""

    body_limit: int = 65_536
    """The largest documented request is a tenth of it."""
    directory_limit: int = 16 * 1024 * 1024
    """A directory document of some ten thousand users."""
    sync_wait_s: float = 2.0
    """How long `synchronous: yes` waits for the local copy before it answers 202."""
    shown_wait_s: float = 1.0
    """How long any other write of the directory waits for it, so that what is accepted can be read here at once."""
    body_deadline_s: float = 10.0
    deadline_s: float = 20.0
    """For one whole request; above the bus's own deadline, so that its refusal is told and not this."""
    key_cache_s: float = 1.0
    """How long a checked key is taken as it was: what a revocation takes at most."""
    rate_limits: RateLimits = RateLimits()
    trusted_proxies: tuple[Network, ...] = ()
    """Whose word on the client's address is believed (`api.http.forwarded`)."""
    streams: StreamSettings = StreamSettings()
    link_s: int = 3600
    """How long the link to a recording is good."""
    public_client: str = "ringbridge"
    """The `client_id` that the console logs in with; empty: by API key alone."""
    version: str = __version__


class Readiness(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """Whether this node can take calls now, and what it runs on."""

    ready: bool
    node: str
    bus: str
    """`up` or `down`."""
    durability: str
    """`strict`: what was accepted survives a crash; `relaxed`: the operator allowed less."""
    relay: str
    """`up`, `down`, or `none` on a node without engine."""
    replica_lag: int | None = None
    """Bus messages that have come and the local copy has not applied yet; null when it cannot tell."""
    details: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """Everything that handlers use."""

    store: Store
    bus: Bus
    replica: Replica
    placer: Placer
    control: Control
    provision: Provision
    subscriptions: Subscriptions
    events: EventDeliveries
    live: LiveEvents
    writes: DirectoryWrites
    accounts: Accounts
    clock: Clock
    readiness: Callable[[], Readiness]
    recordings: Recordings
    engine: Callable[[], EngineFigures] | None = None
    """The figures of this node's engine; None where it has none."""
    exchanges: Exchanges | None = None
    """The request history; None where none is kept."""
    settings: ApiSettings = field(default_factory=ApiSettings)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    calls: CallMetrics = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", CallMetrics(self.registry))  # the dataclass is frozen, its registry is not
