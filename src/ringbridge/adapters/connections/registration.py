"""Keeps connections registered at their carriers (RFC 3261 §10.2): refreshed, tried again, taken back at the end.

When REGISTER goes out again is decided by `sip.registration`; here is what is said in it. The registrar is the host of
the connection's address; the address-of-record is the registration's user name there, or where the name itself says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from ringbridge.adapters.sip.invite import credentials_of
from ringbridge.adapters.sip.node import SipNode
from ringbridge.calls.found import connection_target
from ringbridge.model.directory import Connection
from ringbridge.sip.errors import UnsafeHeader
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.registration import Registration
from ringbridge.sip.session_events import RegistrationResult
from ringbridge.sip.session_orders import RegisterOrder
from ringbridge.sip.uri import Uri

log = structlog.get_logger(__name__)

TAKEN_BACK_WITHIN_S: Final = 1.0
"""How long the answer to a last REGISTER is waited for; it goes on by itself while the node runs."""

Found = Callable[[RegistrationResult], None]
"""Takes what a carrier says to a REGISTER."""


def register_order(connection: Connection) -> RegisterOrder:
    """Return the binding that a connection asks for."""
    target = connection_target(connection, "", "")
    host = f"[{target.host}]" if ":" in target.host else target.host
    user, _, own_host = connection.connection_sip_registration_username.partition("@")
    return RegisterOrder(
        peer=Peer(Transport(target.transport), target.host, target.port),
        registrar=Uri("sip", None, own_host or host).serialize(),
        aor=Uri("sip", user, own_host or host).serialize(),
        contact_user=Uri("sip", user, host).serialize().removeprefix("sip:").rpartition("@")[0],
        credentials=credentials_of(connection),
    )


class Registrations:
    """The bindings that one node keeps."""

    def __init__(self, node: SipNode) -> None:
        self._node = node
        self._found: dict[Registration, Found] = {}
        self._ending: dict[Registration, asyncio.Future[None]] = {}

    def take(self, event: RegistrationResult) -> bool:
        """Take what a carrier says; false: to a registration of somebody else."""
        if (ending := self._ending.get(event.registration)) is not None and not ending.done():
            ending.set_result(None)
            return True
        found = self._found.get(event.registration)
        if found is None:
            return False
        found(event)
        return True

    def begin(self, connection: Connection, found: Found) -> Registration | None:
        """Register and keep registered; None where what the connection says has no place in a SIP message."""
        endpoint = self._node.endpoint
        try:
            registration = endpoint.register(register_order(connection), self._node.now())
        except (UnsafeHeader, ValueError) as unsafe:
            log.warning("connection_not_registered", connection=connection.key, reason=str(unsafe))
            return None
        self._found[registration] = found
        self._node.wake()
        return registration

    async def end(self, registration: Registration) -> None:
        """Take a binding back, and wait a moment for the carrier to say yes."""
        self._found.pop(registration, None)
        ended = self._ending[registration] = asyncio.get_running_loop().create_future()
        try:
            self._node.endpoint.unregister(registration, self._node.now())
            self._node.wake()
            async with asyncio.timeout(TAKEN_BACK_WITHIN_S):
                await ended
        except TimeoutError:
            log.info("registration_not_taken_back", contact=registration.contact)
        finally:
            del self._ending[registration]
