"""Calls and clocks that the tests of calls and model share."""

from __future__ import annotations

from ringbridge.model.call import Call, fold
from ringbridge.model.events import CallerId, CallPlan, CallRequest, CallRequested, Target
from ringbridge.model.ids import CallId, DomainName, LegId, NodeId, SessionId, UserName

DOMAIN = DomainName("demo.example")
USER = UserName("1001")
NODE = NodeId("n1")
START = 1_000_000.0
O1, O2, O3 = LegId("o1"), LegId("o2"), LegId("o3")
T1, T2 = LegId("t1"), LegId("t2")


class VirtualClock:
    """A clock that stands where it is put."""

    def __init__(self, at: float = START) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


class CountedIds:
    """Session ids in order."""

    def __init__(self) -> None:
        self.given = 0

    def session_id(self) -> SessionId:
        self.given += 1
        return SessionId(f"session-{self.given}")


def target(name: str) -> Target:
    """Return a device of the domain as a target."""
    return Target(
        uri=f"sip:{name}@127.0.0.1:5062",
        transport="UDP",
        host="127.0.0.1",
        port=5062,
        label=name,
        to_uri=f"sip:{name}@{DOMAIN}",
        user=name[:4],
        domain=DOMAIN,
        device=name,
    )


def requested(
    call_id: str = "c1",
    *,
    origination: tuple[str, ...] = ("1001",),
    termination: tuple[str, ...] = ("1002",),
    at: float = START,
    max_duration_s: float = 14_400.0,
    ring_timeout_s: tuple[float, float] = (30.0, 60.0),
) -> CallRequested:
    """Return the first event of a call between the named devices."""
    return CallRequested(
        domain=DOMAIN,
        user=USER,
        call_id=CallId(call_id),
        session_id=SessionId(f"s-{call_id}"),
        request=CallRequest(domain=DOMAIN, user=USER, call_id=call_id, call_term_user="1002"),
        plan=CallPlan(
            origination=tuple(map(target, origination)),
            termination=tuple(map(target, termination)),
            origination_caller_id=CallerId("1002"),
            termination_caller_id=CallerId("+4570101010", "Ann"),
            dialled="1002",
            origination_user=USER,
            origination_ring_timeout_s=ring_timeout_s[0],
            termination_ring_timeout_s=ring_timeout_s[1],
            max_duration_s=max_duration_s,
        ),
        at=at,
        dial_before=at + 30,
        node=NODE,
    )


def requested_call(event: CallRequested | None = None) -> Call:
    """Return a call that nobody has claimed."""
    call = fold(None, [event or requested()], 1)
    assert call is not None
    return call
