"""Challenges, and the way between UDP and TCP."""

from __future__ import annotations

from ringbridge.sip.digest import Credentials
from ringbridge.sip.endpoint_settings import EndpointSettings
from ringbridge.sip.message import Request
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import Answered, Ended, Failed, Failure
from tests.sip.rig import PHONE, PHONE_TCP, Rig, invite_order
from tests.sip.wire import OTHER_SDP

CREDENTIALS = Credentials("trunk", "secret", realm="carrier.example")
BY_HOST = Credentials("trunk", "secret", host=PHONE.host)
CHALLENGE = 'Digest realm="carrier.example", nonce="{}", qop="auth", algorithm=SHA-256'


def challenge(nonce: str, name: str = "Proxy-Authenticate") -> tuple[tuple[str, str], ...]:
    return ((name, CHALLENGE.format(nonce)),)


def test_challenge_is_answered_with_the_next_cseq_and_a_new_branch() -> None:
    rig = Rig()
    session, invite = rig.invite(credentials=CREDENTIALS)
    rig.reply(invite, 407, headers=challenge("n1"))
    [ack, again] = rig.sent()
    assert isinstance(ack, Request)
    assert isinstance(again, Request)
    assert ack.method == "ACK"
    assert (again.method, again.cseq.number) == ("INVITE", 2)
    assert again.via.branch != invite.via.branch
    assert again.call_id == invite.call_id
    assert again.from_.tag == invite.from_.tag
    assert 'nonce="n1"' in (again.first("Proxy-Authorization") or "")
    rig.reply(again, 200, sdp=OTHER_SDP)
    ack = rig.sent_request("ACK")
    assert ack.cseq.number == 2
    assert ack.first("Proxy-Authorization") == again.first("Proxy-Authorization")
    assert rig.event(Answered).session is session


def test_bye_is_authorized_ahead_and_a_new_nonce_is_taken() -> None:
    rig = Rig()
    session, invite = rig.invite(credentials=CREDENTIALS)
    rig.reply(invite, 407, headers=challenge("n1"))
    again = rig.sent()[1]
    assert isinstance(again, Request)
    rig.reply(again, 200, sdp=OTHER_SDP)
    rig.sent()
    rig.endpoint.take_events()
    rig.endpoint.hang_up(session, rig.now)
    bye = rig.sent_request("BYE")
    assert 'nonce="n1"' in (bye.first("Proxy-Authorization") or "")
    rig.reply(bye, 407, headers=challenge("n2"))
    bye = rig.sent_request("BYE")
    assert 'nonce="n2"' in (bye.first("Proxy-Authorization") or "")
    assert bye.cseq.number == 4
    rig.reply(bye, 200)
    assert rig.event(Ended).status == 200
    assert rig.gone()


def test_wrong_password_is_not_tried_for_ever() -> None:
    rig = Rig()
    _, invite = rig.invite(credentials=CREDENTIALS)
    attempts = 0
    request: Request | None = invite
    while request is not None:
        attempts += 1
        rig.reply(request, 407, headers=challenge(f"n{attempts}"))
        request = next((m for m in rig.sent() if isinstance(m, Request) and m.method == "INVITE"), None)
    assert attempts == 2
    assert rig.event(Failed).status == 407


def test_stale_nonces_are_taken_a_few_times() -> None:
    rig = Rig()
    _, invite = rig.invite(credentials=CREDENTIALS)
    attempts = 0
    request: Request | None = invite
    while request is not None:
        attempts += 1
        stale = ((challenge(f"n{attempts}")[0][0], challenge(f"n{attempts}")[0][1] + ", stale=true"),)
        rig.reply(request, 407, headers=stale)
        request = next((m for m in rig.sent() if isinstance(m, Request) and m.method == "INVITE"), None)
    assert attempts == 5
    assert rig.event(Failed).status == 407
    assert rig.gone()


def test_challenge_of_another_realm_is_not_answered() -> None:
    rig = Rig()
    _, invite = rig.invite(credentials=CREDENTIALS)
    rig.reply(invite, 401, headers=(("WWW-Authenticate", 'Digest realm="evil", nonce="n", algorithm=MD5'),))
    assert rig.statuses() == ["ACK"]
    assert rig.event(Failed).status == 401


