"""Who may call what: policies, countries, caller IDs and limits, each a refusal before anything rings."""

from __future__ import annotations

import asyncio

import pytest

from ringbridge.adapters.memory.bus import MemoryHub
from ringbridge.model import release
from ringbridge.model.call import Leg, fold
from ringbridge.model.directory import Connection, DialRule, Domain, User
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.events import CallEnded
from tests.calls.nodes import messages, on_bus
from tests.calls.samples import DOMAIN, START, T1, requested, requested_call
from tests.calls.tenants import OWN_KEY, Tenant, dial_rule

# --- who may call what ---


def trunk_rule() -> DialRule:
    return dial_rule("sip:*@*", "to-connection", dial_rule_parameter="trunk")


def put_user(tenant: Tenant, **fields: object) -> None:
    tenant.store.put(User(domain=DOMAIN, user="1001", caller_id_number="+4570101010", **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "dialled", "code"),
    [
        ("internal", "4531234567", "dial-policy"),
        ("nobody knows this", "4531234567", "dial-policy"),
        ("international", "4590123456", "high-cost-number"),
        ("", "00881612345678", "high-cost-number"),
    ],
)
async def test_a_call_that_policy_forbids_is_403_and_names_the_rule(policy: str, dialled: str, code: str) -> None:
    tenant = Tenant().with_rules(trunk_rule())
    put_user(tenant, dial_policy=policy)
    refusal = await tenant.refused(call_term_user=dialled)
    assert (refusal.refusal, refusal.code) == (Refusal.FORBIDDEN, code)
    assert refusal.faults[0].field == "call-term-user"


async def test_policy_asks_of_both_legs() -> None:
    tenant = Tenant().with_rules(trunk_rule())
    put_user(tenant, dial_policy="internal")
    refusal = await tenant.refused(call_orig_user="4531234567", call_term_user="4531234568")
    assert [fault.field for fault in refusal.faults] == ["call-orig-user", "call-term-user"]


async def test_policy_says_nothing_of_calls_inside_the_domain() -> None:
    tenant = Tenant()
    put_user(tenant, dial_policy="internal")
    assert not (await tenant.place(call_term_user="1002")).replayed


async def test_a_domain_allows_countries() -> None:
    tenant = Tenant().with_rules(trunk_rule())
    tenant.store.put(Domain(domain=DOMAIN, allowed_countries="SE"))
    assert (await tenant.refused(call_term_user="4531234567")).code == "country-not-allowed"
    assert (await tenant.plan(call_term_user="46701234567")).dialled == "46701234567"


async def test_a_call_for_help_goes_out_past_every_policy_and_limit() -> None:
    tenant = Tenant().with_rules(dial_rule("sip:112@*", "to-connection", dial_rule_parameter="trunk"))
    put_user(tenant, dial_policy="internal", limits_max_active_calls_total=1)
    await tenant.place(call_id="a")
    assert (await tenant.plan(call_id="b", call_term_user="112")).dialled == "112"


async def test_whom_a_user_may_not_call_they_may_not_transfer_to() -> None:
    tenant = Tenant().with_rules(trunk_rule())
    put_user(tenant, dial_policy="internal")
    event = requested()
    remaining = Leg(T1, event.plan.termination[0], "sip-1", b"", START)
    with pytest.raises(CallError) as refused:
        async with tenant.placer.planned_transfer(requested_call(event), "1001", "4531234567", remaining):
            raise AssertionError("it may not be ordered")
    assert (refused.value.refusal, refused.value.code) == (Refusal.FORBIDDEN, "dial-policy")
    put_user(tenant)
    async with tenant.placer.planned_transfer(requested_call(event), "1001", "4531234567", remaining) as plan:
        assert plan.dialled == "4531234567"


async def test_verified_numbers_may_be_shown() -> None:
    tenant = Tenant()
    tenant.store.put(Domain(domain=DOMAIN, verified_caller_ids="+45 99 99 99 99"))
    assert (await tenant.plan(call_id="a", caller_id_number="4599999999")).termination_caller_id.number == "4599999999"
    put_user(tenant, verified_caller_ids="+4588888888, +4577777777")
    plan = await tenant.plan(call_id="b", caller_id_number="+4577777777")
    assert plan.termination_caller_id.number == "+4577777777"
    with pytest.raises(CallError) as refused:
        await tenant.place(call_id="c", caller_id_number="+4566666666")
    assert refused.value.code == "caller-id-not-allowed"


