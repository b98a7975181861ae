import pytest

from ringbridge.media.tones import PEAK, RINGBACK, cadence, sine
from ringbridge.phone.audio import heard_tones


@pytest.mark.parametrize("name", RINGBACK)
def test_ringback_sounds_and_pauses_as_its_table_says(name: str) -> None:
    tone = RINGBACK[name]
    samples = cadence(tone)
    assert len(samples) == round(8000 * sum(tone.on_off_s))
    start = 0
    for index, seconds in enumerate(tone.on_off_s):
        part = samples[start : start + round(8000 * seconds)]
        start += len(part)
        heard = sorted(round(found.frequency_hz) for found in heard_tones(part))
        assert heard == (list(tone.frequencies_hz) if index % 2 == 0 else [])


def test_a_tone_stays_below_its_peak() -> None:
    assert PEAK // 2 < max(sine((440, 480), 4000)) <= PEAK
