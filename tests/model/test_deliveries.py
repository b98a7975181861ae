"""How far the deliveries of a subscription are: the schedule, and what survives a crash at any step."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ringbridge.model.deliveries import (
    MOST_FAILED,
    MOST_OPEN,
    MOST_PARKED,
    MOST_RETRIED,
    PROBE_S,
    SCHEDULE_S,
    CallName,
    Item,
    Ledger,
    Progress,
    next_attempt_s,
)

STREAMS = 2
C1, C2 = CallName("demo", "c1"), CallName("demo", "c2")


def item(name: CallName, sequence: int, stream: int = 0) -> Item:
    return Item(name, sequence * STREAMS + stream, b"[]", ())


def ledger(progress: Progress | None = None) -> Ledger:
    return Ledger(progress or Progress(positions=(0, 1)), streams=STREAMS)


def test_the_schedule_is_the_contract_s() -> None:
    hours = [second / 3600 for second in SCHEDULE_S[4:]]
    assert SCHEDULE_S[:4] == (0.0, 5.0, 300.0, 1800.0)
    assert hours == [2, 5, 10, 14, 20, 24]
    assert [next_attempt_s(failed) for failed in (1, 2, 9, 10)] == [5.0, 300.0, 86_400.0, None]


def test_positions_stay_below_what_is_open() -> None:
    one = ledger()
    assert one.take(item(C1, 1))
    assert not one.take(item(C1, 2))
    assert one.take(item(C2, 3))
    one.head(C2)
    one.delivered(C2)
    assert one.positions() == (0, 1)
    one.delivered(C1)
    assert one.positions() == (2, 1)
    one.delivered(C1)
    assert one.positions() == (6, 1)
    assert one.head(C1) is None
    assert (one.posts, one.open) == (3, 0)


def test_what_fails_parks_its_call_with_all_that_follows() -> None:
    one = ledger()
    for sequence in (1, 2):
        one.take(item(C1, sequence))
    parked = one.failed(C1, now=100.0)
    assert parked is not None
    assert (parked.position, parked.attempts, parked.due_at) == (2, 1, 105.0)
    assert one.positions() == (4, 1)
    assert not one.take(item(C1, 3)), "what comes later waits with it"
    assert one.open == 0
    assert one.start_due(104.9) == []
    assert one.start_due(105.0) == [parked]
    assert one.start_due(105.0) == [], "it is in work"
    assert one.retried(parked, item(C1, 1), attempts=2, now=105.0) == 405.0
    (again,) = one.start_due(405.0)
    one.took(again, item(C1, 1))
    assert not one.unpark(C1, seen=4), "the third message was passed by meanwhile"
    one.put_off(again, 405.0)
    (rest,) = one.start_due(405.0)
    assert (rest.position, rest.attempts) == (4, 0)
    assert one.unpark(C1, seen=6)
    assert one.parked == ()


def test_after_the_last_attempt_a_message_is_given_up() -> None:
    one = ledger()
    one.take(item(C1, 1))
    parked = one.failed(C1, now=0.0)
    assert parked is not None
    assert one.retried(parked, item(C1, 1), attempts=9, now=0.0) == 86_400.0
    assert one.retried(parked, item(C1, 1), attempts=10, now=0.0) is None


def test_a_receiver_that_is_back_is_tried_at_once() -> None:
    one = ledger()
    one.take(item(C1, 1))
    one.failed(C1, now=0.0)
    one.hasten(1.0)
    assert one.next_due_at == 1.0


# Properties as functions: they change between two lines that look alike.


def away(one: Ledger) -> bool:
    return one.is_away


def oldest(one: Ledger) -> float | None:
    return one.oldest_at


def probe_at(one: Ledger) -> float | None:
    return one.next_probe_at


def due_at(one: Ledger) -> float | None:
    return one.next_due_at


def fail(one: Ledger, count: int, *, first: int = 1, now: float = 0.0) -> None:
    """Read `count` calls of one message each, and have each fail."""
    for number in range(first, first + count):
        name = CallName("demo", f"c{number}")
        one.take(item(name, number))
        assert one.failed(name, now) is not None


def test_calls_that_fail_do_not_keep_others_from_being_read() -> None:
    one = ledger()
    fail(one, MOST_FAILED - 1)
    good = CallName("demo", "good")
    assert one.has_room(0.0)
    one.take(item(good, MOST_FAILED))
    one.delivered(good)
    fail(one, MOST_FAILED - 1, first=MOST_FAILED + 1)
    assert not away(one)
    assert one.has_room(0.0)


def test_a_receiver_that_takes_nothing_is_tried_with_one_new_call_at_a_time() -> None:
    one = ledger()
    fail(one, MOST_FAILED, now=100.0)
    assert away(one)
    assert not one.has_room(100.0)
    assert probe_at(one) == 100.0 + PROBE_S
    assert one.has_room(100.0 + PROBE_S)
    probe = CallName("demo", "probe")
    one.take(item(probe, MOST_FAILED + 1))
    assert not one.has_room(1000.0), "one is out"
    assert probe_at(one) is None
    assert one.failed(probe, now=111.0) is not None
    assert probe_at(one) == 111.0 + PROBE_S
    again = CallName("demo", "again")
    one.take(item(again, MOST_FAILED + 2))
    one.delivered(again)
    assert not away(one)
    assert one.has_room(111.0)


def test_a_retry_that_fails_says_nothing_of_new_calls_and_one_that_does_not_ends_an_absence() -> None:
    one = ledger()
    fail(one, 1)
    for attempts in range(2, 9):
        (parked,) = one.start_due(1e9)
        one.retried(parked, item(parked.name, 1), attempts=attempts, now=0.0)
    fail(one, MOST_FAILED - 1, first=2)
    assert away(one)
    parked, *_ = one.start_due(1e9)
    one.took(parked, item(parked.name, 1))
    assert not away(one)


def test_where_no_more_can_be_parked_the_one_that_failed_most_often_is_given_up() -> None:
    one = ledger()
    worst = CallName("demo", "c7")
    for number in range(1, MOST_PARKED + 1):
        fail(one, 1, first=number)
        taken = CallName("demo", "taken")
        one.take(item(taken, 100_000 + number))
        one.delivered(taken)
    (due, *_) = [parked for parked in one.start_due(5.0) if parked.name == worst]
    one.retried(due, item(worst, 7), attempts=4, now=5.0)
    assert one.is_full
    assert one.has_room(6.0)
    late = CallName("demo", "late")
    one.take(item(late, MOST_PARKED + 1))
    assert one.failed(late, now=6.0) is not None
    (dropped,) = one.take_dropped()
    assert (dropped.name, dropped.attempts) == (worst, 4)
    assert one.take_dropped() == []
    assert len(one.parked) == MOST_PARKED
    assert late in {parked.name for parked in one.parked}


def test_of_a_receiver_that_is_away_nothing_is_given_up() -> None:
    one = ledger()
    fail(one, MOST_PARKED)
    assert one.next_probe_at is None, "the bus has the rest"
    assert not one.has_room(1e9)
    late = CallName("demo", "late")
    one.take(item(late, MOST_PARKED + 1))
    head = one.head(late)
    assert one.failed(late, now=0.0) is None
    assert one.head(late) == head
    assert one.positions()[0] == MOST_PARKED * STREAMS
    assert one.take_dropped() == []
    progress = Progress(positions=one.positions(), parked=one.parked, is_failing=True)
    assert away(ledger(progress)), "also after a restart"


def test_a_bounded_number_of_parked_calls_is_in_work() -> None:
    one = ledger()
    fail(one, 2 * MOST_RETRIED)
    first = one.start_due(5.0)
    assert len(first) == MOST_RETRIED
    assert one.start_due(5.0) == []
    assert due_at(one) is None
    assert one.unpark(first[0].name, seen=first[0].position)
    assert due_at(one) == 5.0
    assert len(one.start_due(5.0)) == 1


def test_the_oldest_is_what_has_waited_longest() -> None:
    one = ledger()
    assert oldest(one) is None
    one.take(msgspec.structs.replace(item(C1, 1), read_at=10.0))
    one.take(msgspec.structs.replace(item(C2, 2), read_at=20.0))
    one.failed(C1, now=30.0)
    assert oldest(one) == 10.0
    assert ledger(Progress(positions=one.positions(), parked=one.parked)).oldest_at == 10.0
    (parked,) = one.start_due(35.0)
    one.retried(parked, item(C1, 1), attempts=2, now=36.0)
    assert oldest(one) == 10.0
    one.took(parked, item(C1, 1))
    assert one.unpark(C1, seen=2)
    assert oldest(one) == 20.0
    one.delivered(C2)
    one.head(C2)
    assert oldest(one) is None


def test_what_an_earlier_version_stored_is_read() -> None:
    stored = b'{"positions":[4,1],"parked":[["demo","c1",2,1,105.0]]}'
    assert ledger(msgspec.json.decode(stored, type=Progress)).parked[0].since == 0.0


def test_no_more_is_open_than_there_is_room_for() -> None:
    one = ledger()
    for sequence in range(1, MOST_OPEN + 1):
        assert one.has_room(0.0)
        one.take(item(C1, sequence))
    assert not one.has_room(0.0)


def test_progress_reads_back_as_it_was_written() -> None:
    one = ledger()
    one.take(item(C1, 1))
    one.failed(C1, now=5.0)
    progress = Progress(node="n1", positions=one.positions(), parked=one.parked, posts=1, errors=2, logged=7)
    assert msgspec.json.decode(msgspec.json.encode(progress), type=Progress) == progress


class Deliveries(RuleBasedStateMachine):
    """A stream of messages of three calls, a receiver that fails at will, and crashes at any step.

    The stored progress is what a new ledger begins with; everything in memory is lost. In the end the receiver takes
    everything: then no message may be missing, and of each call the first arrivals are in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Item] = []
        self.stored = Progress(positions=(0, 1))
        self.ledger = ledger()
        self.arrived: list[int] = []
        self.now = 0.0

    @rule(call=st.sampled_from("abc"), stream=st.integers(0, 1))
    def message(self, call: str, stream: int) -> None:
        """A message is stored; a call lives in one stream."""
        del stream
        name = CallName("demo", call)
        of_stream = "abc".index(call) % STREAMS
        sequence = 1 + len([one for one in self.log if one.position % STREAMS == of_stream])
        self.log.append(item(name, sequence, of_stream))

    @rule(stream=st.integers(0, 1))
    def read(self, stream: int) -> None:
        if not self.ledger.has_room(self.now):
            return
        after = self.ledger.read_up_to(stream)
        following = [one for one in self.log if one.position % STREAMS == stream and one.position > after]
        if following:
            self.ledger.take(min(following, key=lambda one: one.position))

    @rule(call=st.sampled_from("abc"), works=st.booleans())
    def deliver(self, call: str, works: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        name = CallName("demo", call)
        head = self.ledger.head(name)
        if head is None:
            return
        if works:
            self.arrived.append(head.position)
            self.ledger.delivered(name)
        else:
            self.ledger.failed(name, self.now)

    @rule(works=st.lists(st.booleans(), min_size=4, max_size=4))
    def retry(self, works: list[bool]) -> None:
        self.now += 400_000.0
        for parked in self.ledger.start_due(self.now):
            seen = self.ledger.read_up_to(parked.position % STREAMS)
            self._retry_one(parked.name, parked.position, seen, works)

    def _retry_one(self, name: CallName, position: int, seen: int, works: list[bool]) -> None:
        parked = next(one for one in self.ledger.parked if one.name == name)
        for number, one in enumerate(x for x in self.log if x.name == name and position <= x.position <= seen):
            if not works[number % len(works)]:
                self.ledger.retried(parked, one, attempts=1, now=self.now)
                return
            self.arrived.append(one.position)
            self.ledger.took(parked, one)
        if not self.ledger.unpark(name, seen):
            self.ledger.put_off(parked, self.now)

    @rule()
    def store(self) -> None:
        self.stored = Progress(positions=self.ledger.positions(), parked=self.ledger.parked)

    @rule()
    def crash(self) -> None:
        self.ledger = ledger(self.stored)

    @invariant()
    def first_arrivals_are_in_order(self) -> None:
        for call in "abc":
            positions = [one.position for one in self.log if one.name.call_id == call]
            first = list(dict.fromkeys(position for position in self.arrived if position in positions))
            assert first == positions[: len(first)]

    def teardown(self) -> None:
        self.crash()
        for _ in range(4 * len(self.log) + 4):
            for stream in range(STREAMS):
                self.read(stream)
            for call in "abc":
                self.deliver(call, works=True)
            self.retry([True] * 4)
        assert set(self.arrived) == {one.position for one in self.log}
        assert self.ledger.parked == ()
        assert self.ledger.open == 0


TestDeliveries = Deliveries.TestCase
