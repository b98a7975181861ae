"""The CDR of every way that a call can end, from claim to record, with phones in memory (contract §6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from ringbridge.adapters.memory.bus import MemoryHub
from ringbridge.adapters.memory.phones import RINGS, SILENT, Script
from ringbridge.model import release
from ringbridge.model.call import Call, CallState
from ringbridge.model.cdr import Cdr, Direction, parties_of
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.ids import CallId
from ringbridge.model.release import REASON_PHRASES, ReleaseCause, Result, of_sip_status
from tests.calls.nodes import EngineNode, new_phones, on_bus, running, until
from tests.calls.samples import DOMAIN, requested

Act = Callable[[EngineNode, MemoryHub], Awaitable[None]]


def refuses(status: int) -> Script:
    return Script(status=status)


HANGS_UP = Script(hangs_up_after_s=0.01)


async def reached(hub: MemoryHub, *states: CallState) -> Call:
    """Return the call once it is in one of `states`."""
    await until(lambda: on_bus(hub).state in states)
    return on_bus(hub)


def delete_when(state: CallState) -> Act:
    async def act(node: EngineNode, hub: MemoryHub) -> None:
        await reached(hub, state)
        await until(lambda: bool(node.store._calls) and next(iter(node.store._calls.values())).state is state)
        call = await node.store.stored_call(DOMAIN, CallId("c1"))
        await node.control.end(call, domain=DOMAIN, user="1001", name="c1", by="test")

    return act


async def rejects(node: EngineNode, hub: MemoryHub) -> None:
    await node.control.reject(await reached(hub, CallState.TERM_RINGING), by="test")


async def loses_media(node: EngineNode, hub: MemoryHub) -> None:
    node.engine.lose_media((await reached(hub, CallState.CONNECTED)).session_id)


async def stops(node: EngineNode, hub: MemoryHub) -> None:
    await reached(hub, CallState.CONNECTED)
    await node.owner.stop()


@dataclass(frozen=True)
class End:
    """What the phones and others do, and what the CDR says of it."""

    text: str
    cause: ReleaseCause
    ended_by: str
    first: Script = field(default_factory=Script)
    second: Script = field(default_factory=Script)
    act: Act | None = None
    ring_timeout_s: tuple[float, float] = (30.0, 60.0)
    max_duration_s: float = 14_400.0
    late_s: float = 0.0
    first_answers: bool = True
    joins: bool = False


SHORT = (0.05, 0.05)
ENDS = {
    "first hangs up": End("Orig: Bye", release.HUNG_UP, "origination", first=Script(hangs_up_after_s=0.2), joins=True),
    "second hangs up": End("Term: Bye", release.HUNG_UP, "termination", second=HANGS_UP, joins=True),
    "first gives up": End("Orig: Cancel", release.CALLER_GAVE_UP, "origination", first=HANGS_UP, second=RINGS),
    "first is not answered": End(
        "Orig: No Answer", release.RING_TIMEOUT, "origination", first=RINGS, ring_timeout_s=SHORT, first_answers=False
    ),
    "second is not answered": End(
        "Term: No Answer", release.RING_TIMEOUT, "termination", second=RINGS, ring_timeout_s=SHORT
    ),
    "second never rings": End(
        "Term: never-rang", release.NEVER_RANG, "termination", second=SILENT, ring_timeout_s=SHORT
    ),
    "deleted while the first rings": End(
        "Orig: Cancel",
        release.DELETED,
        "system",
        first=RINGS,
        act=delete_when(CallState.ORIG_RINGING),
        first_answers=False,
    ),
    "deleted while the second rings": End(
        "Orig: Cancel", release.DELETED, "system", second=RINGS, act=delete_when(CallState.TERM_RINGING)
    ),
    "rejected while the second rings": End(
        "Term: rejected", release.REJECTED, "termination", second=RINGS, act=rejects
    ),
    "deleted while joined": End(
        "System: deleted", release.DELETED_WHILE_UP, "system", act=delete_when(CallState.CONNECTED), joins=True
    ),
    "talks for too long": End(
        "System: call-duration-limit", release.CALL_TOO_LONG, "system", max_duration_s=0.05, joins=True
    ),
    "is dialled too late": End(
        "System: dial-before-passed", release.DIALLED_TOO_LATE, "system", late_s=31.0, first_answers=False
    ),
    "the relay is lost": End("System: relay-lost", release.RELAY_LOST, "system", act=loses_media, joins=True),
    "the engine stops": End("System: engine-stopped", release.ENGINE_STOPPED, "system", act=stops, joins=True),
} | {
    f"second refuses with {status}": End(
        f"Term: {status} {REASON_PHRASES[status]}", of_sip_status(status), "termination", second=refuses(status)
    )
    for status in REASON_PHRASES
    if status not in (401, 407)
}
ENDS |= {
    f"first refuses with {status}": End(
        f"Orig: {status} {REASON_PHRASES[status]}",
        of_sip_status(status),
        "origination",
        first=refuses(status),
        first_answers=False,
    )
    for status in (302, 403, 404, 408, 480, 486, 487, 488, 500, 503, 600, 603)
}
NOT_A_CALL_S = {"ANSWERED_ELSEWHERE", "OTHER_LEG_ENDED", "TRANSFERRED"}
"""Causes of a leg, while its call goes on or ends for another."""
OF_A_RESTART = {"ENGINE_RESTARTED", "INTERNAL_ERROR"}
"""Seen in `test_restart` and `test_owner`."""
OF_A_TRANSFER = {"TRANSFER_FAILED"}
"""Seen in `test_transferring`."""
OF_AN_ORDER = {"HANDOVER_REFUSED"}
"""Causes of an order that was not carried out, while its call goes on; seen in `test_attended`."""


async def cdr_of_end(end: End) -> Cdr:
    phones, hub = new_phones(), MemoryHub()
    phones.scripts |= {"1001": end.first, "1002": end.second}
    async with running(phones, hub) as node:
        await node.place(
            requested(
                ring_timeout_s=end.ring_timeout_s,
                max_duration_s=end.max_duration_s,
                at=phones.clock.now() - end.late_s,
            )
        )
        if end.act is not None:
            await end.act(node, hub)
        await until(lambda: bool(node.store._cdrs))
        (cdr,) = node.store._cdrs.values()
        return cdr


@pytest.mark.parametrize("name", ENDS)
async def test_the_cdr_says_why(name: str) -> None:
    end = ENDS[name]
    cdr = await cdr_of_end(end)
    assert (cdr.disconnect_reason_text, cdr.cause, cdr.ended_by) == (end.text, end.cause, end.ended_by)
    assert (bool(cdr.orig_answered_at), bool(cdr.answered_at)) == (end.first_answers, end.joins)
    assert cdr.started_at <= (cdr.orig_answered_at or cdr.started_at) <= (cdr.answered_at or cdr.ended_at)
    assert (cdr.talking_s > 0) <= end.joins
    assert cdr.total_s >= cdr.talking_s >= cdr.held_s == 0
    assert cdr.direction is Direction.ON_NET
    sides = {party.user: party.direction for party in parties_of(cdr)}
    called = Direction.INBOUND if end.joins else Direction.MISSED
    assert sides == {"1001": Direction.OUTBOUND} | ({"1002": called} if end.first_answers else {})


async def test_a_call_that_cannot_be_prepared_has_its_cdr_too() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        node.engine.prepare_fails.append(CallError(Refusal.UNAVAILABLE, "relay-unavailable", "no relay"))
        await node.place(requested(at=phones.clock.now()))
        await until(lambda: bool(node.store._cdrs))
        (cdr,) = node.store._cdrs.values()
    assert (cdr.cause.result, cdr.disconnect_reason_text) == (Result.FAILED, "Orig: relay-unavailable")


def test_every_cause_of_a_call_is_here() -> None:
    named = {name: value for name, value in vars(release).items() if isinstance(value, ReleaseCause)}
    here = {end.cause for end in ENDS.values()}
    missing = {name for name, cause in named.items() if cause not in here}
    assert missing == NOT_A_CALL_S | OF_A_RESTART | OF_A_TRANSFER | OF_AN_ORDER
