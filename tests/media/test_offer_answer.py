import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.media.offer_answer import (
    DEFAULT_CODECS,
    Local,
    NothingInCommon,
    Remote,
    agree,
    answer,
    carries_sound,
    offer,
    offer_again,
    permitted,
    read_answer,
)
from ringbridge.media.sdp import G722, PCMA, PCMU, TELEPHONE_EVENT, Codec, Direction, SdpError, parse


def ours(**changes: object) -> Local:
    return offer(**({"session_id": 7, "host": "198.51.100.1", "port": 20000} | changes))  # type: ignore[arg-type]  # a test's shorthand


def body(*media: str, address: str = "192.0.2.7") -> bytes:
    lines = ["v=0", "o=- 5 5 IN IP4 192.0.2.7", "s=-", f"c=IN IP4 {address}", "t=0 0", *media]
    return ("\r\n".join(lines) + "\r\n").encode()


def test_offer_holds_what_every_telephone_takes() -> None:
    (audio,) = parse(ours().sdp()).media
    assert audio.codecs == DEFAULT_CODECS == (PCMU, PCMA, TELEPHONE_EVENT)
    assert (audio.port, parse(ours().sdp()).address) == (20000, "198.51.100.1")
    assert audio.direction is Direction.SENDRECV


def test_an_offer_from_elsewhere_is_the_next_version_of_the_same_description() -> None:
    before = answer(body("m=video 9 RTP/AVP 96", "m=audio 4000 RTP/AVP 0 8"), ours(), allowed=DEFAULT_CODECS)[0]
    moved = offer_again(before, (PCMA, TELEPHONE_EVENT), at=("198.51.100.2", 30000))
    video, audio = parse(moved.sdp()).media
    assert (video.kind, video.port) == ("video", 0), "a refused stream keeps its place"
    assert (audio.port, parse(moved.sdp()).address, audio.codecs) == (30000, "198.51.100.2", (PCMA, TELEPHONE_EVENT))
    assert parse(moved.sdp()).origin.version == before.version + 1
    assert parse(moved.sdp()).origin.session_id == before.session_id


def test_an_offer_of_nothing_but_dtmf_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="sound"):
        ours(codecs=(TELEPHONE_EVENT,))


def test_second_leg_is_offered_exactly_what_the_first_took() -> None:
    taken = read_answer(body("m=audio 4000 RTP/AVP 8 101", "a=rtpmap:101 telephone-event/8000"), ours())
    assert (taken.host, taken.port, taken.codec, taken.held) == ("192.0.2.7", 4000, "PCMA", False)
    second = offer(session_id=8, host="198.51.100.1", port=20004, codecs=taken.codecs)
    (audio,) = parse(second.sdp()).media
    assert audio.formats == ("8", "101")


def test_codecs_of_an_answer_that_were_not_offered_are_passed_over() -> None:
    taken = read_answer(body("m=audio 4000 RTP/AVP 9 8 18 0"), ours())
    assert taken.codecs == (PCMA, PCMU)


def test_an_event_under_another_number_is_not_taken_since_the_relay_does_not_renumber() -> None:
    taken = read_answer(body("m=audio 4000 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"), ours())
    assert taken.codecs == (PCMU,)


@pytest.mark.parametrize(
    "media",
    [
        "m=audio 0 RTP/AVP 0",
        "m=audio 4000 RTP/AVP 18",
        "m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000",
        "m=audio 4000 RTP/SAVP 0",
        "m=video 4000 RTP/AVP 0",
    ],
)
def test_an_answer_without_usable_audio_has_nothing_in_common(media: str) -> None:
    with pytest.raises(NothingInCommon):
        read_answer(body(media), ours())


@pytest.mark.parametrize("media", [[], ["m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 96"]])
def test_an_answer_with_another_number_of_streams_is_malformed(media: list[str]) -> None:
    with pytest.raises(SdpError, match="streams"):
        read_answer(body(*media), ours())


@pytest.mark.parametrize(
    ("said", "mirrored", "held"),
    [
        ("sendrecv", "sendrecv", False),
        ("sendonly", "recvonly", True),
        ("recvonly", "sendonly", False),
        ("inactive", "inactive", True),
    ],
)
def test_hold_is_answered_with_the_mirrored_direction(said: str, mirrored: str, held: bool) -> None:  # noqa: FBT001
    local, remote = answer(body("m=audio 4000 RTP/AVP 0 101", f"a={said}"), ours(), allowed=DEFAULT_CODECS)
    (audio,) = parse(local.sdp()).media
    assert (audio.direction, audio.port, remote.held) == (Direction(mirrored), 20000, held)


def test_the_old_way_to_hold_gives_no_address_to_send_to() -> None:
    _, remote = answer(body("m=audio 4000 RTP/AVP 0", address="0.0.0.0"), ours(), allowed=DEFAULT_CODECS)
    assert remote.host is None
    assert remote.held


