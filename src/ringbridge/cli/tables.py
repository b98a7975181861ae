"""Tables of a terminal: columns as wide as what is in them, and no text from outside that could steer the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from ringbridge.cli.terminal import Style, Terminal

Item: TypeAlias = dict[str, object]
"""One resource as the API answers it."""

GAP: Final = "  "
NOTHING: Final = "-"
STATE_STYLES: Final = {
    "connected": Style.GREEN,
    "held": Style.CYAN,
    "orig-ringing": Style.YELLOW,
    "term-ringing": Style.YELLOW,
    "ended": Style.DIM,
    "registered": Style.GREEN,
    "unregistered": Style.DIM,
    "completed": Style.GREEN,
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what its head says, and the text of a cell."""

    title: str
    value: Callable[[Item], str]
    is_right: bool = False
    styles: Callable[[str], Style | None] = lambda _: None


def field(title: str, *names: str, is_right: bool = False) -> Column:
    """Return a column of the first of the fields that has something in it."""
    return Column(title, lambda item: text_of(item, *names), is_right)


def state(title: str, name: str) -> Column:
    """Return a column of states, coloured."""
    return Column(title, lambda item: text_of(item, name), styles=STATE_STYLES.get)


def moment(title: str, name: str) -> Column:
    """Return a column of times, as the clock on this machine's wall shows them."""
    return Column(title, lambda item: local_time(text_of(item, name)))


def text_of(item: Item, *names: str) -> str:
    """Return the first of the fields that has something in it, as text; empty where none has."""
    for name in names:
        value = item.get(name)
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        if value not in (None, ""):
            return str(value)
    return ""


def local_time(text: str) -> str:
    """Return an RFC 3339 time in the time zone of this machine, to the second; what is none as it is."""
    at = instant(text)
    return text if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def instant(text: str) -> datetime | None:
    """Return the time that a text of the API names; None where it names none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def lasting(seconds: float) -> str:
    """Return seconds as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def clean(text: str) -> str:
    """Return `text` with a mark for each character that a terminal would obey, not show."""
    return (
        text
        if text.isprintable()
        else "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    )


def width_of(text: str) -> int:
    """Return how many cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def cut(text: str, width: int) -> str:
    """Return as much of `text` as fits into `width` cells, with an ellipsis where something is left out."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) > width - 1:
        text = text[:-1]
    return f"{text}…" if width > 0 else ""


def table_lines(
    terminal: Terminal, columns: Sequence[Column], items: Iterable[Item], *, width: int | None = None
) -> list[str]:
    """Return the lines of a table, its head first; the last columns are cut where it is wider than `width` cells."""
    rows = [[clean(column.value(item)) or NOTHING for column in columns] for item in items]
    widths = [
        max(len(column.title), *(width_of(row[place]) for row in rows)) if rows else len(column.title)
        for place, column in enumerate(columns)
    ]
    lines = [_line(terminal, columns, widths, [(column.title, Style.DIM) for column in columns], width)]
    for row in rows:
        cells = [(text, column.styles(text)) for text, column in zip(row, columns, strict=True)]
        lines.append(_line(terminal, columns, widths, cells, width))
    return lines


def _line(
    terminal: Terminal,
    columns: Sequence[Column],
    widths: Sequence[int],
    cells: Sequence[tuple[str, Style | None]],
    width: int | None,
) -> str:
    parts: list[str] = []
    left = 10**9 if width is None else width
    for place, ((text, style), column, wide) in enumerate(zip(cells, columns, widths, strict=True)):
        if left <= 0:
            break
        shown = cut(text, min(wide, left))
        padding = " " * (min(wide, left) - width_of(shown))
        styled = terminal.style(shown, *([] if style is None else [style]))
        is_last = place == len(columns) - 1
        parts.append(padding + styled if column.is_right else styled if is_last else styled + padding)
        left -= wide + len(GAP)
    return GAP.join(parts)


def write_table(terminal: Terminal, columns: Sequence[Column], items: Iterable[Item]) -> None:
    """Write a table."""
    for line in table_lines(terminal, columns, items):
        terminal.line(line)


def write_fields(terminal: Terminal, pairs: Iterable[tuple[str, str]]) -> None:
    """Write names and values below each other; those without a value are left out."""
    shown = [(name, clean(value)) for name, value in pairs if value]
    wide = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        terminal.line(f"{terminal.style(f'{name:<{wide}}', Style.DIM)}{GAP}{value}")
