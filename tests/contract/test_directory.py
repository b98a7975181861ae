"""Contract section 4: the directory."""

from __future__ import annotations

import pytest

from tests.contract.shapes import SCHEMAS, faults_of
from tests.contract.wire import PHONES, Json, Tenant, answered, domain_body, new_id, user_body


def short() -> str:
    """Return a name of its own that can name a user too."""
    return new_id()[-10:]


def resources(tenant: Tenant) -> dict[str, tuple[str, dict[str, Json], str]]:
    """Return each kind of resource: the path of its list, what makes one, and the field that names it."""
    name = short()
    users = f"{tenant.path}/users"
    number = "1202" + str(int(name, 16))[-7:].rjust(7, "5")
    return {
        "Domain": ("/domains", domain_body(f"{name}.example"), "domain"),
        "User": (users, user_body(name), "user"),
        "Device": (f"{users}/1000/devices", {"device": name}, "device"),
        "Phonenumber": (
            f"{tenant.path}/phonenumbers",
            {"phonenumber": number, "dial-rule-translation-destination-user": "1001"},
            "phonenumber",
        ),
        "DialRule": (
            f"{tenant.path}/dialplans/{tenant.domain}/dialrules",
            {"dail-rule-matching-to-uri": f"sip:66{name}@*", "dial-rule-translation-destination-user": "1001"},
            "dialrule",
        ),
        "Connection": (
            f"{tenant.path}/connections",
            {"connection-orig-match-pattern": name, "connection-address": "192.0.2.1:5060"},
            "connection-orig-match-pattern",
        ),
        "Answerrule": (
            f"{users}/1001/answerrules",
            {"time-frame": name, "enabled": "yes", "is-active": True},
            "time-frame",
        ),
    }


KINDS = ("Domain", "User", "Device", "Phonenumber", "DialRule", "Connection", "Answerrule")


def made(tenant: Tenant, kind: str) -> tuple[str, str, dict[str, Json]]:
    """Make a resource; return the path of its list, its own, and it."""
    path, body, name = resources(tenant)[kind]
    answered(tenant.api.post(path, json=body), 202)
    listed = answered(tenant.api.get(path, params={"limit": 1000}), 200)
    (one,) = [one for one in listed if all(str(one.get(key)) == str(body[key]) for key in list(body)[:1])]
    return path, f"{path}/{one[name]}", one


@pytest.mark.parametrize("kind", KINDS)
def test_get_post_put_delete(tenant: Tenant, kind: str) -> None:
    """“GET, POST, PUT, DELETE; PUT changes the fields that it names and leaves the rest.”"""
    path, at, one = made(tenant, kind)
    before = answered(tenant.api.get(at), 200)
    assert faults_of(kind, before) == []
    change = {"enabled": "no"} if "enabled" in one else {"description": "changed"}
    change = {"name-last-name": "changed"} if kind == "User" else change
    change = {"device-push-enabled": "no"} if kind == "Device" else change
    answered(tenant.api.put(at, json=change), 202)
    after = answered(tenant.api.get(at), 200)
    stamped = {"last-modified-datetime": after.get("last-modified-datetime")} if kind == "User" else {}
    stamped = (
        {"last-modified-datetime": after["last-modified-datetime"]} if "last-modified-datetime" in after else stamped
    )
    assert after == before | change | stamped
    answered(tenant.api.delete(at), 202)
    answered(tenant.api.get(at), 404)
    answered(tenant.api.get(path), 200)


@pytest.mark.parametrize("kind", ["Domain", "User", "Device", "Phonenumber", "Connection", "Answerrule"])
def test_two_creates_of_one_name_409(tenant: Tenant, kind: str) -> None:
    """“Two creates of one name: 409.”"""
    path, body, _ = resources(tenant)[kind]
    answered(tenant.api.post(path, json=body), 202)
    answered(tenant.api.post(path, json=body), 409)


@pytest.mark.parametrize("kind", KINDS)
def test_lists_are_counted(tenant: Tenant, kind: str) -> None:
    """“`/domains/count` …, `/users/count`, … `/count`”"""
    path, _, _ = resources(tenant)[kind]
    before = answered(tenant.api.get(f"{path}/count"), 200)["total"]
    made(tenant, kind)
    assert answered(tenant.api.get(f"{path}/count"), 200)["total"] == before + 1


def test_a_domain_counts_itself(tenant: Tenant) -> None:
    """“`/domains/{domain}/count` (exists?)”"""
    assert answered(tenant.api.get(f"{tenant.path}/count"), 200) == {"total": 1}
    assert answered(tenant.api.get("/domains/nowhere.example/count"), 200) == {"total": 0}


def test_all_phone_numbers_and_connections(tenant: Tenant) -> None:
    """“`/phonenumbers`”, “`/connections`, `/connections/count`”"""
    for path in ("/phonenumbers", "/connections"):
        assert isinstance(answered(tenant.api.get(path), 200), list)
        assert isinstance(answered(tenant.api.get(f"{path}/count"), 200)["total"], int)


