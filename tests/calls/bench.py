"""One controller on a bench: virtual time, a bus that stores at once, phones that do what the test says.

Every action is performed as `calls.run` would, and after each the rules that do not bend are checked: an INVITE only
after its `LegInvited` is stored, nobody invited twice, one end, and after it no leg that is not released.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, assert_never

from ringbridge.calls.actions import (
    Action,
    Arrange,
    Ask,
    Attach,
    Finish,
    Invite,
    LetGo,
    LookUp,
    Prepare,
    Publish,
    Release,
    Ringback,
    StartTimer,
    StopTimer,
    TakeOver,
    Timer,
)
from ringbridge.calls.commands import HandoverWish, HoldWish, TransferWish
from ringbridge.calls.controller import Controller
from ringbridge.calls.handing_over import Decision
from ringbridge.calls.orders import leg_orders
from ringbridge.calls.ports import Answered, Arranged, HungUp, LegSignal, PreparedLeg, Refused, Ringing
from ringbridge.model.call import Call, CallState, Leg, LegState, Side, fold, side_of
from ringbridge.model.cdr import Cdr, cdr_of
from ringbridge.model.events import (
    CallEnded,
    CallerId,
    CallEvent,
    CallRequested,
    Consultation,
    Flow,
    HandoverOrdered,
    HoldOrdered,
    LegInvited,
    TransferOrdered,
    TransferPlan,
)
from ringbridge.model.ids import CallId, LegId, SessionId
from ringbridge.model.release import HUNG_UP, ReleaseCause, of_sip_status
from tests.calls.samples import NODE, O1, START, T1, requested, requested_call, target

Doing: TypeAlias = Ask | LookUp | LetGo | Release | Ringback | Attach | Arrange | StartTimer | StopTimer | Finish


class World:
    """What outlives an engine: the phones and the bus."""

    def __init__(self, event: CallRequested) -> None:
        self.batches: list[tuple[CallEvent, ...]] = [(event,)]
        self.invited: list[LegId] = []
        self.pending: set[LegId] = set()
        self.up: set[LegId] = set()

    def stored(self, end: int | None = None) -> Call:
        """Return the call that the first `end` batches tell of."""
        call: Call | None = None
        for sequence, batch in enumerate(self.batches[:end], start=1):
            call = fold(call, batch, sequence)
        assert call is not None
        return call


class Bench:
    """A controller and the world around it."""

    def __init__(self, event: CallRequested | None = None, *, world: World | None = None, call: Call | None = None):
        event = event or requested()
        self.world = world or World(event)
        self.controller = Controller(call or requested_call(event), NODE)
        self.now = START
        self.timers: dict[Timer, float] = {}
        self.releases: list[tuple[LegId, ReleaseCause]] = []
        self.cancelled: dict[LegId, ReleaseCause] = {}
        self.ringback = False
        self.ringback_side = Side.ORIGINATION
        self.attached: list[LegId] = []
        self.offers: list[tuple[LegId, Flow]] = []
        """Offers that no phone has answered yet."""
        self.asks: list[Ask] = []
        self.looks: list[LookUp] = []
        self.let_go: list[LegId] = []
        self.finished = 0
        self.stored_orders = 0
        self.store_takes_s = 0.0
        self.unpreparable: dict[Side, ReleaseCause] = {}

    # --- performing ---

    def perform(self, actions: Sequence[Action]) -> None:
        dialled = False
        for action in actions:
            match action:
                case Publish():
                    self._store(action.events, waited=any(isinstance(later, Invite) for later in actions))
                case Prepare():
                    self._prepare(action.side)
                case TakeOver():
                    self._take_over(action)
                case Invite():
                    if not dialled and self.controller.is_too_late(action.leg_id, self.now):
                        self.perform(self.controller.on_too_late(side_of(action.leg_id), self.now))
                        break
                    dialled = True
                    self._invite(action.leg_id)
                case _:
                    self._do(action)
        self.check()

    def _do(self, action: Doing) -> None:
        match action:
            case Ask():
                self.asks.append(action)
            case LookUp():
                self.looks.append(action)
            case LetGo():
                self.let_go.append(action.leg_id)
                self.world.up.discard(action.leg_id)
            case Release():
                self._release(action)
            case Ringback():
                self.ringback = action.on
                self.ringback_side = action.side
            case Attach():
                assert action.leg_id in self.world.up, "only an answered leg is attached"
                self.attached.append(action.leg_id)
            case Arrange():
                assert action.leg_id in self.world.up, "an offer goes to a phone that is up"
                self.offers.append((action.leg_id, action.flow))
            case StartTimer():
                self.timers[action.timer] = action.at
            case StopTimer():
                self.timers.pop(action.timer, None)
            case Finish():
                self.finished += 1
            case _:
                assert_never(action)

    def _store(self, events: tuple[CallEvent, ...], *, waited: bool) -> None:
        assert events, "an empty batch is no message"
        assert not self.finished, "nothing is told after the end"
        self.world.batches.append(events)
        if waited:
            self.now += self.store_takes_s
        if any(isinstance(event, HoldOrdered | TransferOrdered | HandoverOrdered) for event in events):
            self.stored_orders += 1

    def _prepare(self, side: Side) -> None:
        if cause := self.unpreparable.get(side):
            self.perform(self.controller.unprepared(side, cause, self.now))
            return
        legs = [
            PreparedLeg(order.leg_id, order.target, f"sip-{order.leg_id}", b"prepared")
            for order in leg_orders(self.controller.call, side)
        ]
        self.perform(self.controller.prepared(side, legs, self.now))

    def _take_over(self, action: TakeOver) -> None:
        (order,) = leg_orders(self.controller.call, action.side)
        plan = self.controller.call.orders[-1].plan
        assert plan is not None
        assert plan.consultation is not None
        leg = PreparedLeg(order.leg_id, order.target, plan.consultation.sip_call_id, action.dialog)
        self.perform(self.controller.prepared(action.side, [leg], self.now))

    def _invite(self, leg_id: LegId) -> None:
        stored = {event.leg_id for batch in self.world.batches for event in batch if isinstance(event, LegInvited)}
        assert leg_id in stored, "an INVITE leaves only after LegInvited is stored"
        assert leg_id not in self.world.invited, "nobody is dialled twice"
        self.world.invited.append(leg_id)
        self.world.pending.add(leg_id)

    def _release(self, action: Release) -> None:
        self.releases.append((action.leg_id, action.cause))
        if action.leg_id in self.world.pending:
            self.cancelled.setdefault(action.leg_id, action.cause)
        self.world.up.discard(action.leg_id)

    # --- what phones, clocks and people do ---

    def start(self) -> Bench:
        self.perform(self.controller.start(self.now))
        return self

    def signal(self, signal: LegSignal) -> Bench:
        self.perform(self.controller.on_signal(signal, self.now))
        return self

    def ring(self, leg_id: LegId, *, early_media: bool = False) -> Bench:
        return self.signal(Ringing(leg_id, early_media))

    def answer(self, leg_id: LegId) -> Bench:
        self.world.pending.discard(leg_id)
        self.world.up.add(leg_id)
        self.cancelled.pop(leg_id, None)
        return self.signal(Answered(leg_id, b"dialog", "PCMU", self.now, "h:1"))

    def refuse(self, leg_id: LegId, status: int) -> Bench:
        return self._refuse(leg_id, of_sip_status(status))

    def _refuse(self, leg_id: LegId, cause: ReleaseCause) -> Bench:
        self.world.pending.discard(leg_id)
        return self.signal(Refused(leg_id, self.cancelled.pop(leg_id, cause)))

    def hold(self, name: str, *, on: bool = True, begun: bool = True) -> Bench:
        """Order the party of `name` to hold, or not to; `begun`: the order is stored at once."""
        self.perform(self.controller.order(HoldWish(name, on, "key 1"), self.now))
        return self.begin_orders() if begun else self

    def transfer(self, leg_id: LegId, *names: str, begun: bool = True, ring_timeout_s: float = 60.0) -> Bench:
        """Order that the devices `names` take the place of `leg_id`."""
        plan = TransferPlan(tuple(map(target, names)), CallerId("1002", "Bob"), names[0], ring_timeout_s)
        self.perform(self.controller.order(TransferWish(leg_id, plan, "key 1"), self.now))
        return self.begin_orders() if begun else self

    def join(self, leg_id: LegId, name: str, *, begun: bool = True) -> Bench:
        """Order that the device `name`, which is up in the call c2, take the place of `leg_id`."""
        second = Consultation(CallId("c2"), SessionId("s-c2"), "sip-there")
        plan = TransferPlan((target(name),), CallerId("1001"), name, 45.0, consultation=second)
        self.perform(self.controller.order(TransferWish(leg_id, plan, "key 1"), self.now))
        return self.begin_orders() if begun else self

    def asked(self, answer: bytes | ReleaseCause = b"state there") -> Bench:
        """Let the other call answer."""
        self.perform(self.controller.asked(answer, self.now))
        return self

    def hand_over(self, leg_id: LegId, *, begun: bool = True) -> Bench:
        """Order that a leg go over to the call c0, whose first transfer it is."""
        wish = HandoverWish(f"sip-{leg_id}", CallId("c0"), SessionId("s-c0"), 1, "key 1")
        self.perform(self.controller.order(wish, self.now))
        return self.begin_orders() if begun else self

    def decide(self, decision: Decision) -> Bench:
        """Let the other call have decided so."""
        self.perform(self.controller.decided(decision, self.now))
        return self

    def begin_orders(self) -> Bench:
        """Tell the controller that its orders are stored."""
        while self.stored_orders:
            self.stored_orders -= 1
            self.perform(self.controller.order_stored(self.now))
        return self

    def take_offer(self, leg_id: LegId, *, status: int = 200, held: bool = False) -> Bench:
        """Let a phone answer the oldest offer that it has."""
        offer = next(one for one in self.offers if one[0] == leg_id)
        self.offers.remove(offer)
        cause = None if status == 200 else of_sip_status(status)
        return self.signal(Arranged(leg_id, offer[1], b"dialog", held, cause))

    def hang_up(self, leg_id: LegId) -> Bench:
        self.world.up.discard(leg_id)
        if side_of(leg_id) is self.ringback_side:
            self.ringback = False  # nobody is there to hear it
        return self.signal(HungUp(leg_id, HUNG_UP))

    def confirm(self) -> Bench:
        """Let every CANCEL have its 487."""
        for leg_id in sorted(self.cancelled):
            self.refuse(leg_id, 487)
        return self

    def delete(self) -> Bench:
        self.perform(self.controller.request_end("key-1", self.now))
        return self

    def stop(self) -> Bench:
        self.perform(self.controller.stop(self.now))
        return self

    def advance(self, seconds: float) -> Bench:
        """Let time pass, and the clocks that run out on the way."""
        until = self.now + seconds
        while due := [(at, timer) for timer, at in self.timers.items() if at <= until]:
            at, timer = min(due)
            del self.timers[timer]
            self.now = max(self.now, at)
            self.perform(self.controller.on_timer(timer, self.now))
        self.now = max(self.now, until)
        return self

    def resumed(self, batches: int | None = None) -> Bench:
        """Return a new engine's bench for the same world, which knows the first `batches` alone."""
        self.world.batches = self.world.batches[:batches]
        again = Bench(world=self.world, call=self.world.stored())
        again.now = self.now
        again.perform(again.controller.resume(again.now))
        return again

    # --- what is true ---

    @property
    def stored(self) -> Call:
        return self.world.stored()

    @property
    def cdr(self) -> Cdr:
        return cdr_of(self.stored)

    def check(self) -> None:
        """Assert what always holds."""
        ends = [event for batch in self.world.batches for event in batch if isinstance(event, CallEnded)]
        assert len(ends) <= 1, "one end"
        assert self.finished <= 1, "finished once"
        if ends:
            assert all(leg.state is LegState.RELEASED for leg in self.stored.legs), "every leg is released"
            assert all(leg.cause is not None for leg in self.stored.legs)
            assert self.stored.is_over

    def check_over(self) -> Bench:
        """Assert that the call is over, with nothing left behind."""
        assert self.stored.is_over
        assert self.finished == 1
        assert not self.world.up, "no phone is left up"
        assert not self.world.pending, "no phone is left ringing"
        assert not self.ringback
        assert self.cdr.id == self.stored.session_id
        return self


def joined() -> Bench:
    """Return a call whose two legs are up and joined."""
    return Bench().start().answer(O1).answer(T1)


def held() -> Bench:
    """Return a call that is on hold, both parties of which have taken the offer."""
    return joined().hold("c1").take_offer(T1).take_offer(O1)


def leg(bench: Bench, leg_id: LegId) -> Leg:
    """Return a leg as it is stored."""
    found = bench.stored.leg(leg_id)
    assert found is not None
    return found


def state(bench: Bench) -> CallState:
    """Return the state of the call as it is stored."""
    return bench.stored.state
