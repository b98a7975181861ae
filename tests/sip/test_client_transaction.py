"""RFC 3261 §17.1 and RFC 6026 §7.2, by what goes over the wire and when."""

from __future__ import annotations

import pytest

from ringbridge.sip.client_transaction import INVITE_CLIENT, NON_INVITE_CLIENT, Action, Input, State
from ringbridge.sip.peer import Peer
from ringbridge.sip.session_events import Answered, Ended, Failed, Failure, Progress, RequestResult
from ringbridge.sip.session_orders import RequestOrder
from tests.sip.rig import PHONE, PHONE_TCP, Rig
from tests.sip.wire import OTHER_SDP, SDP


def options(rig: Rig, peer: Peer = PHONE) -> str:
    order = RequestOrder(peer, "OPTIONS", "sip:1001@demo", "<sip:a@b>", "<sip:c@d>")
    return rig.endpoint.send_request(order, rig.now)


def sending_times(rig: Rig, seconds: float) -> list[float]:
    """Return when something was sent within that time."""
    times = []
    until = rig.now + seconds
    while (at := rig.endpoint.next_timeout()) is not None and at <= until:
        rig.now = at
        rig.endpoint.handle_timeout(at)
        times += [at] * len(rig.sent())
    return times


def test_unanswered_invite_is_repeated_doubling_until_timer_b() -> None:
    rig = Rig()
    session, _ = rig.invite()
    assert sending_times(rig, 100) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    failed = rig.event(Failed)
    assert (failed.session, failed.cause, failed.status) == (session, Failure.TIMEOUT, 408)
    assert rig.now == 32.0
    assert rig.gone()


def test_invite_over_tcp_is_sent_once() -> None:
    rig = Rig()
    rig.invite(PHONE_TCP)
    assert sending_times(rig, 100) == []
    assert rig.event(Failed).cause is Failure.TIMEOUT


def test_provisional_stops_the_repeating() -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 100)
    assert sending_times(rig, 100) == []


def test_ringing_leg_outlives_timer_b() -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 180)
    rig.event(Progress)
    rig.wait(3600)
    assert rig.no_events()
    rig.reply(invite, 200, sdp=SDP)
    rig.event(Answered)


def test_refusal_is_acknowledged_on_the_same_branch_and_again_when_it_comes_again() -> None:
    rig = Rig()
    _, invite = rig.invite(route_set=("<sip:proxy.example;lr>",))
    rig.reply(invite, 486)
    ack = rig.sent_request("ACK")
    assert ack.via.branch == invite.via.branch
    assert ack.uri == invite.uri
    assert ack.to.tag == "phone"
    assert ack.cseq.number == invite.cseq.number
    assert ack.lines("Route") == invite.lines("Route")
    failed = rig.event(Failed)
    assert (failed.cause, failed.status, failed.reason) == (Failure.RESPONSE, 486, "Busy Here")
    rig.wait(31)
    rig.reply(invite, 486)
    assert rig.sent_request("ACK").to.tag == "phone"
    assert rig.no_events()
    assert rig.gone()


def test_timer_d_over_udp_is_32_s_and_none_over_tcp() -> None:
    rig = Rig()
    _, invite = rig.invite()
    rig.reply(invite, 486)
    rig.sent()
    rig.wait(31.9)
    assert rig.endpoint.sizes().client_transactions == 1
    rig.wait(0.2)
    assert rig.endpoint.sizes().client_transactions == 0
    _, invite = rig.invite(PHONE_TCP)
    rig.reply(invite, 486, peer=PHONE_TCP)
    assert rig.statuses() == ["ACK"]
    assert rig.endpoint.sizes().client_transactions == 0


def test_accepted_invite_stays_for_64_t1_to_acknowledge_the_200_again() -> None:
    rig = Rig()
    session, invite, ack = rig.answered()
    for _ in range(2):
        rig.wait(4)
        rig.reply(invite, 200, sdp=OTHER_SDP)
        assert rig.sent_request("ACK").serialize() == ack.serialize()
    assert rig.no_events()
    rig.wait(24)
    rig.reply(invite, 200, sdp=OTHER_SDP)
    assert rig.sent() == []
    assert rig.endpoint.counters.stray_responses == 1
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(rig.sent_request("BYE"), 200)
    assert rig.gone()


