"""Accepting calls: one (domain, call-id) is one call for ever; a refused request leaves no trace (contract §3)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ringbridge.adapters.memory.bus import Fault, MemoryBus, MemoryHub
from ringbridge.calls.control import BAR_S, Control
from ringbridge.model import release
from ringbridge.model.access import Principal, Scope
from ringbridge.model.call import Call, CallState, fold
from ringbridge.model.directory import User
from ringbridge.model.errors import BusUnavailable, CallError, Refusal
from ringbridge.model.events import CallClaimed, CallEnded, CallEvent, CallRequested, Person
from ringbridge.model.ids import CallId, DomainName
from tests.calls.nodes import messages, new_phones, on_bus, running, settled, until
from tests.calls.samples import DOMAIN, NODE, START, requested
from tests.calls.tenants import OFFICE_KEY, OWN_KEY, Tenant, dial_rule, request


async def replicate(tenant: Tenant, call_id: str = "c1") -> Call:
    """Bring the tenant's store up to the bus, for one call."""
    call: Call | None = None
    for message in await MemoryBus(tenant.hub).read_call(DOMAIN, CallId(call_id)):
        call = fold(call, message.events, message.sequence)
    assert call is not None
    tenant.store.put_call(call)
    return call


# --- accepted ---


async def test_the_plan_says_whose_the_legs_are_for_the_cdr() -> None:
    tenant = Tenant()
    ours = {"site": "North", "department": "Sales"}
    tenant.store.put(User(domain=DOMAIN, user="1001", name_first_name="Ann", other=ours))
    plan = await tenant.plan(call_term_user="1002")
    assert plan.origination_person == Person("Ann", "North", "Sales")
    assert plan.termination_person == Person(), "1002 has none of these"


async def test_an_accepted_call_is_on_the_bus_with_all_that_the_engine_needs() -> None:
    tenant = Tenant()
    placed = await tenant.place()
    ((stored,),) = messages(tenant.hub)
    assert isinstance(stored, CallRequested)
    assert (placed.replayed, placed.session_id, placed.call_id) == (False, stored.session_id, "c1")
    assert (stored.at, stored.dial_before, stored.node) == (START, START + 30, NODE)
    assert (stored.plan.origination_ring_timeout_s, stored.plan.max_duration_s) == (30.0, 14_400.0)
    assert (stored.plan.auto_answer, stored.plan.added_header, stored.plan.dialled) == (False, None, "1002")
    assert placed.sequence == (await MemoryBus(tenant.hub).read_call(DOMAIN, CallId("c1")))[0].sequence


async def test_an_accepted_call_rings() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub):
        await Tenant(hub).place()
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        assert {invite.label for invite in phones.invites} == {"1001", "1001_mobile", "1002"}


async def test_auto_answer_and_the_added_header_go_with_the_plan() -> None:
    plan = await Tenant().plan(auto_answer_enabled=True, call_term_added_sip_header="X-Ticket: a: b")
    assert (plan.auto_answer, plan.added_header) == (True, ("X-Ticket", "a: b"))


# --- caller IDs ---


async def test_both_legs_show_the_users_own_caller_id_by_default() -> None:
    plan = await Tenant().plan()
    assert (plan.termination_caller_id.number, plan.termination_caller_id.name) == ("+4570101010", "Ann")
    assert plan.origination_caller_id.number == "+4570101010"


async def test_a_user_without_a_caller_id_shows_the_domains_and_then_the_extension() -> None:
    tenant = Tenant()
    plan = await tenant.plan(OFFICE_KEY, call_id="a", user="1002", call_term_user="1001")
    assert (plan.termination_caller_id.number, plan.termination_caller_id.name) == ("+4570101000", "Bob")


@pytest.mark.parametrize(
    "number", ["+4570101010", "4570101010", "+45 70 10 10 10", "70101000", "4570101000", "1001", "4570101020"]
)
async def test_a_number_that_the_user_holds_may_be_shown(number: str) -> None:
    tenant = Tenant()
    if number == "70101000":
        refusal = await tenant.refused(caller_id_number=number)
        assert refusal.refusal is Refusal.FORBIDDEN
        return
    plan = await tenant.plan(caller_id_number=number)
    assert plan.termination_caller_id.number == number.replace(" ", "")


