"""The second factor: time-based one-time passwords (RFC 6238) and backup codes, without clock or randomness."""

from __future__ import annotations

from base64 import b32encode
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Final

import msgspec
from pyotp import TOTP

from ringbridge.model.accounts import Credential

STEP_S: Final = 30
WINDOW: Final = 1
"""Steps before and after now that are taken: RFC 6238 §5.2 asks for one, as clocks differ."""
BACKUP_CODES: Final = 10
BACKUP_CODE_LENGTH: Final = 10


def totp_secret(random_part: str) -> str:
    """Return a secret of 160 bits (RFC 4226 §4 R6) in base32, made from unpredictable text."""
    return b32encode(sha256(random_part.encode()).digest()[:20]).decode()


def totp_uri(secret: str, *, uid: str) -> str:
    """Return the `otpauth:` URI that an authenticator reads, as from a QR code."""
    return TOTP(secret, interval=STEP_S).provisioning_uri(name=uid, issuer_name="Ringbridge")


def code_at(secret: str, now: float) -> str:
    """Return the code that an authenticator shows at `now`."""
    return TOTP(secret, interval=STEP_S).at(datetime.fromtimestamp(now, UTC))


def taken_step(credential: Credential, code: str, now: float) -> int | None:
    """Return the time step whose code `code` is, or None; one that was taken before, or is older, is no code."""
    step = int(now) // STEP_S
    found = None
    for one in range(step - WINDOW, step + WINDOW + 1):
        right = compare_digest(code_at(credential.totp_secret, one * STEP_S).encode(), code.encode())
        if right and one > credential.totp_step:
            found = one
    return found


def backup_codes(random_parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return backup codes made from unpredictable texts: 10 lower-case letters and digits each, 50 bits."""
    return tuple(
        b32encode(sha256(part.encode()).digest())[:BACKUP_CODE_LENGTH].decode().lower() for part in random_parts
    )


def hash_of_code(code: str) -> str:
    """Return what is stored in place of a backup code."""
    return sha256(code.strip().lower().encode()).hexdigest()


def with_code_taken(credential: Credential, code: str, now: float) -> Credential | None:
    """Return the credential after `code`, from an authenticator or a backup code; None when it is no good one."""
    step = taken_step(credential, code.strip(), now)
    if step is not None:
        return msgspec.structs.replace(credential, totp_step=step)
    hashed = hash_of_code(code)
    if hashed not in credential.backup_sha256:
        return None
    left = tuple(one for one in credential.backup_sha256 if one != hashed)
    return msgspec.structs.replace(credential, backup_sha256=left)
