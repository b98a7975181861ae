"""The ACK of a 2xx, held back until the application has stored that the call was answered.

A callee repeats its 2xx until the ACK comes (RFC 3261 §13.3.1.4), for half a minute. So as long as none has left, an
answer cannot be lost: whoever restores the session after a crash hears it again. An ACK that left before the answer was
stored would leave a phone up that nobody knows of.
"""

from __future__ import annotations

from ringbridge.sip.client_transaction import ClientTransaction
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.peer import Peer
from ringbridge.sip.timers import Timer


class HeldAck:
    """One ACK; `send` lets it go, and a timer does so when nobody else did."""

    __slots__ = ("_ack", "_stack", "_tag", "_timer", "_transaction")

    def __init__(
        self, stack: Stack, transaction: ClientTransaction, *, tag: str, ack: tuple[Peer, bytes], until: float
    ) -> None:
        self._stack = stack
        self._transaction = transaction
        self._tag = tag
        self._ack: tuple[Peer, bytes] | None = ack
        self._timer: Timer = stack.queue.set(until, self, 0)
        transaction.hold_ack(tag)

    def send(self) -> None:
        """Send the ACK, once; from now on a repeated 2xx gets it again."""
        ack, self._ack = self._ack, None
        if ack is None:
            return
        self._stack.queue.cancel(self._timer)
        self._transaction.keep_ack(self._tag, ack)
        self._stack.outgoing.append(ack)

    def on_timer(self, name: int, now: float) -> None:  # noqa: ARG002 - there is one timer, and no time in an ACK
        """Send it: the callee is not kept waiting for longer."""
        self.send()
