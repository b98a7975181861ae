from array import array
from pathlib import Path
from random import Random

import pytest

from ringbridge.media.g711 import decode
from ringbridge.media.tones import sine
from ringbridge.phone.audio import FRAME_SAMPLES, frames, heard_tones, hears, read_wav, tone_frames, write_wav


@pytest.mark.parametrize("law", [0, 8])
@pytest.mark.parametrize("hertz", [300, 425, 440, 697, 1000, 1633])
def test_a_tone_is_found_where_it_was_put(law: int, hertz: int) -> None:
    ready = tone_frames(hertz, law)
    heard = decode(b"".join(ready * (10 // len(ready) + 1)), law)
    (tone,) = heard_tones(heard)
    assert abs(tone.frequency_hz - hertz) <= 5
    assert tone.share > 0.85
    assert -13.5 < tone.level_db < -11.5


@pytest.mark.parametrize(("hertz", "count"), [(450, 1), (400, 1), (440, 5), (1001, 50)])
def test_frames_of_a_tone_repeat_without_a_click(hertz: int, count: int) -> None:
    ready = tone_frames(hertz, 0)
    assert len(ready) == count
    assert {len(frame) for frame in ready} == {FRAME_SAMPLES}
    continued = sine((hertz,), (count + 1) * FRAME_SAMPLES)[-FRAME_SAMPLES:]
    assert max(abs(a - b) for a, b in zip(decode(ready[0], 0), continued, strict=True)) < 400


def test_tones_that_sound_together_are_told_apart() -> None:
    found = heard_tones(sine((440, 480), 1600))
    assert sorted(tone.frequency_hz for tone in found) == [440, 480]
    assert hears(sine((440, 480), 1600), 480)
    assert not hears(sine((440, 480), 1600), 425)


def test_only_the_last_tenth_of_a_second_counts() -> None:
    assert [tone.frequency_hz for tone in heard_tones(sine((600,), 8000) + sine((900,), 800))] == [900]


def test_silence_and_noise_are_no_tone() -> None:
    rng = Random(1)
    assert heard_tones(array("h", bytes(1600))) == ()
    assert heard_tones(array("h")) == ()
    assert heard_tones(array("h", [rng.randint(-8000, 8000) for _ in range(800)])) == ()


def test_tones_beyond_a_telephone_are_refused() -> None:
    with pytest.raises(ValueError, match="Hz"):
        tone_frames(4000, 0)


def test_the_last_frame_is_filled_with_silence() -> None:
    assert frames([0] * 161, 0)[1] == b"\xff" * FRAME_SAMPLES
    assert frames([], 0) == ()


def test_a_recording_reads_back(tmp_path: Path) -> None:
    samples = sine((440,), 1234)
    write_wav(tmp_path / "a.wav", samples)
    assert read_wav(tmp_path / "a.wav") == samples


@pytest.mark.parametrize("content", [b"", b"RIFFxxxx", b"hello world, this is no sound at all"])
def test_what_is_no_wav_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.wav"):
        read_wav(path)
