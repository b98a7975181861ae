"""Who rings: devices, users, numbers, dial rules and connections (contract §3, §4)."""

from __future__ import annotations

import pytest

from ringbridge.calls.targets import connection_target, device_target
from ringbridge.model.directory import Connection, Device, PhoneNumber, User
from ringbridge.model.errors import Refusal
from ringbridge.model.events import CallPlan
from tests.calls.samples import DOMAIN
from tests.calls.tenants import OFFICE_KEY, Tenant, dial_rule, location


def originations(plan: CallPlan) -> list[str]:
    return [target.label for target in plan.origination]


def terminations(plan: CallPlan) -> list[str]:
    return [target.label for target in plan.termination]


# --- origination ---


@pytest.mark.parametrize("text", ["", "  ", "1001", "1001@demo.example", "1001@DEMO.example"])
async def test_a_user_rings_at_all_devices(text: str) -> None:
    plan = await Tenant().plan(call_orig_user=text)
    assert originations(plan) == ["1001", "1001_mobile"]
    assert plan.origination_user == "1001"


@pytest.mark.parametrize("text", ["1001_mobile", "1001_mobile@demo.example", "sip:1001_mobile@demo.example"])
async def test_a_device_rings_alone(text: str) -> None:
    plan = await Tenant().plan(call_orig_user=text)
    assert originations(plan) == ["1001_mobile"]
    assert plan.origination_user == "1001"
    assert plan.origination[0].model == "Yealink T46"


async def test_a_sip_uri_is_an_address_of_record_so_the_device_goes_before_the_user() -> None:
    assert originations(await Tenant().plan(call_orig_user="sip:1001@demo.example")) == ["1001"]


async def test_each_location_of_a_device_rings() -> None:
    tenant = Tenant()
    tenant.store.put_location(location("1001", contact="sip:1001@10.0.0.9:5062", q=0.5))
    plan = await tenant.plan(call_orig_user="sip:1001@demo.example")
    assert [target.uri for target in plan.origination] == ["sip:1001@10.0.0.1:5062", "sip:1001@10.0.0.9:5062"]


async def test_a_number_outside_rings_through_the_dial_plan() -> None:
    tenant = Tenant().with_rules(dial_rule("sip:45*@*", "to-connection", dial_rule_parameter="trunk"))
    plan = await tenant.plan(call_orig_user="+45 31 23 45 67")
    (target,) = plan.origination
    assert (target.uri, target.connection, target.user) == ("sip:31234567@gw.example:5080", "trunk", "")
    assert plan.origination_user == ""


async def test_a_domains_own_number_rings_its_user() -> None:
    tenant = Tenant()
    plan = await tenant.plan(OFFICE_KEY, call_orig_user="+4570101021")
    assert originations(plan) == ["1002"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nobody", "unknown-user"),
        ("1003", "no-registered-device"),
        ("1004", "no-registered-device"),
        ("1001@other.example", "unknown-domain"),
        ("sip:1001@other.example", "unknown-domain"),
        ("+4599999999", "no-route"),
        ("4570101022", "no-route"),
        ("4570101020", "unknown-user"),
        ("ann smith", "not-a-number"),
        ("<sip:1001@demo.example>", "not-a-number"),
    ],
)
async def test_an_origination_that_cannot_ring_is_refused(text: str, code: str) -> None:
    refusal = await Tenant().refused(OFFICE_KEY, call_orig_user=text)
    (fault,) = refusal.faults
    assert (refusal.refusal, fault.field, fault.code) == (Refusal.INVALID, "call-orig-user", code)


async def test_a_location_that_ran_out_rings_nobody() -> None:
    tenant = Tenant()
    tenant.clock.at += 3600
    refusal = await tenant.refused()
    assert {fault.code for fault in refusal.faults} == {"no-registered-device"}
    assert "1001, 1001_mobile" in (refusal.faults[0].allowed or "")


# --- termination ---


@pytest.mark.parametrize(
    "text", ["1002", " 1002 ", "1002@demo.example", "sip:1002@demo.example", "4570101021", "+45 7010-1021"]
)
async def test_a_destination_in_the_domain_rings(text: str) -> None:
    plan = await Tenant().plan(call_term_user=text)
    assert terminations(plan) == ["1002"]
    assert plan.termination[0].user == "1002"


