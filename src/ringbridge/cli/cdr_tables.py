"""CDRs as the terminal shows them, whichever of the API's three schemas they have: a domain's, raw, or a user's own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ringbridge.cli.tables import Column, Item, field, lasting, local_time, text_of
from ringbridge.cli.terminal import Style

DIRECTIONS: Final = {"0": "outbound", "1": "inbound", "2": "missed", "3": "on-net"}
_AGO: Final = re.compile(r"(?P<number>\d{1,6})(?P<unit>[smhdw])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def as_time(text: str, now: datetime) -> str:
    """Return `2h`, `7d` and the like as a time before `now`; anything else as it is, for the API to judge."""
    found = _AGO.fullmatch(text)
    if found is None:
        return text
    try:
        return (now - timedelta(**{_UNITS[found["unit"]]: int(found["number"])})).isoformat(timespec="seconds")
    except OverflowError:
        return text


def domain_of(cdr: Item) -> str:
    """Return whose call it was; a raw CDR tells it in its maker's address alone."""
    return text_of(cdr, "domain") or text_of(cdr, "orig_logi_uri").rpartition("@")[2]


def result(cdr: Item) -> str:
    """Return how a call ended, in a few words."""
    cause = cdr.get("release-cause")
    if not isinstance(cause, dict):
        return ""
    verdict, status, reason = (text_of(cause, name) for name in ("result", "sip-status", "reason"))
    more = f"{status} {reason if reason != verdict else ''}".strip()
    return verdict + (f" ({more})" if more else "")


def _started(cdr: Item) -> str:
    text = text_of(cdr, "call-start-datetime", "time_start")
    return local_time(datetime.fromtimestamp(int(text), UTC).isoformat() if text.isdigit() else text)


def _from(cdr: Item) -> str:
    if "uid" in cdr:  # a user's own list tells the other party, and which way it went
        return _own(cdr) if text_of(cdr, "type") == "0" else text_of(cdr, "number")
    return text_of(cdr, "call-orig-user", "orig_sub", "call-orig-from-user", "orig_from_user")


def _to(cdr: Item) -> str:
    if "uid" in cdr:
        return text_of(cdr, "number") if text_of(cdr, "type") == "0" else _own(cdr)
    return text_of(cdr, "call-orig-to-user", "orig_to_user", "call-term-user", "term_sub")


def _own(cdr: Item) -> str:
    return text_of(cdr, "uid").partition("@")[0]


def _talked(cdr: Item) -> str:
    text = text_of(cdr, "call-talking-duration-seconds", "time_talking")
    answered, released = cdr.get("time_answer"), cdr.get("time_release")
    if not text and isinstance(answered, int) and isinstance(released, int):
        text = str(released - answered) if answered else "0"
    return lasting(int(text)) if text.isdigit() else ""


def _total(cdr: Item) -> str:
    text = text_of(cdr, "call-total-duration-seconds", "duration")
    return lasting(int(text)) if text.isdigit() else ""


def _direction(cdr: Item) -> str:
    return DIRECTIONS.get(text_of(cdr, "call-direction", "type"), "")


def _style(text: str) -> Style | None:
    return Style.GREEN if text.startswith("completed") else Style.YELLOW


COLUMNS: Final = (
    Column("STARTED", _started),
    Column("FROM", _from),
    Column("TO", _to),
    Column("TYPE", _direction),
    Column("TALKED", _talked, is_right=True),
    Column("TOTAL", _total, is_right=True),
    Column("RESULT", result, styles=_style),
    field("BY", "call-by-user"),
    Column("DOMAIN", domain_of),
    field("CALL-ID", "call-id"),
)
