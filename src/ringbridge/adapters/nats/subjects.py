"""Subjects and keys of the bus: which name stands where, and how any text becomes one subject token.

    call.<shard>.<domain>.<call-id>.requested      a call that engines may claim
    call.<shard>.<domain>.<call-id>.events         everything else about it
    $KV.directory.<kind>.<key>…            one directory record
    $KV.locations.<domain>.<device>.<contact digest>
    $KV.webhooks.state.<subscription>      how far its deliveries are, and which node delivers
    $KV.webhooks.log.<subscription>.<part>
    $KV.webhooks.node.<node>               a delivering node's beat
    $KV.limits.<kind>.<domain>…            the slots of one limited subject
    presence.<domain>.<user>               a user's presence, one message a change
    node.<node>.command                    request-reply to the owner of a call

A token keeps `A-Z a-z 0-9 _ -`; every other byte of the UTF-8 text becomes `=XX`, and the empty text `=`. That is
reversible, holds no `.`, `*`, `>` or space, and is a valid key for NATS key-value tools too.

Calls are spread over eight streams by a hash of their name. A server flushes the writes of one stream one after the
other, those of several at once; measured with both processors busy, one stream took 370 flushed writes a second,
four 2,000, eight 4,400 (an idle machine: 3,800 with one). A position, as `calls.ports.Bus` returns it, is the
sequence in the stream and the stream in one number; it grows with every message of a call.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from zlib import crc32

from ringbridge.model.ids import CallId, DomainName, NodeId

_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPE = re.compile(rb"=([0-9A-F]{2})")
LONGEST_KEPT = 255
"""Characters of a text whose token is remembered: no name of ours is longer, and others would only fill memory."""


class Stream(StrEnum):
    """The JetStream streams, by their names on the server."""

    CALLS0 = "CALLS0"
    CALLS1 = "CALLS1"
    CALLS2 = "CALLS2"
    CALLS3 = "CALLS3"
    CALLS4 = "CALLS4"
    CALLS5 = "CALLS5"
    CALLS6 = "CALLS6"
    CALLS7 = "CALLS7"
    DIRECTORY = "KV_directory"
    LOCATIONS = "KV_locations"
    WEBHOOKS = "KV_webhooks"
    LIMITS = "KV_limits"
    PRESENCE = "PRESENCE"


CALL_STREAMS = tuple(stream for stream in Stream if stream.startswith("CALLS"))
REPLICATED = (*CALL_STREAMS, Stream.DIRECTORY, Stream.LOCATIONS)
"""What every node has a copy of; how far webhooks are and what they are told of presence concerns only the node that
delivers, and limits are compared and set on the bus alone."""
SHARDS = len(CALL_STREAMS)
"""For ever: where a call is found, and so that it is one call, hangs on it."""


def position(stream: Stream, sequence: int) -> int:
    """Return the position of the message `sequence` of a stream of calls."""
    return sequence * SHARDS + CALL_STREAMS.index(stream)


def stream_of(position: int) -> Stream:
    """Return the stream that a position lies in."""
    return CALL_STREAMS[position % SHARDS]


def sequence_of(position: int) -> int:
    """Return the sequence of a position in its stream; 0, before everything, is 0 in every stream."""
    return position // SHARDS


@lru_cache(maxsize=4096)
def call_stream(domain: DomainName, call_id: CallId) -> Stream:
    """Return the stream that holds a call."""
    return CALL_STREAMS[crc32(f"{domain}\0{call_id}".encode()) % SHARDS]


def encode_token(text: str) -> str:
    """Return `text` as one subject token; `decode_token` gives it back."""
    return _kept_token(text) if len(text) <= LONGEST_KEPT else _token(text)


def _token(text: str) -> str:
    if not text:
        return "="
    return _UNSAFE.sub(lambda match: b"=%02X" % ord(match[0]), text.encode()).decode()


_kept_token = lru_cache(maxsize=4096)(_token)


@lru_cache(maxsize=4096)
def decode_token(token: str) -> str:
    """Return the text that `encode_token` made `token` of.

    Raises:
        ValueError: no text gives this token.
    """
    if token == "=":  # noqa: S105 - a subject token, not a secret
        return ""
    text = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), token.encode()).decode()
    if encode_token(text) != token:
        raise ValueError(f"not a subject token of ours: {token!r}")
    return text


@lru_cache(maxsize=4096)
def call_tree(domain: DomainName, call_id: CallId) -> str:
    """Return the subject that every message of a call is under, without the closing `.>`."""
    shard = CALL_STREAMS.index(call_stream(domain, call_id))
    return f"call.{shard}.{encode_token(domain)}.{encode_token(call_id)}"


def call_of(subject: str) -> tuple[DomainName, CallId]:
    """Return whose call a subject of a stream of calls speaks of."""
    _, _, domain, call_id, _ = subject.split(".")
    return DomainName(decode_token(domain)), CallId(decode_token(call_id))


def record_key(kind: str, key: tuple[str, ...]) -> str:
    """Return the subject of a directory record."""
    return ".".join(("$KV.directory", kind, *map(encode_token, key)))


def record_of(subject: str) -> tuple[str, tuple[str, ...]]:
    """Return kind and key of a subject of the directory bucket."""
    _, _, kind, *key = subject.split(".")
    return kind, tuple(map(decode_token, key))


def contact_digest(contact: str) -> str:
    """Return the name of a contact in keys: contacts are too long and too wild for a subject."""
    return blake2b(contact.encode(), digest_size=16).hexdigest()


def location_key(domain: str, device: str, contact: str) -> str:
    """Return the subject of a location."""
    return f"$KV.locations.{encode_token(domain)}.{encode_token(device)}.{contact_digest(contact)}"


def locations_filter(domain: str, device: str) -> str:
    """Return the subject of all locations of a device."""
    return f"$KV.locations.{encode_token(domain)}.{encode_token(device)}.*"


def location_of(subject: str) -> tuple[str, str, str]:
    """Return domain, device and contact digest of a subject of the locations bucket."""
    _, _, domain, device, digest = subject.split(".")
    return decode_token(domain), decode_token(device), digest


def kept_subject(key: tuple[str, ...]) -> str:
    """Return the subject of a key of the webhooks bucket."""
    return ".".join(("$KV.webhooks", *map(encode_token, key)))


def limit_key(subject: tuple[str, ...]) -> str:
    """Return the subject of what is kept of a limited subject."""
    return ".".join(("$KV.limits", *map(encode_token, subject)))


def presence_filter(domain: str | None, user: str | None) -> str:
    """Return the subject of a user's presence; None stands for all domains, or all users."""
    return ".".join(("presence", *("*" if one is None else encode_token(one) for one in (domain, user))))


def command_subject(node: NodeId) -> str:
    """Return where commands for the calls that `node` owns are sent."""
    return f"node.{encode_token(node)}.command"
