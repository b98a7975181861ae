"""The one skeleton of all directory resources: list, count, create, read, update, delete (contract §1, §4).

A resource says in its `Rules` where its records are and who may have them; everything else is the same for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from ringbridge.api.calls.calls import ignored_header
from ringbridge.api.directory.synchronous import read_synchronous, written_answer
from ringbridge.api.http.answers import Answer, Count, HeaderPair, json_answer, page_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.calls.directory.writes import no_such
from ringbridge.model.directory import Key, Record
from ringbridge.model.errors import CallError, Fault, invalid
from ringbridge.model.resources import Read, Resource, etag_of, is_needed, read_fields, searched, view
from ringbridge.model.wire import control_fault, shown


class Rules(Protocol):
    """What one resource has of its own."""

    resource: Resource

    def key(self, request: Request) -> Key:
        """Return the key of the record that the path names."""
        ...

    def given(self, request: Request) -> Mapping[str, str]:
        """Return the fields that the path decides."""
        ...

    def wanted(self, request: Request) -> RecordQuery:
        """Return which records the path lists."""
        ...

    async def admit(self, request: Request) -> None:
        """Let a request pass whose path leads somewhere.

        Raises:
            CallError: 403, or 404 for a domain or user that is not there.
        """
        ...

    def belongs(self, request: Request, record: Record) -> bool:
        """Return whether the record is under the request's path."""
        ...

    async def made(self, request: Request, values: Mapping[str, str]) -> tuple[Record, Mapping[str, str]]:
        """Return the record of a create, and what its answer tells this once.

        Raises:
            CallError: it may not be.
        """
        ...

    def changed(self, request: Request, record: Record, values: Mapping[str, str]) -> Record:
        """Return `record` with an update's `values`.

        Raises:
            CallError: it may not be.
        """
        ...

    async def live(self, records: Sequence[Record]) -> list[dict[str, object]]:
        """Return for each record what is found out as it is read."""
        ...


Finish: TypeAlias = Callable[[Record], Awaitable[int]]
"""Does what a write asks for beside its record, once that is stored, and returns the bus sequence."""


class Beside(Protocol):
    """What writes of one resource ask for beside its record."""

    field: str
    """The field that asks for it."""

    async def prepare(self, values: Mapping[str, str]) -> Finish | None:
        """Return how to do what `values` ask for, None where they ask for nothing; all that takes long is done here.

        Raises:
            CallError: it cannot be done now.
        """
        ...


class _Told(NamedTuple):
    """What every GET of a record tells, whoever asks: all but what is found out as it is read."""

    record: Record
    view: Mapping[str, object]
    etag: HeaderPair


LONGEST_NAME: Final = 128
"""Characters of any part of a key."""
_CHECKED: Final = frozenset({"domain", "user"})
"""Parts of a key that every path's own check has seen (`api.access.auth`)."""
MOST_TOLD: Final = 1000
"""Records of a resource; some 5 MB at the most."""


