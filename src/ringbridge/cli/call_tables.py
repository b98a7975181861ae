"""Calls as the terminal shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ringbridge.cli.finding import legs, order_of
from ringbridge.cli.steps import HEADING, word_of, write_step
from ringbridge.cli.tables import (
    Column,
    Item,
    clean,
    field,
    instant,
    lasting,
    local_time,
    moment,
    state,
    text_of,
    write_fields,
    write_table,
)
from ringbridge.cli.terminal import Style, Terminal

if TYPE_CHECKING:
    from ringbridge.cli.client import Ladder


def columns(now: datetime | None = None) -> list[Column]:
    """Return the columns of a list of calls that are up; `now` is until when they have talked."""
    until = now or datetime.now(UTC)
    return [
        state("STATE", "call-state"),
        field("FROM", "call-orig-user", "call-orig-uri"),
        field("TO", "call-dialed-number", "call-term-user", "call-term-uri"),
        Column("TALKING", lambda call: talking(call, until), is_right=True),
        moment("STARTED", "call-start-datetime"),
        field("BY", "call-by-user"),
        field("DOMAIN", "call-orig-domain"),
        field("CALL-ID", "call-id"),
    ]


def talking(call: Item, until: datetime) -> str:
    """Return how long both have been joined; empty if they have not."""
    answered = instant(text_of(call, "call-answer-datetime"))
    ended = instant(text_of(call, "call-end-datetime"))
    return "" if answered is None else lasting(((ended or until) - answered).total_seconds())


def write_call(terminal: Terminal, call: Item, ladder: Ladder) -> None:
    """Write a call: what it is, its legs, its steps."""
    cause = ladder.release_cause
    write_fields(
        terminal,
        [
            ("call-id", text_of(call, "call-id")),
            ("session", text_of(call, "call-session-id")),
            ("state", text_of(call, "call-state") + (f": {cause}" if cause is not None else "")),
            ("placed by", f"{text_of(call, 'call-by-user')}@{text_of(call, 'call-by-domain')}"),
            ("from", _named(text_of(call, "call-orig-user", "call-orig-uri"), text_of(call, "call-orig-name"))),
            ("to", text_of(call, "call-dialed-number", "call-term-user")),
            ("shows", text_of(call, "caller-id-number")),
            ("started", local_time(text_of(call, "call-start-datetime"))),
            ("talking", talking(call, datetime.now(UTC))),
            ("codec", text_of(call, "call-audio-codec")),
            ("node", text_of(call, "core-server")),
            ("order", _order(call)),
        ],
    )
    if found := legs(call):
        terminal.line()
        write_table(terminal, _LEGS, found)
    terminal.line()
    write_ladder(terminal, ladder)


def write_ladder(terminal: Terminal, ladder: Ladder) -> None:
    """Write a call step by step."""
    terminal.line(HEADING, Style.DIM)
    for rung in ladder.steps:
        write_step(terminal, rung.ms, leg=rung.leg, step=word_of(rung), detail=clean(rung.detail))


_LEGS = (
    field("LEG", "leg"),
    state("STATE", "state"),
    field("TARGET", "target"),
    field("THROUGH", "connection"),
    field("CODEC", "codec"),
    field("AUDIO", "flow"),
    field("SIP CALL-ID", "sip-call-id"),
)


def _named(text: str, name: str) -> str:
    return f"{text}, {name}" if name else text


def _order(call: Item) -> str:
    order = order_of(call)
    if not order:
        return ""
    to = f" to {text_of(order, 'to')}" if order.get("to") else ""
    cause = order.get("release-cause")
    if isinstance(cause, dict):
        return f"{text_of(order, 'action')}{to}: not carried out, {text_of(cause, 'reason', 'result')}"
    return f"{text_of(order, 'action')}{to}: {'done' if order.get('done-datetime') else 'being carried out'}"
