"""Signing tokens, and reading only what the cluster signed (RFC 7519, RFC 8725).

The key is a record of the directory, so that every node has it: made once by create-if-absent, and followed by the next
one when it is old. A new key signs only after `SETTLE_S`, when every node has it; old ones verify until nothing that
they signed can be alive, and are deleted then. HMAC, because nobody but the cluster itself verifies.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from typing import Final

import msgspec
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from ringbridge.calls.ports import Bus, Clock, Store
from ringbridge.model.accounts import SigningKey
from ringbridge.model.directory import Record
from ringbridge.model.errors import BusUnavailable, Conflict
from ringbridge.model.tokens import AUDIENCE, SKEW_S, Claims

log = structlog.get_logger(__name__)

ALGORITHM: Final = "HS256"
"""The only one that is taken: a token does not choose (RFC 8725 §3.1)."""
ROTATE_S: Final = 30 * 86_400.0
LONGEST_LIFE_S: Final = 30 * 86_400.0
"""Of anything that is signed: a refresh token."""
SETTLE_S: Final = 60.0
MAX_TOKEN_LENGTH: Final = 4096


class Signer:
    """Signs and verifies with the keys of the cluster."""

    def __init__(self, *, store: Store, bus: Bus, clock: Clock, random_part: Callable[[], str]) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._random_part = random_part
        self._newest = 0
        self._keys: dict[int, tuple[SigningKey, OctKey]] = {}

    async def sign(self, claims: Claims) -> str:
        """Return the token of `claims`.

        Raises:
            BusUnavailable: there is no key yet, and none can be made.
        """
        number, key = await self._current()
        header = {"alg": ALGORITHM, "kid": str(number)}
        return jwt.encode(header, msgspec.to_builtins(claims), key, algorithms=[ALGORITHM])

    async def verify(self, token: str) -> Claims | None:
        """Return the claims of a token that one of our keys signed and whose time it is; None of any other.

        Raises:
            BusUnavailable: it may be signed with a key that only the bus knows so far.
        """
        number = _number_of(token) if len(token) <= MAX_TOKEN_LENGTH else None
        key = None if number is None else await self._key(number)
        if key is None:
            return None
        try:
            decoded = jwt.decode(token, key, algorithms=[ALGORITHM])
            claims = msgspec.convert(decoded.claims, Claims)
        except (JoseError, ValueError, msgspec.ValidationError):
            return None
        now = self._clock.now()
        is_now = claims.iat - SKEW_S <= now < claims.exp + SKEW_S
        return claims if is_now and claims.aud == AUDIENCE else None

    async def seal(self, text: str) -> str:
        """Return the proof that `text` is ours, `<number of the key>.<64 hex digits>`.

        Raises:
            BusUnavailable: there is no key yet, and none can be made.
        """
        number, key = await self._current()
        return f"{number}.{_sealed(text, key)}"

    async def is_sealed(self, text: str, seal: str) -> bool:
        """Return whether `seal` is one of ours for `text`.

        Raises:
            BusUnavailable: it may be of a key that only the bus knows so far.
        """
        number, _, proof = seal.partition(".")
        if not (number.isascii() and number.isdigit() and len(number) < 10 and proof.isascii()):
            return False
        key = await self._key(int(number))
        return key is not None and hmac.compare_digest(_sealed(text, key), proof)

    async def _key(self, number: int) -> OctKey | None:
        found = await self._store.record("signingkey", (str(number),)) or await self._newer(number)
        if not isinstance(found, SigningKey):
            return None
        known = self._keys.get(number)
        if known is None or known[0] != found:
            # The store may have been made again under our feet, with another key of that number.
            known = self._keys[number] = (found, OctKey.import_key(found.secret))
        return known[1]

    async def _newer(self, number: int) -> Record | None:
        """Return a key that only the bus has so far; one follows the other, so that no other is asked for.

        Tokens are used as soon as they are told, on any node: before its copy has what the first was signed with.
        """
        if number != 1 and await self._store.record("signingkey", (str(number - 1),)) is None:
            return None
        stored = await self._bus.read_record("signingkey", (str(number),))
        return stored.record if stored else None

    async def _current(self) -> tuple[int, OctKey]:
        keys = await self._known()
        now = self._clock.now()
        if not keys:
            keys = [await self._make(1)]
        elif keys[-1].created_at + ROTATE_S < now:
            await self._rotate(keys)
        settled = [one for one in keys if one.created_at + SETTLE_S <= now]
        current = settled[-1] if settled else keys[0]
        key = await self._key(current.number)
        return current.number, key or OctKey.import_key(current.secret)

    async def _known(self) -> list[SigningKey]:
        """Return the keys that are there, oldest first; looked for by number, which costs no list."""
        if self._newest == 0 or await self._store.record("signingkey", (str(self._newest),)) is None:
            found = await self._store.records("signingkey")
            self._newest = max((one.number for one in found if isinstance(one, SigningKey)), default=0)
        while isinstance(await self._store.record("signingkey", (str(self._newest + 1),)), SigningKey):
            self._newest += 1
        numbers = [str(number) for number in (self._newest - 2, self._newest - 1, self._newest) if number > 0]
        last = [await self._store.record("signingkey", (number,)) for number in numbers]
        return [one for one in last if isinstance(one, SigningKey)]

    async def _make(self, number: int) -> SigningKey:
        made = SigningKey(number=number, secret=self._random_part(), created_at=self._clock.now())
        try:
            await self._bus.put_record(made, only_new=True)
        except Conflict as conflict:
            stored = await self._bus.read_record("signingkey", (str(number),))
            if stored is None or not isinstance(stored.record, SigningKey):
                raise BusUnavailable from conflict
            return stored.record
        log.info("signing_key_made", number=number)
        return made

    async def _rotate(self, keys: list[SigningKey]) -> None:
        """Make the next key, and delete those that nothing alive was signed with; what fails is tried again later."""
        try:
            await self._make(keys[-1].number + 1)
            dead = self._clock.now() - LONGEST_LIFE_S - SKEW_S
            for older, newer in pairwise(keys):
                if newer.created_at < dead:
                    await self._bus.delete_record("signingkey", (str(older.number),))
        except BusUnavailable:
            log.warning("signing_key_not_rotated", number=keys[-1].number)


def _sealed(text: str, key: OctKey) -> str:
    """Return the HMAC of a text; what begins so is no token, whose first character is another."""
    return hmac.digest(key.raw_value, b"seal:" + text.encode(), sha256).hex()


class _Header(msgspec.Struct):
    kid: str = ""


def _number_of(token: str) -> int | None:
    """Return the number of the key that the token says it was signed with."""
    first = token.split(".", 1)[0]
    try:
        raw = urlsafe_b64decode(first + "=" * (-len(first) % 4))
        kid = msgspec.json.decode(raw, type=_Header).kid
    except (ValueError, binascii.Error, msgspec.DecodeError, UnicodeError):
        return None
    return int(kid) if kid.isascii() and kid.isdigit() and len(kid) < 10 else None
