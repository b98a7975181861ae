"""Taking an INVITE back, and the races that this runs (RFC 3261 §9.1)."""

from __future__ import annotations

from ringbridge.sip.message import Request
from ringbridge.sip.session_events import Failed, Failure, Progress
from tests.sip.rig import Rig, invite_order
from tests.sip.wire import OTHER_SDP


def test_hanging_up_what_is_only_prepared_sends_nothing() -> None:
    rig = Rig()
    session = rig.endpoint.prepare_invite(invite_order())
    rig.endpoint.hang_up(session, rig.now)
    assert rig.event(Failed).cause is Failure.CANCELLED
    rig.endpoint.send_invite(session, rig.now)
    assert rig.sent() == []
    assert rig.gone()


def test_cancel_waits_for_a_provisional() -> None:
    rig = Rig()
    session, invite = rig.invite(route_set=("<sip:192.0.2.40;lr>",))
    rig.endpoint.hang_up(session, rig.now, reason_header="SIP;cause=200")
    assert rig.sent() == []
    rig.reply(invite, 100)
    cancel = rig.sent_request("CANCEL")
    assert cancel.uri == invite.uri
    assert cancel.lines("Via") == invite.lines("Via")
    assert cancel.first("From") == invite.first("From")
    assert cancel.first("To") == invite.first("To")
    assert cancel.lines("Route") == invite.lines("Route")
    assert (cancel.call_id, cancel.cseq.number) == (invite.call_id, invite.cseq.number)
    assert cancel.first("Reason") == "SIP;cause=200"
    rig.reply(cancel, 200)
    rig.reply(invite, 487)
    assert rig.statuses() == ["ACK"]
    failed = rig.event(Failed)
    assert (failed.cause, failed.status) == (Failure.CANCELLED, 487)
    assert rig.gone()


def test_hanging_up_twice_cancels_once() -> None:
    rig = Rig()
    session, invite = rig.invite()
    rig.reply(invite, 180)
    rig.endpoint.hang_up(session, rig.now)
    rig.endpoint.hang_up(session, rig.now)
    assert rig.statuses() == ["CANCEL"]


def test_nobody_there_to_cancel_ends_with_timer_b() -> None:
    rig = Rig()
    session, _ = rig.invite()
    rig.endpoint.hang_up(session, rig.now)
    rig.wait(32)
    failed = rig.event(Failed)
    assert (failed.cause, failed.status) == (Failure.CANCELLED, 487)
    assert "CANCEL" not in rig.statuses()
    assert rig.gone()


def test_answer_that_crosses_the_cancel_is_acknowledged_and_ended() -> None:
    rig = Rig()
    session, invite = rig.invite()
    rig.reply(invite, 180)
    rig.event(Progress)
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(rig.sent_request("CANCEL"), 200)
    rig.reply(invite, 200, sdp=OTHER_SDP)
    [ack, bye] = rig.sent()
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert (ack.method, bye.method) == ("ACK", "BYE")
    assert rig.no_events()
    rig.reply(bye, 200)
    failed = rig.event(Failed)
    assert (failed.cause, failed.status) == (Failure.CANCELLED, 487)
    assert rig.gone()


def test_answer_before_the_cancel_could_leave_is_acknowledged_and_ended() -> None:
    rig = Rig()
    session, invite = rig.invite()
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(invite, 200, sdp=OTHER_SDP)
    assert rig.statuses() == ["ACK", "BYE"]


def test_cancelled_call_without_final_response_is_given_up_after_64_t1() -> None:
    rig = Rig()
    session, invite = rig.invite()
    rig.reply(invite, 180)
    rig.event(Progress)
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(rig.sent_request("CANCEL"), 200)
    rig.reply(invite, 180)
    rig.wait(31.9)
    assert rig.no_events()
    rig.wait(0.2)
    assert rig.event(Failed).cause is Failure.CANCELLED
    assert rig.gone()


def test_peer_that_knows_no_invite_to_cancel_is_not_waited_for_as_long() -> None:
    rig = Rig()
    session, invite = rig.invite()
    rig.reply(invite, 100)
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(rig.sent_request("CANCEL"), 481)
    rig.wait(7.9)
    assert rig.no_events()
    rig.wait(0.2)
    assert rig.event(Failed).cause is Failure.CANCELLED
