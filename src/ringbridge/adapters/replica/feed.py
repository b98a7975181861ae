"""How a replica is fed: the streams of the bus, in order, from where it stands, whatever breaks in between."""

from __future__ import annotations

from typing import Protocol

from ringbridge.adapters.nats.subjects import Stream


class FeedSink(Protocol):
    """Where a feed pours one stream. All calls come on the event loop and return at once."""

    @property
    def received(self) -> int:
        """The last sequence that was taken: a feed goes on right behind it."""
        ...

    @property
    def known(self) -> int:
        """The highest sequence that the bus is known to hold; above `received`, somebody waits for it."""
        ...

    @property
    def backlog(self) -> int:
        """How many entries wait to be applied; a feed slows down by it."""
        ...

    def joined(self, incarnation: str) -> None:
        """The stream is found. Another `incarnation` than before means: made again, begin at nothing."""
        ...

    def entry(self, subject: str, sequence: int, payload: bytes, removed: bool) -> None:  # noqa: FBT001 - hot, called once a message
        """Take one message; `sequence` grows, with gaps where messages were replaced. Known ones are passed over."""
        ...

    def caught_up(self) -> None:
        """Nothing newer was there a moment ago."""
        ...


class Feed(Protocol):
    """A source of streams."""

    async def run(self, stream: Stream, sink: FeedSink) -> None:
        """Pour `stream` into `sink` until cancelled."""
        ...
