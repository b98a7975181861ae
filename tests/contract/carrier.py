"""A carrier: whom a connection leads to. It takes an INVITE down, and refuses or answers the call, by UDP alone."""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.contract.wire import until

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

    @classmethod
    def read(cls, data: bytes) -> Request:
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
        return cls(method, uri, headers, vias, body)

    @property
    def number(self) -> str:
        """The user part of the Request-URI."""
        return self.uri.removeprefix("sip:").partition("@")[0]


@dataclass
class Carrier:
    """What runs at a port of 127.0.0.1: `says` is the final status of an INVITE, 0 to let it ring."""

    port: int
    says: int = 486
    invites: list[Request] = field(default_factory=list)
    others: list[Request] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def wait(self, holds: Callable[[Request], bool] = lambda _: True) -> Request:
        """Return the last INVITE that fits, once it has come."""
        found: list[Request] = []

        def has_come() -> bool:
            found[:] = [one for one in self.invites if holds(one)]
            return bool(found)

        until(has_come, what="an INVITE came")
        return found[-1]

    def answer(self, udp: socket.socket, sender: tuple[str, int], request: Request) -> None:
        """Take a request down, and answer it."""
        if request.method == "INVITE":
            if all(one.headers["call-id"] != request.headers["call-id"] for one in self.invites):
                self.invites.append(request)
            udp.sendto(self._response(request, 180), sender)
            if self.says:
                udp.sendto(self._response(request, self.says), sender)
        elif request.method != "ACK":
            self.others.append(request)
            udp.sendto(self._response(request, 200), sender)
            if request.method == "CANCEL":
                invite = next(one for one in self.invites if one.headers["call-id"] == request.headers["call-id"])
                udp.sendto(self._response(invite, 487), sender)

    def _response(self, request: Request, status: int) -> bytes:
        tag = f";tag={request.headers['call-id'][-6:]}" if ";tag=" not in request.headers["to"] else ""
        is_answer = request.method == "INVITE" and status == 200
        payload = re.search(r"m=audio \d+ \S+ (\d+)", request.body)
        body = SDP.format(payload=payload[1] if payload else "0") if is_answer else ""
        lines = [
            f"SIP/2.0 {status} Said",
            *(f"Via: {via}" for via in request.vias),
            f"From: {request.headers['from']}",
            f"To: {request.headers['to']}{tag}",
            f"Call-ID: {request.headers['call-id']}",
            f"CSeq: {request.headers['cseq']}",
            f"Contact: <sip:carrier@{self.address}>",
            *(["Content-Type: application/sdp"] if is_answer else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", body]).encode()


@contextmanager
def carrying() -> Iterator[Carrier]:
    """Run a carrier for the length of a block."""
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        carrier = Carrier(int(udp.getsockname()[1]))
        stop = f"stop {secrets.token_hex(8)}".encode()

        def run() -> None:
            while (received := udp.recvfrom(65_535))[0] != stop:
                if received[0].strip():  # a keep-alive is none
                    carrier.answer(udp, received[1], Request.read(received[0]))

        thread = threading.Thread(target=run, name="carrier")
        thread.start()
        try:
            yield carrier
        finally:
            with socket.socket(type=socket.SOCK_DGRAM) as other:
                other.sendto(stop, ("127.0.0.1", carrier.port))
            thread.join()
