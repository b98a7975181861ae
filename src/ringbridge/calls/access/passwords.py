"""Passwords hashed with Argon2id, off the event loop, a few at a time.

One hash takes 32 MiB and, on the machine that we build on, 100 ms of one core: `AT_ONCE` bounds the memory, and what
waits is bounded too, so that a flood of logins is refused and cannot starve the calls. argon2-cffi lets go of the
interpreter while it works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.login_password import ALLOWED, FIELD, password_fault

T = TypeVar("T")

AT_ONCE: Final = 2
MOST_WAITING: Final = 64
"""Logins in the queue; at two in 100 ms the last of them waits for three seconds."""


def check_password(password: str) -> str:
    """Return `password` if it may be one.

    Raises:
        CallError: it is too short, too long, or holds a control character.
    """
    if (must := password_fault(password)) is not None:
        raise invalid([Fault(FIELD, "bad-password", must, allowed=ALLOWED)])
    return password


class Passwords:
    """Hashes and verifies passwords."""

    def __init__(self, *, memory_kib: int = 32_768, passes: int = 3) -> None:
        """The defaults are above what OWASP asks of Argon2id (19 MiB, two passes); tests take less."""
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobody = self._hasher.hash("nobody has this password")

    def close(self) -> None:
        """End the threads; what waits is given up."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return the PHC string of `password`.

        Raises:
            CallError: too many wait already (503).
        """
        return await self._run(self._hasher.hash, password)

    async def matches(self, password: str, password_hash: str) -> bool:
        """Return whether `password` is the one of `password_hash`; of an empty hash never, and as slowly."""
        found = await self._run(self._verify, password, password_hash or self._nobody)
        return found and bool(password_hash)

    def _verify(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= MOST_WAITING:
            raise CallError(Refusal.UNAVAILABLE, "too-many-logins", "too many logins at once; try again")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._waiting -= 1
