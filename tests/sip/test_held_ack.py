"""An ACK that waits until the application has stored the answer."""

from ringbridge.sip.endpoint_settings import EndpointSettings
from ringbridge.sip.message import Request
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import Answered, Ended, Failed
from tests.sip.rig import Rig, phone_in_dialog
from tests.sip.wire import OTHER_SDP


def answered() -> tuple[Rig, Session, Request]:
    """Return a rig whose call was answered and not yet acknowledged."""
    rig = Rig(EndpointSettings("192.0.2.1", 5060, tcp_port=5062, ack_within_s=5.0))
    session, invite = rig.invite()
    rig.reply(invite, 200, sdp=OTHER_SDP)
    rig.event(Answered)
    assert rig.sent() == []
    return rig, session, invite


def test_leaves_when_told_and_again_for_each_repeated_2xx() -> None:
    rig, session, invite = answered()
    rig.reply(invite, 200, sdp=OTHER_SDP)
    assert rig.sent() == []
    rig.endpoint.acknowledge(session)
    assert rig.sent_request("ACK").cseq.number == invite.cseq.number
    rig.endpoint.acknowledge(session)
    assert rig.sent() == []
    rig.reply(invite, 200, sdp=OTHER_SDP)
    rig.sent_request("ACK")
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(rig.sent_request("BYE"), 200)
    rig.event(Ended)
    assert rig.gone()


def test_leaves_by_itself_in_time() -> None:
    rig, session, _ = answered()
    rig.wait(4.9)
    assert rig.sent() == []
    rig.wait(0.2)
    rig.sent_request("ACK")
    rig.endpoint.acknowledge(session)
    assert rig.sent() == []


def test_leaves_before_our_bye() -> None:
    rig, session, _ = answered()
    rig.endpoint.hang_up(session, rig.now)
    assert rig.statuses() == ["ACK", "BYE"]


def test_leaves_when_the_phone_hangs_up_first() -> None:
    rig, session, _ = answered()
    rig.feed(phone_in_dialog(session, "BYE"))
    assert rig.statuses() == [200, "ACK"]
    rig.event(Ended)


def test_leaves_at_once_when_the_answer_crossed_our_cancel() -> None:
    rig = Rig(EndpointSettings("192.0.2.1", 5060, tcp_port=5062, ack_within_s=5.0))
    session, invite = rig.invite()
    rig.reply(invite, 180)
    rig.endpoint.take_events()
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(rig.sent_request("CANCEL"), 200)
    rig.reply(invite, 200, sdp=OTHER_SDP)
    ack, bye = rig.sent()
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert (ack.method, bye.method) == ("ACK", "BYE")
    rig.reply(bye, 200)
    rig.event(Failed)


def test_an_answer_that_was_not_stored_is_heard_again_after_a_restart() -> None:
    rig = Rig(EndpointSettings("192.0.2.1", 5060, tcp_port=5062, ack_within_s=5.0))
    session, invite = rig.invite()
    stored = session.snapshot()
    rig.reply(invite, 200, sdp=OTHER_SDP)  # and nothing of it was stored
    after = Rig(rig.settings)
    restored = after.endpoint.restore(stored, after.now)
    after.reply(invite, 200, sdp=OTHER_SDP)
    assert after.event(Answered).session is restored
    after.endpoint.acknowledge(restored)
    after.sent_request("ACK")
