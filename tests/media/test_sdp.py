from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.media.sdp import (
    MAX_BYTES,
    MAX_MEDIA,
    PCMA,
    PCMU,
    Codec,
    Description,
    Direction,
    Media,
    Origin,
    SdpError,
    _stream,
    parse,
    serialize,
)

DESK_PHONE = (
    "v=0\r\no=- 20800 20801 IN IP4 192.168.1.20\r\ns=SDP data\r\nc=IN IP4 192.168.1.20\r\nb=AS:64\r\nt=0 0\r\n"
    "m=audio 11800 RTP/AVP 0 8 9 18 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\n"
    "a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
    "a=ptime:20\r\na=sendrecv\r\na=rtcp:11801\r\n"
)
WEB_PHONE = (
    "v=0\no=mozilla 7 0 IN IP6 ::1\ns=-\nt=0 0\na=group:BUNDLE 0 1\na=recvonly\n"
    "m=audio 9/2 UDP/TLS/RTP/SAVPF 109 0\nc=IN IP6 ::1\na=rtpmap:109 opus/48000/2\na=fmtp:109 useinbandfec=1\n"
    "a=sendonly\nm=video 0 RTP/AVP 96\nm=image 5000 udptl t38\n"
)


def test_desk_phone_is_read() -> None:
    read = parse(DESK_PHONE.encode())
    assert read.origin == Origin("-", 20800, 20801, "192.168.1.20")
    (audio,) = read.media
    assert (audio.kind, audio.port, audio.proto) == ("audio", 11800, "RTP/AVP")
    assert [codec.name for codec in audio.codecs] == ["PCMU", "PCMA", "G722", "G729", "telephone-event"]
    assert audio.codecs[3].fmtp == "annexb=no"
    assert audio.ptime_ms == 20
    assert audio.attributes == (("rtcp", "11801"),)
    assert read.address_of(audio) == "192.168.1.20"
    assert read.direction_of(audio) is Direction.SENDRECV


def test_sections_keep_their_own_lines() -> None:
    read = parse(WEB_PHONE.encode())
    audio, video, fax = read.media
    assert read.attributes == (("group", "BUNDLE 0 1"),)
    assert audio.codecs == (Codec(109, "opus", 48000, 2, "useinbandfec=1"), PCMU)
    assert (audio.port, read.address_of(audio)) == (9, "::1")
    assert (read.direction_of(audio), read.direction_of(video)) == (Direction.SENDONLY, Direction.RECVONLY)
    assert (video.port, video.codecs) == (0, ())
    assert (fax.kind, fax.formats, fax.codecs) == ("image", ("t38",), ())


def test_static_payload_types_need_no_rtpmap_but_keep_their_fmtp() -> None:
    (audio,) = parse(
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 8 18 77\r\na=fmtp:18 annexb=no\r\n"
    ).media
    assert audio.codecs == (PCMA, Codec(18, "G729", 8000, fmtp="annexb=no"))


HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "o=- 1 1 IN IP4 192.0.2.1\r\n",
        "v=0\r\ns=-\r\n",
        "v=0\r\no=- one 1 IN IP4 192.0.2.1\r\n",
        "v=0\r\no=- 1 1 IN IP4\r\n",
        HEAD + "m=audio\r\n",
        HEAD + "m=audio 70000 RTP/AVP 0\r\n",
        HEAD + "m=audio -1 RTP/AVP 0\r\n",
        HEAD + "m=audio 4000 RTP/AVP zero\r\n",
        HEAD + "m=audio 4000 RTP/AVP 128\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\r\nc=IN IP9 x\r\n",
        HEAD + "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/many\r\n",
        HEAD + "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 /8000\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\r\na=ptime:0\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\r\nnonsense\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\r\na=x:\0\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\r\na=x\ry\r\n",
        HEAD + "m=audio 4000 RTP/AVP " + "0 " * 65 + "\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
        HEAD + "a=x:" + "y" * MAX_BYTES,
        HEAD + "m=audio " + "9" * 10000 + " RTP/AVP 0\r\n",
    ],
)
def test_what_cannot_be_read_is_refused(body: str) -> None:
    with pytest.raises(SdpError):
        parse(body.encode())


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        parse(b"v=0\r\n" + body)
    except SdpError:
        return


@given(st.data())
def test_a_damaged_description_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([DESK_PHONE, WEB_PHONE])).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(body) - 1))
        body[start : start + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    try:
        parse(bytes(body))
    except SdpError:
        return


WORD = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True)
CODECS = st.lists(
    st.builds(
        Codec,
        payload_type=st.integers(96, 127),
        name=WORD,
        clock_rate=st.sampled_from([8000, 16000, 48000]),
        channels=st.integers(1, 2),
        fmtp=st.sampled_from(["", "0-15", "mode-set=0,2; octet-align=1"]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda codec: codec.payload_type,
)


@st.composite
def medias(draw: st.DrawFn) -> Media:
    codecs = tuple(draw(CODECS))
    return Media(
        kind=draw(st.sampled_from(["audio", "video"])),
        port=draw(st.integers(0, 65535)),
        proto=draw(st.sampled_from(["RTP/AVP", "RTP/SAVPF"])),
        formats=tuple([str(codec.payload_type) for codec in codecs]),
        address=draw(st.none() | st.sampled_from(["192.0.2.1", "2001:db8::1"])),
        codecs=codecs,
        ptime_ms=draw(st.none() | st.integers(1, 200)),
        direction=draw(st.none() | st.sampled_from(Direction)),
        attributes=tuple(draw(st.lists(st.tuples(st.sampled_from(["mid", "x-y"]), WORD | st.just("")), max_size=3))),
    )


@given(
    st.builds(
        Description,
        origin=st.builds(Origin, WORD, st.integers(0, 2**63), st.integers(0, 2**63), st.just("192.0.2.1")),
        media=st.lists(medias(), max_size=4).map(tuple),
        address=st.none() | st.just("192.0.2.9"),
        direction=st.sampled_from(Direction),
    )
)
def test_what_is_written_reads_back_the_same(description: Description) -> None:
    assert parse(serialize(description)) == description


@pytest.mark.parametrize("poison", ["\r", "\n", "\r\n", "\0", "\x7f", "\x1b", "\x85"])
def test_control_characters_never_leave(poison: str) -> None:
    audio = Media("audio", 4000, "RTP/AVP", ("0",), codecs=(PCMU,), attributes=(("tool", f"x{poison}a=y"),))
    with pytest.raises(SdpError):
        serialize(Description(Origin("-", 1, 1, "192.0.2.1"), (audio,)))


def test_reading_takes_time_in_proportion_to_the_length() -> None:
    def seconds(lines: int) -> float:
        head = HEAD + "m=audio 4000 RTP/AVP 0\r\n" + "a=x:yyyyyyyyyy\r\n" * lines
        bodies = [f"{head}a=x:{lines}-{number}\r\n".encode() for number in range(20)]
        _stream.cache_clear()
        started = process_time()
        for body in bodies:
            parse(body)
        return process_time() - started

    assert min(seconds(800) for _ in range(5)) < 20 * min(seconds(100) for _ in range(5))
