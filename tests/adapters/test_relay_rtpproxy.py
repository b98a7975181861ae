"""The client against a real relay process, and against a control port that misbehaves."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from ringbridge.adapters.relay.child import RelayChild
from ringbridge.adapters.relay.rtpproxy import Relay, RelayAddress, RelayUnavailable
from ringbridge.media.recorded_rtp import read_packets
from ringbridge.media.relay_commands import RelayRefused, RelaySession
from ringbridge.media.sdp import PCMA
from ringbridge.model.call import Side
from ringbridge.phone.audio import hears, tone_frames
from ringbridge.phone.rtp import RtpParty
from tests.adapters.loops import until
from tests.adapters.relay_folder import relay_in

A, B = Side.ORIGINATION, Side.TERMINATION


@pytest.fixture
async def child(data_dir: Path) -> AsyncIterator[RelayChild]:
    async with relay_in(data_dir / "with blank") as running:
        yield running


@pytest.fixture
async def parties() -> AsyncIterator[list[RtpParty]]:
    opened = [await RtpParty.open(ssrc=number) for number in (1, 2, 3)]
    yield opened
    for party in opened:
        party.close()


async def talk(party: RtpParty, session: RelaySession, side: Side, hertz: int) -> None:
    party.send_to(session.host, session.port(side))
    party.play(tone_frames(hertz, 0))


async def test_each_party_hears_the_other(child: RelayChild, parties: list[RtpParty]) -> None:
    alice, bob, _ = parties
    session = await child.relay.open("call-1")
    assert await child.relay.set_remote(session, A, alice.host, alice.port) == session.term_port
    assert await child.relay.set_remote(session, B, bob.host, bob.port) == session.orig_port
    await talk(alice, session, A, 440)
    await talk(bob, session, B, 600)
    await asyncio.sleep(0.5)
    assert hears(alice.samples(), 600)
    assert hears(bob.samples(), 440)
    traffic = await child.relay.traffic(session)
    assert traffic.from_origination > 10
    assert traffic.from_termination > 10
    assert traffic.dropped == 0
    await child.relay.close(session)
    await asyncio.sleep(0.1)
    received = bob.received
    await asyncio.sleep(0.2)
    assert bob.received == received


@pytest.mark.parametrize(("law", "name", "hertz"), [(0, "us", 480), (8, "us", 440), (0, "eu", 425), (8, "uk", 450)])
async def test_ringback_is_heard_by_the_first_leg_alone(
    child: RelayChild, parties: list[RtpParty], law: int, name: str, hertz: int
) -> None:
    alice, bob, _ = parties
    session = await child.relay.open("call-1")
    await child.relay.set_remote(session, A, alice.host, alice.port)
    await child.relay.set_remote(session, B, bob.host, bob.port)
    await child.relay.play(session, A, name, payload_types=[9, law])
    await asyncio.sleep(0.35)
    assert hears(alice.samples(), hertz)
    assert bob.received == 0
    await child.relay.stop_play(session, A)
    await asyncio.sleep(0.1)
    received = alice.received
    await talk(bob, session, B, 600)
    await asyncio.sleep(0.4)
    assert alice.received > received
    assert [tone.frequency_hz for tone in alice.heard_tones()] == [600]


async def test_a_prompt_can_be_heard_by_the_second_leg_a_number_of_times(
    child: RelayChild, parties: list[RtpParty]
) -> None:
    alice, bob, _ = parties
    prompts = child.relay.address.prompts
    (Path(f"/proc/{child.pid}/cwd") / prompts / "pip.0").write_bytes(tone_frames(600, 0)[0] * 5)
    session = await child.relay.open("call-1")
    await child.relay.set_remote(session, A, alice.host, alice.port)
    await child.relay.set_remote(session, B, bob.host, bob.port)
    await child.relay.play(session, B, "pip", payload_types=[0], loops=2)
    await asyncio.sleep(0.5)
    assert 0.19 * 8000 <= len(bob.samples()) <= 0.21 * 8000
    assert alice.received == 0


async def test_a_prompt_that_the_codec_has_not_is_refused(child: RelayChild) -> None:
    session = await child.relay.open("call-1")
    with pytest.raises(RelayRefused, match="no prompt"):
        await child.relay.play(session, A, "us", payload_types=[9])


async def test_a_new_address_takes_effect_and_keeps_the_port(child: RelayChild, parties: list[RtpParty]) -> None:
    alice, bob, other_alice = parties
    session = await child.relay.open("call-1")
    await child.relay.set_remote(session, A, alice.host, alice.port)
    await child.relay.set_remote(session, B, bob.host, bob.port)
    await talk(bob, session, B, 600)
    await talk(alice, session, A, 440)
    await asyncio.sleep(0.2)
    await child.relay.set_remote(session, A, other_alice.host, other_alice.port)
    await asyncio.sleep(0.1)
    received = alice.received
    await asyncio.sleep(0.2)
    assert received == alice.received > 0
    assert hears(other_alice.samples(), 600)


async def test_packets_from_another_host_are_neither_passed_on_nor_learned_from(
    child: RelayChild, parties: list[RtpParty]
) -> None:
    alice, bob, _ = parties
    stranger = await RtpParty.open("127.0.0.2", ssrc=99)
    try:
        session = await child.relay.open("call-1")
        await talk(stranger, session, A, 1000)
        await asyncio.sleep(0.1)
        await child.relay.set_remote(session, A, alice.host, alice.port)
        await child.relay.set_remote(session, B, bob.host, bob.port)
        await talk(bob, session, B, 600)
        await asyncio.sleep(0.3)
        assert (bob.received, stranger.received) == (0, 0)
        assert hears(alice.samples(), 600)
    finally:
        stranger.close()


async def test_where_asked_for_the_address_is_learned_once(child: RelayChild, parties: list[RtpParty]) -> None:
    alice, bob, _ = parties
    stranger = await RtpParty.open("127.0.0.2", ssrc=99)
    try:
        session = await child.relay.open("call-1", learn=[A])
        await child.relay.set_remote(session, A, "192.0.2.1", 4000)
        await child.relay.set_remote(session, B, bob.host, bob.port)
        await talk(alice, session, A, 440)
        await talk(bob, session, B, 600)
        await asyncio.sleep(0.3)
        await talk(stranger, session, A, 1000)
        await asyncio.sleep(0.2)
        assert hears(alice.samples(), 600)
        assert stranger.received == 0
        assert [tone.frequency_hz for tone in bob.heard_tones()] == [440]
    finally:
        stranger.close()


async def test_a_side_that_has_learned_an_address_keeps_it(child: RelayChild, parties: list[RtpParty]) -> None:
    """Why nobody can take over the side of a phone behind NAT (`sip.engine`): RTPProxy trusts no later offer there."""
    alice, bob, cid = parties
    session = await child.relay.open("call-1", learn=[A])
    await child.relay.set_remote(session, A, "192.0.2.1", 4000)
    await child.relay.set_remote(session, B, bob.host, bob.port)
    await talk(alice, session, A, 440)
    await talk(bob, session, B, 600)
    await asyncio.sleep(0.2)
    await child.relay.set_remote(session, A, cid.host, cid.port)
    await asyncio.sleep(0.2)
    assert cid.received == 0
    assert hears(alice.samples(), 600)


async def test_opening_again_gives_the_same_ports_and_closing_again_is_refused_as_gone(child: RelayChild) -> None:
    session = await child.relay.open("call-1")
    assert await child.relay.open("call-1") == session
    assert (await child.relay.ping()).sessions == 1
    await child.relay.close(session)
    for command in (child.relay.close(session), child.relay.set_remote(session, A, "127.0.0.1", 4000)):
        with pytest.raises(RelayRefused) as refused:
            await command
        assert refused.value.is_gone
    assert (await child.relay.ping()).sessions == 0


async def test_a_command_need_not_be_waited_for(child: RelayChild) -> None:
    session = await child.relay.open("call-1")
    child.relay.close(session)
    child.relay.close(session)
    assert (await child.relay.ping()).sessions == 0


async def test_sessions_of_another_instance_are_not_touched(child: RelayChild) -> None:
    session = await child.relay.open("call-1")
    lost = msgspec.structs.replace(session, instance="an earlier one")
    with pytest.raises(RelayRefused) as refused:
        await child.relay.close(lost)
    assert refused.value.is_gone
    assert (await child.relay.ping()).sessions == 1


ENGINE = """
import asyncio, sys, time
import msgspec
from pathlib import Path
from ringbridge.adapters.relay.child import RelaySettings, ensure_relay
from ringbridge.model.call import Side

