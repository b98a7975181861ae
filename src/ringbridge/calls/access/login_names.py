"""Names to log in with: each is one user's in the whole installation, on however many nodes users are written.

Before a user gets a name the name is *claimed* on the bus, compared and set. A claim says whose the name may be; whose
it is, users say. So a claim is looked into when another user wants the name: it stands while its user has the name, as
the bus has it, and for `GRACE_S`, while that user's write may be on its way. Nothing has to be given back for a name to
come free, and what is given back is free at once. Users of before there were claims are found in the local copy.

A name that looks like another user's `user@domain` is taken too: it would log that user in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from typing import Final

import msgspec

from ringbridge.calls.limits import LimitBus
from ringbridge.calls.ports import Clock, Store
from ringbridge.model import names
from ringbridge.model.directory import Key, Record, User
from ringbridge.model.errors import BusUnavailable, CallError, Conflict, Fault, Refusal
from ringbridge.model.wire import shown

FIELD: Final = "login-username"
GRACE_S: Final = 60.0
"""Far longer than from a claim to the write of its user."""
TRIES: Final = 5
"""Compare-and-sets of one name; that many lost ones are as many users who want it."""


class _Claim(msgspec.Struct, frozen=True, array_like=True):
    """Whose a name may be, and since when, epoch seconds."""

    domain: str
    user: str
    at: float

    @property
    def key(self) -> Key:
        return (self.domain, self.user)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Claim).decode


def login_of(record: Record | None) -> str:
    """Return the name that a record logs in by, as names are compared; empty for none."""
    return record.login_username.lower() if isinstance(record, User) else ""


def taken_fault(user: User, *, path: str = FIELD) -> Fault:
    """Return the fault of a user whose name to log in with is another's."""
    message = "is what another user of this installation logs in with"
    return Fault(path, "already-taken", message, found=shown(user.login_username), allowed="a name that is nobody's")


class LoginNames:
    """Keeps each name to one user."""

    def __init__(self, *, bus: LimitBus, store: Store, clock: Clock) -> None:
        self._bus = bus
        self._store = store
        self._clock = clock

    @asynccontextmanager
    async def kept(
        self, after: Record, *, before: Record | None = None, leaving: Collection[Key] = ()
    ) -> AsyncIterator[None]:
        """Write a record inside: whoever is a user has his name for himself. `leaving` are users who give theirs up.

        Raises:
            CallError: the name is another's (409), or the bus cannot say (503).
        """
        name, old = login_of(after), login_of(before)
        if not isinstance(after, User) or name == old:
            yield
            return
        if name:
            await self._claim(after, name, leaving)
        try:
            yield
        except (CallError, Conflict):
            await self._give_back(name, after.key)
            raise
        await self._give_back(old, after.key)

    async def freed(self, record: Record) -> None:
        """Note that a record was deleted: if it was a user, the name is anybody's."""
        await self._give_back(login_of(record), record.key)

    async def is_taken(self, user: User, *, leaving: Collection[Key] = ()) -> bool:
        """Return whether the name of `user` is another's now."""
        claim, _ = await self._read(login_of(user))
        return await self._is_taken(user, claim, leaving)

    async def _claim(self, user: User, name: str, leaving: Collection[Key]) -> None:
        for _ in range(TRIES):
            claim, revision = await self._read(name)
            if await self._is_taken(user, claim, leaving):
                fault = taken_fault(user)
                raise CallError(Refusal.CONFLICT, fault.code, f"{FIELD}: {fault.message}", faults=[fault])
            mine = _Claim(user.domain, user.user, self._clock.now())
            with suppress(Conflict):
                await self._bus.write_limit(_place(name), _encode(mine), after=revision)
                return
        message = f"{FIELD}: several users are given this name at once; try again"
        raise CallError(Refusal.UNAVAILABLE, "contended", message, retry_after_s=1)

    async def _is_taken(self, user: User, claim: _Claim | None, leaving: Collection[Key]) -> bool:
        mine = {user.key, *leaving}
        name = login_of(user)
        others_claim = claim is not None and claim.key not in mine
        if claim and others_claim and (self._clock.now() < claim.at + GRACE_S or await self._has(claim.key, name)):
            return True
        for other in await self._store.users_by_login(name):
            if other.key not in mine and await self._has(other.key, name):
                return True
        named, _, domain = user.login_username.rpartition("@")
        is_address = names.USER.fullmatch(named) and names.DOMAIN.fullmatch(domain)
        return bool(is_address) and (domain, named) != user.key and await self._store.user(domain, named) is not None

    async def _has(self, key: Key, name: str) -> bool:
        """Return whether the user of this key logs in by `name`, as the bus has it."""
        stored = await self._bus.read_record("user", key)
        return stored is not None and login_of(stored.record) == name

    async def _give_back(self, name: str, key: Key) -> None:
        """Let a name be anybody's that this user claimed and does not have; what cannot be given back comes free."""
        if not name:
            return
        with suppress(BusUnavailable, Conflict):
            claim, revision = await self._read(name)
            if claim is not None and claim.key == key and not await self._has(key, name):
                await self._bus.write_limit(_place(name), b"", after=revision)

    async def _read(self, name: str) -> tuple[_Claim | None, int]:
        payload, revision = await self._bus.read_limit(_place(name))
        return (_decode(payload) if payload else None), revision


def _place(name: str) -> tuple[str, ...]:
    """Return where the claim of a name stands: names are too long and too wild for a subject."""
    return ("login", blake2b(name.encode(), digest_size=16).hexdigest())
