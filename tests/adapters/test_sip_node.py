"""Two SIP nodes on real loopback sockets: what the endpoint is promised by whoever drives it."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import TypeVar

import pytest

from ringbridge.adapters.sip.node import SipNode, SipNodeSettings, reachable_address, resolve
from ringbridge.adapters.sip.node_settings import settings_of
from ringbridge.adapters.sip.udp import BATCH
from ringbridge.config import SipConfig
from ringbridge.model.addresses import PeerRules
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import (
    AckReceived,
    Answered,
    Ended,
    EndpointEvent,
    Failed,
    Failure,
    IncomingInvite,
    Progress,
    RequestResult,
)
from ringbridge.sip.session_orders import InviteOrder, RequestOrder
from ringbridge.sip.timers import Timers
from tests.adapters.loops import LoopFactory, on_both_loops, run

E = TypeVar("E")
SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class Party:
    """A node and what it was told."""

    def __init__(self, settings: SipNodeSettings) -> None:
        self.events: asyncio.Queue[EndpointEvent] = asyncio.Queue()
        self.node = SipNode(settings, on_event=self.events.put_nowait)

    def peer(self, transport: Transport = Transport.UDP) -> Peer:
        return Peer(transport, self.node.host, self.node.port)

    async def wait_for(self, kind: type[E], within_s: float = 5.0) -> E:
        async with asyncio.timeout(within_s):
            while not isinstance(event := await self.events.get(), kind):
                pass
            return event

    def invite(self, peer: Peer, **more: object) -> None:
        order = InviteOrder(
            peer=peer,
            uri="sip:1002@demo",
            from_="<sip:1001@demo>",
            to="<sip:1002@demo>",
            sdp=SDP,
            **more,  # type: ignore[arg-type] # fields of the order
        )
        session = self.node.endpoint.prepare_invite(order)
        self.node.endpoint.send_invite(session, self.node.now())
        self.node.wake()

    def ask(self, peer: Peer) -> None:
        order = RequestOrder(peer=peer, method="OPTIONS", uri="sip:demo", from_="<sip:a@demo>", to="<sip:demo>")
        self.node.endpoint.send_request(order, self.node.now())
        self.node.wake()


@contextlib.asynccontextmanager
async def parties(*settings: SipNodeSettings) -> AsyncIterator[list[Party]]:
    """Run one node for each of the settings."""
    async with contextlib.AsyncExitStack() as stack:
        found = [Party(one) for one in settings]
        for party in found:
            await party.node.start()
            stack.push_async_callback(party.node.stop)
        yield found


ANY = SipNodeSettings(port=0)
ANY_6 = SipNodeSettings(host="::1", port=0)


@on_both_loops
@pytest.mark.parametrize("settings", [ANY, ANY_6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_a_whole_call(loop_factory: LoopFactory, transport: Transport, settings: SipNodeSettings) -> None:
    async def main() -> None:
        async with parties(settings, settings) as (caller, called):
            caller.invite(called.peer(transport))
            invite = await called.wait_for(IncomingInvite)
            assert invite.peer.transport is transport
            called.node.endpoint.ring(invite.session, called.node.now())
            called.node.wake()
            assert (await caller.wait_for(Progress)).status == 180
            called.node.endpoint.answer(invite.session, SDP, called.node.now())
            called.node.wake()
            answered = await caller.wait_for(Answered)
            await called.wait_for(AckReceived)
            caller.node.endpoint.hang_up(answered.session, caller.node.now())
            caller.node.wake()
            await called.wait_for(Ended)
            assert (await caller.wait_for(Ended)).status == 200

    run(main(), loop_factory)


@on_both_loops
def test_a_request_above_1300_bytes_goes_by_tcp(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with parties(ANY, ANY) as (caller, called):
            long = (("X-Long", "x" * 1500),)
            caller.invite(called.peer(), peer_tcp=called.peer(Transport.TCP), headers=long)
            invite = await called.wait_for(IncomingInvite)
            assert invite.peer.transport is Transport.TCP
            assert invite.request.first("X-Long") == "x" * 1500

    run(main(), loop_factory)


@on_both_loops
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_a_peer_that_is_gone_is_known_at_once(loop_factory: LoopFactory, transport: Transport) -> None:
    async def main() -> None:
        async with parties(ANY) as (other,):
            gone = other.peer(transport)
        async with parties(ANY) as (caller,):
            caller.invite(gone)
            failed = await caller.wait_for(Failed, within_s=2)
            assert failed.cause is Failure.TRANSPORT

    run(main(), loop_factory)


def test_the_session_interval_of_the_configuration_is_asked_for() -> None:
    assert settings_of(SipConfig(session_expires_s=300)).session_expires_s == 300


@on_both_loops
def test_timers_run(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            silent.settimeout(2)
            async with parties(ANY) as (caller,):
                caller.ask(Peer(Transport.UDP, "127.0.0.1", int(silent.getsockname()[1])))
                first = await asyncio.to_thread(silent.recv, 65536)
                again = await asyncio.to_thread(silent.recv, 65536)
                assert first == again

    run(main(), loop_factory)


def ok_to(request: bytes) -> bytes:
    """Return the 200 of a request without a body."""
    kept = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:")
    lines = [line for line in request.split(b"\r\n") if line.startswith(kept)]
    return b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: 0", b"", b""])


@on_both_loops
def test_a_late_loop_reads_the_answer_before_it_sends_a_request_again(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as phone:
            phone.bind(("127.0.0.1", 0))
            phone.settimeout(2)
            async with parties(SipNodeSettings(port=0, timers=Timers(t1_s=0.05))) as (caller,):
                caller.ask(Peer(Transport.UDP, "127.0.0.1", int(phone.getsockname()[1])))
                await asyncio.sleep(0)
                request, node = phone.recvfrom(65536)
                for _ in range(2 * BATCH):
                    phone.sendto(b"\r\n\r\n", node)
                phone.sendto(ok_to(request), node)
                time.sleep(0.2)  # noqa: ASYNC251 - the loop is late: the answer waits, and Timer E is due
                assert (await caller.wait_for(RequestResult)).status == 200
                phone.setblocking(False)
                with pytest.raises(BlockingIOError):
                    phone.recv(65536)

    run(main(), loop_factory)


def answer_to(invite: bytes, *headers: bytes) -> bytes:
    """Return the 200 of a phone that says where the next request goes."""
    lines = [line for line in ok_to(invite).split(b"\r\n") if line[:8] != b"Content-"]
    lines = [line + b";tag=phone" if line[:3] == b"To:" else line for line in lines if line]
    body = [b"Content-Type: application/sdp", b"Content-Length: %d" % len(SDP), b"", SDP]
    return b"\r\n".join([*lines, *headers, *body])


NO_BUS = PeerRules(loopback=True, denied=(ip_network("127.0.0.2/32"),))
"""A node whose phones are at 127.0.0.1, and whose operator's servers are at 127.0.0.2."""


