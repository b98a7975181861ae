"""When a dial rule holds: days of the week, dates and times of day, in the time zone of who calls (contract §4).

Days: `*`; digits 0 to 7 (0 and 7 are Sunday), one after the other or with commas; names (`mon`, `Monday`); ranges
(`1-5`, `mon-fri`). Times of day: `HH:MM` or `HH:MM:SS`, from the start up to and without the end; `23:59` and
`23:59:59` as an end mean the end of the day. An end before the start is on the next day, and what is after midnight
then counts as the day on which the window opened. Dates: a date alone, or with the time 00:00:00, is the whole day in
that zone, the last one too; with another time it is that instant, in UTC unless it names its offset (contract §1).

Times are those that a clock on the wall shows, so that daylight saving moves no window: in the hour that comes twice a
window holds twice, and one inside the hour that is left out does not hold on that day.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ringbridge.model.directory import DialRule

ANY: Final = "*"
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EVERY_DAY: Final = frozenset(range(7))
MIDNIGHT: Final = time()
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?")
_DAY_PART: Final = re.compile(r"([0-9]+|[a-z]+)(?:-([0-9]|[a-z]+))?")


class Window(msgspec.Struct, frozen=True):
    """When a rule holds. `days` are those of `datetime.weekday`; equal times are the whole day."""

    days: frozenset[int] = EVERY_DAY
    starts: time = MIDNIGHT
    ends: time = MIDNIGHT
    first: date | datetime | None = None
    last: date | datetime | None = None

    def closed_by(self, now: datetime) -> str | None:
        """Return what keeps the rule from holding at the local time `now`, or None where it holds."""
        if self.first is not None and _is_before(now, self.first):
            return f"holds from {self.first} on"
        if self.last is not None and _is_after(now, self.last):
            return f"held until {self.last}"
        day, clock = now.weekday(), now.time()
        if self.starts < self.ends:
            in_time = self.starts <= clock < self.ends
        elif self.starts > self.ends:
            in_time = clock >= self.starts or clock < self.ends
            if clock < self.ends:
                day = (day - 1) % 7
        else:
            in_time = True
        if not in_time:
            return f"holds from {self.starts} to {self.ends}"
        return None if day in self.days else f"does not hold on {DAYS[day].capitalize()}"


def _is_before(now: datetime, first: date | datetime) -> bool:
    return now < first if isinstance(first, datetime) else now.date() < first


def _is_after(now: datetime, last: date | datetime) -> bool:
    return now > last if isinstance(last, datetime) else now.date() > last


def local_time(at: float, zone: tzinfo) -> datetime:
    """Return what a clock in `zone` shows at `at`, epoch seconds."""
    return datetime.fromtimestamp(at, zone)


def zone_of(names: Iterable[str]) -> tzinfo:
    """Return the first of the IANA time zones `names` that there is; UTC without one."""
    return next((zone for name in names if (zone := _zone(name)) is not None), UTC)


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _day(word: str) -> int:
    """Return the weekday that a digit or a name means.

    Raises:
        ValueError: it means none.
    """
    if word.isdigit():
        if len(word) > 1 or word > "7":
            raise ValueError("must name days as 0 to 7, 0 and 7 being Sunday")
        return (int(word) - 1) % 7
    found = [number for number, name in enumerate(DAYS) if name.startswith(word)] if len(word) > 1 else []
    if len(found) != 1:
        raise ValueError("must name days as mon, tue, wed, thu, fri, sat, sun")
    return found[0]


def read_days(text: str) -> frozenset[int]:
    """Return the days of the week that `text` names.

    Raises:
        ValueError: it names something else.
    """
    text = text.strip().lower()
    if text in ("", ANY):
        return EVERY_DAY
    days: set[int] = set()
    for part in re.split(r"[,;\s]+", re.sub(r"\s*-\s*", "-", text)):
        found = _DAY_PART.fullmatch(part)
        if found is None:
            raise ValueError("must be days of the week, such as 1-5 or mon,wed")
        first, last = found.groups()
        if last is None:
            days |= {_day(one) for one in first} if first.isdigit() else {_day(first)}
        else:
            start = _day(first)
            days |= {(start + step) % 7 for step in range((_day(last) - start) % 7 + 1)}
    return frozenset(days)


def read_time(text: str, *, is_end: bool) -> time:
    """Return a time of day; midnight for `*`, and for an end that means the end of the day.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if text in ("", ANY):
        return MIDNIGHT
    found = _TIME.fullmatch(text)
    if found is None or (found[1] == "24" and (found[2], found[3] or "00") != ("00", "00")):
        raise ValueError("must be a time of day, HH:MM or HH:MM:SS")
    if found[1] == "24" or (is_end and text in ("23:59", "23:59:59")):
        return MIDNIGHT
    return time(int(found[1]), int(found[2]), int(found[3] or 0))


def read_date(text: str) -> date | datetime | None:
    """Return a date, or an instant where it has a time of day; None for none.

    Raises:
        ValueError: it is neither.
    """
    text = text.strip()
    if text in ("", ANY):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("must be a date, or a date and time") from error
    if found.time() == MIDNIGHT:
        return found.date()
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@lru_cache(maxsize=4096)
def _window(days: str, start: str, end: str, first: str, last: str) -> Window | str | None:
    """Return the window of these texts, None where they leave everything open, or what is wrong with them."""
    try:
        window = Window(
            read_days(days),
            read_time(start, is_end=False),
            read_time(end, is_end=True),
            read_date(first),
            read_date(last),
        )
    except ValueError as wrong:
        return str(wrong)
    return None if window == Window() else window


def window_of(rule: DialRule) -> Window | str | None:
    """Return when `rule` holds; None: always; a text: what in it cannot be read, so that it never does."""
    return _window(
        rule.dial_rule_matching_day_of_week,
        rule.dial_rule_matching_start_time,
        rule.dial_rule_matching_end_time,
        rule.dial_rule_matching_start_date,
        rule.dial_rule_matching_end_date,
    )


def check_days(text: str) -> str | None:
    """Return what is wrong with days of the week, or None."""
    return _wrong(lambda: read_days(text))


def check_time(text: str) -> str | None:
    """Return what is wrong with a time of day, or None."""
    return _wrong(lambda: read_time(text, is_end=True))


def check_date(text: str) -> str | None:
    """Return what is wrong with a date, or None."""
    return _wrong(lambda: read_date(text))


def _wrong(read: Callable[[], object]) -> str | None:
    try:
        read()
    except ValueError as wrong:
        return str(wrong)
    return None
