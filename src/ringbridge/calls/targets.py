"""Who rings: a party as written becomes the devices and numbers to dial.

Refusals happen here, before anything rings (design.md "The life of a call", step 2).
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from ringbridge.calls.ports import Directory
from ringbridge.model.dial_rules import Destination, match, translate
from ringbridge.model.directory import Connection, Device, Domain, Location, User
from ringbridge.model.errors import Fault
from ringbridge.model.events import Target
from ringbridge.model.numbers import Party, is_number, parse_party

TO_USER = frozenset({"to-user", "to-user-residential"})
TO_CONNECTION = frozenset(
    {
        "to-connection",
        "to-connection-block-caller-id",
        "to-connection-no-timeout",
        "to-connection-or-user-no-failover",
    }
)
HOST_PORT = re.compile(r"(\[[^\]]*\]|[^:;>?]*)(?::([0-9]+))?")
DEFAULT_PORT = {"UDP": 5060, "TCP": 5060, "TLS": 5061}


class Found(msgspec.Struct, frozen=True):
    """The targets of one side, and whose they are."""

    targets: tuple[Target, ...]
    dialled: str
    user: User | None = None
    """The user that answers there; None for a number outside."""
    pattern: str = ""
    """The dial rule that chose them."""
    hides_caller: bool = False

    @property
    def leaves_domain(self) -> bool:
        return any(target.connection for target in self.targets)


Resolved: TypeAlias = Found | Fault


class Resolver:
    """Resolves parties inside one domain, for one caller."""

    def __init__(self, directory: Directory, domain: Domain, caller: User) -> None:
        self._directory = directory
        self._domain = domain
        self._caller = caller

    async def origination(self, text: str) -> Resolved:
        """Return whom `call-orig-user` rings: a user's devices, one device, or a number."""
        field = "call-orig-user"
        if not text.strip():
            return await self._user(self._caller, field)
        party = self._party(text, field)
        if isinstance(party, Fault):
            return party
        known = await self._extension(party, field, device_first=party.is_uri)
        if known is not None:
            return known
        if not is_number(party.name):
            return Fault(
                field, "unknown-user", "no such user or device in this domain", text, "a user, a device or a number"
            )
        return await self._number(party, field, "call")

    async def termination(self, text: str, application: str) -> Resolved:
        """Return whom `call-term-user` rings: dial rules first, then the domain's own users, devices and numbers."""
        field = "call-term-user"
        party = self._party(text, field)
        if isinstance(party, Fault):
            return party
        return await self._number(party, field, application)

    def _party(self, text: str, field: str) -> Party | Fault:
        party = parse_party(text)
        if party is None:
            allowed = "an extension, a number, user@domain or sip:user@domain of an own domain"
            return Fault(field, "not-a-number", "is neither a number nor an extension", text, allowed)
        if party.host and party.host.lower() != self._domain.domain.lower():
            return Fault(field, "unknown-domain", "is not in this domain", text, f"…@{self._domain.domain}")
        return party

    async def _extension(self, party: Party, field: str, *, device_first: bool) -> Resolved | None:
        """Return the domain's own user or device of that name; None where there is none."""
        user = await self._directory.user(self._domain.domain, party.name)
        device = await self._directory.device(self._domain.domain, party.name)
        if device is not None and (device_first or user is None):
            owner = await self._directory.user(self._domain.domain, device.user)
            return await self._devices([device], party.name, owner, field)
        return None if user is None else await self._user(user, field)

    async def _user(self, user: User, field: str) -> Resolved:
        devices = await self._directory.devices_of(user.domain, user.user)
        return await self._devices(devices, user.user, user, field)

    async def _devices(self, devices: list[Device], dialled: str, user: User | None, field: str) -> Resolved:
        targets: list[Target] = []
        for device in devices:
            locations = await self._directory.locations(device.domain, device.device)
            targets += [device_target(device, location) for location in locations]
        if not targets:
            names = ", ".join(device.device for device in devices) or "no device"
            return Fault(
                field,
                "no-registered-device",
                "has no registered device, so nothing can ring",
                dialled,
                f"a party with a registered device ({names} is not registered)" if devices else "a user with a device",
            )
        return Found(tuple(targets), dialled, user)

    async def _number(self, party: Party, field: str, application: str) -> Resolved:
        rules = await self._directory.dial_rules(self._domain.domain, self._dial_plan())
        if rules:
            found = match(
                rules,
                to_uri=f"sip:{party.name}@{self._domain.domain}",
                from_uri=f"sip:{self._caller.user}@{self._domain.domain}",
                application=application,
            )
            if found is not None:
                destination = translate(found, dialled=party.name.removeprefix("+"), domain=self._domain.domain)
                return await self._apply(destination, party, field)
        known = await self._extension(party, field, device_first=party.is_uri)
        if known is not None:
            return known
        number = await self._directory.phone_number(self._domain.domain, party.name.removeprefix("+"))
        if number is not None and number.enabled == "yes":
            destination = Destination(
                application=number.dial_rule_application,
                parameter=number.dial_rule_parameter,
                user=number.dial_rule_translation_destination_user or number.user,
                host="",
                pattern=f"sip:{number.phonenumber}@*",
            )
            return await self._apply(destination, party, field)
        if is_number(party.name):
            return Fault(field, "no-route", "no dial rule, user or number of this domain leads there", party.name)
        allowed = "an extension or device of this domain, or a number"
        return Fault(field, "not-a-number", "is no number, and no user or device of this domain", party.name, allowed)

    def _dial_plan(self) -> str:
        return self._caller.dial_plan or self._domain.dial_plan or self._domain.domain

    async def _apply(self, destination: Destination, party: Party, field: str) -> Resolved:
        """Do what a dial rule's application says (contract §4, applications that act)."""
        application = destination.application
        if application in TO_USER:
            user = await self._directory.user(self._domain.domain, destination.user)
            if user is None:
                return Fault(field, "unknown-user", "the dial rule leads to a user that is not there", destination.user)
            return _by_rule(await self._user(user, field), destination)
        if application == "to-single-device":
            name = destination.parameter.partition("@")[0] or destination.user
            device = await self._directory.device(self._domain.domain, name)
            if device is None:
                return Fault(field, "unknown-device", "the dial rule leads to a device that is not there", name)
            owner = await self._directory.user(self._domain.domain, device.user)
            return _by_rule(await self._devices([device], name, owner, field), destination)
        if application in TO_CONNECTION:
            connection = await self._directory.connection(self._domain.domain, destination.parameter)
            if connection is None or connection.connection_term_enabled != "yes" or not connection.connection_address:
                return Fault(field, "no-connection", "the dial rule's connection is not usable", destination.parameter)
            plus = party.name.startswith("+") and destination.user == party.name.removeprefix("+")
            number = f"+{destination.user}" if plus else destination.user
            target = connection_target(connection, number, destination.host)
            hidden = application == "to-connection-block-caller-id"
            return Found((target,), number, None, destination.pattern, hides_caller=hidden)
        if application in ("hangup", "available-number"):
            return Fault(field, "barred-by-dial-rule", f"the dial rule {destination.pattern} refuses it", party.name)
        return Fault(
            field, "application-not-supported", f"the dial rule's application {application} does not act", party.name
        )


