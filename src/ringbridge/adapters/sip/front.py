"""The door for what SIP brings: to a leg, to the registrar, to who keeps connections, or a refusal that says why."""

from __future__ import annotations

from ringbridge.adapters.connections.keeper import ConnectionKeeper
from ringbridge.adapters.sip.engine import SipEngine
from ringbridge.adapters.sip.node import SipNode
from ringbridge.adapters.sip.registrar import SipRegistrar
from ringbridge.sip.session_events import (
    EndpointEvent,
    IncomingInvite,
    IncomingRequest,
    RegistrationResult,
    RequestResult,
)


class SipFront:
    """Hands each endpoint event to whom it concerns; `open` once all of them exist."""

    def __init__(self) -> None:
        self._node: SipNode | None = None
        self._engine: SipEngine | None = None
        self._registrar: SipRegistrar | None = None
        self._keeper: ConnectionKeeper | None = None

    def open(self, *, node: SipNode, engine: SipEngine, registrar: SipRegistrar, keeper: ConnectionKeeper) -> None:
        """Begin to hand on."""
        self._node, self._engine, self._registrar, self._keeper = node, engine, registrar, keeper

    def take(self, event: EndpointEvent) -> None:
        """Handle one event of the endpoint."""
        if self._node is None or self._engine is None or self._registrar is None:
            return
        if self._engine.on_event(event):
            return
        if isinstance(event, RequestResult | RegistrationResult):
            if self._keeper is not None:
                self._keeper.take(event)
            return
        endpoint, now = self._node.endpoint, self._node.now()
        if isinstance(event, IncomingInvite):
            # A phone that dials by itself: calls begin with an API request here, and not with an INVITE.
            endpoint.reject(event.session, now, status=403, reason="Calls are placed through the API")
        elif isinstance(event, IncomingRequest):
            if event.request.method == "REGISTER":
                self._registrar.take(event)
            else:
                # RFC 3515 §2.4.2: a transfer by phone is declined; the API transfers.
                status = 603 if event.request.method == "REFER" else 405
                endpoint.respond(event.transaction, now, status=status)
