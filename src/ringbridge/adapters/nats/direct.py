"""Entries of a stream from any server that has a copy of it: what a replica gets while no consumer brings it news.

A consumer is made by the leader of the whole cluster, runs on one server, and is given only once the stream's own
leader has said what stream it is. When a server falls, an election takes 4 to 9 seconds, and the other streams go on
taking writes meanwhile: their 202s were measured up to 9 s ahead of what a node could show. A direct get (NATS
ADR-31) needs no leader: any server that is up to date answers, with messages that a quorum has.

Each message of a batch names the one before it (`Nats-Last-Sequence`, 0 in the first), so that a hole is seen.
"""

from __future__ import annotations

import asyncio

import msgspec

from ringbridge.adapters.nats.link import Link, LinkDown
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.nats.wire import Message
from ringbridge.adapters.replica.feed import FeedSink

BATCH = 256  # messages an answer
ANSWER_S = 1.0


class DirectReader:
    """Reads streams by direct gets."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def read(self, stream: Stream, sink: FeedSink) -> bool:
        """Pour into `sink` what follows behind its last entry, one batch; return whether there is more."""
        batch = _Batch(sink)
        inbox = self._link.new_inbox()
        stop = self._link.subscribe(inbox, batch.take)
        question = msgspec.json.encode({"seq": batch.start, "batch": BATCH})
        try:
            self._link.publish(f"$JS.API.DIRECT.GET.{stream}", question, reply=inbox)
            async with asyncio.timeout(ANSWER_S):
                await batch.over.wait()
        except (LinkDown, TimeoutError):
            return False
        finally:
            stop()
        return batch.has_more


class _Batch:
    """What comes as an answer to one direct get."""

    def __init__(self, sink: FeedSink) -> None:
        self._sink = sink
        self.start = sink.received + 1
        self.over = asyncio.Event()
        self.has_more = False

    def take(self, message: Message) -> None:
        """Take one message of the answer; called by the link."""
        if self.over.is_set():
            return
        if message.status is not None:
            # 204: the batch is whole. 404: nothing is there. 503: nobody has a copy, or none that is up to date.
            # Without anything new there is no more to ask for now, whatever the server says is pending.
            is_more = message.header(b"Nats-Num-Pending") not in (None, "0")
            self.has_more = message.status == 204 and is_more and self._sink.received >= self.start
            self.over.set()
            return
        before = int(message.header(b"Nats-Last-Sequence") or 0) or self.start - 1
        if before > self._sink.received:
            # Lost on the way, or the stream was made again meanwhile and the sink is back at nothing.
            self.over.set()
            return
        subject = message.header(b"Nats-Subject") or ""
        sequence = int(message.header(b"Nats-Sequence") or 0)
        self._sink.entry(subject, sequence, message.payload, message.is_removal)
