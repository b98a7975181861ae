"""Answering digest challenges (RFC 3261 §22.2, §22.3; RFC 7616 §3.4; RFC 8760 §2.4)."""

from dataclasses import dataclass
from typing import Final

from ringbridge.sip.digest import Algorithm, AuthFields, Credentials, Proof, compute_response, make_ha1
from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.message import Response
from ringbridge.sip.params import quote

_HEADERS: Final = (("WWW-Authenticate", "Authorization"), ("Proxy-Authenticate", "Proxy-Authorization"))


@dataclass(slots=True)
class _Protection:
    """One realm's challenge that we answer, and how often its nonce was used."""

    header: str
    challenge: AuthFields
    algorithm: Algorithm
    count: int = 0


class Authenticator:
    """Answers the challenges to the requests of one dialog or registration, and keeps the nonces for the next one.

    ```
    if response.status in (401, 407) and authenticator.take(response, host):
        resend with authenticator.headers(method, uri, cnonce)      # a new CSeq and branch
    ```
    Every further request may carry `headers(...)` from the start: it saves the round trip.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._protections: dict[tuple[str, str], _Protection] = {}

    def take(self, response: Response, host: str) -> bool:
        """Learn the challenges of a 401 or 407 to a request that went to `host`; return whether to send it again.

        False: no challenge is for us to answer (realm, host, algorithm), or the answer that we gave was refused (the
        same realm asks again without `stale=true`): asking again would not end.
        """
        answerable = False
        for (header, realm), (challenge, algorithm) in self._best(response, host).items():
            before = self._protections.get((header, realm))
            stale = challenge.get("stale").lower() == "true"
            if before is not None and before.count and not stale:
                continue
            self._protections[header, realm] = _Protection(header, challenge, algorithm)
            answerable = True
        return answerable

    @property
    def realm(self) -> str | None:
        """The realm that was answered last; None before the first."""
        newest = next(reversed(self._protections.values()), None)
        return None if newest is None else newest.challenge.text("realm")

    def _best(self, response: Response, host: str) -> dict[tuple[str, str], tuple[AuthFields, Algorithm]]:
        best: dict[tuple[str, str], tuple[AuthFields, Algorithm]] = {}
        preference = list(Algorithm)
        for asking, answering in _HEADERS:
            for line in response.lines(asking):
                try:
                    challenge = AuthFields.parse(line)
                except ProtocolError:
                    continue
                algorithm = challenge.algorithm
                if algorithm is None or not self._may_answer(challenge, algorithm, host):
                    continue
                key = (answering, challenge.get("realm"))
                # Deviates: RFC 8760 §2.4 prefers the topmost challenge; we take the strongest, whatever its place.
                if key not in best or preference.index(algorithm) < preference.index(best[key][1]):
                    best[key] = (challenge, algorithm)
        return best

    def _may_answer(self, challenge: AuthFields, algorithm: Algorithm, host: str) -> bool:
        if challenge.scheme != "digest" or not challenge.get("nonce") or "realm" not in challenge.fields:
            return False
        offered = challenge.get("qop")
        if offered and "auth" not in [item.strip().lower() for item in offered.split(",")]:
            return False
        mine = self._credentials
        if mine.realm is not None:
            if challenge.text("realm") != mine.realm:
                return False
        elif mine.host is None or mine.host.lower() != host.lower():
            return False
        if mine.ha1 is not None:
            return bool(mine.ha1.by(algorithm))
        try:
            make_ha1(mine.username, challenge.get("realm"), mine.password)
        except UnsafeHeader:
            return False  # a realm that has no place in our answer: then the refusal stands
        return True

    def headers(self, method: str, uri: str, cnonce: str) -> list[tuple[str, str]]:
        """Return Authorization and Proxy-Authorization headers for the next request; each call counts the nonces on.

        `uri` is the Request-URI as it will be sent; `cnonce` is fresh randomness of the caller's, 8 characters or more.

        Raises:
            UnsafeHeader: user name or URI have control characters.
        """
        return [(p.header, self._answer(p, method, uri, cnonce)) for p in self._protections.values()]

    def _answer(self, protection: _Protection, method: str, uri: str, cnonce: str) -> str:
        protection.count += 1
        challenge, algorithm, mine = protection.challenge, protection.algorithm, self._credentials
        qop = "auth" if challenge.get("qop") else ""
        proof = Proof(method, uri, challenge.get("nonce"), qop, f"{protection.count:08x}", cnonce)
        ha1 = mine.ha1 or make_ha1(mine.username, challenge.get("realm"), mine.password)
        fields = [
            f"username={quote(mine.username)}",
            f'realm="{challenge.get("realm")}"',
            f'nonce="{proof.nonce}"',
            f"uri={quote(uri)}",
            f'response="{compute_response(algorithm, ha1.by(algorithm), proof)}"',
        ]
        if "algorithm" in challenge.fields:
            fields.append(f"algorithm={algorithm}")
        if "opaque" in challenge.fields:
            fields.append(f'opaque="{challenge.get("opaque")}"')
        if qop:
            fields += ["qop=auth", f"nc={proof.nc}", f"cnonce={quote(cnonce)}"]
        return "Digest " + ", ".join(fields)
