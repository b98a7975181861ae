"""A device's password: checked once, kept as the two HA1 values of its realm, never in clear (RFC 7616 §3.4.2)."""

from __future__ import annotations

from hashlib import md5, sha256
from typing import Final

import msgspec

from ringbridge.model.directory import Device

PASSWORD: Final = "device-sip-registration-password"  # noqa: S105 - the field's name on the wire


def check_password(text: str) -> str | None:
    """Return what a password must be and is not, or None."""
    return None if 1 <= len(text) <= 128 and text.isprintable() else "must be 1 to 128 printable characters"


def with_password(device: Device, password: str) -> Device:
    """Return `device` with `password`.

    The realm is the domain. MD5 beside SHA-256 (RFC 8760), because phones that know no other are still many.
    """
    secret = f"{device.device}:{device.domain}:{password}".encode()
    return msgspec.structs.replace(
        device, ha1_md5=md5(secret, usedforsecurity=False).hexdigest(), ha1_sha256=sha256(secret).hexdigest()
    )
