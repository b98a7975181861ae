"""Calls that we place: answers, routes, forks, early media, refusals."""

from __future__ import annotations

import pytest

from ringbridge.sip.errors import UnsafeHeader
from ringbridge.sip.message import Request
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import Answered, Ended, Failed, Failure, Progress
from tests.sip.rig import LINGER_S, PHONE, Rig, invite_order, phone_in_dialog
from tests.sip.wire import OTHER_SDP, SDP


def test_prepared_invite_leaves_only_when_told() -> None:
    rig = Rig()
    session = rig.endpoint.prepare_invite(invite_order())
    assert rig.sent() == []
    assert rig.endpoint.next_timeout() is None
    rig.endpoint.send_invite(session, rig.now)
    invite = rig.sent_request("INVITE")
    assert rig.destinations == [PHONE]
    assert invite.uri == "sip:1001@192.0.2.20:5070"
    assert invite.call_id == session.sip_call_id
    assert invite.body == SDP
    assert invite.from_.display == "Ann"
    assert invite.from_.tag
    assert invite.to.tag is None
    assert invite.max_forwards == 70
    assert invite.contacts[0].uri == "sip:ringbridge@192.0.2.1:5060"
    assert "100rel" in invite.tokens("Supported")
    assert "UPDATE" in invite.tokens("Allow")
    rig.endpoint.send_invite(session, rig.now)
    assert rig.sent() == []


def test_order_with_a_line_break_is_refused_before_anything_is_sent() -> None:
    rig = Rig()
    with pytest.raises(UnsafeHeader):
        rig.endpoint.prepare_invite(invite_order(headers=(("X-Note", "a\r\nVia: b"),)))
    with pytest.raises(UnsafeHeader):
        rig.endpoint.prepare_invite(invite_order(from_='"A\nB" <sip:a@b>'))
    assert rig.sent() == []


def test_answer_is_acknowledged_to_the_contact_and_told_once() -> None:
    rig = Rig()
    session, invite = rig.invite()
    rig.reply(invite, 180)
    progress = rig.event(Progress)
    assert (progress.status, progress.sdp, progress.remote_tag) == (180, b"", "phone")
    rig.reply(invite, 200, sdp=OTHER_SDP, contact="<sip:desk@192.0.2.20:5999>")
    ack = rig.sent_request("ACK")
    assert rig.destinations == [Peer(Transport.UDP, "192.0.2.20", 5999)]
    assert ack.uri == "sip:desk@192.0.2.20:5999"
    assert ack.via.branch != invite.via.branch
    assert (ack.cseq.number, ack.cseq.method) == (1, "ACK")
    answered = rig.event(Answered)
    assert (answered.session, answered.sdp) == (session, OTHER_SDP)
    assert session.answered


def test_early_media_is_passed_up() -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 183, sdp=OTHER_SDP)
    progress = rig.event(Progress)
    assert (progress.status, progress.sdp) == (183, OTHER_SDP)


def test_trying_is_no_progress() -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 100)
    assert rig.no_events()


def test_route_set_is_the_record_route_reversed() -> None:
    rig = Rig()
    routes = (("Record-Route", "<sip:inner@192.0.2.31;lr>, <sip:outer@192.0.2.32:5080;lr>"),)
    session, _, ack = rig.answered(headers=routes)
    assert ack.lines("Route") == ["<sip:outer@192.0.2.32:5080;lr>", "<sip:inner@192.0.2.31;lr>"]
    assert ack.uri == "sip:1001@192.0.2.20:5070"
    rig.endpoint.hang_up(session, rig.now)
    bye = rig.sent_request("BYE")
    assert rig.destinations == [Peer(Transport.UDP, "192.0.2.32", 5080)]
    assert bye.lines("Route") == ack.lines("Route")


def test_strict_router_gets_its_uri_in_the_request_line() -> None:
    rig = Rig()
    _, _, ack = rig.answered(headers=(("Record-Route", "<sip:old@192.0.2.31>"),))
    assert ack.uri == "sip:old@192.0.2.31"
    assert ack.lines("Route") == ["<sip:1001@192.0.2.20:5070>"]


@pytest.mark.parametrize("broken", ['"', '<sip:a@b>, "<sip:c@d', "<<>>"])
def test_answer_with_a_broken_record_route_or_contact_is_acknowledged_all_the_same(broken: str) -> None:
    for name in ("Record-Route", "Contact", "Allow", "Supported", "Session-Expires"):
        rig = Rig()
        session, invite = rig.invite()
        rig.reply(invite, 200, sdp=OTHER_SDP, headers=((name, broken),), contact="")
        assert rig.statuses() == ["ACK"]
        assert rig.event(Answered).session is session


def test_second_branch_that_answers_is_acknowledged_and_ended() -> None:
    rig = Rig()
    session, invite, _ = rig.answered()
    rig.reply(invite, 200, tag="other", sdp=OTHER_SDP, contact="<sip:other@192.0.2.21:5070>")
    [ack, bye] = rig.sent()
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert (ack.method, ack.uri, ack.to.tag) == ("ACK", "sip:other@192.0.2.21:5070", "other")
    assert (bye.method, bye.uri, bye.to.tag) == ("BYE", "sip:other@192.0.2.21:5070", "other")
    assert bye.cseq.number == 2
    rig.reply(invite, 200, tag="other", sdp=OTHER_SDP)
    assert rig.statuses() == ["ACK"]
    rig.reply(bye, 200)
    assert rig.no_events()
    rig.endpoint.hang_up(session, rig.now)
    assert rig.sent_request("BYE").to.tag == "phone"


def test_branch_that_answers_after_the_call_has_ended_is_ended_too() -> None:
    rig = Rig()
    session, invite, _ = rig.answered()
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(rig.sent_request("BYE"), 200)
    rig.event(Ended)
    rig.reply(invite, 200, tag="other", sdp=OTHER_SDP)
    assert rig.statuses() == ["ACK", "BYE"]
    assert rig.gone()


@pytest.mark.parametrize("status", [404, 480, 486, 500, 603])
def test_refusal_is_told_with_its_status(status: int) -> None:
    rig = Rig()
    session, invite = rig.invite()
    rig.reply(invite, status, headers=(("Retry-After", "120 (lunch)"), ("Reason", "Q.850;cause=17")))
    failed = rig.event(Failed)
    assert (failed.session, failed.cause, failed.status) == (session, Failure.RESPONSE, status)
    assert failed.retry_after_s == 120
    assert failed.reason_header == "Q.850;cause=17"
    assert rig.gone()


def test_redirection_names_its_targets_best_first() -> None:
    rig = Rig()
    _, invite = rig.invite()
    contacts = (("Contact", "<sip:a@192.0.2.5>;q=0.1, <sip:b@192.0.2.6>;q=0.9"),)
    rig.reply(invite, 302, headers=contacts)
    assert rig.event(Failed).contacts == ("sip:b@192.0.2.6", "sip:a@192.0.2.5")


def test_nothing_stays_behind_after_a_hundred_calls() -> None:
    rig = Rig()
    for number in range(100):
        session, invite = rig.invite()
        rig.reply(invite, 180)
        match number % 4:
            case 0:
                rig.reply(invite, 486)
            case 1:
                rig.endpoint.hang_up(session, rig.now)
            case 2:
                rig.reply(invite, 200, sdp=SDP)
                rig.feed(phone_in_dialog(session, "BYE"))
            case _:
                rig.reply(invite, 200, sdp=SDP)
                rig.endpoint.hang_up(session, rig.now)
        rig.sent()
    rig.wait(LINGER_S)
    assert rig.gone()
