"""One POST to a receiver: signed, checked, bounded (contract §5).

Every attempt resolves the name anew, checks every address that it has, and connects to one of exactly those: a
connection is used once, so that no attempt rides on the check of another. TLS and the Host header keep the name of the
URL. Redirects are answers like any other, proxies of the environment are not looked at, and of the answer no more than
a beginning is read. Why `httpcore` and not `httpx`: the address can be pinned underneath TLS, and it does none of
those things by itself.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import perf_counter

import httpcore
import msgspec
import structlog
from httpcore import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream
from standardwebhooks.webhooks import Webhook
from typing_extensions import override

from ringbridge import __version__
from ringbridge.calls.ports import Clock
from ringbridge.model.access import Network
from ringbridge.model.addresses import refusal_of

log = structlog.get_logger(__name__)

RESOLVERS = 32
EXCERPT_BYTES = 256
READ_BYTES = 4096
"""What is read of an answer before the connection is closed."""
USER_AGENT = f"Ringbridge/{__version__}"


class Outcome(msgspec.Struct, frozen=True):
    """What became of an attempt; `status` is 0 where there was no answer, and `error` says why."""

    status: int
    error: str = ""
    excerpt: str = ""
    duration_ms: int = 0

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more of this subscription."""
        return self.status == 410


class AddressRefused(Exception):
    """The name leads where nothing may be sent."""


class PostSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of an attempt."""

    timeout_s: float = 15.0
    allowed: tuple[Network, ...] = ()
    """Networks beside the public Internet that may be sent to."""


def addresses_of(host: str, port: int) -> list[str]:
    """Return every address of `host`, best first; blocks."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class _Checked(AsyncNetworkBackend):
    """Connects to addresses that were checked just before, and to nothing else."""

    def __init__(self, allowed: tuple[Network, ...]) -> None:
        self._allowed = allowed
        self._inner = AnyIOBackend()
        # Threads of its own: names that never resolve keep them for long, and nobody else waits for one of these.
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="webhook-resolver")

    def close(self) -> None:
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        addresses = await asyncio.get_running_loop().run_in_executor(self._resolvers, addresses_of, host, port)
        for address in addresses:
            if (reason := refusal_of(address, self._allowed)) is not None:
                # The operator may see where a name of the inside leads; the tenant who chose it may not.
                log.info("webhook_address_refused", host=host, address=address, reason=reason)
                raise AddressRefused(f"{host} leads to an address that is not allowed")
        fault: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                fault = error
        raise fault


class Poster:
    """Sends signed messages."""

    def __init__(self, settings: PostSettings, clock: Clock, *, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._tls = tls or httpcore.default_ssl_context()
        self._backend = _Checked(settings.allowed)

    def close(self) -> None:
        """Let go of the resolving threads, without waiting for any."""
        self._backend.close()

    async def post(self, url: str, message_id: str, body: bytes, secret: str) -> Outcome:
        """Send `body` and return what became of that; never raises for anything that the other side does."""
        started = perf_counter()
        status, error, excerpt = 0, "", b""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                status, excerpt = await self._exchange(url, self._headers(message_id, body, secret), body)
        except TimeoutError:
            error = f"no whole answer within {self._settings.timeout_s:g} s"
        except AddressRefused as refused:
            error = str(refused)
        except (OSError, ValueError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as bad:
            error = f"{type(bad).__name__}: {bad}"
        if 300 <= status < 400:
            error = "redirects are not followed"
        duration_ms = round((perf_counter() - started) * 1000)
        return Outcome(status, error[:EXCERPT_BYTES], _printable(excerpt), duration_ms)

    def _headers(self, message_id: str, body: bytes, secret: str) -> list[tuple[bytes, bytes]]:
        now = datetime.fromtimestamp(int(self._clock.now()), UTC)
        signature = Webhook(secret).sign(message_id, now, body.decode())
        return [
            (b"content-type", b"application/json"),
            (b"user-agent", USER_AGENT.encode()),
            (b"connection", b"close"),
            (b"webhook-id", message_id.encode()),
            (b"webhook-timestamp", str(int(now.timestamp())).encode()),
            (b"webhook-signature", signature.encode()),
        ]

    async def _exchange(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[int, bytes]:
        pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls, network_backend=self._backend, max_keepalive_connections=0
        )
        async with pool, pool.stream("POST", url, headers=headers, content=body) as response:
            excerpt = b""
            async for chunk in response.aiter_stream():
                excerpt += chunk[: READ_BYTES - len(excerpt)]
                if len(excerpt) >= READ_BYTES:
                    break
            return response.status, excerpt


def _printable(excerpt: bytes) -> str:
    text = excerpt[:EXCERPT_BYTES].decode("utf-8", "replace")
    return "".join(one if one.isprintable() else " " for one in text).strip()
