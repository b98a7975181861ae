"""Our own changes to a running session: a new offer by re-INVITE, and the refreshes of a session timer.

A refresh is an UPDATE where the peer takes one, since that needs no SDP and no ACK (RFC 4028 §7.4), else a re-INVITE
that offers the same SDP again.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from ringbridge.sip.dialog import sdp_of
from ringbridge.sip.endpoint_ending import die
from ringbridge.sip.endpoint_exchange import (
    AUTHORIZING,
    COOKIE,
    Exchange,
    Outcome,
    exchange_in_dialog,
    request_in_dialog,
    status_of,
)
from ringbridge.sip.endpoint_settings import ALLOW, SDP, SUPPORTED, UNTIMED
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.message import Response
from ringbridge.sip.peer import Peer
from ringbridge.sip.session import Session, State
from ringbridge.sip.session_events import ReinviteResult
from ringbridge.sip.session_timer import SessionTimer, agree_as_uac, read_min_se

_REFRESH: Final = 1
_EXPIRE: Final = 2
_RETRY_S: Final = 10.0
"""A refresh that met another request under way is tried again after this; ours, RFC 4028 leaves it open."""


class SessionWatch:
    """The running session timer of one session: refreshes it, or ends it when the peer does not (RFC 4028 §10)."""

    __slots__ = ("_ends_at", "_session", "_stack", "_timer", "expires_s", "we_refresh")

    def __init__(self, stack: Stack, session: Session, timer: SessionTimer, now: float) -> None:
        self._stack = stack
        self._session = session
        self.expires_s = timer.expires_s
        self.we_refresh = timer.we_refresh
        self._ends_at = now + timer.expire_after_s()
        if timer.we_refresh:
            self._timer = stack.queue.set(now + timer.refresh_after_s(), self, _REFRESH)
        else:
            self._timer = stack.queue.set(self._ends_at, self, _EXPIRE)

    def on_timer(self, name: int, now: float) -> None:
        """Refresh, or end the session."""
        if name == _EXPIRE or now >= self._ends_at:
            self._session.expired = True
            die(self._stack, self._session, 408, now)
            return
        self._timer = self._stack.queue.set(min(now + _RETRY_S, self._ends_at), self, _REFRESH)
        refresh(self._stack, self._session, self, now)

    def lengthen(self, refusal: Response) -> None:
        """Ask for the longer interval of a 422 with the next attempt (RFC 4028 §7.3)."""
        try:
            self.expires_s = max(self.expires_s, read_min_se(refusal))
        except ProtocolError:
            return

    def stop(self) -> None:
        """Watch no longer."""
        self._stack.queue.cancel(self._timer)


def watch_session(stack: Stack, session: Session, timer: SessionTimer | None, now: float) -> None:
    """Start the session timer anew as agreed; None: there is none any more."""
    if session.watch is not None:
        session.watch.stop()
    session.watch = None if timer is None else SessionWatch(stack, session, timer, now)


def is_quiet(session: Session) -> bool:
    """Whether a new offer may be made: none is open in either direction (RFC 3261 §14.1)."""
    return (
        session.state is State.ESTABLISHED
        and session.reinvite is None
        and session.offer is None
        and session.repeater is None
    )


def reinvite(stack: Stack, session: Session, sdp: bytes, now: float) -> None:
    """Offer `sdp` by re-INVITE and report what came of it."""
    if not is_quiet(session):
        stack.emit(ReinviteResult(session, 491, b""))
        return
    _send_offer(stack, session, sdp, now, report=True)


def refresh(stack: Stack, session: Session, watch: SessionWatch, now: float) -> None:
    """Send the refresh of a session timer, unless something is under way: then the watch tries again."""
    if not is_quiet(session):
        return
    if not session.peer_updates:
        _send_offer(stack, session, session.local_sdp, now, report=False)
        return
    headers = (
        stack.contact(session.dialog.peer.transport),
        SUPPORTED,
        ("Session-Expires", f"{watch.expires_s};refresher=uac"),
    )
    _start(stack, session, "UPDATE", headers, b"", partial(_on_outcome, session, b"", False), now)


def _send_offer(stack: Stack, session: Session, sdp: bytes, now: float, *, report: bool) -> None:
    supported = SUPPORTED if session.timer_s != 0 else UNTIMED
    headers = [stack.contact(session.dialog.peer.transport), ALLOW, supported]
    watch = session.watch
    if watch is not None:
        refresher = "uac" if watch.we_refresh else "uas"
        headers.append(("Session-Expires", f"{watch.expires_s};refresher={refresher}"))
    if sdp:
        headers.append(SDP)
    _start(stack, session, "INVITE", tuple(headers), sdp, partial(_on_outcome, session, sdp, report), now)


def _start(
    stack: Stack,
    session: Session,
    method: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    receiver: partial[None],
    now: float,
) -> None:
    exchange = exchange_in_dialog(
        stack, session.dialog, method, receiver=receiver, auth=session.auth, headers=headers, body=body
    )
    exchange.peer_tcp = session.peer_tcp
    session.reinvite = exchange
    exchange.start(now)


def _on_outcome(
    session: Session,
    sdp: bytes,
    report: bool,  # noqa: FBT001  bound by `partial`
    exchange: Exchange,
    outcome: Outcome,
    peer: Peer,
    now: float,
) -> None:
    stack = exchange.stack
    if isinstance(outcome, Response):
        if outcome.status < 200:
            return
        if outcome.status < 300:
            _on_success(session, exchange, outcome, peer)
    if session.reinvite is not exchange:
        return
    session.reinvite = None
    status = status_of(outcome)
    success = isinstance(outcome, Response) and status < 300
    if success and isinstance(outcome, Response):
        if sdp:
            session.local_sdp = sdp
        asked_s = session.watch.expires_s if session.watch is not None else None
        watch_session(stack, session, agree_as_uac(outcome, asked_s=asked_s), now)
    if report:
        answer = sdp_of(outcome) if success and isinstance(outcome, Response) else b""
        stack.emit(ReinviteResult(session, status, answer))
    if isinstance(outcome, Response) and status == 422 and session.watch is not None:
        session.watch.lengthen(outcome)
    if status in (408, 481):
        # RFC 3261 §12.2.1.2: the peer is gone, or knows nothing of this dialog.
        die(stack, session, status, now)


def _on_success(session: Session, exchange: Exchange, response: Response, peer: Peer) -> None:
    """Take the peer's new target, and acknowledge a re-INVITE's 2xx."""
    stack, transaction = exchange.stack, exchange.transaction
    session.dialog.refresh_target(response, peer)
    if transaction is None or response.cseq.method != "INVITE":
        return
    proofs = [pair for pair in exchange.request.headers if pair[0] in AUTHORIZING]
    ack = request_in_dialog(
        stack,
        session.dialog,
        "ACK",
        cseq=response.cseq.number,
        branch=COOKIE + stack.new_token(),
        headers=proofs,
    )
    kept = (session.dialog.peer, ack.serialize())
    transaction.acks = {response.to.tag or "": kept}
    transaction.request = None
    transaction.user = None
    stack.outgoing.append(kept)
