"""Sessions taken up again after a crash: nobody is rung twice, nothing is left up (design.md "No orphans")."""

from __future__ import annotations

import msgspec
import pytest

from ringbridge.sip.digest import Credentials
from ringbridge.sip.message import Request
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import Answered, Ended, EndedBy, Failed, Failure, Progress, Reinvited
from ringbridge.sip.session_snapshot import SessionSnapshot
from tests.sip.rig import Rig, invite_order, phone_in_dialog
from tests.sip.wire import OTHER_SDP, SDP

CREDENTIALS = Credentials("trunk", "secret", realm="carrier.example")
CHALLENGE = (("Proxy-Authenticate", 'Digest realm="carrier.example", nonce="n1", algorithm=MD5'),)


def crash(session: Session, *, credentials: Credentials | None = None) -> tuple[Rig, Session]:
    """Return another endpoint that has taken the session up from its snapshot's bytes."""
    stored = msgspec.msgpack.encode(session.snapshot())
    rig = Rig()
    snapshot = msgspec.msgpack.decode(stored, type=SessionSnapshot)
    restored = rig.endpoint.restore(snapshot, rig.now, credentials=credentials)
    assert rig.sent() == []
    return rig, restored


def ringing() -> tuple[Rig, Session, Request]:
    """Return a crashed and restored session whose INVITE had left, and that INVITE."""
    before = Rig()
    session, invite = before.invite()
    rig, restored = crash(session)
    return rig, restored, invite


def test_snapshot_is_small_and_holds_no_secret() -> None:
    rig = Rig()
    session, _, _ = rig.answered(credentials=CREDENTIALS)
    stored = msgspec.msgpack.encode(session.snapshot())
    assert len(stored) < 1200
    assert b"secret" not in stored


def test_prepared_session_never_sends_its_invite_again() -> None:
    before = Rig()
    session = before.endpoint.prepare_invite(invite_order())
    rig, restored = crash(session)
    rig.endpoint.send_invite(restored, rig.now)
    rig.wait(100)
    assert rig.sent() == []
    assert rig.no_events()


def test_late_ringing_and_answer_of_a_restored_session_are_taken() -> None:
    rig, restored, invite = ringing()
    rig.reply(invite, 180)
    assert rig.event(Progress).session is restored
    rig.reply(invite, 200, sdp=OTHER_SDP)
    ack = rig.sent_request("ACK")
    assert (ack.cseq.number, ack.to.tag) == (1, "phone")
    assert rig.event(Answered).session is restored
    rig.endpoint.hang_up(restored, rig.now)
    assert rig.sent_request("BYE").cseq.number > 10_000, "more than INFO and refreshes may have used since"


def test_late_refusal_of_a_restored_session_is_acknowledged_on_the_old_branch() -> None:
    rig, restored, invite = ringing()
    rig.reply(invite, 486)
    ack = rig.sent_request("ACK")
    assert ack.via.branch == invite.via.branch
    assert (ack.uri, ack.call_id, ack.cseq.number) == (invite.uri, invite.call_id, 1)
    assert ack.first("From") == invite.first("From")
    assert rig.event(Failed).session is restored
    assert rig.gone()


def test_restored_session_is_cancelled_at_once() -> None:
    rig, restored, invite = ringing()
    rig.endpoint.hang_up(restored, rig.now)
    cancel = rig.sent_request("CANCEL")
    assert cancel.lines("Via") == invite.lines("Via")
    assert cancel.first("To") == invite.first("To")
    assert cancel.uri == invite.uri
    assert cancel.cseq.number == 1
    rig.reply(cancel, 200)
    rig.reply(invite, 487)
    assert rig.statuses() == ["ACK"]
    assert rig.event(Failed).cause is Failure.CANCELLED
    assert rig.gone()


