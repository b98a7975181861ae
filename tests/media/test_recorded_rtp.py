from struct import pack

from ringbridge.media.recorded_rtp import Packet, TimeLine, read_packets
from tests.media.recorded import raw, rtp


def read(content: bytes) -> list[Packet]:
    return list(read_packets(memoryview(content)))


def test_packets_come_with_when_they_arrived_and_what_they_say() -> None:
    content = raw(10.5, rtp(b"\x01" * 160, timestamp=7, ssrc=9)) + raw(
        10.52, rtp(b"\x02" * 80, payload_type=8), six=True
    )
    assert read(content) == [Packet(10.5, 0, 7, 9, b"\x01" * 160), Packet(10.52, 8, 0, 1, b"\x02" * 80)]


def test_sources_extension_and_padding_are_not_heard() -> None:
    extension = pack("!HH4s", 1, 1, b"abcd")
    packet = pack("!BBHII", 0x80 | 0x20 | 0x10 | 2, 0, 1, 5, 1) + b"csrc" * 2 + extension + b"\x07" * 10 + b"\0\0\0\x04"
    assert [one.payload for one in read(raw(1.0, packet))] == [b"\x07" * 10]


def test_what_is_no_sound_is_passed_over() -> None:
    nothing = (rtp(b"\x01" * 4, payload_type=101), rtp(b""), b"", b"\x80", b"\x00" * 20)
    assert read(b"".join(raw(1.0, one) for one in nothing) + raw(2.0, rtp(b"x"))) == [Packet(2.0, 0, 0, 1, b"x")]


def test_a_file_that_was_cut_off_is_read_up_to_there() -> None:
    content = raw(1.0, rtp(b"x" * 160)) + raw(2.0, rtp(b"y" * 160))
    for cut in (1, 100, 171, 172, 190):
        assert [one.arrived_at for one in read(content[:-cut])] == [1.0]
    assert [one.arrived_at for one in read(raw(1.0, rtp(b"x")) + b"\xff" * 500)] == [1.0]


def packet(arrived_at: float, timestamp: int, *, ssrc: int = 1) -> Packet:
    return Packet(arrived_at, 0, timestamp % 2**32, ssrc, b"x" * 160)


def test_jitter_is_not_heard() -> None:
    line = TimeLine(100.0)
    arrivals = (100.0, 100.03, 100.035, 100.09, 100.08)
    assert [line.place(packet(at, 2**32 - 160 + 160 * index)) for index, at in enumerate(arrivals)] == [
        0,
        160,
        320,
        480,
        640,
    ]


def test_a_silence_that_the_timestamps_leave_out_is_kept() -> None:
    line = TimeLine(100.0)
    assert line.place(packet(100.0, 0)) == 0
    assert line.place(packet(105.0, 160)) == 40_000
    assert line.place(packet(105.03, 320)) == 40_160


def test_another_stream_begins_where_it_arrived() -> None:
    line = TimeLine(100.0)
    line.place(packet(100.0, 0))
    assert line.place(packet(100.1, 160, ssrc=2)) == 800
