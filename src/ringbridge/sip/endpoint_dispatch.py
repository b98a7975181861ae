"""Where an incoming message goes (RFC 3261 §8.2, §12.2.2, §17.2.3, §18).

A response goes to its client transaction. A request that is known goes to its server transaction; a new one is checked
and goes to its session, or is a new INVITE, or is answered here, or is the application's.
"""

from __future__ import annotations

from ringbridge.sip import server_transaction as server
from ringbridge.sip.endpoint_in_dialog import capabilities, receive_in_dialog
from ringbridge.sip.endpoint_settings import ALLOW
from ringbridge.sip.endpoint_stack import Stack, reply_peer
from ringbridge.sip.endpoint_uas import receive_cancel, receive_invite
from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.message import Request, Response, parse, response_to
from ringbridge.sip.peer import Peer
from ringbridge.sip.serializer import Headers
from ringbridge.sip.server_transaction import ServerTransaction, key_of
from ringbridge.sip.session_events import IncomingRequest
from ringbridge.sip.validation import Rules, validate_request, validate_response

OPTIONS_TAGS = frozenset(("100rel", "timer", "norefersub"))
"""What a peer may require of us."""


def rules_of(stack: Stack) -> Rules:
    """Return what requests this endpoint takes."""
    own = (method.strip() for method in ALLOW[1].split(","))
    return Rules(methods=frozenset(own) | stack.settings.application_methods, options=OPTIONS_TAGS)


def receive(stack: Stack, rules: Rules, data: bytes, peer: Peer, now: float, *, shedding: bool) -> None:
    """Take in one message; whatever is wrong with it is answered or counted."""
    stack.counters.received += 1
    try:
        message = parse(data)
    except ProtocolError as fault:
        stack.counters.malformed += 1
        if fault.status is not None and fault.request is not None:
            refuse_stateless(stack, fault.request, peer, fault.status, fault.reason, fault.headers)
        return
    if isinstance(message, Response):
        try:
            if validate_response(message) is None:
                stack.receive_response(message, peer, now)
            else:
                stack.counters.stray_responses += 1
        except (ProtocolError, UnsafeHeader):
            stack.counters.malformed += 1
        return
    try:
        message.stamp(peer)
        _receive_request(stack, rules, message, peer, now, shedding=shedding)
    except ProtocolError as fault:
        stack.counters.malformed += 1
        _refuse(stack, message, peer, fault, now)
    except UnsafeHeader as fault:
        # What we would have to copy from it has no place in a message of ours.
        stack.counters.malformed += 1
        _refuse(stack, message, peer, ProtocolError(400, f"Bad {fault.field}"), now)


def _receive_request(stack: Stack, rules: Rules, request: Request, peer: Peer, now: float, *, shedding: bool) -> None:
    key = key_of(request)
    known = stack.servers.get(key)
    method = request.method
    if method == "ACK":
        if known is not None:
            stack.drive_server(known, server.Input.ACK, now, request=request, source=peer)
        else:
            stack.on_ack(request, peer, now)
        return
    if known is not None:
        stack.counters.retransmissions_received += 1
        stack.drive_server(known, server.Input.REQUEST, now)
        return
    if method == "CANCEL":
        invite = stack.servers.get((*key[:2], "INVITE", *key[3:]))
        receive_cancel(stack, stack.start_server(request, key, peer, now), invite, request, now)
        return
    tag = request.to.tag
    if method == "INVITE" and shedding and tag is None:
        stack.counters.shed += 1
        retry_after = (("Retry-After", str(stack.settings.shed_retry_after_s)),)
        refuse_stateless(stack, request, peer, 503, "Overloaded", retry_after)
        return
    transaction = stack.start_server(request, key, peer, now)
    fault = validate_request(request, rules)
    if fault is not None:
        stack.respond(transaction, now, status=fault.status or 400, reason=fault.reason, headers=fault.headers)
    elif tag is not None:
        _receive_tagged(stack, transaction, request, peer, now)
    else:
        _receive_untagged(stack, transaction, request, peer, now)


def _receive_tagged(stack: Stack, transaction: ServerTransaction, request: Request, peer: Peer, now: float) -> None:
    """RFC 3261 §12.2.2: a request inside a dialog that we do not know, or no longer, is answered 481."""
    session = stack.sessions.get((request.call_id, request.to.tag or ""))
    remote = "" if session is None else session.dialog.remote_tag
    if session is None or (remote and request.from_.tag != remote):
        stack.respond(transaction, now, status=481)
    else:
        receive_in_dialog(stack, session, transaction, request, peer, now)


def _receive_untagged(stack: Stack, transaction: ServerTransaction, request: Request, peer: Peer, now: float) -> None:
    merge_key = (request.call_id, request.from_.tag or "", str(request.cseq.number), request.method)
    if merge_key in stack.merged:
        # RFC 3261 §8.2.2.2: the same request by another path; the one that came first is being answered.
        stack.respond(transaction, now, status=482)
        return
    transaction.merge_key = merge_key
    stack.merged[merge_key] = transaction
    method = request.method
    if method == "INVITE":
        receive_invite(stack, transaction, request, peer, now)
    elif method in stack.settings.application_methods:
        stack.emit(IncomingRequest(transaction, request, peer))
    elif method == "OPTIONS":
        stack.respond(transaction, now, status=200, headers=capabilities(stack, transaction))
    elif method in ("BYE", "PRACK", "UPDATE", "INFO"):
        stack.respond(transaction, now, status=481)
    elif method == "NOTIFY":
        stack.respond(transaction, now, status=489)
    else:
        stack.respond(transaction, now, status=405, headers=(ALLOW,))


def _refuse(stack: Stack, request: Request, peer: Peer, fault: ProtocolError, now: float) -> None:
    """Answer a fault that showed only while a request was being acted on."""
    if request.method == "ACK":
        return
    status = fault.status or 400
    transaction = stack.servers.get(key_of(request))
    if transaction is None:
        refuse_stateless(stack, request, peer, status, fault.reason, fault.headers)
    else:
        stack.respond(transaction, now, status=status, reason=fault.reason, headers=fault.headers)


def refuse_stateless(stack: Stack, request: Request, peer: Peer, status: int, reason: str, headers: Headers) -> None:
    """Answer without keeping anything: what cannot be read, and what overload sheds (RFC 3261 §8.2.7)."""
    if request.method == "ACK":
        return
    try:
        request.stamp(peer)
        destination = reply_peer(request, peer)
    except ProtocolError:
        destination = peer
    response = response_to(request, status, reason, headers, to_tag=stack.new_token())
    stack.outgoing.append((destination, response.serialize()))
