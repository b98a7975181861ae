"""A phone: registers, takes and makes calls, and tells a listener what happens when."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import assert_never

from ringbridge.adapters.sip.node import SipNode, SipNodeSettings, resolve
from ringbridge.media import offer_answer
from ringbridge.phone.line import Line, open_rtp, sound
from ringbridge.phone.settings import Listener, PhoneEvent, PhoneEventKind, PhoneSettings
from ringbridge.sip.digest import Credentials
from ringbridge.sip.registration import Registration
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import (
    AckReceived,
    Answered,
    Ended,
    EndpointEvent,
    Failed,
    IncomingInvite,
    IncomingRequest,
    InfoReceived,
    Progress,
    RegistrationResult,
    Reinvited,
    ReinviteResult,
    RequestResult,
)
from ringbridge.sip.session_orders import InviteOrder, RegisterOrder


class RegistrationRefused(Exception):
    """The registrar does not take us; `status` is its answer, 408 or 503 when there was none."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"registration refused: {status} {reason}")
        self.status = status


class Phone:
    """One phone, from `start` to `stop`. `listener` is called on the event loop, in the order of events."""

    def __init__(self, settings: PhoneSettings, *, listener: Listener) -> None:
        self.settings = settings
        self._listener = listener
        self._node = SipNode(
            SipNodeSettings(
                host=settings.host,
                port=settings.port,
                public_address=settings.public_address,
                user_agent="Ringbridge phone",
                contact_user=settings.account.user,
            ),
            on_event=self._on_event,
        )
        self._registrar = settings.account.registrar
        self._registration: Registration | None = None
        self._lines: dict[Session, Line] = {}
        self._count = 0
        self._registered = asyncio.Event()
        self._unregistered = asyncio.Event()
        self._refusal: RegistrationRefused | None = None
        self._stopping = False

    @property
    def lines(self) -> list[Line]:
        """The calls that are not over, oldest first."""
        return list(self._lines.values())

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that the phone's SIP is reached at, UDP and TCP."""
        return self._node.host, self._node.port

    async def start(self) -> None:
        """Open the port and begin to register; `registered` tells how that went.

        Raises:
            OSError: the port is taken, or the registrar's name does not resolve.
            ValueError: what it should play cannot be played.
        """
        sound(self.settings.behaviour, 0)
        self._registrar = await resolve(self.settings.account.registrar)
        await self._node.start()
        self._register()

    async def registered(self, deadline_s: float = 5.0) -> None:
        """Wait until the phone is registered.

        Raises:
            RegistrationRefused: the registrar says no.
            TimeoutError: nothing is decided after `deadline_s` seconds.
        """
        try:
            await asyncio.wait_for(self._registered.wait(), deadline_s)
        except TimeoutError:
            raise TimeoutError(f"no answer from the registrar within {deadline_s:g} s") from None
        if self._refusal is not None:
            raise self._refusal

    async def call(self, to: str) -> Line:
        """Call an extension, a number or a `sip:` URI; return once the INVITE has left.

        Raises:
            ValueError: `to` cannot be part of a SIP message.
            OSError: no RTP port can be had.
        """
        account, endpoint = self.settings.account, self._node.endpoint
        uri = to if to.startswith(("sip:", "sips:")) else f"sip:{to}@{account.domain}"
        rtp = await open_rtp(self.settings)
        try:
            offer = offer_answer.offer(session_id=secrets.randbits(62), host=self._node.host, port=rtp.port)
            order = InviteOrder(
                peer=self._registrar,
                uri=uri,
                from_=f"<{account.aor}>",
                to=f"<{uri}>",
                sdp=offer.sdp(),
                credentials=self._credentials(),
            )
            session = endpoint.prepare_invite(order)
        except ValueError:
            rtp.close()
            raise
        line = self._add_line(session)
        endpoint.send_invite(session, self._node.now())
        self._node.wake()
        line.calling(rtp, offer)
        return line

    def hang_up(self) -> None:
        """End every call."""
        for line in self.lines:
            line.hang_up()

    async def stop(self, deadline_s: float = 1.0) -> None:
        """End every call, unregister, close; waits `deadline_s` seconds at most for the other sides to agree."""
        self._stopping = True
        lines = self.lines
        self.hang_up()
        waiting = [line.ended.wait() for line in lines]
        if self._registration is not None and self._registered.is_set() and self._refusal is None:
            self._node.endpoint.unregister(self._registration, self._node.now())
            self._node.wake()
            waiting.append(self._unregistered.wait())
        if waiting:
            await asyncio.wait([asyncio.ensure_future(one) for one in waiting], timeout=deadline_s)
        for line in lines:
            line.close()
        await self._node.stop()

    # --- registration ------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        account = self.settings.account
        order = RegisterOrder(
            peer=self._registrar,
            registrar=f"sip:{account.domain}",
            aor=account.aor,
            contact_user=account.user,
            credentials=self._credentials(),
            expires_s=self.settings.expires_s,
        )
        self._registration = self._node.endpoint.register(order, self._node.now())
        self._node.wake()

    def _credentials(self) -> Credentials:
        return Credentials(self.settings.account.user, self.settings.account.password, host=self._registrar.host)

    def _registration_result(self, event: RegistrationResult) -> None:
        answer = f"{event.status} {event.reason}"
        if self._stopping:
            self._unregistered.set()
            self._tell(PhoneEventKind.UNREGISTERED, answer)
        elif event.status == 200:
            self._refusal = None
            self._tell(PhoneEventKind.REGISTERED, f"{self.settings.account.aor} for {event.expires_s} s")
            self._registered.set()
        else:
            self._refusal = RegistrationRefused(event.status, event.reason)
            self._tell(PhoneEventKind.REGISTRATION_FAILED, answer)
            self._registered.set()

    # --- events ------------------------------------------------------------------------------------------------------

    def _on_event(self, event: EndpointEvent) -> None:
        match event:
            case RegistrationResult():
                self._registration_result(event)
            case IncomingInvite():
                self._add_line(event.session).invited(event)
            case IncomingRequest():
                self._node.endpoint.respond(event.transaction, self._node.now(), status=405)
            case RequestResult() | ReinviteResult() | InfoReceived():
                pass  # the phone asks for none of these
            case Progress() | Answered() | Failed() | Ended() | AckReceived() | Reinvited():
                line = self._lines.get(event.session)
                if line is not None:
                    self._on_line_event(line, event)
            case _:
                assert_never(event)

    def _on_line_event(self, line: Line, event: Progress | Answered | Failed | Ended | AckReceived | Reinvited) -> None:
        match event:
            case Progress():
                line.progress(event)
            case Answered():
                line.answered_by_peer(event)
            case AckReceived():
                line.acknowledged(event.sdp)
            case Reinvited():
                line.reinvited(event)
            case Failed() | Ended():
                del self._lines[event.session]
                line.over(event)
            case _:
                assert_never(event)

    def _add_line(self, session: Session) -> Line:
        self._count += 1
        line = Line(self._node, session, self.settings, number=self._count, report=self._listener)
        self._lines[session] = line
        return line

    def _tell(self, kind: PhoneEventKind, detail: str) -> None:
        self._listener(PhoneEvent(kind=kind, at=time.time(), detail=detail))
