"""A TCP proxy before a NATS server that swallows acknowledgements, and then cuts the connection, or requests."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit


class LossyProxy:
    """`drop_answers(n)`: the next n chunks with an answer to a stored write vanish, and the connection with each.

    `swallow(subjects)`: what a client publishes on a subject that begins so vanishes, until it is told otherwise.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_drop = 0
        self._swallowed: tuple[bytes, ...] = ()
        self.dropped = 0

    async def start(self) -> str:
        """Return the URL to connect to."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"nats://{self._upstream.username}:{self._upstream.password}@127.0.0.1:{port}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_answers(self, count: int) -> None:
        self._to_drop = count

    def swallow(self, *subjects: str) -> None:
        self._swallowed = tuple(subject.encode() for subject in subjects)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self._upstream.port
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        there = asyncio.create_task(self._requests(reader, up_writer))
        back = asyncio.create_task(self._answers(up_reader, writer))
        both = {there, back}
        self._tasks |= both
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            self._tasks -= both
            for one in (writer, up_writer):
                one.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = line.split()
            size = int(words[-1]) + 2 if words[0] in (b"PUB", b"HPUB") else 0
            payload = await reader.readexactly(size)
            if size and words[1].startswith(self._swallowed):
                continue
            writer.write(line + payload)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._to_drop and b'"seq":' in data and b'"stream":"CALLS' in data:
                self._to_drop -= 1
                self.dropped += 1
                return
            writer.write(data)
            await writer.drain()
