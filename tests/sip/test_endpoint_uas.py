"""Calls that reach us: ringing, answering, the ACK, CANCEL, hanging up before the ACK."""

from __future__ import annotations

from ringbridge.sip.session_events import AckReceived, Ended, EndedBy, IncomingInvite
from tests.sip.rig import Rig, phone_in_dialog, phone_request
from tests.sip.wire import OTHER_SDP, SDP


def test_incoming_invite_is_told_with_its_offer() -> None:
    rig = Rig()
    rig.feed(phone_request("INVITE", sdp=SDP))
    event = rig.event(IncomingInvite)
    assert event.sdp == SDP
    assert event.request.from_.uri == "sip:1001@demo"
    assert not event.session.caller
    assert event.session.sip_call_id == "from-phone"


def test_answer_copies_the_record_route_and_names_our_contact() -> None:
    rig = Rig()
    routes = (("Record-Route", "<sip:192.0.2.31;lr>, <sip:192.0.2.32;lr>"),)
    session, _ = rig.incoming(headers=routes)
    rig.sent()
    rig.endpoint.ring(session, rig.now, status=183, sdp=OTHER_SDP)
    progress = rig.sent_response(183)
    assert progress.body == OTHER_SDP
    rig.endpoint.answer(session, OTHER_SDP, rig.now)
    ok = rig.sent_response(200)
    assert ok.all("Record-Route") == ["<sip:192.0.2.31;lr>", "<sip:192.0.2.32;lr>"]
    assert ok.contacts[0].uri == "sip:ringbridge@192.0.2.1:5060"
    assert ok.body == OTHER_SDP
    assert ok.to.tag == progress.to.tag
    assert session.answered
    rig.feed(phone_request("ACK", tag=ok.to.tag or "", branch="a"))
    rig.event(AckReceived)
    rig.endpoint.hang_up(session, rig.now)
    bye = rig.sent_request("BYE")
    assert bye.lines("Route") == ["<sip:192.0.2.31;lr>", "<sip:192.0.2.32;lr>"]
    assert bye.uri == "sip:1001@192.0.2.20:5070"
    assert bye.from_.tag == ok.to.tag
    assert bye.to.tag == "phone"


def test_the_200_is_repeated_until_its_ack() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.answer(session, SDP, rig.now)
    rig.sent()
    rig.wait(12)
    assert rig.statuses() == [200] * 5  # at 0.5, 1.5, 3.5, 7.5, 11.5
    rig.feed(phone_request("ACK", tag=session.dialog.local_tag, branch="a"))
    assert rig.event(AckReceived).session is session
    rig.wait(60)
    assert rig.sent() == []


def test_answer_without_ack_is_ended_by_bye() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.answer(session, SDP, rig.now)
    rig.wait(31.9)
    rig.sent()
    rig.wait(0.2)
    bye = rig.sent_request("BYE")
    rig.reply(bye, 200)
    ended = rig.event(Ended)
    assert (ended.by, ended.status) == (EndedBy.TIMEOUT, 408)
    assert rig.gone()


def test_bye_waits_for_the_ack() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.answer(session, SDP, rig.now)
    rig.sent()
    rig.endpoint.hang_up(session, rig.now, reason_header="Q.850;cause=16")
    assert rig.sent() == []
    rig.feed(phone_request("ACK", tag=session.dialog.local_tag, branch="a"))
    bye = rig.sent_request("BYE")
    assert bye.first("Reason") == "Q.850;cause=16"
    rig.reply(bye, 200)
    assert rig.event(Ended).by is EndedBy.LOCAL
    assert rig.gone()


def test_bye_of_the_caller_before_its_ack_ends_the_session() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.answer(session, SDP, rig.now)
    rig.sent()
    rig.feed(phone_request("BYE", number=2, tag=session.dialog.local_tag))
    rig.sent_response(200)
    assert rig.event(Ended).by is EndedBy.REMOTE
    rig.wait(10)
    assert rig.sent() == []
    assert rig.gone()


def test_late_ack_after_the_end_is_counted_and_dropped() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.answer(session, SDP, rig.now)
    rig.feed(phone_request("BYE", number=2, tag=session.dialog.local_tag))
    rig.endpoint.take_events()
    rig.sent()
    rig.feed(phone_request("ACK", tag=session.dialog.local_tag, branch="a"))
    assert rig.sent() == []
    assert rig.no_events()
    assert rig.endpoint.counters.stray_acks == 1


def test_rejecting_ends_the_session() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.sent()
    rig.endpoint.reject(session, rig.now, status=486, reason="On another call", headers=(("Retry-After", "60"),))
    response = rig.sent_response(486)
    assert response.reason == "On another call"
    assert response.first("Retry-After") == "60"
    ended = rig.event(Ended)
    assert (ended.by, ended.status) == (EndedBy.LOCAL, 486)
    rig.endpoint.answer(session, SDP, rig.now)
    rig.endpoint.ring(session, rig.now)
    assert rig.sent() == []
    assert rig.gone()


def test_hanging_up_an_unanswered_call_refuses_it() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.sent()
    rig.endpoint.hang_up(session, rig.now)
    rig.sent_response(480)
    assert rig.event(Ended).status == 480


def test_cancel_is_answered_and_the_invite_is_487() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.ring(session, rig.now)
    rig.sent()
    cancel = phone_request("CANCEL", branch="INVITE1", headers=(("Reason", "SIP;cause=200"),))
    rig.feed(cancel)
    [ok, terminated] = rig.sent()
    assert ok.to.tag == terminated.to.tag == session.dialog.local_tag
    assert ok.cseq.method == "CANCEL"
    assert getattr(terminated, "status", None) == 487
    ended = rig.event(Ended)
    assert (ended.session, ended.by, ended.status) == (session, EndedBy.REMOTE, 487)
    assert ended.reason_header == "SIP;cause=200"
    rig.endpoint.answer(session, SDP, rig.now)
    assert rig.sent() == []
    rig.feed(cancel)
    assert rig.statuses() == [200]
    assert rig.gone()


def test_cancel_after_the_answer_changes_nothing() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.answer(session, SDP, rig.now)
    rig.sent()
    rig.feed(phone_request("CANCEL", branch="INVITE1"))
    assert rig.statuses() == [200]
    assert rig.no_events()
    rig.feed(phone_request("ACK", tag=session.dialog.local_tag, branch="a"))
    rig.event(AckReceived)


def test_cancel_of_nothing_is_481() -> None:
    rig = Rig()
    rig.feed(phone_request("CANCEL", branch="never-sent"))
    rig.sent_response(481)
    assert rig.gone()


def test_bye_in_our_early_dialog_is_answered_and_the_invite_is_487() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.ring(session, rig.now)
    rig.sent()
    rig.feed(phone_request("BYE", number=2, tag=session.dialog.local_tag))
    assert rig.statuses() == [200, 487]
    assert rig.event(Ended).by is EndedBy.REMOTE


def test_answer_to_an_invite_without_offer_comes_with_the_ack() -> None:
    rig = Rig()
    invite = phone_request("INVITE")
    rig.feed(invite)
    event = rig.event(IncomingInvite)
    assert event.sdp == b""
    rig.endpoint.answer(event.session, SDP, rig.now)
    rig.feed(phone_request("ACK", tag=event.session.dialog.local_tag, branch="a", sdp=OTHER_SDP))
    assert rig.event(AckReceived).sdp == OTHER_SDP


def test_peer_of_a_session_that_we_started_cannot_ack_it() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "ACK"))
    assert rig.endpoint.counters.stray_acks == 1
