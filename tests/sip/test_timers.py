from __future__ import annotations

import pytest

from ringbridge.sip.timers import TimerQueue, Timers


class Log:
    def __init__(self) -> None:
        self.fired: list[tuple[int, float]] = []

    def on_timer(self, name: int, now: float) -> None:
        self.fired.append((name, now))


def test_timers_fire_in_order_of_time_then_of_setting() -> None:
    queue, log = TimerQueue(), Log()
    for name, at in ((1, 3.0), (2, 1.0), (3, 1.0)):
        queue.set(at, log, name)
    assert queue.next_at() == 1.0
    queue.fire_due(2.0)
    assert [name for name, _ in log.fired] == [2, 3]
    queue.fire_due(3.0)
    assert [name for name, _ in log.fired] == [2, 3, 1]
    assert queue.next_at() is None


def test_cancelled_timer_never_fires_and_is_not_counted() -> None:
    queue, log = TimerQueue(), Log()
    timer = queue.set(1.0, log, 1)
    queue.set(2.0, log, 2)
    queue.cancel(timer)
    queue.cancel(timer)
    queue.cancel(None)
    assert len(queue) == 1
    assert queue.next_at() == 2.0
    queue.fire_due(5.0)
    assert log.fired == [(2, 5.0)]
    assert len(queue) == 0


def test_cancelling_what_has_fired_changes_nothing() -> None:
    queue, log = TimerQueue(), Log()
    timer = queue.set(1.0, log, 1)
    queue.fire_due(1.0)
    queue.cancel(timer)
    assert len(queue) == 0


def test_a_timer_set_while_firing_for_now_fires_too() -> None:
    queue = TimerQueue()
    names: list[int] = []

    class Chain:
        def on_timer(self, name: int, now: float) -> None:
            names.append(name)
            if name < 3:
                queue.set(now, self, name + 1)

    queue.set(1.0, Chain(), 1)
    queue.fire_due(1.0)
    assert names == [1, 2, 3]


def test_the_dead_do_not_pile_up() -> None:
    queue, log = TimerQueue(), Log()
    queue.set(1e6, log, 1)
    for number in range(100_000):
        queue.cancel(queue.set(1000.0 + number, log, 2))
    assert len(queue) == 1
    assert len(queue._heap) < 2000


def test_durations_follow_from_t1() -> None:
    assert Timers().give_up_s == 32.0
    assert Timers(t1_s=1.0).give_up_s == 64.0
    assert Timers(t1_s=0.05).wait_d_s == 32.0


@pytest.mark.parametrize("wrong", [{"t1_s": 0.0}, {"t1_s": 5.0}, {"t4_s": 0.0}])
def test_impossible_durations_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Timers(**wrong)