def test_cancelling_an_invite_that_never_left_ends_soon() -> None:
    rig, restored, _ = ringing()
    rig.endpoint.hang_up(restored, rig.now)
    rig.reply(rig.sent_request("CANCEL"), 481)
    rig.wait(8.1)
    assert rig.event(Failed).cause is Failure.CANCELLED
    assert rig.gone()


def test_restored_session_that_is_answered_while_cancelling_is_ended_by_bye() -> None:
    rig, restored, invite = ringing()
    rig.endpoint.hang_up(restored, rig.now)
    rig.sent()
    rig.reply(invite, 200, sdp=OTHER_SDP)
    assert rig.statuses() == ["ACK", "BYE"]


def test_crash_after_a_challenge_was_answered_still_takes_the_second_invites_answer() -> None:
    before = Rig()
    session = before.endpoint.prepare_invite(invite_order(credentials=CREDENTIALS))
    snapshot = session.snapshot()
    before.endpoint.send_invite(session, before.now)
    before.reply(before.sent_request("INVITE"), 407, headers=CHALLENGE)
    second = before.sent()[1]
    assert isinstance(second, Request)
    rig = Rig()
    restored = rig.endpoint.restore(snapshot, rig.now, credentials=CREDENTIALS)
    rig.reply(second, 486)
    ack = rig.sent_request("ACK")
    assert ack.via.branch == second.via.branch
    assert ack.cseq.number == 2
    assert rig.event(Failed).session is restored


def test_crash_after_a_challenge_was_answered_cancels_both_invites() -> None:
    before = Rig()
    session = before.endpoint.prepare_invite(invite_order(credentials=CREDENTIALS))
    snapshot = session.snapshot()
    before.endpoint.send_invite(session, before.now)
    first = before.sent_request("INVITE")
    before.reply(first, 407, headers=CHALLENGE)
    second = before.sent()[1]
    assert isinstance(second, Request)
    rig = Rig()
    restored = rig.endpoint.restore(snapshot, rig.now, credentials=CREDENTIALS)
    rig.endpoint.hang_up(restored, rig.now)
    cancels = [m for m in rig.sent() if isinstance(m, Request)]
    assert [m.via.branch for m in cancels] == [first.via.branch, second.via.branch]
    assert [m.cseq.number for m in cancels] == [1, 2]
    rig.reply(cancels[0], 481)
    rig.reply(cancels[1], 200)
    rig.reply(second, 487)
    assert rig.statuses() == ["ACK"]
    assert rig.event(Failed).cause is Failure.CANCELLED
    assert rig.gone()


def answered() -> tuple[Rig, Session, Request]:
    """Return a restored answered session and its INVITE."""
    before = Rig()
    routes = (("Record-Route", "<sip:192.0.2.31;lr>"),)
    session, invite, _ = before.answered(headers=routes)
    rig, restored = crash(session)
    return rig, restored, invite


def test_restored_dialog_can_be_ended() -> None:
    rig, restored, invite = answered()
    rig.endpoint.hang_up(restored, rig.now)
    bye = rig.sent_request("BYE")
    assert bye.uri == "sip:1001@192.0.2.20:5070"
    assert bye.lines("Route") == ["<sip:192.0.2.31;lr>"]
    assert (bye.from_.tag, bye.to.tag, bye.call_id) == (invite.from_.tag, "phone", invite.call_id)
    assert bye.cseq.number == 100_002
    rig.reply(bye, 200)
    assert rig.event(Ended).by is EndedBy.LOCAL
    assert rig.gone()


def test_restored_dialog_takes_the_peers_bye_and_reinvite() -> None:
    rig, restored, _ = answered()
    rig.feed(phone_in_dialog(restored, "INVITE", number=10, sdp=OTHER_SDP))
    assert rig.event(Reinvited).session is restored
    rig.endpoint.answer_reinvite(restored, rig.now, sdp=SDP)
    assert rig.statuses() == [100, 200]
    rig.feed(phone_in_dialog(restored, "ACK", number=10))
    rig.endpoint.take_events()
    rig.feed(phone_in_dialog(restored, "BYE", number=11))
    rig.sent_response(200)
    assert rig.event(Ended).by is EndedBy.REMOTE
    assert rig.gone()


