"""What a node need not read again."""

from __future__ import annotations

import msgspec
import pytest

from ringbridge.adapters.replica.recent_events import MOST, RecentEvents
from ringbridge.model.events import EndRequested, encode


def test_what_was_kept_comes_back_as_the_same_events_once() -> None:
    recent, event = RecentEvents(), EndRequested("somebody", 5.0)
    message = encode([event])
    recent.keep(message, (event,))
    assert recent.read(message)[0] is event
    assert len(recent) == 0
    again = recent.read(message)
    assert again == [event]
    assert again[0] is not event


def test_what_was_not_kept_is_read() -> None:
    assert RecentEvents().read(encode([EndRequested("somebody", 5.0)])) == [EndRequested("somebody", 5.0)]
    with pytest.raises(msgspec.DecodeError):
        RecentEvents().read(b"no message")


def test_the_oldest_is_forgotten_first() -> None:
    recent = RecentEvents()
    events = [EndRequested("somebody", float(number)) for number in range(MOST + 1)]
    for event in events:
        recent.keep(encode([event]), [event])
    assert len(recent) == MOST
    assert recent.read(encode([events[-1]]))[0] is events[-1]
    assert recent.read(encode([events[0]]))[0] is not events[0]
