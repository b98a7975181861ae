"""All 49 messages of RFC 4475 at a running node, on its real sockets: each gets what the RFC says, and it goes on."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.headers import Via
from ringbridge.sip.params import split
from tests.live.node import Node, document, node, until, user
from tests.sip.rfc4475.expectations import EXPECTED, read

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADDRESSES = {name: f"127.0.1.{number}" for number, name in enumerate(sorted(EXPECTED), start=1)}
"""Each comes from an address of its own: without rport, the answer goes to the port that the message's Via names (RFC
3261 §18.2.2), and that is 5060 for most; and a refusal that nobody acknowledges comes again for half a minute."""
_VIA = re.compile(rb"^(?:via|v)[ \t]*:[ \t]*([^\r\n]*(?:\r\n[ \t]+[^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Node]:
    async with node(document(users=[user("1001", "1001")])) as (one, _):
        yield one
        assert one.faults() == []


def torture(name: str) -> bytes:
    """Return a message with a branch of its own: several have the same one, and would repeat each other."""
    return read(name).replace(b"branch=z9hG4bKk", b"branch=z9hG4bK%sk" % name.encode())


def answer_port(data: bytes) -> int:
    """Return the port that an answer to a message goes to."""
    found = _VIA.search(data)
    try:
        via = Via.parse(split(" ".join(found[1].decode("latin-1").split()), ",")[0]) if found else None
    except ProtocolError:
        return 5060
    return (via.port if via else None) or 5060


def options(number: str, host: str, port: int, transport: str = "UDP") -> bytes:
    """Return a request that is always answered: what came before it has been read when it is."""
    return (
        f"OPTIONS sip:127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {host}:{port};branch=z9hG4bK{transport}{number};rport\r\n"
        f"From: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: fence-{number}-{transport}\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Phone(asyncio.DatagramProtocol):
    """Keeps the final answers that come: theirs by status, and whether ours was answered."""

    def __init__(self) -> None:
        self.finals: list[int] = []
        self.fence = 0

    def datagram_received(self, data: bytes, _address: object) -> None:
        status = int(data[8:11])
        if b"fence-" in data:
            self.fence = status
        elif status >= 200:
            self.finals.append(status)


@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_torture_message_by_udp_gets_a_right_answer(served: Node, name: str) -> None:
    data, expected = torture(name), EXPECTED[name]
    host, port = ADDRESSES[name], answer_port(data)
    loop = asyncio.get_running_loop()
    transport, phone = await loop.create_datagram_endpoint(Phone, local_addr=(host, port))
    try:
        transport.sendto(data, ("127.0.0.1", served.sip_port))
        transport.sendto(options(name, host, port), ("127.0.0.1", served.sip_port))
        await until(lambda: phone.fence == 200, within_s=5, what="the node goes on")
        if expected.answers or (expected.refusals and not expected.accepted):
            await until(lambda: phone.finals, within_s=5, what=f"an answer to {name}")
        assert len(phone.finals) <= 1
        assert expected.permits(phone.finals[0] if phone.finals else None), phone.finals
    finally:
        transport.close()


@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_torture_message_by_tcp_ends_at_most_its_own_connection(served: Node, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.sip_port)
    try:
        writer.write(read(name))
        if EXPECTED[name].stream_closes:
            async with asyncio.timeout(5):
                while await reader.read(65536):
                    pass
    finally:
        writer.close()
    with socket.socket() as one:
        one.settimeout(5)
        await asyncio.to_thread(one.connect, ("127.0.0.1", served.sip_port))
        one.sendall(options(name, "127.0.0.1", 5060, "TCP"))
        assert (await asyncio.to_thread(one.recv, 65536)).startswith(b"SIP/2.0 200 ")
