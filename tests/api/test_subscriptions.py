"""Event subscriptions over HTTP (contract §5)."""

from __future__ import annotations

import base64
import time
from typing import Any

import httpx
import msgspec
import pytest

from ringbridge.model.access import Scope
from ringbridge.model.deliveries import Progress
from ringbridge.model.directory import Subscription
from tests.adapters.receiver import receiving
from tests.api.logins import JWT, ask, give_password, token
from tests.api.world import World

ALL = "/ns-api/v2/subscriptions"
OF_DOMAIN = "/ns-api/v2/domains/{}/subscriptions"
BODY = {"model": "call", "post-url": "https://crm.example.com/calls"}


async def create(client: httpx.AsyncClient, path: str = ALL, **more: object) -> dict[str, Any]:
    """Return a new subscription; `more` has underscores for dashes."""
    body = BODY | {"synchronous": "yes"} | {name.replace("_", "-"): value for name, value in more.items()}
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def ids(client: httpx.AsyncClient, path: str = ALL) -> list[str]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()]


async def test_a_subscription_is_made_read_and_told_its_secret_once(world: World, client: httpx.AsyncClient) -> None:
    made = await create(client)
    assert len(base64.b64decode(made["webhook-secret"].removeprefix("whsec_"))) == 32
    read = (await client.get(f"{ALL}/{made['id']}")).json()
    assert read == {name: value for name, value in made.items() if name != "webhook-secret"}
    assert read | {"id": ""} == {
        "id": "",
        "model": "call",
        "post-url": "https://crm.example.com/calls",
        "subscription-geo-support": "yes",
        "user-scope": "Basic User",
        "reseller": "*",
        "domain": "demo",
        "user": "1001",
        "subscription-creation-datetime": "2027-01-15T08:00:00+00:00",
        "subscription-expires-datetime": "2047-01-15T08:00:00+00:00",
        "preferred-server": "",
        "current-active-server": "",
        "status": "active",
        "status-reason": "",
        "error-count": 0,
        "posts-count": 0,
    }


async def test_without_synchronous_202_tells_id_and_secret(client: httpx.AsyncClient) -> None:
    answer = await client.post(ALL, json=BODY)
    assert answer.status_code == 202
    assert answer.json()["code"] == 202
    assert answer.json()["webhook-secret"].startswith("whsec_")
    assert (await client.get(f"{ALL}/{answer.json()['id']}")).status_code == 200


async def test_a_model_without_events_is_pending(client: httpx.AsyncClient) -> None:
    assert (await create(client, model="voicemail"))["status"] == "pending"


async def test_every_fault_is_named_at_once(client: httpx.AsyncClient) -> None:
    body = {
        "model": "weather",
        "post-url": "ftp://crm.example.com",
        "domain": "a b",
        "subscription-expires-datetime": "2001-01-01 00:00:00",
        "subscription-geo-support": "maybe",
    }
    answer = await client.post(ALL, json=body)
    assert answer.status_code == 400
    assert {one["field"] for one in answer.json()["errors"]} == set(body)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "https://u:p@crm.example.com/",
        "https://crm.example.com/#x",
        "https://h:99999/",
        "javascript:1",
        "//h/",
    ],
)
async def test_a_url_that_is_no_receivers_is_refused(client: httpx.AsyncClient, url: str) -> None:
    answer = await client.post(ALL, json=BODY | {"post-url": url})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "post-url")


