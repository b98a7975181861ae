"""One request of ours until its final outcome, over as many transactions as that takes.

A challenge is answered, a request too large for UDP goes by TCP and comes back to UDP if that cannot be (RFC 3261
§18.1.1): who sent the request sees none of it, only what finally came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol, TypeAlias

from ringbridge.sip.client_transaction import ClientTransaction
from ringbridge.sip.dialog import Dialog, listening_address
from ringbridge.sip.digest import Credentials
from ringbridge.sip.digest_client import Authenticator
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.serializer import Headers
from ringbridge.sip.session_events import Failure

COOKIE: Final = "z9hG4bK"
MOST_RETRIES: Final = 4
"""Challenges answered for one request: a proxy's and the peer's own, each once more because its nonce went stale."""

AUTHORIZING: Final = ("Authorization", "Proxy-Authorization")

Outcome: TypeAlias = Response | Failure
Receiver: TypeAlias = Callable[["Exchange", Outcome, Peer, float], None]
"""Takes a provisional response, a final one (of an INVITE every 2xx), or TIMEOUT or TRANSPORT; and who sent it."""


class Numbering(Protocol):
    """Where the CSeq of a repeated request comes from."""

    def next_cseq(self) -> int: ...


class Authorizer:
    """The credentials of one session or registration, and the challenges that it has met."""

    __slots__ = ("_authenticator", "_credentials")

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._authenticator: Authenticator | None = None

    @property
    def realm(self) -> str:
        """The only realm that is answered; empty while any of the right host is."""
        return self._credentials.realm or ""

    def take(self, response: Response, host: str, *, first: bool) -> bool:
        """Learn from a 401 or 407; return whether to send the request again.

        `first`: this request has not been challenged yet. What it carried was for an older nonce, and many servers give
        a new nonce for every request without saying `stale`: the old challenges are forgotten.
        """
        if first or self._authenticator is None:
            self._authenticator = Authenticator(self._credentials)
        if not self._authenticator.take(response, host):
            return False
        if self._credentials.realm is None:
            # This realm alone from now on, also where the dialog's route leads to another of the peer's hosts.
            self._credentials = replace(self._credentials, realm=self._authenticator.realm)
        return True

    def headers(self, method: str, uri: str, cnonce: str) -> list[tuple[str, str]]:
        """Return what proves us to the realms met so far; empty before the first challenge."""
        if self._authenticator is None:
            return []
        return self._authenticator.headers(method, uri, cnonce)


class Exchange:
    """One request of ours and its way to a final outcome."""

    __slots__ = (
        "auth",
        "branch",
        "data",
        "destination",
        "dialog",
        "numbering",
        "on_retry",
        "peer",
        "peer_tcp",
        "receiver",
        "request",
        "retries",
        "stack",
        "transaction",
    )

    def __init__(
        self,
        stack: Stack,
        request: Request,
        *,
        branch: str,
        peer: Peer,
        receiver: Receiver,
        numbering: Numbering,
        auth: Authorizer | None = None,
    ) -> None:
        self.stack = stack
        self.request = request
        self.branch = branch
        self.peer = peer
        self.destination = peer
        """Where it goes this time: to `peer`, or by TCP."""
        self.peer_tcp: Peer | None = None
        """Where it goes when it is too large for UDP; None: nowhere else, or that was tried in vain."""
        self.receiver = receiver
        self.numbering = numbering
        self.on_retry: Callable[[], object] | None = None
        """Told when the request goes out anew."""
        self.auth = auth
        self.retries = 0
        self.dialog: Dialog | None = None
        """Of a request inside a dialog over a connection: tells where else to try when that has gone."""
        self.data = b""
        self.transaction: ClientTransaction | None = None

    def prepare(self) -> None:
        """Fix the bytes and the transport.

        Raises:
            UnsafeHeader: something in the request is unfit for its place.
        """
        self.data = self.request.serialize()
        self.destination = self.peer
        # What a proof has made larger may need TCP that did not before.
        too_large = self.peer.transport is Transport.UDP and len(self.data) > self.stack.settings.tcp_over_bytes
        if self.peer_tcp is not None and too_large:
            self.destination = self.peer_tcp
            self.request.set("Via", self.stack.via(self.peer_tcp.transport, self.branch))
            self.data = self.request.serialize()

    def start(self, now: float) -> None:
        """Send the request."""
        if not self.data:
            self.prepare()
        data, self.data = self.data, b""
        self.transaction = ClientTransaction(
            self.stack, request=self.request, branch=self.branch, peer=self.destination, user=self
        )
        self.stack.start_client(self.transaction, data, now)

    def retry(self, now: float) -> None:
        """Send the request again as a new one: next CSeq, new branch, the proofs that are due now."""
        self.retries += 1
        request = self.request
        self.branch = next_branch(self.branch, self.retries)
        request.set("Via", self.stack.via(self.peer.transport, self.branch))
        request.set("CSeq", f"{self.numbering.next_cseq()} {request.method}")
        for name in AUTHORIZING:
            request.remove(name)
        if self.auth is not None:
            for name, value in self.auth.headers(request.method, request.uri, self.stack.new_token()):
                request.add(name, value)
        if self.on_retry is not None:
            self.on_retry()
        self.start(now)

    def on_response(self, transaction: ClientTransaction, response: Response, peer: Peer, now: float) -> None:
        """Answer a challenge, or pass the response on."""
        if response.status in (401, 407) and self.auth is not None and self.retries < MOST_RETRIES:
            host = transaction.peer.host
            if self.auth.take(response, host, first=self.retries == 0):
                self.retry(now)
                return
        self.receiver(self, response, peer, now)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """Come back from TCP to UDP, try where the peer listens, or pass the failure on."""
        if failure is Failure.TRANSPORT and self._redirect(transaction.peer):
            self.request.set("Via", self.stack.via(self.peer.transport, self.branch))
            self.start(now)
            return
        self.receiver(self, failure, transaction.peer, now)

    def _redirect(self, failed: Peer) -> bool:
        """Find another way than to `failed`; False: there is none."""
        if failed == self.peer_tcp:
            self.peer_tcp = None
            return True
        dialog, self.dialog = self.dialog, None
        if dialog is None or failed.transport is Transport.UDP:
            return False
        listening = listening_address(dialog)
        if listening is None or listening == failed:
            return False
        self.peer = dialog.peer = listening
        return True

    def drop(self) -> None:
        """Lose interest: whatever still comes is nobody's."""
        transaction = self.transaction
        if transaction is not None:
            transaction.user = None
            if transaction in self.stack.pending:
                self.stack.forget_client(transaction)


