"""API keys as text: 60 characters, checked before any look-up (contract §2).

    nsd_ + 48 random [A-Za-z0-9] + CRC-32 of those 52 in 8 hex digits

The first 12 of the random characters are the key's public name (`key-id`), so that a key finds its record by one
look-up; the other 36 (214 bits) are its secret. Stored is the SHA-256 of all 60: with that much entropy a slow hash
would protect nothing more.
"""

from __future__ import annotations

import hmac
import zlib
from hashlib import sha256
from string import ascii_letters, digits

from ringbridge.model.access import ANY

ALPHABET = ascii_letters + digits
"""What the random part is drawn from."""
RANDOM_LENGTH = 48
KEY_LENGTH = 60
KEY_ID_LENGTH = 12
SUPER_USER, RESELLER, OFFICE_MANAGER, USER = "nss_", "nsr_", "nsd_", "nsu_"
PREFIXES = frozenset({SUPER_USER, RESELLER, OFFICE_MANAGER, USER})


def prefix_for(*, domain: str, user: str, reseller: str) -> str:
    """Return the prefix of a key for what it reaches: a user, a domain, a reseller's domains, everything."""
    if user != ANY:
        return USER
    if domain != ANY:
        return OFFICE_MANAGER
    return SUPER_USER if reseller == ANY else RESELLER


def _checksum(first_52: str) -> str:
    return f"{zlib.crc32(first_52.encode()):08x}"


def make_key(prefix: str, random_part: str) -> str:
    """Return the key text for `random_part`, 48 unpredictable characters of `ALPHABET`.

    Raises:
        ValueError: the prefix is none of ours, or the random part is not as it must be.
    """
    if prefix not in PREFIXES or len(random_part) != RANDOM_LENGTH or not set(random_part) <= set(ALPHABET):
        raise ValueError(f"a key is one of {sorted(PREFIXES)} and {RANDOM_LENGTH} letters or digits")
    return prefix + random_part + _checksum(prefix + random_part)


def is_well_formed(key: str) -> bool:
    """Return whether `key` has the shape of a key and its checksum is right: no secret is involved."""
    return (
        len(key) == KEY_LENGTH
        and key.isascii()
        and key[:4] in PREFIXES
        and key[4:].isalnum()
        and key[-8:] == _checksum(key[:-8])
    )


def key_id_of(key: str) -> str:
    """Return the public 12 characters by which a well-formed `key` is named."""
    return key[4 : 4 + KEY_ID_LENGTH]


def hash_of(key: str) -> str:
    """Return what is stored in place of `key`: its SHA-256 in hex."""
    return sha256(key.encode()).hexdigest()


def matches(key: str, key_sha256: str) -> bool:
    """Return whether `key` is the one whose hash is `key_sha256`, in constant time."""
    return hmac.compare_digest(hash_of(key), key_sha256)
