"""The peer's requests inside a dialog: re-INVITE, UPDATE, INFO, OPTIONS, REFER, and what is out of order."""

from __future__ import annotations

import pytest

from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session_events import (
    AckReceived,
    Ended,
    EndedBy,
    IncomingRequest,
    InfoReceived,
    Reinvited,
    ReinviteResult,
    RequestResult,
)
from tests.sip.rig import Rig, phone_in_dialog
from tests.sip.wire import OTHER_SDP, SDP


def test_reinvite_is_told_and_answered_with_our_sdp() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    reinvite = phone_in_dialog(session, "INVITE", number=10, sdp=OTHER_SDP)
    reinvite.set("Contact", "<sip:moved@192.0.2.20:5999>")
    rig.feed(reinvite)
    rig.sent_response(100)
    event = rig.event(Reinvited)
    assert (event.session, event.sdp, event.method) == (session, OTHER_SDP, "INVITE")
    rig.endpoint.answer_reinvite(session, rig.now, sdp=SDP)
    ok = rig.sent_response(200)
    assert ok.body == SDP
    assert ok.cseq.number == 10
    rig.wait(0.6)
    assert rig.statuses() == [200]
    rig.feed(phone_in_dialog(session, "ACK", number=10))
    assert rig.event(AckReceived).sdp == b""
    rig.wait(10)
    assert rig.sent() == []
    rig.endpoint.hang_up(session, rig.now)
    assert rig.sent_request("BYE").uri == "sip:moved@192.0.2.20:5999"
    assert rig.destinations == [Peer(Transport.UDP, "192.0.2.20", 5999)]


def test_refused_reinvite_leaves_everything_as_it_was() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    reinvite = phone_in_dialog(session, "INVITE", number=10, sdp=OTHER_SDP)
    reinvite.set("Contact", "<sip:moved@192.0.2.20:5999>")
    rig.feed(reinvite)
    rig.event(Reinvited)
    rig.sent()
    rig.endpoint.answer_reinvite(session, rig.now, status=488)
    rig.sent_response(488)
    rig.endpoint.answer_reinvite(session, rig.now, sdp=SDP)
    assert rig.sent() == []
    rig.feed(phone_in_dialog(session, "ACK", number=10))
    rig.endpoint.hang_up(session, rig.now)
    bye = next(m for m in rig.sent() if getattr(m, "method", "") == "BYE")
    assert getattr(bye, "uri", "") == "sip:1001@192.0.2.20:5070"


def test_reinvite_without_offer_gets_its_answer_in_the_ack() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "INVITE", number=10))
    assert rig.event(Reinvited).sdp == b""
    rig.endpoint.answer_reinvite(session, rig.now, sdp=SDP)
    rig.feed(phone_in_dialog(session, "ACK", number=10, sdp=OTHER_SDP))
    assert rig.event(AckReceived).sdp == OTHER_SDP


def test_reinvite_whose_200_is_never_acknowledged_ends_the_session() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "INVITE", number=10, sdp=OTHER_SDP))
    rig.event(Reinvited)
    rig.endpoint.answer_reinvite(session, rig.now, sdp=SDP)
    rig.sent()
    rig.wait(32.1)
    bye = rig.sent()[-1]
    assert getattr(bye, "method", "") == "BYE"
    rig.wait(33)
    assert rig.event(Ended).by is EndedBy.TIMEOUT
    assert rig.gone()


def test_cancelled_reinvite_is_487_and_the_session_goes_on() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    reinvite = phone_in_dialog(session, "INVITE", number=10, sdp=OTHER_SDP)
    rig.feed(reinvite)
    rig.event(Reinvited)
    rig.sent()
    cancel = phone_in_dialog(session, "CANCEL", number=10)
    cancel.set("Via", reinvite.lines("Via")[0])
    rig.feed(cancel)
    assert rig.statuses() == [200, 487]
    assert rig.no_events()
    rig.endpoint.answer_reinvite(session, rig.now, sdp=SDP)
    assert rig.sent() == []


def test_reinvite_that_meets_ours_is_491() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.reinvite(session, SDP, rig.now)
    ours = rig.sent_request("INVITE")
    rig.feed(phone_in_dialog(session, "INVITE", number=10, sdp=OTHER_SDP))
    rig.sent_response(491)
    rig.reply(ours, 491)
    assert rig.event(ReinviteResult).status == 491


def test_second_reinvite_before_the_first_is_answered_is_500_with_retry_after() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "INVITE", number=10, sdp=OTHER_SDP))
    rig.event(Reinvited)
    rig.sent()
    rig.feed(phone_in_dialog(session, "INVITE", number=11, sdp=OTHER_SDP))
    refusal = rig.sent_response(500)
    assert 0 <= int(refusal.first("Retry-After") or "-1") <= 10


def test_reinvite_before_the_first_ack_is_491() -> None:
    rig = Rig()
    session, _ = rig.incoming()
    rig.endpoint.answer(session, SDP, rig.now)
    rig.sent()
    reinvite = phone_in_dialog(session, "INVITE", number=2, sdp=OTHER_SDP)
    rig.feed(reinvite)
    rig.sent_response(491)


def test_open_reinvite_is_487_when_the_session_ends() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "INVITE", number=10, sdp=OTHER_SDP))
    rig.event(Reinvited)
    rig.sent()
    rig.feed(phone_in_dialog(session, "BYE", number=11))
    assert rig.statuses() == [200, 487]
    assert rig.event(Ended).by is EndedBy.REMOTE
    assert rig.gone()


