"""Live events over a WebSocket (RFC 6455), at the same path and by the same rules as `api.events.streams`.

One JSON text message is one frame: `{"event": …, "id": …, "data": …}`. What is refused is answered as HTTP, before the
handshake. The token comes in the Authorization header, as everywhere.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final, cast

from litestar.types import Receive, Scope, Send, WebSocketScope

from ringbridge.api.access.auth import Gate
from ringbridge.api.events.session import EventSession, Frame
from ringbridge.api.events.streams import PATH, EventStreams, until_gone
from ringbridge.api.http.answers import Answer
from ringbridge.api.http.errors import HttpRefusal, error_answer
from ringbridge.api.http.passage import passage_of
from ringbridge.api.http.requests import header, parse_query
from ringbridge.model.errors import CallError

OPERATION: Final = "follow-calls-websocket"
NORMAL: Final = 1000
TRY_AGAIN: Final = 1012
"""Service restart, as in IANA's registry of close codes."""
VOID: Final = 3000
"""Unauthorized, likewise: the token does not hold any more."""


def as_message(frame: Frame) -> str:
    """Return a frame as one message."""
    data = frame.data.decode() or "null"
    return f'{{"event":"{frame.event}","id":"{frame.id}","data":{data}}}'


class EventSockets:
    """The ASGI application of every WebSocket."""

    def __init__(self, streams: EventStreams, gate: Gate) -> None:
        self._streams = streams
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        passage = passage_of(scope)
        socket = cast("WebSocketScope", scope)
        try:
            if socket["path"].rstrip("/") != PATH:
                raise HttpRefusal(404, "no-such-path", "there is nothing here")
            passage.operation = OPERATION
            socket["path_params"] = {}
            principal, _, _ = await self._gate.admit(self._streams.operation, scope)
            wish = await self._streams.wish(scope, parse_query(socket["query_string"]), principal)
            async with self._streams.session(scope, wish, principal) as session:
                await self._tell(session, receive, send)
        except (CallError, HttpRefusal) as refusal:
            if passage.status == 0:
                answer = error_answer(refusal, request_id=passage.request_id, accept=header(scope, b"accept"))
                await _refuse(answer, send)

    async def _tell(self, session: EventSession, receive: Receive, send: Send) -> None:
        await receive()  # the handshake
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        async with until_gone(receive, "websocket.disconnect", session), aclosing(session.frames()) as frames:
            async for frame in frames:
                async with asyncio.timeout(self._streams.settings.send_s):
                    await send({"type": "websocket.send", "text": as_message(frame), "bytes": None})
        if session.ended != "gone":
            code = {"refused": VOID, "node-stops": TRY_AGAIN}.get(session.ended, NORMAL)
            await send({"type": "websocket.close", "code": code, "reason": session.ended})


async def _refuse(answer: Answer, send: Send) -> None:
    """Answer as HTTP (ASGI's extension `websocket.http.response`)."""
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "websocket.http.response.body", "body": answer.body, "more_body": False})
