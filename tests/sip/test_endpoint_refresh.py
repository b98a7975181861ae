"""Our re-INVITEs, and session timers (RFC 4028) from both sides."""

from __future__ import annotations

import pytest

from ringbridge.sip.endpoint_settings import EndpointSettings
from ringbridge.sip.session import State
from ringbridge.sip.session_events import Ended, EndedBy, Failed, IncomingInvite, ReinviteResult
from tests.sip.rig import Rig, phone_in_dialog, phone_request
from tests.sip.wire import OTHER_SDP, SDP

UPDATES = ("Allow", "INVITE, ACK, BYE, UPDATE")


def refresher(value: str) -> tuple[tuple[str, str], ...]:
    return (("Session-Expires", value), ("Require", "timer"), UPDATES)


def test_reinvite_is_acknowledged_and_its_answer_told() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.reinvite(session, OTHER_SDP, rig.now)
    reinvite = rig.sent_request("INVITE")
    assert reinvite.to.tag == "phone"
    assert (reinvite.cseq.number, reinvite.body) == (2, OTHER_SDP)
    rig.reply(reinvite, 100)
    rig.reply(reinvite, 200, sdp=SDP, contact="<sip:moved@192.0.2.20:5999>")
    ack = rig.sent_request("ACK")
    assert (ack.cseq.number, ack.uri) == (2, "sip:moved@192.0.2.20:5999")
    result = rig.event(ReinviteResult)
    assert (result.session, result.status, result.sdp) == (session, 200, SDP)
    rig.reply(reinvite, 200, sdp=SDP)
    assert rig.sent_request("ACK").serialize() == ack.serialize()
    assert rig.no_events()


def test_reinvite_that_is_only_trying_for_ever_ends_the_session() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.reinvite(session, OTHER_SDP, rig.now)
    rig.reply(rig.sent_request("INVITE"), 100)
    rig.wait(31)
    assert rig.no_events()
    rig.wait(2)
    assert rig.event(ReinviteResult).status == 408
    assert rig.statuses()[-1] == "BYE"
    rig.wait(32)
    assert rig.event(Ended).by is EndedBy.TIMEOUT
    assert rig.gone()


def test_refused_reinvite_leaves_the_session() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.reinvite(session, OTHER_SDP, rig.now)
    rig.reply(rig.sent_request("INVITE"), 488)
    assert rig.statuses() == ["ACK"]
    assert rig.event(ReinviteResult).status == 488
    assert session.state is State.ESTABLISHED


def test_second_reinvite_of_ours_is_491_at_once() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.reinvite(session, OTHER_SDP, rig.now)
    rig.sent()
    rig.endpoint.reinvite(session, OTHER_SDP, rig.now)
    assert rig.sent() == []
    assert rig.event(ReinviteResult).status == 491


def test_reinvite_that_nobody_answers_ends_the_session() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.reinvite(session, OTHER_SDP, rig.now)
    rig.wait(32)
    assert rig.event(ReinviteResult).status == 408
    assert rig.statuses()[-1] == "BYE"
    rig.wait(32)
    assert rig.event(Ended).by is EndedBy.TIMEOUT
    assert rig.gone()


def test_hanging_up_during_a_reinvite_leaves_nothing() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.reinvite(session, OTHER_SDP, rig.now)
    reinvite = rig.sent_request("INVITE")
    rig.reply(reinvite, 100)
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(rig.sent_request("BYE"), 200)
    rig.event(Ended)
    assert rig.gone()


def test_200_of_a_reinvite_that_comes_after_our_bye_is_still_acknowledged() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.reinvite(session, OTHER_SDP, rig.now)
    reinvite = rig.sent_request("INVITE")
    rig.endpoint.hang_up(session, rig.now)
    bye = rig.sent_request("BYE")
    rig.reply(reinvite, 200, sdp=SDP)
    rig.sent_request("ACK")
    rig.endpoint.take_events()
    rig.reply(bye, 200)
    assert rig.event(Ended).by is EndedBy.LOCAL
    assert rig.gone()


# --- session timers ---


