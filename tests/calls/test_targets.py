"""Who rings: devices, users, numbers, dial rules and connections (contract §3, §4)."""

from __future__ import annotations

import pytest

from ringbridge.calls.found import connection_target, device_target
from ringbridge.model.directory import Connection, Device, Domain, PhoneNumber, User
from ringbridge.model.errors import Refusal
from ringbridge.model.events import CallerId, CallPlan
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


async def test_a_name_as_it_is_written_goes_before_its_digits() -> None:
    tenant = Tenant()
    tenant.store.put(User(domain=DOMAIN, user="100-2"), Device(domain=DOMAIN, user="100-2", device="100.2"))
    tenant.store.put_location(location("100.2"))
    for text in ("100-2", "100-2@demo.example", "100.2", "sip:100.2@demo.example"):
        assert originations(await tenant.plan(OFFICE_KEY, call_id=text, call_orig_user=text)) == ["100.2"]
        assert terminations(await tenant.plan(call_id=f"to-{text}", call_term_user=text)) == ["100.2"]
    assert (await Tenant().refused(call_orig_user="10-02")).code == "not-your-user"


@pytest.mark.parametrize("text", ["+1001", "+1001@demo.example"])
async def test_a_plus_makes_no_other_extension(text: str) -> None:
    assert originations(await Tenant().plan(call_orig_user=text)) == ["1001", "1001_mobile"]
    assert terminations(await Tenant().plan(call_term_user=text)) == ["1001", "1001_mobile"]


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


# --- SRTP ---


async def test_a_device_that_requires_srtp_is_not_rung_in_the_clear() -> None:
    tenant = Tenant()
    tenant.store.put(Device(domain=DOMAIN, user="1002", device="1002", device_srtp_enabled="yes"))
    for text in ("1002", "sip:1002@demo.example", "4570101021"):
        refusal = await tenant.refused(call_id=text, call_term_user=text)
        (fault,) = refusal.faults
        assert (fault.field, fault.code) == ("call-term-user", "srtp-required")
        assert "1002 has yes" in (fault.allowed or "")
    tenant.store.put(Device(domain=DOMAIN, user="1001", device="1001", device_srtp_enabled="yes"))
    plan = await tenant.plan(call_id="other", call_term_user="1001")
    assert originations(plan) == terminations(plan) == ["1001_mobile"], "their other device rings"


async def test_a_device_that_would_take_srtp_is_rung_without() -> None:
    tenant = Tenant()
    tenant.store.put(Device(domain=DOMAIN, user="1002", device="1002", device_srtp_enabled="opportunistic"))
    assert terminations(await tenant.plan(call_term_user="1002")) == ["1002"]


async def test_a_device_that_is_not_registered_is_said_to_be_so_first() -> None:
    tenant = Tenant()
    tenant.store.put(Device(domain=DOMAIN, user="1003", device="1003", device_srtp_enabled="yes"))
    (fault,) = (await tenant.refused(call_term_user="1003")).faults
    assert fault.code == "no-registered-device"


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


def with_area_code(tenant: Tenant, *, of_user: str, of_domain: str = "") -> Tenant:
    """Return it with the caller and the domain in areas of their own, and a rule for ten digits."""
    tenant.store.put(
        User(domain=DOMAIN, user="1001", caller_id_number="4570101020", area_code=of_user),
        Domain(DOMAIN, other={"area-code": of_domain} if of_domain else {}),
    )
    return tenant.with_rules(dial_rule("sip:NXXNXXXXXX@*", "to-connection", dial_rule_parameter="trunk"))


@pytest.mark.parametrize(
    "text", ["5550123", "555-0123", "555 0123", "5550123@demo.example", "sip:5550123@demo.example"]
)
@pytest.mark.parametrize(("of_user", "of_domain"), [("212", ""), ("212", "646"), ("", "212")])
async def test_a_local_number_is_in_the_area_of_who_dials_it(text: str, of_user: str, of_domain: str) -> None:
    plan = await with_area_code(Tenant(), of_user=of_user, of_domain=of_domain).plan(call_term_user=text)
    assert plan.dialled == "2125550123"
    assert [target.uri for target in plan.termination] == ["sip:2125550123@gw.example:5080"]


async def test_a_first_leg_is_dialled_in_the_same_area() -> None:
    plan = await with_area_code(Tenant(), of_user="212").plan(call_orig_user="5550123")
    assert [target.uri for target in plan.origination] == ["sip:2125550123@gw.example:5080"]


@pytest.mark.parametrize("text", ["15550123", "1550123", "+5550123", "555012", "55501234", "5550#23"])
async def test_what_is_no_local_number_is_dialled_as_it_is(text: str) -> None:
    tenant = with_area_code(Tenant(), of_user="212")
    tenant.with_rules(dial_rule("sip:*@*", "to-connection", dial_rule_parameter="trunk"))
    assert (await tenant.plan(call_term_user=text)).dialled.removeprefix("+") == text.removeprefix("+")


