"""Date-times of the API (contract §1)."""

from __future__ import annotations

import pytest

from ringbridge.model.times import epoch_s, instant_text

NOON = 1_795_521_600.0


@pytest.mark.parametrize(
    "text",
    ["2026-11-24 12:00:00", "2026-11-24T12:00:00Z", "2026-11-24T13:00:00+01:00", "2026-11-24T12:00:00.000+00:00"],
)
def test_both_forms_are_read(text: str) -> None:
    assert epoch_s(text) == NOON


@pytest.mark.parametrize(
    "text", ["", "2026-11-24", "2026-13-01 00:00:00", "0001-01-01T00:00:00Z", "9999-12-31 23:59:59", "soon"]
)
def test_anything_else_is_none(text: str) -> None:
    assert epoch_s(text) is None


def test_told_with_offset() -> None:
    assert instant_text(NOON) == "2026-11-24T12:00:00+00:00"
    assert instant_text(0) == ""
