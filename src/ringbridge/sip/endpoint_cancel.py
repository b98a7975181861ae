"""Taking an INVITE back (RFC 3261 §9.1)."""

from __future__ import annotations

from typing import Final

from ringbridge.sip import client_transaction as client
from ringbridge.sip.client_transaction import ClientTransaction
from ringbridge.sip.endpoint_exchange import next_branch
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import Failed, Failure

_REPEATED_IN_CANCEL: Final = frozenset(("Max-Forwards", "Route", "From", "To", "Call-ID"))


def cancel_prepared(stack: Stack, session: Session) -> None:
    """Forget a session whose INVITE has not left."""
    session.exchange = None
    stack.emit(Failed(session, Failure.CANCELLED, 487, "Request Terminated", reason_header=session.reason_header))


def wait_for_provisional(session: Session) -> None:
    """Hold the CANCEL back until a provisional response allows it; meanwhile a challenge is no reason to go on."""
    if session.exchange is not None:
        session.exchange.auth = None


def send_cancel(stack: Stack, session: Session, now: float) -> None:
    """Send CANCEL, and set how long the INVITE may stay without a final response (RFC 3261 §9.1)."""
    exchange = session.exchange
    if exchange is None or exchange.transaction is None:
        return
    exchange.auth = None
    transaction = exchange.transaction
    branch = transaction.key[0]
    number = exchange.request.cseq.number
    _start_cancel(session, exchange.request, transaction, branch=branch, number=number, now=now)
    if session.restored and session.auth is not None and "." not in branch:
        # The crash may have come after a challenge was answered: then it is the second INVITE that rings.
        again = next_branch(branch, 1)
        _start_cancel(session, exchange.request, transaction, branch=again, number=number + 1, now=now)
    _give_up_after(transaction, stack.timers.give_up_s, now)


def _start_cancel(
    session: Session, invite: Request, transaction: ClientTransaction, *, branch: str, number: int, now: float
) -> None:
    """Send one CANCEL (RFC 3261 §9.1: everything but the method as in the INVITE)."""
    stack = transaction.stack
    headers = [("Via", stack.via(transaction.peer.transport, branch))]
    headers += [pair for pair in invite.headers if pair[0] in _REPEATED_IN_CANCEL]
    headers.append(("CSeq", f"{number} CANCEL"))
    if session.reason_header is not None:
        headers.append(("Reason", session.reason_header))
    request = Request("CANCEL", invite.uri, headers)
    cancel = ClientTransaction(
        stack, request=request, branch=branch, peer=transaction.peer, user=_Cancelling(transaction)
    )
    stack.start_client(cancel, request.serialize(), now)


def _give_up_after(transaction: ClientTransaction, wait_s: float, now: float) -> None:
    queue = transaction.stack.queue
    queue.cancel(transaction.expiry)
    transaction.expiry = queue.set(now + wait_s, transaction, client.Input.NO_FINAL)


class _Cancelling:
    """Waits for the answer to a CANCEL."""

    __slots__ = ("_invite",)

    def __init__(self, invite: ClientTransaction) -> None:
        self._invite = invite

    def on_response(self, transaction: ClientTransaction, response: Response, _peer: Peer, now: float) -> None:
        """Shorten the wait when the peer knows of no INVITE: only a 2xx on its way could still come, and it repeats."""
        if response.status == 481 and self._invite in transaction.stack.pending:
            _give_up_after(self._invite, 2 * transaction.stack.timers.t2_s, now)

    def on_failure(self, _transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Give the INVITE up with its CANCEL when the peer cannot be reached."""
        if failure is Failure.TRANSPORT and self._invite in self._invite.stack.pending:
            _give_up_after(self._invite, 0.0, now)
