"""Domains and users as resources (contract §1, §4), and with them the skeleton that all resources share."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from ringbridge.api.directory.resources import MOST_TOLD, ToldRecords
from ringbridge.model.directory import Domain, PhoneNumber, User
from ringbridge.model.resources import USER
from tests.api.world import World

DOMAINS = "/ns-api/v2/domains"
USERS = "/ns-api/v2/domains/demo/users"


def ada(**fields: object) -> dict[str, Any]:
    """Return the body that creates user 2001; `_` in names is `-`."""
    body: dict[str, Any] = {
        "user": "2001",
        "name-first-name": "Ada",
        "name-last-name": "Lovelace",
        "email-address": "ada@demo.example",
        "user-scope": "Basic User",
    }
    return body | {name.replace("_", "-"): value for name, value in fields.items()}


@pytest.fixture
async def manager(world: World) -> Any:
    async with world.client(world.manager_key) as client:
        yield client


@pytest.fixture
async def root(world: World) -> Any:
    async with world.client(world.super_key) as client:
        yield client


async def test_a_user_is_created_read_changed_and_deleted(world: World, manager: httpx.AsyncClient) -> None:
    made = await manager.post(USERS, json=ada())
    assert made.status_code == 202
    assert made.json() == {"code": 202, "message": "Accepted"}
    read = await manager.get(f"{USERS}/2001")
    assert read.status_code == 200
    assert read.json()["name-last-name"] == "Lovelace"
    changed = await manager.put(f"{USERS}/2001", json={"caller-id-number": 45376199})
    assert changed.status_code == 202
    after = (await manager.get(f"{USERS}/2001")).json()
    assert after["caller-id-number"] == 45376199
    assert after["name-last-name"] == "Lovelace"
    stored = await world.store.user("demo", "2001")
    assert stored is not None
    assert stored.caller_id_number == "45376199"
    assert (await manager.delete(f"{USERS}/2001")).status_code == 202
    assert (await manager.get(f"{USERS}/2001")).status_code == 404


async def test_synchronous_gives_the_resource_as_its_get_does(manager: httpx.AsyncClient) -> None:
    made = await manager.post(USERS, json=ada(synchronous="yes"))
    assert made.status_code == 200
    read = await manager.get(f"{USERS}/2001")
    assert made.json() == read.json()
    assert made.headers["etag"] == read.headers["etag"]


async def test_a_late_copy_answers_202_and_nothing_is_undone(world: World, manager: httpx.AsyncClient) -> None:
    world.feed.hold()
    made = await manager.post(USERS, json=ada(synchronous="yes"))
    assert made.status_code == 202
    changed = await manager.put(f"{USERS}/2001", json={"department": "Engines"})
    assert changed.status_code == 202
    world.feed.go_on()
    await world.replica.wait_directory(world.directory_sequence, timeout_s=1)
    assert (await manager.get(f"{USERS}/2001")).json()["department"] == "Engines"


async def test_every_field_is_stored_and_read_back_with_its_type(manager: httpx.AsyncClient) -> None:
    body = ada(
        privacy="yes",
        voicemail_greeting_index="3",
        voicemail_login_pin="0042",
        area_code="45",
        recording_configuration={"mode": "on", "keep-days": 30},
        time_zone="US/Eastern",
        call_screening_enabled="no",
        email_send_alert_new_voicemail_behavior="brief",
    )
    read = (await manager.post(USERS, json=body | {"synchronous": "yes"})).json()
    expected = body | {"domain": "demo", "voicemail-greeting-index": 3, "area-code": 45}
    assert {name: read[name] for name in expected} == expected
    assert read["language-token"] == "en_US"  # a default of the schema
    assert "voicemail-enabled" in read
    assert "dial-plan" not in read  # neither set nor with a default
    assert read["created-datetime"].endswith("+00:00")
    assert read["active-calls-total-current"] == 0


async def test_every_fault_is_named_at_once(world: World, manager: httpx.AsyncClient) -> None:
    body = ada(
        user="count",
        privacy="perhaps",
        user_scope="Emperor",
        time_zone="Mars/Olympus",
        caller_id_number="none",
        ring_no_answer_timeout_seconds="-1",
        name_last_name=None,
        department="two\r\nlines",
        site=["a"],
        synchronous="maybe",
        recording_configuration="on",
    )
    answer = await manager.post(USERS, json=body)
    assert answer.status_code == 400
    assert {error["field"]: error["code"] for error in answer.json()["errors"]} == {
        "user": "bad-value",
        "privacy": "not-one-of",
        "user-scope": "not-one-of",
        "time-zone": "bad-value",
        "caller-id-number": "bad-value",
        "ring-no-answer-timeout-seconds": "not-a-number",
        "name-last-name": "missing",
        "department": "control-character",
        "site": "wrong-type",
        "synchronous": "not-one-of",
        "recording-configuration": "wrong-type",
    }
    assert world.writes == 0


async def test_what_a_client_cannot_set_is_ignored_and_named(manager: httpx.AsyncClient) -> None:
    body = ada(colour="red", active_calls_total_current=7, domain="other", created_datetime="2001-01-01 00:00:00")
    answer = await manager.post(USERS, json=body)
    assert answer.status_code == 202
    ignored = answer.headers["x-ringbridge-ignored"].split(", ")
    assert sorted(ignored) == ["active-calls-total-current", "colour", "created-datetime", "domain"]
    read = (await manager.get(f"{USERS}/2001")).json()
    assert (read["domain"], read["active-calls-total-current"]) == ("demo", 0)


async def test_two_creates_of_one_name_conflict(manager: httpx.AsyncClient) -> None:
    first, second = await asyncio.gather(manager.post(USERS, json=ada()), manager.post(USERS, json=ada()))
    assert sorted((first.status_code, second.status_code)) == [202, 409]
    assert (await manager.post(USERS, json=ada())).json()["errors"][0]["code"] == "already-exists"


async def test_a_name_is_free_again_after_its_delete(manager: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await manager.post(USERS, json=ada())).status_code == 202
        assert (await manager.delete(f"{USERS}/2001")).status_code == 202


async def test_puts_of_two_fields_at_once_both_hold(world: World, manager: httpx.AsyncClient) -> None:
    await manager.post(USERS, json=ada())
    fields = [{"department": "Engines"}, {"site": "London"}, {"service-code": "7"}, {"name-first-name": "Augusta"}]
    answers = await asyncio.gather(*(manager.put(f"{USERS}/2001", json=one) for one in fields))
    assert [answer.status_code for answer in answers] == [202] * 4
    read = (await manager.get(f"{USERS}/2001")).json()
    assert all(read[name] == value for one in fields for name, value in one.items())


async def test_if_match_refuses_what_was_changed_since(manager: httpx.AsyncClient) -> None:
    await manager.post(USERS, json=ada())
    tag = (await manager.get(f"{USERS}/2001")).headers["etag"]
    first = await manager.put(f"{USERS}/2001", json={"site": "London"}, headers={"If-Match": tag})
    assert first.status_code == 202
    for write in (
        manager.put(f"{USERS}/2001", json={"site": "Paris"}, headers={"If-Match": tag}),
        manager.delete(f"{USERS}/2001", headers={"If-Match": tag}),
    ):
        answer = await write
        assert answer.status_code == 412
        assert answer.json()["errors"][0]["code"] == "changed-since"
    read = await manager.get(f"{USERS}/2001")
    assert read.json()["site"] == "London"
    assert read.headers["etag"] == first.headers["etag"] != tag
    held = {"If-Match": f'"x", {first.headers["etag"]}'}
    assert (await manager.delete(f"{USERS}/2001", headers=held)).status_code == 202


async def test_a_put_that_changes_nothing_writes_nothing(world: World, manager: httpx.AsyncClient) -> None:
    await manager.post(USERS, json=ada())
    writes = world.writes
    assert (await manager.put(f"{USERS}/2001", json={"name-first-name": "Ada"})).status_code == 202
    assert world.writes == writes


async def test_an_empty_text_and_null_set_a_field_back(world: World, manager: httpx.AsyncClient) -> None:
    await manager.post(USERS, json=ada(department="Engines", privacy="yes", ring_no_answer_timeout_seconds=20))
    body = {"department": "", "privacy": None, "ring-no-answer-timeout-seconds": ""}
    assert (await manager.put(f"{USERS}/2001", json=body)).status_code == 202
    read = (await manager.get(f"{USERS}/2001")).json()
    assert "department" not in read
    assert "ring-no-answer-timeout-seconds" not in read
    assert read["privacy"] == "no"
    stored = await world.store.user("demo", "2001")
    assert stored is not None
    assert set(stored.other) == {"created-datetime", "last-modified-datetime"}


async def test_lists_are_paged_and_counted(manager: httpx.AsyncClient) -> None:
    page = await manager.get(USERS, params={"start": 2, "limit": 1})
    assert [user["user"] for user in page.json()] == ["1002"]
    assert page.headers["x-total-count"] == "3"
    assert f'<{USERS}?start=3&limit=1>; rel="next"' in page.headers["link"]
    assert (await manager.get(f"{USERS}/count")).json() == {"total": 3}


async def test_lists_are_narrowed_by_the_query(manager: httpx.AsyncClient) -> None:
    await manager.post(USERS, json=ada(name_first_name="Grace", name_last_name="Hopper", department="Navy"))
    for query, users in (
        ("name-last-name=HOP*", ["2001"]),
        ("name-first-name=ada", ["1001", "1002", "1003"]),
        ("name-first-name=ada&user=1002", ["1002"]),
        ("caller-id-number=457011003", ["1003"]),
        ("department=navy&limit=1", ["2001"]),
        ("department=", ["1001", "1002", "1003", "2001"]),
        ("colour=red", ["1001", "1002", "1003", "2001"]),
    ):
        answer = await manager.get(f"{USERS}?{query}")
        assert [user["user"] for user in answer.json()] == users, query
        assert answer.headers["x-total-count"] == str(len(users))
        assert (await manager.get(f"{USERS}/count?{query}")).json() == {"total": len(users)}
    answer = await manager.get(USERS, params={"user": "x" * 17, "department": "a\x00"})
    assert {error["code"] for error in answer.json()["errors"]} == {"too-long", "control-character"}


async def test_the_next_page_of_a_search_is_of_that_search(manager: httpx.AsyncClient) -> None:
    page = await manager.get(f"{USERS}?name-first-name=ada&limit=2")
    link = page.headers["link"].rpartition(", ")[2]
    assert link == f'<{USERS}?name-first-name=ada&start=3&limit=2>; rel="next"'
    following = await manager.get(link.partition(">")[0][1:])
    assert [user["user"] for user in following.json()] == ["1003"]


async def test_a_user_reads_itself_and_nobody_else(client: httpx.AsyncClient) -> None:
    assert (await client.get("/ns-api/v2/domains/~/users/~")).json()["user"] == "1001"
    assert (await client.get("/ns-api/v2/domains/~/users/1002")).status_code == 403
    assert (await client.get("/ns-api/v2/domains/~/users")).status_code == 403
    assert (await client.put("/ns-api/v2/domains/~/users/~", json={"user-scope": "Super User"})).status_code == 403


async def test_nobody_makes_a_user_that_may_more_than_they_do(world: World, manager: httpx.AsyncClient) -> None:
    for answer in (
        await manager.post(USERS, json=ada(user_scope="Reseller")),
        await manager.put(f"{USERS}/1001", json={"user-scope": "Super User"}),
    ):
        assert answer.status_code == 403
        assert answer.json()["errors"][0]["code"] == "scope-too-wide"
    assert world.writes == 0


async def test_a_user_of_no_domain_is_refused(root: httpx.AsyncClient) -> None:
    assert (await root.post("/ns-api/v2/domains/nowhere/users", json=ada())).status_code == 404
    assert (await root.get("/ns-api/v2/domains/nowhere/users")).status_code == 404


async def test_a_domain_is_created_and_used_at_once(world: World, root: httpx.AsyncClient) -> None:
    world.feed.hold()
    body = {"domain": "acme", "reseller": "acme", "description": "Acme", "caller-id-number": "+4570101010"}
    assert (await root.post(DOMAINS, json=body)).status_code == 202
    assert (await root.post(f"{DOMAINS}/acme/users", json=ada())).status_code == 202
    world.feed.go_on()
    await world.replica.wait_directory(world.directory_sequence, timeout_s=1)
    read = (await root.get(f"{DOMAINS}/acme")).json()
    assert read["caller-id-number"] == "+4570101010"
    assert read["count-subcriber-resources-total"] == 1
    assert (await root.get(f"{DOMAINS}/acme/count")).json() == {"total": 1}
    assert (await root.get(f"{DOMAINS}/acme2/count")).json() == {"total": 0}


async def test_domains_are_listed_by_what_the_token_has(world: World, root: httpx.AsyncClient) -> None:
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")
    listed = {}
    for name, key in (("root", world.super_key), ("manager", world.manager_key), ("reseller", reseller)):
        async with world.client(key) as client:
            listed[name] = [one["domain"] for one in (await client.get(DOMAINS)).json()]
            assert (await client.get(f"{DOMAINS}/count")).json() == {"total": len(listed[name])}
    assert listed == {"root": ["demo", "other"], "manager": ["demo"], "reseller": ["other"]}


async def test_domains_are_made_by_whom_they_belong_to(world: World, manager: httpx.AsyncClient) -> None:
    assert (await manager.post(DOMAINS, json={"domain": "mine", "reseller": "acme"})).status_code == 403
    assert (await manager.put(f"{DOMAINS}/demo", json={"reseller": "acme"})).status_code == 403
    async with world.client(world.add_key("*", "*", "Reseller", reseller="acme")) as reseller:
        assert (await reseller.post(DOMAINS, json={"domain": "new", "reseller": "acme"})).status_code == 202
        assert (await reseller.post(DOMAINS, json={"domain": "new2", "reseller": "rival"})).status_code == 403
        assert (await reseller.get(f"{DOMAINS}/demo")).status_code == 404


async def test_secrets_are_taken_and_never_read_back(world: World, root: httpx.AsyncClient) -> None:
    body = {"email-send-smtp-password": "hunter2", "email-send-smtp-hostname": "mail.demo.example"}
    assert (await root.put(f"{DOMAINS}/demo", json=body)).status_code == 202
    read = await root.get(f"{DOMAINS}/demo")
    assert "mail.demo.example" in read.text
    assert "hunter2" not in read.text
    stored = await world.store.domain("demo")
    assert isinstance(stored, Domain)
    assert stored.other["email-send-smtp-password"] == "hunter2"
    async with world.client(world.super_key) as client:
        exported = (await client.get("/ringbridge/v1/directory")).json()
        assert "hunter2" not in json.dumps(exported)
        applied = await client.put("/ringbridge/v1/directory", json=exported)
    assert applied.json()["changes"] == []


async def test_what_is_used_is_kept_and_its_users_are_named(world: World, manager: httpx.AsyncClient) -> None:
    world.put(PhoneNumber("demo", "4570102031", user="1001"))
    answer = await manager.delete(f"{USERS}/1001")
    assert answer.status_code == 409
    named = {(error["field"], error["found"]) for error in answer.json()["errors"]}
    assert {("device", "demo/1001_desk"), ("phonenumber", "demo/4570102031")} <= named
    assert any(field == "apikey" for field, _ in named)
    assert (await manager.delete(f"{DOMAINS}/demo")).status_code == 403  # nobody deletes the own tenant
    async with world.client(world.super_key) as root:
        assert (await root.delete(f"{DOMAINS}/demo")).status_code == 409
    assert world.writes == 0


async def test_a_cascade_takes_all_that_uses_it(world: World, manager: httpx.AsyncClient) -> None:
    assert (await manager.delete(f"{USERS}/1001?cascade=yes")).status_code == 202
    assert await world.store.user("demo", "1001") is None
    assert await world.store.devices_of("demo", "1001") == []
    assert await world.store.devices_of("demo", "1002") != []
    async with world.client(world.super_key) as root:
        assert (await root.delete(f"{DOMAINS}/demo?cascade=yes")).status_code == 202
    for kind in ("domain", "user", "device", "phonenumber", "apikey"):
        assert [one for one in await world.store.records(kind) if one.domain == "demo"] == [], kind
    assert await world.store.domain("other") is not None


async def test_writes_are_refused_while_the_bus_is_away_and_reads_go_on(
    world: World, manager: httpx.AsyncClient
) -> None:
    world.hub.is_up = False
    for answer in (
        await manager.post(USERS, json=ada()),
        await manager.put(f"{USERS}/1001", json={"site": "London"}),
        await manager.delete(f"{USERS}/1001"),
    ):
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
    assert (await manager.get(f"{USERS}/1001")).status_code == 200
    assert isinstance(await world.store.user("demo", "1001"), User)


async def test_a_user_that_is_read_again_is_told_as_it_is_now(world: World, manager: httpx.AsyncClient) -> None:
    async def told() -> tuple[str, int, str]:
        answer = await manager.get(f"{USERS}/1001")
        read = answer.json()
        return read["name-first-name"], read["active-calls-total-current"], answer.headers["etag"]

    first, calls, tag = await told()
    assert await told() == (first, calls, tag)
    await manager.post(f"{USERS}/1001/calls", json={"call-id": "c1", "call-term-user": "1002", "synchronous": "yes"})
    assert await told() == (first, calls + 1, tag)
    await manager.put(f"{USERS}/1001", json={"name-first-name": "Augusta"})
    await world.replica.wait_directory(world.directory_sequence, timeout_s=1)
    again, calls_still, other_tag = await told()
    assert (again, calls_still) == ("Augusta", calls + 1)
    assert other_tag != tag


async def test_what_is_kept_of_users_that_were_read_is_bounded() -> None:
    told = ToldRecords(USER)
    for number in range(MOST_TOLD + 1):
        user = User("demo", f"{number}")
        assert told.of(user) is told.of(user)
    assert len(told) <= MOST_TOLD


async def test_calls_to_a_device_made_again_do_not_ring_the_phones_of_the_last(world: World) -> None:
    path, device = "/ns-api/v2/domains/demo/users/1001/devices", "1001_desk"
    async with world.client(world.super_key) as root:
        assert (await root.get(f"{path}/{device}")).json()["device-sip-registration-state"] == "registered"
        assert (await root.delete(f"{path}/{device}")).status_code == 202
        body = {"device": device, "device-sip-registration-password": "a long enough secret", "synchronous": "yes"}
        assert (await root.post(path, json=body)).status_code == 200
        async with asyncio.timeout(5):
            while True:
                if (await root.get(f"{path}/{device}")).json()["device-sip-registration-state"] != "registered":
                    break
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["-acme.example", ".acme.example"])
async def test_a_new_domain_has_a_name_that_a_sip_uri_can_hold(world: World, name: str) -> None:
    async with world.client(world.super_key) as client:
        made = await client.post("/ns-api/v2/domains", json={"domain": name, "reseller": "acme"})
        applied = await client.put("/ringbridge/v1/directory", json={"domains": [{"domain": name}]})
        assert (made.status_code, applied.status_code) == (400, 400)
        assert made.json()["errors"][0]["field"] == "domain"
        assert applied.json()["errors"][0]["field"] == "domains[0].domain"
        world.put(Domain(name))
        kept = await client.put("/ringbridge/v1/directory", json={"domains": [{"domain": name}]})
        assert kept.status_code == 200, "one that is there stays"
        assert (await client.get(f"/ns-api/v2/domains/{name}")).status_code == 200
