"""What a controller writes down: the call as its events tell it, and the events that are not yet told."""

from __future__ import annotations

from ringbridge.calls.actions import Action, Publish
from ringbridge.model.call import Call, fold_one
from ringbridge.model.events import CallEvent


class Story:
    """One call's events in the making. `call` is always what all of them, told or not, fold to."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._events: list[CallEvent] = []

    def record(self, event: CallEvent) -> None:
        """Add an event; it is told with the next `flush`."""
        folded = fold_one(self.call, event)
        if folded is not None:
            self.call = folded
        self._events.append(event)

    def flush(self) -> list[Action]:
        """Return the action that tells, in one batch, what has been recorded since the last time."""
        if not self._events:
            return []
        events, self._events = tuple(self._events), []
        return [Publish(events)]
