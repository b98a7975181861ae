"""A transfer takes the places of its target before it is ordered, and they come free when the target's leg ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ringbridge.adapters.memory.bus import MemoryHub
from ringbridge.calls.limits import GRACE_S
from ringbridge.model import release
from ringbridge.model.call import Call, fold
from ringbridge.model.directory import Connection, Domain, User
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.events import (
    CallEnded,
    CallerId,
    CallEvent,
    Consultation,
    LegAnswered,
    LegInvited,
    LegReleased,
    OrderDone,
    Target,
    TransferOrdered,
    TransferPlan,
)
from ringbridge.model.ids import LegId
from tests.calls.nodes import on_bus
from tests.calls.samples import DOMAIN, O1, START, T1
from tests.calls.tenants import Tenant, dial_rule

OUTSIDE, ELSEWHERE = "4531234567", "4531234568"


def tenant_with(hub: MemoryHub | None = None, *, legs: int | None = None, **of_domain: int) -> Tenant:
    """Return a tenant whose numbers outside go through a connection of so many `legs`."""
    tenant = Tenant(hub).with_rules(dial_rule("sip:45*@*", "to-connection", dial_rule_parameter="trunk"))
    tenant.store.put(
        Connection(
            domain=DOMAIN,
            connection_orig_match_pattern="trunk",
            connection_address="sip:gw.example:5080",
            limits_max_active_calls_total=legs,
        ),
        Domain(domain=DOMAIN, **of_domain),  # type: ignore[arg-type] # limits of its own
    )
    return tenant


def joined(tenant: Tenant, call_id: str) -> Call:
    """Return a call that was placed, once both parties talk."""
    call = on_bus(tenant.hub, call_id)
    assert call.plan is not None
    return told(
        tenant,
        call,
        *_up(O1, call.plan.origination),
        *_up(T1, call.plan.termination),
    )


def _up(leg_id: LegId, targets: Sequence[Target], *, transfer: int = 0) -> tuple[CallEvent, CallEvent]:
    invited = LegInvited(leg_id, targets[0], f"sip-{leg_id}", b"", START, transfer)
    return invited, LegAnswered(leg_id, b"", "PCMU", START, acked_at=START)


def told(tenant: Tenant, call: Call, *events: CallEvent) -> Call:
    """Return the call after `events`, which the tenant's copy knows too."""
    after = fold(call, events, call.sequence + 1)
    assert after is not None
    tenant.store.put_call(after)
    return after


async def transferred(tenant: Tenant, call: Call, to: str = OUTSIDE) -> Call:
    """Return the call once the target of a transfer has taken the place of its maker."""
    async with tenant.placer.planned_transfer(call, "1001", to, call.legs[-1]) as plan:
        pass
    number = call.transfers + 1
    new = _up(LegId(f"o{number + 1}"), plan.targets, transfer=number)
    left = LegReleased(O1, release.TRANSFERRED, START)
    return told(tenant, call, TransferOrdered(O1, plan, "key", START), *new, left, OrderDone(START))


async def refused(tenant: Tenant, call: Call, to: str = OUTSIDE) -> CallError:
    with pytest.raises(CallError) as refusal:
        async with tenant.placer.planned_transfer(call, "1001", to, call.legs[-1]):
            raise AssertionError("it may not be ordered")
    return refusal.value


async def no_more(tenant: Tenant) -> None:
    """Look whether another call outside is refused for the connection's limit."""
    with pytest.raises(CallError) as refusal:
        await tenant.place(call_id="more", call_term_user=ELSEWHERE)
    assert refusal.value.code == "too-many-active-calls"


async def test_a_transfer_into_a_full_connection_is_refused_by_name_and_takes_nothing() -> None:
    tenant = tenant_with(legs=1, limits_max_active_calls_offnet=2)
    await tenant.place(call_id="a")
    inside = joined(tenant, "a")
    await tenant.place(call_id="b", call_term_user=ELSEWHERE)
    outside = joined(tenant, "b")
    refusal = await refused(tenant, inside)
    assert (refusal.refusal, refusal.code) == (Refusal.TOO_MANY, "too-many-active-calls")
    assert [(fault.field, fault.message) for fault in refusal.faults] == [
        ("call-term-user", "connection trunk has 1 active calls, and may have 1")
    ]
    told(tenant, outside, CallEnded(release.DELETED, "system", START))
    await transferred(tenant, inside)


