"""The called side of an INVITE: ringing, answering, refusing, the ACK and the peer's CANCEL (RFC 3261 §9.2, §13.3)."""

from __future__ import annotations

from functools import partial

from ringbridge.sip.dialog import dialog_from_request, sdp_of
from ringbridge.sip.endpoint_ending import finish, refuse_as_cancelled, send_bye
from ringbridge.sip.endpoint_prack import reliable_for
from ringbridge.sip.endpoint_refresh import watch_session
from ringbridge.sip.endpoint_repeater import Repeater
from ringbridge.sip.endpoint_settings import ALLOW, SDP, SUPPORTED
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.message import Request
from ringbridge.sip.peer import Peer
from ringbridge.sip.serializer import Headers
from ringbridge.sip.server_transaction import ServerTransaction
from ringbridge.sip.session import Action, Input, Session, State
from ringbridge.sip.session_events import AckReceived, Ended, EndedBy, IncomingInvite
from ringbridge.sip.session_timer import SessionTimer, TooSmall, agree_as_uas, answer_headers


def receive_invite(stack: Stack, transaction: ServerTransaction, request: Request, peer: Peer, now: float) -> None:
    """Take a new INVITE: 100 at once, so that the peer stops repeating it, and the application decides the rest."""
    stack.respond(transaction, now, status=100)
    try:
        agree_as_uas(request, min_se_s=stack.settings.min_se_s)
    except TooSmall:
        stack.respond(transaction, now, status=422, headers=(("Min-SE", str(stack.settings.min_se_s)),))
        return
    tag = transaction.to_tag = stack.new_token()
    session = Session(dialog_from_request(request, local_tag=tag, source=peer), caller=False)
    session.server = transaction
    session.request_uri = request.uri
    session.invite_cseq = request.cseq.number
    session.peer_updates = "UPDATE" in (request.first("Allow") or "")
    stack.sessions[session.key] = session
    if "100rel" in request.tokens("Require"):
        reliable_for(stack, session, _refuse_unacknowledged)
    stack.emit(IncomingInvite(session, request, peer, sdp_of(request)))


def _refuse_unacknowledged(stack: Stack, session: Session, now: float) -> None:
    """RFC 3262 §3: a reliable provisional that stays without PRACK for 64*T1 ends the INVITE with a 5xx."""
    reject(stack, session, now, status=504)


def ring(stack: Stack, session: Session, now: float, *, status: int, sdp: bytes) -> None:
    """Send a provisional response."""
    if session.state is not State.INCOMING or session.server is None:
        return
    headers: list[tuple[str, str]] = [stack.contact(session.dialog.peer.transport)]
    if sdp:
        session.local_sdp = sdp
        headers.append(SDP)
    if session.provisionals is not None and status > 100:
        session.provisionals.send(now, status=status, headers=headers, body=sdp)
    else:
        stack.respond(session.server, now, status=status, headers=headers, body=sdp)


def answer(stack: Stack, session: Session, sdp: bytes, now: float) -> None:
    """Answer 200, or as soon as RFC 3262 lets us."""
    provisionals = session.provisionals
    if (
        session.state is State.INCOMING
        and provisionals is not None
        and provisionals.hold_answer(partial(answer, stack, session, sdp))
    ):
        return
    transaction = session.server
    if session.step(Input.ANSWER) is not Action.SEND_2XX or transaction is None or transaction.request is None:
        return
    if provisionals is not None:
        provisionals.stop()
    session.server = None
    session.answered = True
    if sdp:
        session.local_sdp = sdp
    timer = agree_as_uas(transaction.request, min_se_s=stack.settings.min_se_s)
    session.repeater = send_2xx(stack, session, transaction, sdp, timer, now)
    watch_session(stack, session, timer, now)


def send_2xx(
    stack: Stack, session: Session, transaction: ServerTransaction, sdp: bytes, timer: SessionTimer | None, now: float
) -> Repeater:
    """Answer an INVITE or re-INVITE 200 and repeat that until the ACK (RFC 3261 §13.3.1.4)."""
    cseq = session.invite_cseq if transaction.request is None else transaction.request.cseq.number
    headers = [stack.contact(session.dialog.peer.transport), ALLOW, SUPPORTED, *answer_headers(timer)]
    if sdp:
        headers.append(SDP)
    data = stack.respond(transaction, now, status=200, headers=headers, body=sdp)
    return Repeater(
        stack,
        data,
        transaction.peer,
        now,
        cseq=cseq,
        ceiling_s=stack.timers.t2_s,
        give_up=partial(_on_no_ack, stack, session),
    )


def _on_no_ack(stack: Stack, session: Session, now: float) -> None:
    """RFC 3261 §13.3.1.4: no ACK in 64*T1 means that the dialog is confirmed but the session is to be ended by BYE."""
    session.repeater = None
    local = session.state is State.BYE_PENDING
    if session.step(Input.NO_ACK) is Action.SEND_BYE:
        if not local:
            session.dead_status = 408
        send_bye(stack, session, now)


def receive_ack(stack: Stack, request: Request, _peer: Peer, now: float) -> None:
    """Take the ACK of a 2xx."""
    session = stack.sessions.get((request.call_id, request.to.tag or ""))
    repeater = None if session is None else session.repeater
    if session is None or repeater is None or repeater.cseq != request.cseq.number:
        stack.counters.stray_acks += 1
        return
    repeater.stop()
    session.repeater = None
    match session.step(Input.ACK):
        case Action.SEND_BYE:
            send_bye(stack, session, now)
        case _:
            if session.state is State.ESTABLISHED:
                stack.emit(AckReceived(session, sdp_of(request)))


def reject(
    stack: Stack, session: Session, now: float, *, status: int, reason: str | None = None, headers: Headers = ()
) -> None:
    """Refuse an incoming INVITE."""
    if session.step(Input.REJECT) is Action.REFUSE:
        refuse(stack, session, now, status=status, reason=reason, headers=headers)


def refuse(
    stack: Stack, session: Session, now: float, *, status: int, reason: str | None = None, headers: Headers = ()
) -> None:
    """Send the refusal that the session's table asked for."""
    if session.server is not None:
        stack.respond(session.server, now, status=status, reason=reason, headers=headers)
        session.server = None
    finish(stack, session, Ended(session, EndedBy.LOCAL, status, session.reason_header), now)


def receive_cancel(
    stack: Stack, transaction: ServerTransaction, invite: ServerTransaction | None, request: Request, now: float
) -> None:
    """Answer a CANCEL, and the INVITE that it takes back 487 if that is still open (RFC 3261 §9.2)."""
    if invite is None:
        stack.respond(transaction, now, status=481)
        return
    transaction.to_tag = invite.to_tag  # RFC 3261 §9.2: the same To tag as in the INVITE's responses
    stack.respond(transaction, now, status=200)
    if invite.answered or invite.request is None:
        return
    session = stack.sessions.get((request.call_id, invite.request.to.tag or invite.to_tag or ""))
    if session is None:
        stack.respond(invite, now, status=487)
    elif session.server is invite:
        if session.step(Input.CANCEL) is Action.REFUSE_AS_CANCELLED:
            refuse_as_cancelled(stack, session, request.first("Reason"), now)
    elif session.offer is invite:
        session.offer = None
        stack.respond(invite, now, status=487)
