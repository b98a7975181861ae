"""The engine's side of calls: claims requested ones, runs them, takes its own up again after a restart."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import assert_never

import structlog

from ringbridge.calls.commands import (
    Command,
    CommandAnswer,
    EndCommand,
    HandoverWish,
    OrderCommand,
    Refused,
    decode_command,
    encode_answer,
)
from ringbridge.calls.other_calls import CallsOnBus
from ringbridge.calls.outbox import Outbox
from ringbridge.calls.ports import Bus, CallEngine, Claimable, Clock, LegSignal, Store
from ringbridge.calls.run import Begin, CallParts, CallRun, EndRequest, OrderRequest, Stop
from ringbridge.model.call import Call, fold
from ringbridge.model.errors import CallError, Conflict
from ringbridge.model.ids import NodeId, SessionId

log = structlog.get_logger()

CLAIMS_AT_ONCE = 32
"""Claims being stored at one time. Once stored each is some 2 ms of work: many at once would make the loop late by more
than T1, and every request would be sent again. At a bus round trip of 5 ms these still are 6,000 calls a second."""
LAG_CHECK_S = 0.05
LAG_BUSY_S = 0.15
"""An event loop that comes this much too late is overloaded. New calls then wait on the bus, where another engine can
take them, while those that run get all of the CPU: else all would miss their deadlines together."""
STOP_TIMEOUT_S = 1.2
"""How long a stopping engine waits for BYEs and last events; the whole program stops within two seconds."""


class Owner:
    """Runs this node's calls."""

    def __init__(self, *, node: NodeId, bus: Bus, store: Store, engine: CallEngine, clock: Clock) -> None:
        self._node = node
        self._bus = bus
        self._store = store
        self._parts = CallParts(node, engine, clock, CallsOnBus(bus))
        self._runs: dict[SessionId, CallRun] = {}
        self._names: dict[tuple[str, str], CallRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving: list[asyncio.Task[None]] = []
        self._ended: Counter[str] = Counter()
        self._stopping = False
        self._at_ease = asyncio.Event()
        self._at_ease.set()
        engine.listen(self._on_signal)

    @property
    def active(self) -> int:
        """How many calls run here now."""
        return len(self._runs)

    @property
    def ended(self) -> Mapping[str, int]:
        """How many calls have ended here since the start, by result."""
        return self._ended

    async def start(self) -> None:
        """Take up own calls from before a restart, then begin to claim. The replica must have caught up before."""
        for call in await self._store.owned_calls(self._node):
            await self._resume(call)
        self._serving = [
            asyncio.create_task(self._bus.claims(self._take, at_most=CLAIMS_AT_ONCE)),
            asyncio.create_task(self._bus.serve_commands(self._node, self._on_command)),
            asyncio.create_task(self._watch_lag()),
        ]

    async def stop(self) -> None:
        """End all calls that run here and return when their last words are stored, or after `STOP_TIMEOUT_S`."""
        self._stopping = True
        self._serving[0].cancel()
        for run in self._runs.values():
            run.put(Stop())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_S)
        for task in (*self._serving, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._serving, *self._tasks, return_exceptions=True)

    async def _resume(self, call: Call) -> None:
        log.info("call_resumed", call_id=call.call_id, domain=call.domain, state=call.state.value)
        await asyncio.shield(self._begin(call, resumed=True).claimed)

    async def _watch_lag(self) -> None:
        """Note, by how late a short sleep ends, whether the event loop is overloaded."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_CHECK_S
            await asyncio.sleep(LAG_CHECK_S)  # the sleep is the measurement: how late it ends is how busy the loop is
            if loop.time() - due > LAG_BUSY_S:
                self._at_ease.clear()
            else:
                self._at_ease.set()

    async def _take(self, claimable: Claimable) -> None:
        await self._at_ease.wait()
        requested = claimable.requested
        run = self._runs.get(requested.session_id)
        if run is not None and run.claimed.done():
            claimable.done()
            return
        if self._stopping or run is not None:
            claimable.again(1.0)
            return
        call = fold(None, [requested], claimable.sequence)
        if call is None or call.plan is None:
            claimable.done()
            return
        await asyncio.shield(self._begin(call, resumed=False).claimed)
        claimable.done()

    def _begin(self, call: Call, *, resumed: bool) -> CallRun:
        outbox = Outbox(self._bus, call.domain, call.call_id, after=call.sequence)
        run = CallRun(call, self._parts, outbox=outbox, on_over=lambda ended: self._over(call, ended))
        self._runs[call.session_id] = run
        self._names[call.domain, call.call_id] = run
        run.put(Begin(resumed=resumed))
        task = asyncio.create_task(run.run())
        self._tasks.add(task)
        task.add_done_callback(self._gone)
        return run

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()):
            log.error("call_left_by_a_bug", exc_info=bug)

    def _over(self, call: Call, ended: Call | None) -> None:
        if ended is not None and ended.release is not None:
            self._ended[ended.release.result] += 1
        self._runs.pop(call.session_id, None)
        self._names.pop((call.domain, call.call_id), None)

    def _on_signal(self, session_id: SessionId, signal: LegSignal) -> None:
        if run := self._runs.get(session_id):
            run.put(signal)

    async def _on_command(self, payload: bytes) -> bytes:
        command = decode_command(payload)
        run = self._names.get((command.domain, command.call_id))
        if run is None:
            return encode_answer(CommandAnswer(running=False))
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        run.put(_request(command, stored))
        try:
            await stored
        except Conflict:
            return encode_answer(CommandAnswer(running=False))
        except CallError as refused:
            return encode_answer(CommandAnswer(running=True, refused=Refused(refused.code, refused.message)))
        wish = command.wish if isinstance(command, OrderCommand) else None
        dialog = run.dialog(wish.sip_call_id) if isinstance(wish, HandoverWish) else b""
        return encode_answer(CommandAnswer(running=True, dialog=dialog))


def _request(command: Command, stored: asyncio.Future[None]) -> EndRequest | OrderRequest:
    match command:
        case EndCommand():
            return EndRequest(command.by, stored)
        case OrderCommand():
            return OrderRequest(command.wish, stored)
        case _:
            assert_never(command)
