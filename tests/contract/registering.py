"""Registers a phone's address by hand, by the MD5 challenge (RFC 3261 §10, RFC 7616)."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket

CHALLENGE = re.compile(r'WWW-Authenticate: Digest realm="(?P<realm>[^"]*)", nonce="(?P<nonce>[^"]*)", algorithm=MD5')


def register(registrar: str, *, device: str, domain: str, password: str, port: int, expires_s: int = 3600) -> None:
    """Bind a device's address-of-record to a UDP port of 127.0.0.1, for an hour; `expires_s` 0 takes it away.

    Raises:
        AssertionError: the registrar does not take it.
    """
    host, _, number = registrar.rpartition(":")
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))
        udp.settimeout(5.0)
        udp.connect((host, int(number)))
        call_id = secrets.token_hex(8)
        udp.send(_request(device, domain, port, call_id, 1, expires_s, ""))
        proof = _proof(udp.recv(8192).decode(), device, domain, password)
        udp.send(_request(device, domain, port, call_id, 2, expires_s, proof))
        answer = udp.recv(8192).decode()
        assert answer.startswith("SIP/2.0 200 "), answer


def _request(device: str, domain: str, port: int, call_id: str, sequence: int, expires_s: int, proof: str) -> bytes:
    lines = [
        f"REGISTER sip:{domain} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{secrets.token_hex(8)}",
        "Max-Forwards: 70",
        f"From: <sip:{device}@{domain}>;tag={call_id[:8]}",
        f"To: <sip:{device}@{domain}>",
        f"Call-ID: {call_id}",
        f"CSeq: {sequence} REGISTER",
        f"Contact: <sip:{device}@127.0.0.1:{port}>",
        f"Expires: {expires_s}",
        "User-Agent: contract-handset/1",
        *([proof] if proof else []),
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _proof(challenged: str, device: str, domain: str, password: str) -> str:
    """Return the Authorization line that answers the MD5 challenge (RFC 7616 §3.4)."""
    found = CHALLENGE.search(challenged)
    assert found is not None, challenged
    nonce, cnonce = found["nonce"], secrets.token_hex(8)
    whole = md5(
        md5(device, found["realm"], password), nonce, "00000001", cnonce, "auth", md5("REGISTER", f"sip:{domain}")
    )
    return (
        f'Authorization: Digest username="{device}", realm="{found["realm"]}", nonce="{nonce}", uri="sip:{domain}", '
        f'response="{whole}", algorithm=MD5, cnonce="{cnonce}", qop=auth, nc=00000001'
    )


def md5(*parts: str) -> str:
    """Return the hash of RFC 7616 §3.4.1: of the parts with colons between them."""
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
