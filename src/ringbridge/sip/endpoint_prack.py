"""Reliable provisional responses (RFC 3262), from both sides.

As the caller we say that we can, and answer each with PRACK, in the order of its RSeq. As the called side we use them
only where the peer requires that: then each provisional is repeated until its PRACK, one at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final
from zlib import crc32

from ringbridge.sip.dialog import Dialog
from ringbridge.sip.endpoint_exchange import Exchange, Outcome, exchange_in_dialog
from ringbridge.sip.endpoint_repeater import Repeater
from ringbridge.sip.endpoint_stack import Stack
from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.headers import parse_count
from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer
from ringbridge.sip.serializer import Headers
from ringbridge.sip.server_transaction import ServerTransaction
from ringbridge.sip.session import Session

_MOST_RSEQ: Final = 2**32 - 1


def take_reliable(stack: Stack, session: Session, response: Response, peer: Peer, now: float) -> bool:
    """Answer a provisional response with PRACK if it asks for one; False: it came before, or out of order.

    RFC 3262 §4: RSeq grows by one; a response that is not the next one is neither acknowledged nor processed.
    """
    rseq_text = response.first("RSeq")
    if rseq_text is None or "100rel" not in response.tokens("Require") or not response.to.tag:
        return True
    rseq = parse_count("RSeq", rseq_text, _MOST_RSEQ)
    dialog = early_dialog(session, response, peer)
    if dialog.remote_rseq and rseq != dialog.remote_rseq + 1:
        return False
    dialog.remote_rseq = rseq
    exchange_in_dialog(
        stack,
        dialog,
        "PRACK",
        receiver=_ignore,
        auth=session.auth,
        headers=(("RAck", f"{rseq} {response.cseq.number} INVITE"),),
    ).start(now)
    return True


def _ignore(_exchange: Exchange, _outcome: Outcome, _peer: Peer, _now: float) -> None:
    """Leave it to the INVITE's final response to say what became of the call."""


def early_dialog(session: Session, response: Response, peer: Peer) -> Dialog:
    """Return the early dialog that a provisional response belongs to or makes (RFC 3261 §12.1)."""
    early = session.early
    if early is None:
        early = session.early = {}
    tag = response.to.tag or ""
    dialog = early.get(tag)
    if dialog is None:
        seed = session.dialog
        dialog = early[tag] = Dialog(
            sip_call_id=seed.sip_call_id,
            local=seed.local,
            local_tag=seed.local_tag,
            remote=seed.remote,
            target=seed.target,
            peer=seed.peer,
        )
        dialog.local_cseq = seed.local_cseq
        dialog.stay_with_peer = seed.stay_with_peer
    dialog.accept(response, peer)
    return dialog


class ReliableProvisionals:
    """Our provisional responses to one INVITE, each sent when the one before has been acknowledged."""

    __slots__ = ("_give_up", "_held", "_repeater", "_rseq", "_sdp_waits", "_stack", "_transaction", "_waiting")

    def __init__(self, stack: Stack, transaction: ServerTransaction, give_up: Callable[[float], None]) -> None:
        """`give_up` is called when one is not acknowledged within 64*T1."""
        self._stack = stack
        self._transaction = transaction
        self._give_up = give_up
        self._rseq = crc32(transaction.key[0].encode()) & 0x7FFFFFFF or 1
        """RFC 3262 §3: the first number is to be unpredictable, between 1 and 2**31 - 1."""
        self._repeater: Repeater | None = None
        self._waiting: deque[tuple[int, Headers, bytes]] = deque()
        self._sdp_waits = False
        self._held: Callable[[float], None] | None = None

    def send(self, now: float, *, status: int, headers: Headers, body: bytes) -> None:
        """Send a provisional, or keep it until the one before has its PRACK (RFC 3262 §3)."""
        if self._repeater is not None:
            self._waiting.append((status, headers, body))
            return
        lines = (*headers, ("Require", "100rel"), ("RSeq", str(self._rseq)))
        data = self._stack.respond(self._transaction, now, status=status, headers=lines, body=body)
        if not data:
            return
        self._sdp_waits = bool(body)
        self._repeater = Repeater(
            self._stack,
            data,
            self._transaction.peer,
            now,
            cseq=0,
            ceiling_s=None,
            give_up=self._give_up,
        )

    def hold_answer(self, send: Callable[[float], None]) -> bool:
        """Keep a 2xx back while a provisional with SDP has no PRACK (RFC 3262 §3); False: send it now."""
        if not self._sdp_waits:
            return False
        self._held = send
        return True

    def take_prack(self, request: Request, cseq: int) -> bool:
        """Take a PRACK to the INVITE numbered `cseq`; False: it acknowledges nothing that waits.

        Raises:
            ProtocolError: 400, RAck cannot be read.
        """
        words = (request.first("RAck") or "").split()
        if len(words) != 3:
            raise ProtocolError(400, "Bad RAck")
        if self._repeater is None or words != [str(self._rseq), str(cseq), "INVITE"]:
            return False
        self._repeater.stop()
        self._repeater = None
        self._sdp_waits = False
        self._rseq += 1
        return True

    def go_on(self, now: float) -> None:
        """Send what waited for the PRACK."""
        held, self._held = self._held, None
        if held is not None:
            self._waiting.clear()
            held(now)
        elif self._waiting:
            status, headers, body = self._waiting.popleft()
            self.send(now, status=status, headers=headers, body=body)

    def stop(self) -> None:
        """Repeat nothing any more."""
        if self._repeater is not None:
            self._repeater.stop()
            self._repeater = None
        self._waiting.clear()
        self._held = None


def receive_prack(stack: Stack, session: Session, transaction: ServerTransaction, request: Request, now: float) -> None:
    """Answer a PRACK: 200 if it acknowledges what waits for it, else 481 (RFC 3262 §3)."""
    provisionals = session.provisionals
    if provisionals is None or not provisionals.take_prack(request, session.invite_cseq):
        stack.respond(transaction, now, status=481)
        return
    if request.body:
        # Deviates: a PRACK may carry a further offer (RFC 3262 §5); nobody who calls us needs one before the answer.
        stack.respond(transaction, now, status=488)
    else:
        stack.respond(transaction, now, status=200)
    provisionals.go_on(now)


def reliable_for(stack: Stack, session: Session, refuse: Callable[[Stack, Session, float], None]) -> None:
    """Use reliable provisionals on an incoming session; unacknowledged for 64*T1, `refuse` ends it (RFC 3262 §3)."""
    if session.server is not None:
        session.provisionals = ReliableProvisionals(stack, session.server, partial(refuse, stack, session))
