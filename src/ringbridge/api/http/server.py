"""The API's HTTP server, uvicorn inside the program's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from litestar.types import ASGIApp

from ringbridge.api.http.protocol import WebSocketProtocol, http_protocol

HEAD_DEADLINE_S = 10.0
"""Seconds for a request's whole head, and for the first after connecting; a phone on a bad line takes one."""
MESSAGE_LIMIT_BYTES = 4096
"""Of a WebSocket's client, who has nothing to say to us; uncompressed, as each compressor takes 64 KB and more."""
STOP_S = 0.5
"""Seconds that requests in flight get at the end; with uvicorn's own pauses the whole stop is below a second."""


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: signals are the program's. It says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ApiServer:
    """Serves one application on one address."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str = "127.0.0.1",
        port: int = 8480,
        certificate: Path | None = None,
        private_key: Path | None = None,
        head_deadline_s: float = HEAD_DEADLINE_S,
    ) -> None:
        """`port` 0 takes any free one; `certificate` and `private_key` are PEM files, for HTTPS.

        Raises:
            OSError: they are no certificate and its key.
        """
        if certificate is not None:
            _check_certificate(certificate, private_key)
        self._host = host
        self._port = port
        self._scheme = "https" if certificate else "http"
        self._server = _Server(
            uvicorn.Config(
                app,
                http=http_protocol(head_deadline_s),
                ws=WebSocketProtocol,
                ws_max_size=MESSAGE_LIMIT_BYTES,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=1,
                ssl_certfile=certificate,
                ssl_keyfile=private_key,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it answers, without a trailing slash; known once it has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self._port}"

    async def start(self) -> None:
        """Listen; return when requests are taken.

        Raises:
            OSError: the address cannot be listened on.
        """
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="http-server")
        self._task.add_done_callback(lambda _: self._server.listens.set())  # nor does one that failed let us wait
        await self._server.listens.wait()
        if not self._server.started:
            self._task.result()
            raise OSError("the HTTP server ended before it had started")

    async def stop(self) -> None:
        """Take no more requests, give those in flight a moment, and end; safe to repeat."""
        if self._task is None:
            return
        self._server.should_exit = True
        _, late = await asyncio.wait([self._task], timeout=STOP_S)
        if late:
            self._server.force_exit = True
            for task in list(self._server.server_state.tasks):
                task.cancel()
            await asyncio.wait([self._task], timeout=STOP_S)
        self._task = None


def _check_certificate(certificate: Path, private_key: Path | None) -> None:
    """Say which files are at fault, which the TLS library does not."""
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, private_key)
    except (OSError, ssl.SSLError) as error:
        message = f"{certificate} and {private_key or certificate} are no certificate and its key in PEM: {error}"
        raise OSError(message) from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