def test_challenge_after_hanging_up_is_the_end() -> None:
    rig = Rig()
    session, invite = rig.invite(credentials=CREDENTIALS)
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(invite, 407, headers=challenge("n1"))
    assert rig.statuses() == ["ACK"]
    assert rig.event(Failed).cause is Failure.CANCELLED


def test_cancel_after_a_challenge_waits_for_a_provisional_of_the_new_invite() -> None:
    rig = Rig()
    session, invite = rig.invite(credentials=CREDENTIALS)
    rig.reply(invite, 100)
    rig.reply(invite, 407, headers=challenge("n1"))
    again = rig.sent()[1]
    assert isinstance(again, Request)
    rig.endpoint.hang_up(session, rig.now)
    assert rig.sent() == []
    rig.reply(again, 100)
    cancel = rig.sent_request("CANCEL")
    assert cancel.via.branch == again.via.branch
    assert cancel.cseq.number == 2


def test_large_invite_goes_by_tcp_where_the_peer_has_it() -> None:
    rig = Rig()
    large = (("X-Large", "x" * 1300),)
    session = rig.endpoint.prepare_invite(invite_order(headers=large, peer_tcp=PHONE_TCP))
    rig.endpoint.send_invite(session, rig.now)
    invite = rig.sent_request("INVITE")
    assert rig.destinations == [PHONE_TCP]
    assert (invite.via.transport, invite.via.port) == ("TCP", 5062)
    rig.endpoint.peer_failed(PHONE_TCP, rig.now)
    invite = rig.sent_request("INVITE")
    assert rig.destinations == [PHONE]
    assert invite.via.transport == "UDP"
    assert rig.no_events()
    rig.endpoint.peer_failed(PHONE, rig.now)
    assert rig.event(Failed).cause is Failure.TRANSPORT
    assert rig.gone()


def test_small_invite_goes_by_udp_though_the_peer_has_tcp() -> None:
    rig = Rig()
    session = rig.endpoint.prepare_invite(invite_order(peer_tcp=PHONE_TCP))
    rig.endpoint.send_invite(session, rig.now)
    rig.sent_request("INVITE")
    assert rig.destinations == [PHONE]


def test_call_over_tcp_stays_on_its_connection() -> None:
    rig = Rig()
    session, invite = rig.invite(PHONE_TCP)
    assert invite.contacts[0].uri == "sip:ringbridge@192.0.2.1:5062;transport=tcp"
    contact = "<sip:1001@192.0.2.20:49152;transport=tcp>"
    rig.reply(invite, 200, sdp=OTHER_SDP, peer=PHONE_TCP, contact=contact)
    rig.sent_request("ACK")
    assert rig.destinations == [PHONE_TCP]
    rig.endpoint.hang_up(session, rig.now)
    rig.sent_request("BYE")
    assert rig.destinations == [PHONE_TCP]


def test_connection_that_has_gone_is_replaced_by_one_to_where_the_phone_listens() -> None:
    rig = Rig()
    session, invite = rig.invite(PHONE_TCP)
    contact = "<sip:1001@192.0.2.20:5999;transport=tcp>"
    rig.reply(invite, 200, sdp=OTHER_SDP, peer=PHONE_TCP, contact=contact)
    rig.sent()
    rig.endpoint.take_events()
    rig.endpoint.hang_up(session, rig.now)
    rig.sent_request("BYE")
    assert rig.destinations == [PHONE_TCP]
    rig.endpoint.peer_failed(PHONE_TCP, rig.now)
    bye = rig.sent_request("BYE")
    listening = Peer(Transport.TCP, "192.0.2.20", 5999)
    assert rig.destinations == [listening]
    rig.endpoint.peer_failed(listening, rig.now)
    assert rig.sent() == []
    assert rig.event(Ended).status == 503
    assert bye.cseq.number == 2
    assert rig.gone()


