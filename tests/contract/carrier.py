"""Whoever is called: a carrier, or a phone that is registered.

It takes an INVITE down, and refuses or answers the call, by UDP alone and without a sound.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.contract.registering import register
from tests.contract.wire import PASSWORD, until

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 9 RTP/AVP {payload}\r\na=sendrecv\r\n"
)


@dataclass(frozen=True, slots=True)
class Request:
    """A SIP request as it came."""

    method: str
    uri: str
    headers: dict[str, str]
    """By lower-case name; of one that is repeated the first."""
    vias: list[str]
    body: str
    sender: tuple[str, int]

    @classmethod
    def read(cls, data: bytes, sender: tuple[str, int]) -> Request:
        """Return what a datagram holds."""
        head, _, body = data.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        method, uri, _ = first.split(" ", 2)
        headers: dict[str, str] = {}
        vias: list[str] = []
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
            if name.strip().lower() in ("via", "v"):
                vias.append(value.strip())
        return cls(method, uri, headers, vias, body, sender)

    @property
    def number(self) -> str:
        """The user part of the Request-URI."""
        return self.uri.removeprefix("sip:").partition("@")[0]


@dataclass
class Carrier:
    """What runs at a port of 127.0.0.1: `says` is the final status of an INVITE, 0 to let it ring."""

    udp: socket.socket
    says: int = 486
    obeys: bool = False
    """Whether it answers by itself where an INVITE asks for that (contract section 3, auto-answer headers)."""
    realm: str = ""
    """Who is asked for credentials, once for an INVITE; empty: nobody."""
    invites: list[Request] = field(default_factory=list)
    """As they came; one that is sent again, or asks for something within a call, is none."""
    others: list[Request] = field(default_factory=list)
    _over: set[str] = field(default_factory=set)
    """Call-IDs of INVITEs that had their final response."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.udp.getsockname()[1]}"

    def wait(self, holds: Callable[[Request], bool] = lambda _: True) -> Request:
        """Return the last INVITE that fits, once it has come."""
        found: list[Request] = []

        def has_come() -> bool:
            found[:] = [one for one in self.invites if holds(one)]
            return bool(found)

        until(has_come, what="an INVITE came")
        return found[-1]

    def wait_for(self, method: str) -> Request:
        """Return the first request of another method, once it has come."""
        until(lambda: any(one.method == method for one in self.others), what=f"a {method} came")
        return next(one for one in self.others if one.method == method)

    def say(self, invite: Request, status: int) -> None:
        """Answer an INVITE that rings."""
        self._over.add(invite.headers["call-id"])
        self.udp.sendto(self._response(invite, status), invite.sender)

    def hang_up(self, invite: Request) -> None:
        """End a call that was answered, as whoever was called."""
        lines = [
            f"BYE {invite.headers['contact'].partition('<')[2].partition('>')[0]} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.address};branch=z9hG4bK{secrets.token_hex(8)}",
            "Max-Forwards: 70",
            f"From: {invite.headers['to']}{self._tag(invite)}",
            f"To: {invite.headers['from']}",
            f"Call-ID: {invite.headers['call-id']}",
            "CSeq: 1 BYE",
            "Content-Length: 0",
        ]
        self.udp.sendto("\r\n".join([*lines, "", ""]).encode(), invite.sender)

    def take(self, data: bytes, sender: tuple[str, int]) -> None:
        """Take what came down, and answer it."""
        if not data.strip() or data.startswith(b"SIP/2.0"):  # a keep-alive, or the answer to a BYE
            return
        request = Request.read(data, sender)
        call_id = request.headers["call-id"]
        if request.method == "INVITE":
            known = [one.headers["cseq"] for one in self.invites if one.headers["call-id"] == call_id]
            if ";tag=" not in request.headers["to"] and request.headers["cseq"] not in known:
                self.invites.append(request)
            if self.realm and "proxy-authorization" not in request.headers:
                asks = f'Proxy-Authenticate: Digest realm="{self.realm}", nonce="{call_id}", algorithm=MD5, qop="auth"'
                self.udp.sendto(self._response(request, 407, asks), sender)
                return
            says = 200 if call_id in self._over or (self.obeys and "call-info" in request.headers) else self.says
            self.udp.sendto(self._response(request, 180), sender)
            if says:
                self.say(request, says)
        elif request.method != "ACK":
            self.others.append(request)
            self.udp.sendto(self._response(request, 200), sender)
            if request.method == "CANCEL" and call_id not in self._over:
                self.say([one for one in self.invites if one.headers["call-id"] == call_id][-1], 487)

    @staticmethod
    def _tag(request: Request) -> str:
        return f";tag={request.headers['call-id'][-6:]}" if ";tag=" not in request.headers["to"] else ""

    def _response(self, request: Request, status: int, *more: str) -> bytes:
        is_answer = request.method == "INVITE" and status == 200
        payload = re.search(r"m=audio \d+ \S+ (\d+)", request.body)
        body = SDP.format(payload=payload[1] if payload else "0") if is_answer else ""
        lines = [
            f"SIP/2.0 {status} Said",
            *(f"Via: {via}" for via in request.vias),
            f"From: {request.headers['from']}",
            f"To: {request.headers['to']}{self._tag(request)}",
            f"Call-ID: {request.headers['call-id']}",
            f"CSeq: {request.headers['cseq']}",
            f"Contact: <sip:carrier@{self.address}>",
            *more,
            *(["Content-Type: application/sdp"] if is_answer else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", body]).encode()


@contextmanager
def carrying(port: int = 0, *, says: int = 486, obeys: bool = False) -> Iterator[Carrier]:
    """Run a carrier for the length of a block."""
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))
        carrier = Carrier(udp, says, obeys)
        address = udp.getsockname()
        stop = f"stop {secrets.token_hex(8)}".encode()

        def run() -> None:
            while (received := udp.recvfrom(65_535))[0] != stop:
                carrier.take(*received)

        thread = threading.Thread(target=run, name="carrier")
        thread.start()
        try:
            yield carrier
        finally:
            with socket.socket(type=socket.SOCK_DGRAM) as other:
                other.sendto(stop, address)
            thread.join()


@contextmanager
def handset(registrar: str, *, device: str, domain: str, says: int = 200, obeys: bool = True) -> Iterator[Carrier]:
    """Run a device's phone, which is registered, for the length of a block."""
    port = free_port()
    register(registrar, device=device, domain=domain, password=PASSWORD, port=port)
    with carrying(port, says=says, obeys=obeys) as phone:
        yield phone


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free for UDP and TCP a moment ago."""
    while True:
        with socket.socket(type=socket.SOCK_STREAM) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                time.sleep(0.01)
                continue
            return port
