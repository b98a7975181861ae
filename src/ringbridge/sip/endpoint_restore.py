"""Taking sessions up again after a crash, from their snapshots. No INVITE ever leaves here."""

from __future__ import annotations

from dataclasses import replace

from ringbridge.sip import client_transaction as client
from ringbridge.sip.client_transaction import ClientTransaction
from ringbridge.sip.dialog import Dialog
from ringbridge.sip.digest import Credentials
from ringbridge.sip.endpoint_exchange import Authorizer
from ringbridge.sip.endpoint_refresh import watch_session
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.endpoint_uac import StrayAnswers, acknowledge, attach_sent_invite
from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session import Session, State
from ringbridge.sip.session_events import Failure
from ringbridge.sip.session_snapshot import PeerSnapshot, SessionSnapshot
from ringbridge.sip.session_timer import SessionTimer


def restore(stack: Stack, snapshot: SessionSnapshot, now: float, *, credentials: Credentials | None) -> Session:
    """Return the session of a snapshot, in the state in which it can be gone on with.

    Raises:
        ValueError: unanswered, and the peer's.
    """
    if not snapshot.answered and not snapshot.caller:
        raise ValueError("an unanswered session that the peer started cannot be taken up again")
    session = Session(_dialog(stack, snapshot), caller=snapshot.caller)
    session.restored = True
    session.answered = snapshot.answered
    session.request_uri = snapshot.request_uri
    session.invite_branch = snapshot.invite_branch
    session.invite_cseq = snapshot.invite_cseq
    session.invite_routes = snapshot.invite_routes
    session.peer_tcp = None if snapshot.peer_tcp is None else _peer(snapshot.peer_tcp)
    session.peer_updates = snapshot.peer_updates
    session.timer_s = snapshot.timer_s
    session.local_sdp = snapshot.local_sdp
    if credentials is not None:
        session.auth = Authorizer(replace(credentials, realm=credentials.realm or snapshot.realm or None))
    stack.sessions[session.key] = session
    if not snapshot.answered:
        session.state = State.PROCEEDING
        attach_sent_invite(stack, session)
        return session
    session.state = State.ESTABLISHED
    if snapshot.caller:
        _await_repeated_2xx(stack, session, now)
    if snapshot.peer_timer is not None:
        timer = SessionTimer(snapshot.peer_timer.expires_s, snapshot.peer_timer.we_refresh)
        watch_session(stack, session, timer, now)
    return session


def _dialog(stack: Stack, snapshot: SessionSnapshot) -> Dialog:
    dialog = Dialog(
        sip_call_id=snapshot.sip_call_id,
        local=snapshot.local,
        local_tag=snapshot.local_tag,
        remote=snapshot.remote,
        target=snapshot.remote_target or snapshot.request_uri,
        peer=_peer(snapshot.peer),
    )
    dialog.stay_with_peer = snapshot.stay_with_peer
    dialog.remote_tag = snapshot.remote_tag
    dialog.remote_cseq = snapshot.remote_cseq
    dialog.route_set = snapshot.route_set if snapshot.answered else snapshot.invite_routes
    # Requests may have been sent after the snapshot: RFC 3261 §12.2.1.1 wants each number above the last.
    dialog.local_cseq = snapshot.local_cseq + stack.settings.restore_cseq_gap
    return dialog


def _peer(snapshot: PeerSnapshot) -> Peer:
    return Peer(Transport(snapshot.transport), snapshot.host, snapshot.port)


def _await_repeated_2xx(stack: Stack, session: Session, now: float) -> None:
    """Wait for the 2xx to come again: our ACK may not have left before the crash."""
    request = Request("INVITE", session.request_uri)
    transaction = ClientTransaction(
        stack,
        request=request,
        branch=session.invite_branch,
        peer=session.dialog.peer,
        user=_RepeatedAnswer(stack, session),
    )
    transaction.request = None
    transaction.state = client.State.ACCEPTED
    transaction.restored = True
    transaction.expiry = stack.queue.set(now + stack.timers.give_up_s, transaction, client.Input.LINGERED)
    stack.clients[transaction.key] = transaction


class _RepeatedAnswer:
    """Takes the first repetition of a restored session's 2xx; the transaction itself answers those after it."""

    __slots__ = ("_session", "_stack")

    def __init__(self, stack: Stack, session: Session) -> None:
        self._stack = stack
        self._session = session

    def on_response(self, transaction: ClientTransaction, response: Response, peer: Peer, now: float) -> None:
        """Acknowledge the session's own 2xx; that of another branch is stray."""
        if response.to.tag == self._session.dialog.remote_tag:
            acknowledge(self._stack, transaction, self._session.dialog, response)
        else:
            StrayAnswers(self._stack, auth=self._session.auth).on_response(transaction, response, peer, now)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Nothing was sent that could fail."""