async def test_the_target_s_leg_counts_from_the_order_to_its_end_on_every_node_and_after_a_restart() -> None:
    tenant = tenant_with(legs=1)
    await tenant.place(call_id="a")
    call = await transferred(tenant, joined(tenant, "a"))
    for node in (tenant, tenant_with(tenant.hub, legs=1)):
        node.store.put_call(call)
        node.move(2 * GRACE_S)
        await no_more(node)
    told(tenant, call, LegReleased(LegId("o2"), release.HUNG_UP, START))
    await tenant.place(call_id="more", call_term_user=ELSEWHERE)


async def test_a_leg_that_left_a_call_that_goes_on_is_free() -> None:
    tenant = tenant_with(legs=2)
    await tenant.place(call_id="a", call_term_user=ELSEWHERE)
    call = joined(tenant, "a")
    call = await transferred(tenant, call)
    await no_more(tenant)
    told(tenant, call, LegReleased(T1, release.HUNG_UP, START))
    await tenant.place(call_id="more", call_term_user=ELSEWHERE)


async def test_a_call_that_is_outside_already_needs_a_second_place_in_its_connection() -> None:
    tenant = tenant_with(legs=1, limits_max_active_calls_offnet=1)
    await tenant.place(call_id="a", call_term_user=ELSEWHERE)
    call = joined(tenant, "a")
    assert (await refused(tenant, call)).faults[0].message.startswith("connection trunk has 1")
    await no_more(tenant)  # what is refused gives nothing back that it did not take
    tenant.store.put(Connection(domain=DOMAIN, connection_orig_match_pattern="trunk", connection_address="gw.example"))
    await transferred(tenant, call)


async def test_an_order_that_is_refused_gives_its_place_back_and_one_that_nobody_knows_of_does_later() -> None:
    tenant = tenant_with(legs=1)
    await tenant.place(call_id="a")
    call = joined(tenant, "a")
    with pytest.raises(CallError):
        async with tenant.placer.planned_transfer(call, "1001", OUTSIDE, call.legs[-1]):
            raise CallError(Refusal.CONFLICT, "order-under-way", "another order is under way")
    with pytest.raises(CallError):
        async with tenant.placer.planned_transfer(call, "1001", OUTSIDE, call.legs[-1]):
            raise CallError(Refusal.UNAVAILABLE, "owner-away", "nobody answers")
    await no_more(tenant)
    tenant.move(GRACE_S)
    await tenant.place(call_id="more", call_term_user=ELSEWHERE)


async def test_a_target_that_is_being_dialled_counts_and_one_that_refused_does_not() -> None:
    tenant = tenant_with(legs=1)
    await tenant.place(call_id="a")
    call = joined(tenant, "a")
    async with tenant.placer.planned_transfer(call, "1001", OUTSIDE, call.legs[-1]) as plan:
        pass
    call = told(tenant, call, TransferOrdered(O1, plan, "key", START))
    await no_more(tenant)
    call = told(tenant, call, LegInvited(LegId("o2"), plan.targets[0], "sip-o2", b"", START, 1))
    await no_more(tenant)
    busy = release.ReleaseCause(release.Result.BUSY, "busy", 486)
    told(tenant, call, LegReleased(LegId("o2"), busy, START), OrderDone(START, busy))
    await tenant.place(call_id="more", call_term_user=ELSEWHERE)


async def test_a_transfer_counts_as_a_call_of_this_minute_and_as_no_other_active_call() -> None:
    tenant = tenant_with()
    tenant.store.put(User(DOMAIN, "1001", limits_max_calls_per_minute=2, limits_max_active_calls_total=1))
    await tenant.place(call_id="a")
    call = await transferred(tenant, joined(tenant, "a"), "1002")
    assert (await refused(tenant, call, "1002")).code == "too-many-calls-a-minute"
    tenant.move(60)
    await transferred(tenant, call, "1002")


async def test_a_call_leaves_the_domain_once_however_often_it_is_transferred() -> None:
    tenant = tenant_with(limits_max_active_calls_offnet=1)
    await tenant.place(call_id="a")
    call = await transferred(tenant, joined(tenant, "a"))
    await transferred(tenant, call, ELSEWHERE)
    with pytest.raises(CallError, match="to numbers outside"):
        await tenant.place(call_id="more", call_term_user=ELSEWHERE)


