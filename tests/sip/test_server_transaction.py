"""RFC 3261 §17.2 and RFC 6026 §7.1, by what goes over the wire and when."""

from __future__ import annotations

from ringbridge.sip.message import parse
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.server_transaction import INVITE_SERVER, NON_INVITE_SERVER, State
from ringbridge.sip.session_events import AckReceived, Ended, IncomingRequest
from tests.sip.rig import PHONE, Rig, phone_request
from tests.sip.wire import SDP

TCP = Peer(Transport.TCP, "192.0.2.20", 40000)


def test_invite_gets_100_at_once_and_again_when_it_comes_again() -> None:
    rig = Rig()
    _, invite = rig.incoming()
    trying = rig.sent_response(100)
    assert trying.to.tag is None
    rig.feed(invite)
    rig.sent_response(100)
    assert rig.no_events()


def test_repeated_invite_gets_the_last_provisional() -> None:
    rig = Rig()
    session, invite = rig.incoming()
    rig.endpoint.ring(session, rig.now)
    assert rig.statuses() == [100, 180]
    rig.feed(invite)
    assert rig.sent_response(180).to.tag == session.dialog.local_tag


def test_refusal_is_repeated_until_its_ack() -> None:
    rig = Rig()
    session, invite = rig.incoming()
    rig.sent()
    rig.endpoint.reject(session, rig.now, status=486)
    refusal = rig.sent_response(486)
    rig.event(Ended)
    rig.wait(8)
    assert rig.statuses() == [486] * 4  # at 0.5, 1.5, 3.5, 7.5
    rig.feed(invite)
    assert rig.statuses() == [486]
    rig.feed(phone_request("ACK", tag=refusal.to.tag or "", branch="INVITE1"))
    rig.wait(4)
    assert rig.sent() == []
    assert rig.endpoint.sizes().server_transactions == 1
    rig.feed(phone_request("ACK", tag=refusal.to.tag or "", branch="INVITE1"))
    rig.wait(1.1)
    assert rig.endpoint.sizes().server_transactions == 0
    assert rig.endpoint.counters.stray_acks == 0


def test_refusal_without_ack_is_given_up_after_64_t1() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.reject(session, rig.now, status=603)
    rig.wait(31.9)
    assert rig.endpoint.sizes().server_transactions == 1
    rig.wait(0.2)
    assert rig.endpoint.sizes().server_transactions == 0


def test_refusal_over_tcp_is_sent_once() -> None:
    rig = Rig()
    invite = phone_request("INVITE", sdp=SDP, headers=(("Require", "nothing-known"),))
    rig.feed(invite, TCP)
    refusal = rig.sent_response(420)
    rig.wait(20)
    assert rig.sent() == []
    rig.feed(phone_request("ACK", tag=refusal.to.tag or "", branch="INVITE1"), TCP)
    assert rig.endpoint.sizes().server_transactions == 0


def test_repeated_invite_after_the_200_rings_nobody_again() -> None:
    rig = Rig()
    _, invite, _ = rig.accepted()
    rig.wait(5)
    rig.feed(invite)
    assert rig.sent() == []
    assert rig.no_events()


def test_ack_of_a_200_on_the_branch_of_the_invite_is_taken_too() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.answer(session, SDP, rig.now)
    rig.feed(phone_request("ACK", tag=session.dialog.local_tag, branch="INVITE1"))
    rig.event(AckReceived)


def test_other_request_is_answered_again_when_it_comes_again_for_64_t1() -> None:
    rig = Rig()
    request = phone_request("OPTIONS")
    rig.feed(request)
    first = rig.sent_response(200)
    rig.wait(31)
    rig.feed(request)
    assert rig.sent_response(200).serialize() == first.serialize()
    rig.wait(1.1)
    assert rig.endpoint.sizes().server_transactions == 0


