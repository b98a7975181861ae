"""An order for one leg as an INVITE: where it goes, what it says of the caller, which headers it carries."""

from __future__ import annotations

import re
from typing import Final

from ringbridge.calls.found import host_and_port
from ringbridge.calls.ports import LegOrder
from ringbridge.model.dial_rules import CAPTURED, OWN_DOMAIN
from ringbridge.model.directory import Connection
from ringbridge.model.events import CallerId
from ringbridge.model.field_tables import checks
from ringbridge.model.release import ANSWERED_ELSEWHERE, ReleaseCause, Result
from ringbridge.sip.auto_answer import auto_answer_headers, family_of
from ringbridge.sip.digest import Credentials
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_orders import InviteOrder
from ringbridge.sip.uri import NameAddress, Uri

ASSERTED_SIP: Final = re.compile(checks.ASSERTED_SIP, re.IGNORECASE)
ASSERTED_TEL: Final = re.compile(checks.ASSERTED_TEL, re.IGNORECASE)
TELEPHONE: Final = re.compile(r"\+?[0-9]{1,32}")
ANONYMOUS_HOST = "anonymous.invalid"
"""RFC 3323 §4.1.1.3: the host of a From that tells nobody."""


def invite_order(order: LegOrder, *, sdp: bytes, connection: Connection | None) -> InviteOrder:
    """Return the INVITE for one leg.

    Raises:
        UnsafeHeader: a name, number or header in it has no place in a SIP message.
    """
    target = order.target
    transport = Transport(target.transport)
    peer = Peer(transport, target.host, target.port)
    headers: list[tuple[str, str]] = list(target.headers)
    if order.auto_answer:
        headers += auto_answer_headers(order.domain, family_of(target.model))
    if order.added_header is not None:
        headers.append(order.added_header)
    if connection is not None:
        headers += _identity(order, connection)
    return InviteOrder(
        peer=peer,
        uri=target.uri,
        from_=_from(order.caller_id, order.domain),
        to=NameAddress("", target.to_uri).serialize(),
        sdp=sdp,
        headers=tuple(headers),
        credentials=credentials_of(connection),
        route_set=target.route_set,
        peer_tcp=Peer(Transport.TCP, target.host, target.port) if transport is Transport.UDP else None,
        session_expires_s=None if connection is None or connection.has_session_timer else 0,
        stay_with_peer=target.nat,
    )


def credentials_of(connection: Connection | None) -> Credentials | None:
    """Return what may be proved to a connection: only to its own host, only for its realm if it names one."""
    if connection is None or not connection.connection_sip_registration_username:
        return None
    if connection.connection_sip_authenticate_as_client_enabled != "yes":
        return None
    return Credentials(
        username=connection.connection_sip_registration_username,
        password=connection.connection_sip_registration_password,
        realm=connection.connection_sip_registration_realm or None,
        host=host_and_port(connection.connection_address)[0],
    )


def reason_header(cause: ReleaseCause) -> str | None:
    """Return the Reason header (RFC 3326) that tells a phone why we end its leg, where it would care."""
    if cause == ANSWERED_ELSEWHERE:
        return 'SIP;cause=200;text="Call completed elsewhere"'
    if cause.result is Result.FAILED:
        return "Q.850;cause=41"
    return None


def _is_anonymous(caller_id: CallerId) -> bool:
    return caller_id.number == "anonymous"


def _from(caller_id: CallerId, domain: str) -> str:
    host = ANONYMOUS_HOST if _is_anonymous(caller_id) else caller_id.host or domain
    name, port = host_and_port(host) if ":" in host else (host, "")  # a dial rule may make a host with a port
    uri = Uri("sip", caller_id.number, name, int(port) if port else None)
    return NameAddress(caller_id.name, uri.serialize()).serialize()


def _identity(order: LegOrder, connection: Connection) -> list[tuple[str, str]]:
    """Return what a carrier is told of the caller beside From (RFC 3325 §9.1, RFC 3323 §4.2)."""
    caller_id, form = order.caller_id, connection.connection_custom_p_asserted_id_format
    if not _is_anonymous(caller_id):
        return [_asserted(caller_id.name, _asserted_uri(form, order))] if form else []
    headers = [("Privacy", "id")]
    if _is_uri(form) and CAPTURED not in form:
        # RFC 3325 §7: the carrier may know by whom it is paid, and tells nobody.
        headers.append(_asserted("", _asserted_uri(form, order)))
    return headers


def _asserted(name: str, uri: Uri) -> tuple[str, str]:
    return ("P-Asserted-Identity", NameAddress(name, uri.serialize()).serialize())


def _is_uri(form: str) -> bool:
    return ASSERTED_SIP.fullmatch(form) is not None or ASSERTED_TEL.fullmatch(form) is not None


def _asserted_uri(form: str, order: LegOrder) -> Uri:
    """Return the URI that a format makes of the caller; a format that is none asserts the number at the carrier."""
    number = order.caller_id.number

    def filled(text: str) -> str:
        return text.replace(CAPTURED, number).replace(OWN_DOMAIN, order.domain)

    tel = ASSERTED_TEL.fullmatch(form)
    if tel is not None and TELEPHONE.fullmatch(said := filled(tel[1])):
        # RFC 3966 §5.1.4: a number that is not global says where it is one.
        return Uri("tel", said, "", params={} if said[0] == "+" else {"phone-context": order.domain})
    sip = ASSERTED_SIP.fullmatch(form)
    if sip is None:
        return Uri("sip", number, order.target.host)
    scheme, user, host, port = sip.groups()
    return Uri((scheme or "sip").lower(), filled(user), filled(host), int(port) if port else None)
