"""One call being run: its task and its queue. Performs what the controller asks for; decides nothing itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias, assert_never

import msgspec
import structlog

from ringbridge.calls.actions import (
    Action,
    Arrange,
    Attach,
    Finish,
    Invite,
    Prepare,
    Publish,
    Release,
    Ringback,
    StartTimer,
    StopTimer,
    Timer,
)
from ringbridge.calls.commands import Wish
from ringbridge.calls.controller import Controller
from ringbridge.calls.orders import leg_orders
from ringbridge.calls.outbox import Outbox
from ringbridge.calls.ports import CallEngine, Clock, LegSignal
from ringbridge.model.call import Call, Side, side_of
from ringbridge.model.errors import CallError, Conflict
from ringbridge.model.events import CallEvent, HoldOrdered, LegAnswered, TransferOrdered
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


class Begin(msgspec.Struct, frozen=True):
    """Start a new call, or resume one that this node had before it restarted."""

    resumed: bool


Input: TypeAlias = Begin | LegSignal | Timer | EndRequest | OrderRequest | OrderStored | Stop | Deposed


class CallRun:
    """Runs one call until it is over; `on_over` is called once, whatever happened."""

    def __init__(
        self, call: Call, *, node: NodeId, engine: CallEngine, clock: Clock, outbox: Outbox, on_over: Callable[[], None]
    ) -> None:
        self.call_id = call.call_id
        self.session_id = call.session_id
        self.domain = call.domain
        self._controller = Controller(call, node)
        self._engine = engine
        self._clock = clock
        self._outbox = outbox
        self._outbox.on_deposed = lambda: self.put(Deposed())
        self._outbox.on_stored = self._on_stored
        self._on_over = on_over
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._owed: deque[Publish] = deque()
        """What is to be told once the actions before it are done."""
        self._telling: set[asyncio.Task[None]] = set()
        self._finished = False
        self.claimed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the call is ours: its claim is stored; or it was ours before, and its legs are restored."""

    @property
    def call(self) -> Call:
        return self._controller.call

    def put(self, item: Input) -> None:
        """Queue an input; never blocks."""
        self._inputs.put_nowait(item)

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
            case Stop():
                return self._controller.stop(now)
            case Deposed():
                raise Conflict("another engine owns the call")
            case _:
                return self._controller.on_signal(item, now)

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
        await self._engine.restore(self.session_id, self.domain, self._controller.call.legs)
        self.claimed.set_result(True)

    async def _perform(self, actions: Sequence[Action]) -> None:
        dialled = False
        self._owed += [action for action in actions if isinstance(action, Publish)]
        for position, action in enumerate(actions):
            match action:
                case Publish():
                    self._owed.popleft()
                    if any(isinstance(later, Invite) for later in actions[position:]):
                        await self._store(action)
                    else:
                        self._outbox.put(action.events)
                case Prepare():
                    await self._prepare(action.side)
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

    def _do(self, action: Release | Ringback | Attach | Arrange | StartTimer | StopTimer) -> None:
        match action:
            case Release():
                self._engine.release(self.session_id, action.leg_id, action.cause)
            case Ringback():
                self._engine.ringback(self.session_id, action.side, on=action.on)
            case Attach():
                self._engine.attach(self.session_id, action.leg_id)
            case Arrange():
                self._engine.arrange(self.session_id, action.leg_id, action.flow)
            case StartTimer() | StopTimer():
                self._set_timer(action)
            case _:
                assert_never(action)

    def _on_stored(self, events: Sequence[CallEvent]) -> None:
        for event in events:
            if isinstance(event, LegAnswered):
                self._engine.acknowledge(self.session_id, event.leg_id)
            elif isinstance(event, HoldOrdered | TransferOrdered):
                self.put(OrderStored())

    async def _store(self, action: Publish) -> None:
        await self._outbox.store(action.events)
        if not self.claimed.done():
            self.claimed.set_result(True)

    async def _prepare(self, side: Side) -> None:
        try:
            legs = await self._engine.prepare(leg_orders(self._controller.call, side))
        except CallError as refused:
            log.warning("leg_not_prepared", call_id=self.call_id, side=side.value, reason=refused.code)
            cause = ReleaseCause(Result.FAILED, refused.code)
            actions = self._controller.unprepared(side, cause, self._clock.now())
        else:
            actions = self._controller.prepared(side, legs, self._clock.now())
        await self._perform(actions)

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
        if not self.claimed.done():
            self.claimed.set_result(not self._outbox.deposed)
        self._on_over()
        while not self._inputs.empty():
            item = self._inputs.get_nowait()
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
