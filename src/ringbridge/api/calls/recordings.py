"""Recordings of a call (contract §6). Calls are not recorded yet, so each has none: an empty list, not an error."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ringbridge.api.access.auth import no_such_domain
from ringbridge.api.document.operations import Access, Operation, Reply
from ringbridge.api.http.answers import Answer, json_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts

DOMAIN_RECORDINGS: Final = "/ns-api/v2/domains/{domain}/recordings/{call-id}"
USER_RECORDINGS: Final = "/ns-api/v2/domains/{domain}/users/{user}/recordings/{call-id}"


class Recording(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """Schema `Recording`: one file of one call."""

    call_recording_status: str
    call_id: str
    call_recording_started_datetime: str
    call_recording_ended_datetime: str
    call_recording_remote_wav: str | None = None
    call_recording_remote_wav_size_kilobytes: int | None = None
    call_recording_remote_storage_config_id: str | None = None
    call_recording_match_pattern: str | None = None
    call_recording_retrieved_datetime: str | None = None
    file_duration_seconds: int
    file_access_url: Annotated[str, Meta(description="Where the file can be had, for a limited time.")]
    geo_call_id: str | None = None
    file_size_kilobytes: int


class RecordingHandlers:
    """Handlers of recordings."""

    def __init__(self, parts: ApiParts) -> None:
        self._store = parts.store

    async def of_call(self, request: Request) -> Answer:
        """List the recordings of one call: none."""
        if await self._store.domain(request.domain) is None:
            raise no_such_domain(request.domain)
        return json_answer([])


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
            description="A call that was not recorded has an empty list.",
            replies=(Reply(200, "The recordings.", list[Recording]),),
        )

    return [
        listing("list-domain-recordings", DOMAIN_RECORDINGS, Access.DOMAIN, "domain"),
        listing("list-user-recordings", USER_RECORDINGS, Access.USER, "user"),
    ]