@pytest.mark.parametrize("number", ["+4599999999", "4570101021", "4570101022", "1002"])
async def test_a_number_that_is_anothers_may_not_be_shown(number: str) -> None:
    refusal = await Tenant().refused(caller_id_number=number)
    assert (refusal.refusal, refusal.code) == (Refusal.FORBIDDEN, "caller-id-not-allowed")
    assert [fault.field for fault in refusal.faults] == ["caller-id-number"]


async def test_an_own_phone_may_be_shown_any_number() -> None:
    """Clients put the customer's number there, so that the user sees whom the call is for."""
    plan = await Tenant().plan(callback_caller_id_number="+4531234567")
    assert (plan.origination_caller_id.number, plan.origination_caller_id.name) == ("+4531234567", "")


async def test_a_phone_outside_is_not_shown_any_number() -> None:
    tenant = Tenant().with_rules(dial_rule("sip:45*@*", "to-connection", dial_rule_parameter="trunk"))
    refusal = await tenant.refused(call_orig_user="4531234567", callback_caller_id_number="+4599999999")
    assert [(fault.field, fault.code) for fault in refusal.faults] == [
        ("callback-caller-id-number", "caller-id-not-allowed")
    ]
    plan = await tenant.plan(call_orig_user="4531234567", callback_caller_id_number="+4570101000")
    assert plan.origination_caller_id.number == "+4570101000"


# --- refused ---


async def test_every_fault_is_named_in_one_answer() -> None:
    refusal = await Tenant().refused(
        call_orig_user="1003", call_term_user="nobody", caller_id_number="abc", callback_caller_id_number="x"
    )
    assert refusal.refusal is Refusal.INVALID
    assert [fault.field for fault in refusal.faults] == [
        "call-orig-user",
        "call-term-user",
        "caller-id-number",
        "callback-caller-id-number",
    ]


async def test_a_request_that_is_wrong_and_not_allowed_is_wrong() -> None:
    refusal = await Tenant().refused(call_term_user="nobody", caller_id_number="+4599999999")
    assert refusal.refusal is Refusal.INVALID
    assert len(refusal.faults) == 2


@pytest.mark.parametrize(("field", "name"), [("user", "1009"), ("domain", "other.example")])
async def test_an_unknown_user_is_404(field: str, name: str) -> None:
    tenant = Tenant()
    with pytest.raises(CallError) as refused:
        await tenant.placer.place(request(**{field: name}), OFFICE_KEY)
    assert refused.value.refusal is Refusal.NOT_FOUND


async def test_a_users_key_rings_no_other_users_phone_first() -> None:
    refusal = await Tenant().refused(call_orig_user="1002", call_term_user="1001")
    assert (refusal.refusal, refusal.code) == (Refusal.FORBIDDEN, "not-your-user")
    by_number = await Tenant().refused(call_orig_user="4570101021", call_term_user="1001")
    assert by_number.code == "not-your-user"
    by_rule = Tenant().with_rules(dial_rule("sip:7@*", "to-user", dial_rule_translation_destination_user="1002"))
    assert (await by_rule.refused(call_orig_user="7", call_term_user="1001")).code == "not-your-user"


async def test_whoever_rules_the_domain_may_ring_any_phone_first() -> None:
    plan = await Tenant().plan(OFFICE_KEY, call_orig_user="1002", call_term_user="1001")
    assert plan.origination_user == "1002"
    stranger = Principal(key_id="k", domain="other.example", user="*", scope=Scope.OFFICE_MANAGER)
    assert (await Tenant().refused(stranger, call_orig_user="1002", call_term_user="1001")).code == "not-your-user"


async def test_a_refused_request_leaves_its_id_free() -> None:
    tenant = Tenant()
    await tenant.refused(call_term_user="nobody")
    await tenant.refused(caller_id_number="+4599999999")
    assert not (await tenant.place()).replayed


async def test_without_the_bus_nothing_is_half_done() -> None:
    tenant = Tenant()
    tenant.hub.is_up = False
    with pytest.raises(BusUnavailable) as refused:
        await tenant.place()
    assert refused.value.retry_after_s
    tenant.hub.is_up = True
    assert not (await tenant.place()).replayed


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_client_that_was_told_503_may_ask_again(fault: Fault) -> None:
    tenant = Tenant()
    tenant.hub.faults.append(fault)
    with pytest.raises(BusUnavailable):
        await tenant.place()
    again = await tenant.place()
    assert again.replayed is (fault is Fault.STORED)
    assert len(messages(tenant.hub)) == 1


