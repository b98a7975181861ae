"""What all parts of an endpoint share: its transactions, timers, outgoing bytes and events.

The transactions' tables say what is to be done (`client_transaction`, `server_transaction`); here it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ringbridge.sip import client_transaction as client
from ringbridge.sip import server_transaction as server
from ringbridge.sip.client_transaction import ClientTransaction, ClientUser
from ringbridge.sip.endpoint_settings import EndpointCounters, EndpointSettings
from ringbridge.sip.message import Request, Response, response_to
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.serializer import Headers
from ringbridge.sip.server_transaction import ServerTransaction
from ringbridge.sip.session_events import EndpointEvent, Failure
from ringbridge.sip.timers import TimerQueue

if TYPE_CHECKING:
    from ringbridge.sip.registration import Registration
    from ringbridge.sip.session import Session

AckHandler = Callable[[Request, Peer, float], None]


class Stack:
    """The shared state of one endpoint, and the transaction layer."""

    __slots__ = (
        "_contacts",
        "_vias",
        "clients",
        "counters",
        "events",
        "merged",
        "new_token",
        "on_ack",
        "outgoing",
        "pending",
        "queue",
        "registrations",
        "servers",
        "sessions",
        "settings",
        "stray_answers",
        "timers",
    )

    def __init__(self, settings: EndpointSettings, new_token: Callable[[], str]) -> None:
        self.settings = settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._vias: dict[Transport, str] = {}
        self._contacts: dict[Transport, str] = {}
        for transport in Transport:
            port = settings.udp_port if transport is Transport.UDP else settings.tcp_port or settings.udp_port
            self._vias[transport] = f"SIP/2.0/{transport.value} {host}:{port};rport;branch="
            suffix = "" if transport is Transport.UDP else f";transport={transport.value.lower()}"
            self._contacts[transport] = f"<sip:{settings.contact_user}@{host}:{port}{suffix}>"
        self.timers = settings.timers
        self.new_token = new_token
        self.queue = TimerQueue()
        self.counters = EndpointCounters()
        self.outgoing: list[tuple[Peer, bytes]] = []
        self.events: list[EndpointEvent] = []
        self.clients: dict[client.Key, ClientTransaction] = {}
        self.pending: set[ClientTransaction] = set()
        """Client transactions that still wait for a final response: what a failing peer can hurt."""
        self.servers: dict[server.Key, ServerTransaction] = {}
        self.merged: dict[server.Key, ServerTransaction] = {}
        """Requests outside of dialogs by identity, to recognise one that came by two paths (RFC 3261 §8.2.2.2)."""
        self.sessions: dict[tuple[str, str], Session] = {}
        """By Call-ID and our tag."""
        self.registrations: set[Registration] = set()
        self.on_ack: AckHandler
        """Takes the ACK of a 2xx."""
        self.stray_answers: ClientUser
        """Takes a 2xx that comes when its session is over."""

    def via(self, transport: Transport, branch: str) -> str:
        """Return the Via of a request of ours."""
        return self._vias[transport] + branch

    def contact(self, transport: Transport) -> tuple[str, str]:
        """Return our Contact header: where requests inside a dialog reach this endpoint."""
        return ("Contact", self._contacts[transport])

    def emit(self, event: EndpointEvent) -> None:
        """Tell the application."""
        self.events.append(event)

    # --- client transactions ---

    def start_client(self, transaction: ClientTransaction, data: bytes, now: float) -> None:
        """Send a request and wait for what comes of it."""
        timers = self.timers
        transaction.data = data
        self.clients[transaction.key] = transaction
        self.pending.add(transaction)
        self.outgoing.append((transaction.peer, data))
        if transaction.peer.transport is Transport.UDP:
            transaction.interval_s = timers.t1_s
            transaction.resend = self.queue.set(now + timers.t1_s, transaction, client.Input.RESEND)
        transaction.expiry = self.queue.set(now + timers.give_up_s, transaction, client.Input.GIVE_UP)

    def receive_response(self, response: Response, peer: Peer, now: float) -> None:
        """Find the transaction of a response and drive it; RFC 3261 §18.1.2: without one it is dropped."""
        branch = response.via.branch or ""
        transaction = self.clients.get((branch, response.cseq.method)) or self._adopt(branch, response)
        if transaction is None:
            self.counters.stray_responses += 1
            return
        status = response.status
        happened = client.Input.R1XX if status < 200 else client.Input.R2XX if status < 300 else client.Input.REFUSED
        self.drive_client(transaction, happened, now, response=response, source=peer)

    def _adopt(self, branch: str, response: Response) -> ClientTransaction | None:
        """Recognise the answer to an INVITE that went out anew, for a challenge, between its snapshot and the crash."""
        first, dot, _ = branch.rpartition(".")
        method = response.cseq.method
        transaction = self.clients.get((first, method)) if dot else None
        if transaction is None or not transaction.restored or method != "INVITE":
            return None
        del self.clients[transaction.key]
        transaction.key = (branch, method)
        self.clients[transaction.key] = transaction
        if transaction.request is not None:
            transaction.request.set("Via", self.via(transaction.peer.transport, branch))
            transaction.request.set("CSeq", f"{response.cseq.number} INVITE")
        return transaction

    def drive_client(
        self,
        transaction: ClientTransaction,
        happened: client.Input,
        now: float,
        *,
        response: Response | None = None,
        source: Peer | None = None,
    ) -> None:
        """Step a client transaction and do what its table asks for."""
        before = transaction.state
        match transaction.step(happened):
            case client.Action.PASS_UP | client.Action.ACK_AND_PASS_UP as action if response and source:
                self._pass_up(transaction, action, before, response, source, now)
            case client.Action.ACK:
                self.counters.retransmissions_received += 1
                self.outgoing.append((transaction.peer, transaction.data))
            case client.Action.RESEND:
                self._resend_client(transaction, now)
            case client.Action.TIMED_OUT | client.Action.NOT_DELIVERED as action:
                self.forget_client(transaction)
                failure = Failure.TIMEOUT if action is client.Action.TIMED_OUT else Failure.TRANSPORT
                if transaction.user is not None:
                    transaction.user.on_failure(transaction, failure, now)
            case client.Action.FORGET:
                self.forget_client(transaction)
            case _:
                self.counters.ignored += 1

    def _pass_up(
        self,
        transaction: ClientTransaction,
        action: client.Action,
        before: client.State,
        response: Response,
        source: Peer,
        now: float,
    ) -> None:
        """Do what a response asks of the transaction itself, then hand it to the user."""
        if before < client.State.ACCEPTED:
            if before is client.State.CALLING or response.status >= 200:
                self._settle_client(transaction, response, now)
            if action is client.Action.ACK_AND_PASS_UP:
                self._acknowledge_refusal(transaction, response)
        elif self._acknowledge_again(transaction, response):
            return
        user = transaction.user
        if transaction.state >= client.State.COMPLETED:
            transaction.user = None  # it has heard all; no cycle is left for the collector to find
        if user is not None:
            user.on_response(transaction, response, source, now)

    def _resend_client(self, transaction: ClientTransaction, now: float) -> None:
        timers = self.timers
        self.counters.retransmissions_sent += 1
        self.outgoing.append((transaction.peer, transaction.data))
        if transaction.state is client.State.CALLING:
            transaction.interval_s *= 2  # RFC 3261 §17.1.1.2: Timer A doubles without a ceiling
        elif transaction.state is client.State.PROCEEDING:
            transaction.interval_s = timers.t2_s  # RFC 3261 §17.1.2.2: once a provisional came, every T2
        else:
            transaction.interval_s = min(2 * transaction.interval_s, timers.t2_s)
        transaction.resend = self.queue.set(now + transaction.interval_s, transaction, client.Input.RESEND)

    def _settle_client(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Set the timers of the state that a response led to; drop what only a live transaction needs."""
        queue, timers = self.queue, self.timers
        queue.cancel(transaction.resend)
        queue.cancel(transaction.expiry)
        transaction.resend = transaction.expiry = None
        invite = transaction.table is client.INVITE_CLIENT
        if response.status < 200:
            if invite and transaction.request is not None and transaction.request.to.tag is not None:
                transaction.expiry = queue.set(now + timers.give_up_s, transaction, client.Input.NO_FINAL)
            return
        self.pending.discard(transaction)
        transaction.data = b""
        if not invite:
            transaction.request = None
        reliable = transaction.peer.transport is not Transport.UDP
        if response.status < 300 and invite:
            wait_s = timers.give_up_s  # RFC 6026 §7.2: Timer M, over any transport
        elif reliable:
            self.drive_client(transaction, client.Input.LINGERED, now)  # RFC 3261 §17: Timers D and K are zero
            return
        else:
            wait_s = timers.wait_d_s if invite else timers.t4_s
        transaction.expiry = queue.set(now + wait_s, transaction, client.Input.LINGERED)

    def _acknowledge_refusal(self, transaction: ClientTransaction, response: Response) -> None:
        """RFC 3261 §17.1.1.3: the ACK of a refusal is the transaction's own, on the INVITE's branch and route."""
        invite = transaction.request
        if invite is None:
            return
        headers = [pair for pair in invite.headers if pair[0] in _REPEATED_IN_ACK]
        headers.append(("To", response.first("To") or ""))
        headers.append(("CSeq", f"{invite.cseq.number} ACK"))
        data = Request("ACK", invite.uri, headers).serialize()
        self.outgoing.append((transaction.peer, data))
        transaction.request = None
        if transaction.state is client.State.COMPLETED:
            transaction.data = data

    def _acknowledge_again(self, transaction: ClientTransaction, response: Response) -> bool:
        """Repeat the ACK of a 2xx that came again; False: it is of a branch that we have not heard of yet."""
        tag = response.to.tag or ""
        if not transaction.acks or tag not in transaction.acks:
            return False
        self.counters.retransmissions_received += 1
        ack = transaction.acks[tag]
        if ack is not None:
            self.outgoing.append(ack)
        return True

    def forget_client(self, transaction: ClientTransaction) -> None:
        """Drop a client transaction with its timers."""
        transaction.state = client.State.TERMINATED
        self.queue.cancel(transaction.resend)
        self.queue.cancel(transaction.expiry)
        transaction.resend = transaction.expiry = None
        self.pending.discard(transaction)
        if self.clients.get(transaction.key) is transaction:
            del self.clients[transaction.key]

    # --- server transactions ---

    def start_server(self, request: Request, key: server.Key, peer: Peer, now: float) -> ServerTransaction:
        """Begin to answer a request that came from `peer`."""
        transaction = ServerTransaction(self, request=request, key=key, peer=reply_peer(request, peer))
        self.servers[key] = transaction
        if transaction.table is server.NON_INVITE_SERVER:
            # A request that the application never answers must not stay for ever; the peer gave up long before.
            transaction.expiry = self.queue.set(now + self.timers.give_up_s, transaction, server.Input.LINGERED)
        return transaction

    def respond(
        self,
        transaction: ServerTransaction,
        now: float,
        *,
        status: int,
        reason: str | None = None,
        headers: Headers = (),
        body: bytes = b"",
    ) -> bytes:
        """Send a response, unless the final one has been sent; return its bytes, empty when none was sent."""
        request = transaction.request
        if request is None or transaction.answered:
            return b""
        if status > 100 and transaction.to_tag is None and request.to.tag is None:
            transaction.to_tag = self.new_token()
        tag = transaction.to_tag if status > 100 else None
        data = response_to(request, status, reason, headers, body, tag).serialize()
        happened = (
            server.Input.SEND_1XX
            if status < 200
            else server.Input.SEND_2XX
            if status < 300
            else server.Input.SEND_REFUSAL
        )
        self.drive_server(transaction, happened, now, data=data)
        return data

    def drive_server(
        self,
        transaction: ServerTransaction,
        happened: server.Input,
        now: float,
        *,
        data: bytes = b"",
        request: Request | None = None,
        source: Peer | None = None,
    ) -> None:
        """Step a server transaction and do what its table asks for."""
        match transaction.step(happened):
            case server.Action.SEND:
                transaction.last = data
                self.outgoing.append((transaction.peer, data))
                if transaction.answered:
                    self._settle_server(transaction, now)
            case server.Action.RESEND:
                self._resend_server(transaction, happened, now)
            case server.Action.CONFIRM:
                self._confirm(transaction, now)
            case server.Action.PASS_UP if request and source:
                self.on_ack(request, source, now)
            case server.Action.FORGET:
                self.forget_server(transaction)
            case server.Action.ABSORB:
                pass
            case _:
                self.counters.ignored += 1

    def _resend_server(self, transaction: ServerTransaction, happened: server.Input, now: float) -> None:
        if transaction.last:
            self.counters.retransmissions_sent += 1
            self.outgoing.append((transaction.peer, transaction.last))
        if happened is server.Input.RESEND:
            transaction.interval_s = min(2 * transaction.interval_s, self.timers.t2_s)
            transaction.resend = self.queue.set(now + transaction.interval_s, transaction, server.Input.RESEND)

    def _settle_server(self, transaction: ServerTransaction, now: float) -> None:
        """Set the timers of the state that our final response led to."""
        queue, timers = self.queue, self.timers
        queue.cancel(transaction.expiry)
        transaction.expiry = None
        transaction.request = None
        reliable = transaction.peer.transport is not Transport.UDP
        if transaction.table is server.NON_INVITE_SERVER:
            if reliable:
                self.forget_server(transaction)  # RFC 3261 §17.2.2: Timer J is zero
            else:
                transaction.expiry = queue.set(now + timers.give_up_s, transaction, server.Input.LINGERED)
        elif transaction.state is server.State.ACCEPTED:
            transaction.last = b""  # RFC 6026 §7.1: the 2xx is the session's to repeat
            transaction.expiry = queue.set(now + timers.give_up_s, transaction, server.Input.LINGERED)
        else:
            transaction.expiry = queue.set(now + timers.give_up_s, transaction, server.Input.GIVE_UP)
            if not reliable:
                transaction.interval_s = timers.t1_s
                transaction.resend = queue.set(now + timers.t1_s, transaction, server.Input.RESEND)

    def _confirm(self, transaction: ServerTransaction, now: float) -> None:
        self.queue.cancel(transaction.resend)
        self.queue.cancel(transaction.expiry)
        transaction.resend = transaction.expiry = None
        transaction.last = b""
        if transaction.peer.transport is not Transport.UDP:
            self.forget_server(transaction)  # RFC 3261 §17.2.1: Timer I is zero
        else:
            transaction.expiry = self.queue.set(now + self.timers.t4_s, transaction, server.Input.LINGERED)

    def forget_server(self, transaction: ServerTransaction) -> None:
        """Drop a server transaction with its timers."""
        transaction.state = server.State.TERMINATED
        self.queue.cancel(transaction.resend)
        self.queue.cancel(transaction.expiry)
        transaction.resend = transaction.expiry = None
        self.servers.pop(transaction.key, None)
        if transaction.merge_key is not None:
            self.merged.pop(transaction.merge_key, None)


_REPEATED_IN_ACK = frozenset(("Via", "From", "Call-ID", "Max-Forwards", "Route"))


def reply_peer(request: Request, source: Peer) -> Peer:
    """Return where responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4)."""
    if source.transport is not Transport.UDP:
        return source
    via = request.via
    if "rport" in via.params:
        return source
    port = via.port or 5060
    return source if port == source.port else Peer(Transport.UDP, source.host, port)
