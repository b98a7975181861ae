"""Contract section 5: what subscribers are sent, and what becomes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.accounts import grant, made_key, person
from tests.contract.receiver import Receiver, receiving
from tests.contract.test_events import subscribed
from tests.contract.wire import Json, Server, Tenant, answered, until

LEGACY = {
    "orig_callid",
    "term_callid",
    "orig_user",
    "term_user",
    "time_start",
    "time_answer",
    "by_action",
    "action",
    "object",
    "hostname",
}
OURS = {"id", "sequence", "call-id", "call-state"}
REFUSED = (
    "http://127.0.0.1:9/",
    "http://localhost:9/",
    "http://[::1]:9/",
    "http://0.0.0.0:9/",
    "http://10.0.0.1:9/",
    "http://172.16.0.1:9/",
    "http://192.168.0.1:9/",
    "http://169.254.1.1:9/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fe80::1]:9/",
    "http://[fd00::1]:9/",
    "http://[::ffff:127.0.0.1]:9/",
    "http://2130706433:9/",
)


@pytest.fixture(scope="module")
def receiver(server: Server) -> Iterator[Receiver]:
    if not server.receiver:
        pytest.skip("--receiver names no address that the server may send events to")
    with receiving(server.receiver) as one:
        yield one


def told_at(receiver: Receiver, tenant: Tenant, *statuses: int, **more: Json) -> tuple[str, dict[str, Json]]:
    """Subscribe a path of its own, which answers so at first; return it and the subscription."""
    path = receiver.path(*statuses)
    return path, subscribed(tenant, post_url=receiver.url + path, **more)


@pytest.fixture(scope="module")
def subscriptions(receiver: Receiver, phones: Tenant) -> dict[str, tuple[str, dict[str, Json]]]:
    """Return a subscription of each kind: what tells them apart is seen by one call."""
    made = {
        "call": told_at(receiver, phones),
        "call_origid": told_at(receiver, phones, model="call_origid"),
        "cdr": told_at(receiver, phones, model="cdr"),
        "the caller": told_at(receiver, phones, user="1000"),
        "the called": told_at(receiver, phones, user="1001"),
        "nobody in it": told_at(receiver, phones, user="1002"),
        "fails twice": told_at(receiver, phones, 500, 503),
        "never answers": told_at(receiver, phones, 0, user="1000"),
    }
    for status in (301, 302, 307):
        made[f"moved {status}"] = told_at(receiver, phones, status, user="1000")
    return made


@pytest.fixture(scope="module")
def call_id(subscriptions: dict[str, tuple[str, dict[str, Json]]], phones: Tenant, receiver: Receiver) -> str:
    """Return the id of a call that was answered and is over, and that the subscribers are told of."""
    call_id = phones.place()
    phones.in_state(call_id, "connected")
    phones.end(call_id)
    receiver.wait(subscriptions["call"][0], call_id)
    return call_id


Made = dict[str, tuple[str, dict[str, Json]]]


def test_a_json_array_of_objects(receiver: Receiver, subscriptions: Made, call_id: str) -> None:
    """“Delivered as `POST` of a JSON array of objects, each the resource at that moment in the API's legacy snake_case
    names …, and our `id`, `sequence`, `call-id`, `call-state`”"""
    path, _ = subscriptions["call"]
    for delivery in receiver.came[path]:
        assert delivery.headers["content-type"].startswith("application/json")
        assert all(set(one) >= LEGACY | OURS for one in delivery.objects)
    told = receiver.objects(path, call_id)
    assert {one["object"] for one in told} == {"call"}
    assert {(one["orig_callid"], one["orig_user"], one["term_user"]) for one in told} == {(call_id, "1000", "1001")}


def test_each_is_the_call_at_that_moment(receiver: Receiver, subscriptions: Made, call_id: str) -> None:
    """“each the resource at that moment …, `time_start`, `time_answer`, …, `action`: `INSERT`, `UPDATE`, `DELETE`”"""
    told = receiver.objects(subscriptions["call"][0], call_id)
    actions = [one["action"] for one in told]
    assert (actions[0], set(actions[1:-1]), actions[-1]) == ("INSERT", {"UPDATE"}, "DELETE")
    states = [one["call-state"] for one in told]
    assert (states[0], states[-1]) == ("requested", "ended")
    assert next(one["call-state"] for one in told if one["time_answer"]) == "connected"
    assert states.index("orig-answered") < states.index("connected")
    datetime.strptime(told[-1]["time_start"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert {one["time_start"] for one in told} == {told[0]["time_start"]}


def test_in_order_for_one_call(receiver: Receiver, subscriptions: Made, call_id: str) -> None:
    """“at least once, in order for one call”"""
    for name in ("call", "call_origid"):
        sequences = [one["sequence"] for one in receiver.wait(subscriptions[name][0], call_id)]
        assert sequences == sorted(set(sequences))


def test_a_cdr_is_told_once(receiver: Receiver, subscriptions: Made, call_id: str) -> None:
    """“`object`: `call` or `cdr`”"""
    path, _ = subscriptions["cdr"]
    (cdr,) = receiver.wait(path, call_id, "INSERT")
    assert cdr["object"] == "cdr"
    assert cdr["time_answer"]


def test_deliveries_are_signed(receiver: Receiver, subscriptions: Made, call_id: str) -> None:
    """“Signed by the Standard Webhooks scheme (`webhook-id`, `webhook-timestamp`, `webhook-signature`)”"""
    path, made = subscriptions["call"]
    assert made["webhook-secret"].startswith("whsec_")
    for delivery in receiver.came[path]:
        assert delivery.is_signed_with(made["webhook-secret"])
        assert not delivery.is_signed_with("whsec_b3RoZXI=")
        assert abs(int(delivery.headers["webhook-timestamp"]) - time.time()) < 120
    ids = [delivery.headers["webhook-id"] for delivery in receiver.came[path]]
    assert len(set(ids)) == len(ids)


def test_of_one_user(receiver: Receiver, subscriptions: Made, call_id: str) -> None:
    """“`domain`, `user` (`*` for all within the token's scope)”: of those alone who make a call or are called."""
    for name in ("the caller", "the called"):
        receiver.wait(subscriptions[name][0], call_id)
    assert receiver.objects(subscriptions["nobody in it"][0], call_id) == []


def test_what_comes_of_it_is_read_back(subscriptions: Made, phones: Tenant, call_id: str) -> None:
    """“read back with `status` (`pending`, `active`, `error`), `posts-count`, `error-count`, …”"""
    at = f"{phones.path}/subscriptions/{subscriptions['call'][1]['id']}"
    until(lambda: phones.api.get(at).json()["posts-count"] >= 4, what="the posts are counted")
    read = answered(phones.api.get(at), 200)
    assert (read["status"], read["error-count"]) == ("active", 0)
    assert read["current-active-server"] == phones.read(call_id)["core-server"]


def attempts(phones: Tenant, made: dict[str, Json], call_id: str) -> list[dict[str, Json]]:
    """Return the attempts to deliver what happened in a call, oldest first."""
    path = f"{phones.path}/subscriptions/{made['id']}/deliveries"
    listed = answered(phones.api.get(path, params={"limit": 1000}), 200)
    return [one for one in reversed(listed) if one["call-id"] == call_id and one["kind"] == "event"]


@pytest.mark.parametrize("status", [301, 302, 307])
def test_redirects_are_failures(
    receiver: Receiver, subscriptions: Made, phones: Tenant, call_id: str, status: int
) -> None:
    """“redirects are failures”"""
    path, made = subscriptions[f"moved {status}"]
    until(lambda: attempts(phones, made, call_id), what="an attempt is told")
    first = attempts(phones, made, call_id)[0]
    assert (first["outcome"], first["response-status"]) == ("failed", status)
    assert receiver.came[f"{path}/moved"] == []


def test_what_fails_is_tried_again_and_holds_up_what_comes_behind_it(
    receiver: Receiver, subscriptions: Made, phones: Tenant, call_id: str
) -> None:
    """“retried at 0, 5 s, 5 min, …, at least once, in order for one call”"""
    path, made = subscriptions["fails twice"]
    until(lambda: len(attempts(phones, made, call_id)) >= 2, what="it was tried again")
    first, second = receiver.came[path]
    assert (second.headers["webhook-id"], second.body) == (first.headers["webhook-id"], first.body)
    assert 4.0 < second.at - first.at < 15.0
    assert second.is_signed_with(made["webhook-secret"])
    one, two = attempts(phones, made, call_id)
    assert timedelta(minutes=4, seconds=55) < next_after(two) < timedelta(minutes=5, seconds=30)
    assert (one["attempt"], two["attempt"]) == (1, 2)
    answered(phones.api.post(f"{phones.path}/subscriptions/{made['id']}/test"), 200)  # it is there again
    told = receiver.wait(path, call_id)
    sequences = [one["sequence"] for one in told]
    assert (told[0]["action"], sequences) == ("INSERT", sorted(sequences))


def next_after(attempt: dict[str, Json]) -> timedelta:
    """Return how long after an attempt the next one is to come."""
    at, following = (datetime.fromisoformat(attempt[f"{name}-datetime"]) for name in ("attempt", "next-attempt"))
    return following - at


def test_410_ends_the_subscription(receiver: Receiver, phones: Tenant) -> None:
    """“410 ends the subscription”"""
    path, made = told_at(receiver, phones, 410, user="1002")
    at = f"{phones.path}/subscriptions/{made['id']}"
    phones.end(phones.place(user="1002"), "1002")
    until(lambda: phones.api.get(at).json()["status"] == "error", what="the subscription is over")
    seen = len(receiver.came[path])
    phones.end(phones.place(user="1002"), "1002")
    time.sleep(0.3)
    assert len(receiver.came[path]) == seen == 1


def test_what_was_deleted_or_changed(receiver: Receiver, phones: Tenant) -> None:
    """“`/subscriptions` …”: PUT changes where events go, and after DELETE nothing goes anywhere."""
    path, made = told_at(receiver, phones, user="1002")
    gone, deleted = told_at(receiver, phones, user="1002")
    moved = receiver.path()
    at = f"{phones.path}/subscriptions/{made['id']}"
    answered(phones.api.put(at, json={"post-url": receiver.url + moved}), 202)
    answered(phones.api.delete(f"/subscriptions/{deleted['id']}"), 202)
    answered(phones.api.get(f"/subscriptions/{deleted['id']}"), 404)
    call_id = phones.place(user="1002")
    phones.end(call_id, "1002")
    receiver.wait(moved, call_id)
    assert receiver.came[path] == receiver.came[gone] == []


def test_a_token_is_told_of_what_it_rules_over(
    server: Server, receiver: Receiver, phones: Tenant, other: Tenant
) -> None:
    """“`*` for all within the token's scope”"""
    manager, user, stranger = (
        made_key(phones.api, **place)["key"]
        for place in (
            {"domain": phones.domain},
            {"domain": phones.domain, "user": "1001"},
            {"domain": other.domain},
        )
    )
    paths = []
    for key in (manager, user, stranger):
        paths.append(receiver.path())
        with server.client(key) as client:
            body = {"model": "call", "post-url": receiver.url + paths[-1], "domain": "*", "user": "*"}
            answered(client.post("/subscriptions", json=body), 202)
            wider = body | {"domain": phones.domain, "user": "1002"}
            if key != manager:  # who rules over the domain may narrow it down to a user
                answered(client.post("/subscriptions", json=wider), 400, 403, 404)
    call_id = phones.place(call_orig_user="1002")
    phones.end(call_id)
    receiver.wait(paths[0], call_id)
    assert [receiver.objects(path, call_id) for path in paths[1:]] == [[], []]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "weather"),
        ("post-url", "ftp://hooks.example/"),
        ("post-url", "no url"),
        ("post-url", None),
        ("user-scope", "Emperor"),
        ("subscription-expires-datetime", "tomorrow"),
        ("subscription-geo-support", "maybe"),
    ],
)
def test_a_subscription_that_cannot_be(tenant: Tenant, field: str, value: Json) -> None:
    """“400 malformed or invalid” (section 1)"""
    body = {"model": "call", "post-url": "https://hooks.example/calls", field: value}
    answer = tenant.api.post(f"{tenant.path}/subscriptions", json=body)
    assert field in {fault["field"] for fault in answered(answer, 400)["errors"]}


