"""Enrolling a second factor: a secret is made and shown once, and asked for only after a code has proved it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ringbridge.calls.access.credentials import Credentials
from ringbridge.calls.ports import Clock
from ringbridge.model.accounts import Credential
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.second_factor import (
    BACKUP_CODES,
    backup_codes,
    hash_of_code,
    totp_secret,
    totp_uri,
    with_code_taken,
)


class Enrolment(msgspec.Struct, frozen=True, rename="kebab"):
    """What a user needs to set up an authenticator. It is shown this once."""

    secret: str
    """Base32, to type into an authenticator."""
    uri: str
    """`otpauth:`, to show as a QR code."""
    backup_codes: tuple[str, ...]
    """Each is good once in place of a code."""


class SecondFactors:
    """Second factors of users."""

    def __init__(self, *, credentials: Credentials, clock: Clock, random_part: Callable[[], str]) -> None:
        self._credentials = credentials
        self._clock = clock
        self._random_part = random_part

    async def enrol(self, domain: str, user: str) -> tuple[Enrolment, int]:
        """Make a new secret, not asked for yet; return it and the bus sequence.

        Raises:
            CallError: there is one in use already (409).
        """
        secret = totp_secret(self._random_part())
        codes = backup_codes(tuple(self._random_part() for _ in range(BACKUP_CODES)))

        def changed(before: Credential) -> Credential:
            if before.asks_second_factor:
                raise CallError(Refusal.CONFLICT, "already-enrolled", "a second factor is in use; remove it first")
            hashes = tuple(hash_of_code(code) for code in codes)
            return msgspec.structs.replace(before, totp_secret=secret, totp_step=0, backup_sha256=hashes)

        sequence = await self._credentials.change(domain, user, changed)
        return Enrolment(secret, totp_uri(secret, uid=f"{user}@{domain}"), codes), sequence

    async def confirm(self, domain: str, user: str, code: str) -> int:
        """Ask for the second factor from now on, since `code` shows that it works; return the bus sequence.

        Raises:
            CallError: there is none, or the code is wrong (400).
        """

        def changed(before: Credential) -> Credential:
            after = with_code_taken(before, code, self._clock.now()) if before.totp_secret else None
            if after is None:
                raise _wrong_code()
            return msgspec.structs.replace(after, totp_confirmed=True)

        return await self._credentials.change(domain, user, changed)

    async def remove(self, domain: str, user: str, *, code: str | None) -> int:
        """Ask for none any more; `code` proves that it is the user who says so, None that a manager does.

        Raises:
            CallError: the code is wrong (400).
        """

        def changed(before: Credential) -> Credential:
            proven = code is None or not before.asks_second_factor
            if not proven and with_code_taken(before, code or "", self._clock.now()) is None:
                raise _wrong_code()
            return msgspec.structs.replace(before, totp_secret="", totp_confirmed=False, totp_step=0, backup_sha256=())

        return await self._credentials.change(domain, user, changed)


def _wrong_code() -> CallError:
    return invalid([Fault("passcode", "wrong-code", "is not the code that is shown now, and no backup code")])