@pytest.mark.parametrize("name", ["name-first-name", "department", "site", "area-code", "email-address", "dial-plan"])
def test_fields_are_stored_and_read_back(tenant: Tenant, name: str) -> None:
    """“Every field of the schemas is stored and read back”"""
    assert name in SCHEMAS["User"]
    user = short()
    value = "x@contract.example" if name == "email-address" else "202"
    answered(tenant.api.post(f"{tenant.path}/users", json=user_body(user) | {name: value}), 202)
    assert str(tenant.api.get(f"{tenant.path}/users/{user}").json()[name]) == value


def test_the_registration_of_a_device_is_read_back(phones: Tenant) -> None:
    """“`device-sip-registration-uri` (its address-of-record), `-contact`, `-state`, `-expires-datetime`”"""
    for user in PHONES:
        device = answered(phones.api.get(f"{phones.path}/users/{user}/devices/{user}"), 200)
        assert device["device-sip-registration-uri"] == f"sip:{user}@{phones.domain}"
        assert device["device-sip-registration-state"] == "registered"
        assert device["device-sip-registration-contact"].startswith("sip:")
        assert device["device-sip-registration-expires-datetime"]
        assert faults_of("Device", device) == []


def rule(phones: Tenant, to: str, **more: str) -> None:
    """Make a dial rule of the tenant's plan that rings 1001 unless it says otherwise."""
    body = {
        "dail-rule-matching-to-uri": f"sip:{to}@*",
        "dial-rule-application": "to-user",
        "dial-rule-translation-destination-user": "1001",
    }
    path = f"{phones.path}/dialplans/{phones.domain}/dialrules"
    answered(phones.api.post(path, json=body | {key.replace("_", "-"): value for key, value in more.items()}), 202)


def second_leg(phones: Tenant, number: str) -> str:
    """Call a number; return whose phone answered."""
    call_id = phones.place(term=number)
    user = phones.in_state(call_id, "connected")["call-term-user"]
    phones.drop(call_id)
    return str(user)


def test_the_more_specific_dial_rule_wins(phones: Tenant) -> None:
    """“matched in order of specificity on `dail-rule-matching-to-uri`”"""
    rule(phones, "881*", dial_rule_application="hangup")
    rule(phones, "8815", dial_rule_application="to-user")
    assert second_leg(phones, "8815") == "1001"


def test_what_the_wildcard_matched_is_translated(phones: Tenant) -> None:
    """“translations of destination …, where `[*]` is what the wildcard matched”"""
    rule(phones, "882*", dial_rule_translation_destination_user="[*]")
    assert second_leg(phones, "8821001") == "1001"


def test_a_rule_that_is_not_enabled_is_passed_over(phones: Tenant) -> None:
    """“A rule whose `enabled` is `no` is passed over.”"""
    rule(phones, "883X", dial_rule_application="to-user")
    rule(phones, "8835", dial_rule_application="hangup", enabled="no")
    assert second_leg(phones, "8835") == "1001"


@pytest.mark.parametrize(
    ("application", "number", "statuses"),
    [
        ("available-number", "8841", [404]),
        ("hangup", "8842", [400, 403, 404]),
        ("to-voicemail-residential", "8843", [400, 403]),
    ],
)
def test_applications_that_ring_nobody(phones: Tenant, application: str, number: str, statuses: list[int]) -> None:
    """“`available-number` (404), `hangup`; the others are stored and refuse the call with a clear error”"""
    rule(phones, number, dial_rule_application=application)
    body = {"call-id": new_id(), "call-term-user": number}
    refused = answered(phones.api.post(phones.calls(), json=body), *statuses)
    assert [fault["field"] for fault in refused["errors"]] == ["call-term-user"]


def test_deleting_what_others_use(tenant: Tenant) -> None:
    """“Deleting what others use: 409 that names them, or with `?cascade=yes` all of it.”"""
    user = short()
    at = f"{tenant.path}/users/{user}"
    answered(tenant.api.post(f"{tenant.path}/users", json=user_body(user)), 202)
    answered(tenant.api.post(f"{at}/devices", json={"device": user}), 202)
    refused = tenant.api.delete(at)
    answered(refused, 409)
    assert f"device {user}" in refused.text
    answered(tenant.api.delete(at, params={"cascade": "yes"}), 202)
    answered(tenant.api.get(f"{at}/devices/{user}"), 404)


def test_live_calls_are_not_touched(phones: Tenant) -> None:
    """“Live calls are not touched by a change of the directory.”"""
    call_id = phones.place()
    phones.in_state(call_id, "connected")
    answered(phones.api.put(f"{phones.path}/users/1001", json={"name-last-name": "Changed"}), 202)
    assert phones.read(call_id)["call-state"] == "connected"
    phones.drop(call_id)
