"""A call told as a ladder."""

from __future__ import annotations

from ringbridge.model.call import fold
from ringbridge.model.events import (
    CallClaimed,
    CallEnded,
    CallerId,
    CallEvent,
    CallPlan,
    CallRequest,
    CallRequested,
    LegAnswered,
    LegInvited,
    LegReleased,
    LegRinging,
    Target,
)
from ringbridge.model.ids import CallId, DomainName, LegId, NodeId, SessionId, UserName
from ringbridge.model.ladder import Step, ladder
from ringbridge.model.release import HUNG_UP, OTHER_LEG_ENDED, of_sip_status

T0 = 1_800_000_000.0
ONE = Target("sip:1001@127.0.0.1", "UDP", "127.0.0.1", 5070, "1001", "sip:1001@demo", user="1001", domain="demo")
TWO = Target("sip:1002@127.0.0.1", "UDP", "127.0.0.1", 5071, "1002", "sip:1002@demo", user="1002", domain="demo")


def requested() -> CallRequested:
    plan = CallPlan((ONE,), (TWO,), CallerId("1002"), CallerId("1001"), "1002")
    request = CallRequest("demo", "1001", "c1", "1002")
    return CallRequested(
        DomainName("demo"),
        UserName("1001"),
        CallId("c1"),
        SessionId("s1"),
        request,
        plan,
        T0,
        T0 + 30,
        NodeId("n1"),
    )


def answered_leg(leg: str, target: Target, at: float) -> list[CallEvent]:
    leg_id = LegId(leg)
    return [
        LegInvited(leg_id, target, f"sip-{leg}", b"", at),
        LegRinging(leg_id, at + 0.1),
        LegAnswered(leg_id, b"", "PCMU", at + 0.2, at + 0.201),
    ]


def test_a_whole_call_is_told_in_order() -> None:
    events = [
        requested(),
        CallClaimed(NodeId("n1"), 1, T0 + 0.002),
        *answered_leg("o1", ONE, T0 + 0.01),
        *answered_leg("t1", TWO, T0 + 1),
        LegReleased(LegId("o1"), HUNG_UP, T0 + 9),
        LegReleased(LegId("t1"), OTHER_LEG_ENDED, T0 + 9),
        CallEnded(HUNG_UP, "origination", T0 + 9),
    ]
    call = fold(None, events, 1)
    assert call is not None
    rungs = ladder(call)
    leg_steps = [Step.INVITE, Step.RINGING, Step.ANSWERED, Step.ACK]
    assert [rung.step for rung in rungs] == [
        Step.REQUESTED,
        Step.CLAIMED,
        *leg_steps,
        Step.INVITE,
        Step.RINGING,
        Step.ANSWERED,
        Step.JOINED,
        Step.ACK,
        Step.RELEASED,
        Step.RELEASED,
        Step.ENDED,
    ]
    assert rungs[0].ms == 0
    assert rungs[2].ms == 10.0
    assert [rung.leg for rung in rungs if rung.step is Step.RELEASED] == ["origination", "termination"]
    assert rungs[-1].detail == "by origination: completed (hung-up)"
    assert rungs[4].detail == "PCMU"


def test_what_has_not_happened_is_not_there() -> None:
    call = fold(None, [requested()], 1)
    assert call is not None
    assert [rung.step for rung in ladder(call)] == [Step.REQUESTED]


def test_a_refusal_shows_its_status() -> None:
    events: list[CallEvent] = [
        requested(),
        LegInvited(LegId("o1"), ONE, "sip-o1", b"", T0 + 0.01),
        LegReleased(LegId("o1"), of_sip_status(486), T0 + 0.5),
    ]
    call = fold(None, events, 1)
    assert call is not None
    assert ladder(call)[-1].detail == "busy (486 busy)"
