"""Contract section 4: names that are taken, and what is used by others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.test_directory import KINDS, made, resources, short
from tests.contract.wire import Json, Tenant, answered, domain_body, user_body


@pytest.fixture
def whole(tenant: Tenant) -> Iterator[Tenant]:
    """Return a domain of its own with something of each kind in it."""
    domain = Tenant(tenant.api, f"{short()}.example")
    domain.build()
    for kind in KINDS[1:]:
        made(domain, kind)
    yield domain
    tenant.api.delete(domain.path, params={"cascade": "yes"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_taken_leaves_the_first_as_it_is(tenant: Tenant, kind: str) -> None:
    """“Two creates of one name: 409.”"""
    path, body, name = resources(tenant)[kind]
    first = answered(tenant.api.post(path, json=body | {"synchronous": "yes"}), 200)
    again = {"dialrule": first["dialrule"]} if kind == "DialRule" else {}
    change: dict[str, Json] = (
        {"description": "second"} if "description" in body else {"dial-rule-description": "second"}
    )
    answer = tenant.api.post(path, json=body | change | again | {"synchronous": "yes"})
    assert answered(answer, 409)["code"] == 409
    first.pop("device-sip-registration-password", None)  # made by the server, and told once
    assert answered(tenant.api.get(f"{path}/{first[name]}"), 200) == first


def test_of_many_creates_at_once_one_is_stored(tenant: Tenant) -> None:
    """“Two creates of one name: 409.”"""
    user = short()
    body = user_body(user)

    def create(department: str) -> int:
        return tenant.api.post(f"{tenant.path}/users", json=body | {"department": department}).status_code

    departments = [f"Department {number}" for number in range(8)]
    with ThreadPoolExecutor(len(departments)) as at_once:
        statuses = dict(zip(departments, at_once.map(create, departments), strict=True))
    assert sorted(statuses.values()) == [202, *[409] * 7]
    stored = answered(tenant.api.get(f"{tenant.path}/users/{user}"), 200)["department"]
    assert statuses[stored] == 202


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_free_again_once_it_was_deleted(tenant: Tenant, kind: str) -> None:
    """“GET, POST, PUT, DELETE”: and what comes then is new, not what was."""
    path, body, name = resources(tenant)[kind]
    first = answered(tenant.api.post(path, json=body | {"synchronous": "yes"}), 200)
    at = f"{path}/{first[name]}"
    answered(tenant.api.put(at, json={"enabled": "no"} if "enabled" in first else {"name-last-name": "Old"}), 202)
    answered(tenant.api.delete(at), 202)
    answered(tenant.api.delete(at), 404)
    second = answered(tenant.api.post(path, json=body | {"synchronous": "yes"}), 200)
    told_once = {"device-sip-registration-password", "created-datetime", "last-modified-datetime"}
    assert {key: value for key, value in second.items() if key not in told_once} == {
        key: value for key, value in first.items() if key not in told_once
    }


def test_a_domain_that_is_used_names_what_uses_it(whole: Tenant) -> None:
    """“Deleting what others use: 409 that names them”"""
    refused = whole.api.delete(whole.path)
    named = {fault["field"] for fault in answered(refused, 409)["errors"]}
    assert named == {"user", "device", "phonenumber", "dialrule", "connection", "answerrule"}
    answered(whole.api.get(f"{whole.path}/users/1000"), 200)


def test_a_domain_goes_with_all_that_is_in_it(whole: Tenant, tenant: Tenant) -> None:
    """“or with `?cascade=yes` all of it”"""
    left = answered(tenant.api.get(f"{tenant.path}/users/count"), 200)
    answered(whole.api.delete(whole.path, params={"cascade": "yes"}), 202)
    answered(whole.api.get(whole.path), 404)
    for path in ("/phonenumbers", "/connections"):
        listed = answered(whole.api.get(path, params={"limit": 1000}), 200)
        assert whole.domain not in {one["domain"] for one in listed}
    assert answered(tenant.api.get(f"{tenant.path}/users/count"), 200) == left
    answered(whole.api.post("/domains", json=domain_body(whole.domain)), 202)
    for path in ("users", "phonenumbers", "connections", f"dialplans/{whole.domain}/dialrules"):
        assert answered(whole.api.get(f"{whole.path}/{path}"), 200) == []


def test_a_user_goes_with_its_devices_and_numbers(whole: Tenant) -> None:
    """“or with `?cascade=yes` all of it”"""
    at = f"{whole.path}/users/1001"
    number = {"phonenumber": "12025550166", "user": "1001", "dial-rule-translation-destination-user": "1001"}
    answered(whole.api.post(f"{whole.path}/phonenumbers", json=number), 202)
    refused = answered(whole.api.delete(at), 409)
    assert {"device", "answerrule"} <= {fault["field"] for fault in refused["errors"]}
    answered(whole.api.delete(at, params={"cascade": "yes"}), 202)
    for path in (at, f"{at}/devices", f"{at}/answerrules", f"{whole.path}/phonenumbers/12025550166"):
        answered(whole.api.get(path), 404)
    answered(whole.api.get(f"{whole.path}/users/1000/devices/1000"), 200)


@pytest.mark.parametrize(
    ("kind", "application", "parameter"),
    [
        ("Connection", "to-connection", "{name}"),
        ("Connection", "to-connection-add-header", "{name};X-Of: us"),
        ("Device", "to-single-device", "{name}"),
    ],
)
@pytest.mark.parametrize("by", ["dialrule", "phonenumber"])
def test_what_a_rule_or_a_number_sends_calls_to(
    tenant: Tenant, kind: str, application: str, parameter: str, by: str
) -> None:
    """“Deleting what others use: 409 that names them, or with `?cascade=yes` all of it.”"""
    _, at, one = made(tenant, kind)
    name = str(one["device" if kind == "Device" else "connection-orig-match-pattern"])
    used = {
        "dial-rule-application": application,
        "dial-rule-parameter": parameter.format(name=name),
        "dial-rule-translation-destination-user": "[*]",
    }
    path, body, called = resources(tenant)["DialRule" if by == "dialrule" else "Phonenumber"]
    user = answered(tenant.api.post(path, json=body | used | {"synchronous": "yes"}), 200)
    (fault,) = answered(tenant.api.delete(at), 409)["errors"]
    assert (fault["field"], str(user[called]) in fault["found"]) == (by, True)
    answered(tenant.api.delete(at, params={"cascade": "yes"}), 202)
    answered(tenant.api.get(f"{path}/{user[called]}"), 404)
    answered(tenant.api.get(at), 404)


@pytest.mark.parametrize("cascade", ["maybe", "1", ""])
def test_cascade_is_yes_or_no(tenant: Tenant, cascade: str) -> None:
    """“Booleans are the strings `yes` and `no`.” (section 1): and nothing is deleted by a slip."""
    answer = tenant.api.delete(tenant.path, params={"cascade": cascade})
    answered(answer, 400, 409)
    answered(tenant.api.get(tenant.path), 200)


def test_a_change_that_was_read_before_another_is_refused(tenant: Tenant) -> None:
    """“two nodes that change one thing at once do not overwrite each other unseen (ETag and `If-Match`, optional)” (the
    issue behind section 4)"""
    _, at, _ = made(tenant, "User")
    tag = tenant.api.get(at).headers["etag"]
    answered(tenant.api.put(at, json={"department": "First"}, headers={"If-Match": tag}), 202)
    answered(tenant.api.put(at, json={"department": "Second"}, headers={"If-Match": tag}), 412)
    assert answered(tenant.api.get(at), 200)["department"] == "First"
    answered(tenant.api.delete(at, headers={"If-Match": tag}), 412)
    answered(tenant.api.delete(at, headers={"If-Match": tenant.api.get(at).headers["etag"]}), 202)
