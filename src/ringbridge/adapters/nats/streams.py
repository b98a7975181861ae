"""The streams that Ringbridge keeps on the bus: made where missing, and checked to hold what a 202 promises.

What a client can see is checked here: server version, JetStream, file storage, `discard: new`, replicas, no limit
that forgets calls. That every write is flushed before it is acknowledged (`sync_interval: always`) is a setting of
the server that no client can read; our own server has it (`nats.server`), an external one is the operator's word.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec

from ringbridge.adapters.nats.link import Link, LinkDown, NoResponders, RequestTimedOut
from ringbridge.adapters.nats.publish import ApiError
from ringbridge.adapters.nats.subjects import CALL_STREAMS, Stream

OLDEST_SERVER = (2, 12, 3)
STREAM_NOT_FOUND = 10059
NOT_CLUSTERED = 10074  # "replicas > 1 not supported in non-clustered mode", with code 500
ENGINES = "engines"
MARKER_S = {Stream.LOCATIONS: 60, Stream.DIRECTORY: 7 * 86400}
"""How long the notice of what expired, a location or an audit entry, stays for replicas that were away."""
DUPLICATES_S = 1  # not relied on, and each id remembered costs memory


class UnfitBus(Exception):
    """The bus cannot keep the promise of a 202; `faults` says why, each in a sentence."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("the bus is not fit: " + "; ".join(faults))


class StreamConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a stream's configuration that matters to us; times in nanoseconds, as the server has them."""

    name: str
    subjects: tuple[str, ...] = ()
    storage: str = "file"
    retention: str = "limits"
    discard: str = "old"
    num_replicas: int = 1
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0
    max_msgs_per_subject: int = -1
    allow_direct: bool = False
    allow_rollup_hdrs: bool = False
    deny_delete: bool = False
    allow_msg_ttl: bool = False
    subject_delete_marker_ttl: int = 0
    duplicate_window: int = 0
    sealed: bool = False


class _Cluster(msgspec.Struct, frozen=True):
    name: str = ""
    leader: str = ""


class StreamState(msgspec.Struct, frozen=True):
    """Where a stream begins and ends."""

    first_seq: int = 0
    last_seq: int = 0


class StreamInfo(msgspec.Struct, frozen=True):
    """The server's answer about one stream. `created` names this incarnation of it."""

    config: StreamConfig | None = None
    created: str = ""
    state: StreamState = StreamState()
    cluster: _Cluster | None = None
    error: ApiError | None = None


def wanted(stream: Stream, *, replicas: int) -> StreamConfig:
    """Return the configuration of a stream that is made here."""
    second = 1_000_000_000
    if stream in CALL_STREAMS:
        return StreamConfig(
            name=stream,
            subjects=(f"call.{CALL_STREAMS.index(stream)}.>",),
            discard="new",
            num_replicas=replicas,
            allow_direct=True,
            duplicate_window=DUPLICATES_S * second,
        )
    if stream is Stream.PRESENCE:
        return StreamConfig(
            name=stream,
            subjects=("presence.>",),
            discard="new",
            num_replicas=replicas,
            allow_direct=True,
            allow_msg_ttl=True,
            duplicate_window=DUPLICATES_S * second,
        )
    expires = stream in (Stream.LOCATIONS, Stream.WEBHOOKS, Stream.DIRECTORY, Stream.LIMITS)
    return StreamConfig(
        name=stream,
        subjects=(f"$KV.{stream.value.removeprefix('KV_')}.>",),
        discard="new",
        num_replicas=replicas,
        max_msgs_per_subject=1,
        allow_direct=True,
        allow_rollup_hdrs=True,
        deny_delete=True,
        allow_msg_ttl=expires,
        subject_delete_marker_ttl=MARKER_S.get(stream, 0) * second,
        duplicate_window=DUPLICATES_S * second,
    )


def faults_of(found: StreamConfig, want: StreamConfig) -> list[str]:
    """Return what keeps an existing stream from holding what was acknowledged."""
    faults = []
    if found.storage != "file":
        faults.append(f"stream {found.name} keeps its messages in {found.storage}, not in files")
    if found.num_replicas < want.num_replicas:
        faults.append(f"stream {found.name} has {found.num_replicas} replicas, not {want.num_replicas}")
    if found.discard != "new":
        faults.append(f"stream {found.name} forgets old messages when it is full (discard: {found.discard})")
    if found.retention != "limits":
        faults.append(f"stream {found.name} has retention {found.retention}, not limits")
    if found.max_age:
        faults.append(f"stream {found.name} forgets messages by age")
    if found.max_msgs_per_subject != want.max_msgs_per_subject:
        faults.append(f"stream {found.name} keeps {found.max_msgs_per_subject} messages a subject")
    if want.allow_msg_ttl and not found.allow_msg_ttl:
        faults.append(f"stream {found.name} does not let messages expire (allow_msg_ttl)")
    return faults


