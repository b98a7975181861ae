"""Pages that ship with the program: files of one folder, from memory, each with the same strict policy.

A page reaches this server alone, runs no script that is not a file of its folder, and is framed by nobody. Its files
are revalidated at each load by their digest, so that a new version of the program is a new page at once, and are kept
compressed, since all browsers take gzip.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Final

from litestar.types import Receive, Scope, Send

from ringbridge.api.http.answers import Answer, HeaderPair, encode
from ringbridge.api.http.errors import HttpRefusal
from ringbridge.api.parts import ApiSettings

POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "media-src": "'self' blob:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}
"""Content-Security-Policy of a page that needs nothing more (https://www.w3.org/TR/CSP3/)."""
REFERENCE_POLICY: Final = {name: value for name, value in POLICY.items() if name != "require-trusted-types-for"} | {
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
}
"""The reference component sets styles on its elements and writes markup, which a policy can only allow as a whole."""
TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".json": b"application/json",
    ".svg": b"image/svg+xml",
    ".png": b"image/png",
    ".txt": b"text/plain; charset=utf-8",
}
INDEX: Final = "index.html"
LEAST_COMPRESSED: Final = 512
"""Bytes; less is sent as it is."""


@dataclass(frozen=True)
class PageFile:
    """One file, as it is sent."""

    body: bytes
    content_type: bytes

    @cached_property
    def etag(self) -> bytes:
        return b'"' + sha256(self.body).hexdigest()[:32].encode() + b'"'

    @cached_property
    def compressed(self) -> bytes:
        """The body for those who take gzip; the body itself where that is no longer."""
        if len(self.body) < LEAST_COMPRESSED:
            return self.body
        smaller = gzip.compress(self.body, compresslevel=9, mtime=0)
        return min(self.body, smaller, key=len)


class Pages:
    """The files of one folder of a package, by their paths."""

    def __init__(self, package: str, *, policy: Mapping[str, str] = POLICY, also: Mapping[str, bytes] = {}) -> None:
        """`also` are files that are made, not read, by their paths."""
        found = dict(_read(files(package), ""))
        found |= {path: PageFile(body, TYPES[PurePosixPath(path).suffix]) for path, body in also.items()}
        self.files = found
        policy_text = "; ".join(f"{name} {value}" for name, value in policy.items())
        self._headers: tuple[HeaderPair, ...] = (
            (b"content-security-policy", policy_text.encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
            (b"vary", b"accept-encoding"),
        )

    def answer(self, path: str, *, accept_encoding: bytes, if_none_match: bytes) -> PageAnswer:
        """Return a file; the index where `path` is empty.

        Raises:
            HttpRefusal: there is none.
        """
        file = self.files.get(path or INDEX)
        if file is None:
            raise HttpRefusal(404, "no-such-path", "there is nothing here")
        headers = [(b"etag", file.etag), *self._headers]
        if file.etag in (one.strip().removeprefix(b"W/") for one in if_none_match.split(b",")):
            return PageAnswer(304, b"", content_type=file.content_type, headers=headers)
        body = file.body
        if b"gzip" in accept_encoding and file.compressed is not file.body:
            body = file.compressed
            headers.append((b"content-encoding", b"gzip"))
        return PageAnswer(200, body, content_type=file.content_type, headers=headers)


class PageAnswer(Answer):
    """A file; the browser keeps it, and asks each time whether it is still the same."""

    __slots__ = ()

    def __init__(self, status: int, body: bytes, *, content_type: bytes, headers: Iterable[HeaderPair]) -> None:
        super().__init__(status, body, content_type=content_type, headers=headers)
        self.headers = [pair for pair in self.headers if pair[0] != b"cache-control"]
        self.headers.append((b"cache-control", b"no-cache"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD":
            self.body = b""
        await super().__call__(scope, receive, send)


def console_pages(settings: ApiSettings) -> Pages:
    """Return the console: its files, and what it has to know of this server before anybody has logged in."""
    known = {"client-id": settings.public_client, "version": settings.version}
    return Pages("ringbridge.console", also={"settings.json": encode(known)})


def reference_pages() -> Pages:
    """Return the reference page."""
    return Pages("ringbridge.reference", policy=REFERENCE_POLICY)


def _read(folder: Traversable, prefix: str) -> Iterable[tuple[str, PageFile]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif (content_type := TYPES.get(PurePosixPath(entry.name).suffix)) is not None:
            yield prefix + entry.name, PageFile(entry.read_bytes(), content_type)
