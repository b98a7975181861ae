"""What is known of a number: its country, its kind, whether it is dear."""

from __future__ import annotations

import gc

import pytest

from ringbridge.model.number_facts import facts_of, is_region


@pytest.mark.parametrize(
    ("number", "home", "e164", "region"),
    [
        ("+4531234567", "", "+4531234567", "DK"),
        ("4531234567", "", "+4531234567", "DK"),
        ("004531234567", "", "+4531234567", "DK"),
        ("0114531234567", "US", "+4531234567", "DK"),
        ("0114531234567", "", "+4531234567", "DK"),
        ("31234567", "DK", "+4531234567", "DK"),
        ("4531234567", "US", "+4531234567", "DK"),
        ("2125550199", "US", "+12125550199", "US"),
        ("+12425021234", "", "+12425021234", "BS"),
        ("08912345678", "DE", "+498912345678", "DE"),
        ("31234567", "", "31234567", ""),
        ("1002", "DK", "1002", ""),
        ("+7112345678", "", "+7112345678", ""),
        ("*97", "", "*97", ""),
        ("anonymous", "", "anonymous", ""),
        ("+4531234567", "Atlantis", "+4531234567", "DK"),
    ],
)
def test_a_number_belongs_to_a_country(number: str, home: str, e164: str, region: str) -> None:
    facts = facts_of(number, home)
    assert (facts.number, facts.region) == (e164, region)


@pytest.mark.parametrize(
    ("number", "home", "dear"),
    [
        ("+19005550123", "", "premium-rate"),
        ("+4590123456", "", "premium-rate"),
        ("+447012345678", "", "personal"),
        ("+881612345678", "", "satellite"),
        ("00881612345678", "", "satellite"),
        ("+8835100012345", "", "network without a country"),
        ("+4531234567", "", ""),
        ("+18005550199", "", ""),
    ],
)
def test_a_number_may_be_dear_by_itself(number: str, home: str, dear: str) -> None:
    kind = facts_of(number, home).dear_kind
    assert dear in kind
    assert bool(kind) is bool(dear)


def test_a_country_may_be_dear() -> None:
    assert facts_of("+5352345678").is_dear_region
    assert not facts_of("+4531234567").is_dear_region


def test_a_number_may_be_free() -> None:
    assert facts_of("+18005550199").is_free
    assert facts_of("80012345", "DK").is_free
    assert not facts_of("+4531234567").is_free


@pytest.mark.parametrize(
    ("number", "home", "emergency"),
    [("112", "DK", True), ("911", "US", True), ("911", "", True), ("112", "", True), ("113", "", False)],
)
def test_a_call_for_help_is_known(number: str, home: str, *, emergency: bool) -> None:
    assert facts_of(number, home).is_emergency is emergency


def test_a_longer_number_is_no_call_for_help() -> None:
    assert not facts_of("1121234567", "DK").is_emergency


def test_regions_are_iso_codes() -> None:
    assert is_region("DK")
    assert not is_region("dk")
    assert not is_region("XX")
    assert not is_region("")


@pytest.mark.parametrize("number", ["00000005", "+999123", "12"])
def test_a_number_of_no_country_leaves_nothing_to_the_garbage_collector(number: str) -> None:
    # The library's exceptions hold their own frames; at hundreds a second the collector would stop everything for long.
    gc.collect()
    for home in ("", "DK"):
        facts_of.__wrapped__(number, home)
    assert gc.collect() == 0
