"""Contract section 4: what dial rules and phone numbers do with a call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.carrier import Carrier
from tests.contract.shapes import SCHEMAS
from tests.contract.test_directory import second_leg, short
from tests.contract.wire import Json, Tenant, answered, call_body, faulted

PREFIX = iter(range(70_000, 80_000))
"""The beginning of the numbers of each test, so that none meets the rules of another."""


def prefix() -> str:
    """Return digits that no other test's numbers begin with."""
    return str(next(PREFIX))


def rule(phones: Tenant, to: str, *, plan: str = "", **more: Json) -> str:
    """Make a rule of the tenant's plan that rings 1001 unless it says otherwise; return its path."""
    body: dict[str, Json] = {
        "synchronous": "yes",
        "dail-rule-matching-to-uri": to if to.startswith("sip:") else f"sip:{to}@*",
        "dial-rule-application": "to-user",
        "dial-rule-translation-destination-user": "1001",
        "dialrule": short(),
    }
    path = f"{phones.path}/dialplans/{plan or phones.domain}/dialrules"
    body |= {key.replace("_", "-"): value for key, value in more.items()}
    made = answered(phones.api.post(path, json=body), 200)
    return f"{path}/{made['dialrule']}"


def refused(phones: Tenant, number: str, *statuses: int) -> dict[str, Json]:
    """Call a number that cannot be called; return the fault of `call-term-user`."""
    answer = phones.api.post(phones.calls(), json=call_body(term=number))
    return faulted(answer, answer.status_code if answer.status_code in statuses else statuses[0])["call-term-user"]


def connection(phones: Tenant, carrier: Carrier, **more: Json) -> str:
    """Make a connection to the carrier; return its name."""
    name = short()
    body = {"connection-orig-match-pattern": name, "connection-address": carrier.address}
    body |= {key.replace("_", "-"): value for key, value in more.items()}
    answered(phones.api.post(f"{phones.path}/connections", json=body), 202)
    return name


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("{0}X", "{0}0", "{0}A"),
        ("{0}N", "{0}2", "{0}1"),
        ("{0}Z", "{0}1", "{0}0"),
        ("{0}?", "{0}A", "{0}AA"),
        ("{0}*", "{0}123456", "9{0}"),
        ("{0}5", "{0}5", "{0}55"),
        ("sip:{0}9@*", "{0}9", "{0}8"),
    ],
)
def test_what_patterns_match(phones: Tenant, pattern: str, matching: str, other: str) -> None:
    """“`sip:1NXXNXXXXXX@*`; digits, `X` 0-9, `N` 2-9, `Z` 1-9, `?` one character, `*` rest”"""
    ours = prefix()
    rule(phones, pattern.format(ours))
    assert second_leg(phones, matching.format(ours)) == "1001"
    refused(phones, other.format(ours), 400, 404)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [("{0}*", "{0}5*"), ("{0}5*", "{0}5X"), ("{0}XX", "{0}5X"), ("{0}5?", "{0}5X"), ("{0}X5", "{0}55")],
)
def test_the_more_specific_rule_wins_whichever_was_made_first(phones: Tenant, wide: str, narrow: str) -> None:
    """“matched in order of specificity on `dail-rule-matching-to-uri`”"""
    ours = prefix()
    for first, second in ((wide, narrow), (narrow, wide)):
        made = [
            rule(phones, pattern.format(ours), dial_rule_application="to-user" if pattern == narrow else "hangup")
            for pattern in (first, second)
        ]
        assert second_leg(phones, f"{ours}55") == "1001"
        for path in made:
            answered(phones.api.delete(path), 202)


def test_the_caller_decides_among_rules_of_one_pattern(phones: Tenant) -> None:
    """“… and `dail-rule-matching-from-uri`”"""
    ours = prefix()
    rule(phones, f"{ours}1", dial_rule_application="hangup")
    rule(phones, f"{ours}1", dail_rule_matching_from_uri="sip:1000@*")
    assert second_leg(phones, f"{ours}1") == "1001"
    other = phones.api.post(phones.calls("1001"), json=call_body(term=f"{ours}1"))
    assert "call-term-user" in faulted(other, 403)


def test_a_plus_makes_no_difference(phones: Tenant) -> None:
    """“`+` before a number makes no difference to dial rules.” (section 3)"""
    ours = prefix()
    rule(phones, f"{ours}1")
    rule(phones, f"+{ours}2")
    assert second_leg(phones, f"+{ours}1") == "1001"
    assert second_leg(phones, f"{ours}2") == "1001"


NOW = datetime.now(UTC)
TODAY, TOMORROW = NOW.isoweekday() % 7, (NOW.isoweekday() + 1) % 7
DAYS = timedelta(days=2)


