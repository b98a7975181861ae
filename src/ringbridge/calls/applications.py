"""What a dial rule's application does with a call (contract §4 "Dial rule": applications that act).

application                              the call goes to
-----------                              ----------------
to-user, to-user-residential             all devices of the user that the translation names
to-single-device                         the device that the parameter names, else the translation
to-connection                            the translated number, through the connection that the parameter names
  …-block-caller-id                      … and the caller is not shown
  …-no-timeout                           … and it rings until the other side gives up
  …-add-header                           … with a header: the parameter is `connection;X-Name: value`
  …-add-header-no-timeout                … both
  …-add-header-force-caller-id           … and the caller ID is the user's own, whatever the request asks for
to-connection-or-user-no-failover        the connection that the parameter names, where there is none the user
hangup                                   nobody: 403
available-number                         nobody: 404, as a number that nobody has
any other                                nobody: 400 that says so
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from ringbridge.calls.directory.ports import Directory
from ringbridge.calls.found import Found, Resolved, connection_target
from ringbridge.model.dial_rules import Destination, connection_of, header_of
from ringbridge.model.directory import Connection, Device, User
from ringbridge.model.errors import Fault

TO_USER: Final = frozenset({"to-user", "to-user-residential"})
CONNECTION_OR_USER: Final = "to-connection-or-user-no-failover"
USER_PART: Final = re.compile(r"[A-Za-z0-9._+*#~!$&'()=-]{0,64}")
_PORT: Final = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
HOST_PART: Final = re.compile(rf"(?:([A-Za-z0-9_][A-Za-z0-9._-]{{0,252}}|\[[0-9A-Fa-f:.]{{2,45}}\])(:(?:{_PORT}))?)?")
DISPLAY_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{0,80}")


class _Form(NamedTuple):
    """What a form of `to-connection` does beside connecting."""

    hides_caller: bool = False
    forces_caller: bool = False
    rings_on: bool = False


TO_CONNECTION: Final = {
    "to-connection": _Form(),
    "to-connection-block-caller-id": _Form(hides_caller=True),
    "to-connection-no-timeout": _Form(rings_on=True),
    "to-connection-add-header": _Form(),
    "to-connection-add-header-no-timeout": _Form(rings_on=True),
    "to-connection-add-header-force-caller-id": _Form(forces_caller=True),
    CONNECTION_OR_USER: _Form(),
}

Devices = Callable[[list[Device], str, User | None], Awaitable[Resolved]]
"""Returns what rings at devices: (devices, as dialled, whose they are)."""


class Applications:
    """Does what dial rules say, inside one domain."""

    def __init__(self, directory: Directory, domain: str, *, field: str, devices: Devices) -> None:
        """`field` is the request's field that a fault names; `devices` finds where devices are registered."""
        self._directory = directory
        self._domain = domain
        self._field = field
        self._devices = devices

    async def apply(self, destination: Destination, dialled: str) -> Resolved:
        """Return whom the rule rings for `dialled`, which is as the caller wrote it."""
        application = destination.application
        if (wrong := _wrong_translation(destination)) is not None:
            return self._refused("bad-translation", wrong, destination)
        if application in TO_USER:
            found = await self._to_user(destination)
        elif application == "to-single-device":
            found = await self._to_device(destination)
        elif application in TO_CONNECTION:
            found = await self._to_connection(destination, dialled)
        elif application == "hangup":
            return self._refused("barred-by-dial-rule", f"{named(destination)} refuses it", destination, dialled)
        elif application == "available-number":
            message = f"nobody has this number: {named(destination)} says so"
            return self._refused("available-number", message, destination, dialled)
        else:
            message = f"{named(destination)} has the application {application}, which does not act"
            return self._refused("application-not-supported", message, destination, dialled)
        return msgspec.structs.replace(found, rule=destination) if isinstance(found, Found) else found

    def _refused(self, code: str, message: str, destination: Destination, found: str | None = None) -> Fault:
        return Fault(self._field, code, message, found=destination.user if found is None else found)

    async def _to_user(self, destination: Destination) -> Resolved:
        name = destination.user or destination.parameter.partition("@")[0]
        user = await self._directory.user(self._domain, name)
        if user is None:
            return self._refused("unknown-user", f"{named(destination)} leads to a user that is not there", destination)
        return await self._devices(await self._directory.devices_of(user.domain, user.user), user.user, user)

    async def _to_device(self, destination: Destination) -> Resolved:
        name = destination.parameter.removeprefix("sip:").partition("@")[0] or destination.user
        device = await self._directory.device(self._domain, name)
        if device is None:
            message = f"{named(destination)} leads to a device that is not there"
            return self._refused("unknown-device", message, destination, name)
        owner = await self._directory.user(self._domain, device.user)
        return await self._devices([device], name, owner)

    async def _to_connection(self, destination: Destination, dialled: str) -> Resolved:
        name = connection_of(destination.application, destination.parameter)
        connection = await self._directory.connection(self._domain, name)
        if connection is None and destination.application == CONNECTION_OR_USER:
            return await self._to_user(destination)
        if connection is None or not _is_usable(connection):
            state = "is not there" if connection is None else "is switched off or has no address"
            message = f"{named(destination)} leads to connection {name}, which {state}"
            return self._refused("no-connection", message, destination, name)
        header = header_of(destination.application, destination.parameter)
        if isinstance(header, str):
            return self._refused("bad-header", f"{named(destination)}: {header}", destination, destination.parameter)
        plus = dialled.startswith("+") and destination.user == dialled.removeprefix("+")
        number = f"+{destination.user}" if plus else destination.user
        target = connection_target(connection, number, destination.host, headers=(header,) if header else ())
        form = TO_CONNECTION[destination.application]
        return Found(
            targets=(target,),
            dialled=number,
            connection=connection,
            hides_caller=form.hides_caller,
            forces_caller=form.forces_caller,
            rings_on=form.rings_on,
        )


def named(destination: Destination) -> str:
    """Return how people are told of a rule."""
    return f"dial rule {destination.rule} of plan {destination.plan}"


def _is_usable(connection: Connection) -> bool:
    return connection.connection_term_enabled == "yes" and bool(connection.connection_address)


def _wrong_translation(destination: Destination) -> str | None:
    """Return what of a translation has no place in a SIP message, or None."""
    shown = destination.shown
    for what, text, pattern in (
        ("destination user", destination.user, USER_PART),
        ("destination host", destination.host, HOST_PART),
        ("source user", shown.user or "", USER_PART),
        ("source host", shown.host or "", HOST_PART),
        ("source name", shown.name or "", DISPLAY_NAME),
    ):
        if not pattern.fullmatch(text):
            return f"{named(destination)} makes a {what} that cannot be: {text!r}"
    return None