@pytest.mark.parametrize("area_code", ["", "45", "112", "2125"])
async def test_what_is_no_area_code_goes_before_nothing(area_code: str) -> None:
    tenant = with_area_code(Tenant(), of_user=area_code)
    tenant.with_rules(dial_rule("sip:*@*", "to-connection", dial_rule_parameter="trunk"))
    assert (await tenant.plan(call_term_user="5550123")).dialled == "5550123"


async def test_a_name_of_the_domain_s_own_is_no_local_number() -> None:
    tenant = with_area_code(Tenant(), of_user="212")
    tenant.store.put(User(domain=DOMAIN, user="5550123"), Device(domain=DOMAIN, user="5550123", device="5550123"))
    tenant.store.put(PhoneNumber(DOMAIN, "5550124", user="1002", dial_rule_parameter="1002"))
    tenant.store.put_location(location("5550123"))
    assert terminations(await tenant.plan(call_term_user="5550123")) == ["5550123"]
    assert terminations(await tenant.plan(call_id="other", call_term_user="555-0124")) == ["1002"]


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
        ("to-connection-add-header", "trunk;Via: x", "bad-header"),
        ("to-connection-add-header", "trunk", "bad-header"),
        ("to-connection-or-user-no-failover", "off", "no-connection"),
        ("to-connection-or-user-no-failover", "nowhere", "unknown-user"),
        ("to-connection", "nowhere", "no-connection"),
        ("to-connection", "off", "no-connection"),
        ("to-user", "", "unknown-user"),
        ("to-single-device", "nobody", "unknown-device"),
        ("to-conference", "", "application-not-supported"),
        ("to-voicemail", "", "application-not-supported"),
        ("to-user-add-header", "", "application-not-supported"),
    ],
)
async def test_a_rule_that_leads_nowhere_refuses_the_call(application: str, parameter: str, code: str) -> None:
    tenant = Tenant().with_rules(dial_rule("sip:45*@*", application, dial_rule_parameter=parameter))
    refusal = await tenant.refused(call_term_user="4531234567")
    assert [(fault.field, fault.code) for fault in refusal.faults] == [("call-term-user", code)]
    assert "dial rule sip:45*@* of plan demo.example" in refusal.message


@pytest.mark.parametrize(
    ("application", "status", "code"),
    [
        ("hangup", Refusal.FORBIDDEN, "barred-by-dial-rule"),
        ("available-number", Refusal.NOT_FOUND, "available-number"),
    ],
)
async def test_a_rule_may_refuse_a_number(application: str, status: Refusal, code: str) -> None:
    refusal = await Tenant().with_rules(dial_rule("sip:45*@*", application)).refused(call_term_user="4531234567")
    assert (refusal.refusal, refusal.code) == (status, code)
    assert "dial rule sip:45*@* of plan demo.example" in refusal.message


async def test_a_rule_may_add_a_header() -> None:
    rule = dial_rule("sip:45*@*", "to-connection-add-header", dial_rule_parameter="trunk; X-Account: [*];a=1")
    plan = await Tenant().with_rules(rule).plan(call_term_user="4531234567")
    assert plan.termination[0].headers == (("X-Account", "31234567;a=1"),)
    assert plan.termination[0].connection == "trunk"


async def test_a_rule_may_let_it_ring_for_as_long_as_it_likes() -> None:
    tenant = Tenant().with_rules(
        dial_rule("sip:45*@*", "to-connection-no-timeout", dial_rule_parameter="trunk"),
        dial_rule("sip:46*@*", "to-connection-add-header-no-timeout", dial_rule_parameter="trunk;X-A: 1"),
        dial_rule("sip:47*@*", "to-connection", dial_rule_parameter="trunk"),
    )
    for call_id, dialled, timeout_s in (("a", "451", 14_400.0), ("b", "461", 14_400.0), ("c", "471", 60.0)):
        assert (await tenant.plan(call_id=call_id, call_term_user=dialled)).termination_ring_timeout_s == timeout_s


async def test_a_rule_may_force_the_users_own_caller_id() -> None:
    application = "to-connection-add-header-force-caller-id"
    tenant = Tenant().with_rules(dial_rule("sip:45*@*", application, dial_rule_parameter="trunk;X-A: 1"))
    plan = await tenant.plan(call_term_user="4531234567", caller_id_number="+4570101020")
    assert plan.termination_caller_id.number == "+4570101010"


async def test_a_rule_leads_to_a_connection_or_to_a_user() -> None:
    application = "to-connection-or-user-no-failover"
    user = {"dial_rule_translation_destination_user": "1002"}
    tenant = Tenant().with_rules(
        dial_rule("sip:45*@*", application, dial_rule_parameter="trunk", **user),
        dial_rule("sip:46*@*", application, dial_rule_parameter="1002@demo.example", **user),
    )
    assert (await tenant.plan(call_id="a", call_term_user="451")).termination[0].connection == "trunk"
    assert terminations(await tenant.plan(call_id="b", call_term_user="461")) == ["1002"]


