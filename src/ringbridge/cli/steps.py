"""A call's steps as lines of a terminal: one wording and one layout for `call` and `demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringbridge.cli.terminal import Style, Terminal

if TYPE_CHECKING:
    from ringbridge.cli.client import Rung

HEADING = f"{'ms':>9}  {'leg':<11}  {'step':<11}  detail"

_WORDS = {
    "requested": "request",
    "claimed": "claimed",
    "invite": "INVITE",
    "ringing": "180",
    "answered": "200",
    "ack": "ACK",
    "joined": "joined",
    "held": "held",
    "released": "released",
    "ended": "ended",
}
_STYLES = {
    "180": (Style.YELLOW,),
    "200": (Style.GREEN,),
    "joined": (Style.GREEN, Style.BOLD),
    "first audio": (Style.CYAN,),
    "tone": (Style.CYAN,),
    "ended": (Style.BOLD,),
    "CDR": (Style.BOLD,),
    "missing": (Style.RED,),
}


def word_of(rung: Rung) -> str:
    """Return a step in the words of SIP."""
    return _WORDS.get(rung.step, rung.step)


def write_step(terminal: Terminal, ms: float, *, leg: str, step: str, detail: str) -> None:
    """Write one line of a ladder; `ms` are milliseconds since the request."""
    padded = terminal.style(f"{step:<11}", *_STYLES.get(step, ()))
    terminal.line(f"{ms:>9.1f}  {leg:<11}  {padded}  {detail}".rstrip())
