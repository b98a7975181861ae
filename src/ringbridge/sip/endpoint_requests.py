"""Requests of ours that are neither INVITE nor REGISTER: inside a dialog or outside of any."""

from __future__ import annotations

from functools import partial

from ringbridge.sip.endpoint_ending import die
from ringbridge.sip.endpoint_exchange import (
    COOKIE,
    Authorizer,
    Exchange,
    Outcome,
    exchange_in_dialog,
    reason_of,
    status_of,
)
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer
from ringbridge.sip.serializer import Headers
from ringbridge.sip.session import Session, State
from ringbridge.sip.session_events import RequestResult
from ringbridge.sip.session_orders import RequestOrder


class _OneNumber:
    """The CSeq of a request that belongs to nothing."""

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = 1

    def next_cseq(self) -> int:
        self._number += 1
        return self._number


def send_request(stack: Stack, order: RequestOrder, now: float) -> str:
    """Send a request outside of any dialog; return the token of its result."""
    token = stack.new_token()
    branch = COOKIE + stack.new_token()
    headers = (
        ("Via", stack.via(order.peer.transport, branch)),
        ("Max-Forwards", "70"),
        ("From", f"{order.from_};tag={stack.new_token()}"),
        ("To", order.to),
        ("Call-ID", token),
        ("CSeq", f"1 {order.method}"),
        stack.contact(order.peer.transport),
        ("User-Agent", stack.settings.user_agent),
        *order.headers,
    )
    exchange = Exchange(
        stack,
        Request(order.method, order.uri, headers, order.body),
        branch=branch,
        peer=order.peer,
        receiver=partial(_on_outcome, token, None),
        numbering=_OneNumber(),
        auth=None if order.credentials is None else Authorizer(order.credentials),
    )
    exchange.start(now)
    return token


def send_in_dialog(stack: Stack, session: Session, now: float, *, method: str, headers: Headers, body: bytes) -> str:
    """Send a request inside a dialog; return the token of its result, which is 481 at once if there is no dialog."""
    token = stack.new_token()
    if session.state not in (State.ESTABLISHED, State.ANSWERED):
        stack.emit(RequestResult(token, 481, "Call/Transaction Does Not Exist", None, session))
        return token
    if method == "REFER":
        session.subscribed = True  # RFC 3515 §2.4.4: REFER makes a subscription, whose NOTIFYs will come
    exchange_in_dialog(
        stack,
        session.dialog,
        method,
        receiver=partial(_on_outcome, token, session),
        auth=session.auth,
        headers=(stack.contact(session.dialog.peer.transport), *headers),
        body=body,
    ).start(now)
    return token


def _on_outcome(
    token: str, session: Session | None, exchange: Exchange, outcome: Outcome, _peer: Peer, now: float
) -> None:
    response = outcome if isinstance(outcome, Response) else None
    if response is not None and response.status < 200:
        return
    status = status_of(outcome)
    exchange.stack.emit(RequestResult(token, status, reason_of(outcome), response, session))
    if session is not None and status in (408, 481):
        die(exchange.stack, session, status, now)  # RFC 3261 §12.2.1.2
