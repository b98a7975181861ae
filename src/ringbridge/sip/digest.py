"""Digest authentication, what both ends share: secrets, header fields, the hash (RFC 3261 §22, RFC 7616, RFC 8760).

`digest_client` answers challenges, `digest_server` makes and checks them. SHA-256 and MD5, with `qop=auth` or, for old
peers, none; `auth-int` is neither offered nor answered (no phone uses it, and it breaks behind whatever edits SDP).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import md5, sha256
from typing import Final

from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.params import CONTROL, split, unquote

_FIELD: Final = re.compile(r"([A-Za-z0-9\-.!%*_+`'~]++)\s*+=\s*+(\"(?:[^\"\\]++|\\.)*+\"|[^\s\",]*+)")


class Algorithm(StrEnum):
    """The hashes that we speak, spelled as on the wire; the best first."""

    SHA_256 = "SHA-256"
    MD5 = "MD5"


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()  # what many phones speak; SHA-256 is offered first


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()


HASHES: Final[dict[Algorithm, Callable[[str], str]]] = {Algorithm.SHA_256: _sha256, Algorithm.MD5: _md5}


@dataclass(frozen=True, slots=True)
class Ha1:
    """H(user:realm:password) in hex by each hash: what a directory keeps instead of a password. "" where not known."""

    md5: str = field(default="", repr=False)
    sha256: str = field(default="", repr=False)

    def by(self, algorithm: Algorithm) -> str:
        """Return the value for one hash, or ""."""
        return self.sha256 if algorithm is Algorithm.SHA_256 else self.md5


def make_ha1(username: str, realm: str, password: str) -> Ha1:
    """Return both HA1 values (RFC 7616 §3.4.2).

    Raises:
        UnsafeHeader: user name or realm hold a control character or a quote, or the user name a colon.
    """
    for name, text, extra in (("digest username", username, ':"\\'), ("digest realm", realm, '"\\')):
        if CONTROL.search(text) or any(char in text for char in extra):
            raise UnsafeHeader(name, "control character, quote, backslash or colon")
    secret = f"{username}:{realm}:{password}"
    return Ha1(_md5(secret), _sha256(secret))


@dataclass(frozen=True, slots=True)
class Credentials:
    """What we may prove to a peer, and to whom.

    A challenge is answered if it names `realm`; with `realm` None, any realm, but only if the request went to `host`
    (a name or address as it stands in the order's peer). With neither, nothing is answered. `ha1` serves where no
    password is kept; it needs `realm`.
    """

    username: str
    password: str = field(default="", repr=False)
    realm: str | None = None
    host: str | None = None
    ha1: Ha1 | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AuthFields:
    """One Authorization or WWW-Authenticate value: the scheme in small letters, and its fields as they were sent.

    Quoted values are held without their quotes but with their backslashes: that is what RFC 7616 §3.4 has hashed, and
    what goes back to the peer.
    """

    scheme: str
    fields: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "AuthFields":
        """Read one value; a scheme other than Digest is named, its fields are not read.

        Raises:
            ProtocolError: 400.
        """
        scheme, _, rest = text.partition(" ")
        fields: dict[str, str] = {}
        if scheme.lower() == "digest":
            for item in split(rest, ","):
                found = _FIELD.fullmatch(item)
                if found is None or found[1].lower() in fields:
                    raise ProtocolError(400, "Bad digest fields")
                value = found[2]
                fields[found[1].lower()] = value[1:-1] if value[:1] == '"' else value
        return cls(scheme.lower(), fields)

    def get(self, name: str) -> str:
        """Return a field, or ""."""
        return self.fields.get(name, "")

    def text(self, name: str) -> str:
        """Return a field with its backslash escapes resolved, or ""."""
        return unquote(f'"{self.get(name)}"')

    @property
    def algorithm(self) -> Algorithm | None:
        """The algorithm, MD5 if none is named (RFC 7616 §3.3), None if we do not speak it."""
        named = self.fields.get("algorithm", "MD5").upper()
        return next((each for each in Algorithm if each.value == named), None)


@dataclass(frozen=True, slots=True)
class Proof:
    """The variables that a response is computed from, beside the secret; `qop` is "auth" or ""."""

    method: str
    uri: str
    nonce: str
    qop: str = ""
    nc: str = ""
    cnonce: str = ""


def compute_response(algorithm: Algorithm, ha1: str, proof: Proof) -> str:
    """Return the `response` field (RFC 7616 §3.4.1; without qop, RFC 2069 §2.1.2)."""
    hashed = HASHES[algorithm]
    ha2 = hashed(f"{proof.method}:{proof.uri}")
    if not proof.qop:
        return hashed(f"{ha1}:{proof.nonce}:{ha2}")
    return hashed(f"{ha1}:{proof.nonce}:{proof.nc}:{proof.cnonce}:{proof.qop}:{ha2}")
