"""The calls that are up as somebody watches them: read once, then kept by what the event stream tells of each.

An event has the API's legacy names and times; here everything has the names of the call's own resource, so that one
table shows both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ringbridge.cli.tables import Item, text_of

LINGERS_S: Final = 5.0
"""How long a call that has ended is shown, so that nobody wonders where it went."""
RINGING: Final = frozenset({"requested", "claimed", "orig-ringing", "orig-answered", "term-ringing"})
_NAMES: Final = {
    "call-id": "call-id",
    "call-state": "call-state",
    "call-by-user": "user",
    "call-orig-domain": "domain",
    "call-orig-user": "orig_user",
    "call-dialed-number": "orig_to_user",
}
_TIMES: Final = {
    "call-start-datetime": "time_start",
    "call-answer-datetime": "time_answer",
    "call-end-datetime": "time_end",
}


class LiveCalls:
    """Calls by domain and call-id."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], Item] = {}
        self._gone_at: dict[tuple[str, str], float] = {}
        self._held: list[Item] | None = None

    def begin_reading(self) -> None:
        """Note that the list is on its way: what is told meanwhile comes behind it."""
        self._held = []

    def read(self, items: Iterable[Item], now: float) -> None:
        """Take the list as it was read; those that ended a moment ago stay, those that are missing have ended."""
        found = {_name(one): one for one in items}
        for name in found:
            self._gone_at.pop(name, None)
        for name, call in self._calls.items():
            if name not in found:
                self._gone_at.setdefault(name, now)
                found[name] = call | {"call-state": "ended"}
        self._calls = found
        self.end_reading(now)

    def end_reading(self, now: float) -> None:
        """Take what was told while the list was on its way, read or not."""
        held, self._held = self._held or [], None
        for told in held:
            self.tell(told, now)

    def tell(self, told: Item, now: float) -> bool:
        """Take an event; return whether it may have changed more than it says, as a transfer does."""
        if self._held is not None:
            self._held.append(told)
            return False
        call = _call_of(told)
        name = _name(call)
        before = self._calls.get(name, {})
        # The list's times are finer than an event's.
        kept = {field: before[field] for field in _TIMES if before.get(field) and call.get(field)}
        self._calls[name] = before | call | kept
        if text_of(told, "action") == "DELETE":
            self._gone_at.setdefault(name, now)
        else:
            self._gone_at.pop(name, None)
        return text_of(before, "call-state") == text_of(call, "call-state") == "connected"

    def forget(self, now: float) -> None:
        """Leave out what ended more than a few seconds ago."""
        for name in [name for name, at in self._gone_at.items() if at + LINGERS_S <= now]:
            del self._gone_at[name]
            self._calls.pop(name, None)

    def shown(self) -> list[Item]:
        """Return the calls, the newest first."""
        return sorted(self._calls.values(), key=lambda call: text_of(call, "call-start-datetime"), reverse=True)

    def summary(self) -> str:
        """Return how many there are, in words."""
        states = [text_of(call, "call-state") for name, call in self._calls.items() if name not in self._gone_at]
        counts = {
            "ringing": sum(state in RINGING for state in states),
            "talking": states.count("connected"),
            "on hold": states.count("held"),
        }
        total = "1 call is up" if len(states) == 1 else f"{len(states) or 'no'} calls are up"
        told = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
        return f"{total}: {told}" if told else total


def _name(call: Item) -> tuple[str, str]:
    return text_of(call, "call-orig-domain"), text_of(call, "call-id")


def _call_of(told: Item) -> Item:
    call: Item = {name: told.get(legacy, "") for name, legacy in _NAMES.items()}
    for name, legacy in _TIMES.items():
        at = text_of(told, legacy)
        call[name] = f"{at.replace(' ', 'T')}+00:00" if at else ""  # legacy times are UTC and do not say so
    return call
