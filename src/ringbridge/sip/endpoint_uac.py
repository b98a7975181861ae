"""The calling side of an INVITE: sending it, what comes of it, taking it back (RFC 3261 §9.1, §13.2)."""

from __future__ import annotations

from functools import partial

from ringbridge.sip import client_transaction as client
from ringbridge.sip.client_transaction import ClientTransaction
from ringbridge.sip.dialog import Dialog, sdp_of
from ringbridge.sip.endpoint_cancel import send_cancel
from ringbridge.sip.endpoint_ending import finish, send_bye
from ringbridge.sip.endpoint_exchange import (
    AUTHORIZING,
    COOKIE,
    Authorizer,
    Exchange,
    Outcome,
    exchange_in_dialog,
    reason_of,
    request_in_dialog,
    status_of,
)
from ringbridge.sip.endpoint_prack import take_reliable
from ringbridge.sip.endpoint_refresh import watch_session
from ringbridge.sip.endpoint_settings import ALLOW, SDP, SUPPORTED, UNTIMED
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.headers import parse_seconds
from ringbridge.sip.held_ack import HeldAck
from ringbridge.sip.message import Response
from ringbridge.sip.peer import Peer
from ringbridge.sip.serializer import Headers
from ringbridge.sip.session import Action, Input, Session, State
from ringbridge.sip.session_events import Answered, Failed, Failure, Progress
from ringbridge.sip.session_orders import InviteOrder
from ringbridge.sip.session_timer import agree_as_uac, read_min_se


def prepare_invite(stack: Stack, order: InviteOrder) -> Session:
    """Return a session whose INVITE is fixed to the byte."""
    tag = stack.new_token()
    dialog = Dialog(
        sip_call_id=order.sip_call_id or stack.new_token(),
        local=f"{order.from_};tag={tag}",
        local_tag=tag,
        remote=order.to,
        target=order.uri,
        peer=order.peer,
    )
    dialog.route_set = order.route_set
    dialog.stay_with_peer = order.stay_with_peer
    session = Session(dialog, caller=True)
    session.invite_cseq = dialog.next_cseq()
    session.invite_branch = COOKIE + stack.new_token()
    session.invite_routes = order.route_set
    session.peer_tcp = order.peer_tcp
    session.local_sdp = order.sdp
    session.timer_s = order.session_expires_s
    if order.credentials is not None:
        session.auth = Authorizer(order.credentials)
    _attach(stack, session, order.headers, order.sdp).prepare()
    return session


def _attach(stack: Stack, session: Session, headers: Headers, sdp: bytes) -> Exchange:
    """Give a session the exchange of its INVITE."""
    dialog = session.dialog
    settings = stack.settings
    timer_s = _timer_s(stack, session)
    supported = SUPPORTED if session.timer_s != 0 else UNTIMED
    lines = [stack.contact(dialog.peer.transport), ALLOW, supported, ("User-Agent", settings.user_agent)]
    if timer_s is not None:
        lines.append(("Session-Expires", str(timer_s)))
    lines += headers
    if sdp:
        lines.append(SDP)
    request = request_in_dialog(
        stack, dialog, "INVITE", cseq=session.invite_cseq, branch=session.invite_branch, headers=lines, body=sdp
    )
    exchange = Exchange(
        stack,
        request,
        branch=session.invite_branch,
        peer=dialog.peer,
        receiver=partial(_on_outcome, session),
        numbering=dialog,
        auth=session.auth,
    )
    exchange.peer_tcp = session.peer_tcp
    exchange.on_retry = partial(_on_retry, session)
    session.exchange = exchange
    return exchange


def _timer_s(stack: Stack, session: Session) -> int | None:
    """Return the session timer that a session's INVITE asks for, in seconds; None: none."""
    return stack.settings.session_expires_s if session.timer_s is None else session.timer_s or None


def attach_sent_invite(stack: Stack, session: Session) -> None:
    """Give a restored session its INVITE's transaction, as if a provisional response had come: nothing is sent."""
    exchange = _attach(stack, session, (), b"")
    exchange.auth = None
    transaction = ClientTransaction(
        stack, request=exchange.request, branch=exchange.branch, peer=exchange.peer, user=exchange
    )
    transaction.state = client.State.PROCEEDING
    transaction.restored = True
    stack.clients[transaction.key] = transaction
    stack.pending.add(transaction)
    exchange.transaction = transaction


