"""A receiver of webhooks on a real socket, as somebody would write one: it checks signatures and does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from standardwebhooks.webhooks import Webhook

OK = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def answer(status: int, body: bytes = b"", *headers: bytes) -> bytes:
    """Return an HTTP answer."""
    head = [b"HTTP/1.1 %d X" % status, b"Content-Length: %d" % len(body), b"Connection: close", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


class Got(msgspec.Struct):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(msgspec.json.decode(self.body))

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    def check(self, secret: str) -> None:
        """Verify the signature with the library that receivers use."""
        Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """Answers POSTs; `respond` says how, and may wait."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.by_call: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        """Objects that came, in order, by the call they are of."""
        self.respond: Callable[[Got], bytes] = lambda _: OK
        self.delay_s = 0.0
        self.at_once = 0
        self.most_at_once = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in headers.items()}
            body = await reader.readexactly(int(headers["content-length"]))
            got = Got(head[0].split(" ")[1], headers, body)
            self.got.append(got)
            for event in got.events:
                self.by_call[event.get("call-id", "")].append(event)
            reply = self.respond(got)
            if self.delay_s:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.delay_s):
                        await reader.read()  # who asked may give up before
            writer.write(reply)
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # a cancelled handler would be told as a fault of the server
        finally:
            self.at_once -= 1
            writer.close()

    def events(self, call_id: str) -> list[dict[str, Any]]:
        """Return the objects that came of one call, in order."""
        return self.by_call[call_id]

    async def wait(self, condition: Callable[[], object], *, timeout_s: float = 30.0) -> None:
        """Return when `condition` holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """Run a receiver on 127.0.0.1."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
    receiver.port = int(server.sockets[0].getsockname()[1])
    try:
        yield receiver
    finally:
        server.close()
        await server.wait_closed()
