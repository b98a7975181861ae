"""One call being run: its task and its queue. Performs what the controller asks for; decides nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeAlias, assert_never

import msgspec
import structlog

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
from ringbridge.calls.commands import HandoverWish, Wish
from ringbridge.calls.controller import Controller
from ringbridge.calls.handing_over import Decision
from ringbridge.calls.inbox import Inbox
from ringbridge.calls.orders import leg_orders
from ringbridge.calls.other_calls import OtherCalls
from ringbridge.calls.outbox import Outbox
from ringbridge.calls.ports import (
    Answered,
    Arranged,
    CallEngine,
    Clock,
    HungUp,
    LegSignal,
    MediaLost,
    Refused,
    Ringing,
    Updated,
)
from ringbridge.model.call import Call, side_of
from ringbridge.model.errors import CallError, Conflict
from ringbridge.model.events import CallEvent, HandoverOrdered, HoldOrdered, LegAnswered, TransferOrdered
from ringbridge.model.ids import NodeId
from ringbridge.model.release import INTERNAL_ERROR, ReleaseCause, Result

log = structlog.get_logger()


class EndRequest(msgspec.Struct, frozen=True):
    """DELETE reached the owner; `stored` is set when the wish is durable, or failed when it cannot be."""

    by: str
    stored: asyncio.Future[None]


class OrderRequest(msgspec.Struct, frozen=True):
    """An order reached the owner; `stored` is set when it is durable, or failed when it is refused."""

    wish: Wish
    stored: asyncio.Future[None]


class OrderStored(msgspec.Struct, frozen=True):
    """An order of this call is stored and can be carried out."""


class Stop(msgspec.Struct, frozen=True):
    """The engine is being stopped: end the call."""


class Deposed(msgspec.Struct, frozen=True):
    """The bus said that another engine owns the call now."""


class Asked(msgspec.Struct, frozen=True):
    """What another call says to giving a leg to this one: the leg's state, or why not."""

    answer: bytes | ReleaseCause


class Decided(msgspec.Struct, frozen=True):
    """What has become of a leg that was given to another call."""

    decision: Decision


class Broken(msgspec.Struct, frozen=True):
    """An errand of this call ended by a bug."""

    bug: BaseException


class Begin(msgspec.Struct, frozen=True):
    """Start a new call, or resume one that this node had before it restarted."""

    resumed: bool


Input: TypeAlias = (
    Begin | LegSignal | Timer | EndRequest | OrderRequest | OrderStored | Asked | Decided | Broken | Stop | Deposed
)


class CallParts(msgspec.Struct, frozen=True):
    """What all calls of one node stand on."""

    node: NodeId
    engine: CallEngine
    clock: Clock
    others: OtherCalls


Doing: TypeAlias = Ask | LookUp | LetGo | Release | Ringback | Attach | Arrange | StartTimer | StopTimer
"""Actions that are done at once, or begun."""


