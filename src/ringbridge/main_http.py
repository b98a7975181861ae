"""The part of the composition root that is about HTTP: where it listens, what it takes, who logs in."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from litestar.types import ASGIApp

from ringbridge.adapters.exchanges.store import ExchangeSettings, ExchangeStore
from ringbridge.adapters.self_signed import CertificateFiles, ensure_self_signed
from ringbridge.api.access.rate_limits import RateLimits
from ringbridge.api.events.slots import StreamSettings
from ringbridge.api.http.server import ApiServer
from ringbridge.api.parts import ApiSettings
from ringbridge.calls.access.accounts import Accounts, make_accounts
from ringbridge.calls.access.logins import LoginSettings
from ringbridge.calls.draft import PlaceSettings
from ringbridge.calls.limits import LimitBus
from ringbridge.calls.ports import Clock, Store
from ringbridge.config import AccessConfig, CallsConfig, Config, Https, Plain
from ringbridge.config.rates import load_rates


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
