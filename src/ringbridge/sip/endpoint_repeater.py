"""What the session layer repeats: a 2xx until its ACK (RFC 3261 §13.3.1.4), a reliable provisional until its PRACK.

Transactions cannot do it: the 2xx has to survive the hop that lost it, end to end, on reliable transports too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.peer import Peer

_REPEAT: Final = 1


class Repeater:
    """Sends `data` once and again, at T1 and doubling, until `stop` or 64*T1; then calls `give_up`.

    `ceiling_s` bounds the gap: T2 for a 2xx, none for a provisional (RFC 3262 §3).
    """

    __slots__ = ("_ceiling_s", "_deadline", "_give_up", "_interval_s", "_stack", "_timer", "cseq", "data", "peer")

    def __init__(
        self,
        stack: Stack,
        data: bytes,
        peer: Peer,
        now: float,
        *,
        cseq: int,
        ceiling_s: float | None,
        give_up: Callable[[float], None],
    ) -> None:
        """Start repeating `data`, which has just been sent; `cseq` is the number of the INVITE that it answers."""
        timers = stack.timers
        self._stack = stack
        self._interval_s = timers.t1_s
        self._ceiling_s = ceiling_s
        self._deadline = now + timers.give_up_s
        self._give_up = give_up
        self.data = data
        self.peer = peer
        self.cseq = cseq
        self._timer = stack.queue.set(now + timers.t1_s, self, _REPEAT)

    def on_timer(self, _name: int, now: float) -> None:
        """Send once more, or give up."""
        if now >= self._deadline:
            self._give_up(now)
            return
        self._stack.counters.retransmissions_sent += 1
        self._stack.outgoing.append((self.peer, self.data))
        self._interval_s *= 2
        if self._ceiling_s is not None:
            self._interval_s = min(self._interval_s, self._ceiling_s)
        at = min(now + self._interval_s, self._deadline)
        self._timer = self._stack.queue.set(at, self, _REPEAT)

    def stop(self) -> None:
        """Send no more."""
        self._stack.queue.cancel(self._timer)