def next_branch(branch: str, retries: int) -> str:
    """Return the branch of a request that goes out anew: told from the first one alone, so that a restart knows it."""
    return f"{branch.partition('.')[0]}.{retries}"


def request_in_dialog(
    stack: Stack,
    dialog: Dialog,
    method: str,
    *,
    cseq: int,
    branch: str,
    headers: Headers = (),
    body: bytes = b"",
) -> Request:
    """Return a request inside a dialog (RFC 3261 §12.2.1.1)."""
    uri, routes = dialog.request_line()
    lines = [("Via", stack.via(dialog.peer.transport, branch)), ("Max-Forwards", "70")]
    if routes:
        lines += [("Route", route) for route in routes]
    lines += (
        ("From", dialog.local),
        ("To", dialog.remote),
        ("Call-ID", dialog.sip_call_id),
        ("CSeq", f"{cseq} {method}"),
    )
    if headers:
        lines += headers
    return Request(method, uri, lines, body)


def exchange_in_dialog(
    stack: Stack,
    dialog: Dialog,
    method: str,
    *,
    receiver: Receiver,
    auth: Authorizer | None = None,
    headers: Headers = (),
    body: bytes = b"",
) -> Exchange:
    """Return a request inside a dialog with the dialog's next CSeq, ready to start; authorized ahead where possible."""
    branch = COOKIE + stack.new_token()
    request = request_in_dialog(
        stack, dialog, method, cseq=dialog.next_cseq(), branch=branch, headers=headers, body=body
    )
    if auth is not None:
        for name, value in auth.headers(method, request.uri, stack.new_token()):
            request.add(name, value)
    exchange = Exchange(stack, request, branch=branch, peer=dialog.peer, receiver=receiver, numbering=dialog, auth=auth)
    exchange.dialog = dialog
    return exchange


def status_of(outcome: Outcome) -> int:
    """Return the status of an outcome; RFC 3261 §8.1.3.1: a timeout counts as 408, a transport error as 503."""
    if isinstance(outcome, Response):
        return outcome.status
    return 408 if outcome is Failure.TIMEOUT else 503


def reason_of(outcome: Outcome) -> str:
    """Return the reason phrase of an outcome."""
    if isinstance(outcome, Response):
        return outcome.reason
    return "Request Timeout" if outcome is Failure.TIMEOUT else "Service Unavailable"
