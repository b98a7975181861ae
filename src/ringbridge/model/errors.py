"""What a caller can mend. One place in `api` maps these to responses (style.md §6, contract §1 "Errors")."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with a request: where, what was found, what is allowed."""

    field: str
    code: str
    message: str
    found: str | None = None
    allowed: str | None = None


class Refusal(Enum):
    """The class of a refusal; `api.http.errors` turns it into the HTTP status."""

    INVALID = 400
    UNAUTHENTICATED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    CONFLICT = 409
    STALE = 412
    TOO_MANY = 429
    UNAVAILABLE = 503


class CallError(Exception):
    """A request was refused; nothing was stored and nothing rings.

    `code` is stable and kebab-case; `faults` names every fault of the request, not only the first.
    """

    def __init__(
        self,
        refusal: Refusal,
        code: str,
        message: str,
        *,
        faults: Sequence[Fault] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.code = code
        self.message = message
        self.faults = tuple(faults)
        self.retry_after_s = retry_after_s


def invalid(faults: Sequence[Fault]) -> CallError:
    """Return the refusal of a request for its `faults` (at least one)."""
    if len(faults) == 1:
        return CallError(Refusal.INVALID, faults[0].code, f"{faults[0].field}: {faults[0].message}", faults=faults)
    named = ", ".join(dict.fromkeys(fault.field for fault in faults))
    return CallError(Refusal.INVALID, "invalid-request", f"{len(faults)} faults, in: {named}", faults=faults)


class BusUnavailable(CallError):
    """The bus cannot store a write now. Nothing was accepted; the same request may be sent again."""

    def __init__(self, message: str = "the bus cannot store writes now; try again") -> None:
        super().__init__(Refusal.UNAVAILABLE, "bus-unavailable", message, retry_after_s=2)


class Conflict(Exception):
    """A compare-and-set lost: the subject tree or key has moved on. Never shown to a tenant as it is."""

    def __init__(self, message: str = "the expected sequence is no longer the last") -> None:
        super().__init__(message)


class StoreUnavailable(CallError):
    """The local copy cannot be read or written now. The same request may be sent again."""

    def __init__(self, message: str | None = None) -> None:
        text = message or "the local copy cannot be read now; try again"
        super().__init__(Refusal.UNAVAILABLE, "store-unavailable", text, retry_after_s=2)
