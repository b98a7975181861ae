"""The bus as a replica follows it: for each stream a loop of our own over an ephemeral push consumer.

Why not an ordered consumer of `nats-py`: it stalled silently in 5 of 12 kills of a leader (design.md, "Known traps").
Here every reason to doubt leads to the same answer, a new consumer that begins right behind what was received: no
heartbeat for a while, a hole in the consumer's own numbering, a stream that was made again, a new connection. What
comes twice is passed over by the sink, so beginning again is always safe.

While there is no consumer, or somebody waits for what the consumer does not bring, a second loop reads what is there
by direct gets (`nats.direct`): what was acknowledged can then be read though leaders are being chosen.

A message's reply subject says where it stands:
`$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`.
The server sends flow-control requests in between and goes on when they are answered; they are answered when the sink
has worked off its backlog, so a rebuild from zero does not fill the memory.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from ringbridge.adapters.nats.direct import DirectReader
from ringbridge.adapters.nats.link import Link, LinkDown, NoResponders, RequestTimedOut
from ringbridge.adapters.nats.publish import ApiError
from ringbridge.adapters.nats.streams import Streams
from ringbridge.adapters.nats.subjects import Stream
from ringbridge.adapters.nats.wire import Message
from ringbridge.adapters.replica.feed import FeedSink

log = structlog.get_logger(__name__)

HEARTBEAT_S = 0.5
MISSED_S = 0.8
SILENCE_S = 1.6  # three heartbeats: then the consumer is gone, whatever anybody says
RETRY_S = 0.1
BRIDGE_S = 0.2  # how long nothing may be heard of what is known to be there before it is read directly
ASK_TIMEOUT_S = 1.5  # while a leader is chosen nobody answers; asking again finds the new one
BACKLOG = 4096  # entries; above, the server is let wait
SECOND = 1_000_000_000


class _ConsumerAnswer(msgspec.Struct, frozen=True):
    name: str = ""
    num_pending: int = 0
    error: ApiError | None = None


class NatsFeed:
    """`replica.feed.Feed` over NATS."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._streams = Streams(link, timeout_s=ASK_TIMEOUT_S)
        self._direct = DirectReader(link)
        self.restarts = 0
        """How often a consumer was made, first ones included."""

    async def run(self, stream: Stream, sink: FeedSink) -> None:
        place = _Place()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._bridge(stream, sink, place), name=f"bridge-{stream}")
            while True:
                if not self._link.is_up:
                    await self._link.wait_up(3600.0)
                    continue
                try:
                    await self._follow(stream, sink, place)
                except (LinkDown, RequestTimedOut, NoResponders) as error:
                    log.info("replica_feed_waits", stream=stream.value, why=type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _follow(self, stream: Stream, sink: FeedSink, place: _Place) -> None:
        """Follow `stream` through one consumer; return when another is needed."""
        found = await self._streams.info(stream)
        if found.error is not None:
            return
        sink.joined(found.created)
        place.is_joined = True
        self.restarts += 1
        flow = _Flow(self._link, sink)
        inbox = self._link.new_inbox()
        stop = self._link.subscribe(inbox, flow.take)
        name = ""
        try:
            answer = await self._create(stream, inbox, start=sink.received + 1)
            if answer.error is not None:
                log.warning("replica_consumer_refused", stream=stream.value, fault=answer.error.description)
                return
            name = answer.name
            place.flow = flow
            if answer.num_pending == 0:
                sink.caught_up()
            await flow.watch()
            log.info("replica_consumer_renewed", stream=stream.value, why=flow.broken, received=sink.received)
        finally:
            place.flow = None
            stop()
            if name and self._link.is_up:
                self._link.publish(f"$JS.API.CONSUMER.DELETE.{stream}.{name}")

    async def _bridge(self, stream: Stream, sink: FeedSink, place: _Place) -> None:
        """Read directly what is late: what was known to be there a moment ago, or anything while none brings it."""
        while True:
            known = sink.known
            await asyncio.sleep(BRIDGE_S)
            while place.is_joined and (place.is_silent or known > sink.received) and sink.backlog < BACKLOG:
                if not (self._link.is_up and await self._direct.read(stream, sink)):
                    break

    async def _create(self, stream: Stream, inbox: str, *, start: int) -> _ConsumerAnswer:
        config = {
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "ack_policy": "none",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_S * SECOND),
            "inactive_threshold": 10 * SECOND,
            "mem_storage": True,
            "num_replicas": 1,
        }
        answer = await self._streams.call(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})
        return msgspec.json.decode(answer, type=_ConsumerAnswer)


class _Place:
    """How a stream is followed now."""

    def __init__(self) -> None:
        self.is_joined = False
        """Whether the leader has said, in this run, which stream it is."""
        self.flow: _Flow | None = None

    @property
    def is_silent(self) -> bool:
        """Whether no consumer brings what is new."""
        return self.flow is None or self.flow.is_silent


class _Flow:
    """What arrives from one consumer, and whether it can still be trusted."""

    def __init__(self, link: Link, sink: FeedSink) -> None:
        self._link = link
        self._sink = sink
        self._delivered = 0
        self._tail = 0
        self._met = False
        self._spoke = True
        self._stalled = ""
        self.is_silent = False
        """Whether a heartbeat was missed: perhaps the consumer is gone."""
        self._over = asyncio.Event()
        self.broken = ""

    def take(self, message: Message) -> None:
        """Take one message of the consumer; called by the link, once a message."""
        self._spoke = True
        if self.broken:
            return
        reply = message.reply
        if not reply.startswith(b"$JS.ACK."):
            self._control(message)
            return
        if not self._tail:
            # With a domain and an account in front, the subject has a token behind `pending` too.
            self._tail = 4 if reply.count(b".") == 8 else 5
        words = reply.rsplit(b".", self._tail)
        number = int(words[2])
        if number != self._delivered + 1:
            self._break("a hole in the consumer's numbers")
            return
        self._delivered = number
        self._sink.entry(message.subject.decode(), int(words[1]), message.payload, message.is_removal)
        if not self._met and words[4] == b"0":
            self._met = True
            self._sink.caught_up()

    def _control(self, message: Message) -> None:
        status = message.status
        if status is None:
            return
        if status != 100:
            self._break(f"{status} {message.status_text}")
            return
        if message.reply:
            self._stalled = message.reply.decode()
            self.let_go_on()
            return
        stalled = message.header(b"Nats-Consumer-Stalled")
        if stalled is not None:
            self._stalled = stalled
            self.let_go_on()
        last = message.header(b"Nats-Last-Consumer")
        if last is not None and int(last) != self._delivered:
            self._break("messages were lost on the way")

    def let_go_on(self) -> None:
        """Answer the server's flow-control request, unless the sink has enough to do."""
        if self._stalled and self._sink.backlog < BACKLOG and self._link.is_up:
            self._link.publish(self._stalled)
            self._stalled = ""

    def _break(self, why: str) -> None:
        self.broken = why
        self._over.set()

    async def watch(self) -> None:
        """Return when the consumer cannot be trusted any more."""
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while not self._over.is_set():
            if self._spoke:
                self._spoke = self.is_silent = False
                heard = loop.time()
            try:
                async with asyncio.timeout(0.02 if self._stalled else HEARTBEAT_S):
                    await self._over.wait()
            except TimeoutError:
                self.let_go_on()
                if not self._link.is_up:
                    self._break("connection lost")
                elif not self._spoke:
                    self.is_silent = loop.time() - heard > MISSED_S
                    if loop.time() - heard > SILENCE_S:
                        self._break("no heartbeat")
