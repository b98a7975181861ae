"""Subjects and keys of the bus: which name stands where, and how any text becomes one subject token.

    call.<domain>.<call-id>.requested      a call that engines may claim
    call.<domain>.<call-id>.events         everything else about it
    $KV.directory.<kind>.<key>…            one directory record
    $KV.locations.<domain>.<device>.<contact digest>
    node.<node>.command                    request-reply to the owner of a call

A token keeps `A-Z a-z 0-9 _ -`; every other byte of the UTF-8 text becomes `=XX`, and the empty text `=`. That is
reversible, holds no `.`, `*`, `>` or space, and is a valid key for NATS key-value tools too.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from ringbridge.model.ids import CallId, DomainName, NodeId

_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPE = re.compile(rb"=([0-9A-F]{2})")


class Stream(StrEnum):
    """The JetStream streams, by their names on the server."""

    CALLS = "CALLS"
    DIRECTORY = "KV_directory"
    LOCATIONS = "KV_locations"


@lru_cache(maxsize=4096)
def encode_token(text: str) -> str:
    """Return `text` as one subject token; `decode_token` gives it back."""
    if not text:
        return "="
    return _UNSAFE.sub(lambda match: b"=%02X" % ord(match[0]), text.encode()).decode()


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


def call_tree(domain: DomainName, call_id: CallId) -> str:
    """Return the subject that every message of a call is under, without the closing `.>`."""
    return f"call.{encode_token(domain)}.{encode_token(call_id)}"


def call_of(subject: str) -> tuple[DomainName, CallId]:
    """Return whose call a subject of the CALLS stream speaks of."""
    _, domain, call_id, _ = subject.split(".")
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


def location_of(subject: str) -> tuple[str, str, str]:
    """Return domain, device and contact digest of a subject of the locations bucket."""
    _, _, domain, device, digest = subject.split(".")
    return decode_token(domain), decode_token(device), digest


def command_subject(node: NodeId) -> str:
    """Return where commands for the calls that `node` owns are sent."""
    return f"node.{encode_token(node)}.command"