def _by_rule(resolved: Resolved, destination: Destination) -> Resolved:
    if isinstance(resolved, Fault):
        return resolved
    return msgspec.structs.replace(resolved, pattern=destination.pattern)


def device_target(device: Device, location: Location) -> Target:
    """Return the target for one registered contact: its INVITE goes where the REGISTER came from."""
    return Target(
        uri=location.contact,
        transport=location.peer_transport,
        host=location.peer_host,
        port=location.peer_port,
        label=device.device,
        to_uri=device.aor,
        user=device.user,
        domain=device.domain,
        device=device.device,
        model=device.device_models_model,
        route_set=location.path,
        nat=_is_behind_nat(device, location),
    )


def _is_behind_nat(device: Device, location: Location) -> bool:
    """Whether the phone's own idea of its address is not where its packets come from."""
    if device.device_sip_nat_traversal_enabled in ("none", "never"):
        return False
    host, _ = _host_and_port(location.contact)
    return bool(location.peer_host) and host != location.peer_host.strip("[]").lower()


def _host_and_port(uri: str) -> tuple[str, str]:
    """Return host, without the brackets of an IPv6 address, and port of a SIP URI or a `host[:port]`."""
    rest = re.sub("^<?sips?:", "", uri, flags=re.IGNORECASE)
    found = HOST_PORT.match(rest.rpartition("@")[2])
    return ("", "") if found is None else (found[1].strip("[]").lower(), found[2] or "")


def connection_target(connection: Connection, number: str, host: str) -> Target:
    """Return the target for `number` through a connection; `host` overrides the Request-URI's host."""
    transport = connection.connection_sip_transport_protocol.upper() or "UDP"
    address, port = _host_and_port(connection.connection_address)
    at = host or connection.connection_address.removeprefix("sip:")
    suffix = "" if transport == "UDP" else f";transport={transport.lower()}"
    return Target(
        uri=f"sip:{number}@{at}{suffix}",
        transport=transport,
        host=address,
        port=int(port) if port else DEFAULT_PORT.get(transport, 5060),
        label=number,
        to_uri=f"sip:{number}@{at}",
        connection=connection.connection_orig_match_pattern,
    )
