"""How sessions end: our BYE, the peer's BYE, a dialog that has died; and what is cleared away then (RFC 3261 §15)."""

from __future__ import annotations

from functools import partial

from ringbridge.sip.endpoint_cancel import send_cancel
from ringbridge.sip.endpoint_exchange import Exchange, Outcome, exchange_in_dialog, status_of
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer
from ringbridge.sip.server_transaction import ServerTransaction
from ringbridge.sip.session import Action, Input, Session, State
from ringbridge.sip.session_events import Ended, EndedBy, EndpointEvent, Failed, Failure


def finish(stack: Stack, session: Session, event: EndpointEvent, now: float) -> None:
    """Forget a session and say so: nothing of it stays but transactions that linger their time."""
    offer, session.offer = session.offer, None
    forget(stack, session)
    if offer is not None:
        # RFC 3261 §15.1.2: requests of the peer that are still open are answered 487.
        stack.respond(offer, now, status=487)
    stack.emit(event)


def forget(stack: Stack, session: Session) -> None:
    """Forget a session; what of it waits for an answer is dropped."""
    session.state = State.ENDED
    if stack.sessions.get(session.key) is session:
        del stack.sessions[session.key]
    stop_waiting(session)
    exchange, session.exchange = session.exchange, None
    if exchange is not None and exchange.transaction in stack.pending:
        exchange.drop()
    reinvite, session.reinvite = session.reinvite, None
    if reinvite is not None:
        reinvite.drop()
    session.offer = None
    session.auth = None
    session.early = None


def acknowledge(session: Session) -> None:
    """Let the ACK of an answer go, if it was held back."""
    held, session.held_ack = session.held_ack, None
    if held is not None:
        held.send()


def stop_waiting(session: Session) -> None:
    """Stop all timers that a session has of its own; an ACK that waits leaves now."""
    acknowledge(session)
    if session.repeater is not None:
        session.repeater.stop()
        session.repeater = None
    if session.provisionals is not None:
        session.provisionals.stop()
        session.provisionals = None
    if session.watch is not None:
        session.watch.stop()
        session.watch = None


def send_bye(stack: Stack, session: Session, now: float) -> None:
    """Send BYE; the session is over when it is answered or given up."""
    stop_waiting(session)
    reason = session.reason_header
    exchange = exchange_in_dialog(
        stack,
        session.dialog,
        "BYE",
        receiver=partial(_on_bye_outcome, session),
        auth=session.auth,
        headers=() if reason is None else (("Reason", reason),),
    )
    exchange.start(now)


def _on_bye_outcome(session: Session, exchange: Exchange, outcome: Outcome, _peer: Peer, now: float) -> None:
    if isinstance(outcome, Response) and outcome.status < 200:
        return
    if session.step(Input.BYE_DONE) is Action.REPORT_HUNG_UP:
        _report_hung_up(exchange.stack, session, status_of(outcome), now)


def _report_hung_up(stack: Stack, session: Session, status: int, now: float) -> None:
    """Tell of the end that our BYE made."""
    event: EndpointEvent
    if session.caller and not session.answered:
        # A 200 crossed our CANCEL: the application never heard of an answer, and need not.
        event = Failed(session, Failure.CANCELLED, 487, "Request Terminated", reason_header=session.reason_header)
    elif session.dead_status is not None:
        by = EndedBy.EXPIRED if session.expired else EndedBy.TIMEOUT
        event = Ended(session, by, session.dead_status)
    else:
        event = Ended(session, EndedBy.LOCAL, status, session.reason_header)
    finish(stack, session, event, now)


def receive_bye(stack: Stack, session: Session, transaction: ServerTransaction, request: Request, now: float) -> None:
    """Answer the peer's BYE, always, and end what it ends."""
    reason = request.first("Reason")
    stack.respond(transaction, now, status=200)
    match session.step(Input.BYE):
        case Action.REPORT_ENDED:
            finish(stack, session, Ended(session, EndedBy.REMOTE, 200, reason), now)
        case Action.REFUSE_AS_CANCELLED:
            refuse_as_cancelled(stack, session, reason, now)
        case Action.SEND_CANCEL:
            session.reason_header = reason
            send_cancel(stack, session, now)
        case Action.REPORT_HUNG_UP:
            _report_hung_up(stack, session, 200, now)  # the BYEs crossed: ours is as good as answered
        case _:
            pass


def refuse_as_cancelled(stack: Stack, session: Session, reason: str | None, now: float) -> None:
    """Answer the INVITE that the peer took back (RFC 3261 §9.2, §15.1.2)."""
    if session.server is not None:
        stack.respond(session.server, now, status=487)
        session.server = None
    finish(stack, session, Ended(session, EndedBy.REMOTE, 487, reason), now)


def die(stack: Stack, session: Session, status: int, now: float) -> None:
    """End a session whose dialog cannot go on; `status` is reported."""
    action = session.step(Input.DEAD)
    if action is None:
        return
    session.dead_status = status
    session.reason_header = f"SIP;cause={status}"
    if action is Action.SEND_BYE:
        send_bye(stack, session, now)
