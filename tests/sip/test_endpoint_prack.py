"""Reliable provisional responses (RFC 3262) from both sides."""

from __future__ import annotations

import pytest

from ringbridge.sip.message import Request
from ringbridge.sip.session_events import Answered, Ended, IncomingInvite, Progress
from tests.sip.rig import Rig, phone_request
from tests.sip.wire import OTHER_SDP, SDP


def reliable(rseq: int) -> tuple[tuple[str, str], ...]:
    return (("Require", "100rel"), ("RSeq", str(rseq)))


def test_reliable_provisional_is_answered_with_prack_in_its_dialog() -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 183, sdp=OTHER_SDP, headers=reliable(77), contact="<sip:desk@192.0.2.20:5999>")
    prack = rig.sent_request("PRACK")
    assert prack.first("RAck") == "77 1 INVITE"
    assert prack.cseq.number == 2
    assert prack.uri == "sip:desk@192.0.2.20:5999"
    assert prack.to.tag == "phone"
    assert rig.event(Progress).sdp == OTHER_SDP
    rig.reply(prack, 200)
    rig.reply(invite, 180, headers=reliable(78))
    assert rig.sent_request("PRACK").first("RAck") == "78 1 INVITE"
    rig.event(Progress)
    rig.reply(invite, 200)
    ack = rig.sent_request("ACK")
    assert ack.cseq.number == 1
    session = rig.event(Answered).session
    rig.endpoint.hang_up(session, rig.now)
    assert rig.sent_request("BYE").cseq.number == 4


def test_reliable_provisional_that_comes_again_or_out_of_order_is_passed_over() -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 183, headers=reliable(77))
    rig.event(Progress)
    rig.sent()
    rig.reply(invite, 183, headers=reliable(77))
    rig.reply(invite, 180, headers=reliable(79))
    assert rig.sent() == []
    assert rig.no_events()


def test_each_fork_has_its_own_order() -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 183, headers=reliable(77), tag="left")
    rig.reply(invite, 183, headers=reliable(5), tag="right")
    requests = [m for m in rig.sent() if isinstance(m, Request)]
    assert [(m.to.tag, m.first("RAck")) for m in requests] == [("left", "77 1 INVITE"), ("right", "5 1 INVITE")]


def test_unreliable_provisional_is_not_pracked() -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 183)
    assert rig.sent() == []


@pytest.mark.parametrize("rseq", ["x", "-1", "99999999999"])
def test_unreadable_rseq_is_dropped(rseq: str) -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 183, headers=(("Require", "100rel"), ("RSeq", rseq)))
    assert rig.sent() == []
    assert rig.endpoint.counters.malformed == 1


# --- as the called side ---


def required(rig: Rig) -> IncomingInvite:
    rig.feed(phone_request("INVITE", sdp=SDP, headers=(("Require", "100rel"),)))
    event = rig.event(IncomingInvite)
    rig.sent_response(100)
    return event


def prack(tag: str, rack: str, number: int = 2) -> Request:
    return phone_request("PRACK", number=number, tag=tag, headers=(("RAck", rack),))


def test_provisional_is_repeated_until_its_prack_when_the_caller_requires_it() -> None:
    rig = Rig()
    session = required(rig).session
    rig.endpoint.ring(session, rig.now)
    ringing = rig.sent_response(180)
    assert ringing.tokens("Require") == ["100rel"]
    rig.wait(4)
    assert rig.statuses() == [180, 180, 180]
    rig.feed(prack(session.dialog.local_tag, f"{ringing.first('RSeq')} 1 INVITE"))
    rig.sent_response(200)
    rig.wait(20)
    assert rig.sent() == []
    rig.endpoint.answer(session, SDP, rig.now)
    rig.sent_response(200)


def test_second_provisional_waits_for_the_first_and_counts_on() -> None:
    rig = Rig()
    session = required(rig).session
    rig.endpoint.ring(session, rig.now)
    rig.endpoint.ring(session, rig.now, status=181)
    first = rig.sent_response(180)
    rig.feed(prack(session.dialog.local_tag, f"{first.first('RSeq')} 1 INVITE"))
    [ok, second] = rig.sent()
    assert getattr(ok, "status", 0) == 200
    assert getattr(second, "status", 0) == 181
    assert int(second.first("RSeq") or 0) == int(first.first("RSeq") or 0) + 1


def test_answer_waits_for_the_prack_of_early_media() -> None:
    rig = Rig()
    session = required(rig).session
    rig.endpoint.ring(session, rig.now, status=183, sdp=SDP)
    progress = rig.sent_response(183)
    rig.endpoint.answer(session, SDP, rig.now)
    assert rig.sent() == []
    rig.feed(prack(session.dialog.local_tag, f"{progress.first('RSeq')} 1 INVITE"))
    assert rig.statuses() == [200, 200]


def test_prack_of_nothing_is_481() -> None:
    rig = Rig()
    session = required(rig).session
    rig.endpoint.ring(session, rig.now)
    rig.sent()
    rig.feed(prack(session.dialog.local_tag, "1 1 INVITE"))
    rig.sent_response(481)
    rig.feed(prack(session.dialog.local_tag, "rubbish", number=3))
    rig.sent_response(400)


def test_provisional_that_is_never_pracked_ends_the_call() -> None:
    rig = Rig()
    session = required(rig).session
    rig.endpoint.ring(session, rig.now)
    rig.wait(32.1)
    assert 504 in rig.statuses()
    assert rig.event(Ended).status == 504
    assert rig.gone()


def test_answer_of_a_reliable_provisional_stands_when_the_200_brings_none() -> None:
    """RFC 3262 §5: SDP that was acknowledged by PRACK need not come again."""
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 183, sdp=SDP, headers=reliable(1), tag="other")
    rig.reply(invite, 183, sdp=OTHER_SDP, headers=reliable(77))
    rig.reply(invite, 180, headers=reliable(78))
    rig.endpoint.take_events()
    rig.reply(invite, 200)
    assert rig.event(Answered).sdp == OTHER_SDP