class ToldRecords:
    """What was told of single records, kept for as long as the store keeps giving the very same record back."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._told: dict[Key, _Told] = {}

    def __len__(self) -> int:
        return len(self._told)

    def of(self, record: Record) -> _Told:
        """Return what is told of `record`."""
        told = self._told.get(record.key)
        if told is None or told.record is not record:
            told = _Told(record, view(self._resource, record, {}), _etag(record))
            if len(self._told) >= MOST_TOLD:
                self._told.clear()
            self._told[record.key] = told
        return told


class ResourceHandlers:
    """Handlers of one resource."""

    def __init__(self, parts: ApiParts, rules: Rules, *, beside: Beside | None = None) -> None:
        self._parts = parts
        self._rules = rules
        self._beside = beside
        self._resource = rules.resource
        self._told = ToldRecords(rules.resource)

    async def page(self, request: Request) -> Answer:
        """List a page of the records under the path."""
        await self._rules.admit(request)
        page = request.page()
        wanted = self._wanted(request)
        found = await self._parts.store.record_page(wanted, start=page.start, limit=page.limit)
        total = await self._parts.store.count_records(wanted)
        views, asked = await self._views(found), self._asked(request)
        return page_answer(views, page=page, path=request.path, total=total, query=asked)

    async def count(self, request: Request) -> Answer:
        """Count the records under the path."""
        await self._rules.admit(request)
        return json_answer(Count(await self._parts.store.count_records(self._wanted(request))))

    async def read(self, request: Request) -> Answer:
        """Read one record, with its entity tag."""
        key = self._key(request)
        record = await self._parts.store.record(self._resource.kind, key)
        if record is None or not self._rules.belongs(request, record):
            raise no_such(self._resource.kind, key)
        (live,) = await self._rules.live([record])
        told = self._told.of(record)
        return json_answer({**told.view, **live}, headers=[told.etag])

    async def create(self, request: Request) -> Answer:
        """Store a new record: 202, or with `synchronous` 200 with it."""
        await self._rules.admit(request)
        body = await request.json_object(limit=self._parts.settings.body_limit)
        faults: list[Fault] = []
        synchronous = read_synchronous(body, faults)
        given = self._rules.given(request)
        read = read_fields(self._resource, body, given=given, needed=lambda field: field.required)
        self._check(read, faults)
        record, told = await self._rules.made(request, read.values)
        finish = await self._prepared(read.values)
        written = await self._parts.writes.create(self._resource, record)
        sequence = written.sequence
        if finish is not None:
            try:
                sequence = max(sequence, await finish(written.record))
            except (CallError, asyncio.CancelledError):
                # Shielded: who is cancelled, as the client has gone, is soon cancelled again.
                await asyncio.shield(self._parts.writes.take_back(written))
                raise
        return await self._written(written.record, sequence, read, synchronous=synchronous, told=told)

    async def update(self, request: Request) -> Answer:
        """Change the fields that the body names."""
        key = self._key(request)
        body = await request.json_object(limit=self._parts.settings.body_limit)
        named = dict(zip(self._resource.key_names, key, strict=True))
        given = named | dict(self._rules.given(request))
        # A field that no record is without may be left out here, but not emptied.
        emptied = [name for name, value in body.items() if value in (None, "")]
        read = read_fields(
            self._resource,
            body,
            given=given,
            needed=lambda field: field.name in emptied and is_needed(self._resource, field),
        )
        self._check(read, [])
        values = {name: text for name, text in read.values.items() if name not in given}

        def change(record: Record) -> Record:
            self._require(request, record)
            return self._rules.changed(request, record, values)

        tags = request.entity_tags(b"if-match")
        finish = await self._prepared(values)
        written = await self._parts.writes.update(self._resource, key, change, if_match=tags)
        done = 0 if finish is None else await self._finished(finish, written.record, values)
        return await self._written(written.record, max(written.sequence, done), read)

    async def _finished(self, finish: Finish, record: Record, values: Mapping[str, str]) -> int:
        """Do what stands beside a change that is stored by now.

        Raises:
            CallError: it cannot be done; it says which half holds.
        """
        try:
            return await finish(record)
        except CallError as error:
            field = "" if self._beside is None else self._beside.field
            stored = ", ".join(name for name in values if name != field)
            if not stored:
                raise
            message = f"{field} may not be stored, {stored} is: {error.message}"
            raise CallError(
                error.refusal, error.code, message, faults=error.faults, retry_after_s=error.retry_after_s
            ) from error

    async def _prepared(self, values: Mapping[str, str]) -> Finish | None:
        return None if self._beside is None else await self._beside.prepare(values)

    async def delete(self, request: Request) -> Answer:
        """Delete one record; with `cascade` all that uses it too."""
        sequence = await self._parts.writes.delete(
            self._resource.kind,
            self._key(request),
            if_match=request.entity_tags(b"if-match"),
            allowed=lambda record: self._require(request, record),
            cascade=request.yes_no("cascade"),
        )
        return await written_answer(self._parts, sequence)

    def _key(self, request: Request) -> Key:
        """Return the key of the record that the path names, before anything is done with it.

        Raises:
            CallError: 404, as no record can have such a name.
        """
        key = self._rules.key(request)
        for name, text in zip(self._resource.key_names, key, strict=True):
            field = self._resource.field(name)
            check = field.check if field is not None and name not in _CHECKED else None
            if len(text) > LONGEST_NAME or (check is not None and check(text) is not None):
                raise no_such(self._resource.kind, key)
        return key

    def _wanted(self, request: Request) -> RecordQuery:
        """Return which records are asked for: those under the path that the query's searched fields fit."""
        plain = {field.name: field.plain or str for field in searched(self._resource)}
        filters = tuple((name, plain[name](text).lower()) for name, text in self._asked(request).items())
        return msgspec.structs.replace(self._rules.wanted(request), filters=filters)

    def _asked(self, request: Request) -> dict[str, str]:
        """Return the searched fields that the query names.

        Raises:
            CallError: one of them is too long, or holds control characters.
        """
        asked = {field: text for field in searched(self._resource) if (text := request.query.get(field.name))}
        faults: list[Fault] = []
        for field, text in asked.items():
            if len(text) > field.max_length:
                allowed = f"at most {field.max_length} characters"
                faults.append(Fault(field.name, "too-long", f"must have {allowed}", found=shown(text), allowed=allowed))
            elif (control := control_fault(field.name, text)) is not None:
                faults.append(control)
        if faults:
            raise invalid(faults)
        return {field.name: text for field, text in asked.items()}

    def _require(self, request: Request, record: Record) -> None:
        if not self._rules.belongs(request, record):
            raise no_such(self._resource.kind, record.key)

    async def _views(self, records: Sequence[Record]) -> list[dict[str, object]]:
        live = await self._rules.live(records)
        return [view(self._resource, record, its) for record, its in zip(records, live, strict=True)]

    async def _written(
        self,
        record: Record,
        sequence: int,
        read: Read,
        *,
        synchronous: bool = False,
        told: Mapping[str, str] | None = None,
    ) -> Answer:
        async def resource() -> dict[str, object] | None:
            stored = await self._parts.store.record(self._resource.kind, record.key)
            return None if stored is None else (await self._views([stored]))[0]

        headers: list[HeaderPair] = [_etag(record)]
        ignored = tuple(name for name in (*read.misplaced, *read.unknown) if name != "synchronous")
        if ignored:
            headers.append((b"x-ringbridge-ignored", ignored_header(ignored)))
        show = resource if synchronous else None
        return await written_answer(self._parts, sequence, read=show, told=told, headers=headers)

    @staticmethod
    def _check(read: Read, faults: list[Fault]) -> None:
        faults += [wrong.at(field.name) for field, wrong in read.faults]
        if faults:
            raise invalid(faults)


def _etag(record: Record) -> HeaderPair:
    return (b"etag", etag_of(record).encode())