@pytest.mark.parametrize(
    ("window", "is_open"),
    [
        ({"dial-rule-matching-day-of-week": "*"}, True),
        ({"dial-rule-matching-day-of-week": str((TODAY + 3) % 7)}, False),
        ({"dial-rule-matching-day-of-week": "0123456"}, True),
        ({"dial-rule-matching-start-time": "00:00:00", "dial-rule-matching-end-time": "23:59:59"}, True),
        (
            {
                "dial-rule-matching-start-time": f"{NOW + timedelta(hours=6):%H:%M:%S}",
                "dial-rule-matching-end-time": f"{NOW + timedelta(hours=7):%H:%M:%S}",
            },
            False,
        ),
        ({"dial-rule-matching-start-date": f"{NOW - DAYS:%Y-%m-%d 00:00:00}"}, True),
        ({"dial-rule-matching-start-date": f"{NOW + DAYS:%Y-%m-%d 00:00:00}"}, False),
        ({"dial-rule-matching-end-date": f"{NOW + DAYS:%Y-%m-%d 00:00:00}"}, True),
        ({"dial-rule-matching-end-date": f"{NOW - DAYS:%Y-%m-%d 00:00:00}"}, False),
    ],
)
def test_a_rule_holds_in_its_window_alone(phones: Tenant, window: dict[str, str], *, is_open: bool) -> None:
    """“day of week, date and time window”: outside it the next rule counts."""
    ours = prefix()
    rule(phones, f"{ours}*", dial_rule_application="hangup")
    rule(phones, f"{ours}1", **window)
    if is_open:
        assert second_leg(phones, f"{ours}1") == "1001"
    else:
        refused(phones, f"{ours}1", 403)


def test_times_are_those_of_the_user_s_time_zone(phones: Tenant) -> None:
    """“`time-zone`” acts; “day of week, date and time window”"""
    ours, user = prefix(), f"{phones.path}/users/1000"
    rule(phones, f"{ours}*", dial_rule_application="hangup")
    window = {
        "dial-rule-matching-start-time": f"{NOW + timedelta(hours=8):%H:%M:%S}",
        "dial-rule-matching-end-time": f"{NOW + timedelta(hours=10):%H:%M:%S}",
    }
    rule(phones, f"{ours}1", **window)
    refused(phones, f"{ours}1", 403)
    answered(phones.api.put(user, json={"time-zone": "Asia/Tokyo"}), 202)  # nine hours before UTC, all the year
    try:
        assert second_leg(phones, f"{ours}1") == "1001"
    finally:
        answered(phones.api.put(user, json={"time-zone": ""}), 202)


def test_rules_with_the_request_s_application_are_tried_first(phones: Tenant) -> None:
    """“rules of the dial plan that carry this application are tried first, then those without one” (section 3)"""
    ours = prefix()
    rule(phones, f"{ours}12", dial_rule_application="hangup")
    rule(phones, f"{ours}*", dial_rule_application="to-user-residential")
    refused(phones, f"{ours}12", 403)
    call_id = phones.place(term=f"{ours}12", dial_rule_application="to-user-residential")
    assert phones.in_state(call_id, "connected")["call-term-user"] == "1001"
    phones.drop(call_id)


@pytest.mark.parametrize("application", ["to-user", "to-user-residential"])
def test_to_user_rings_the_user(phones: Tenant, application: str) -> None:
    """“Applications that act …: `to-user`, `to-user-residential`”"""
    ours = prefix()
    rule(phones, f"{ours}1", dial_rule_application=application)
    assert second_leg(phones, f"{ours}1") == "1001"


def test_to_single_device_rings_the_device(phones: Tenant) -> None:
    """“Applications that act …: `to-single-device`, …”; “`dial-rule-parameter`”"""
    ours = prefix()
    rule(
        phones,
        f"{ours}1",
        dial_rule_application="to-single-device",
        dial_rule_parameter="1001",
        dial_rule_translation_destination_user="[*]",
    )
    call_id = phones.place(term=f"{ours}1")
    call = phones.in_state(call_id, "connected")
    assert [leg["target"] for leg in call["call-legs"] if leg["leg"] == "termination"] == ["1001"]
    phones.drop(call_id)


def through(phones: Tenant, carrier: Carrier, application: str, parameter: str = "{0}", **more: Json) -> str:
    """Make a rule that leads to the carrier; return a number that it takes."""
    ours = prefix()
    name = connection(phones, carrier)
    translated = {"dial_rule_translation_destination_user": "[*]"} | more
    parameter = parameter.format(name)
    rule(phones, f"{ours}*", dial_rule_application=application, dial_rule_parameter=parameter, **translated)
    return f"{ours}202"


