"""What rings, as addresses: registered contacts, and numbers through connections."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import msgspec

from ringbridge.calls.directory.ports import Directory
from ringbridge.model.connection_states import CONNECTION_STATE, ConnectionState, Health
from ringbridge.model.dial_rules import Destination, Shown
from ringbridge.model.directory import Connection, Device, Location, User
from ringbridge.model.errors import Fault
from ringbridge.model.events import Target

HOST_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:;>?]*)(?::([0-9]+))?")
DEFAULT_PORT: Final = {"UDP": 5060, "TCP": 5060, "TLS": 5061}


class Found(msgspec.Struct, frozen=True):
    """The targets of one side, and whose they are."""

    targets: tuple[Target, ...]
    dialled: str
    user: User | None = None
    """The user that answers there; None for a number outside."""
    rule: Destination | None = None
    """Where the dial rule that chose them sends the call; None where none did."""
    connection: Connection | None = None
    hides_caller: bool = False
    forces_caller: bool = False
    """The caller ID is the user's own or what the rule says, whatever the request asks for."""
    rings_on: bool = False
    """No ring timeout of ours: it rings until the other side gives up."""

    @property
    def leaves_domain(self) -> bool:
        return self.connection is not None

    @property
    def pattern(self) -> str:
        return self.rule.pattern if self.rule else ""

    @property
    def shown(self) -> Shown:
        return self.rule.shown if self.rule else Shown()


Resolved: TypeAlias = Found | Fault


def device_target(device: Device, location: Location) -> Target:
    """Return the target for one registered contact: its INVITE goes where the REGISTER came from."""
    return Target(
        uri=location.contact.partition("?")[0],  # RFC 3261 §19.1.1: a Request-URI has no headers
        transport=location.peer_transport,
        host=location.peer_host,
        port=location.peer_port,
        label=device.device,
        to_uri=device.aor,
        user=device.user,
        domain=device.domain,
        device=device.device,
        model=device.device_models_model,
        auto_answer=device.auto_answer_enabled == "yes",
        route_set=location.path,
        nat=_is_behind_nat(device, location),
        recorded=device.is_recorded,
    )


def _is_behind_nat(device: Device, location: Location) -> bool:
    """Whether the phone's own idea of its address is not where its packets come from."""
    if device.device_sip_nat_traversal_enabled in ("none", "never"):
        return False
    host, _ = host_and_port(location.contact)
    return bool(location.peer_host) and host != location.peer_host.strip("[]").lower()


def host_and_port(uri: str) -> tuple[str, str]:
    """Return host, without the brackets of an IPv6 address, and port of a SIP URI or a `host[:port]`."""
    rest = re.sub("^<?sips?:", "", uri, flags=re.IGNORECASE)
    found = HOST_PORT.match(rest.rpartition("@")[2])
    return ("", "") if found is None else (found[1].strip("[]").lower(), found[2] or "")


def is_watched(connection: Connection) -> bool:
    """Whether a connection is asked if it lives."""
    return connection.connection_health_check_enabled == "yes" and bool(connection.connection_address)


def is_registered(connection: Connection) -> bool:
    """Whether a connection is to be registered at its carrier."""
    is_wanted = connection.connection_sip_registration_enabled == "yes"
    return is_wanted and bool(connection.connection_address and connection.connection_sip_registration_username)


def state_address(connection: Connection) -> str:
    """Return what `ConnectionState.address` must be for that state to be this connection's."""
    target = connection_target(connection, "", "")
    return f"{target.transport} {target.host}:{target.port}"


async def state_of(directory: Directory, connection: Connection) -> ConnectionState | None:
    """Return how a connection is as far as is known at its present address."""
    found = await directory.record(CONNECTION_STATE, connection.key)
    if isinstance(found, ConnectionState) and found.address == state_address(connection):
        return found
    return None


async def why_down(directory: Directory, connection: Connection | None) -> str | None:
    """Return why nothing can go out by a connection now; None where nothing is against it, or nobody watches it."""
    if connection is None or not is_watched(connection):
        return None
    state = await state_of(directory, connection)
    return None if state is None or state.health is not Health.DOWN else state.health_reason


def connection_target(
    connection: Connection, number: str, host: str, *, headers: tuple[tuple[str, str], ...] = ()
) -> Target:
    """Return the target for `number` through a connection; `host` overrides the Request-URI's host."""
    transport = connection.connection_sip_transport_protocol.upper() or "UDP"
    address, port = host_and_port(connection.connection_address)
    at = host or connection.connection_address.removeprefix("sip:")
    user = number.replace("#", "%23")  # RFC 3261 §25.1: the one character of numbers that a URI holds escaped
    uri = f"sip:{user}@{at}" if number else f"sip:{at}"
    suffix = "" if transport == "UDP" else f";transport={transport.lower()}"
    return Target(
        uri=uri + suffix,
        transport=transport,
        host=address,
        port=int(port) if port else DEFAULT_PORT.get(transport, 5060),
        label=number,
        to_uri=uri,
        connection=connection.connection_orig_match_pattern,
        headers=headers,
        pcmu_only=connection.pcmu_only,
        recorded=connection.is_recorded,
    )
