"""Live events as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), for `fetch`.

`EventSource` cannot send an Authorization header, and no token belongs into a URL: pages read the answer of `fetch` as
it comes. `api.events.sockets` tells the same over a WebSocket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Final

import structlog
from litestar.types import Receive, Scope, Send
from prometheus_client import CollectorRegistry

from ringbridge.api.access.auth import Gate, client_address
from ringbridge.api.document.operations import Access, Operation, Reply, Schema
from ringbridge.api.events.reach import LAST_EVENT_ID, QUERY, Wish, reach_of, read_wish
from ringbridge.api.events.session import EventSession, Frame, TooSlow
from ringbridge.api.events.slots import EventSlots
from ringbridge.api.http.answers import Answer
from ringbridge.api.http.errors import error_answer
from ringbridge.api.http.protocol import cut_off
from ringbridge.api.http.requests import Request, header
from ringbridge.api.parts import ApiParts
from ringbridge.calls.events.live import Reach
from ringbridge.model.access import Principal
from ringbridge.model.errors import CallError
from ringbridge.model.event_marks import MARK_PATTERN

log = structlog.get_logger(__name__)

PATH: Final = "/ringbridge/v1/events"
EVENT_STREAM: Final = "text/event-stream"
RETRY_MS: Final = 2000
"""What a client waits before it comes back."""
DESCRIPTION: Final = (
    "Server-sent events; asked to upgrade, the same over a WebSocket, a JSON object `{event, id, data}` each. `ready` "
    "comes first: what happens from then on is told. `call` and `cdr` are objects as subscribers are sent. Come back "
    "with the last `id`, here or at another node, and nothing is missed; an event may then come again with the same "
    "`id` in its data. `reset` says that what happened since cannot be told any more: read the lists, and go on. "
    "`end` says why the stream ends. A comment that moves the id on is the heartbeat. Told is what the token sees in "
    "the lists of calls. Browsers: read the answer of `fetch`, since `EventSource` sends no Authorization header."
)
EVENT_SCHEMA: Final[Schema] = {
    "title": "ServerSentEvent",
    "type": "object",
    "description": "One event of the stream, as the HTML standard has it (§9.2); over a WebSocket, one message.",
    "properties": {
        "event": {"type": "string", "enum": ["ready", "call", "cdr", "reset", "end", "heartbeat"]},
        "id": {"type": "string", "pattern": MARK_PATTERN, "description": "What to come back with."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "JSON in one line; over a WebSocket, JSON itself.",
        },
    },
}


def as_text(frame: Frame) -> bytes:
    """Return a frame as it goes over the line; a heartbeat is a comment, which moves the last id on all the same."""
    if frame.event == "heartbeat":
        return f": heartbeat\nid: {frame.id}\n\n".encode()
    return f"event: {frame.event}\nid: {frame.id}\ndata: ".encode() + frame.data + b"\n\n"


class EventStreams:
    """Opens streams, whatever carries them; the gate has let the client in."""

    def __init__(self, parts: ApiParts, gate: Gate, registry: CollectorRegistry) -> None:
        self._parts = parts
        self._gate = gate
        self._live = parts.live
        self._slots = EventSlots(parts.settings.streams, registry)
        self.settings = parts.settings.streams
        self.operation = _operation(self)

    async def answer(self, request: Request) -> Answer:
        """Answer with a stream of server-sent events."""
        return _StreamAnswer(self, await self.wish(request.scope, request.query, request.principal), request)

    async def wish(self, scope: Scope, query: dict[str, str], principal: Principal) -> Wish:
        """Return what a request asks for, once it is known that it may have it.

        Raises:
            CallError: it may not, or there are too many streams.
        """
        wish = read_wish(query, header(scope, b"last-event-id").decode("latin-1"))
        await reach_of(self._parts.store, principal, wish)
        self._slots.check(principal, client_address(scope))
        return wish

    @asynccontextmanager
    async def session(self, scope: Scope, wish: Wish, principal: Principal) -> AsyncIterator[EventSession]:
        """Have a session for as long as the client is told of anything.

        Raises:
            CallError: the token lost what it had a moment ago.
        """
        store = self._parts.store

        async def recheck() -> Reach:
            return await reach_of(store, await self._gate.still_admits(self.operation, scope), wish)

        reader = self._live.open(await reach_of(store, principal, wish), after=wish.after)
        session = EventSession(
            self._live,
            reader,
            settings=self.settings,
            node=self._parts.readiness().node,
            resumed=wish.after is not None,
            recheck=recheck,
        )
        with self._slots.hold(principal, client_address(scope)):
            try:
                yield session
            except (TooSlow, TimeoutError):
                session.cut()
                log.info("event_stream_cut", why="slow", key=principal.key_id)
                await cut_off(scope)
            finally:
                self._live.leave(reader)
                self._slots.ended(session.ended or "gone")


class _StreamAnswer(Answer):
    """Server-sent events, for as long as the client takes them."""

    __slots__ = ("_request", "_streams", "_wish")

    def __init__(self, streams: EventStreams, wish: Wish, request: Request) -> None:
        super().__init__(200, b"", content_type=EVENT_STREAM.encode(), headers=((b"x-accel-buffering", b"no"),))
        self.headers = [pair for pair in self.headers if pair[0] != b"content-length"]
        self._streams = streams
        self._wish = wish
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            try:
                opening = self._streams.session(scope, self._wish, self._request.principal)
                session = await stack.enter_async_context(opening)
            except CallError as refused:  # the last place was taken, or the token lost what it had, a moment ago
                accept, request_id = header(scope, b"accept"), self._request.request_id
                await error_answer(refused, request_id=request_id, accept=accept)(scope, receive, send)
                return
            await self._tell(session, receive, send)

    async def _tell(self, session: EventSession, receive: Receive, send: Send) -> None:
        async with (
            until_gone(receive, "http.disconnect", session),
            aclosing(session.frames()) as frames,
        ):
            await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
            first = f"retry: {RETRY_MS}\n\n".encode()
            async for frame in frames:
                body = first + as_text(frame)
                async with asyncio.timeout(self._streams.settings.send_s):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                first = b""
            await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def until_gone(receive: Receive, farewell: str, session: EventSession) -> AsyncIterator[None]:
    """End `session` when its client goes; what else the client says is passed over."""

    async def listen() -> None:
        while (await receive())["type"] != farewell:
            pass
        session.gone()

    listening = asyncio.create_task(listen(), name="event-client-gone")
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.wait([listening])


def _operation(streams: EventStreams) -> Operation:
    return Operation(
        name="follow-calls",
        method="GET",
        path=PATH,
        access=Access.TOKEN,
        handle=streams.answer,
        tag="Events",
        summary="Follow calls as they happen",
        description=DESCRIPTION,
        query=QUERY,
        headers=(LAST_EVENT_ID,),
        replies=(Reply(200, "Events, until either side ends the stream.", EVENT_SCHEMA, (), EVENT_STREAM),),
        refusals=(404,),
    )