def _on_retry(session: Session) -> None:
    session.step(Input.RETRIED)
    if session.exchange is not None:
        session.invite_branch = session.exchange.branch
    session.invite_cseq = session.dialog.local_cseq
    session.early = session.early_sdp = None


def send_invite(stack: Stack, session: Session, now: float) -> None:
    """Send the prepared INVITE."""
    if session.exchange is not None and session.step(Input.SEND) is Action.SEND_INVITE:
        stack.sessions[session.key] = session
        session.exchange.start(now)


def _on_outcome(session: Session, exchange: Exchange, outcome: Outcome, peer: Peer, now: float) -> None:
    if not isinstance(outcome, Response) or outcome.status >= 300:
        _on_refusal(session, exchange, outcome, now)
    elif outcome.status >= 200:
        _on_answer(session, exchange, outcome, peer, now)
    else:
        _on_provisional(session, exchange, outcome, peer, now)


def _on_provisional(session: Session, exchange: Exchange, response: Response, peer: Peer, now: float) -> None:
    stack = exchange.stack
    action = session.step(Input.R1XX)
    if action is Action.SEND_CANCEL:
        send_cancel(stack, session, now)
        return
    if response.status == 100 or action is None:
        return
    if take_reliable(stack, session, response, peer, now) and action is Action.REPORT_PROGRESS:
        tag = response.to.tag or ""
        sdp = sdp_of(response)
        if sdp:
            session.early_sdp = {**(session.early_sdp or {}), tag: sdp}
        stack.emit(Progress(session, response.status, response.reason, sdp, tag))


def _on_answer(session: Session, exchange: Exchange, response: Response, peer: Peer, now: float) -> None:
    stack = exchange.stack
    action = session.step(Input.R2XX)
    transaction = exchange.transaction
    if action is None or transaction is None:
        return
    early = session.early
    dialog = early.get(response.to.tag or "", session.dialog) if early else session.dialog
    session.dialog = dialog
    early_sdp = session.early_sdp
    session.early = session.early_sdp = None
    session.exchange = None
    dialog.accept(response, peer)
    proofs = [pair for pair in exchange.request.headers if pair[0] in AUTHORIZING]
    ack = ack_of(stack, dialog, response, proofs)
    if action is Action.REPORT_ANSWER and stack.settings.ack_within_s > 0:
        until = now + stack.settings.ack_within_s
        session.held_ack = HeldAck(stack, transaction, tag=response.to.tag or "", ack=ack, until=until)
    else:
        transaction.keep_ack(response.to.tag or "", ack)
        stack.outgoing.append(ack)
    transaction.request = None
    # A trunk challenges the BYE of a stray answer too.
    auth = session.auth
    transaction.user = stack.stray_answers if auth is None else StrayAnswers(stack, auth=auth, proofs=proofs)
    if action is Action.ACK_AND_BYE:
        send_bye(stack, session, now)
        return
    session.answered = True
    session.peer_updates = "UPDATE" in (response.first("Allow") or "")
    watch_session(stack, session, agree_as_uac(response, asked_s=_timer_s(stack, session)), now)
    # RFC 3262 §5: a reliable provisional may have brought the answer, and then the 2xx brings none. Deviates: some
    # phones do so after an unreliable one too; to hang up on them helps nobody.
    sdp = sdp_of(response) or (early_sdp or {}).get(dialog.remote_tag, b"")
    stack.emit(Answered(session, response.status, response.reason, sdp))


def acknowledge(
    stack: Stack, transaction: ClientTransaction, dialog: Dialog, response: Response, proofs: Headers = ()
) -> None:
    """Send the ACK of a 2xx and keep it for when that 2xx comes again (RFC 3261 §13.2.2.4)."""
    ack = ack_of(stack, dialog, response, proofs)
    transaction.keep_ack(response.to.tag or "", ack)
    stack.outgoing.append(ack)


def ack_of(stack: Stack, dialog: Dialog, response: Response, proofs: Headers = ()) -> tuple[Peer, bytes]:
    """Return the ACK of a 2xx and where it goes.

    RFC 3261 §22.1: the ACK carries the proofs of its INVITE, as it cannot be challenged.
    """
    request = request_in_dialog(
        stack, dialog, "ACK", cseq=response.cseq.number, branch=COOKIE + stack.new_token(), headers=proofs
    )
    return (dialog.peer, request.serialize())