# --- attended ---------------------------------------------------------------------------------------------------------

LIMITS = pytest.mark.parametrize("limits", [{"legs": 1}, {"limits_max_active_calls_offnet": 1}], ids=["legs", "offnet"])


def joining(second: Call) -> TransferPlan:
    """Return the plan by which the second party of another call takes the asker's place."""
    far = second.legs[-1]
    consultation = Consultation(second.call_id, second.session_id, far.sip_call_id)
    return TransferPlan((far.target,), CallerId("1002"), dialled=far.target.label, consultation=consultation)


async def two_calls(tenant: Tenant) -> tuple[Call, Call]:
    """Return a call inside, and the one outside that was made to ask its party."""
    await tenant.place(call_id="a")
    await tenant.place(call_id="b", call_term_user=OUTSIDE)
    return joined(tenant, "a"), joined(tenant, "b")


@LIMITS
async def test_a_leg_that_a_call_takes_over_counts_until_that_call_is_over(limits: dict[str, int]) -> None:
    """Though the call that it was made by is over, on every node, and however full it is."""
    tenant = tenant_with(None, **limits)
    first, second = await two_calls(tenant)
    plan = joining(second)
    async with tenant.placer.held_for_join(first, "1001", plan):
        pass
    first = told(tenant, first, TransferOrdered(O1, plan, "key", START))
    await no_more(tenant)
    left = LegReleased(O1, release.TRANSFERRED, START)
    first = told(tenant, first, *_up(LegId("o2"), plan.targets, transfer=1), left, OrderDone(START))
    second = told(tenant, second, CallEnded(release.TRANSFERRED, "termination", START))
    for node in (tenant, tenant_with(tenant.hub, **limits)):
        node.store.put_call(first)
        node.store.put_call(second)
        node.move(2 * GRACE_S)
        await no_more(node)
    told(tenant, first, CallEnded(release.HUNG_UP, "termination", START))
    await tenant.place(call_id="more", call_term_user=ELSEWHERE)


@LIMITS
async def test_a_join_that_is_refused_gives_its_place_back(limits: dict[str, int]) -> None:
    tenant = tenant_with(None, **limits)
    first, second = await two_calls(tenant)
    with pytest.raises(CallError, match="another order"):
        async with tenant.placer.held_for_join(first, "1001", joining(second)):
            raise CallError(Refusal.CONFLICT, "order-under-way", "another order is under way")
    await no_more(tenant)
    told(tenant, second, CallEnded(release.HUNG_UP, "termination", START))
    await tenant.place(call_id="more", call_term_user=ELSEWHERE)


async def test_a_join_is_no_call_of_this_minute() -> None:
    tenant = tenant_with(legs=4)
    tenant.store.put(User(DOMAIN, "1001", limits_max_calls_per_minute=3))
    first, second = await two_calls(tenant)
    async with tenant.placer.held_for_join(first, "1001", joining(second)):
        pass
    await tenant.place(call_id="c")


async def test_of_two_transfers_at_once_the_one_that_is_refused_leaves_the_other_its_place() -> None:
    tenant = tenant_with(limits_max_active_calls_offnet=1)
    await tenant.place(call_id="a")
    call = joined(tenant, "a")
    first = tenant.placer.planned_transfer(call, "1001", OUTSIDE, call.legs[-1])
    await first.__aenter__()
    async with tenant.placer.planned_transfer(call, "1001", ELSEWHERE, call.legs[-1]) as plan:
        told(tenant, call, TransferOrdered(O1, plan, "key", START))
    refusal = CallError(Refusal.CONFLICT, "order-under-way", "another order is under way")
    assert not await first.__aexit__(CallError, refusal, None)
    await no_more(tenant)


async def test_a_transfer_to_help_is_never_refused() -> None:
    tenant = tenant_with(legs=1).with_rules(dial_rule("sip:112@*", "to-connection", dial_rule_parameter="trunk"))
    await tenant.place(call_id="a", call_term_user=ELSEWHERE)
    call = joined(tenant, "a")
    async with tenant.placer.planned_transfer(call, "1001", "112", call.legs[-1]) as plan:
        assert plan.dialled == "112"
