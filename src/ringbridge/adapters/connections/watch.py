"""Asks one connection by OPTIONS whether it lives, over and over (RFC 3261 §11).

Any final answer but 408 and 503 is a sign of life: who refuses OPTIONS is there. 503 says that it takes no calls now,
so it is down at once; silence counts as that the second time in a row, since a packet may be lost.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from ringbridge.adapters.sip.node import SipNode
from ringbridge.calls.found import connection_target
from ringbridge.model.connection_states import Health
from ringbridge.model.directory import Connection
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import RequestResult
from ringbridge.sip.session_orders import RequestOrder

ANSWER_S = 5.0
"""How long an answer is waited for: by UDP the question has gone out four times then (RFC 3261 §17.1.2)."""
ASK_AGAIN_S = 2.0
"""After how long one that was silent is asked once more."""
SILENCES: Final = 2
FIRST_WITHIN_S = 1.0
"""The first questions of a node that begins are spread over so long."""
NO_ANSWER: Final = "no answer"
UNDELIVERED: Final = "cannot be reached"

Found = Callable[[Health, str], None]
"""Takes what a connection's health is found to be, and why."""


class Questions:
    """OPTIONS that are on their way from one node."""

    def __init__(self, node: SipNode) -> None:
        self._node = node
        self._asked: dict[str, asyncio.Future[RequestResult]] = {}

    def take(self, event: RequestResult) -> bool:
        """Take an answer; false: to a question of somebody else."""
        future = self._asked.get(event.token)
        if future is None:
            return False
        if not future.done():
            future.set_result(event)
        return True

    async def ask(self, connection: Connection) -> RequestResult | None:
        """Return what a connection says to OPTIONS; None when it says nothing in time."""
        target = connection_target(connection, "", "")
        host = f"[{self._node.host}]" if ":" in self._node.host else self._node.host
        order = RequestOrder(
            peer=Peer(Transport(target.transport), target.host, target.port),
            method="OPTIONS",
            uri=target.uri,
            from_=f"<sip:ringbridge@{host}>",
            to=f"<{target.to_uri}>",
            headers=(("Accept", "application/sdp"),),
        )
        token = self._node.endpoint.send_request(order, self._node.now())
        self._node.wake()
        answer: asyncio.Future[RequestResult] = asyncio.get_running_loop().create_future()
        self._asked[token] = answer
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._asked[token]


def health_of(result: RequestResult | None) -> tuple[Health, str]:
    """Return what an answer to OPTIONS, or none, says of a connection."""
    if result is None or result.response is None:
        return Health.DOWN, NO_ANSWER if result is None or result.status == 408 else UNDELIVERED
    said = f"{result.status} {result.reason}".rstrip()
    return Health.DOWN if result.status in (408, 503) else Health.UP, said


async def watch(connection: Connection, questions: Questions, found: Found) -> None:
    """Tell `found` of a connection after each question; ends only when it is cancelled."""
    silences = 0
    await asyncio.sleep(random.uniform(0.0, FIRST_WITHIN_S))  # noqa: S311 - spreads questions, hides nothing
    while True:
        result = await questions.ask(connection)
        is_silent = result is None or result.response is None
        silences = silences + 1 if is_silent else 0
        if is_silent and silences < SILENCES:
            await asyncio.sleep(ASK_AGAIN_S)
            continue
        found(*health_of(result))
        await asyncio.sleep(connection.connection_health_check_interval_seconds)
