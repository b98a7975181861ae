"""Marks: ids of events that any node understands."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.model.event_marks import MARK_PATTERN, Mark, parse_mark, tag_of

TAG = tag_of(["made at noon"])


@given(st.lists(st.integers(0, 36**13 - 1), min_size=1, max_size=16))
def test_a_mark_is_read_back_as_it_was_written(positions: list[int]) -> None:
    mark = Mark(TAG, tuple(positions))
    assert parse_mark(mark.text) == mark
    assert re.search(MARK_PATTERN, mark.text)


@pytest.mark.parametrize("text", ["", "7", "zzzzzzzz-1.2", f"{TAG}-", f"{TAG}-1..2", f"{TAG}-1.A", f"{TAG}-1\n"])
def test_what_is_no_mark_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no id of an event"):
        parse_mark(text)


def test_it_moves_on_in_the_stream_of_a_message_alone() -> None:
    mark = Mark(TAG, (8, 1, 2))
    assert mark.passing(13).positions == (8, 13, 2)
    assert mark.passing(3) is mark
    assert [mark.has(position) for position in (6, 7, 9)] == [True, False, False]
    assert mark.joined(Mark(TAG, (3, 4, 5))).positions == (8, 4, 5)


def test_it_reaches_what_no_stream_of_it_is_before() -> None:
    floor = Mark(TAG, (8, 1))
    assert Mark(TAG, (8, 1)).reaches(floor)
    assert Mark(TAG, (80, 11)).reaches(floor)
    assert not Mark(TAG, (6, 11)).reaches(floor)
    assert not Mark(tag_of(["made again"]), (80, 11)).reaches(floor)
    assert not Mark(TAG, (80, 11, 2)).reaches(floor)


def test_streams_that_were_made_again_have_another_tag() -> None:
    assert tag_of(["1", "2"]) == tag_of(["1", "2"])
    assert len({tag_of(["1", "2"]), tag_of(["1", "3"]), tag_of(["12", ""])}) == 3