async def test_a_rule_changes_what_the_other_side_sees() -> None:
    rule = dial_rule(
        "sip:45*@*",
        "to-connection",
        dial_rule_parameter="trunk",
        dial_rule_translation_source_name="Sales",
        dial_rule_translation_source_user="+4570109999",
        dial_rule_translation_source_host="pbx.example",
    )
    plan = await Tenant().with_rules(rule).plan(call_term_user="4531234567")
    assert plan.termination_caller_id == CallerId("+4570109999", "Sales", "pbx.example")
    assert plan.origination_caller_id == CallerId("+4570101010", "Ann")


async def test_a_rule_without_a_source_user_hides_the_caller() -> None:
    rule = dial_rule(
        "sip:45*@*", "to-connection", dial_rule_parameter="trunk", dial_rule_translation_source_user="<Null>"
    )
    assert (await Tenant().with_rules(rule).plan(call_term_user="451")).termination_caller_id.number == "anonymous"


@pytest.mark.parametrize(
    "fields",
    [
        {"dial_rule_translation_destination_user": "45 [*];user=phone"},
        {"dial_rule_translation_destination_user": "[*]@other"},
        {"dial_rule_translation_destination_host": "gw example"},
        {"dial_rule_translation_source_user": "<sip:x>"},
        {"dial_rule_translation_source_host": "a/b"},
        {"dial_rule_translation_source_host": "-a.example"},
        {"dial_rule_translation_source_host": ".example"},
        {"dial_rule_translation_source_host": "a.example:0"},
        {"dial_rule_translation_source_host": "a.example:65536"},
        {"dial_rule_translation_source_name": "a\r\nX: y"},
    ],
)
async def test_a_translation_never_reaches_a_message_unchecked(fields: dict[str, str]) -> None:
    tenant = Tenant().with_rules(dial_rule("sip:45*@*", "to-connection", dial_rule_parameter="trunk", **fields))
    assert (await tenant.refused(call_term_user="4531234567")).code == "bad-translation"


async def test_a_feature_code_is_a_uri() -> None:
    code = {"dial_rule_translation_destination_user": "#21#4531234567"}
    rule = dial_rule("sip:#21#*@*", "to-connection", dial_rule_parameter="trunk", **code)
    (target,) = (await Tenant().with_rules(rule).plan(call_term_user="#21#4531234567")).termination
    assert target.uri == "sip:%2321%234531234567@gw.example:5080"
    assert target.label == "#21#4531234567"


async def test_rules_hold_by_the_clock_of_who_calls() -> None:
    """START is a Monday, 13:46:40 UTC."""
    zones = {"dial_rule_matching_start_time": "14:00", "dial_rule_matching_end_time": "15:00"}
    tenant = Tenant().with_rules(
        dial_rule("sip:45*@*", "to-user", dial_rule_translation_destination_user="1002", **zones),
        dial_rule("sip:4*@*", "to-connection", dial_rule_parameter="trunk"),
    )
    assert (await tenant.plan(call_id="utc", call_term_user="451")).termination[0].connection == "trunk"
    tenant.store.put(Domain(domain=DOMAIN, caller_id_number="+4570101000", time_zone="Europe/Copenhagen"))
    assert terminations(await tenant.plan(call_id="domain", call_term_user="451")) == ["1002"]
    tenant.store.put(User(domain=DOMAIN, user="1001", time_zone="America/New_York"))
    assert (await tenant.plan(call_id="user", call_term_user="451")).termination[0].connection == "trunk"


async def test_a_number_of_the_domain_goes_before_a_wider_rule_and_after_its_own() -> None:
    tenant = Tenant().with_rules(dial_rule("sip:45*@*", "to-connection", dial_rule_parameter="trunk"))
    assert terminations(await tenant.plan(call_id="a", call_term_user="4570101021")) == ["1002"]
    tenant.with_rules(dial_rule("sip:4570101021@*", "to-user", dial_rule_translation_destination_user="1001"))
    assert terminations(await tenant.plan(call_id="b", call_term_user="4570101021")) == ["1001", "1001_mobile"]


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


def test_headers_in_a_registered_contact_do_not_reach_the_request_uri() -> None:
    """RFC 3261 §19.1.1: they may not stand there; a phone would choose the Route or the body of our INVITE."""
    device = Device(domain=DOMAIN, user="1001", device="1001m")
    here = location("1001m", contact="sip:x@192.0.2.2:5060;ob?Route=%3Csip:elsewhere%3E", peer_host="192.0.2.2")
    assert device_target(device, here).uri == "sip:x@192.0.2.2:5060;ob"


def test_a_devices_target_goes_where_its_register_came_from() -> None:
    device = Device(domain=DOMAIN, user="1001", device="1001m")
    here = location("1001m", contact="sip:x@192.168.1.2:5060", peer_host="203.0.113.7", path=("<sip:edge;lr>",))
    target = device_target(device, here)
    assert (target.uri, target.host, target.port) == ("sip:x@192.168.1.2:5060", "203.0.113.7", 5062)
    assert (target.to_uri, target.route_set) == ("sip:1001m@demo.example", ("<sip:edge;lr>",))