async def test_a_subscription_needs_a_url(client: httpx.AsyncClient) -> None:
    answer = await client.post(ALL, json={"model": "call"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "missing"


async def test_a_user_sees_its_own_and_a_manager_those_of_the_domain(world: World, client: httpx.AsyncClient) -> None:
    async with (
        world.client(world.other_user_key) as other,
        world.client(world.manager_key) as manager,
        world.client(world.foreign_manager_key) as foreign,
        world.client(world.super_key) as super_user,
    ):
        mine = (await create(client))["id"]
        others = (await create(other))["id"]
        whole = await create(manager)
        everywhere = await create(super_user)
        assert (whole["domain"], whole["user"]) == ("demo", "*")
        assert everywhere["domain"] == "*"
        assert await ids(client) == [mine]
        assert set(await ids(manager)) == {mine, others, whole["id"]}
        assert await ids(foreign) == []
        assert set(await ids(super_user)) == {mine, others, whole["id"], everywhere["id"]}
        assert set(await ids(super_user, OF_DOMAIN.format("demo"))) == {mine, others, whole["id"]}
        for name in (others, whole["id"], everywhere["id"]):
            for answer in (
                await client.get(f"{ALL}/{name}"),
                await client.put(f"{ALL}/{name}", json={}),
                await client.delete(f"{ALL}/{name}"),
            ):
                assert answer.status_code == 404, answer.text
        assert (await manager.get(f"{ALL}/count")).json() == {"total": 3}
        assert (await foreign.get(OF_DOMAIN.format("demo"))).status_code == 404


async def test_a_reseller_sees_and_makes_those_of_its_domains(world: World) -> None:
    key = world.add_key("*", "*", "Reseller", reseller="acme")
    async with (
        world.client(key) as reseller,
        world.client(world.foreign_manager_key) as manager,
        world.client(world.manager_key) as stranger,
    ):
        theirs = (await create(manager))["id"]
        await create(stranger)
        own = await create(reseller)
        assert (own["domain"], own["reseller"]) == ("*", "acme")
        assert (await create(reseller, domain="other"))["domain"] == "other"
        assert theirs in await ids(reseller)
        assert len(await ids(reseller)) == 3
        assert (await reseller.post(ALL, json=BODY | {"domain": "demo"})).status_code == 404
        assert (await reseller.post(ALL, json=BODY | {"reseller": "else"})).status_code == 403


async def test_nobody_subscribes_beyond_its_token(world: World, client: httpx.AsyncClient) -> None:
    async with world.client(world.manager_key) as manager:
        for who, more, status in (
            (client, {"user": "1002"}, 403),
            (client, {"domain": "other"}, 404),
            (client, {"domain": "nowhere"}, 404),
            (client, {"user-scope": "Super User"}, 403),
            (manager, {"domain": "other"}, 404),
            (manager, {"user": "4711"}, 404),
        ):
            answer = await who.post(ALL, json=BODY | more)
            assert answer.status_code == status, answer.text
        assert (await create(manager, user="1002"))["user"] == "1002"
        answer = await manager.post(OF_DOMAIN.format("demo"), json=BODY | {"domain": "other"})
        assert answer.json()["errors"][0]["code"] == "domain-mismatch"
        assert (await create(manager, OF_DOMAIN.format("~")))["domain"] == "demo"
    async with world.client(world.readonly_key) as readonly:
        assert (await readonly.post(ALL, json=BODY)).status_code == 403


async def test_refusals_name_every_field_what_was_found_and_what_is_allowed(
    world: World, client: httpx.AsyncClient
) -> None:
    """Also those that only a look into the directory shows."""
    key = world.add_key("*", "*", "Reseller", reseller="acme")
    async with world.client(key) as reseller, world.client(world.manager_key) as manager:
        for who, more, status, expected in (
            (
                client,
                {"user": "1002", "domain": "other", "user-scope": "Super User", "reseller": "acme"},
                403,
                {
                    "user-scope": ("scope-too-wide", "Super User"),
                    "domain": ("no-such-domain", "other"),
                    "reseller": ("not-allowed", "acme"),
                    "user": ("not-allowed", "1002"),
                },
            ),
            (
                reseller,
                {"domain": "demo", "reseller": "else"},
                404,
                {"domain": ("no-such-domain", "demo"), "reseller": ("not-allowed", "else")},
            ),
            (
                manager,
                {"user": "4711", "model": "weather", "post-url": "x"},
                400,
                {
                    "user": ("no-such-user", "4711"),
                    "model": ("not-one-of", "weather"),
                    "post-url": ("bad-url", "x"),
                },
            ),
            (reseller, {"user": "1001"}, 400, {"user": ("needs-a-domain", "1001")}),
        ):
            answer = await who.post(ALL, json=BODY | more)
            assert answer.status_code == status, answer.text
            told = {one["field"]: (one["code"], one["found"]) for one in answer.json()["errors"]}
            assert told == expected
            assert all(one["allowed"] for one in answer.json()["errors"])


async def test_an_update_changes_what_it_names(world: World, client: httpx.AsyncClient) -> None:
    made = await create(client)
    one = f"{ALL}/{made['id']}"
    answer = await client.put(one, json={"post-url": "https://crm.example.com/v2", "posts-count": "7", "nonsense": 1})
    assert (answer.status_code, answer.headers["x-ringbridge-ignored"]) == (202, "nonsense")
    read = (await client.get(one)).json()
    assert read["post-url"] == "https://crm.example.com/v2"
    assert (read["posts-count"], read["model"], read["domain"]) == (7, "call", "demo")
    assert (await client.put(one, json={"posts-count": "many"})).status_code == 400


async def test_nobody_is_sent_what_the_token_may_not_read(world: World, client: httpx.AsyncClient) -> None:
    """Else a key that may only subscribe would have all calls sent, or another's subscription sent to its own URL."""
    body = {"post-url": "https://example.org/mine", "synchronous": "yes"}
    made = (await client.post("/ns-api/v2/subscriptions", json=body | {"model": "cdr"})).json()
    for models, allowed in ((("subscription",), ()), (("subscription", "call"), ("call", "presence")), ((), ("cdr",))):
        async with world.client(world.add_key("demo", "1001", "Basic User", allowed_models=models)) as limited:
            for model in ("call", "cdr", "presence"):
                answer = await limited.post("/ns-api/v2/subscriptions", json=body | {"model": model})
                is_allowed = not models or model in allowed
                assert answer.status_code == (200 if is_allowed else 403), (models, model)
                if not is_allowed:
                    (fault,) = answer.json()["errors"]
                    assert (fault["field"], fault["code"], fault["found"]) == ("model", "model-not-allowed", model)
            path = f"/ns-api/v2/subscriptions/{made['id']}"
            for change in ({"post-url": "https://example.org/theirs"}, {"model": "cdr"}):
                assert (await limited.put(path, json=change)).status_code == (202 if not models else 403)
            assert (await limited.put(path, json={"preferred-server": "one"})).status_code == 202


async def test_what_is_deleted_is_gone(world: World, client: httpx.AsyncClient) -> None:
    made = await create(client)
    assert (await client.delete(f"{ALL}/{made['id']}")).status_code == 202
    assert (await client.get(f"{ALL}/{made['id']}")).status_code == 404
    assert await ids(client) == []


async def test_an_expired_subscription_is_not_there(world: World, client: httpx.AsyncClient) -> None:
    made = await create(client, subscription_expires_datetime="2027-01-15T09:00:00Z")
    assert made["subscription-expires-datetime"] == "2027-01-15T09:00:00+00:00"
    world.clock.time += 3600
    assert (await client.get(f"{ALL}/{made['id']}")).status_code == 404


async def test_what_a_token_makes_ends_with_it_unless_it_says_otherwise(world: World) -> None:
    key = world.add_key("demo", "1001", "Basic User", expires_at=world.clock.now() + 60)
    async with world.client(key) as client:
        assert (await create(client))["subscription-expires-datetime"] == "2027-01-15T08:01:00+00:00"
        later = await create(client, subscription_expires_datetime="2028-01-01 00:00:00")
        assert later["subscription-expires-datetime"] == "2028-01-01T00:00:00+00:00"


async def test_lists_are_paged(client: httpx.AsyncClient) -> None:
    made = [(await create(client))["id"] for _ in range(3)]
    answer = await client.get(ALL, params={"start": 2, "limit": 1})
    assert [one["id"] for one in answer.json()] == sorted(made)[1:2]
    assert answer.headers["x-total-count"] == "3"
    assert 'rel="next"' in answer.headers["link"]


async def test_one_holder_has_at_most_a_hundred(world: World, client: httpx.AsyncClient) -> None:
    for number in range(100):
        world.store.put(
            Subscription(
                f"s{number}", "call", "https://h/", "x", holder_domain="demo", holder_user="1001", expires_at=9e9
            )
        )
    answer = await client.post(ALL, json=BODY)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "too-many-subscriptions")


async def test_a_subscription_begins_where_the_calls_stand(world: World, client: httpx.AsyncClient) -> None:
    made = await create(client)
    record = await world.store.subscription(made["id"])
    assert record is not None
    assert record.since == await world.bus.call_positions()


async def test_while_the_bus_is_away_they_are_read_and_none_is_made(world: World, client: httpx.AsyncClient) -> None:
    made = await create(client)
    world.hub.is_up = False
    assert (await client.get(f"{ALL}/{made['id']}")).status_code == 200
    answer = await client.post(ALL, json=BODY)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


async def test_deliveries_are_tested_listed_and_sent_again(world: World, client: httpx.AsyncClient) -> None:
    world.clock.time = time.time()  # what receivers compare a signature's time with
    async with receiving() as receiver:
        made = await create(client, post_url=receiver.url)
        one = f"{ALL}/{made['id']}"
        tested = (await client.post(f"{one}/test")).json()
        assert (tested["kind"], tested["outcome"], tested["response-status"]) == ("test", "delivered", 204)
        receiver.got[0].check(made["webhook-secret"])
        again = await client.post(f"{one}/deliveries/{tested['delivery-id']}/resend")
        assert again.status_code == 200
        assert receiver.got[1].webhook_id == receiver.got[0].webhook_id == tested["delivery-id"]
        listed = await client.get(f"{one}/deliveries")
        assert tested in listed.json()
        assert listed.headers["x-total-count"] == str(len(listed.json()))
        assert (await client.post(f"{one}/deliveries/msg_none_1/resend")).status_code == 404
    async with world.client(world.other_user_key) as other:
        for answer in (await other.get(f"{one}/deliveries"), await other.post(f"{one}/test")):
            assert answer.status_code == 404


async def test_progress_shows_in_the_resource_and_counts_may_be_set(world: World, client: httpx.AsyncClient) -> None:
    made = await create(client)
    one = f"{ALL}/{made['id']}"
    progress = Progress(node="n1", posts=17, errors=2, is_failing=True)
    await world.bus.put_kept(("state", made["id"]), msgspec.json.encode(progress))
    read = (await client.get(one)).json()
    names = ("status", "posts-count", "error-count", "current-active-server")
    assert [read[name] for name in names] == ["error", 17, 2, "n1"]
    assert (await client.get(ALL)).json() == [read]
    assert (await client.put(one, json={"error-count": 0})).status_code == 202
    read = (await client.get(one)).json()
    assert [read[name] for name in names] == ["error", 17, 0, "n1"]


async def test_metrics_say_how_this_node_delivers(world: World, client: httpx.AsyncClient) -> None:
    world.desk._parts.attempts.update({"delivered": 3, "failed": 2})
    lines = (await client.get("/metrics")).text.splitlines()
    found = [line for line in lines if line.startswith("ringbridge_event_deliver")]
    assert found == [
        'ringbridge_event_delivery_attempts_total{outcome="delivered"} 3.0',
        'ringbridge_event_delivery_attempts_total{outcome="failed"} 2.0',
        'ringbridge_event_delivery_attempts_total{outcome="given-up"} 0.0',
        'ringbridge_event_delivery_attempts_total{outcome="ended"} 0.0',
        "ringbridge_event_deliveries_waiting 0.0",
        "ringbridge_event_deliveries_oldest_seconds 0.0",
    ]
    assert "ringbridge_event_subscriptions 0.0" in lines


async def status(client: httpx.AsyncClient, name: str) -> tuple[str, str]:
    read = (await client.get(f"{ALL}/{name}")).json()
    return read["status"], read["status-reason"]


async def test_a_subscription_says_that_the_key_that_made_it_was_revoked_and_can_be_taken_over(world: World) -> None:
    keys = "/ns-api/v2/apikeys"
    async with world.client(world.manager_key) as manager:
        body = {"description": "key of a test program", "user": "1001"}
        made = (await manager.post(keys, json=body)).json()
        async with world.client(made["key"]) as client:
            name = (await create(client, subscription_expires_datetime="2040-01-01 00:00:00"))["id"]
        assert await status(manager, name) == ("active", "")
        assert (await manager.delete(f"{keys}/{made['key-id']}")).status_code == 202
        assert await status(manager, name) == ("error", "the API key was revoked")
        listed = (await manager.get(ALL)).json()
        assert [(one["status"], one["status-reason"]) for one in listed] == [("error", "the API key was revoked")]
        one = f"{ALL}/{name}"
        for path in (f"{one}/test", f"{one}/deliveries/msg_{name}_1/resend"):
            refused = await manager.post(path)
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "subscription-ended")
        assert (await manager.put(one, json={"posts-count": 0})).status_code == 202
        assert (await status(manager, name))[0] == "error"
        assert (await manager.put(one, json={"post-url": "https://crm.example.com/v2"})).status_code == 202
        assert await status(manager, name) == ("active", "")
        read = (await manager.get(one)).json()
        assert (read["user"], read["subscription-expires-datetime"]) == ("1001", "2040-01-01T00:00:00+00:00")