def test_phone_behind_nat_is_reached_where_its_answer_came_from() -> None:
    rig = Rig()
    outside = Peer(Transport.UDP, "198.51.100.7", 30123)
    _, invite = rig.invite(outside)
    rig.reply(invite, 200, sdp=OTHER_SDP, peer=outside, contact="<sip:1001@192.168.1.20:5060>")
    ack = rig.sent_request("ACK")
    assert rig.destinations == [outside]
    assert ack.uri == "sip:1001@192.168.1.20:5060"
    _session, invite = rig.invite(outside, stay_with_peer=True)
    rig.reply(invite, 200, sdp=OTHER_SDP, peer=outside, contact="<sip:1001@203.0.113.9:5060>")
    rig.sent_request("ACK")
    assert rig.destinations == [outside]


def test_order_of_ipv6_peers_is_written_with_brackets() -> None:
    rig = Rig(EndpointSettings("2001:db8::1", 5060))
    peer = Peer(Transport.UDP, "2001:db8::2", 5060)
    _, invite = rig.invite(peer, uri="sip:1001@[2001:db8::2]")
    assert invite.via.host == "[2001:db8::1]"
    assert invite.contacts[0].uri == "sip:ringbridge@[2001:db8::1]:5060"
    rig.reply(invite, 200, sdp=OTHER_SDP, peer=peer, contact="<sip:1001@[2001:db8::3]:5070>")
    rig.sent_request("ACK")
    assert rig.destinations == [Peer(Transport.UDP, "2001:db8::3", 5070)]


def test_a_realm_that_cannot_be_answered_leaves_the_refusal() -> None:
    rig = Rig()
    _, invite = rig.invite(credentials=BY_HOST)
    rig.reply(invite, 407, headers=(("Proxy-Authenticate", 'Digest realm="a\\"b", nonce="n"'),))
    assert rig.sent_request("ACK").cseq.number == 1
    assert rig.event(Failed).status == 407
    assert rig.gone()


def test_an_unreadable_challenge_does_not_hide_a_good_one() -> None:
    rig = Rig()
    _, invite = rig.invite(credentials=BY_HOST)
    bad = ("Proxy-Authenticate", 'Digest realm="x", realm="y"')
    rig.reply(invite, 407, headers=(bad, *challenge("n1")))
    [_, again] = rig.sent()
    assert isinstance(again, Request)
    assert 'realm="carrier.example"' in (again.first("Proxy-Authorization") or "")


def test_an_invite_that_its_proof_makes_too_large_goes_on_by_tcp() -> None:
    rig = Rig()
    padding = (("X-Padding", "x" * 400),)
    _, invite = rig.invite(credentials=CREDENTIALS, peer_tcp=PHONE_TCP, headers=padding)
    rig.reply(invite, 407, headers=challenge("n" * 500))
    [ack, again] = rig.sent()
    assert rig.destinations == [PHONE, PHONE_TCP]
    assert isinstance(again, Request)
    assert (ack.via.transport, again.via.transport) == ("UDP", "TCP")
    rig.endpoint.peer_failed(PHONE_TCP, rig.now)
    again = rig.sent_request("INVITE")
    assert rig.destinations == [PHONE]
    assert (again.via.transport, again.cseq.number) == ("UDP", 2)


def test_second_answer_of_a_fork_is_ended_though_the_carrier_challenges() -> None:
    rig = Rig()
    _, invite = rig.invite(credentials=CREDENTIALS)
    rig.reply(invite, 407, headers=challenge("n1"))
    again = rig.sent()[1]
    assert isinstance(again, Request)
    rig.reply(again, 200, sdp=OTHER_SDP, tag="one")
    rig.sent_request("ACK")
    rig.event(Answered)
    rig.reply(again, 200, sdp=OTHER_SDP, tag="two")
    [ack, bye] = rig.sent()
    assert ack.first("Proxy-Authorization") == again.first("Proxy-Authorization")
    assert isinstance(bye, Request)
    rig.reply(bye, 407, headers=challenge("n2"), tag="two")
    bye = rig.sent_request("BYE")
    assert bye.to.tag == "two"
    assert 'nonce="n2"' in (bye.first("Proxy-Authorization") or "")