# --- one id, one call ---


@pytest.mark.parametrize("replica_knows", [True, False])
async def test_the_same_request_again_is_a_replay(*, replica_knows: bool) -> None:
    tenant = Tenant()
    first = await tenant.place()
    if replica_knows:
        await replicate(tenant)
    again = await tenant.place()
    assert again.replayed
    assert (again.session_id, again.sequence) == (first.session_id, first.sequence)
    assert len(messages(tenant.hub)) == 1


@pytest.mark.parametrize("replica_knows", [True, False])
@pytest.mark.parametrize(
    "other",
    [
        {"call_term_user": "4570101021"},
        {"caller_id_number": "1001"},
        {"auto_answer_enabled": True},
        {"call_orig_user": "1001_mobile"},
        {"dial_rule_application": "to-user"},
        {"call_term_added_sip_header": "X-A: 1"},
    ],
)
async def test_another_request_of_that_id_is_a_conflict_that_tells_nothing(
    other: dict[str, str | bool], *, replica_knows: bool
) -> None:
    tenant = Tenant()
    await tenant.place()
    if replica_knows:
        await replicate(tenant)
    with pytest.raises(CallError) as refused:
        await tenant.placer.place(request(**other), OWN_KEY)
    assert (refused.value.refusal, refused.value.code) == (Refusal.CONFLICT, "call-id-conflict")
    assert refused.value.faults == ()
    assert "1002" not in refused.value.message
    assert len(messages(tenant.hub)) == 1


async def test_another_users_request_of_that_id_is_a_conflict() -> None:
    tenant = Tenant()
    await tenant.place()
    with pytest.raises(CallError) as refused:
        await tenant.place(OFFICE_KEY, user="1002", call_term_user="1001")
    assert refused.value.code == "call-id-conflict"


async def test_a_replay_after_the_end_rings_nobody() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub) as node:
        tenant = Tenant(hub)
        first = await tenant.place()
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        phones.of(first.session_id, "t1").hang_up()
        await until(lambda: node.owner.active == 0)
        rung = len(phones.invites)
        again = await tenant.place()
        await settled()
        assert again.replayed
        assert len(phones.invites) == rung


async def test_a_replay_needs_no_phone_that_is_registered_still() -> None:
    tenant = Tenant()
    await tenant.place()
    await replicate(tenant)
    tenant.clock.at += 7200
    assert (await tenant.place()).replayed


async def test_fifty_at_once_are_one_call() -> None:
    tenant = Tenant()
    placed = await asyncio.gather(*(tenant.place() for _ in range(50)))
    assert len(messages(tenant.hub)) == 1
    assert len({one.session_id for one in placed}) == 1
    assert sum(not one.replayed for one in placed) == 1


async def test_fifty_at_once_on_two_nodes_ring_once() -> None:
    phones, hub = new_phones(), MemoryHub()
    async with running(phones, hub):
        tenants = [Tenant(hub), Tenant(hub)]
        for number, tenant in enumerate(tenants):
            tenant.placer._ids.given = 1000 * number  # type: ignore[attr-defined] # the counted ones
        await asyncio.gather(*(tenants[number % 2].place(call_orig_user="1001_mobile") for number in range(50)))
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        assert len(phones.invites) == 2


async def test_one_request_on_two_nodes_at_once_counts_under_limits_whichever_of_them_stores_it() -> None:
    hub = MemoryHub()
    tenants = [Tenant(hub), Tenant(hub)]
    for number, tenant in enumerate(tenants):
        tenant.placer._ids.given = 1000 * number  # type: ignore[attr-defined] # the counted ones
        tenant.store.put(User(domain=DOMAIN, user="1001", limits_max_active_calls_total=1))
    taken, stored = tenants[0].placer._limits.take, asyncio.Event()

    async def take_and_be_late(*args: Any, **kwargs: Any) -> Any:
        slots = await taken(*args, **kwargs)
        await tenants[1].place()
        stored.set()
        return slots

    tenants[0].placer._limits.take = take_and_be_late  # type: ignore[method-assign] # slow between slot and store
    assert (await tenants[0].place()).replayed
    assert stored.is_set()
    with pytest.raises(CallError) as refused:
        await tenants[1].place(call_id="c2")
    assert refused.value.code == "too-many-active-calls"
    assert [fault.field for fault in refused.value.faults] == ["user"]