async def main():
    child = await ensure_relay(RelaySettings(data_dir=Path(sys.argv[1]), linger_s=20))
    session = await child.relay.open("call-1")
    await child.relay.set_remote(session, Side.ORIGINATION, "127.0.0.1", int(sys.argv[2]))
    await child.relay.set_remote(session, Side.TERMINATION, "127.0.0.1", int(sys.argv[3]))
    print(msgspec.json.encode(session).decode(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_audio_goes_on_when_the_engine_is_killed_and_the_next_one_takes_the_session_up(
    data_dir: Path, parties: list[RtpParty]
) -> None:
    alice, bob, _ = parties
    command = [sys.executable, "-c", ENGINE, str(data_dir), str(alice.port), str(bob.port)]
    engine = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert engine.stdout is not None
    try:
        line = await asyncio.wait_for(engine.stdout.readline(), 20)
    finally:
        engine.send_signal(signal.SIGKILL)
    async with relay_in(data_dir) as child:
        session = msgspec.json.decode(line, type=RelaySession)
        await talk(alice, session, A, 440)
        await talk(bob, session, B, 600)
        await engine.wait()
        await asyncio.sleep(0.4)
        assert hears(alice.samples(), 600)
        assert hears(bob.samples(), 440)
        assert (alice.lost, bob.lost) == (0, 0)
        assert child.instance == session.instance
        await child.relay.set_remote(session, B, bob.host, bob.port)
        await child.relay.play(session, A, "eu", payload_types=[PCMA.payload_type])
        await asyncio.sleep(0.3)
        assert hears(alice.samples(), 425)
        await child.relay.close(session)


# --- a control port that misbehaves ----------------------------------------------------------------------------------


@pytest.fixture
def control() -> socket.socket:
    listener = socket.socket(type=socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


@pytest.fixture
async def client(control: socket.socket) -> AsyncIterator[Relay]:
    """A client that knows the relay by its address alone, as it does an external rtpproxy."""
    address = RelayAddress(f"udp:localhost:{control.getsockname()[1]}", "198.51.100.1", "/var/prompts", "external")
    relay = await Relay.connect(address, deadline_s=0.5)
    yield relay
    relay.close_client()
    control.close()


async def next_command(control: socket.socket) -> tuple[bytes, bytes, tuple[str, int]]:
    loop = asyncio.get_running_loop()
    datagram, sender = await asyncio.wait_for(loop.sock_recvfrom(control, 2000), 2)
    cookie, _, command = datagram.partition(b" ")
    return cookie, command, sender


async def test_a_silent_relay_is_down_until_it_answers(client: Relay, control: socket.socket) -> None:
    seen = [client.is_up]
    with pytest.raises(RelayUnavailable, match="no answer"):
        await client.ping()
    seen.append(client.is_up)
    with contextlib.suppress(BlockingIOError):  # nothing is left of the command that was given up
        while control.recv(2000):
            pass
    watching = asyncio.create_task(client.watch(0.02))
    cookie, _, sender = await next_command(control)
    control.sendto(cookie + b" 5 2 9\n", sender)
    await next_command(control)  # it asks again once it has an answer
    watching.cancel()
    seen.append(client.is_up)
    client.close_client()
    seen.append(client.is_up)
    assert seen == [True, False, True, False]


async def test_a_lost_command_is_sent_again_with_the_same_cookie(client: Relay, control: socket.socket) -> None:
    opening = asyncio.ensure_future(client.open("c1"))
    first = await next_command(control)
    again = await next_command(control)
    assert again == first
    cookie, _, sender = again
    control.sendto(b"somebody-else 1 0\n", sender)
    control.sendto(cookie + b" 20004 10.0.0.1 && 20000 10.0.0.1\n", sender)
    control.sendto(cookie + b" 30004 10.0.0.1 && 30000 10.0.0.1\n", sender)
    session = await opening
    assert (session.host, session.orig_port, session.term_port) == ("198.51.100.1", 20000, 20004)


async def test_a_lost_command_is_not_sent_again_once_a_later_one_has_replaced_it(
    client: Relay, control: socket.socket
) -> None:
    session = RelaySession("c1", "198.51.100.1", 20000, 20004, "external")
    playing = client.play(session, A, "us", payload_types=[0])
    stopping = client.stop_play(session, A)
    assert (await next_command(control))[1][:1] == b"P"
    stop = await next_command(control)
    assert await next_command(control) == stop  # sent again, and the prompt is not
    cookie, command, sender = stop
    assert command == b"S c1 o t"
    control.sendto(cookie + b" 0\n", sender)
    await stopping
    with pytest.raises(RelayUnavailable):
        await playing
    with pytest.raises(BlockingIOError):
        control.recv(2000)


async def test_silence_is_unavailable_after_the_deadline(client: Relay) -> None:
    started = asyncio.get_running_loop().time()
    with pytest.raises(RelayUnavailable, match="no answer"):
        await client.ping()
    assert 0.4 < asyncio.get_running_loop().time() - started < 1.5


async def test_a_port_where_nobody_listens_is_unavailable(client: Relay, control: socket.socket) -> None:
    control.close()
    with pytest.raises(RelayUnavailable):
        await client.ping()


async def test_nonsense_is_unavailable(client: Relay, control: socket.socket) -> None:
    pinging = asyncio.ensure_future(client.ping())
    cookie, _, sender = await next_command(control)
    control.sendto(cookie + b" what?\n", sender)
    with pytest.raises(RelayUnavailable, match="numbers"):
        await pinging


async def test_what_is_under_way_fails_when_the_client_is_closed(client: Relay) -> None:
    pinging = asyncio.ensure_future(client.ping())
    await asyncio.sleep(0)
    client.close_client()
    with pytest.raises(RelayUnavailable, match="closed"):
        await pinging
    with pytest.raises(RelayUnavailable, match="closed"):
        await client.ping()


async def test_a_restart_of_an_external_relay_is_noticed(client: Relay, control: socket.socket) -> None:
    lost: list[str] = []
    client.on_restart(lost.append)
    for reply, instance in ((b"5 2 9", "external"), (b"7 2 12", "external"), (b"0 0 1", "external+1")):
        pinging = asyncio.ensure_future(client.ping())
        cookie, _, sender = await next_command(control)
        control.sendto(cookie + b" " + reply + b"\n", sender)
        assert (await pinging).instance == instance
    assert lost == ["external"]


async def test_an_address_that_does_not_resolve_is_unavailable() -> None:
    with pytest.raises(RelayUnavailable, match="no way"):
        await Relay.connect(RelayAddress("udp:nowhere.invalid:1", "", "", "x"))


async def test_each_leg_is_recorded_to_a_file_that_shows_when_it_is_whole(
    child: RelayChild, parties: list[RtpParty]
) -> None:
    alice, bob, _ = parties
    data = Path(f"/proc/{child.pid}/cwd")
    session = await child.relay.open("call-1")
    await child.relay.set_remote(session, A, alice.host, alice.port)
    await child.relay.set_remote(session, B, bob.host, bob.port)
    await child.relay.record(session, A, "one")
    await child.relay.record(session, A, "again")
    await talk(alice, session, A, 440)
    await talk(bob, session, B, 600)
    await asyncio.sleep(0.3)
    assert [file.name for file in (data / "spool").iterdir()] == ["one.rtp"]
    assert list((data / "recordings").iterdir()) == []
    await child.relay.close(session)
    await until((data / "recordings" / "one.rtp").exists)
    heard = list(read_packets(memoryview((data / "recordings" / "one.rtp").read_bytes())))
    assert len(heard) >= 10
    assert {one.ssrc for one in heard} == {alice.ssrc}


async def test_a_disk_that_is_full_harms_no_call(child: RelayChild, parties: list[RtpParty]) -> None:
    alice, bob, _ = parties
    (Path(f"/proc/{child.pid}/cwd") / "spool" / "full.rtp").symlink_to("/dev/full")
    session = await child.relay.open("call-1")
    await child.relay.set_remote(session, A, alice.host, alice.port)
    await child.relay.set_remote(session, B, bob.host, bob.port)
    await child.relay.record(session, A, "full")
    await talk(alice, session, A, 440)
    await asyncio.sleep(1.0)
    bob.forget()
    await asyncio.sleep(0.3)
    assert [tone.frequency_hz for tone in bob.heard_tones()] == [440]
    await child.relay.close(session)


async def test_what_a_killed_relay_was_writing_is_whole_for_the_next(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "left.rtp").write_bytes(b"x")
    async with relay_in(tmp_path):
        assert list((tmp_path / "spool").iterdir()) == []
        assert (tmp_path / "recordings" / "left.rtp").read_bytes() == b"x"
