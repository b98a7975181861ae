"""Where requests inside a dialog go, and with which head (RFC 3261 §12)."""

from __future__ import annotations

import pytest

from ringbridge.sip.dialog import Dialog, dialog_from_request, is_loose, listening_address, sdp_of
from ringbridge.sip.message import Request, Response
from ringbridge.sip.peer import Peer, Transport
from tests.sip.rig import PHONE, phone_request
from tests.sip.wire import SDP

TCP = Peer(Transport.TCP, "192.0.2.20", 40000)


def accepted(contact: str, *routes: str, source: Peer = PHONE, stay: bool = False) -> Dialog:
    """Return a dialog that a 200 with this Contact and these Record-Routes has made."""
    dialog = Dialog(sip_call_id="x", local="<sip:a@b>;tag=1", local_tag="1", remote="<sip:c@d>", target="t", peer=PHONE)
    dialog.stay_with_peer = stay
    headers = [("To", "<sip:c@d>;tag=2"), *(("Record-Route", route) for route in routes)]
    if contact:
        headers.append(("Contact", contact))
    dialog.accept(Response(200, "OK", headers), source)
    return dialog


@pytest.mark.parametrize(
    ("contact", "peer"),
    [
        ("<sip:c@192.0.2.20:5070>", PHONE),
        ("<sip:c@192.0.2.20>", Peer(Transport.UDP, "192.0.2.20", 5060)),
        ("<sip:c@192.0.2.99:5090>", Peer(Transport.UDP, "192.0.2.99", 5090)),
        ("<sip:c@phone.example;transport=tcp>", Peer(Transport.TCP, "phone.example", 5060)),
        ("<sips:c@phone.example>", Peer(Transport.TLS, "phone.example", 5061)),
        ("<sip:c@phone.example;transport=strange>", Peer(Transport.UDP, "phone.example", 5060)),
        ("<sip:c@[2001:db8::9]:5070>", Peer(Transport.UDP, "2001:db8::9", 5070)),
        ("<sip:c@192.168.0.9:5070>", PHONE),
        ("<sip:c@10.0.0.9:5070>", PHONE),
        ("<sip:c@172.20.0.9:5070>", PHONE),
        ("<sip:c@172.40.0.9:5070>", Peer(Transport.UDP, "172.40.0.9", 5070)),
        ("<sip:c@x7df9.invalid;transport=ws>", PHONE),
        ("<tel:+4930123>", PHONE),
        ("", PHONE),
    ],
)
def test_requests_go_to_the_contact_unless_that_leads_nowhere(contact: str, peer: Peer) -> None:
    assert accepted(contact).peer == peer


def test_private_contact_is_followed_inside_the_private_network() -> None:
    inside = Peer(Transport.UDP, "10.0.0.1", 5060)
    assert accepted("<sip:c@10.0.0.9:5070>", source=inside).peer == Peer(Transport.UDP, "10.0.0.9", 5070)


def test_connection_of_the_phone_is_used_and_what_it_listens_on_is_known() -> None:
    dialog = accepted("<sip:c@192.0.2.20:5999;transport=tcp>", source=TCP)
    assert dialog.peer == TCP
    assert listening_address(dialog) == Peer(Transport.TCP, "192.0.2.20", 5999)


def test_browser_listens_nowhere() -> None:
    browser = Peer(Transport.WSS, "192.0.2.50", 50000)
    dialog = accepted("<sip:c@x7df9.invalid;transport=ws>", source=browser)
    assert dialog.peer == browser
    assert listening_address(dialog) is None


def test_route_set_goes_before_the_contact_even_a_private_one() -> None:
    dialog = accepted("<sip:c@192.0.2.20:5070>", "<sip:10.0.0.1:5080;lr>, <sip:10.0.0.2;lr>")
    assert dialog.route_set == ("<sip:10.0.0.2;lr>", "<sip:10.0.0.1:5080;lr>")
    assert dialog.peer == Peer(Transport.UDP, "10.0.0.2", 5060)
    assert dialog.request_line() == ("sip:c@192.0.2.20:5070", dialog.route_set)


def test_strict_route_takes_the_request_line_without_its_headers() -> None:
    dialog = accepted("<sip:c@192.0.2.20:5070>", "<sip:192.0.2.31;lr>", "<sip:old@192.0.2.32?Subject=x>")
    uri, routes = dialog.request_line()
    assert uri == "sip:old@192.0.2.32"
    assert routes == ("<sip:192.0.2.31;lr>", "<sip:c@192.0.2.20:5070>")


@pytest.mark.parametrize(
    ("route", "loose"),
    [("<sip:a;lr>", True), ("<sip:a;lr=on>", True), ("<sip:a;LR>", True), ("<sip:a>", False), ("rubbish", True)],
)
def test_loose_routers_are_known_by_lr(route: str, *, loose: bool) -> None:
    assert is_loose(route) is loose


def test_nat_keeps_to_the_peer() -> None:
    assert accepted("<sip:c@203.0.113.1:5070>", stay=True).peer == PHONE


def test_dialog_of_an_incoming_invite_is_seen_from_our_side() -> None:
    request = phone_request("INVITE", number=7, headers=(("Record-Route", "<sip:192.0.2.31;lr>, <sip:192.0.2.32;lr>"),))
    dialog = dialog_from_request(request, local_tag="ours", source=PHONE)
    assert dialog.local == "<sip:1002@demo>;tag=ours"
    assert dialog.remote == "<sip:1001@demo>;tag=phone"
    assert (dialog.remote_tag, dialog.remote_cseq, dialog.local_cseq) == ("phone", 7, 0)
    assert dialog.route_set == ("<sip:192.0.2.31;lr>", "<sip:192.0.2.32;lr>")
    assert dialog.target == "sip:1001@192.0.2.20:5070"


def test_only_a_body_of_sdp_is_sdp() -> None:
    assert sdp_of(Request("INVITE", "sip:a", [("Content-Type", "Application/SDP;charset=x")], SDP)) == SDP
    assert sdp_of(Request("INVITE", "sip:a", [("Content-Type", "text/plain")], SDP)) == b""
    assert sdp_of(Request("INVITE", "sip:a", [], SDP)) == b""