def _on_refusal(session: Session, exchange: Exchange, outcome: Outcome, now: float) -> None:
    stack = exchange.stack
    if isinstance(outcome, Response) and outcome.status == 422 and _ask_for_longer(session, exchange, outcome, now):
        return
    match session.step(Input.REFUSED):
        case Action.REPORT_FAILURE:
            finish(stack, session, failed(session, outcome), now)
        case Action.REPORT_CANCELLED:
            # RFC 3261 §9.1: without a final response in 64*T1, what was cancelled counts as cancelled.
            status, reason = (487, "Request Terminated")
            if isinstance(outcome, Response):
                status, reason = outcome.status, outcome.reason
            event = Failed(session, Failure.CANCELLED, status, reason, reason_header=session.reason_header)
            finish(stack, session, event, now)
        case _:
            pass


def _ask_for_longer(session: Session, exchange: Exchange, response: Response, now: float) -> bool:
    """Repeat the INVITE with the session interval that a 422 asks for (RFC 4028 §7.3); once."""
    request = exchange.request
    if session.state not in (State.CALLING, State.PROCEEDING) or request.first("Min-SE") is not None:
        return False
    if session.timer_s == 0:
        return False
    try:
        least_s = read_min_se(response)
    except ProtocolError:
        return False
    request.set("Session-Expires", str(max(least_s, _timer_s(exchange.stack, session) or 0)))
    request.set("Min-SE", str(least_s))
    exchange.retry(now)
    return True


def failed(session: Session, outcome: Outcome) -> Failed:
    """Return the event for an INVITE that got no answer."""
    if not isinstance(outcome, Response):
        return Failed(session, outcome, status_of(outcome), reason_of(outcome))
    return Failed(
        session,
        Failure.RESPONSE,
        outcome.status,
        outcome.reason,
        retry_after_s=retry_after_s(outcome),
        contacts=_targets(outcome) if outcome.status < 400 else (),
        reason_header=outcome.first("Reason"),
    )


def retry_after_s(response: Response) -> int | None:
    """Return the seconds of Retry-After; None when there is none that can be read."""
    value = response.first("Retry-After")
    if value is None:
        return None
    try:
        return parse_seconds("Retry-After", value)
    except ProtocolError:
        return None


def _targets(response: Response) -> tuple[str, ...]:
    """Return the contacts of a 3xx, best `q` first (RFC 3261 §8.1.3.4)."""
    try:
        contacts = response.contacts
    except ProtocolError:
        return ()
    return tuple(contact.uri for contact in sorted(contacts, key=lambda contact: -_q(contact.param("q"))))


def _q(text: str | None) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0


class StrayAnswers:
    """Takes a 2xx of a branch that forked, after another has answered: ACK, then BYE (RFC 3261 §13.2.2.4)."""

    __slots__ = ("_auth", "_proofs", "_stack")

    def __init__(self, stack: Stack, *, auth: Authorizer | None = None, proofs: Headers = ()) -> None:
        """`auth` and `proofs` are those of the INVITE, where it needed any."""
        self._stack = stack
        self._auth = auth
        self._proofs = proofs

    def on_response(self, transaction: ClientTransaction, response: Response, peer: Peer, now: float) -> None:
        """Acknowledge and end what nobody waits for; the dialog is rebuilt from the response alone."""
        if not 200 <= response.status < 300:
            return
        stack = self._stack
        dialog = Dialog(
            sip_call_id=response.call_id,
            local=response.first("From") or "",
            local_tag=response.from_.tag or "",
            remote="",
            target=response.to.uri,
            peer=peer,
        )
        dialog.local_cseq = response.cseq.number
        dialog.accept(response, peer)
        acknowledge(stack, transaction, dialog, response, self._proofs)
        exchange_in_dialog(stack, dialog, "BYE", receiver=_ignore, auth=self._auth).start(now)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Nothing was waited for."""


def _ignore(_exchange: Exchange, _outcome: Outcome, _peer: Peer, _now: float) -> None:
    """Nothing depends on it."""