def faults_of_server(version: str, *, jetstream: bool) -> list[str]:
    """Return what keeps a server from being our bus at all."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    oldest = ".".join(map(str, OLDEST_SERVER))
    faults = []
    if numbers < OLDEST_SERVER:
        faults.append(f"NATS server {version} is older than {oldest}, and may lose acknowledged writes")
    if not jetstream:
        faults.append("JetStream is switched off")
    return faults


class Streams:
    """Asks and orders the JetStream API about streams and consumers; deadline in seconds for each answer."""

    def __init__(self, link: Link, *, timeout_s: float = 5.0) -> None:
        self._link = link
        self._timeout_s = timeout_s

    async def call(self, subject: str, question: object = None) -> bytes:
        """Return the raw answer of the JetStream API.

        Raises:
            LinkDown, RequestTimedOut, NoResponders: as `Link.request`.
        """
        payload = b"" if question is None else msgspec.json.encode(question)
        return (await self._link.request(f"$JS.API.{subject}", payload, timeout_s=self._timeout_s)).payload

    async def info(self, stream: Stream) -> StreamInfo:
        """Return what the leader says of `stream`; `error` is set where there is none."""
        return msgspec.json.decode(await self.call(f"STREAM.INFO.{stream}"), type=StreamInfo)

    async def ensure(self, *, replicas: int, deadline_s: float, claim_deadline_s: float = 5.0) -> list[str]:
        """Make what is missing, and return the faults of what is there.

        Raises:
            UnfitBus: the server itself will not do, or a stream cannot be made.
        """
        info = self._link.info
        faults = faults_of_server(info.version, jetstream=info.jetstream)
        if not info.jetstream:
            raise UnfitBus(faults)
        try:
            async with asyncio.timeout(deadline_s):
                for found in await asyncio.gather(
                    *(self._ensure_one(stream, replicas, claim_deadline_s) for stream in Stream)
                ):
                    faults += found
        except TimeoutError as error:
            raise UnfitBus([*faults, f"JetStream did not answer within {deadline_s:g} s"]) from error
        return faults

    async def _ensure_one(self, stream: Stream, replicas: int, claim_deadline_s: float) -> list[str]:
        faults = await self._ensure_stream(wanted(stream, replicas=replicas))
        if stream in CALL_STREAMS:
            await self._ensure_engines(stream, claim_deadline_s)
        return faults

    async def _ensure_stream(self, want: StreamConfig) -> list[str]:
        """Return the faults of one stream; keeps trying while a cluster is still choosing its leaders."""
        while True:
            try:
                found = await self.info(Stream(want.name))
                if found.error is not None and found.error.err_code == STREAM_NOT_FOUND:
                    found = msgspec.json.decode(await self.call(f"STREAM.CREATE.{want.name}", want), type=StreamInfo)
            except (LinkDown, RequestTimedOut, NoResponders):
                await asyncio.sleep(0.1)
                continue
            is_old = found.config is not None and not found.config.allow_msg_ttl
            if is_old and want.name in (Stream.DIRECTORY, Stream.LIMITS):
                found = await self._upgrade(want)
            if found.config is not None:
                return faults_of(found.config, want)
            if found.error is not None and (found.error.code < 500 or found.error.err_code == NOT_CLUSTERED):
                raise UnfitBus([f"stream {want.name} cannot be made: {found.error.description}"])
            await asyncio.sleep(0.1)

    async def _upgrade(self, want: StreamConfig) -> StreamInfo:
        """Let messages of a stream that an earlier version made expire (audit entries, failed logins); no more."""
        info = msgspec.json.decode(await self.call(f"STREAM.INFO.{want.name}"))
        changed = {"allow_msg_ttl": True, "subject_delete_marker_ttl": want.subject_delete_marker_ttl}
        answer = await self.call(f"STREAM.UPDATE.{want.name}", info["config"] | changed)
        return msgspec.json.decode(answer, type=StreamInfo)

    async def _ensure_engines(self, stream: Stream, claim_deadline_s: float) -> None:
        """Make the consumer of `stream` that all engines share; the same call again changes nothing."""
        second = 1_000_000_000
        config: dict[str, Any] = {
            "durable_name": ENGINES,
            "filter_subject": "call.*.*.*.requested",
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(claim_deadline_s * second),
            "max_deliver": -1,
            "max_ack_pending": 10_000,
            "max_waiting": 512,
        }
        question = {"stream_name": stream, "config": config}
        while True:
            try:
                answer = await self.call(f"CONSUMER.DURABLE.CREATE.{stream}.{ENGINES}", question)
            except (LinkDown, RequestTimedOut, NoResponders):
                await asyncio.sleep(0.1)
                continue
            error = msgspec.json.decode(answer, type=StreamInfo).error
            if error is None:
                return
            if error.code < 500:
                raise UnfitBus([f"consumer {ENGINES} cannot be made: {error.description}"])
            await asyncio.sleep(0.1)