FORMS = (
    "to-connection",
    "to-connection-block-caller-id",
    "to-connection-no-timeout",
    "to-connection-add-header",
    "to-connection-add-header-no-timeout",
    "to-connection-add-header-force-caller-id",
    "to-connection-or-user-no-failover",
)


ACTING = {"to-user", "to-user-residential", "to-single-device", *FORMS, "available-number", "hangup"}


@pytest.mark.parametrize("application", FORMS)
def test_to_connection_sends_the_translated_number(phones: Tenant, carrier: Carrier, application: str) -> None:
    """“`to-connection` (with its `-add-header`, `-block-caller-id`, `-no-timeout` forms),
    `to-connection-or-user-no-failover`”; “`[*]` is what the wildcard matched”"""
    number = through(phones, carrier, application, "{0};X-Of: us" if "add-header" in application else "{0}")
    call_id = phones.place(term=number)
    invite = carrier.wait()
    assert (invite.number, invite.uri.rpartition("@")[2]) == ("202", carrier.address)
    ended = phones.in_state(call_id, "ended")
    assert ended["release-cause"]
    legs = [leg for leg in ended["call-legs"] if leg["leg"] == "termination"]
    assert len(legs) == len(carrier.invites) == 1


def test_a_connection_answers_and_both_are_joined(phones: Tenant, carrier: Carrier) -> None:
    """“Connection: … address, transport”: the second leg of a call that is up."""
    carrier.says = 200
    call_id = phones.place(term=through(phones, carrier, "to-connection"))
    phones.in_state(call_id, "connected")
    phones.drop(call_id)
    carrier.wait_for("BYE")


@pytest.mark.parametrize("application", [form for form in FORMS if "add-header" in form])
def test_add_header_adds_one(phones: Tenant, carrier: Carrier, application: str) -> None:
    """“its `-add-header` … forms”"""
    phones.place(term=through(phones, carrier, application, "{0};X-Contract-Test: 47 11"))
    assert carrier.wait().headers["x-contract-test"] == "47 11"


def test_block_caller_id_shows_nobody(phones: Tenant, carrier: Carrier) -> None:
    """“its … `-block-caller-id` … forms”"""
    phones.place(term=through(phones, carrier, "to-connection-block-caller-id"))
    invite = carrier.wait()
    assert "12025550101" not in invite.headers["from"]
    assert "anonymous" in invite.headers["from"].lower()
    assert invite.headers["privacy"] == "id"
    phones.place(term=through(phones, carrier, "to-connection"))
    assert "12025550101" in carrier.wait(lambda one: "privacy" not in one.headers).headers["from"]


def test_connection_or_user_rings_the_user_where_there_is_no_such_connection(phones: Tenant) -> None:
    """“`to-connection-or-user-no-failover`”"""
    ours = prefix()
    rule(
        phones,
        f"{ours}1",
        dial_rule_application="to-connection-or-user-no-failover",
        dial_rule_parameter="no-such-connection",
    )
    assert second_leg(phones, f"{ours}1") == "1001"


def test_a_connection_that_is_not_there_refuses_the_call(phones: Tenant) -> None:
    """“`to-connection`”: and the refusal says why, before anything rings."""
    ours = prefix()
    rule(phones, f"{ours}1", dial_rule_application="to-connection", dial_rule_parameter="no-such-connection")
    assert "no-such-connection" in str(refused(phones, f"{ours}1", 400, 404))


def test_hangup_and_available_number(phones: Tenant) -> None:
    """“`available-number` (404), `hangup`”"""
    ours = prefix()
    rule(phones, f"{ours}1", dial_rule_application="available-number")
    rule(phones, f"{ours}2", dial_rule_application="hangup")
    assert refused(phones, f"{ours}1", 404)["code"] == "available-number"
    refused(phones, f"{ours}2", 403)


@pytest.mark.parametrize("application", sorted(set(SCHEMAS["DialruleApplication"]["enum"]) - ACTING))
def test_other_applications_are_stored_and_refuse_the_call(phones: Tenant, application: str) -> None:
    """“the others are stored and refuse the call with a clear error”"""
    ours = prefix()
    path = rule(phones, f"{ours}1", dial_rule_application=application)
    assert answered(phones.api.get(path), 200)["dial-rule-application"] == application
    assert application in refused(phones, f"{ours}1", 400, 403)["message"]