def test_fields_of_a_subscription_are_read_back(tenant: Tenant) -> None:
    """“`subscription-geo-support`, `preferred-server`”, “`subscription-expires-datetime`”"""
    sent = {
        "subscription-geo-support": "no",
        "preferred-server": "node-of-the-tests",
        "subscription-expires-datetime": "2040-01-01T00:00:00+00:00",
        "user-scope": "Office Manager",
        "user": "1000",
    }
    made = subscribed(tenant, **sent)
    read = answered(tenant.api.get(f"/subscriptions/{made['id']}"), 200)
    assert {name: read[name] for name in sent} == sent


def test_a_subscription_ends_with_the_token(server: Server, tenant: Tenant) -> None:
    """“`subscription-expires-datetime` (default: the token's own expiry; …)”"""
    user = person(tenant)
    with server.client(None) as client:
        login = answered(client.post("/tokens", json=grant(tenant, user)), 200)
    with server.client(login["access_token"]) as client:
        body = {"model": "call", "post-url": "https://hooks.example/calls", "synchronous": "yes"}
        made = answered(client.post("/subscriptions", json=body), 200)
    expires = datetime.fromisoformat(made["subscription-expires-datetime"])
    left = expires - datetime.now(UTC)
    assert abs(left - timedelta(seconds=login["expires_in"])) < timedelta(minutes=2)
    assert made["user"] == user


