"""Single records of the directory, written on the bus so that two nodes never overwrite each other unseen.

A create is create-if-absent. An update reads the record from the bus itself, changes it, and writes it back only if
nothing was written in between; else it reads again. So a PUT that names one field and a PUT that names another both
hold, on whatever nodes they arrive, and a record that this node's copy does not have yet can be changed already.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from ringbridge.calls.access.credentials import delete_with_credential
from ringbridge.calls.access.login_names import LoginNames
from ringbridge.calls.directory.uses import check_unused, users_in_parts
from ringbridge.calls.limits import LimitBus
from ringbridge.calls.ports import Clock, Replica, Store, StoredRecord
from ringbridge.model.directory import Key, Record, kind_of
from ringbridge.model.errors import BusUnavailable, CallError, Conflict, Refusal
from ringbridge.model.resources import Resource, etag_of, stamped
from ringbridge.model.wire import shown

ATTEMPTS: Final = 8
"""Of an update that others cut in front of; each of them got through, so somebody always does."""
ANY_TAG: Final = "*"
AT_ONCE: Final = 16
"""Writes in flight to the bus: where its throughput stops growing (design.md "The stack")."""
CASCADE_WAIT_S: Final = 5.0
"""For this node's copy to show what a cascade has deleted so far."""


class Written(msgspec.Struct, frozen=True):
    """What a write left: the record, and the sequence that a replica must have applied to show it."""

    record: Record
    sequence: int


def no_such(kind: str, key: Key) -> CallError:
    """Return the 404 of a record."""
    return CallError(Refusal.NOT_FOUND, f"no-such-{kind}", f"no {kind} {shown(key[-1])}")


class DirectoryWrites:
    """Creates, updates and deletes single records."""

    def __init__(self, *, store: Store, bus: LimitBus, replica: Replica, clock: Clock) -> None:
        self._store = store
        self._replica = replica
        self._bus = bus
        self._clock = clock
        self._logins = LoginNames(bus=bus, store=store, clock=clock)

    async def find(self, kind: str, key: Key) -> Record | None:
        """Return a record that can be used at once after its 202: from this node's copy, or else from the bus."""
        found = await self._store.record(kind, key)
        if found is None:
            stored = await self._bus.read_record(kind, key)
            found = stored.record if stored else None
        return found

    async def create(self, resource: Resource, record: Record) -> Written:
        """Store a new record.

        Raises:
            CallError: 409 when there is one of this name, or another user logs in by this one's.
        """
        made = stamped(resource, record, self._clock.now())
        try:
            async with self._logins.kept(made):
                return Written(made, await self._bus.put_record(made, only_new=True))
        except Conflict as conflict:
            name = "/".join(made.key)
            message = f"there is a {resource.kind} {name} already"
            raise CallError(Refusal.CONFLICT, "already-exists", message) from conflict

    async def take_back(self, made: Written) -> None:
        """Delete what was just created, if that can be done now and nobody has changed it meanwhile."""
        with contextlib.suppress(BusUnavailable, Conflict):
            await self._bus.delete_record(kind_of(made.record), made.record.key, revision=made.sequence)
            await self._logins.freed(made.record)

    async def update(
        self,
        resource: Resource,
        key: Key,
        change: Callable[[Record], Record],
        *,
        if_match: Collection[str] = (),
    ) -> Written:
        """Write what `change` makes of the record, whoever else writes at the same time.

        `if_match` are the entity tags of which the record must have one; empty means any.

        Raises:
            CallError: 404 when it is not there, 412 when it has none of the tags, 409 when another user logs in by this
                one's new name, and what `change` raises.
        """
        for _ in range(ATTEMPTS):
            stored = await self._required(resource.kind, key, if_match)
            after = change(stored.record)
            if after == stored.record:
                return Written(after, stored.revision)
            after = stamped(resource, after, self._clock.now(), before=stored.record)
            try:
                async with self._logins.kept(after, before=stored.record):
                    return Written(after, await self._bus.put_record(after, revision=stored.revision))
            except Conflict:
                continue
        raise _contended(resource.kind, key)

    async def delete(
        self,
        kind: str,
        key: Key,
        *,
        if_match: Collection[str] = (),
        allowed: Callable[[Record], None] | None = None,
        cascade: bool = False,
    ) -> int:
        """Delete a record, with `cascade` all that uses it too, and return the sequence of that.

        Raises:
            CallError: as `update`, what `allowed` raises, and 409 when something uses it and `cascade` is not set.
        """
        for _ in range(ATTEMPTS):
            stored = await self._required(kind, key, if_match)
            if allowed is not None:
                allowed(stored.record)
            if cascade:
                await self._delete_uses(kind, key)
            else:
                await check_unused(self._store, kind, key)
            try:
                sequence = await delete_with_credential(self._store, self._bus, kind, key, revision=stored.revision)
            except Conflict:
                continue
            await self._logins.freed(stored.record)
            return sequence
        raise _contended(kind, key)

    async def _delete_uses(self, kind: str, key: Key) -> None:
        """Delete what uses a record, first what nothing else uses; broken off, it can be done again."""
        async for part in users_in_parts(self._store, kind, key):
            last = 0
            for start in range(0, len(part), AT_ONCE):
                some = part[start : start + AT_ONCE]
                deletes = (delete_with_credential(self._store, self._bus, kind_of(one), one.key) for one in some)
                last = max(last, *await asyncio.gather(*deletes))
                for one in some:
                    await self._logins.freed(one)
            if not await self._replica.wait_directory(last, timeout_s=CASCADE_WAIT_S):
                raise BusUnavailable("this node's copy of the directory is late; try again")

    async def _required(self, kind: str, key: Key, if_match: Collection[str]) -> StoredRecord:
        stored = await self._bus.read_record(kind, key)
        if stored is None:
            raise no_such(kind, key)
        if if_match and ANY_TAG not in if_match and etag_of(stored.record) not in if_match:
            message = f"{kind} {key[-1]} was changed since it was read; read it again"
            raise CallError(Refusal.STALE, "changed-since", message)
        return stored


def _contended(kind: str, key: Key) -> CallError:
    message = f"{kind} {key[-1]} is being changed by others; try again"
    return CallError(Refusal.UNAVAILABLE, "contended", message, retry_after_s=1)
