"""The commands as processes, and an API for them: the real one on a socket, over bus and store in memory."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ringbridge.adapters.memory.engine import MemoryEngine
from ringbridge.adapters.memory.phones import MemoryPhones
from ringbridge.api.http.server import ApiServer
from ringbridge.calls.owner import Owner
from ringbridge.model.call import Call
from ringbridge.model.events import CallEvent
from tests.api.world import NODE, World, running_world

PROGRAM = str(Path(sys.executable).with_name("ringbridge"))


class Engine:
    """Plays one script of events to every call that is requested, as an engine's messages would come."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: set[asyncio.Task[None]] = set()
        self._played: set[str] = set()
        self.script: Sequence[Sequence[CallEvent]] = ()

    def on_call(self, call: Call) -> None:
        if call.call_id not in self._played:
            self._played.add(call.call_id)
            task = asyncio.get_running_loop().create_task(self._play(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _play(self, call: Call) -> None:
        sequence = call.sequence
        for batch in self.script:
            await asyncio.sleep(0.05)
            sequence = await self._world.bus.append_call(call.domain, call.call_id, batch, after=sequence)


@dataclass(frozen=True, slots=True)
class Api:
    """An API on a socket."""

    world: World
    url: str
    engine: Engine


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_world() as world, contextlib.AsyncExitStack() as stack:
        server = ApiServer(world.app, port=0)
        await server.start()
        stack.push_async_callback(server.stop)
        engine = Engine(world)
        stack.callback(world.replica.follow_calls(engine.on_call))
        yield Api(world, server.url, engine)


@pytest.fixture
async def owner(api: Api) -> AsyncIterator[None]:
    """An engine that carries out orders, with virtual phones."""
    world = api.world
    api.engine.script = ()
    engine = MemoryEngine(MemoryPhones(world.clock))
    owner = Owner(node=NODE, bus=world.bus, store=world.store, engine=engine, clock=world.clock)
    await owner.start()
    yield
    await owner.stop()
