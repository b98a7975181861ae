"""Devices: the phones of a user, with where they are registered now (contract §4)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from ringbridge.api.calls.views import rfc3339
from ringbridge.api.directory.resource_operations import Served
from ringbridge.api.directory.resource_operations import operations as resource_operations
from ringbridge.api.directory.resources import ResourceHandlers
from ringbridge.api.directory.users import USERS, admit_user
from ringbridge.api.document.operations import Access, Operation
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.model.device_password import PASSWORD, with_password
from ringbridge.model.directory import Device, Key, Location, Record
from ringbridge.model.resources import DEVICE, change, make

DEVICES = USERS + "/{user}/devices"
SERVED = Served(
    noun="device",
    plural="devices",
    tag="Devices",
    collection=DEVICES,
    item=DEVICES + "/{device}",
    given=("domain", "user"),
    create_title="CreateDeviceRequest",
    update_title="UpdateDeviceRequest",
    create_note="Without a `device-sip-registration-password` one is made and told in the answer, this once.",
    list_access=Access.USER,
    read_access=Access.USER,
)
MADE_PASSWORD_BYTES: Final = 18
_REGISTRATION: Final = "device-sip-registration-"


class DeviceRules:
    """Devices of the path's user."""

    resource = DEVICE

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._store = parts.store

    def key(self, request: Request) -> Key:
        return (request.domain, request.params["device"])

    def given(self, request: Request) -> Mapping[str, str]:
        return {"domain": request.domain, "user": request.user}

    def wanted(self, request: Request) -> RecordQuery:
        return RecordQuery(DEVICE.kind, domain=request.domain, parent=request.user)

    async def admit(self, request: Request) -> None:
        await admit_user(self._parts, request)

    def belongs(self, request: Request, record: Record) -> bool:
        return isinstance(record, Device) and record.user == request.user

    async def made(self, _: Request, values: Mapping[str, str]) -> tuple[Record, Mapping[str, str]]:
        """Return the device; a password that nobody named is made and told this once, as it is never kept in clear."""
        named = values.get(PASSWORD, "")
        password = named or secrets.token_urlsafe(MADE_PASSWORD_BYTES)
        told = {} if named else {PASSWORD: password}
        return _with_password(make(DEVICE, values), password), told

    def changed(self, _: Request, record: Record, values: Mapping[str, str]) -> Record:
        return _with_password(change(DEVICE, record, values), values.get(PASSWORD, ""))

    async def live(self, records: Sequence[Record]) -> list[dict[str, object]]:
        told: list[dict[str, object]] = []
        for record in records:
            if isinstance(record, Device):
                user = await self._store.user(record.domain, record.user)
                locations = await self._store.locations(record.domain, record.device)
                uri = {_REGISTRATION + "uri": record.aor, "name-full-name": user.full_name if user else ""}
                told.append(uri | registration(locations))
        return told


def registration(locations: Sequence[Location]) -> dict[str, object]:
    """Return the registration as a device tells it: that of the contact that is tried first."""
    if not locations:
        return {_REGISTRATION + "state": "unregistered"}
    best = locations[0]
    return {
        _REGISTRATION + "state": "registered",
        _REGISTRATION + "contact": best.contact,
        _REGISTRATION + "core-server": best.node,
        _REGISTRATION + "datetime": rfc3339(best.registered_at),
        _REGISTRATION + "expires-datetime": rfc3339(best.expires_at),
        _REGISTRATION + "ip-address": best.peer_host,
        _REGISTRATION + "user-agent": best.user_agent,
    }


def _with_password(record: Record, password: str) -> Record:
    return with_password(record, password) if isinstance(record, Device) and password else record


def operations(parts: ApiParts) -> list[Operation]:
    """Return the operations of devices."""
    rules = DeviceRules(parts)
    return resource_operations(ResourceHandlers(parts, rules), rules, SERVED)