def test_update_with_an_offer_is_told_and_answered() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "UPDATE", number=10, sdp=OTHER_SDP))
    assert rig.event(Reinvited).method == "UPDATE"
    rig.endpoint.answer_reinvite(session, rig.now, sdp=SDP)
    assert rig.sent_response(200).body == SDP
    rig.wait(5)
    assert rig.sent() == []


def test_update_without_offer_moves_the_target() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    update = phone_in_dialog(session, "UPDATE", number=10)
    update.set("Contact", "<sip:moved@192.0.2.20:5999>")
    rig.feed(update)
    rig.sent_response(200)
    assert rig.no_events()
    rig.endpoint.hang_up(session, rig.now)
    assert rig.sent_request("BYE").uri == "sip:moved@192.0.2.20:5999"


def test_info_is_answered_and_told() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    info = phone_in_dialog(session, "INFO", number=10)
    info.add("Content-Type", "application/dtmf-relay")
    info.body = b"Signal=5\r\nDuration=160\r\n"
    rig.feed(info)
    rig.sent_response(200)
    event = rig.event(InfoReceived)
    assert (event.session, event.content_type, event.body) == (session, "application/dtmf-relay", info.body)


def test_options_in_a_dialog_is_answered() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "OPTIONS", number=10))
    assert "UPDATE" in rig.sent_response(200).tokens("Allow")


def test_refer_is_the_applications() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "REFER", number=10, headers=(("Refer-To", "<sip:1003@demo>"),)))
    event = rig.event(IncomingRequest)
    assert event.session is session
    assert event.request.method == "REFER"
    rig.endpoint.respond(event.transaction, rig.now, status=202)
    rig.sent_response(202)


def test_notify_is_the_applications_only_after_our_refer() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    notify = (("Event", "refer"), ("Subscription-State", "active"))
    rig.feed(phone_in_dialog(session, "NOTIFY", number=10, headers=notify))
    rig.sent_response(489)
    token = rig.endpoint.send_in_dialog(session, rig.now, method="REFER", headers=(("Refer-To", "<sip:1003@demo>"),))
    rig.reply(rig.sent_request("REFER"), 202)
    result = rig.event(RequestResult)
    assert (result.token, result.status, result.session) == (token, 202, session)
    rig.feed(phone_in_dialog(session, "NOTIFY", number=11, headers=notify))
    assert rig.event(IncomingRequest).session is session


def test_lower_cseq_is_500() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "OPTIONS", number=10))
    rig.sent_response(200)
    rig.feed(phone_in_dialog(session, "INFO", number=9))
    rig.sent_response(500)
    assert rig.no_events()


def test_anything_but_bye_is_481_once_we_have_hung_up() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.hang_up(session, rig.now)
    rig.sent()
    rig.feed(phone_in_dialog(session, "INVITE", number=10, sdp=SDP))
    rig.sent_response(481)
    rig.feed(phone_in_dialog(session, "BYE", number=11))
    rig.sent_response(200)


@pytest.mark.parametrize("method", ["INVITE", "BYE", "UPDATE", "INFO", "OPTIONS", "REFER", "PRACK"])
def test_unknown_dialog_is_481(method: str) -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "BYE"))
    rig.event(Ended)
    rig.sent()
    rig.feed(phone_in_dialog(session, method, number=20))
    rig.sent_response(481)
    assert rig.no_events()


def test_info_of_ours_is_sent_and_its_result_told() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    token = rig.endpoint.send_info(session, rig.now, content_type="application/dtmf", body=b"5")
    info = rig.sent_request("INFO")
    assert (info.body, info.content_type, info.cseq.number) == (b"5", "application/dtmf", 2)
    rig.reply(info, 200)
    assert rig.event(RequestResult).token == token


def test_request_in_a_session_that_has_no_dialog_is_481_at_once() -> None:
    rig = Rig()
    session, _ = rig.invite()
    token = rig.endpoint.send_info(session, rig.now, content_type="application/dtmf", body=b"5")
    assert rig.sent() == []
    result = rig.event(RequestResult)
    assert (result.token, result.status) == (token, 481)


@pytest.mark.parametrize("status", [481, 408])
def test_dialog_that_the_peer_does_not_know_is_ended(status: int) -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.send_info(session, rig.now, content_type="application/dtmf", body=b"5")
    rig.reply(rig.sent_request("INFO"), status)
    rig.endpoint.take_events()
    rig.reply(rig.sent_request("BYE"), 481)
    ended = rig.event(Ended)
    assert (ended.by, ended.status) == (EndedBy.TIMEOUT, status)
    assert rig.gone()


def test_numbers_of_one_phone_of_a_fork_do_not_bind_the_one_that_answers() -> None:
    rig = Rig()
    session, invite = rig.invite()
    rig.reply(invite, 180, tag="left")
    rig.feed(phone_in_dialog(session, "UPDATE", number=1000, tag="left"))
    rig.reply(invite, 200, sdp=OTHER_SDP, tag="right")
    rig.sent()
    rig.endpoint.take_events()
    rig.feed(phone_in_dialog(session, "BYE", number=2, tag="right"))
    rig.sent_response(200)
    assert rig.event(Ended).by is EndedBy.REMOTE