class CallRun:
    """Runs one call until it is over; `on_over` is called once, with the call or, if another node has it, None."""

    def __init__(self, call: Call, parts: CallParts, *, outbox: Outbox, on_over: Callable[[Call | None], None]) -> None:
        self.call_id = call.call_id
        self.session_id = call.session_id
        self.domain = call.domain
        self._controller = Controller(call, parts.node)
        self._engine = parts.engine
        self._clock = parts.clock
        self._others = parts.others
        self._outbox = outbox
        self._outbox.on_deposed = lambda: self.put(Deposed())
        self._outbox.on_stored = self._on_stored
        self._on_over = on_over
        self._inputs: Inbox[Input] = Inbox()
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._owed: list[Publish] = []
        """What is to be told once the actions before it are done."""
        self._telling: set[asyncio.Task[None]] = set()
        self._errands: set[asyncio.Task[None]] = set()
        """What is being asked of other calls."""
        self._finished = False
        self.claimed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the call is ours: its claim is stored; or it was ours before, and its legs are restored."""

    @property
    def call(self) -> Call:
        return self._controller.call

    def dialog(self, sip_call_id: str) -> bytes:
        """Return the state of a leg as it is now, for another call to go on with; empty when it is over."""
        leg = next((one for one in self.call.legs if one.sip_call_id == sip_call_id), None)
        return self._engine.dialog(self.session_id, leg.leg_id) if leg is not None else b""

    def put(self, item: Input) -> None:
        """Queue an input; never blocks."""
        self._inputs.put(item)

    async def run(self) -> None:
        """Process inputs until the call is over or lost to another owner."""
        try:
            while not self._finished:
                item = await self._inputs.get()
                if isinstance(item, Begin) and item.resumed:
                    await self._restore()
                await self._perform(self._decide(item))
            await self._outbox.stored()
        except Conflict:
            log.warning("call_taken_by_another_engine", call_id=self.call_id, domain=self.domain)
            self._drop_legs()
        except Exception:
            # The one guard of this task: a bug ends the call that it hit, never the process (style.md §6).
            log.exception("call_failed_by_a_bug", call_id=self.call_id, domain=self.domain)
            await self._end_after_bug()
        finally:
            await self._leave()

    # --- inputs -------------------------------------------------------------------------------------------------------

    def _decide(self, item: Input) -> list[Action]:
        now = self._clock.now()
        match item:
            case Ringing() | Answered() | Updated() | Arranged() | Refused() | HungUp() | MediaLost():
                return self._controller.on_signal(item, now)
            case Begin():
                return self._controller.resume(now) if item.resumed else self._controller.start(now)
            case Timer():
                self._timers.pop(item, None)
                return self._controller.on_timer(item, now)
            case EndRequest():
                actions = self._controller.request_end(item.by, now)
                self._tell_when_stored(item.stored)
                return actions
            case OrderRequest():
                return self._take_order(item, now)
            case OrderStored():
                return self._controller.order_stored(now)
            case Asked():
                return self._controller.asked(item.answer, now)
            case Decided():
                return self._controller.decided(item.decision, now)
            case Broken():
                raise item.bug
            case Stop():
                return self._controller.stop(now)
            case Deposed():
                raise Conflict("another engine owns the call")
            case _:
                assert_never(item)

    def _take_order(self, item: OrderRequest, now: float) -> list[Action]:
        try:
            actions = self._controller.order(item.wish, now)
        except CallError as refused:
            if not item.stored.done():
                item.stored.set_exception(refused)
            return []
        self._tell_when_stored(item.stored)
        return actions

    def _tell_when_stored(self, told: asyncio.Future[None]) -> None:
        async def tell() -> None:
            # Begins after the wish's batch was put, since a task never runs before the current one yields.
            try:
                await self._outbox.stored()
                _answer(told, stored=True)
            except Conflict:
                pass  # said below
            finally:
                _answer(told, stored=False)

        telling = asyncio.create_task(tell())
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    # --- actions ------------------------------------------------------------------------------------------------------

    async def _restore(self) -> None:
        legs = self.call.legs
        order = self.call.order
        given = self.call.leg(order.handover.given) if order and order.handover else None
        if order is not None and order.handover is not None and given is not None:
            # A leg that another call has by now is not this one's to take up.
            decision = await self._others.look_up(self.domain, order.handover, given.sip_call_id)
            if decision is Decision.TAKEN:
                legs = tuple(leg for leg in legs if leg is not given)
                self.put(Decided(decision))
        await self._engine.restore(self.session_id, self.domain, legs)
        self.claimed.set_result(True)

    async def _perform(self, actions: Sequence[Action]) -> None:
        dialled = False
        self._owed += [action for action in actions if isinstance(action, Publish)]
        for position, action in enumerate(actions):
            match action:
                case Publish():
                    self._owed.pop(0)
                    if any(isinstance(later, Invite) for later in actions[position:]):
                        await self._store(action)
                    else:
                        self._outbox.put(action.events)
                case Prepare() | TakeOver():
                    await self._prepare(action)
                case Invite():
                    now = self._clock.now()
                    if not dialled and self._controller.is_too_late(action.leg_id, now):
                        await self._perform(self._controller.on_too_late(side_of(action.leg_id), now))
                        break
                    dialled = True  # for one is for all: they were stored together
                    self._engine.invite(self.session_id, action.leg_id)
                case Finish():
                    self._finished = True
                case _:
                    self._do(action)

    def _do(self, action: Doing) -> None:
        match action:
            case StartTimer() | StopTimer():
                self._set_timer(action)
            case Ringback():
                self._engine.ringback(self.session_id, action.side, on=action.on)
            case Release():
                self._engine.release(self.session_id, action.leg_id, action.cause)
            case Attach():
                self._engine.attach(self.session_id, action.leg_id)
            case Arrange():
                self._engine.arrange(self.session_id, action.leg_id, action.flow)
            case Ask() | LookUp():
                self._send_out(self._ask(action) if isinstance(action, Ask) else self._look_up(action))
            case LetGo():
                self._engine.let_go(self.session_id, action.leg_id)
            case _:
                assert_never(action)

    def _on_stored(self, events: Sequence[CallEvent]) -> None:
        for event in events:
            if isinstance(event, LegAnswered):
                self._engine.acknowledge(self.session_id, event.leg_id)
            elif isinstance(event, HoldOrdered | TransferOrdered | HandoverOrdered):
                self.put(OrderStored())

    async def _store(self, action: Publish) -> None:
        await self._outbox.store(action.events)
        if not self.claimed.done():
            self.claimed.set_result(True)

    async def _prepare(self, action: Prepare | TakeOver) -> None:
        side, orders = action.side, leg_orders(self.call, action.side)
        try:
            if isinstance(action, TakeOver):
                legs = [await self._engine.take_over(orders[0], action.dialog, giver=action.giver)]
            else:
                legs = await self._engine.prepare(orders)
        except CallError as refused:
            log.warning("leg_not_prepared", call_id=self.call_id, side=side.value, reason=refused.code)
            cause = ReleaseCause(Result.FAILED, refused.code)
            actions = self._controller.unprepared(side, cause, self._clock.now())
        else:
            actions = self._controller.prepared(side, legs, self._clock.now())
        await self._perform(actions)

    async def _ask(self, action: Ask) -> None:
        wanted = action.consultation
        wish = HandoverWish(wanted.sip_call_id, self.call_id, self.session_id, action.transfer, action.by)
        self.put(Asked(await self._others.ask(self.domain, wanted, wish)))

    async def _look_up(self, action: LookUp) -> None:
        self.put(Decided(await self._others.look_up(self.domain, action.handover, action.sip_call_id)))

    def _send_out(self, errand: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._returned)

    def _returned(self, errand: asyncio.Task[None]) -> None:
        self._errands.discard(errand)
        if not errand.cancelled() and (bug := errand.exception()):
            self.put(Broken(bug))

    def _set_timer(self, action: StartTimer | StopTimer) -> None:
        if handle := self._timers.pop(action.timer, None):
            handle.cancel()
        if isinstance(action, StartTimer):
            delay_s = max(0.0, action.at - self._clock.now())
            self._timers[action.timer] = asyncio.get_running_loop().call_later(delay_s, self.put, action.timer)

    # --- the way out --------------------------------------------------------------------------------------------------

    def _drop_legs(self) -> None:
        for leg in self._controller.call.legs:
            self._engine.release(self.session_id, leg.leg_id, INTERNAL_ERROR)

    async def _end_after_bug(self) -> None:
        try:
            self._drop_legs()
        finally:
            actions = self._controller.give_up(INTERNAL_ERROR, self._clock.now())
            self._owed += [action for action in actions if isinstance(action, Publish)]
            self._outbox.put([event for action in self._owed for event in action.events])
            try:
                await self._outbox.stored()
            except Conflict:
                log.warning("call_taken_by_another_engine", call_id=self.call_id, domain=self.domain)

    async def _leave(self) -> None:
        for handle in self._timers.values():
            handle.cancel()
        for errand in self._errands:
            errand.cancel()
        if not self.claimed.done():
            self.claimed.set_result(not self._outbox.deposed)
        self._on_over(None if self._outbox.deposed else self._controller.call)
        for item in self._inputs.take_all():
            if isinstance(item, EndRequest):
                _answer(item.stored, stored=self._finished and not self._outbox.deposed)
            elif isinstance(item, OrderRequest):
                _answer(item.stored, stored=False)
        self._outbox.abandon()
        await self._engine.close(self.session_id)


def _answer(told: asyncio.Future[None], *, stored: bool) -> None:
    """Answer a wish that nobody has answered yet."""
    if told.done():
        return
    if stored:
        told.set_result(None)
    else:
        told.set_exception(Conflict("the wish could not be stored by this engine"))
