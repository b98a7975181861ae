"""Random walks: whatever phones, clocks, people and crashes do, the rules that do not bend hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ringbridge.calls.actions import Timer
from ringbridge.calls.handing_over import Decision
from ringbridge.calls.ports import MediaLost, Updated
from ringbridge.model import release
from ringbridge.model.call import LegState, Side
from ringbridge.model.errors import CallError
from ringbridge.model.ids import LegId
from ringbridge.model.release import ReleaseCause, Result
from tests.calls.bench import Bench
from tests.calls.samples import START, requested

STATUS = st.sampled_from([302, 404, 408, 480, 486, 487, 500, 503, 600, 603])


class OneCall(RuleBasedStateMachine):
    """One call with up to three phones a side."""

    bench: Bench

    @initialize(
        phones=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        store_takes_s=st.sampled_from([0.0, 0.0, 0.0, 5.0, 29.0, 31.0]),
        late_s=st.sampled_from([0.0, 0.0, 29.0, 31.0]),
        broken=st.sampled_from([None, None, None, Side.ORIGINATION, Side.TERMINATION]),
    )
    def begin(self, phones: tuple[int, int], store_takes_s: float, late_s: float, broken: Side | None) -> None:
        event = requested(
            origination=tuple(f"100{number}" for number in range(phones[0])),
            termination=tuple(f"200{number}" for number in range(phones[1])),
            max_duration_s=500.0,
        )
        self.bench = Bench(event)
        self.bench.store_takes_s = store_takes_s
        self.bench.now = START + late_s
        if broken is not None:
            self.bench.unpreparable[broken] = ReleaseCause(Result.FAILED, "relay-unavailable")
        self.bench.start()

    def _some(self, legs: set[LegId], data: st.DataObject) -> LegId:
        return data.draw(st.sampled_from(sorted(legs)))

    @precondition(lambda self: self.bench.world.pending)
    @rule(data=st.data(), early_media=st.booleans())
    def a_phone_rings(self, data: st.DataObject, early_media: bool) -> None:  # noqa: FBT001 - drawn by name
        self.bench.ring(self._some(self.bench.world.pending, data), early_media=early_media)

    @precondition(lambda self: self.bench.world.pending)
    @rule(data=st.data())
    def a_phone_answers(self, data: st.DataObject) -> None:
        self.bench.answer(self._some(self.bench.world.pending, data))

    @precondition(lambda self: self.bench.world.pending)
    @rule(data=st.data(), status=STATUS)
    def a_phone_refuses(self, data: st.DataObject, status: int) -> None:
        self.bench.refuse(self._some(self.bench.world.pending, data), status)

    @precondition(lambda self: self.bench.world.up)
    @rule(data=st.data())
    def a_phone_hangs_up(self, data: st.DataObject) -> None:
        self.bench.hang_up(self._some(self.bench.world.up, data))

    @precondition(lambda self: self.bench.world.up)
    @rule(data=st.data(), held=st.booleans())
    def a_phone_holds(self, data: st.DataObject, held: bool) -> None:  # noqa: FBT001 - drawn by name
        self.bench.signal(Updated(self._some(self.bench.world.up, data), b"d", held))

    def _try(self, order: Callable[[], object]) -> None:
        with suppress(CallError):
            order()

    @rule(on=st.booleans(), name=st.sampled_from(["c1", "sip-t1"]), begun=st.booleans())
    def somebody_holds_by_order(self, on: bool, name: str, begun: bool) -> None:  # noqa: FBT001 - drawn by name
        self._try(lambda: self.bench.hold(name, on=on, begun=begun))

    @precondition(lambda self: self.bench.world.up)
    @rule(data=st.data(), phones=st.integers(1, 2), begun=st.booleans())
    def somebody_transfers(self, data: st.DataObject, phones: int, begun: bool) -> None:  # noqa: FBT001 - drawn by name
        names = [f"300{number}" for number in range(phones)]
        leg_id = self._some(self.bench.world.up, data)
        self._try(lambda: self.bench.transfer(leg_id, *names, begun=begun, ring_timeout_s=20.0))

    @precondition(lambda self: self.bench.world.up)
    @rule(data=st.data(), begun=st.booleans())
    def somebody_transfers_to_the_party_of_another_call(self, data: st.DataObject, begun: bool) -> None:  # noqa: FBT001
        leg_id = self._some(self.bench.world.up, data)
        self._try(lambda: self.bench.join(leg_id, "3000", begun=begun))

    @precondition(lambda self: self.bench.asks)
    @rule(answer=st.sampled_from([b"state there", release.HUNG_UP]))
    def the_other_call_answers(self, answer: bytes | ReleaseCause) -> None:
        self.bench.asks.pop()
        self.bench.asked(answer)

    @precondition(lambda self: self.bench.world.up)
    @rule(data=st.data(), begun=st.booleans())
    def another_call_wants_a_party_of_this_one(self, data: st.DataObject, begun: bool) -> None:  # noqa: FBT001
        leg_id = self._some(self.bench.world.up, data)
        self._try(lambda: self.bench.hand_over(leg_id, begun=begun))

    @precondition(lambda self: self.bench.looks)
    @rule(decision=st.sampled_from(Decision))
    def the_other_call_has_decided(self, decision: Decision) -> None:
        self.bench.looks.pop()
        self.bench.decide(decision)

    @rule()
    def orders_are_stored(self) -> None:
        self.bench.begin_orders()

    @precondition(lambda self: self.bench.offers)
    @rule(data=st.data(), status=st.sampled_from([200, 200, 488, 491]), held=st.booleans())
    def a_phone_answers_an_offer(self, data: st.DataObject, status: int, held: bool) -> None:  # noqa: FBT001
        leg_id = data.draw(st.sampled_from(sorted({leg for leg, _ in self.bench.offers})))
        self.bench.take_offer(leg_id, status=status, held=held)

    @rule(seconds=st.sampled_from([0.1, 5.0, 31.0, 61.0, 501.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.advance(seconds)

    @rule(timer=st.sampled_from(Timer))
    def a_clock_that_was_stopped_too_late_rings(self, timer: Timer) -> None:
        if timer is not Timer.MAX_DURATION or self.bench.stored.joined_at:
            self.bench.perform(self.bench.controller.on_timer(timer, self.bench.now))

    @rule()
    def somebody_deletes_it(self) -> None:
        self.bench.delete()

    @rule()
    def the_engine_is_stopped(self) -> None:
        self.bench.stop()

    @rule()
    def the_relay_is_lost(self) -> None:
        self.bench.signal(MediaLost(release.RELAY_LOST))

    @rule()
    def cancels_are_confirmed(self) -> None:
        self.bench.confirm()

    @precondition(lambda self: not self.bench.finished and self.bench.stored.owner)
    @rule()
    def the_engine_is_killed_and_started_again(self) -> None:
        self.bench = self.bench.resumed()

    @invariant()
    def what_the_controller_knows_is_what_is_stored(self) -> None:
        known, stored = self.bench.controller.call, self.bench.stored
        assert (known.state, known.legs, known.release, known.owner) == (
            stored.state,
            stored.legs,
            stored.release,
            stored.owner,
        )

    @invariant()
    def only_one_party_a_side_talks(self) -> None:
        for side in Side:
            up = [leg for leg in self.bench.stored.legs if leg.state is LegState.ANSWERED and leg.side is side]
            assert len(up) <= 1

    @invariant()
    def no_phone_is_up_that_the_call_does_not_know(self) -> None:
        answered = {leg.leg_id for leg in self.bench.stored.legs if leg.state is LegState.ANSWERED}
        assert self.bench.world.up <= answered

    @invariant()
    def an_ended_call_is_finished_and_leaves_nothing(self) -> None:
        assert bool(self.bench.finished) == self.bench.stored.is_over
        if self.bench.finished:
            assert not self.bench.world.up
            assert not self.bench.world.pending
            assert self.bench.timers == {}
            cdr = self.bench.cdr
            assert cdr.talking_s <= cdr.total_s
            assert bool(cdr.answered_at) == bool(self.bench.stored.joined_at)

    def teardown(self) -> None:
        """Every call ends, however it went so far."""
        if hasattr(self, "bench"):
            self.bench.store_takes_s = 0.0
            self.bench.delete().confirm().decide(Decision.DROPPED).check_over()


OneCall.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_one_call = OneCall.TestCase
