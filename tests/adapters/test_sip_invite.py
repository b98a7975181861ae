"""What an INVITE says of a leg's order: the caller, its headers, and what may be proved to whom."""

from __future__ import annotations

import msgspec
import pytest

from ringbridge.adapters.sip.invite import credentials_of, invite_order
from ringbridge.calls.found import connection_target
from ringbridge.calls.ports import LegOrder
from ringbridge.model.directory import Connection
from ringbridge.model.events import CallerId
from ringbridge.model.field_tables import checks
from ringbridge.model.ids import DomainName, LegId, SessionId
from ringbridge.sip.session_orders import InviteOrder
from tests.calls.samples import DOMAIN

TRUNK = Connection(DOMAIN, "trunk", connection_address="gw.example", connection_custom_p_asserted_id_format="yes")


def invite(caller_id: CallerId, *, headers: tuple[tuple[str, str], ...] = ()) -> InviteOrder:
    target = connection_target(TRUNK, "4531234567", "", headers=headers)
    return invite_order(LegOrder(SessionId("s"), LegId("t1"), target, caller_id, DOMAIN), sdp=b"", connection=TRUNK)


@pytest.mark.parametrize(
    ("caller_id", "from_"),
    [
        (CallerId("+4570101010", "Ann"), '"Ann" <sip:+4570101010@demo.example>'),
        (CallerId("+4570101010", "Ann", "pbx.example"), '"Ann" <sip:+4570101010@pbx.example>'),
        (CallerId("+4570101010", "Ann", "pbx.example:5070"), '"Ann" <sip:+4570101010@pbx.example:5070>'),
        (CallerId("+4570101010", "Ann", "[2001:db8::1]:5070"), '"Ann" <sip:+4570101010@[2001:db8::1]:5070>'),
        (CallerId("+4570101010", "Ann", "[2001:db8::1]"), '"Ann" <sip:+4570101010@[2001:db8::1]>'),
        (CallerId("anonymous", "Anonymous", "pbx.example"), '"Anonymous" <sip:anonymous@anonymous.invalid>'),
    ],
)
def test_the_caller_is_shown_as_the_plan_says(caller_id: CallerId, from_: str) -> None:
    assert invite(caller_id).from_ == from_


def test_a_caller_is_asserted_at_a_connection_with_an_ipv6_address() -> None:
    connection = msgspec.structs.replace(TRUNK, connection_address="[2001:db8::5]:5070")
    target = connection_target(connection, "4531234567", "")
    order = LegOrder(SessionId("s"), LegId("t1"), target, CallerId("4570101010"), DOMAIN)
    headers = dict(invite_order(order, sdp=b"", connection=connection).headers)
    assert headers["P-Asserted-Identity"] == "<sip:4570101010@[2001:db8::5]>"


def test_a_dial_rules_headers_are_carried() -> None:
    headers = invite(CallerId("+4570101010"), headers=(("X-Account", "4711"),)).headers
    assert headers[0] == ("X-Account", "4711")
    assert headers[1][0] == "P-Asserted-Identity"


def trunk(address: str, **more: str) -> Connection:
    return Connection(
        domain="demo",
        connection_orig_match_pattern="trunk",
        connection_address=address,
        connection_sip_registration_username="us",
        connection_sip_registration_password="secret",
        **more,  # type: ignore[arg-type] # fields of the connection
    )


@pytest.mark.parametrize("address", ["192.0.2.7", "192.0.2.7:5070", "Gw.Example:5070", "[2001:db8::7]", "[::1]:5070"])
def test_a_connections_credentials_are_for_the_host_that_its_invites_go_to(address: str) -> None:
    connection = trunk(address)
    order = LegOrder(
        session_id=SessionId("s"),
        leg_id=LegId("t1"),
        target=connection_target(connection, "4512345678", ""),
        caller_id=CallerId("4587654321"),
        domain=DomainName("demo"),
        auto_answer=False,
        added_header=None,
        learn=(),
    )
    invite = invite_order(order, sdp=b"", connection=connection)
    assert invite.credentials == credentials_of(connection)
    assert invite.credentials is not None
    assert invite.credentials.host == invite.peer.host


def test_a_connection_that_is_not_to_be_authenticated_to_gets_no_proof() -> None:
    assert credentials_of(trunk("192.0.2.7", connection_sip_authenticate_as_client_enabled="no")) is None


@pytest.mark.parametrize(("setting", "expires_s"), [("", None), ("system-default", None), ("yes", None), ("no", 0)])
def test_a_connection_says_whether_its_calls_have_a_session_timer(setting: str, expires_s: int | None) -> None:
    trunk = Connection(DOMAIN, "trunk", other={"connection-sip-session-timer-enabled": setting})
    target = connection_target(TRUNK, "4531234567", "")
    order = LegOrder(SessionId("s"), LegId("t1"), target, CallerId("+4570101010"), DOMAIN)
    assert invite_order(order, sdp=b"", connection=trunk).session_expires_s == expires_s


@pytest.mark.parametrize(
    ("form", "number", "asserted"),
    [
        ("passerted", "+4570101010", '"Ann" <sip:+4570101010@gw.example>'),
        ("[*]", "1001", '"Ann" <sip:1001@gw.example>'),
        ("sip:[*]@carrier.example", "+4570101010", '"Ann" <sip:+4570101010@carrier.example>'),
        ("[*]@<OwnDomain>:5080", "1001", '"Ann" <sip:1001@demo.example:5080>'),
        ("sips:+45[*]@[2001:db8::7]", "70101010", '"Ann" <sips:+4570101010@[2001:db8::7]>'),
        ("sip:+4570000000@carrier.example", "1001", '"Ann" <sip:+4570000000@carrier.example>'),
        ("tel:[*]", "+4570101010", '"Ann" <tel:+4570101010>'),
        ("tel:[*]", "1001", '"Ann" <tel:1001;phone-context=demo.example>'),
        ("tel:[*]", "reception", '"Ann" <sip:reception@gw.example>'),
        ("TEL:+4570000000", "1001", '"Ann" <tel:+4570000000>'),
    ],
)
def test_a_caller_is_asserted_as_the_format_says(form: str, number: str, asserted: str) -> None:
    assert checks.asserted_id(form) is None
    assert headers_of(form, CallerId(number, "Ann")) == [("P-Asserted-Identity", asserted)]


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ("", []),
        ("[*]", []),
        ("tel:[*]", []),
        ("tel:+4570000000", [("P-Asserted-Identity", "<tel:+4570000000>")]),
        ("sip:main@carrier.example", [("P-Asserted-Identity", "<sip:main@carrier.example>")]),
    ],
)
def test_a_hidden_caller_is_asserted_only_as_what_is_the_same_for_all(form: str, headers: list[object]) -> None:
    assert headers_of(form, CallerId("anonymous", "Anonymous")) == [("Privacy", "id"), *headers]


@pytest.mark.parametrize(
    "form", ["sip:[*]@", "sip:a b@c", "a@b@c", "tel:x", "http://x", "sip:x@h:99999", 'a"@h', "a@h>"]
)
def test_a_format_that_makes_no_uri_is_refused(form: str) -> None:
    assert checks.asserted_id(form) is not None


def headers_of(form: str, caller_id: CallerId) -> list[tuple[str, str]]:
    trunk = Connection(DOMAIN, "trunk", connection_address="gw.example", connection_custom_p_asserted_id_format=form)
    order = LegOrder(SessionId("s"), LegId("t1"), connection_target(trunk, "45", ""), caller_id, DOMAIN)
    return list(invite_order(order, sdp=b"", connection=trunk).headers)
