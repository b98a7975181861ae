"""Tables as text: widths, what is cut, and what a terminal must not obey."""

import io

import pytest

from ringbridge.cli.tables import Column, cut, field, lasting, local_time, table_lines, text_of, width_of
from ringbridge.cli.terminal import Style, Terminal

PLAIN = Terminal(io.StringIO())
COLUMNS = (field("NAME", "name", "number"), field("N", "n", is_right=True), field("LAST", "last"))


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    items: list[dict[str, object]] = [{"name": "Ada", "n": 7, "last": "x"}, {"number": 4570101010, "n": 12}]
    assert table_lines(PLAIN, COLUMNS, items) == [
        "NAME         N  LAST",
        "Ada          7  x",
        "4570101010  12  -",
    ]


def test_wide_and_combining_characters_take_the_cells_that_a_terminal_gives_them() -> None:
    assert [width_of(text) for text in ("Ada", "日本", "e\u0301")] == [3, 4, 1]
    assert table_lines(PLAIN, COLUMNS[:2], [{"name": "日本", "n": 1}, {"name": "Adam", "n": 2}])[1:] == [
        "日本  1",
        "Adam  2",
    ]


def test_a_name_cannot_steer_the_terminal() -> None:
    [_, line] = table_lines(PLAIN, COLUMNS[:1], [{"name": "\x1b[2J\u202eAda\n"}])
    assert line.isprintable()
    assert "Ada" in line


def test_a_narrow_terminal_gets_the_first_columns_and_an_ellipsis() -> None:
    items: list[dict[str, object]] = [{"name": "Lovelace", "n": 12, "last": "a long end"}]
    assert table_lines(PLAIN, COLUMNS, items, width=16)[1] == "Lovelace  12  a…"
    assert table_lines(PLAIN, COLUMNS, items, width=6)[1] == "Lovel…"
    assert (cut("ab", 2), cut("abc", 2), cut("abc", 0)) == ("ab", "a…", "")


def test_states_are_coloured_on_a_terminal_alone() -> None:
    terminal = Terminal(io.StringIO())
    column = Column(
        "STATE", lambda item: text_of(item, "state"), styles=lambda text: Style.GREEN if text == "up" else None
    )
    assert table_lines(terminal, [column], [{"state": "up"}]) == ["STATE", "up"]
    terminal.is_tty = True
    assert table_lines(terminal, [column], [{"state": "up"}, {"state": "down"}])[1:] == ["\x1b[32mup\x1b[0m", "down"]


@pytest.mark.parametrize(("seconds", "expected"), [(0, "0:00"), (61.9, "1:01"), (3600, "1:00:00"), (-1, "0:00")])
def test_durations(seconds: float, expected: str) -> None:
    assert lasting(seconds) == expected


def test_what_is_no_time_stays_as_it_is() -> None:
    assert local_time("") == ""
    assert local_time("soon") == "soon"
    assert local_time("2026-11-24T13:00:00+00:00").startswith("2026-11-2")
