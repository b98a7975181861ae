"""Who rings: a party as written becomes the devices and numbers to dial.

Refusals happen here, before anything rings (design.md "The life of a call", step 2).
"""

from __future__ import annotations

import msgspec

from ringbridge.calls.applications import Applications
from ringbridge.calls.dial_plans import Tries, try_rules
from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.found import Found, Resolved, device_target
from ringbridge.model.dial_plan import Dialling
from ringbridge.model.dial_rules import Match, translate
from ringbridge.model.dial_times import local_time, zone_of
from ringbridge.model.directory import Device, Domain, User
from ringbridge.model.errors import Fault
from ringbridge.model.events import Target
from ringbridge.model.numbers import Party, is_number, parse_party, with_area_code


class Resolver:
    """Resolves parties inside one domain, for one caller, at one time in epoch seconds."""

    def __init__(self, directory: Directory, domain: Domain, caller: User, *, at: float) -> None:
        self._directory = directory
        self._domain = domain
        self._caller = caller
        self._at = at
        self.tries: dict[str, Tries] = {}
        """The dial rules that were tried, by the request's field that asked for them."""

    async def origination(self, text: str) -> Resolved:
        """Return whom `call-orig-user` rings: a user's devices, one device, or a number."""
        field = "call-orig-user"
        if not text.strip():
            return await self._user(self._caller, field)
        party = await self._party(text, field)
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
        party = await self._party(text, field)
        if isinstance(party, Fault):
            return party
        return await self._number(party, field, application)

    async def _party(self, text: str, field: str) -> Party | Fault:
        party = parse_party(text)
        if party is None:
            allowed = "an extension, a number, user@domain or sip:user@domain of an own domain"
            return Fault(field, "not-a-number", "is neither a number nor an extension", text, allowed)
        if party.host and party.host.lower() != self._domain.domain.lower():
            return Fault(field, "unknown-domain", "is not in this domain", text, f"…@{self._domain.domain}")
        # `100-1` may be a user of that name: it must not become 1001, who is somebody else.
        if party.written != party.name and await self._is_own(party.written):
            return msgspec.structs.replace(party, name=party.written)
        return await self._with_area_code(party)

    async def _with_area_code(self, party: Party) -> Party:
        """Return a local number as its caller means it; a user, device or number of the domain's keeps its name."""
        area_code = self._caller.area_code or self._domain.other.get("area-code", "")
        name = with_area_code(party.name, area_code)
        if name == party.name or await self._is_own(party.name):
            return party
        if await self._directory.phone_number(self._domain.domain, party.name) is not None:
            return party
        return msgspec.structs.replace(party, name=name)

    async def _is_own(self, name: str) -> bool:
        """Whether a user or a device of the domain is called so."""
        if not name:
            return False
        user = await self._directory.user(self._domain.domain, name)
        return user is not None or await self._directory.device(self._domain.domain, name) is not None

    async def _extension(self, party: Party, field: str, *, device_first: bool) -> Resolved | None:
        """Return the domain's own user or device of that name, a leading `+` aside; None where there is none."""
        name = party.name.removeprefix("+") if is_number(party.name) else party.name
        user = await self._directory.user(self._domain.domain, name)
        device = await self._directory.device(self._domain.domain, name)
        if device is not None and (device_first or user is None):
            owner = await self._directory.user(self._domain.domain, device.user)
            return await self._devices([device], name, owner, field)
        return None if user is None else await self._user(user, field)

    async def _user(self, user: User, field: str) -> Resolved:
        devices = await self._directory.devices_of(user.domain, user.user)
        return await self._devices(devices, user.user, user, field)

    async def _devices(self, devices: list[Device], dialled: str, user: User | None, field: str) -> Resolved:
        targets: list[Target] = []
        refused: list[Device] = []
        for device in devices:
            locations = await self._directory.locations(device.domain, device.device)
            if not device.requires_srtp:
                targets += [device_target(device, location) for location in locations]
            elif locations:
                refused.append(device)
        if refused and not targets:
            # Better no call than one that everybody on the way can hear, where somebody asked for the opposite.
            names = ", ".join(device.device for device in refused)
            return Fault(
                field,
                "srtp-required",
                "is rung with SRTP alone, which calls here do not have",
                dialled,
                f"a device whose device-srtp-enabled is no or opportunistic ({names} has yes)",
            )
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
        """Return whom a dialled name rings: dial rules and numbers first, then the domain's own users and devices."""
        found = await self._rule(party, field, application)
        if found is not None:
            destination = translate(found, dialled=party.name.removeprefix("+"), domain=self._domain.domain)

            async def devices(some: list[Device], dialled: str, owner: User | None) -> Resolved:
                return await self._devices(some, dialled, owner, field)

            applications = Applications(self._directory, self._domain.domain, field=field, devices=devices)
            return await applications.apply(destination, party.name)
        known = await self._extension(party, field, device_first=party.is_uri)
        if known is not None:
            return known
        if is_number(party.name):
            return Fault(field, "no-route", "no dial rule, user or number of this domain leads there", party.name)
        allowed = "an extension or device of this domain, or a number"
        return Fault(field, "not-a-number", "is no number, and no user or device of this domain", party.name, allowed)

    async def _rule(self, party: Party, field: str, application: str) -> Match | None:
        """Return the dial rule that a call takes, of the plan or the one that a phone number stands for; or None."""
        domain = self._domain.domain
        zone = zone_of((self._caller.time_zone, self._domain.time_zone))
        call = Dialling(
            to_uri=f"sip:{party.name}@{domain}",
            from_uri=f"sip:{self._caller.user}@{domain}",
            application=application,
            at=local_time(self._at, zone),
        )
        tries = await try_rules(self._directory, domain=domain, plan=self._dial_plan(), number=party.name, call=call)
        self.tries[field] = tries
        return tries.match

    def _dial_plan(self) -> str:
        return self._caller.dial_plan or self._domain.dial_plan or self._domain.domain
