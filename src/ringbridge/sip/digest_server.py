"""Challenging requests and checking the answers (RFC 3261 §22.4, RFC 7616 §3.3, RFC 8760).

A nonce is `<issued, ms>.<number>.<HMAC over both and the realm>`: nothing is stored until it is used. From then on a
window of the counts that it was used with refuses replays; counts may come out of order, as UDP may bring them.

Who is unknown must not be told from who is known: without a secret the same hashes are computed over a stand-in, and
the verdict is the same.
"""

import hmac
from collections import OrderedDict
from collections.abc import Sequence
from enum import Enum
from typing import Final

from ringbridge.sip.digest import Algorithm, AuthFields, Ha1, Proof, compute_response
from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.message import Request
from ringbridge.sip.params import quote

_WINDOW: Final = 64
_MOST_NONCES: Final = 65536  # some 20 MB when full


class Verdict(Enum):
    """What a request's credentials are worth."""

    OK = "ok"
    MISSING = "missing"
    """None for this realm, or a scheme or algorithm that we did not offer: challenge."""
    STALE = "stale"
    """Right, but for a nonce that is too old, used up or not ours: challenge with `stale=true`."""
    WRONG = "wrong"
    """Wrong password or unknown user: challenge."""


def read_credentials(request: Request, realm: str) -> AuthFields | None:
    """Return the digest credentials for a realm, or None; `fields.text("username")` says who to look up."""
    for line in request.lines("Authorization"):
        try:
            fields = AuthFields.parse(line)
        except ProtocolError:
            continue
        if fields.scheme == "digest" and fields.text("realm") == realm and fields.algorithm is not None:
            return fields
    return None


class DigestServer:
    """Makes challenges and judges credentials. `now` is any clock in seconds, always the same one."""

    def __init__(
        self, *, key: bytes, nonce_lifetime_s: float, algorithms: Sequence[Algorithm] = tuple(Algorithm)
    ) -> None:
        """`key` is secret and this node's alone; 16 random bytes or more.

        Raises:
            ValueError: a short key, or a lifetime that is not positive.
        """
        if len(key) < 16 or nonce_lifetime_s <= 0:
            raise ValueError("a digest server needs a key of 16 bytes and a positive nonce lifetime")
        self._key = key
        self._lifetime_s = nonce_lifetime_s
        self._algorithms = tuple(algorithms)
        self._issued = 0
        self._windows: OrderedDict[str, tuple[int, int]] = OrderedDict()  # nonce: highest count, bits of those below
        self._forgotten_ms = -1  # nonces issued until then may have been used, and nobody knows how often

    def challenge(self, realm: str, now: float, *, stale: bool = False) -> list[tuple[str, str]]:
        """Return the challenge headers of a 401: one a hash, the best first (RFC 8760 §2.3)."""
        self._issued += 1
        nonce = self._sign(f"{int(now * 1000)}.{self._issued:x}", realm)
        end = ", stale=true" if stale else ""
        return [
            (
                "WWW-Authenticate",
                f'Digest realm={quote(realm)}, nonce="{nonce}", algorithm={algorithm}, qop="auth"{end}',
            )
            for algorithm in self._algorithms
        ]

    def check(self, fields: AuthFields | None, ha1: Ha1 | None, method: str, realm: str, now: float) -> Verdict:
        """Judge what `read_credentials` returned; `ha1` is the user's secret, None for an unknown user.

        RFC 3261 §22.4 item 6: the `uri` field may differ from the Request-URI, a proxy may have rewritten that: it
        is hashed but not compared. The replay window stands against its reuse.
        """
        if fields is None or (algorithm := fields.algorithm) not in self._algorithms or algorithm is None:
            return Verdict.MISSING
        qop = fields.get("qop").lower()
        if qop not in ("", "auth"):
            return Verdict.MISSING
        proof = Proof(
            method, fields.get("uri"), fields.get("nonce"), fields.get("qop"), fields.get("nc"), fields.get("cnonce")
        )
        known = ha1.by(algorithm) if ha1 is not None else ""
        secret = known or self._mac(f"stand-in {fields.get('username')}")
        right = hmac.compare_digest(
            compute_response(algorithm, secret, proof).encode(), fields.get("response").lower().encode()
        )
        if not (right and known):
            return Verdict.WRONG
        count = _count(proof.nc) if qop else 1
        if count is None:
            return Verdict.WRONG
        return Verdict.OK if self._use(proof.nonce, realm, count, now) else Verdict.STALE

    def _mac(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()

    def _sign(self, stamp: str, realm: str) -> str:
        return f"{stamp}.{self._mac(f'nonce {stamp} {realm}')[:32]}"

    def _use(self, nonce: str, realm: str, count: int, now: float) -> bool:
        """Return whether a nonce is ours, young enough, and unused with this count; note the use."""
        stamp = nonce.rpartition(".")[0]
        if not hmac.compare_digest(self._sign(stamp, realm).encode(), nonce.encode()):
            return False
        now_ms = int(now * 1000)
        issued_ms = int(stamp.partition(".")[0])
        self._drop_old(now_ms)
        if now_ms - issued_ms > self._lifetime_s * 1000:
            return False
        highest, seen = self._windows.get(nonce, (0, 0))
        if not highest and issued_ms <= self._forgotten_ms:
            return False
        if count > highest:
            shift = count - highest
            seen = (
                ((seen << shift) | (1 << (shift - 1) if highest else 0)) & ((1 << _WINDOW) - 1)
                if shift <= _WINDOW
                else 0
            )
            highest = count
        else:
            bit = 1 << (highest - count - 1) if count < highest else 0
            if not bit or bit >= 1 << _WINDOW or seen & bit:
                return False
            seen |= bit
        self._windows[nonce] = (highest, seen)
        if len(self._windows) > _MOST_NONCES:
            self._forget_oldest()
        return True

    def _drop_old(self, now_ms: int) -> None:
        while self._windows:
            oldest = next(iter(self._windows))
            if now_ms - int(oldest.partition(".")[0]) <= self._lifetime_s * 1000:
                return
            del self._windows[oldest]

    def _forget_oldest(self) -> None:
        nonce, _ = self._windows.popitem(last=False)
        self._forgotten_ms = max(self._forgotten_ms, int(nonce.partition(".")[0]))


def _count(text: str) -> int | None:
    if len(text) != 8 or any(char not in "0123456789abcdefABCDEF" for char in text):
        return None
    return int(text, 16) or None
