"""An answer that is made while it is sent, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from litestar.types import Receive, Scope, Send

from ringbridge.api.http.answers import Answer, HeaderPair

SEND_S = 30.0
"""How long a client may take no byte before it is cut off."""


class StreamedAnswer(Answer):
    """An answer whose body comes in chunks.

    If making one fails, the connection is cut, so that nobody takes a part for the whole; a client that has gone, or
    takes nothing, ends it too.
    """

    __slots__ = ("_chunks", "_send_s")

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        *,
        content_type: bytes,
        headers: Iterable[HeaderPair] = (),
        send_s: float = SEND_S,
    ) -> None:
        super().__init__(200, b"", content_type=content_type, headers=headers)
        self.headers = [pair for pair in self.headers if pair[0] != b"content-length"]
        self._chunks = chunks
        self._send_s = send_s

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_gone(receive), name="client-gone")
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
            async for chunk in self._chunks:
                if gone.done():
                    return
                async with asyncio.timeout(self._send_s):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            await asyncio.wait([gone])


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
