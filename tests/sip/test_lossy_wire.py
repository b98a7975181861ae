"""1,000 complete calls over a wire that loses, repeats and reorders: all end as they should, nothing stays behind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from ringbridge.sip.endpoint_settings import EndpointSizes
from ringbridge.sip.session import Session
from ringbridge.sip.session_events import (
    Answered,
    Ended,
    EndedBy,
    EndpointEvent,
    Failed,
    Failure,
    IncomingInvite,
    Reinvited,
    ReinviteResult,
)
from tests.sip.wire import SDP, Faults, Node, Wire, order_to

EMPTY = EndpointSizes(client_transactions=0, server_transactions=0, sessions=0, registrations=0, timers=0)
KINDS = (
    "caller ends",
    "callee ends",
    "cancelled",
    "cancelled at once",
    "refused",
    "both end",
    "never answered",
    "both re-invite",
    "reliable",
)


@dataclass
class Plan:
    """What is to happen to one call, and what did."""

    kind: str
    caller: Session
    rings: int = 0
    reinvited: int = 0
    callee: Session | None = None
    at_caller: list[EndpointEvent] = field(default_factory=list)
    at_callee: list[EndpointEvent] = field(default_factory=list)


class Exchange:
    """Two endpoints that call each other over one wire, a plan to each call."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.wire = Wire(seed, faults)
        self.plans: dict[str, Plan] = {}
        self.ann = self.wire.add(5060, lambda event, now: self.handle(self.ann, event, now), prefix="a")
        self.bob = self.wire.add(5070, lambda event, now: self.handle(self.bob, event, now), prefix="b")

    def place(self, number: int) -> None:
        caller, callee = (self.ann, self.bob) if number % 2 else (self.bob, self.ann)
        kind = KINDS[number % len(KINDS)]
        headers = (("Require", "100rel"),) if kind == "reliable" else ()
        session = caller.endpoint.prepare_invite(order_to(callee.peer, headers=headers))
        plan = Plan(kind, session)
        self.plans[session.sip_call_id] = plan
        caller.endpoint.send_invite(session, self.wire.now)
        if plan.kind == "cancelled at once":
            self.later(0.001, caller, session)
        elif plan.kind == "cancelled":
            self.later(self.wire.random.uniform(0.3, 3.0), caller, session)
        elif plan.kind == "never answered":
            self.later(60.0, caller, session)

    def later(self, wait_s: float, node: Node, session: Session) -> None:
        self.wire.at(self.wire.now + wait_s, lambda: node.endpoint.hang_up(session, self.wire.now))

    def handle(self, node: Node, event: EndpointEvent, now: float) -> None:
        session = getattr(event, "session", None)
        assert isinstance(session, Session)
        plan = self.plans[session.sip_call_id]
        (plan.at_caller if session.caller else plan.at_callee).append(event)
        match event:
            case IncomingInvite():
                self.ring(node, plan, session)
            case Answered():
                self.go_on(node, plan, session)
            case Reinvited():
                node.endpoint.answer_reinvite(session, now, sdp=SDP)
            case ReinviteResult(status=200):
                plan.reinvited += 1
                if plan.reinvited == 2:
                    self.later(1.0, node, session)
            case ReinviteResult():
                # RFC 3261 §14.1: the caller, who owns the Call-ID, waits longer than the other side.
                owner = session.caller
                self.reinvite(self.wire.random.uniform(2.1, 4.0) if owner else 1.0, node, session)
            case _:
                pass

    def ring(self, node: Node, plan: Plan, session: Session) -> None:
        plan.rings += 1
        plan.callee = session
        now = self.wire.now
        node.endpoint.ring(session, now)
        if plan.kind == "refused":
            node.endpoint.reject(session, now, status=486)
        elif plan.kind != "never answered":
            wait_s = self.wire.random.uniform(0.5, 2.0)
            self.wire.at(now + wait_s, lambda: node.endpoint.answer(session, SDP, self.wire.now))

    def go_on(self, node: Node, plan: Plan, session: Session) -> None:
        other = self.bob if node is self.ann else self.ann
        assert plan.callee is not None
        if plan.kind in ("caller ends", "both end", "reliable"):
            self.later(2.0, node, session)
        if plan.kind in ("callee ends", "both end"):
            self.later(2.0, other, plan.callee)
        if plan.kind == "both re-invite":
            self.reinvite(1.0, node, session)
            self.reinvite(1.0, other, plan.callee)

    def reinvite(self, wait_s: float, node: Node, session: Session) -> None:
        self.wire.at(self.wire.now + wait_s, lambda: node.endpoint.reinvite(session, SDP, self.wire.now))


def outcome(events: list[EndpointEvent]) -> list[Ended | Failed]:
    return [event for event in events if isinstance(event, Ended | Failed)]


def check(plan: Plan) -> str:
    """Return what became of a call; assert that it is what its plan allows."""
    assert plan.rings <= 1, "rung twice"
    ends = outcome(plan.at_caller)
    assert len(ends) == 1, plan
    end = ends[0]
    if plan.callee is not None:
        assert len(outcome(plan.at_callee)) == 1, plan
    answered = any(isinstance(event, Answered) for event in plan.at_caller)
    assert isinstance(end, Ended) == answered
    match plan.kind:
        case "caller ends" | "callee ends" | "both end" | "both re-invite" | "reliable":
            assert isinstance(end, Ended)
            assert end.by in (EndedBy.LOCAL, EndedBy.REMOTE)
        case "refused":
            assert isinstance(end, Failed)
            assert (end.cause, end.status) == (Failure.RESPONSE, 486)
        case "never answered" | "cancelled at once":
            assert isinstance(end, Failed)
            assert end.cause is Failure.CANCELLED
        case _:
            assert isinstance(end, Ended) or end.cause is Failure.CANCELLED
    return f"{plan.kind}: {'answered' if answered else 'failed'}"


@pytest.mark.parametrize(
    ("calls", "faults"),
    [
        (1000, Faults(loss=0.05)),
        (1000, Faults(loss=0.10)),
        (400, Faults(duplication=0.1, reordering=0.2)),
        (400, Faults(loss=0.05, duplication=0.05, reordering=0.1)),
    ],
    ids=["5 % lost", "10 % lost", "repeated and reordered", "all of it"],
)
def test_every_call_completes_on_a_bad_wire(calls: int, faults: Faults) -> None:
    exchange = Exchange(seed=20, faults=faults)
    for number in range(calls):
        exchange.wire.at(number * 0.05, lambda number=number: exchange.place(number))  # type: ignore[misc]  # bound early
    exchange.wire.run(until=600.0)

    assert len(exchange.plans) == calls
    outcomes = Counter(check(plan) for plan in exchange.plans.values())
    assert outcomes["caller ends: answered"] > calls / 15
    assert outcomes["both re-invite: answered"] > calls / 15
    assert outcomes["reliable: answered"] > calls / 15
    assert outcomes["cancelled: failed"] > calls / 100
    assert outcomes["cancelled: answered"] + outcomes["cancelled: failed"] > calls / 15
    assert exchange.ann.endpoint.sizes() == EMPTY
    assert exchange.bob.endpoint.sizes() == EMPTY
    if faults.loss:
        assert exchange.wire.lost > exchange.wire.sent * faults.loss / 2
        assert exchange.ann.endpoint.counters.retransmissions_sent > calls / 15