def test_we_refresh_by_update_at_half_time_when_the_peer_asked_us_to() -> None:
    rig = Rig()
    session, _, _ = rig.answered(headers=refresher("1800;refresher=uac"))
    rig.wait(899.9)
    assert rig.sent() == []
    rig.wait(0.2)
    update = rig.sent_request("UPDATE")
    assert update.first("Session-Expires") == "1800;refresher=uac"
    assert update.body == b""
    rig.reply(update, 200, headers=(("Session-Expires", "1800;refresher=uac"),))
    rig.wait(900.1)
    assert rig.statuses() == ["UPDATE"]
    assert session.state is State.ESTABLISHED


def test_we_refresh_by_reinvite_with_the_same_sdp_when_the_peer_takes_no_update() -> None:
    rig = Rig()
    rig.answered(headers=(("Session-Expires", "1800;refresher=uac"),))
    rig.wait(900.1)
    reinvite = rig.sent_request("INVITE")
    assert reinvite.body == SDP
    rig.reply(reinvite, 200, sdp=OTHER_SDP, headers=(("Session-Expires", "1800;refresher=uac"),))
    assert rig.statuses() == ["ACK"]
    assert rig.no_events()


def test_refresh_that_nobody_answers_ends_the_session() -> None:
    rig = Rig()
    session, _, _ = rig.answered(headers=refresher("90;refresher=uac"))
    rig.wait(45)
    rig.sent_request("UPDATE")
    rig.wait(33)
    assert "BYE" in rig.statuses()
    rig.wait(33)
    ended = rig.event(Ended)
    assert (ended.session, ended.by, ended.status) == (session, EndedBy.EXPIRED, 408)
    assert rig.gone()


def test_refused_refresh_is_tried_again() -> None:
    rig = Rig()
    session, _, _ = rig.answered(headers=refresher("600;refresher=uac"))
    rig.wait(300)
    rig.reply(rig.sent_request("UPDATE"), 491)
    rig.wait(10)
    rig.reply(rig.sent_request("UPDATE"), 200, headers=(("Session-Expires", "600;refresher=uac"),))
    rig.wait(290)
    assert rig.sent() == []
    assert session.state is State.ESTABLISHED


def test_peer_that_does_not_refresh_is_ended_a_little_early() -> None:
    rig = Rig()
    rig.answered(headers=refresher("1800;refresher=uas"))
    rig.wait(1767.9)
    assert rig.sent() == []
    rig.wait(0.2)
    rig.reply(rig.sent_request("BYE"), 200)
    assert rig.event(Ended).by is EndedBy.EXPIRED


def test_peers_refresh_starts_the_time_anew() -> None:
    rig = Rig()
    session, _, _ = rig.answered(headers=refresher("1800;refresher=uas"))
    rig.wait(1000)
    timer = (("Supported", "timer"), ("Session-Expires", "1800;refresher=uac"))
    rig.feed(phone_in_dialog(session, "UPDATE", number=10, headers=timer))
    ok = rig.sent_response(200)
    assert ok.first("Session-Expires") == "1800;refresher=uac"
    assert ok.tokens("Require") == ["timer"]
    rig.wait(1767.9)
    assert rig.sent() == []
    rig.wait(0.2)
    rig.sent_request("BYE")


def test_our_invite_asks_for_a_timer_when_told_to_and_for_a_longer_one_on_422() -> None:
    rig = Rig(EndpointSettings("192.0.2.1", 5060, session_expires_s=120))
    _, invite = rig.invite()
    assert invite.first("Session-Expires") == "120"
    rig.reply(invite, 422, headers=(("Min-SE", "600"),))
    again = rig.sent()[1]
    assert again.first("Session-Expires") == "600"
    assert again.first("Min-SE") == "600"
    assert again.cseq.number == 2
    assert rig.no_events()
    rig.reply(again, 422, headers=(("Min-SE", "700"),))  # type: ignore[arg-type]  # it is the request
    assert rig.event(Failed).status == 422


def test_an_order_says_whether_a_timer_is_asked_for() -> None:
    rig = Rig(EndpointSettings("192.0.2.1", 5060, session_expires_s=120))
    _, invite = rig.invite(session_expires_s=600)
    assert (invite.first("Session-Expires"), invite.tokens("Supported")) == ("600", ["100rel", "timer"])
    rig.reply(invite, 422, headers=(("Min-SE", "300"),))
    assert rig.sent()[1].first("Session-Expires") == "600"
    _, invite = rig.invite(session_expires_s=0)
    assert (invite.first("Session-Expires"), invite.tokens("Supported")) == (None, ["100rel"])
    rig.reply(invite, 422, headers=(("Min-SE", "300"),))
    rig.sent_request("ACK")
    assert rig.event(Failed).status == 422


