"""API keys as text (contract §2)."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.model.keys import ALPHABET, PREFIXES, hash_of, is_well_formed, key_id_of, make_key, matches, prefix_for

RANDOM = st.text(ALPHABET, min_size=48, max_size=48)


@given(prefix=st.sampled_from(sorted(PREFIXES)), random_part=RANDOM)
def test_a_key_is_sixty_characters_with_a_checksum(prefix: str, random_part: str) -> None:
    key = make_key(prefix, random_part)
    assert len(key) == 60
    assert int(key[52:], 16) == zlib.crc32(key[:52].encode())
    assert is_well_formed(key)
    assert key_id_of(key) == random_part[:12]
    assert matches(key, hash_of(key))


@given(random_part=RANDOM, place=st.integers(0, 59), other=st.sampled_from(ALPHABET + "_é"))
def test_one_wrong_character_is_seen(random_part: str, place: int, other: str) -> None:
    key = make_key("nsu_", random_part)
    wrong = key[:place] + other + key[place + 1 :]
    assert is_well_formed(wrong) is (wrong == key)
    assert matches(wrong, hash_of(key)) is (wrong == key)


@given(st.text(max_size=70))
def test_no_text_breaks_the_check(text: str) -> None:
    assert is_well_formed(text) in (True, False)


def test_the_prefix_tells_what_a_key_is_for() -> None:
    assert prefix_for(domain="*", user="*", reseller="*") == "nss_"
    assert prefix_for(domain="*", user="*", reseller="acme") == "nsr_"
    assert prefix_for(domain="demo", user="*", reseller="*") == "nsd_"
    assert prefix_for(domain="demo", user="1001", reseller="*") == "nsu_"


@pytest.mark.parametrize(("prefix", "random_part"), [("abc_", "a" * 48), ("nsu_", "a" * 47), ("nsu_", "-" * 48)])
def test_no_other_keys_are_made(prefix: str, random_part: str) -> None:
    with pytest.raises(ValueError, match="a key is"):
        make_key(prefix, random_part)
