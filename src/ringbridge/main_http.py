"""The part of the composition root that is about HTTP: where it listens, what it takes, who logs in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from ipaddress import ip_network

from litestar.types import ASGIApp

from ringbridge import __version__
from ringbridge.adapters.exchanges.store import ExchangeSettings, ExchangeStore
from ringbridge.adapters.nats.bus import NatsBus
from ringbridge.adapters.relay.rtpproxy import Relay
from ringbridge.adapters.replica.replica import Replica
from ringbridge.adapters.self_signed import CertificateFiles, ensure_self_signed
from ringbridge.api.access.rate_limits import RateLimits
from ringbridge.api.events.slots import StreamSettings
from ringbridge.api.http.health import health_app
from ringbridge.api.http.server import ApiServer
from ringbridge.api.parts import ApiSettings, Readiness
from ringbridge.calls.access.accounts import Accounts, make_accounts
from ringbridge.calls.access.logins import LoginSettings
from ringbridge.calls.draft import PlaceSettings
from ringbridge.calls.figures import EngineFigures
from ringbridge.calls.limits import LimitBus
from ringbridge.calls.owner import Owner
from ringbridge.calls.ports import Clock, Store
from ringbridge.config import AccessConfig, CallsConfig, Config, Durability, HealthConfig, Https, Plain
from ringbridge.config.rates import load_rates
from ringbridge.model.ids import NodeId
from ringbridge.sip.endpoint import Endpoint
from ringbridge.sip.endpoint_settings import EndpointCounters, EndpointSizes


def accounts_of(
    access: AccessConfig, *, store: Store, bus: LimitBus, clock: Clock, random_part: Callable[[], str]
) -> Accounts:
    """Return keys, passwords, logins and tokens as the configuration wants them."""
    settings = LoginSettings(
        access_s=access.access_token_s,
        jwt_s=access.jwt_s,
        refresh_s=access.refresh_s,
        public_client=access.public_client,
    )
    return make_accounts(store=store, bus=bus, clock=clock, random_part=random_part, settings=settings)


def exchange_store(config: Config, *, node: str, clock: Clock) -> ExchangeStore | None:
    """Return the request history, in a database of its own beside the store; None where none is to be kept.

    Raises:
        OSError: its file cannot be opened.
    """
    requests = config.requests
    if not requests.kept_s:
        return None
    settings = ExchangeSettings(
        path=config.node.data_dir / "requests.db",
        node=node,
        kept_s=requests.kept_s,
        most_kept=requests.most_kept,
        body_bytes=requests.body_bytes,
    )
    return ExchangeStore(settings, clock)


def place_settings(calls: CallsConfig) -> PlaceSettings:
    """Return how calls are accepted.

    Raises:
        ConfigError: the rate table cannot be read.
    """
    return PlaceSettings(
        dial_before_s=calls.dial_before_s,
        origination_ring_timeout_s=calls.orig_ring_timeout_s,
        termination_ring_timeout_s=calls.term_ring_timeout_s,
        max_duration_s=calls.max_call_s,
        allowed_countries=calls.allowed_countries,
        rates=load_rates(calls.rate_table),
    )


def api_settings(config: Config) -> ApiSettings:
    """Return the limits of the API."""
    rates = config.rate_limits
    return ApiSettings(
        body_limit=config.http.body_limit_bytes,
        public_client=config.access.public_client,
        link_s=config.recordings.link_s,
        sync_wait_s=config.calls.sync_wait_s,
        trusted_proxies=tuple(ip_network(text, strict=False) for text in sorted(config.http.trusted_proxies)),
        rate_limits=RateLimits(
            key=rates.key,
            user=rates.user,
            domain=rates.domain,
            address=rates.address,
            unauthenticated=rates.unauthenticated,
        ),
        streams=StreamSettings(
            per_token=config.events.streams_per_token,
            per_address=config.events.streams_per_address,
            at_once=config.events.streams,
            heartbeat_s=config.events.heartbeat_s,
            life_s=config.events.stream_s,
        ),
    )


def readiness_of(
    node: NodeId, bus: NatsBus, replica: Replica, *, relay: Relay | None, durability: Durability
) -> Readiness:
    """Return whether a node can take calls now; `relay` is None where there is no engine."""
    details = {f"bus-fault-{number}": fault for number, fault in enumerate(bus.faults, start=1)}
    if replica.fault:
        details["store-fault"] = replica.fault
    is_relay_up = relay is None or relay.is_up
    return Readiness(
        ready=bus.is_up and is_relay_up and not replica.fault,
        node=node,
        bus="up" if bus.is_up else "down",
        durability=durability.value,
        relay="none" if relay is None else "up" if is_relay_up else "down",
        replica_lag=replica.lag,
        details=details,
    )


def engine_figures(owner: Owner, endpoint: Endpoint) -> EngineFigures:
    """Return how this node's engine is doing."""
    return EngineFigures(
        calls=owner.active,
        ended=owner.ended,
        sip_counts=_by_name(endpoint.counters),
        sip_held=_by_name(endpoint.sizes()),
    )


def _by_name(counted: EndpointCounters | EndpointSizes) -> dict[str, int]:
    return {name.replace("_", "-"): count for name, count in dataclasses.asdict(counted).items()}


def health_server(
    health: HealthConfig, readiness: Callable[[], Readiness], engine: Callable[[], EngineFigures] | None
) -> ApiServer:
    """Return the server of a node without API; it has not started."""
    app = health_app(readiness, engine, version=__version__)
    return ApiServer(app, host=health.host, port=health.port or 0)


def http_servers(config: Config, app: ASGIApp) -> list[ApiServer]:
    """Return the servers of `app` that the configuration asks for, HTTPS first; none has started.

    Raises:
        OSError: there is no certificate where one should be.
    """
    http = config.http
    servers: list[ApiServer] = []
    if http.https is not Https.OFF:
        certificate, key = _certificate(config)
        servers.append(ApiServer(app, host=http.host, port=http.https_port, certificate=certificate, private_key=key))
    if http.plain is Plain.YES:
        servers.append(ApiServer(app, host=http.host, port=http.port))
    return servers


def _certificate(config: Config) -> CertificateFiles:
    http = config.http
    if http.https is Https.FILES and http.tls_cert is not None:
        return CertificateFiles(http.tls_cert, http.tls_key or http.tls_cert)
    return ensure_self_signed(config.node.data_dir / "tls", [http.host, config.sip_address])