async def test_a_subscription_ends_with_its_key_s_own_time_though_it_named_a_later_one(world: World) -> None:
    key = world.add_key("demo", "1001", "Basic User", expires_at=world.clock.now() + 60)
    async with world.client(key) as client, world.client() as other:
        name = (await create(client, subscription_expires_datetime="2028-01-01 00:00:00"))["id"]
        world.clock.time += 61
        assert await status(other, name) == ("error", "the API key has expired")


async def test_a_subscription_ends_with_the_login_that_made_it(world: World) -> None:
    await give_password(world, scope=Scope.OFFICE_MANAGER)
    ends = {"revoked": "the token or its login was revoked", "password": "the password was changed"}
    for end, reason in ends.items():
        login = await token(world)
        delegated = (await ask(world, login, "POST", JWT, {"domain": "demo", "user": "1002"})).json()["token"]
        names = []
        for one in (login, delegated):
            async with world.client(one) as client:
                made = await create(client, subscription_expires_datetime="2040-01-01 00:00:00")
                names.append(made["id"])
                by_default = await create(client)
                assert by_default["subscription-expires-datetime"].startswith("2027-01-15T09:0")
        if end == "revoked":
            assert (await ask(world, login, "DELETE", JWT)).status_code == 202
        else:
            await give_password(world)
        async with world.client(world.super_key) as above:
            for name in names:
                is_over, why = await status(above, name)
                assert is_over == "error"
                assert reason in why


async def test_a_hundred_that_are_over_are_in_nobody_s_way(world: World, client: httpx.AsyncClient) -> None:
    for number in range(100):
        ended = Subscription(f"s{number}", "call", "https://h/", "x", holder_domain="demo", holder_user="1001")
        world.store.put(msgspec.structs.replace(ended, expires_at=9e9, ended="the API key was revoked"))
    await create(client)
