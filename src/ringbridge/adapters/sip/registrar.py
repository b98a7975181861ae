"""The registrar on the bus: REGISTER in, locations out (RFC 3261 §10.3; its rules are in `sip.registrar`).

A 200 goes out when the bus has stored the bindings and this node's replica shows them, so a call placed right after
it finds the phone.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import defaultdict

import structlog

from ringbridge.adapters.replica.replica import Replica
from ringbridge.adapters.sip.node import SipNode
from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.ports import Bus, Clock
from ringbridge.config import SipConfig
from ringbridge.model.directory import Device, Location
from ringbridge.model.errors import BusUnavailable
from ringbridge.model.ids import NodeId
from ringbridge.sip.digest import Algorithm, Ha1
from ringbridge.sip.digest_server import DigestServer, Verdict, read_credentials
from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.registrar import (
    Binding,
    Registered,
    RegistrarRules,
    address_of_record,
    check_register,
    register,
)
from ringbridge.sip.session_events import IncomingRequest

log = structlog.get_logger()

SHOWN_WITHIN_S = 1.0
"""How long a 200 waits for the local copy; the binding is stored already, so it goes out then in any case."""
GRACE_S = 2
"""The bus forgets a location this much after it expired, so that clocks need not agree to the second."""


class SipRegistrar:
    """Answers REGISTER for all domains of the directory."""

    def __init__(
        self,
        *,
        config: SipConfig,
        node: SipNode,
        node_id: NodeId,
        bus: Bus,
        directory: Directory,
        replica: Replica,
        clock: Clock,
    ) -> None:
        self._node = node
        self._bus = bus
        self._directory = directory
        self._replica = replica
        self._clock = clock
        self._node_id = node_id
        self._digest = DigestServer(
            key=secrets.token_bytes(32),
            nonce_lifetime_s=config.nonce_lifetime_s,
            algorithms=[one for one in Algorithm if one.value in config.digest_algorithms],
        )
        self._rules = RegistrarRules(
            default_expires_s=config.register_default_expires_s,
            min_expires_s=config.register_min_expires_s,
            max_expires_s=config.register_max_expires_s,
        )
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, event: IncomingRequest) -> None:
        """Answer a REGISTER, in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._answer(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, event: IncomingRequest) -> None:
        try:
            answer = await self._decide(event)
        except ProtocolError as fault:
            answer = Registered(fault.status or 400, fault.reason, fault.headers)
        except BusUnavailable as away:
            retry = ("Retry-After", str(away.retry_after_s or 5))
            answer = Registered(503, "Service Unavailable", (retry,))
        except Exception:
            # The one guard of this task: a bug refuses the one REGISTER that it hit, and the phone is told.
            log.exception("register_failed_by_a_bug", source=event.peer.host)
            answer = Registered(500, "Server Internal Error", ())
        self._node.endpoint.respond(
            event.transaction,
            self._node.now(),
            status=answer.status,
            reason=answer.reason,
            headers=answer.headers,
        )
        self._node.wake()

    async def _decide(self, event: IncomingRequest) -> Registered:
        request = event.request
        malformed = check_register(request)
        if malformed is not None:
            raise malformed
        aor = address_of_record(request)
        domain, name = await self._domain_of(aor.host), aor.user or ""
        fields = read_credentials(request, domain)
        device = await self._directory.device(domain, name)
        # The digest user name is the device (contract §4); somebody else's name proves nothing here.
        known = device if fields is not None and fields.text("username") == name else None
        ha1 = Ha1(known.ha1_md5, known.ha1_sha256) if known is not None else None
        verdict = self._digest.check(fields, ha1, request.method, domain, self._clock.now())
        if verdict is not Verdict.OK or device is None:
            if verdict is Verdict.WRONG:
                log.warning("register_refused", domain=domain, device=name, source=event.peer.host)
            return self._challenge(domain, stale=verdict is Verdict.STALE)
        async with self._one_at_a_time[device.aor]:
            try:
                return await self._bind(event, device)
            finally:
                if len(self._one_at_a_time) > 10_000:
                    for free in [name for name, lock in self._one_at_a_time.items() if not lock.locked()]:
                        del self._one_at_a_time[free]

    def _challenge(self, domain: str, *, stale: bool = False) -> Registered:
        return Registered(401, "Unauthorized", tuple(self._digest.challenge(domain, self._clock.now(), stale=stale)))

    async def _domain_of(self, host: str) -> str:
        """Return the domain that `host` names; RFC 3261 §19.1.4 has hosts without regard to case, and phones use it."""
        if await self._directory.domain(host) is None:
            return host.lower()
        return host

    async def _bind(self, event: IncomingRequest, device: Device) -> Registered:
        current = await self._directory.locations(device.domain, device.device)
        bindings = [_binding(location) for location in current]
        decided = register(event.request, bindings, peer=event.peer, now=self._clock.now(), rules=self._rules)
        last = 0
        for binding in decided.write:  # the new one first: a phone that moves is never nowhere
            ttl_s = max(1, math.ceil(binding.expires_at - self._clock.now())) + GRACE_S
            last = await self._bus.put_location(self._location(binding, device), ttl_s=ttl_s)
        for binding in decided.delete:
            last = await self._bus.delete_location(device.domain, device.device, binding.contact)
        if decided.write and not await self._is_still(device):
            for binding in decided.write:
                await self._bus.delete_location(device.domain, device.device, binding.contact)
            log.warning("register_of_a_device_that_went", domain=device.domain, device=device.device)
            return self._challenge(device.domain)
        if last:
            await self._replica.wait_locations(last, timeout_s=SHOWN_WITHIN_S)
            contacts = [binding.contact for binding in decided.write]
            log.info("device_registered", domain=device.domain, device=device.device, contacts=contacts)
        return decided

    async def _is_still(self, device: Device) -> bool:
        """Return whether the bus has the device that proved itself, not another of its name.

        Asked once its location is stored: whoever deletes the device before that leaves it to us, whoever does later
        finds the location.
        """
        stored = await self._bus.read_record("device", device.key)
        now = stored.record if stored is not None else None
        return isinstance(now, Device) and (now.ha1_md5, now.ha1_sha256) == (device.ha1_md5, device.ha1_sha256)

    def _location(self, binding: Binding, device: Device) -> Location:
        target = binding.target
        return Location(
            domain=device.domain,
            device=device.device,
            contact=binding.contact,
            expires_at=binding.expires_at,
            peer_transport=target.transport.value,
            peer_host=target.host,
            peer_port=target.port,
            path=binding.path,
            instance=binding.instance,
            user_agent=binding.user_agent,
            sip_call_id=binding.call_id,
            cseq=binding.cseq,
            q=binding.q,
            node=self._node_id,
            registered_at=self._clock.now(),
        )


def _binding(location: Location) -> Binding:
    return Binding(
        contact=location.contact,
        received=Peer(Transport(location.peer_transport), location.peer_host, location.peer_port),
        expires_at=location.expires_at,
        call_id=location.sip_call_id,
        cseq=location.cseq,
        q=location.q,
        instance=location.instance,
        path=location.path,
        user_agent=location.user_agent,
    )