def test_a_subscription_that_has_expired_is_gone(receiver: Receiver, phones: Tenant) -> None:
    """“`subscription-expires-datetime`”"""
    soon = datetime.now(UTC) + timedelta(seconds=1)
    path, made = told_at(receiver, phones, user="1002", subscription_expires_datetime=soon.isoformat())
    at = f"/subscriptions/{made['id']}"
    until(lambda: phones.api.get(at).status_code == 404, what="the subscription has expired")
    phones.end(phones.place(user="1002"), "1002")
    assert receiver.came[path] == []


@pytest.fixture(scope="module")
def refused(receiver: Receiver, phones: Tenant) -> dict[str, dict[str, Json]]:
    """Return subscriptions to addresses that nothing is sent to, once a call has been told."""
    made = {url: subscribed(phones, post_url=url, user="1002") for url in REFUSED}
    phones.end(phones.place(user="1002"), "1002")
    return made


@pytest.mark.parametrize("url", REFUSED)
def test_addresses_that_are_refused(refused: dict[str, dict[str, Json]], phones: Tenant, url: str) -> None:
    """“Private, loopback, link-local and metadata addresses are refused at every attempt unless the operator allows
    them.”"""
    at = f"/subscriptions/{refused[url]['id']}"
    until(lambda: phones.api.get(at).json()["error-count"], what="an attempt was refused")
    listed = answered(phones.api.get(f"{at}/deliveries"), 200)
    assert {(one["outcome"], one["response-status"]) for one in listed} == {("failed", None)}
    assert all("refused" in one["error"] or "allowed" in one["error"] for one in listed), listed


def test_an_attempt_takes_15_seconds_at_most(subscriptions: Made, phones: Tenant, call_id: str) -> None:
    """“15 s limit”"""
    _, made = subscriptions["never answers"]
    until(lambda: attempts(phones, made, call_id), within_s=30.0, what="the attempt is given up")
    first = attempts(phones, made, call_id)[0]
    assert (first["outcome"], first["response-status"]) == ("failed", None)
    assert 14_000 < first["duration-ms"] < 17_000


def test_subscriptions_of_others_are_not_there(server: Server, tenant: Tenant, other: Tenant) -> None:
    """“another tenant's resource: 404” (section 1)"""
    made = subscribed(tenant)
    with server.client(made_key(other.api, domain=other.domain)["key"]) as client:
        for at in (f"/subscriptions/{made['id']}", f"{other.path}/subscriptions/{made['id']}"):
            answered(client.get(at), 404)
            answered(client.delete(at), 404)
        listed = answered(client.get("/subscriptions", params={"limit": 1000}), 200)
    assert made["id"] not in [one["id"] for one in listed]