@pytest.mark.parametrize(
    ("field", "value", "seen"),
    [
        ("dial_rule_translation_source_user", "12025550188", "sip:12025550188@"),
        ("dial_rule_translation_source_name", "Front Desk", '"Front Desk"'),
        ("dial_rule_translation_source_host", "<OwnDomain>", "@{domain}"),
        ("dial_rule_translation_source_host", "sbc.example", "@sbc.example"),
    ],
)
def test_translations_of_the_source(phones: Tenant, carrier: Carrier, field: str, value: str, seen: str) -> None:
    """“translations of destination and source (scheme, user, host, name)”, “`<OwnDomain>` the domain”"""
    phones.place(term=through(phones, carrier, "to-connection", **{field: value}))
    assert seen.format(domain=phones.domain) in carrier.wait().headers["from"]


@pytest.mark.parametrize(
    ("field", "value", "uri"),
    [
        ("dial_rule_translation_destination_user", "1[*]", "sip:1202@{carrier}"),
        ("dial_rule_translation_destination_user", "[*]99", "sip:20299@{carrier}"),
        ("dial_rule_translation_destination_user", "4711", "sip:4711@{carrier}"),
        ("dial_rule_translation_destination_host", "<OwnDomain>", "sip:202@{domain}"),
        ("dial_rule_translation_destination_host", "pbx.example", "sip:202@pbx.example"),
        ("dial_rule_translation_destination_host", "[*]", "sip:202@{carrier}"),
        ("dial_rule_translation_destination_scheme", "sip:", "sip:202@{carrier}"),
    ],
)
def test_translations_of_the_destination(phones: Tenant, carrier: Carrier, field: str, value: str, uri: str) -> None:
    """“translations of destination …, where `[*]` is what the wildcard matched and `<OwnDomain>` the domain”"""
    phones.place(term=through(phones, carrier, "to-connection", **{field: value}))
    assert carrier.wait().uri == uri.format(carrier=carrier.address, domain=phones.domain)


# --- phone numbers ---


def number(phones: Tenant, **more: Json) -> str:
    """Make a phone number of the tenant that rings 1001 unless it says otherwise."""
    name = f"1202{next(PREFIX):05}99"
    body: dict[str, Json] = {
        "phonenumber": name,
        "dial-rule-application": "to-user",
        "dial-rule-translation-destination-user": "1001",
    }
    body |= {key.replace("_", "-"): value for key, value in more.items()}
    answered(phones.api.post(f"{phones.path}/phonenumbers", json=body), 202)
    return name


@pytest.mark.parametrize("form", ["{0}", "+{0}", "+1 ({1}) {2}-{3}"])
def test_a_phone_number_is_a_dial_rule(phones: Tenant, form: str) -> None:
    """“Phone number: enabled; application and destination as a dial rule”"""
    name = number(phones)
    assert second_leg(phones, form.format(name, name[1:4], name[4:7], name[7:])) == "1001"


def test_a_phone_number_that_is_not_enabled_is_passed_over(phones: Tenant) -> None:
    """“Phone number: enabled”"""
    name = number(phones, enabled="no")
    refused(phones, name, 400, 404)
    answered(phones.api.put(f"{phones.path}/phonenumbers/{name}", json={"enabled": "yes"}), 202)
    assert second_leg(phones, name) == "1001"


def test_a_phone_number_goes_before_a_wider_rule(phones: Tenant) -> None:
    """“application and destination as a dial rule”: of the most specific pattern."""
    name = number(phones)
    rule(phones, f"{name[:-2]}*", dial_rule_application="hangup")
    assert second_leg(phones, name) == "1001"


@pytest.mark.parametrize(("application", "status"), [("available-number", 404), ("hangup", 403), ("to-voicemail", 400)])
def test_the_application_of_a_phone_number(phones: Tenant, application: str, status: int) -> None:
    """“application and destination as a dial rule”"""
    refused(phones, number(phones, dial_rule_application=application), status)


def test_a_phone_number_leads_to_a_connection(phones: Tenant, carrier: Carrier) -> None:
    """“application and destination as a dial rule”"""
    name = number(
        phones,
        dial_rule_application="to-connection",
        dial_rule_parameter=connection(phones, carrier),
        dial_rule_translation_destination_user="[*]",
    )
    phones.place(term=name)
    assert carrier.wait().number == name


def test_the_owner_of_a_phone_number_may_show_it(phones: Tenant, carrier: Carrier) -> None:
    """“owner user”: whose caller ID it is."""
    name = number(phones, user="1000")
    outside = through(phones, carrier, "to-connection")
    phones.place(term=outside, caller_id_number=name)
    assert name in carrier.wait().headers["from"]
    refusal = phones.api.post(phones.calls("1001"), json=call_body(term=outside, **{"caller-id-number": name}))
    assert "caller-id-number" in faulted(refusal, 403)
