"""Requests of the peer inside a dialog: offers, refreshes, INFO, PRACK, BYE, others (RFC 3261 §12.2.2, §14.2)."""

from __future__ import annotations

from zlib import crc32

from ringbridge.sip.dialog import sdp_of
from ringbridge.sip.endpoint_ending import receive_bye
from ringbridge.sip.endpoint_prack import receive_prack
from ringbridge.sip.endpoint_refresh import watch_session
from ringbridge.sip.endpoint_settings import ALLOW, SDP, SUPPORTED
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.endpoint_uas import send_2xx
from ringbridge.sip.message import Request
from ringbridge.sip.peer import Peer
from ringbridge.sip.server_transaction import ServerTransaction
from ringbridge.sip.session import Session, State
from ringbridge.sip.session_events import IncomingRequest, InfoReceived, Reinvited
from ringbridge.sip.session_timer import TooSmall, agree_as_uas, answer_headers


def receive_in_dialog(
    stack: Stack, session: Session, transaction: ServerTransaction, request: Request, peer: Peer, now: float
) -> None:
    """Take a request inside a dialog, anything but ACK and CANCEL."""
    dialog = session.dialog
    number = request.cseq.number
    if dialog.remote_tag and number < dialog.remote_cseq:
        # RFC 3261 §12.2.2: out of order; the peer has moved on.
        stack.respond(transaction, now, status=500, reason="CSeq Out of Order")
        return
    if dialog.remote_tag:  # before the answer the phones of a fork are one dialog here, each with numbers of its own
        dialog.remote_cseq = max(dialog.remote_cseq, number)
    if session.state is State.ENDING and request.method != "BYE":
        stack.respond(transaction, now, status=481)
        return
    match request.method:
        case "BYE":
            receive_bye(stack, session, transaction, request, now)
        case "INVITE":
            _receive_reinvite(stack, session, transaction, request, now)
        case "UPDATE":
            _receive_update(stack, session, transaction, request, peer, now)
        case "PRACK":
            receive_prack(stack, session, transaction, request, now)
        case "INFO":
            stack.respond(transaction, now, status=200)
            stack.emit(InfoReceived(session, request.content_type or "", request.body))
        case "OPTIONS":
            stack.respond(transaction, now, status=200, headers=capabilities(stack, transaction))
        case "REFER":
            stack.emit(IncomingRequest(transaction, request, peer, session))
        case "NOTIFY" if session.subscribed:
            stack.emit(IncomingRequest(transaction, request, peer, session))
        case _:
            stack.respond(transaction, now, status=489)


def capabilities(stack: Stack, transaction: ServerTransaction) -> tuple[tuple[str, str], ...]:
    """Return what an answer to OPTIONS says of us (RFC 3261 §11.2)."""
    return (
        stack.contact(transaction.peer.transport),
        ALLOW,
        ("Accept", "application/sdp"),
        SUPPORTED,
        ("User-Agent", stack.settings.user_agent),
    )


def _glare(stack: Stack, session: Session, transaction: ServerTransaction, now: float) -> bool:
    """Refuse an offer that meets another one; False: the way is free (RFC 3261 §14.2, RFC 3311 §5.2)."""
    if session.reinvite is not None or session.repeater is not None:
        stack.respond(transaction, now, status=491)
    elif session.offer is not None or session.server is not None:
        # RFC 3261 §14.2: wait a random while of 0 to 10 s. The peer's own branch is random enough.
        wait_s = crc32(transaction.key[0].encode()) % 11
        stack.respond(transaction, now, status=500, headers=(("Retry-After", str(wait_s)),))
    elif session.state is not State.ESTABLISHED:
        stack.respond(transaction, now, status=491)
    else:
        return False
    return True


def _refuse_timer(stack: Stack, transaction: ServerTransaction, request: Request, now: float) -> bool:
    try:
        agree_as_uas(request, min_se_s=stack.settings.min_se_s)
    except TooSmall:
        stack.respond(transaction, now, status=422, headers=(("Min-SE", str(stack.settings.min_se_s)),))
        return True
    return False


def _receive_reinvite(
    stack: Stack, session: Session, transaction: ServerTransaction, request: Request, now: float
) -> None:
    if _glare(stack, session, transaction, now) or _refuse_timer(stack, transaction, request, now):
        return
    stack.respond(transaction, now, status=100)
    sdp = sdp_of(request)
    session.offer = transaction
    stack.emit(Reinvited(session, sdp, "INVITE"))


def _receive_update(
    stack: Stack, session: Session, transaction: ServerTransaction, request: Request, peer: Peer, now: float
) -> None:
    """Take an UPDATE: with an offer it is the application's, without one a refresh that we answer (RFC 3311 §5.2)."""
    sdp = sdp_of(request)
    if sdp:
        if not _glare(stack, session, transaction, now) and not _refuse_timer(stack, transaction, request, now):
            session.offer = transaction
            stack.emit(Reinvited(session, sdp, "UPDATE"))
        return
    if _refuse_timer(stack, transaction, request, now):
        return
    timer = agree_as_uas(request, min_se_s=stack.settings.min_se_s)
    if session.dialog.remote_tag:
        session.dialog.refresh_target(request, peer)
    headers = (stack.contact(transaction.peer.transport), ALLOW, SUPPORTED, *answer_headers(timer))
    stack.respond(transaction, now, status=200, headers=headers)
    if session.state >= State.ANSWERED:
        watch_session(stack, session, timer, now)


def answer_reinvite(stack: Stack, session: Session, now: float, *, sdp: bytes, status: int) -> None:
    """Answer the offer that the application was told of."""
    transaction, session.offer = session.offer, None
    if transaction is None:
        return
    request = transaction.request
    if request is None or status >= 300:
        stack.respond(transaction, now, status=status)
        return
    timer = agree_as_uas(request, min_se_s=stack.settings.min_se_s)
    session.dialog.refresh_target(request, transaction.peer)
    if sdp:
        session.local_sdp = sdp
    if request.method == "INVITE":
        session.repeater = send_2xx(stack, session, transaction, sdp, timer, now)
    else:
        headers = [stack.contact(transaction.peer.transport), ALLOW, SUPPORTED, *answer_headers(timer)]
        if sdp:
            headers.append(SDP)
        stack.respond(transaction, now, status=200, headers=headers, body=sdp)
    watch_session(stack, session, timer, now)