async def test_a_number_that_is_verified_for_a_user_is_that_user_s_alone() -> None:
    tenant = Tenant()
    tenant.store.put(User(DOMAIN, "1002", verified_caller_ids="+4588888888"))
    with pytest.raises(CallError) as refused:
        await tenant.place(call_id="a", caller_id_number="+4588888888")
    assert refused.value.code == "caller-id-not-allowed"


async def test_a_phone_outside_that_is_rung_first_is_shown_no_other_number_either() -> None:
    tenant = Tenant().with_rules(trunk_rule())
    put_user(tenant, verified_caller_ids="+45 88 88 88 88")
    asked: dict[str, str | bool] = {"call_orig_user": "4531234567", "callback_caller_id_number": "4588888888"}
    assert (await tenant.plan(OWN_KEY, call_id="a", **asked)).origination_caller_id.number == "4588888888"
    with pytest.raises(CallError) as refused:
        await tenant.place(OWN_KEY, call_id="b", **{**asked, "callback_caller_id_number": "4577777777"})
    assert [(one.field, one.code) for one in refused.value.faults] == [
        ("callback-caller-id-number", "caller-id-not-allowed")
    ]


# --- limits ---


async def test_a_user_has_as_many_calls_as_the_limit_says() -> None:
    tenant = Tenant()
    put_user(tenant, limits_max_active_calls_total=2)
    for call_id in ("a", "b"):
        await tenant.place(call_id=call_id)
    with pytest.raises(CallError) as refused:
        await tenant.place(call_id="c")
    assert (refused.value.refusal, refused.value.code) == (Refusal.TOO_MANY, "too-many-active-calls")
    assert "user 1001 has 2 active calls, and may have 2" in refused.value.message
    assert (await tenant.place(call_id="a")).replayed
    assert messages(tenant.hub, "c") == []


async def test_a_call_that_is_over_makes_room() -> None:
    tenant = Tenant()
    put_user(tenant, limits_max_active_calls_total=1)
    await tenant.place(call_id="a")
    call = on_bus(tenant.hub, "a")
    ended = fold(call, [CallEnded(release.DELETED, "system", tenant.clock.at)], call.sequence + 1)
    assert ended is not None
    tenant.store.put_call(ended)
    assert not (await tenant.place(call_id="b")).replayed


@pytest.mark.parametrize(
    ("domain", "connection", "dialled"),
    [
        ({"limits_max_active_calls_total": 1}, {}, "1002"),
        ({"limits_max_active_calls_offnet": 1}, {}, "4531234567"),
        ({"limits_max_calls_per_minute": 1}, {}, "1002"),
        ({}, {"limits_max_active_calls_total": 1}, "4531234567"),
        ({}, {"limits_max_active_calls_term": 1}, "4531234567"),
        ({}, {"limits_max_calls_per_minute": 1}, "4531234567"),
    ],
)
async def test_domains_and_connections_have_limits_too(
    domain: dict[str, int], connection: dict[str, int], dialled: str
) -> None:
    tenant = Tenant().with_rules(dial_rule("sip:45*@*", "to-connection", dial_rule_parameter="trunk"))
    tenant.store.put(
        Domain(domain=DOMAIN, **domain),  # type: ignore[arg-type] # numbers alone
        Connection(
            domain=DOMAIN,
            connection_orig_match_pattern="trunk",
            connection_address="gw.example",
            **connection,  # type: ignore[arg-type]
        ),
    )
    await tenant.place(call_id="a", call_term_user=dialled)
    with pytest.raises(CallError) as refused:
        await tenant.place(call_id="b", call_term_user=dialled)
    assert refused.value.refusal is Refusal.TOO_MANY
    if "limits_max_active_calls_offnet" in domain:
        assert not (await tenant.place(call_id="c", call_term_user="1002")).replayed


async def test_two_posts_of_one_call_at_once_need_one_slot() -> None:
    hub = MemoryHub()
    tenants = [Tenant(hub), Tenant(hub)]
    tenants[1].ids.given = 100
    for tenant in tenants:
        put_user(tenant, limits_max_active_calls_total=1)
    placed = await asyncio.gather(*(tenant.place() for tenant in tenants))
    assert sorted(one.replayed for one in placed) == [False, True]
    for tenant in tenants:
        with pytest.raises(CallError):
            await tenant.place(call_id="another")


async def test_a_refused_call_uses_nothing_up() -> None:
    tenant = Tenant()
    put_user(tenant, limits_max_calls_per_minute=1)
    await tenant.refused(call_term_user="nobody")
    assert not (await tenant.place()).replayed
