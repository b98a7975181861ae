"""Recordings of a call (contract §6): which there are, and the files themselves, by links that are good for a while.

Who may see a call may hear it: the list is behind the same gate as the call, and each link in it is sealed with the
cluster's key (`calls.access.signing`), so that any node serves it, to a player that can show no token.
"""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from ringbridge.api.access.auth import no_such_domain
from ringbridge.api.access.ruled import own_since
from ringbridge.api.calls.views import rfc3339
from ringbridge.api.document.operations import Access, Operation, QueryField, Reply
from ringbridge.api.http.answers import Answer, json_answer
from ringbridge.api.http.errors import HttpRefusal
from ringbridge.api.http.file_answer import FileAnswer, part_of
from ringbridge.api.http.requests import Request, header
from ringbridge.api.parts import ApiParts
from ringbridge.calls import recording_ports
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.ids import DomainName, SessionId
from ringbridge.model.wire import shown

DOMAIN_RECORDINGS: Final = "/ns-api/v2/domains/{domain}/recordings/{call-id}"
USER_RECORDINGS: Final = "/ns-api/v2/domains/{domain}/users/{user}/recordings/{call-id}"
FILE: Final = "/ringbridge/v1/domains/{domain}/recordings/{file}"
CONVERTED: Final = "converted"
"""`call-recording-status` of a file that can be heard; one that is still being made is not listed."""
WAV: Final = "audio/wav"
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


class Recording(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """Schema `Recording`: one file of one call."""

    call_recording_status: Annotated[str, Meta(description="`converted`: it can be heard.")]
    call_id: str
    call_recording_started_datetime: str
    call_recording_ended_datetime: str
    call_recording_remote_wav: str | None = None
    call_recording_remote_wav_size_kilobytes: int | None = None
    call_recording_remote_storage_config_id: str | None = None
    call_recording_match_pattern: str | None = None
    call_recording_retrieved_datetime: str | None = None
    file_duration_seconds: int
    file_access_url: Annotated[
        str, Meta(description="Where the WAV file can be had, first leg left, second right; for a limited time.")
    ]
    geo_call_id: str | None = None
    file_size_kilobytes: int


class RecordingHandlers:
    """Handlers of recordings."""

    def __init__(self, parts: ApiParts) -> None:
        self._store = parts.store
        self._recordings = parts.recordings
        self._signer = parts.accounts.signer
        self._clock = parts.clock
        self._link_s = parts.settings.link_s

    async def of_call(self, request: Request) -> Answer:
        """List the recordings of one call, oldest first."""
        if await self._store.domain(request.domain) is None:
            raise no_such_domain(request.domain)
        call_id = await self._call_id(request.domain, request.params["call_id"])
        since = await own_since(self._store, request.principal, request.domain)
        found = [
            one
            for one in await self._recordings.of_call(request.domain, call_id)
            if one.requested_at >= since and (not request.user or request.user in one.users)
        ]
        return json_answer([await self._view(one, request) for one in found])

    async def _call_id(self, domain: str, name: str) -> str:
        """Return the application's id of a call that is named by any of its ids, as long as it is known by them."""
        call = await self._store.call(DomainName(domain), name)
        if call is not None:
            return call.call_id
        cdr = await self._store.cdr(DomainName(domain), SessionId(name))
        return name if cdr is None else cdr.call_id

    async def _view(self, one: recording_ports.Recording, request: Request) -> Recording:
        return Recording(
            call_recording_status=CONVERTED,
            call_id=one.call_id,
            call_recording_started_datetime=rfc3339(one.began_at),
            call_recording_ended_datetime=rfc3339(one.ended_at),
            file_duration_seconds=round(one.seconds),
            file_access_url=await self._link(one, request),
            file_size_kilobytes=-(-one.size // 1024),
        )

    async def _link(self, one: recording_ports.Recording, request: Request) -> str:
        expires = int(self._clock.now()) + self._link_s
        path = f"/ringbridge/v1/domains/{quote(one.domain)}/recordings/{one.name}.wav"
        seal = await self._signer.seal(_sealed(one.domain, f"{one.name}.wav", str(expires)))
        return f"{_origin(request)}{path}?{urlencode({'expires': expires, 'seal': seal})}"

    async def file(self, request: Request) -> Answer:
        """Answer a recording's file, or a part of it, to whoever has a link to it."""
        domain, file = request.params["domain"], request.params["file"]
        expires, seal = request.query.get("expires", ""), request.query.get("seal", "")
        gone = CallError(Refusal.NOT_FOUND, "no-such-recording", f"no recording {shown(file)}")
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            raise gone
        if not await self._signer.is_sealed(_sealed(domain, file, expires), seal):
            raise gone
        if int(expires) < self._clock.now():
            raise CallError(Refusal.FORBIDDEN, "link-expired", "the link has expired; list the call's recordings again")
        name = file.removesuffix(".wav")
        size = await self._recordings.size(domain, name)
        if size is None:
            raise gone
        part = part_of(header(request.scope, b"range"), size)
        if part is None:
            headers = ((b"content-range", b"bytes */%d" % size),)
            raise HttpRefusal(416, "no-such-range", f"the file has {size} bytes", headers=headers)

        async def read(start: int, count: int) -> bytes:
            return await self._recordings.read(domain, name, start=start, count=count)

        return FileAnswer(read, size=size, part=part, content_type=WAV.encode(), name=file)


def _sealed(domain: str, file: str, expires: str) -> str:
    return f"recording\n{domain}\n{file}\n{expires}"


def _origin(request: Request) -> str:
    """Return `scheme://host` as the client asked for it; empty, which makes links relative, where it did not say."""
    host = header(request.scope, b"host").decode("latin-1")
    return f"{request.scope['scheme']}://{host}" if _HOST.fullmatch(host) else ""


def operations(handlers: RecordingHandlers) -> list[Operation]:
    """Return the operations of recordings."""

    def listing(name: str, path: str, access: Access, whose: str) -> Operation:
        return Operation(
            name=name,
            method="GET",
            path=path,
            access=access,
            handle=handlers.of_call,
            tag="Recordings",
            summary=f"List the recordings of one call of a {whose}",
            description="A call that was not recorded has an empty list, and so has one whose recording is not made "
            "yet, seconds after its end.",
            replies=(Reply(200, "The recordings.", list[Recording]),),
        )

    sealed = "As the link has it."
    file = Operation(
        name="read-recording-file",
        method="GET",
        path=FILE,
        access=Access.OPEN,
        handle=handlers.file,
        tag="Recordings",
        summary="Read the file of a recording",
        description="By the `file-access-url` of a list, which needs no token. Ranges of bytes can be asked for.",
        query=(
            QueryField("expires", sealed, {"type": "string", "pattern": "^[0-9]{1,12}$"}, required=True),
            QueryField("seal", sealed, {"type": "string", "maxLength": 80}, required=True),
        ),
        headers=(QueryField("Range", "One range of bytes (RFC 9110 §14.2).", {"type": "string"}),),
        replies=(
            Reply(200, "The file.", content_type=WAV, headers=("Accept-Ranges",)),
            Reply(206, "A part of it.", content_type=WAV, headers=("Accept-Ranges", "Content-Range")),
        ),
        refusals=(403, 404, 416),
    )
    return [
        listing("list-domain-recordings", DOMAIN_RECORDINGS, Access.DOMAIN, "domain"),
        listing("list-user-recordings", USER_RECORDINGS, Access.USER, "user"),
        file,
    ]
