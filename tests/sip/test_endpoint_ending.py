"""BYE from either side (RFC 3261 §15)."""

from __future__ import annotations

from ringbridge.sip.session_events import Ended, EndedBy, Failed, Failure, Progress
from tests.sip.rig import PHONE, Rig, phone_in_dialog


def test_our_bye_ends_the_session_when_it_is_answered() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.hang_up(session, rig.now, reason_header="Q.850;cause=16")
    bye = rig.sent_request("BYE")
    assert bye.first("Reason") == "Q.850;cause=16"
    assert bye.cseq.number == 2
    assert rig.no_events()
    rig.reply(bye, 200)
    ended = rig.event(Ended)
    assert (ended.by, ended.status) == (EndedBy.LOCAL, 200)
    assert rig.gone()


def test_a_session_that_somebody_else_goes_on_with_is_forgotten_without_a_word() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.forget(session)
    assert rig.sent() == []
    assert rig.no_events()
    assert rig.endpoint.sizes().sessions == 0
    rig.feed(phone_in_dialog(session, "BYE"))
    rig.sent_response(481)


def test_what_is_forgotten_takes_nothing_from_whoever_has_it_now() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    again = rig.endpoint.restore(session.snapshot(), rig.now)
    rig.endpoint.forget(session)
    rig.feed(phone_in_dialog(again, "BYE"))
    assert rig.event(Ended).session is again


def test_bye_that_nobody_answers_is_given_up() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.hang_up(session, rig.now)
    rig.wait(32)
    ended = rig.event(Ended)
    assert (ended.by, ended.status) == (EndedBy.LOCAL, 408)
    assert rig.gone()


def test_bye_that_cannot_be_delivered_ends_the_session() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.hang_up(session, rig.now)
    rig.endpoint.peer_failed(PHONE, rig.now)
    assert rig.event(Ended).status == 503
    assert rig.gone()


def test_peers_bye_is_answered_and_told_with_its_reason() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "BYE", headers=(("Reason", "Q.850;cause=16"),)))
    rig.sent_response(200)
    ended = rig.event(Ended)
    assert (ended.session, ended.by, ended.reason_header) == (session, EndedBy.REMOTE, "Q.850;cause=16")
    rig.endpoint.hang_up(session, rig.now)
    assert rig.sent() == []
    assert rig.gone()


def test_byes_that_cross_end_the_session_once() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.endpoint.hang_up(session, rig.now)
    bye = rig.sent_request("BYE")
    rig.feed(phone_in_dialog(session, "BYE"))
    rig.sent_response(200)
    rig.event(Ended)
    rig.reply(bye, 481)
    assert rig.no_events()
    assert rig.gone()


def test_bye_in_an_early_dialog_takes_the_call_back() -> None:
    rig = Rig()
    session, invite = rig.invite()
    rig.reply(invite, 180)
    rig.event(Progress)
    rig.feed(phone_in_dialog(session, "BYE"))
    assert rig.statuses() == [200, "CANCEL"]
    rig.reply(invite, 487)
    assert rig.event(Failed).cause is Failure.CANCELLED


def test_request_of_another_tag_is_not_in_the_dialog() -> None:
    rig = Rig()
    session, _, _ = rig.answered()
    rig.feed(phone_in_dialog(session, "BYE", tag="somebody"))
    rig.sent_response(481)
    assert rig.no_events()