def server_at(host: str) -> socket.socket:
    """Return a server of the operator's that nobody should connect to."""
    server = socket.create_server((host, 0))
    server.setblocking(False)
    return server


@on_both_loops
def test_a_phone_cannot_have_a_connection_opened_to_a_server_of_the_operators(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as phone, server_at("127.0.0.2") as bus:
            phone.bind(("127.0.0.1", 0))
            phone.settimeout(2)
            port = phone.getsockname()[1]
            async with parties(SipNodeSettings(port=0, peers=NO_BUS)) as (caller,):
                caller.invite(Peer(Transport.UDP, "127.0.0.1", int(port)))
                invite, node = await asyncio.to_thread(phone.recvfrom, 65536)
                route = b"Record-Route: <sip:127.0.0.2:%d;transport=tcp;lr>" % bus.getsockname()[1]
                phone.sendto(answer_to(invite, route, b"Contact: <sip:1002@127.0.0.1:%d>" % port), node)
                await caller.wait_for(Answered)
                ended = await caller.wait_for(Ended)
                assert ended.status == 503
                assert caller.node.endpoint.sizes().sessions == 0
                assert caller.node.endpoint.counters.refused_addresses > 0
                with pytest.raises(BlockingIOError):
                    bus.accept()

    run(main(), loop_factory)


@on_both_loops
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@pytest.mark.parametrize("host", ["127.0.0.2", "169.254.169.254", "224.0.0.1", "0.0.0.0"])
def test_nothing_is_dialled_where_nothing_may_be_sent(
    loop_factory: LoopFactory, transport: Transport, host: str
) -> None:
    async def main() -> None:
        async with parties(SipNodeSettings(port=0, peers=NO_BUS)) as (caller,):
            caller.invite(Peer(transport, host, 6379))
            assert (await caller.wait_for(Failed)).cause is Failure.TRANSPORT
            assert caller.node.endpoint.counters.refused_addresses == 1

    run(main(), loop_factory)


@on_both_loops
def test_a_name_that_leads_where_nothing_may_be_sent_is_not_dialled(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with parties(SipNodeSettings(port=0, peers=PeerRules())) as (caller,):
            with server_at("127.0.0.1") as bus:
                caller.invite(Peer(Transport.TCP, "localhost", int(bus.getsockname()[1])))
                assert (await caller.wait_for(Failed)).cause is Failure.TRANSPORT
                with pytest.raises(BlockingIOError):
                    bus.accept()

    run(main(), loop_factory)


@on_both_loops
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_who_has_spoken_to_us_is_answered_and_asked_where_they_are(
    loop_factory: LoopFactory, transport: Transport
) -> None:
    async def main() -> None:
        async with parties(SipNodeSettings(port=0, peers=PeerRules()), ANY) as (node, phone):
            phone.invite(node.peer(transport))
            incoming = await node.wait_for(IncomingInvite)
            node.node.endpoint.answer(incoming.session, SDP, node.node.now())
            node.node.wake()
            await phone.wait_for(Answered)
            await node.wait_for(AckReceived)
            if transport is Transport.UDP:
                node.ask(phone.peer(transport))
                assert (await node.wait_for(RequestResult)).status != 503

    run(main(), loop_factory)


def test_loopback_is_for_a_node_that_listens_there_alone() -> None:
    assert settings_of(SipConfig()).peers == PeerRules(loopback=True)
    network = ip_network("10.1.0.0/16")
    configured = SipConfig(host="192.0.2.1", denied_networks=frozenset({"10.1.0.0/16"}))
    assert settings_of(configured).peers == PeerRules(loopback=False, denied=(network,))


@on_both_loops
def test_a_name_is_resolved(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with parties(ANY, ANY) as (one, other):
            for _ in range(2):
                one.ask(Peer(Transport.UDP, "localhost", other.node.port))
                assert (await one.wait_for(RequestResult)).status == 200
            one.ask(Peer(Transport.UDP, "no-such-host.invalid", 5060))
            assert (await one.wait_for(RequestResult)).status == 503

    run(main(), loop_factory)


@on_both_loops
def test_what_one_handler_raises_stops_nothing(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        async with parties(ANY, ANY) as (one, other):
            heard: list[EndpointEvent] = []

            def stumble(event: EndpointEvent) -> None:
                heard.append(event)
                if len(heard) == 1:
                    raise RuntimeError("the first one stumbles")

            stumbling = SipNode(ANY, on_event=stumble)
            await stumbling.start()
            for party in (one, other):
                party.invite(Peer(Transport.UDP, "127.0.0.1", stumbling.port))
            for _ in range(200):
                if len(heard) == 2:
                    break
                await asyncio.sleep(0.01)
            await stumbling.stop()
            assert len(heard) == 2
            assert told == ["the first one stumbles"]

    run(main(), loop_factory)


@on_both_loops
def test_a_source_that_sends_too_much_is_cut(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        limited = SipNodeSettings(port=0, max_packets_per_source_per_s=20)
        async with parties(limited) as (one,):
            with socket.socket(type=socket.SOCK_DGRAM) as flood:
                for _ in range(100):
                    flood.sendto(b"OPTIONS sip:x SIP/2.0\r\n\r\n", ("127.0.0.1", one.node.port))
            for _ in range(200):
                if one.node.refused_packets >= 60:
                    break
                await asyncio.sleep(0.01)
            assert 60 <= one.node.refused_packets <= 80

    run(main(), loop_factory)


@on_both_loops
def test_keep_alives_are_no_messages(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with parties(ANY, ANY) as (one, other):
            with socket.socket(type=socket.SOCK_DGRAM) as phone:
                for keep_alive in (b"\r\n\r\n", b"\0\0\0\0", b""):
                    phone.sendto(keep_alive, ("127.0.0.1", one.node.port))
            other.ask(one.peer())
            await other.wait_for(RequestResult)
            assert one.node.endpoint.counters.malformed == 0

    run(main(), loop_factory)


@on_both_loops
def test_both_ports_are_one_and_a_taken_one_is_an_error(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with parties(ANY) as (one,):
            _, writer = await asyncio.open_connection("127.0.0.1", one.node.port)
            writer.close()
            await writer.wait_closed()
            second = SipNode(SipNodeSettings(port=one.node.port), on_event=one.events.put_nowait)
            with pytest.raises(OSError, match="in use"):
                await second.start()

    run(main(), loop_factory)


async def test_an_address_resolves_to_itself_and_a_name_that_does_not_is_named() -> None:
    assert await resolve(Peer(Transport.UDP, "127.0.0.1", 5060)) == Peer(Transport.UDP, "127.0.0.1", 5060)
    with pytest.raises(OSError, match="no-such-host"):
        await resolve(Peer(Transport.UDP, "no-such-host.invalid", 5060))


def test_an_unspecified_address_is_not_told_to_peers() -> None:
    assert reachable_address("127.0.0.1") == "127.0.0.1"
    assert reachable_address("0.0.0.0") not in ("0.0.0.0", "")
    assert reachable_address("::") not in ("::", "")