def test_a_session_without_a_timer_is_left_alone_and_offers_none_later() -> None:
    rig = Rig(EndpointSettings("192.0.2.1", 5060, session_expires_s=120))
    session, _, _ = rig.answered(session_expires_s=0)
    rig.wait(3600)
    assert rig.sent() == []
    rig.endpoint.reinvite(session, SDP, rig.now)
    reinvite = rig.sent_request("INVITE")
    assert (reinvite.first("Session-Expires"), reinvite.tokens("Supported")) == (None, ["100rel"])
    rig.reply(reinvite, 200, sdp=OTHER_SDP)
    rig.sent()
    rig.wait(3600)
    assert rig.sent() == []


def test_a_phone_that_knows_no_timers_is_asked_at_half_time_whether_it_is_still_there() -> None:
    rig = Rig(EndpointSettings("192.0.2.1", 5060, session_expires_s=120))
    session, _, _ = rig.answered()
    for _ in range(2):
        rig.wait(60.1)
        reinvite = rig.sent_request("INVITE")
        assert reinvite.body == SDP
        rig.reply(reinvite, 200, sdp=OTHER_SDP)
        assert rig.statuses() == ["ACK"]
    rig.wait(60.1)
    rig.sent_request("INVITE")  # and now its power is gone
    rig.wait(33)
    assert "BYE" in rig.statuses()
    rig.wait(33)
    assert rig.event(Ended).session is session


def test_called_side_takes_the_timer_that_the_caller_asks_for() -> None:
    rig = Rig()
    timer = (("Supported", "timer"), ("Session-Expires", "1800;refresher=uas"))
    _, _, ok = rig.accepted(headers=timer)
    assert ok.first("Session-Expires") == "1800;refresher=uas"
    rig.wait(900.1)
    assert rig.statuses() == ["INVITE"]


def test_called_side_leaves_the_refreshing_to_a_caller_that_left_it_open() -> None:
    rig = Rig()
    session, _, ok = rig.accepted(headers=(("Supported", "timer"), ("Session-Expires", "300")))
    assert ok.first("Session-Expires") == "300;refresher=uac"
    assert ok.tokens("Require") == ["timer"]
    rig.wait(268.1)
    rig.sent_request("BYE")
    assert session.dead_status == 408


@pytest.mark.parametrize("value", ["60", "89;refresher=uac"])
def test_timer_that_is_too_short_is_422(value: str) -> None:
    rig = Rig()
    rig.feed(phone_request("INVITE", sdp=SDP, headers=(("Supported", "timer"), ("Session-Expires", value))))
    [_, refusal] = rig.sent()
    assert getattr(refusal, "status", 0) == 422
    assert refusal.first("Min-SE") == "90"
    assert rig.no_events()
    assert rig.gone()


def test_peer_that_knows_no_timers_is_never_422() -> None:
    rig = Rig()
    rig.feed(phone_request("INVITE", sdp=SDP, headers=(("Session-Expires", "60"),)))
    session = rig.event(IncomingInvite).session
    rig.sent()
    rig.endpoint.answer(session, SDP, rig.now)
    assert rig.sent_response(200).first("Session-Expires") == "90;refresher=uas"


def test_bad_session_expires_is_400() -> None:
    rig = Rig()
    rig.feed(phone_request("INVITE", sdp=SDP, headers=(("Supported", "timer"), ("Session-Expires", "soon"))))
    assert rig.statuses() == [100, 400]
    assert rig.no_events()
    assert rig.gone()


def test_refresh_that_is_too_short_for_the_peer_is_repeated_with_its_interval() -> None:
    rig = Rig()
    rig.answered(headers=refresher("600;refresher=uac"))
    rig.wait(300)
    rig.reply(rig.sent_request("UPDATE"), 422, headers=(("Min-SE", "900"),))
    rig.wait(10)
    assert rig.sent_request("UPDATE").first("Session-Expires") == "900;refresher=uac"
