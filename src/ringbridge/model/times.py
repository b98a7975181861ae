"""Date-times of the API: `YYYY-MM-DD HH:MM:SS` in UTC or RFC 3339 come in, RFC 3339 goes out (contract §1)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?")

LAST: Final = 253_370_764_800.0
"""The year 9999, which not every offset can show."""


def epoch_s(text: str) -> float | None:
    """Return the date-time `text` in epoch seconds, or None where it is none of the years 1970 to 9998."""
    if not INSTANT.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return at if 0 < at < LAST else None


def instant_text(at: float) -> str:
    """Return epoch seconds as RFC 3339 with offset; empty for 0, which stands for never."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at else ""
