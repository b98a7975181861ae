import asyncio
import socket
from collections.abc import AsyncIterator
from itertools import pairwise
from struct import pack

import pytest

from ringbridge.media.sdp import PCMA
from ringbridge.phone.audio import frames, hears, tone_frames
from ringbridge.phone.rtp import RtpParty


@pytest.fixture
async def pair() -> AsyncIterator[tuple[RtpParty, RtpParty]]:
    one, other = await RtpParty.open(ssrc=11), await RtpParty.open(ssrc=0xFFFFFFFF, codec=PCMA)
    one.send_to(other.host, other.port)
    other.send_to(one.host, one.port)
    yield one, other
    one.close()
    other.close()


async def test_two_parties_hear_each_other(pair: tuple[RtpParty, RtpParty]) -> None:
    one, other = pair
    one.play(tone_frames(440, 0))
    other.play(tone_frames(600, 8))
    await asyncio.sleep(0.4)
    assert hears(one.samples(), 600)
    assert hears(other.samples(), 440)
    assert one.heard_tones()[0].frequency_hz == 600
    assert one.lost == other.lost == 0
    assert one.first_sent_at is not None
    assert other.first_received_at is not None
    assert 0 <= other.first_received_at - one.first_sent_at < 0.3


async def test_a_packet_leaves_each_20_ms_with_all_its_fields_right() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        party = await RtpParty.open(ssrc=0xCAFE)
        party.send_to(*listener.getsockname())
        party.play(tone_frames(450, 0))
        await asyncio.sleep(0.5)
        party.close()
        packets = []
        while True:
            try:
                packets.append(listener.recv(500))
            except BlockingIOError:
                break
    assert 20 <= len(packets) <= 27
    assert party.sent == len(packets)
    assert {packet[0] for packet in packets} == {0x80}
    assert [packet[1] for packet in packets] == [0x80] + [0] * (len(packets) - 1)
    first = int.from_bytes(packets[0][2:4])
    assert [int.from_bytes(packet[2:4]) - first for packet in packets] == list(range(len(packets)))
    stamps = [int.from_bytes(packet[4:8]) for packet in packets]
    assert all((after - before) % 160 == 0 for before, after in pairwise(stamps))
    assert {packet[8:12] for packet in packets} == {(0xCAFE).to_bytes(4)}
    assert {len(packet) for packet in packets} == {172}


async def test_a_recording_is_played_once_and_then_there_is_silence(pair: tuple[RtpParty, RtpParty]) -> None:
    one, other = pair
    one.play(frames([9000, -9000] * 80, 0), repeat=False)
    await asyncio.sleep(0.15)
    heard = other.samples()
    assert max(heard[:160]) > 8000
    assert set(heard[160:]) == {0}


async def test_a_paused_party_sends_nothing(pair: tuple[RtpParty, RtpParty]) -> None:
    one, other = pair
    one.play(tone_frames(450, 0))
    await asyncio.sleep(0.1)
    one.pause()
    await asyncio.sleep(0.05)
    received = other.received
    await asyncio.sleep(0.1)
    assert received == other.received > 0


async def test_only_as_much_as_asked_for_is_decoded(pair: tuple[RtpParty, RtpParty]) -> None:
    one, other = pair
    one.play(tone_frames(450, 0))
    await asyncio.sleep(0.3)
    assert len(other.samples(last_s=0.1)) == 800
    assert len(other.samples()) == other.received * 160
    other.forget()
    assert len(other.samples()) == 0


def rtp(payload_type: int, sequence: int, timestamp: int, payload: bytes) -> bytes:
    return pack("!BBHII", 0x80, payload_type, sequence, timestamp, 1) + payload


async def test_digits_are_heard_once_each() -> None:
    party = await RtpParty.open(ssrc=1)
    try:
        for sequence, (stamp, digit) in enumerate([(100, 5), (100, 5), (100, 5), (900, 5), (2000, 11)]):
            party.datagram_received(rtp(101, sequence, stamp, bytes([digit, 0x8A, 0, 160])), ("127.0.0.1", 9))
        assert party.digits == "55#"
    finally:
        party.close()


async def test_lost_packets_are_counted_and_nonsense_is_not() -> None:
    party = await RtpParty.open(ssrc=1)
    try:
        for sequence in (65534, 65535, 2, 3):
            party.datagram_received(rtp(0, sequence, 0, b"\xff"), ("127.0.0.1", 9))
        party.datagram_received(b"", ("127.0.0.1", 9))
        party.datagram_received(b"\x00" * 40, ("127.0.0.1", 9))
        party.datagram_received(rtp(77, 4, 0, b"x"), ("127.0.0.1", 9))
        assert (party.received, party.lost) == (4, 2)
    finally:
        party.close()


async def test_the_port_is_even_and_a_wanted_one_is_kept() -> None:
    party = await RtpParty.open(ssrc=1)
    party.close()
    await asyncio.sleep(0)
    assert party.port % 2 == 0
    again = await RtpParty.open(port=party.port, ssrc=1)
    again.close()
    assert again.port == party.port
