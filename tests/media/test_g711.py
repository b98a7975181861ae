import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.media.g711 import SILENCE, decode, encode

LAWS = pytest.mark.parametrize("law", [0, 8])
SAMPLES = st.lists(st.integers(-32768, 32767), max_size=200)


@LAWS
def test_values_of_the_recommendation(law: int) -> None:
    known = {
        0: {0xFF: 0, 0x80: 32124, 0x00: -32124, 0xF0: 120, 0xEF: 132},
        8: {0xD5: 8, 0x55: -8, 0xAA: 32256, 0x2A: -32256, 0xC5: 264},
    }[law]
    assert list(decode(bytes(known), law)) == list(known.values())


@LAWS
def test_every_byte_survives_decoding_and_encoding(law: int) -> None:
    for byte in range(256):
        same = 0xFF if (law, byte) == (0, 0x7F) else byte  # µ-law has two zeros
        assert encode(decode(bytes([byte]), law), law) == bytes([same])


@LAWS
@given(samples=SAMPLES)
def test_coding_keeps_every_sample_within_its_step(law: int, samples: list[int]) -> None:
    for before, after in zip(samples, decode(encode(samples, law), law), strict=True):
        assert abs(after - before) <= max(abs(before) // 16, 16) + (644 if abs(before) > 32000 else 0)


@LAWS
def test_silence_is_next_to_nothing(law: int) -> None:
    assert abs(decode(SILENCE[law], law)[0]) <= 8


def test_other_codecs_are_not_taken() -> None:
    with pytest.raises(KeyError):
        encode([0], 9)
