"""Phones behind one SIP address, which do what a test tells them: the other end of connections.

The SIP is the project's own endpoint on real sockets. Below it every INVITE is counted as it comes off the wire, by
Call-ID and branch, so that a second one is seen whatever the endpoint makes of it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import msgspec

from ringbridge.adapters.sip.node import SipNode, SipNodeSettings
from ringbridge.media import offer_answer
from ringbridge.media.offer_answer import DEFAULT_CODECS, Local
from ringbridge.media.sdp import Direction
from ringbridge.sip.endpoint import Endpoint
from ringbridge.sip.message import Request
from ringbridge.sip.peer import Peer
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import (
    AckReceived,
    Ended,
    EndpointEvent,
    IncomingInvite,
    IncomingRequest,
    Reinvited,
    ReinviteResult,
)
from ringbridge.sip.timers import Timers
from tests.live.node import until

_INVITE = re.compile(rb"INVITE sips?:([^@;> ]+)@")
_BRANCH = re.compile(rb"branch=([^;,\s]+)", re.IGNORECASE)
_CALL_ID = re.compile(rb"^(?:Call-ID|i)\s*:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_NO_RTP_PORT = 9
"""Where media goes that nobody is to hear (RFC 863)."""


@dataclass(eq=False)
class PartyCall:
    """One call at a party."""

    party: Party
    session: Session
    request: Request
    offer: bytes
    number: str
    invited_at: float = field(default_factory=time.time)
    local: Local | None = None
    answered_at: float = 0.0
    acked: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    end: Ended | None = None
    reinvites: list[int] = field(default_factory=list)
    """Statuses that our re-INVITEs got."""
    reinvited: int = 0
    """How many re-INVITEs came."""
    offered: list[Direction] = field(default_factory=list)
    """What they offered, as we would answer it."""
    offers: list[bytes] = field(default_factory=list)
    """The offers themselves."""
    says: deque[int] = field(default_factory=deque)
    """What we say to the next re-INVITEs; 0: nothing at all. When it is empty, 200."""

    @property
    def is_up(self) -> bool:
        return self.answered_at > 0 and not self.ended.is_set()

    def ring(self, status: int = 180) -> None:
        """Send a provisional response."""
        self.party.endpoint.ring(self.session, self.party.now(), status=status)
        self.party.wake()

    def answer(self) -> None:
        """Answer 200 with SDP."""
        ours = offer_answer.offer(session_id=1, host="127.0.0.1", port=_NO_RTP_PORT)
        self.local, _ = offer_answer.answer(self.offer, ours, allowed=DEFAULT_CODECS)
        self.party.endpoint.answer(self.session, self.local.sdp(), self.party.now())
        self.party.wake()
        self.answered_at = time.time()

    def refuse(self, status: int) -> None:
        """Send a final refusal."""
        self.party.endpoint.reject(self.session, self.party.now(), status=status)
        self.party.wake()

    def hang_up(self) -> None:
        """Send BYE, or 480 before the answer."""
        self.party.endpoint.hang_up(self.session, self.party.now())
        self.party.wake()

    def offer_direction(self, direction: Direction) -> None:
        """Send a re-INVITE: hold is SENDONLY."""
        assert self.local is not None
        self.local = msgspec.structs.replace(self.local, direction=direction, version=self.local.version + 1)
        self.party.endpoint.reinvite(self.session, self.local.sdp(), self.party.now())
        self.party.wake()


class Party:
    """Any number of phones at one address. `on_invite` says what they do; without it they wait to be told."""

    def __init__(self, on_invite: Callable[[PartyCall], None] | None = None, *, t1_s: float = 0.5) -> None:
        self.on_invite = on_invite
        self.calls: list[PartyCall] = []
        self.invites: defaultdict[str, set[tuple[bytes, bytes]]] = defaultdict(set)
        """By number dialled, the Call-ID and branch of every INVITE outside a dialog that came off the wire."""
        self._by_session: dict[Session, PartyCall] = {}
        settings = SipNodeSettings(port=0, user_agent="Party", timers=Timers(t1_s=t1_s))
        self._node = _CountingNode(settings, self)

    async def __aenter__(self) -> Self:
        await self._node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._node.stop()

    @property
    def port(self) -> int:
        return self._node.port

    @property
    def endpoint(self) -> Endpoint:
        return self._node.endpoint

    def now(self) -> float:
        return self._node.now()

    def wake(self) -> None:
        self._node.wake()

    @property
    def up(self) -> list[PartyCall]:
        """The calls that were answered here and are not over."""
        return [call for call in self.calls if call.is_up]

    @property
    def pending(self) -> list[PartyCall]:
        """The calls that have neither been answered nor ended here."""
        return [call for call in self.calls if not call.answered_at and not call.ended.is_set()]

    def of(self, number: str) -> PartyCall:
        """Return the one call to a number."""
        found = [call for call in self.calls if call.number == number]
        assert len(found) == 1, f"{len(found)} calls to {number}"
        return found[0]

    async def called(self, number: str, *, within_s: float = 10.0) -> PartyCall:
        """Return the call to a number once it has come."""
        await until(lambda: any(call.number == number for call in self.calls), within_s=within_s, what=f"{number} rung")
        return self.of(number)

    def rung_twice(self) -> dict[str, int]:
        """Return the numbers that more than one INVITE was sent to."""
        return {number: len(seen) for number, seen in self.invites.items() if len(seen) > 1}

    def saw(self, data: bytes) -> None:
        """Count an INVITE off the wire."""
        found = _INVITE.match(data)
        if found is None or re.search(rb"^(?:To|t)\s*:[^\r\n]*;tag=", data, re.IGNORECASE | re.MULTILINE):
            return
        branch, call_id = _BRANCH.search(data), _CALL_ID.search(data)
        assert branch is not None
        assert call_id is not None
        self.invites[found[1].decode()].add((call_id[1], branch[1]))

    def take(self, event: EndpointEvent) -> None:
        """Take one event of the endpoint."""
        if isinstance(event, IncomingInvite):
            number = event.request.uri.partition(":")[2].partition("@")[0]
            call = PartyCall(self, event.session, event.request, event.sdp, number)
            self.calls.append(call)
            self._by_session[event.session] = call
            if self.on_invite is not None:
                self.on_invite(call)
            return
        if isinstance(event, IncomingRequest):
            self.endpoint.respond(event.transaction, self.now(), status=405)
            return
        session = getattr(event, "session", None)
        known = self._by_session.get(session) if session is not None else None
        if known is not None:
            self._take_of(known, event)

    def _take_of(self, call: PartyCall, event: EndpointEvent) -> None:
        match event:
            case AckReceived():
                call.acked.set()
            case ReinviteResult():
                call.reinvites.append(event.status)
            case Reinvited() if call.local is not None:
                call.reinvited += 1
                local, _ = offer_answer.answer(event.sdp, call.local, allowed=DEFAULT_CODECS)
                call.offered.append(local.direction)
                call.offers.append(event.sdp)
                status = call.says.popleft() if call.says else 200
                if status == 200:
                    call.local = local
                    self.endpoint.answer_reinvite(call.session, self.now(), sdp=local.sdp())
                elif status:
                    self.endpoint.answer_reinvite(call.session, self.now(), status=status)
            case Ended():
                call.end = event
                call.ended.set()
            case _:
                pass


class _CountingNode(SipNode):
    """A SIP node that shows what comes in before the endpoint has it."""

    def __init__(self, settings: SipNodeSettings, party: Party) -> None:
        super().__init__(settings, on_event=party.take)
        self._party = party

    def _take_in(self, batch: list[tuple[bytes, Peer]]) -> None:
        for data, _ in batch:
            self._party.saw(data)
        super()._take_in(batch)
