"""A user's password for logging in: what it may be. What is kept of it is its hash, in `model.accounts.Credential`."""

from __future__ import annotations

from typing import Final

FIELD: Final = "user-login-password"
MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 128
ALLOWED: Final = f"{MIN_LENGTH} to {MAX_LENGTH} printable characters"


def password_fault(text: str) -> str | None:
    """Return what a password must be and is not, or None (NIST SP 800-63B §5.1.1.2: long enough, no rule beyond that).

    Printable, as nobody can type a control character again.
    """
    fits = MIN_LENGTH <= len(text) <= MAX_LENGTH and text.isprintable()
    return None if fits else f"must be {ALLOWED}"