def test_a_200_is_acknowledged_again_even_after_the_session_ended() -> None:
    rig = Rig()
    session, invite, _ = rig.answered()
    rig.endpoint.hang_up(session, rig.now)
    rig.reply(rig.sent_request("BYE"), 200)
    rig.event(Ended)
    rig.reply(invite, 200, sdp=OTHER_SDP)
    rig.sent_request("ACK")
    assert rig.gone()


def test_other_requests_are_repeated_up_to_t2_until_timer_f() -> None:
    rig = Rig()
    token = options(rig)
    rig.sent()
    assert sending_times(rig, 100) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    result = rig.event(RequestResult)
    assert (result.token, result.status, result.response) == (token, 408, None)
    assert rig.gone()


def test_provisional_slows_other_requests_to_t2_but_timer_f_goes_on() -> None:
    rig = Rig()
    options(rig)
    rig.reply(rig.sent_request("OPTIONS"), 100)
    assert sending_times(rig, 100) == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert rig.event(RequestResult).status == 408


def test_final_response_is_passed_up_once_and_absorbed_for_t4() -> None:
    rig = Rig()
    options(rig)
    request = rig.sent_request("OPTIONS")
    rig.reply(request, 200)
    assert rig.event(RequestResult).status == 200
    rig.reply(request, 200)
    assert rig.no_events()
    rig.wait(4.9)
    assert rig.endpoint.sizes().client_transactions == 1
    rig.wait(0.2)
    assert rig.endpoint.sizes().client_transactions == 0


def test_other_request_over_tcp_leaves_nothing_once_answered() -> None:
    rig = Rig()
    options(rig, PHONE_TCP)
    rig.reply(rig.sent_request("OPTIONS"), 200, peer=PHONE_TCP)
    assert rig.event(RequestResult).status == 200
    assert rig.endpoint.sizes().client_transactions == 0


def test_peer_that_cannot_be_reached_fails_what_waits_for_it() -> None:
    rig = Rig()
    session, _ = rig.invite()
    rig.endpoint.peer_failed(PHONE_TCP, rig.now)
    assert rig.no_events()
    rig.endpoint.peer_failed(PHONE, rig.now)
    failed = rig.event(Failed)
    assert (failed.session, failed.cause, failed.status) == (session, Failure.TRANSPORT, 503)
    assert rig.gone()


def test_a_connection_that_closes_while_the_phone_rings_does_not_end_the_call() -> None:
    rig = Rig()
    _, invite = rig.invite(PHONE_TCP)
    rig.reply(invite, 180, peer=PHONE_TCP)
    rig.event(Progress)
    rig.endpoint.peer_failed(PHONE_TCP, rig.now)
    assert rig.no_events()
    rig.reply(invite, 200, sdp=SDP, peer=PHONE_TCP)
    rig.event(Answered)


@pytest.mark.parametrize("status", [100, 180, 200, 486])
def test_response_to_nothing_is_dropped_and_counted(status: int) -> None:
    rig = Rig()
    _, invite = rig.invite()
    invite.set("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKother")
    rig.reply(invite, status)
    assert rig.sent() == []
    assert rig.no_events()
    assert rig.endpoint.counters.stray_responses == 1


def test_response_of_two_vias_is_not_ours() -> None:
    rig = Rig()
    _, invite = rig.invite()
    invite.add("Via", "SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bKother")
    rig.reply(invite, 200, sdp=SDP)
    assert rig.sent() == []
    assert rig.endpoint.counters.stray_responses == 1


def test_late_provisional_after_the_final_response_is_ignored() -> None:
    rig = Rig()
    _, invite, _ = rig.answered()
    rig.reply(invite, 180)
    assert rig.no_events()
    assert rig.endpoint.counters.ignored == 1


def test_every_live_state_can_be_left() -> None:
    for table in (INVITE_CLIENT, NON_INVITE_CLIENT):
        states = {state for state, _ in table}
        for state in states:
            assert any(before is state and after is not state for (before, _), (after, _) in table.items())
        assert State.TERMINATED not in states


def test_only_terminated_forgets() -> None:
    over = (Action.FORGET, Action.TIMED_OUT, Action.NOT_DELIVERED)
    for table in (INVITE_CLIENT, NON_INVITE_CLIENT):
        for (_, happened), (after, action) in table.items():
            assert (after is State.TERMINATED) == (action in over), (happened, after, action)
    assert (State.PROCEEDING, Input.GIVE_UP) not in INVITE_CLIENT
