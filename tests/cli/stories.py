"""Stories that the engine of these tests plays: what it publishes of a call, batch by batch."""

import time

from ringbridge.model.events import (
    CallClaimed,
    CallEnded,
    CallEvent,
    LegAnswered,
    LegInvited,
    LegReleased,
    LegRinging,
    Target,
)
from ringbridge.model.ids import LegId, NodeId
from ringbridge.model.release import ReleaseCause

O1, T1 = LegId("o1"), LegId("t1")
START = 1_800_000_000.0  # the world's clock


def target(name: str) -> Target:
    return Target(f"sip:{name}@127.0.0.1", "UDP", "127.0.0.1", 5070, name, f"sip:{name}@demo", user=name, domain="demo")


def leg(leg_id: LegId, name: str, at: float) -> list[CallEvent]:
    return [
        LegInvited(leg_id, target(name), f"sip-{leg_id}-{time.time_ns()}", b"", at),
        LegRinging(leg_id, at + 0.1),
        LegAnswered(leg_id, b"", "PCMU", at + 0.2, at + 0.2),
    ]


CLAIMED = CallClaimed(NodeId("n1"), 1, START + 0.01)


def joined() -> list[list[CallEvent]]:
    return [[CLAIMED, *leg(O1, "1001", START + 0.02)], leg(T1, "1002", START + 1)]


def ended(cause: ReleaseCause) -> list[CallEvent]:
    return [LegReleased(O1, cause, START + 5), CallEnded(cause, "origination", START + 5)]
