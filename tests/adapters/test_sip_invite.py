"""An order for a leg as an INVITE: what it says of the caller, and which headers it carries."""

from __future__ import annotations

import pytest

from ringbridge.adapters.sip_invite import invite_order
from ringbridge.calls.found import connection_target
from ringbridge.calls.ports import LegOrder
from ringbridge.model.directory import Connection
from ringbridge.model.events import CallerId
from ringbridge.model.ids import LegId, SessionId
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
        (CallerId("anonymous", "Anonymous", "pbx.example"), '"Anonymous" <sip:anonymous@anonymous.invalid>'),
    ],
)
def test_the_caller_is_shown_as_the_plan_says(caller_id: CallerId, from_: str) -> None:
    assert invite(caller_id).from_ == from_


def test_a_dial_rules_headers_are_carried() -> None:
    headers = invite(CallerId("+4570101010"), headers=(("X-Account", "4711"),)).headers
    assert headers[0] == ("X-Account", "4711")
    assert headers[1][0] == "P-Asserted-Identity"