def test_request_that_waits_for_the_application_is_not_raised_twice() -> None:
    rig = Rig()
    request = phone_request("REGISTER", uri="sip:demo")
    rig.feed(request)
    transaction = rig.event(IncomingRequest).transaction
    rig.feed(request)
    assert rig.sent() == []
    assert rig.no_events()
    rig.endpoint.respond(transaction, rig.now, status=200, headers=(("Contact", "<sip:a@b>;expires=60"),))
    assert rig.sent_response(200).first("Contact") == "<sip:a@b>;expires=60"
    rig.endpoint.respond(transaction, rig.now, status=500)
    assert rig.sent() == []


def test_request_that_the_application_never_answers_is_forgotten() -> None:
    rig = Rig()
    rig.feed(phone_request("REGISTER", uri="sip:demo"))
    rig.event(IncomingRequest)
    rig.wait(33)
    assert rig.endpoint.sizes().server_transactions == 0


def test_response_goes_to_the_source_port_if_rport_was_asked_for() -> None:
    rig = Rig()
    nat = Peer(Transport.UDP, "198.51.100.7", 30123)
    rig.feed(phone_request("OPTIONS"), nat)
    response = rig.sent_response(200)
    assert rig.destinations == [nat]
    assert response.via.params["received"] == "198.51.100.7"
    assert response.via.params["rport"] == "30123"


def test_response_goes_to_the_port_of_the_via_without_rport() -> None:
    rig = Rig()
    request = phone_request("OPTIONS")
    request.set("Via", "SIP/2.0/UDP 192.0.2.20:5099;branch=z9hG4bKo")
    rig.feed(request, Peer(Transport.UDP, "192.0.2.20", 30123))
    rig.sent()
    assert rig.destinations == [Peer(Transport.UDP, "192.0.2.20", 5099)]
    request.set("Via", "SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKo2")
    rig.feed(request, Peer(Transport.UDP, "192.0.2.20", 30123))
    rig.sent()
    assert rig.destinations == [Peer(Transport.UDP, "192.0.2.20", 5060)]


def test_response_over_tcp_goes_back_on_the_connection() -> None:
    rig = Rig()
    rig.feed(phone_request("OPTIONS"), TCP)
    rig.sent_response(200)
    assert rig.destinations == [TCP]


def test_peers_of_rfc_2543_without_branches_are_told_apart() -> None:
    rig = Rig()
    request = phone_request("OPTIONS")
    request.set("Via", "SIP/2.0/UDP 192.0.2.20:5070")
    rig.feed(request)
    rig.feed(request)
    assert rig.statuses() == [200, 200]
    assert rig.endpoint.sizes().server_transactions == 1
    request.set("CSeq", "2 OPTIONS")
    rig.feed(request)
    assert rig.statuses() == [200]
    assert rig.endpoint.sizes().server_transactions == 2


def test_the_same_branch_from_another_sender_is_another_request() -> None:
    rig = Rig()
    request = phone_request("OPTIONS")
    rig.feed(request)
    request.set("Via", "SIP/2.0/UDP 192.0.2.21:5070;branch=z9hG4bKOPTIONS1;rport")
    request.set("Call-ID", "another")
    rig.feed(request, Peer(Transport.UDP, "192.0.2.21", 5070))
    assert rig.endpoint.sizes().server_transactions == 2


def test_request_that_came_by_two_paths_is_answered_482_once() -> None:
    rig = Rig()
    rig.feed(phone_request("INVITE", sdp=SDP, branch="left"))
    rig.feed(phone_request("INVITE", sdp=SDP, branch="right"))
    assert rig.statuses() == [100, 482]
    assert len(rig.endpoint.take_events()) == 1


def test_every_live_state_can_be_left() -> None:
    for table in (INVITE_SERVER, NON_INVITE_SERVER):
        states = {state for state, _ in table}
        for state in states - {State.TRYING}:
            assert any(before is state and after is not state for (before, _), (after, _) in table.items())


def test_what_is_sent_can_be_read() -> None:
    rig = Rig()
    rig.feed(phone_request("OPTIONS"))
    for _, data in rig.endpoint.take_outgoing():
        parse(data)
    assert PHONE.transport is Transport.UDP
