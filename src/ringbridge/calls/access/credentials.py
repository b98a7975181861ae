"""What users prove themselves with: set, checked, voided. Every change is a compare-and-set, so that none is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ringbridge.calls.access.passwords import Passwords, check_password
from ringbridge.calls.ports import Bus, Store
from ringbridge.model.accounts import Credential, Key
from ringbridge.model.errors import BusUnavailable, Conflict

TRIES: Final = 5
"""Writers of one user's credential at the same time; more than two is a flood."""


class Credentials:
    """Credentials of users. They are read from the local copy, and changed on the bus."""

    def __init__(self, *, store: Store, bus: Bus, passwords: Passwords) -> None:
        self._store = store
        self._bus = bus
        self._passwords = passwords

    async def of(self, domain: str, user: str) -> Credential:
        """Return a user's credential; without any, one that lets nobody in."""
        found = await self._store.record("credential", (domain, user))
        return found if isinstance(found, Credential) else Credential(domain=domain, user=user)

    async def set_password(self, domain: str, user: str, password: str) -> int:
        """Give a user a password, end every login of theirs, and return the bus sequence.

        Raises:
            CallError: it is no password (400), too many wait (503), or the bus cannot store it (503).
        """
        return await self.set_hash(domain, user, await self.hash(password))

    async def hash(self, password: str) -> str:
        """Return what `set_hash` takes.

        Raises:
            CallError: it is no password (400), or too many wait (503).
        """
        return await self._passwords.hash(check_password(password))

    async def set_hash(self, domain: str, user: str, hashed: str) -> int:
        """Give a user the password of `hashed`, end every login of theirs, and return the bus sequence."""

        def changed(before: Credential) -> Credential:
            return msgspec.structs.replace(before, password_hash=hashed, epoch=before.epoch + 1)

        return await self.change(domain, user, changed)

    async def end_logins(self, domain: str, user: str) -> int:
        """Void every token that was given to a user so far, and return the bus sequence."""
        return await self.change(domain, user, lambda before: msgspec.structs.replace(before, epoch=before.epoch + 1))

    async def ensure(self, domain: str, user: str) -> Credential:
        """Return a user's credential, and leave one behind whose epoch outlives the user."""
        found = await self._store.record("credential", (domain, user))
        if isinstance(found, Credential):
            return found
        await self.change(domain, user, lambda before: before)
        return await self.of(domain, user)

    async def change(self, domain: str, user: str, changed: Callable[[Credential], Credential]) -> int:
        """Store what `changed` makes of the credential as the bus has it, and return the sequence.

        `changed` is called again when somebody else was faster; it may raise to refuse.
        """
        return await change_credential(self._bus, domain, user, changed)


async def change_credential(bus: Bus, domain: str, user: str, changed: Callable[[Credential], Credential]) -> int:
    """Store what `changed` makes of the credential as the bus has it, and return the sequence."""
    for _ in range(TRIES):
        stored = await bus.read_record("credential", (domain, user))
        before = stored.record if stored else Credential(domain=domain, user=user)
        assert isinstance(before, Credential)  # noqa: S101 - its kind says so
        after = changed(before)
        try:
            if stored is None:
                return await bus.put_record(after, only_new=True)
            return stored.revision if after == before else await bus.put_record(after, revision=stored.revision)
        except Conflict:
            continue
    raise BusUnavailable("others change this user's credential all the time; try again")


async def delete_with_credential(store: Store, bus: Bus, kind: str, key: Key, *, revision: int | None = None) -> int:
    """Delete a directory record and return the sequence. Of a user's credential only the epoch stays.

    Whoever gets the name later goes on from that: neither the password nor a token of before is theirs. A device's
    locations go with it, so that calls to the next of its name do not ring the phones of the last: those that the bus
    has once the device is gone, as a REGISTER that stores one later finds out by itself.
    """
    if kind == "user" and await store.record("credential", key) is not None:
        domain, user = key
        await change_credential(
            bus, domain, user, lambda before: Credential(domain=domain, user=user, epoch=before.epoch + 1)
        )
    sequence = await bus.delete_record(kind, key, revision=revision)
    if kind == "device":
        domain, *_, device = key
        found = [*await bus.read_locations(domain, device), *await store.locations(domain, device)]
        for contact in {location.contact for location in found}:
            await bus.delete_location(domain, device, contact)
    return sequence
