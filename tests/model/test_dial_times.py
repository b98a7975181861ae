"""When dial rules hold: days, dates and times of day, in the time zone of who calls."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ringbridge.model.dial_times import Window, local_time, read_date, read_days, read_time, window_of, zone_of
from ringbridge.model.directory import DialRule
from tests.calls.samples import DOMAIN

COPENHAGEN = "Europe/Copenhagen"
NEW_YORK = "America/New_York"
MONDAY, FRIDAY, SATURDAY = "2026-11-23", "2026-11-27", "2026-11-28"


def window(
    *, days: str = "*", start: str = "*", end: str = "*", first: str = "", last: str = ""
) -> Window | str | None:
    return window_of(
        DialRule(
            domain=DOMAIN,
            dial_rule_dial_plan=DOMAIN,
            dialrule="r",
            dail_rule_matching_to_uri="*",
            dial_rule_matching_day_of_week=days,
            dial_rule_matching_start_time=start,
            dial_rule_matching_end_time=end,
            dial_rule_matching_start_date=first,
            dial_rule_matching_end_date=last,
        )
    )


def is_open(at: str, zone: str = COPENHAGEN, **fields: str) -> bool:
    """Return whether a rule holds at `at`: a local time, or an instant with its offset."""
    moment = datetime.fromisoformat(at)
    here = ZoneInfo(zone)
    local = moment.astimezone(here) if moment.tzinfo else moment.replace(tzinfo=here)
    found = window(**fields)
    assert not isinstance(found, str), found
    return found is None or found.closed_by(local) is None


def test_a_rule_that_says_nothing_of_time_always_holds() -> None:
    assert window() is None
    assert window(days="", start="", end="") is None
    assert window(days="0-6", start="00:00", end="24:00") is None


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("*", {0, 1, 2, 3, 4, 5, 6}),
        ("1", {0}),
        ("0", {6}),
        ("7", {6}),
        ("12345", {0, 1, 2, 3, 4}),
        ("1,3,5", {0, 2, 4}),
        ("1-5", {0, 1, 2, 3, 4}),
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("Monday, Wed", {0, 2}),
        ("sat sun", {5, 6}),
        ("fri - mon", {4, 5, 6, 0}),
        ("6-7", {5, 6}),
        ("thu", {3}),
    ],
)
def test_days_are_named_in_many_ways(text: str, days: set[int]) -> None:
    assert read_days(text) == days


@pytest.mark.parametrize("text", ["8", "1-9", "noday", "t", "1-", "-", "mon-", ",", "10-12"])
def test_days_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        read_days(text)


@pytest.mark.parametrize("text", ["25:00", "24:01", "8", "08:60", "8h", "08:00:61", "noon"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time of day"):
        read_time(text, is_end=False)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "24.12.2026"])
def test_dates_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be a date"):
        read_date(text)


@pytest.mark.parametrize(
    ("at", "opens"),
    [("08:59:59", False), ("09:00:00", True), ("16:59:59", True), ("17:00:00", False), ("00:00:00", False)],
)
def test_a_window_ends_before_its_end(at: str, *, opens: bool) -> None:
    assert is_open(f"{MONDAY}T{at}", start="09:00", end="17:00") is opens


@pytest.mark.parametrize("end", ["23:59", "23:59:59", "24:00", "00:00", "*"])
def test_a_window_lasts_to_the_end_of_the_day(end: str) -> None:
    assert is_open(f"{MONDAY}T23:59:59", start="18:00", end=end)
    assert not is_open(f"{MONDAY}T17:59", start="18:00", end=end)


def test_a_window_over_midnight_counts_as_the_day_it_opened() -> None:
    night = {"days": "5", "start": "22:00", "end": "02:00"}
    assert is_open(f"{FRIDAY}T23:00", **night)
    assert is_open(f"{SATURDAY}T01:59", **night)
    assert not is_open(f"{FRIDAY}T01:59", **night)
    assert not is_open(f"{SATURDAY}T23:00", **night)


def test_days_are_those_of_the_zone() -> None:
    assert is_open("2026-11-23T02:00:00+00:00", NEW_YORK, days="sun")
    assert is_open("2026-11-23T02:00:00+00:00", COPENHAGEN, days="mon")


@pytest.mark.parametrize("day", ["2026-12-24", "2026-12-24 00:00:00", "2026-12-24T00:00:00+00:00"])
def test_a_date_is_a_whole_day_of_the_zone(day: str) -> None:
    for zone in (COPENHAGEN, NEW_YORK):
        assert is_open("2026-12-24T00:00:00", zone, first=day, last=day)
        assert is_open("2026-12-24T23:59:59", zone, first=day, last=day)
        assert not is_open("2026-12-23T23:59:59", zone, first=day, last=day)
        assert not is_open("2026-12-25T00:00:00", zone, first=day, last=day)


def test_a_date_with_a_time_is_an_instant() -> None:
    assert is_open("2026-12-24T12:00:00+00:00", first="2026-12-24 12:00:00")
    assert not is_open("2026-12-24T11:59:59+00:00", first="2026-12-24 12:00:00")
    assert not is_open("2026-12-24T12:00:00+00:00", last="2026-12-24T12:00:00+01:00")


def test_daylight_saving_moves_no_window() -> None:
    office = {"start": "09:00", "end": "17:00"}
    assert is_open("2026-01-15T08:00:00+00:00", **office)  # winter: UTC+1
    assert not is_open("2026-01-15T07:59:59+00:00", **office)
    assert is_open("2026-07-15T07:00:00+00:00", **office)  # summer: UTC+2
    assert not is_open("2026-07-15T15:00:00+00:00", **office)


def test_an_hour_that_comes_twice_is_in_the_window_twice() -> None:
    at_half_past_two = {"start": "02:00", "end": "03:00"}
    assert is_open("2026-10-25T00:30:00+00:00", **at_half_past_two)
    assert is_open("2026-10-25T01:30:00+00:00", **at_half_past_two)
    assert not is_open("2026-10-25T02:00:00+00:00", **at_half_past_two)


def test_an_hour_that_is_left_out_is_in_no_window() -> None:
    minutes = [f"2026-03-29T{hour:02}:{minute:02}:00+00:00" for hour in (0, 1) for minute in range(60)]
    assert not any(is_open(at, start="02:00", end="03:00") for at in minutes)


def test_what_cannot_be_read_is_said() -> None:
    assert "days" in str(window(days="noday"))
    assert "time of day" in str(window(start="9"))
    assert "date" in str(window(first="soon"))


def test_the_first_zone_that_there_is_counts() -> None:
    assert zone_of(["", "Nowhere/Else", "../../etc/passwd", "Europe", COPENHAGEN]) == ZoneInfo(COPENHAGEN)
    assert zone_of(["", "Mars/Phobos"]) is UTC
    assert local_time(1_782_000_000.0, zone_of([COPENHAGEN])).utcoffset() is not None
