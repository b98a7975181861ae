"""Live events on a node: who is told what, from where one goes on, and what a slow reader costs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import msgspec

from ringbridge.calls.events.live import LiveEvents, Reach, Reader
from ringbridge.calls.events.ports import CallChange
from ringbridge.model.call import Call, fold
from ringbridge.model.event_marks import Mark
from ringbridge.model.event_payloads import Told
from ringbridge.model.events import CallEvent
from ringbridge.model.ids import DomainName
from tests.adapters.bus_calls import DOMAIN, requested
from tests.adapters.webhook_node import STATES, life

OTHER = DomainName("other.example")
ALL = Reach(None)


def whole(name: str, *, domain: DomainName = DOMAIN) -> list[list[CallEvent]]:
    """Return the bus messages of a call."""
    first: list[CallEvent] = [requested(name, domain=domain)]
    return [first, *life(name)]


class Copy:
    """A local copy that applies what the test says: calls by name over two streams."""

    def __init__(self) -> None:
        self.tag = "00000001"
        self.positions = [0, 1]
        self.calls: dict[str, Call] = {}
        self.listener: Callable[[Sequence[CallChange], Mark], None] | None = None

    def calls_mark(self) -> Mark:
        return Mark(self.tag, tuple(self.positions))

    def follow_changes(self, listener: Callable[[Sequence[CallChange], Mark], None]) -> Callable[[], None]:
        self.listener = listener

        def stop() -> None:
            self.listener = None

        return stop

    def apply(self, name: str, *messages: Sequence[CallEvent], stream: int = 0) -> None:
        """Apply messages of one call in one commit."""
        changes = []
        for events in messages:
            self.positions[stream] += len(self.positions)
            before = self.calls.get(name)
            after = fold(before, events, self.positions[stream])
            assert after is not None
            self.calls[name] = after
            changes.append(CallChange(before, list(events), after))
        self.tell(changes)

    def tell(self, changes: Sequence[CallChange] = ()) -> None:
        assert self.listener is not None
        self.listener(changes, self.calls_mark())

    def whole(self, name: str, *, stream: int = 0, domain: DomainName = DOMAIN) -> None:
        """Apply a call from its request to its end, message by message."""
        for events in whole(name, domain=domain):
            self.apply(name, events, stream=stream)


def live(copy: Copy, *, kept: int = 1000) -> LiveEvents:
    one = LiveEvents(copy, kept=kept)
    one.start()
    return one


def objects(reader: Reader) -> list[dict[str, object]]:
    """Take everything that a reader is told; it has seen all of it then."""
    told: list[dict[str, object]] = []
    while (happening := reader.take()) is not None:
        reader.seen = reader.seen.joined(happening.mark)
        told += [msgspec.json.decode(one) for one in happening.told(reader.reach.model)]
    return told


def names(reader: Reader) -> list[object]:
    """Return the calls that a reader is told of, each once."""
    return list(dict.fromkeys(one["call-id"] for one in objects(reader)))


def test_a_call_is_told_state_by_state_as_subscribers_are_told() -> None:
    copy = Copy()
    events = live(copy)
    reader = events.open(ALL, after=None)
    copy.whole("c1")
    told = objects(reader)
    assert list(dict.fromkeys(one["call-state"] for one in told)) == STATES
    subscriber = Told()
    sent = [
        one
        for position, message in zip(itertools.count(2, 2), whole("c1"), strict=False)
        for one in subscriber.tell("call", message, position)
    ]
    assert told == msgspec.to_builtins(sent)


def test_what_happened_before_it_was_opened_is_not_told() -> None:
    copy = Copy()
    events = live(copy)
    copy.whole("c1")
    reader = events.open(ALL, after=None)
    assert reader.is_idle
    copy.whole("c2")
    assert names(reader) == ["c2"]


def test_each_reader_is_told_what_it_may_know() -> None:
    copy = Copy()
    events = live(copy)
    everything = events.open(ALL, after=None)
    domain = events.open(Reach(frozenset({DOMAIN})), after=None)
    several = events.open(Reach(frozenset({DOMAIN, OTHER})), after=None)
    caller = events.open(Reach(frozenset({DOMAIN}), "1001"), after=None)
    called = events.open(Reach(frozenset({DOMAIN}), "1002"), after=None)
    stranger = events.open(Reach(frozenset({DOMAIN}), "1003"), after=None)
    one = events.open(Reach(frozenset({DOMAIN}), call="c2"), after=None)
    by_session = events.open(Reach(None, call="s-c2"), after=None)
    copy.whole("c1")
    copy.whole("c2", stream=1)
    copy.whole("c3", domain=OTHER)
    assert names(everything) == names(several) == ["c1", "c2", "c3"]
    assert names(domain) == names(caller) == ["c1", "c2"]
    assert names(stranger) == []
    assert names(one) == names(by_session) == ["c2"]
    told = objects(called)
    assert {one["call-id"] for one in told} == {"c1", "c2"}
    assert "requested" not in {one["call-state"] for one in told}, "who is not rung yet knows nothing"


def test_cdrs_are_told_once_each() -> None:
    copy = Copy()
    events = live(copy)
    reader = events.open(Reach(None, model="cdr"), after=None)
    copy.whole("c1")
    copy.whole("c2")
    assert [(one["object"], one["call-id"]) for one in objects(reader)] == [("cdr", "c1"), ("cdr", "c2")]


def test_whoever_comes_back_is_told_what_it_missed_and_nothing_twice() -> None:
    copy = Copy()
    events = live(copy)
    reader = events.open(ALL, after=None)
    copy.whole("c1")
    copy.apply("c2", [requested("c2")], stream=1)
    assert names(reader) == ["c1", "c2"]
    events.leave(reader)
    copy.whole("c3")
    again = events.open(ALL, after=reader.seen)
    assert not again.has_gap
    copy.whole("c4", stream=1)
    assert names(again) == ["c3", "c4"]


def test_another_node_goes_on_from_the_same_mark() -> None:
    """Two nodes apply two streams side by side, each in an order of its own."""
    here, there = Copy(), Copy()
    mine, theirs = live(here), live(there)
    reader = mine.open(ALL, after=None)
    here.whole("c1", stream=0)
    here.whole("c2", stream=1)
    assert names(reader) == ["c1", "c2"]
    there.whole("c2", stream=1)
    there.apply("c1", [requested("c1")])
    again = theirs.open(ALL, after=reader.seen)
    for events in life("c1"):
        there.apply("c1", events)
    there.whole("c3", stream=1)
    assert again.is_idle is False
    assert names(again) == ["c1", "c3"], "that node is behind, so c1 comes again there; it is never missed"


def test_an_idle_reader_s_mark_moves_on_with_what_it_is_not_told() -> None:
    copy = Copy()
    events = live(copy, kept=5)
    reader = events.open(Reach(frozenset({OTHER})), after=None)
    for number in range(20):
        copy.whole(f"c{number}")
    mark = events.caught_up(reader)
    assert not events.open(ALL, after=mark).has_gap
    assert mark == events.now


def test_what_is_too_old_is_a_gap_and_nothing_is_told_by_halves() -> None:
    copy = Copy()
    events = live(copy, kept=5)
    old = events.now
    copy.whole("c1")
    reader = events.open(ALL, after=old)
    assert reader.has_gap
    assert reader.is_idle
    assert reader.seen == events.now


def test_a_mark_of_streams_that_were_made_again_is_a_gap() -> None:
    copy = Copy()
    events = live(copy)
    reader = events.open(ALL, after=None)
    copy.whole("c1")
    mark = events.now
    copy.tag, copy.positions = "00000002", [0, 1]
    copy.calls.clear()
    copy.tell()
    assert reader.has_gap
    assert reader.is_idle
    assert events.open(ALL, after=mark).has_gap
    copy.whole("c2")
    assert names(reader) == ["c2"]


def test_a_reader_that_takes_nothing_is_cut_and_the_others_are_told_on() -> None:
    copy = Copy()
    events = live(copy, kept=30)
    slow, fast = events.open(ALL, after=None), events.open(ALL, after=None)
    told: list[object] = []
    for number in range(10):
        copy.whole(f"c{number}")
        told += names(fast)
    assert slow.ended == "overrun"
    assert slow.take() is None
    assert told == [f"c{number}" for number in range(10)]
    assert fast.ended == ""


def test_a_reader_with_another_reach_is_told_by_that() -> None:
    copy = Copy()
    events = live(copy)
    reader = events.open(Reach(frozenset({DOMAIN})), after=None)
    events.change(reader, Reach(frozenset({OTHER})))
    copy.whole("c1")
    copy.whole("c2", domain=OTHER)
    assert names(reader) == ["c2"]
    events.leave(reader)
    copy.whole("c3", domain=OTHER)
    assert reader.is_idle


def test_a_node_that_stops_ends_its_readers_and_follows_nothing() -> None:
    copy = Copy()
    events = live(copy)
    one, other = events.open(ALL, after=None), events.open(Reach(frozenset({DOMAIN})), after=None)
    events.close()
    assert one.ended == other.ended == "node-stops"
    assert copy.listener is None
    assert events.open(ALL, after=None).ended == "node-stops"