async def test_a_users_own_ring_time_counts() -> None:
    assert (await Tenant().plan()).termination_ring_timeout_s == 25.0
    assert (await Tenant().plan(call_term_user="1001")).termination_ring_timeout_s == 60.0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nobody", "not-a-number"),
        ("1003", "no-registered-device"),
        ("1002@other.example", "unknown-domain"),
        ("+4599999999", "no-route"),
        ("(((", "not-a-number"),
        ("", "not-a-number"),
    ],
)
async def test_a_destination_that_cannot_ring_is_refused(text: str, code: str) -> None:
    refusal = await Tenant().refused(call_term_user=text)
    (fault,) = refusal.faults
    assert (refusal.refusal, fault.field, fault.code) == (Refusal.INVALID, "call-term-user", code)


# --- dial rules ---


async def test_a_rule_sends_a_number_to_a_connection() -> None:
    rule = dial_rule(
        "sip:9*@*",
        "to-connection",
        dial_rule_parameter="trunk",
        dial_rule_translation_destination_user="45[*]",
        dial_rule_translation_destination_host="carrier.example",
    )
    plan = await Tenant().with_rules(rule).plan(call_term_user="9 3123 4567")
    (target,) = plan.termination
    assert (target.uri, target.host, target.port) == ("sip:4531234567@carrier.example", "gw.example", 5080)
    assert (target.connection, target.domain, target.user) == ("trunk", "", "")
    assert (plan.dialled, plan.match_uri) == ("4531234567", "sip:9*@*")


async def test_a_plus_survives_where_the_number_is_not_translated() -> None:
    rule = dial_rule("sip:45XXXXXXXX@*", "to-connection", dial_rule_parameter="trunk")
    tenant = Tenant().with_rules(rule)
    assert (await tenant.plan(call_id="a", call_term_user="+4531234567")).dialled == "+4531234567"
    assert (await tenant.plan(call_id="b", call_term_user="4531234567")).dialled == "4531234567"


async def test_a_rule_sends_a_number_to_a_user_or_one_device() -> None:
    tenant = Tenant().with_rules(
        dial_rule("sip:100@*", "to-user", dial_rule_translation_destination_user="1001"),
        dial_rule("sip:101@*", "to-single-device", dial_rule_parameter="1001_mobile@demo.example"),
        dial_rule("sip:102@*", "to-user-residential", dial_rule_translation_destination_user="1002"),
    )
    assert terminations(await tenant.plan(call_id="a", call_term_user="100")) == ["1001", "1001_mobile"]
    assert terminations(await tenant.plan(call_id="b", call_term_user="101")) == ["1001_mobile"]
    assert terminations(await tenant.plan(call_id="c", call_term_user="102")) == ["1002"]


async def test_a_rule_may_hide_the_caller() -> None:
    rule = dial_rule("sip:45*@*", "to-connection-block-caller-id", dial_rule_parameter="trunk")
    plan = await Tenant().with_rules(rule).plan(call_term_user="4531234567")
    assert plan.termination_caller_id.number == "anonymous"
    assert plan.origination_caller_id.number == "+4570101010"


@pytest.mark.parametrize(
    ("application", "parameter", "code"),
    [
        ("hangup", "", "barred-by-dial-rule"),
        ("available-number", "", "barred-by-dial-rule"),
        ("to-connection", "nowhere", "no-connection"),
        ("to-connection", "off", "no-connection"),
        ("to-user", "", "unknown-user"),
        ("to-single-device", "nobody", "unknown-device"),
        ("to-conference", "", "application-not-supported"),
    ],
)
async def test_a_rule_that_leads_nowhere_refuses_the_call(application: str, parameter: str, code: str) -> None:
    tenant = Tenant().with_rules(dial_rule("sip:45*@*", application, dial_rule_parameter=parameter))
    refusal = await tenant.refused(call_term_user="4531234567")
    assert [(fault.field, fault.code) for fault in refusal.faults] == [("call-term-user", code)]


async def test_the_requested_application_picks_the_rule() -> None:
    tenant = Tenant().with_rules(
        dial_rule("sip:4531234567@*", "to-user", dial_rule_translation_destination_user="1002"),
        dial_rule("sip:45*@*", "to-connection", dial_rule_parameter="trunk"),
    )
    plan = await tenant.plan(call_id="a", call_term_user="4531234567", dial_rule_application="to-connection")
    assert plan.termination[0].connection == "trunk"
    plan = await tenant.plan(call_id="b", call_term_user="4531234567")
    assert terminations(plan) == ["1002"]


