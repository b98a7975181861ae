"""What happens to messages that belong to nothing yet, or to nothing at all."""

from __future__ import annotations

import random

import pytest

from ringbridge.sip.endpoint_settings import EndpointSettings
from ringbridge.sip.message import Request
from ringbridge.sip.session_events import Ended, IncomingInvite, IncomingRequest
from tests.sip.rig import Rig, phone_in_dialog, phone_request
from tests.sip.wire import SDP


def test_options_is_answered_with_what_we_can() -> None:
    rig = Rig()
    rig.feed(phone_request("OPTIONS"))
    ok = rig.sent_response(200)
    assert {"INVITE", "BYE", "CANCEL", "UPDATE", "PRACK"} <= set(ok.tokens("Allow"))
    assert ok.tokens("Supported") == ["100rel", "timer"]
    assert ok.first("Accept") == "application/sdp"
    assert ok.to.tag


@pytest.mark.parametrize("method", ["BYE", "PRACK", "UPDATE", "INFO"])
def test_request_that_needs_a_dialog_is_481_without_one(method: str) -> None:
    rig = Rig()
    headers = (("RAck", "1 1 INVITE"),) if method == "PRACK" else ()
    rig.feed(phone_request(method, headers=headers))
    rig.sent_response(481)


@pytest.mark.parametrize(
    ("method", "status"), [("MESSAGE", 405), ("SUBSCRIBE", 405), ("REFER", 405), ("NOTIFY", 489), ("FROBNICATE", 501)]
)
def test_method_that_we_do_not_take_is_refused(method: str, status: int) -> None:
    rig = Rig()
    rig.feed(phone_request(method))
    response = rig.sent_response(status)
    if status in (405, 501):
        assert "INVITE" in response.tokens("Allow")
    assert rig.no_events()
    assert rig.gone()


def test_register_is_the_applications_where_it_wants_it() -> None:
    rig = Rig()
    rig.feed(phone_request("REGISTER", uri="sip:demo"))
    assert rig.event(IncomingRequest).request.method == "REGISTER"
    phone = Rig(EndpointSettings("192.0.2.1", 5060, application_methods=frozenset()))
    phone.feed(phone_request("REGISTER", uri="sip:demo"))
    phone.sent_response(405)
    assert phone.no_events()


def test_extension_that_we_do_not_know_is_420() -> None:
    rig = Rig()
    rig.feed(phone_request("INVITE", sdp=SDP, headers=(("Require", "timer, teleport"),)))
    assert rig.sent_response(420).first("Unsupported") == "teleport"
    assert rig.no_events()


def test_body_that_we_cannot_read_is_415() -> None:
    rig = Rig()
    invite = phone_request("INVITE", headers=(("Content-Type", "text/plain"),))
    invite.body = b"hello"
    rig.feed(invite)
    rig.sent_response(415)


def test_overload_sheds_new_invites_and_nothing_else() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.shedding = True
    invite = phone_request("INVITE", sdp=SDP)
    rig.feed(invite)
    refusal = rig.sent_response(503)
    assert refusal.first("Retry-After") == "5"
    assert rig.no_events()
    rig.feed(phone_request("ACK", tag=refusal.to.tag or "", branch="INVITE1"))
    assert rig.sent() == []
    rig.feed(phone_request("OPTIONS"))
    rig.sent_response(200)
    rig.feed(phone_in_dialog(session, "BYE"))
    rig.sent_response(200)
    rig.event(Ended)
    assert rig.endpoint.counters.shed == 1
    rig.endpoint.shedding = False
    rig.feed(invite)
    rig.event(IncomingInvite)


def test_shed_invites_cost_no_memory() -> None:
    rig = Rig()
    rig.endpoint.shedding = True
    for number in range(500):
        rig.feed(phone_request("INVITE", number=number + 1, sdp=SDP, call_id=f"flood{number}"))
    assert rig.statuses() == [503] * 500
    assert rig.gone()


def test_message_that_cannot_be_read_is_answered_400_or_dropped() -> None:
    rig = Rig()
    rig.feed(b"\x00\x01\x02 rubbish")
    assert rig.sent() == []
    broken = phone_request("OPTIONS").serialize().replace(b"Content-Length: 0", b"Content-Length: none")
    rig.feed(broken)
    assert rig.sent_response(400).via.params["rport"] == "5070"
    ack = phone_request("ACK").serialize().replace(b"CSeq: 1 ACK", b"CSeq: one ACK")
    rig.feed(ack)
    assert rig.sent() == []
    assert rig.endpoint.counters.malformed == 3
    assert rig.gone()


def test_max_forwards_of_0_is_no_obstacle_for_who_is_meant() -> None:
    rig = Rig()
    request = phone_request("OPTIONS")
    request.set("Max-Forwards", "0")
    rig.feed(request)
    rig.sent_response(200)


def test_nothing_that_arrives_makes_receive_raise_or_stay() -> None:
    chance = random.Random(4475)
    rig = Rig()
    session, invite, _ = rig.answered()
    in_dialog = [phone_in_dialog(session, m, number=50) for m in ("INVITE", "UPDATE", "INFO", "PRACK", "REFER")]
    originals = [phone_request("INVITE", sdp=SDP).serialize(), phone_request("OPTIONS").serialize()]
    originals += [request.serialize() for request in in_dialog]
    originals.append(rig.reply(invite, 180, headers=(("Require", "100rel"), ("RSeq", "1"))).serialize())
    for number in range(4000):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randrange(1, 9)]
                case _:
                    data[place:place] = bytes(chance.choices(b'\r\n:;,<>"@=% z9', k=3))
        rig.feed(bytes(data))
        rig.endpoint.take_outgoing()
        if number % 50 == 0:
            rig.wait(0.5)
    for event in rig.endpoint.take_events():
        if isinstance(event, IncomingInvite):
            rig.endpoint.reject(event.session, rig.now, status=486)
    rig.endpoint.hang_up(session, rig.now)
    assert rig.gone()


def test_responses_come_from_our_own_address_book_of_headers() -> None:
    rig = Rig()
    request = phone_request("OPTIONS", headers=(("X-Secret", "keep"), ("Route", "<sip:192.0.2.1;lr>")))
    rig.feed(request)
    response = rig.sent_response(200)
    assert response.first("X-Secret") is None
    assert response.first("Route") is None
    assert isinstance(request, Request)