def test_version_grows_only_when_something_changed() -> None:
    first = ours(codecs=(PCMU,))
    hold, _ = answer(body("m=audio 4000 RTP/AVP 0", "a=sendonly"), first, allowed=(PCMU,))
    again, _ = answer(body("m=audio 4000 RTP/AVP 0", "a=sendonly"), hold, allowed=(PCMU,))
    back, _ = answer(body("m=audio 4000 RTP/AVP 0"), again, allowed=(PCMU,))
    assert [local.version for local in (first, hold, again, back)] == [1, 2, 2, 3]
    assert back == offer_again(back, (PCMU,))
    assert offer_again(back, (PCMU, PCMA)).version == 4


def test_a_new_offer_gets_only_codecs_that_the_call_has() -> None:
    local, _ = answer(body("m=audio 4000 RTP/AVP 8 0 9"), ours(), allowed=(PCMU,))
    assert local.codecs == (PCMU,)
    with pytest.raises(NothingInCommon):
        answer(body("m=audio 4000 RTP/AVP 8"), ours(), allowed=(PCMU,))


def test_the_answer_says_our_own_parameters_of_a_codec() -> None:
    offered = body("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-11")
    local, _ = answer(offered, ours(), allowed=DEFAULT_CODECS)
    assert local.codecs == (PCMU, TELEPHONE_EVENT)


def test_other_streams_are_refused_in_their_places_and_stay_so() -> None:
    offered = body(
        "m=video 5000 RTP/AVP 96",
        "m=audio 4000 RTP/AVP 0",
        "m=audio 4004 RTP/AVP 0",
        "m=image 5002 udptl t38",
        "m=audio 4008 RTP/SAVP 0",
    )
    local, _ = answer(offered, ours(), allowed=DEFAULT_CODECS)
    written = parse(local.sdp())
    assert [(media.kind, media.port) for media in written.media] == [
        ("video", 0),
        ("audio", 20000),
        ("audio", 0),
        ("image", 0),
        ("audio", 0),
    ]
    assert written.media[3].formats == ("t38",)
    taken = read_answer(offered, local)
    assert taken.port == 4000


@pytest.mark.parametrize(
    "media",
    ["m=audio 4000 RTP/SAVP 0", "m=audio 4000 UDP/TLS/RTP/SAVPF 0", "m=audio 0 RTP/AVP 0", "m=video 9 RTP/AVP 0"],
)
def test_an_offer_without_plain_audio_has_nothing_in_common(media: str) -> None:
    with pytest.raises(NothingInCommon):
        answer(body(media), ours(), allowed=DEFAULT_CODECS)


def test_audio_without_an_address_is_malformed() -> None:
    with pytest.raises(SdpError, match="c="):
        read_answer(b"v=0\r\no=- 5 5 IN IP4 192.0.2.7\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n", ours())


@pytest.mark.parametrize("address", ["media.example.com", "/127", "10.0.0", "::g", "1.2.3.4.5"])
def test_audio_to_a_name_is_malformed_since_the_relay_sends_to_addresses_alone(address: str) -> None:
    with pytest.raises(SdpError):
        read_answer(body("m=audio 4000 RTP/AVP 0", address=address), ours())
    with pytest.raises(SdpError):
        answer(body("m=audio 4000 RTP/AVP 0", address=address), ours(), allowed=DEFAULT_CODECS)


def test_legs_agree_when_each_takes_what_the_other_sends() -> None:
    def remote(*codecs: Codec) -> Remote:
        return Remote("192.0.2.7", 4000, codecs)

    assert agree(remote(PCMU, TELEPHONE_EVENT), remote(PCMU))
    assert agree(remote(PCMU, PCMA), remote(PCMA, PCMU))
    assert not agree(remote(PCMU, PCMA), remote(PCMA))


POOL = (PCMU, PCMA, G722, TELEPHONE_EVENT, Codec(96, "opus", 48000, 2), Codec(96, "iLBC", 8000))


@given(
    st.lists(st.sampled_from(POOL), min_size=1, unique_by=lambda codec: codec.payload_type),
    st.lists(st.sampled_from(POOL), min_size=1, unique_by=lambda codec: codec.payload_type),
    st.sampled_from(Direction),
)
def test_an_answer_never_holds_more_than_offer_and_call_have(
    offered: list[Codec], allowed: list[Codec], direction: Direction
) -> None:
    peer = Local(1, "192.0.2.7", 4000, tuple(offered), direction=direction)
    common = [codec for codec in offered if codec in allowed]
    if all(codec.is_event for codec in common):
        with pytest.raises(NothingInCommon):
            answer(peer.sdp(), ours(), allowed=allowed)
        return
    local, remote = answer(peer.sdp(), ours(), allowed=allowed)
    assert list(local.codecs) == common == list(remote.codecs)
    assert (local.host, local.port, local.session_id) == ("198.51.100.1", 20000, 7)
    assert read_answer(local.sdp(), peer).direction is direction.mirrored


def test_what_a_leg_may_have_of_codecs() -> None:
    offered = (PCMA, PCMU, TELEPHONE_EVENT)
    assert permitted(offered, pcmu_only=False) == offered
    assert permitted(offered, pcmu_only=True) == (PCMU, TELEPHONE_EVENT)
    assert not carries_sound(permitted((PCMA, TELEPHONE_EVENT), pcmu_only=True))