async def test_the_users_dial_plan_goes_before_the_domains() -> None:
    tenant = Tenant().with_rules(
        dial_rule("sip:45*@*", "hangup"),
        dial_rule("sip:45*@*", "to-connection", plan="gold", dial_rule_parameter="trunk"),
    )
    await tenant.refused(call_term_user="4531234567")
    tenant.store.put(User(domain=DOMAIN, user="1001", dial_plan="gold"))
    assert (await tenant.plan(call_term_user="4531234567")).termination[0].connection == "trunk"


async def test_a_number_may_be_sent_to_a_connection_too() -> None:
    tenant = Tenant()
    tenant.store.put(
        PhoneNumber(
            domain=DOMAIN,
            phonenumber="4570101030",
            dial_rule_application="to-connection",
            dial_rule_parameter="trunk",
            dial_rule_translation_destination_user="4799999999",
        )
    )
    assert (await tenant.plan(call_term_user="4570101030")).dialled == "4799999999"


# --- targets ---


@pytest.mark.parametrize(
    ("address", "transport", "host", "port", "uri"),
    [
        ("gw.example", "udp", "gw.example", 5060, "sip:45@gw.example"),
        ("gw.example:5070", "udp", "gw.example", 5070, "sip:45@gw.example:5070"),
        ("sip:gw.example:5070", "tcp", "gw.example", 5070, "sip:45@gw.example:5070;transport=tcp"),
        ("192.0.2.1", "tls", "192.0.2.1", 5061, "sip:45@192.0.2.1;transport=tls"),
        ("[2001:db8::1]:5070", "udp", "2001:db8::1", 5070, "sip:45@[2001:db8::1]:5070"),
        ("[2001:db8::1]", "udp", "2001:db8::1", 5060, "sip:45@[2001:db8::1]"),
        ("gw.example", "", "gw.example", 5060, "sip:45@gw.example"),
    ],
)
def test_a_connections_target(address: str, transport: str, host: str, port: int, uri: str) -> None:
    connection = Connection(
        domain=DOMAIN,
        connection_orig_match_pattern="c",
        connection_address=address,
        connection_sip_transport_protocol=transport,
    )
    target = connection_target(connection, "45", "")
    assert (target.host, target.port, target.uri) == (host, port, uri)


@pytest.mark.parametrize(
    ("contact", "peer_host", "setting", "nat"),
    [
        ("sip:1001@10.0.0.1:5062", "10.0.0.1", "automatic", False),
        ("sip:1001@10.0.0.1", "10.0.0.1", "automatic", False),
        ("sip:1001@10.0.0.1;transport=udp", "10.0.0.1", "automatic", False),
        ("sip:10.0.0.1:5062", "10.0.0.1", "automatic", False),
        ("sip:1001@192.168.1.2:5062", "203.0.113.7", "automatic", True),
        ("sip:1001@10.0.0.11:5062", "10.0.0.1", "automatic", True),
        ("sip:1001@10.0.0.1:5062", "10.0.0.11", "automatic", True),
        ("sip:1001@phone.invalid", "203.0.113.7", "automatic", True),
        ("sip:1001@192.168.1.2:5062", "203.0.113.7", "never", False),
        ("sip:1001@192.168.1.2:5062", "203.0.113.7", "none", False),
        ("sip:1001@[2001:db8::1]:5062", "2001:db8::1", "automatic", False),
        ("sip:1001@[2001:db8::1]:5062", "2001:db8::2", "automatic", True),
    ],
)
def test_a_phone_behind_nat_is_known_by_its_two_addresses(
    contact: str, peer_host: str, setting: str, *, nat: bool
) -> None:
    device = Device(domain=DOMAIN, user="1001", device="1001", device_sip_nat_traversal_enabled=setting)
    assert device_target(device, location("1001", contact=contact, peer_host=peer_host)).nat is nat


def test_a_devices_target_goes_where_its_register_came_from() -> None:
    device = Device(domain=DOMAIN, user="1001", device="1001m")
    here = location("1001m", contact="sip:x@192.168.1.2:5060", peer_host="203.0.113.7", path=("<sip:edge;lr>",))
    target = device_target(device, here)
    assert (target.uri, target.host, target.port) == ("sip:x@192.168.1.2:5060", "203.0.113.7", 5062)
    assert (target.to_uri, target.route_set) == ("sip:1001m@demo.example", ("<sip:edge;lr>",))
