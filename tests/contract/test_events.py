"""Contract section 5: event subscriptions."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.shapes import SCHEMAS, faults_of
from tests.contract.wire import Json, Tenant, answered, until


def subscribed(tenant: Tenant, at: str = "/subscriptions", **more: Json) -> dict[str, Json]:
    """Make a subscription; return it."""
    body = {"synchronous": "yes", "model": "call", "post-url": "https://hooks.example/calls", "domain": tenant.domain}
    sent = body | {name.replace("_", "-"): value for name, value in more.items()}
    return dict(answered(tenant.api.post(at, json=sent), 200))


@pytest.mark.parametrize("model", ["call", "call_origid", "cdr", "presence"])
def test_models_that_are_delivered(tenant: Tenant, model: str) -> None:
    """“`model` (`call`, `call_origid`, `cdr`, `presence`; …)”"""
    assert faults_of("Subscription", subscribed(tenant, model=model)) == []


def test_presence_is_delivered(phones: Tenant) -> None:
    """“`model` (`call`, `call_origid`, `cdr`, `presence`; …)”, “retried …”: an attempt for each user of a call"""
    with socket.create_server(("127.0.0.1", 0)) as receiver:  # refused, as all of this machine: so there are attempts
        port = receiver.getsockname()[1]
        one = subscribed(phones, model="presence", post_url=f"http://127.0.0.1:{port}/presence")
        assert one["status"] == "active"
        call = phones.place()
        phones.in_state(call, "connected")
        at = f"{phones.path}/subscriptions/{one['id']}"

        def told() -> set[str]:
            found = answered(phones.api.get(f"{at}/deliveries"), 200)
            return {event for each in found if each["call-id"] == call for event in each["event-ids"]}

        until(lambda: len(told()) >= 2, what="a change of both users was to be told")
        phones.end(call)
    answered(phones.api.delete(at), 202)


@pytest.mark.parametrize("model", ["message", "agent", "auditlog"])
def test_other_models_are_stored_as_pending(tenant: Tenant, model: str) -> None:
    """“the others of the schema are stored as `pending`”"""
    assert subscribed(tenant, model=model)["status"] == "pending"


def test_subscriptions_of_a_domain(tenant: Tenant) -> None:
    """“`/subscriptions` (also `/domains/{domain}/subscriptions`)”"""
    one = subscribed(tenant, f"{tenant.path}/subscriptions")
    for at in ("/subscriptions", f"{tenant.path}/subscriptions"):
        listed = answered(tenant.api.get(at, params={"limit": 1000}), 200)
        assert one["id"] in [each["id"] for each in listed]


def test_the_user_is_all_by_default(tenant: Tenant) -> None:
    """“`user` (`*` for all within the token's scope)”"""
    assert subscribed(tenant)["user"] == "*"


def test_a_key_subscribes_for_20_years(tenant: Tenant) -> None:
    """“`subscription-expires-datetime` (default: the token's own expiry; 20 years for a key)”"""
    expires = datetime.fromisoformat(subscribed(tenant)["subscription-expires-datetime"])
    assert abs(expires - datetime.now(UTC) - timedelta(days=20 * 365)) < timedelta(days=10)


def test_what_is_read_back(tenant: Tenant) -> None:
    """“read back with `status` …, `posts-count`, `error-count`, `current-active-server`”"""
    one = subscribed(tenant)
    read = answered(tenant.api.get(f"{tenant.path}/subscriptions/{one['id']}"), 200)
    assert read["status"] in SCHEMAS["Subscription"]["status"]["enum"]
    assert {"posts-count", "error-count", "current-active-server"} <= set(read)


def test_loopback_addresses_are_refused(phones: Tenant) -> None:
    """“Private, loopback, link-local and metadata addresses are refused at every attempt unless the operator allows”"""
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        receiver.settimeout(0.2)
        one = subscribed(phones, post_url=f"http://127.0.0.1:{receiver.getsockname()[1]}/calls")
        at = f"{phones.path}/subscriptions/{one['id']}"
        phones.end(phones.place(call_orig_user="1002"))
        until(lambda: phones.api.get(at).json()["error-count"] > 0, what="an attempt was refused")
        with pytest.raises(TimeoutError):
            receiver.accept()
    answered(phones.api.delete(at), 202)