def test_200_that_comes_again_after_the_crash_is_acknowledged_again() -> None:
    rig, restored, invite = answered()
    for _ in range(2):
        rig.reply(invite, 200, sdp=OTHER_SDP)
        ack = rig.sent_request("ACK")
        assert (ack.cseq.number, ack.to.tag) == (1, "phone")
    assert rig.no_events()
    rig.reply(invite, 200, tag="other", sdp=OTHER_SDP)
    assert rig.statuses() == ["ACK", "BYE"]
    rig.endpoint.hang_up(restored, rig.now)
    rig.reply(rig.sent_request("BYE"), 200)
    rig.endpoint.take_events()
    assert rig.gone()


def test_session_timer_goes_on_after_the_crash() -> None:
    before = Rig()
    session, _, _ = before.answered(headers=(("Session-Expires", "600;refresher=uac"), ("Allow", "UPDATE")))
    rig, _ = crash(session)
    rig.wait(300.1)
    rig.sent_request("UPDATE")


@pytest.mark.parametrize(("asked", "refreshes"), [(0, 0), (240, 1)])
def test_a_call_that_is_answered_after_the_crash_has_the_timer_that_it_was_to_have(asked: int, refreshes: int) -> None:
    before = Rig()
    session, invite = before.invite(session_expires_s=asked)
    before.reply(invite, 180)
    rig, _ = crash(session)
    rig.reply(invite, 200, sdp=OTHER_SDP)
    rig.sent_request("ACK")
    rig.wait(121)
    assert len({message.first("CSeq") for message in rig.sent()}) == refreshes


def test_answered_session_of_the_peer_is_restored_too() -> None:
    before = Rig()
    session, _, ok = before.accepted()
    rig, restored = crash(session)
    assert not restored.caller
    rig.endpoint.hang_up(restored, rig.now)
    bye = rig.sent_request("BYE")
    assert (bye.from_.tag, bye.to.tag) == (ok.to.tag, "phone")
    rig.reply(bye, 200)
    rig.event(Ended)
    assert rig.gone()


def test_unanswered_session_of_the_peer_cannot_be_restored() -> None:
    before = Rig()
    session, _ = before.incoming()
    with pytest.raises(ValueError, match="unanswered"):
        crash(session)


def test_challenged_bye_of_a_restored_session_is_answered_with_the_credentials_given_again() -> None:
    before = Rig()
    session, _, _ = before.answered(credentials=CREDENTIALS)
    rig, restored = crash(session, credentials=CREDENTIALS)
    rig.endpoint.hang_up(restored, rig.now)
    rig.reply(rig.sent_request("BYE"), 407, headers=CHALLENGE)
    assert rig.sent_request("BYE").first("Proxy-Authorization") is not None


def test_restored_session_answers_the_realm_that_it_had_met() -> None:
    """The carrier is known by name, and its answer came from an address: the host alone would not do any more."""
    by_name = Credentials("trunk", "secret", host="trunk.example")
    before = Rig()
    session, invite = before.invite(Peer(Transport.UDP, "trunk.example", 5060), credentials=by_name)
    before.reply(invite, 407, headers=CHALLENGE)
    again = before.sent()[1]
    assert isinstance(again, Request)
    before.reply(again, 200, sdp=OTHER_SDP)
    rig, restored = crash(session, credentials=by_name)
    rig.endpoint.hang_up(restored, rig.now)
    other = (("Proxy-Authenticate", 'Digest realm="elsewhere", nonce="n2"'),)
    rig.reply(rig.sent_request("BYE"), 407, headers=(*other, *CHALLENGE))
    proof = rig.sent_request("BYE").first("Proxy-Authorization") or ""
    assert 'realm="carrier.example"' in proof
