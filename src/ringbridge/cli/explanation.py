"""A call explained before it is placed, as lines of a terminal (`ringbridge call --dry-run`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringbridge.cli.terminal import Style, Terminal

if TYPE_CHECKING:
    from ringbridge.cli.client import Explanation, LegOfExplanation


def write_explanation(terminal: Terminal, found: Explanation) -> None:
    """Write what would ring, how it was chosen, and every reason against it."""
    for leg in (found.origination, found.termination):
        _write_leg(terminal, leg)
    if found.would_ring == "yes":
        terminal.line("nothing is against it; nothing was stored, and nothing rings", Style.GREEN)
        return
    for reason in found.reasons:
        terminal.line(f"{'against':<12} {f'{reason.field}: ' if reason.field else ''}{reason.message}", Style.RED)
        if reason.allowed:
            terminal.line(f"{'':<12} allowed: {reason.allowed}", Style.DIM)


def _write_leg(terminal: Terminal, leg: LegOfExplanation) -> None:
    first = leg.leg
    for target in leg.rings:
        through = f" through connection {target.connection}" if target.connection else ""
        terminal.line(f"{first:<12} {target.target}{through}, at {target.sent_to}")
        first = ""
    if not leg.rings:
        terminal.line(f"{first:<12} nothing", Style.YELLOW)
    for tried in leg.tried:
        style = Style.BOLD if tried.matched == "yes" else Style.DIM
        terminal.line(f"{'':<12} rule {tried.dialrule} of plan {tried.dial_rule_dial_plan} {tried.reason}", style)
    name = f" {leg.caller_id_name}" if leg.caller_id_name else ""
    terminal.line(f"{'':<12} sees {leg.caller_id_number}{name}")
    for header in leg.headers:
        terminal.line(f"{'':<12} header {header}")
    if leg.auto_answer == "yes":
        terminal.line(f"{'':<12} asked to answer by itself")
