"""A carrier's edge by UDP alone, which says what the test wants to whatever is asked of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from ringbridge.sip.message import Request, Response, parse, response_to

Answer = Callable[[Request], Response | None]


class Trunk(asyncio.DatagramProtocol):
    """Answers each request with `says`; None is silence."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.says: Answer = status(200)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # the selector loop's is of no such class

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = parse(data)
        if not isinstance(request, Request) or self._transport is None:
            return
        self.requests.append(request)
        answer = self.says(request)
        if answer is not None:
            self._transport.sendto(answer.serialize(), addr)

    @property
    def address(self) -> str:
        assert self._transport is not None
        return f"127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"

    def count(self, method: str) -> int:
        """Return how many requests of a method came, each once however often it was sent."""
        return len({re.sub(".*branch=", "", one.first("Via") or "") for one in self.requests if one.method == method})


def status(code: int, *headers: tuple[str, str]) -> Answer:
    """Return an answer of this status to everything."""
    return lambda request: response_to(request, code, to_tag="trunk", headers=headers)


def silence(_: Request) -> None:
    """Say nothing."""


@asynccontextmanager
async def trunk() -> AsyncIterator[Trunk]:
    """Run a carrier's edge at a port of its own."""
    transport, one = await asyncio.get_running_loop().create_datagram_endpoint(Trunk, local_addr=("127.0.0.1", 0))
    try:
        yield one
    finally:
        transport.close()