async def test_different_requests_of_one_id_at_once_make_one_call_and_conflicts() -> None:
    tenant = Tenant()
    results = await asyncio.gather(
        *(tenant.place(call_orig_user=("", "1001_mobile")[number % 2]) for number in range(20)),
        return_exceptions=True,
    )
    codes = [one.code for one in results if isinstance(one, CallError)]
    assert codes == ["call-id-conflict"] * 10
    assert len(messages(tenant.hub)) == 1


async def test_a_call_id_that_is_another_calls_session_id_is_free() -> None:
    tenant = Tenant()
    first = await tenant.place()
    await replicate(tenant)
    assert not (await tenant.place(call_id=first.session_id)).replayed


async def test_another_domain_may_use_the_id_too() -> None:
    tenant = Tenant()
    await MemoryBus(tenant.hub).create_call(DomainName("other.example"), CallId("c1"), [requested()])
    assert not (await tenant.place()).replayed


# --- DELETE came first ---


async def bar(tenant: Tenant) -> None:
    control = Control(bus=MemoryBus(tenant.hub), clock=tenant.clock)
    with pytest.raises(CallError):
        await control.end(None, domain=DOMAIN, user="1001", name="c1", by="key")


@pytest.mark.parametrize("replica_knows", [True, False])
async def test_a_call_that_was_deleted_before_it_came_is_not_placed(*, replica_knows: bool) -> None:
    tenant = Tenant()
    await bar(tenant)
    if replica_knows:
        await replicate(tenant)
    with pytest.raises(CallError) as refused:
        await tenant.place()
    assert (refused.value.refusal, refused.value.code) == (Refusal.CONFLICT, "call-ended")
    assert len(messages(tenant.hub)) == 1


async def test_after_a_day_the_id_may_be_used_and_the_call_rings() -> None:
    phones, hub = new_phones(), MemoryHub()
    tenant = Tenant(hub)
    await bar(tenant)
    await replicate(tenant)
    tenant.clock.at += BAR_S
    for device in ("1001", "1001_mobile", "1002"):
        one = (await Tenant().store.locations(DOMAIN, device))[0]
        tenant.store.put_location(type(one)(one.domain, device, one.contact, expires_at=tenant.clock.at + 60))
    phones.clock = tenant.clock
    async with running(phones, hub):
        assert not (await tenant.place()).replayed
        await until(lambda: on_bus(hub).state is CallState.CONNECTED)
        assert (await tenant.place()).replayed


async def test_delete_and_post_at_once_leave_no_call_that_rings_on() -> None:
    for rounds in range(20):
        phones, hub = new_phones(), MemoryHub()
        tenant = Tenant(hub)
        async with running(phones, hub):

            async def post(tenant: Tenant = tenant, rounds: int = rounds) -> object:
                for _ in range(rounds % 5):
                    await asyncio.sleep(0)
                return await tenant.place()

            control = Control(bus=MemoryBus(hub), clock=tenant.clock)
            results = await asyncio.gather(
                post(),
                control.end(None, domain=DOMAIN, user="1001", name="c1", by="key"),
                return_exceptions=True,
            )
            await until(lambda hub=hub: on_bus(hub).is_over)  # type: ignore[misc] # bound in the loop
            assert phones.busy() == []
            refused = [one.code for one in results if isinstance(one, CallError)]
            assert refused in (["call-ended", "no-such-call"], []), refused


async def test_an_ended_call_stays_the_one_of_its_id() -> None:
    tenant = Tenant()
    await tenant.place()
    bus = MemoryBus(tenant.hub)
    last = (await bus.read_call(DOMAIN, CallId("c1")))[-1].sequence
    ended: list[CallEvent] = [CallClaimed(NODE, 1, START), CallEnded(release.DELETED, "system", START)]
    await bus.append_call(DOMAIN, CallId("c1"), ended, after=last)
    await replicate(tenant)
    assert (await tenant.place()).replayed
    with pytest.raises(CallError, match="another request"):
        await tenant.place(call_term_user="1001")
