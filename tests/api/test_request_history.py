"""The request history over HTTP: everybody sees what was asked with their keys, and can ask it again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ringbridge.adapters.exchanges.store import ExchangeSettings
from ringbridge.api.access.rate_limits import RateLimits
from ringbridge.api.document.openapi import openapi_document
from ringbridge.api.document.operations import Access
from ringbridge.api.exchanges.recorder import telling_operations
from ringbridge.api.parts import ApiSettings
from ringbridge.model.access import Scope
from ringbridge.model.directory import Device, Domain, User
from ringbridge.model.keys import key_id_of
from ringbridge.model.login_password import FIELD as LOGIN_PASSWORD
from tests.api.logins import ask, give_password, token
from tests.api.walk import ask_operation
from tests.api.world import CALLS, World, order, running_world

REQUESTS = "/ringbridge/v1/requests"
USER = "/ns-api/v2/domains/demo/users/1001"
NUMBER = "4531234567"


def kept_in(folder: Path, *, body_bytes: int = 4096) -> ExchangeSettings:
    return ExchangeSettings(
        path=folder / "requests.db", node="n1", kept_s=3600.0, most_kept=10_000, body_bytes=body_bytes
    )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(exchanges=kept_in(tmp_path)) as one:
        yield one


def bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("requests.db*"))


async def listed(world: World, key: str | None = None, **query: str) -> list[dict[str, Any]]:
    async with world.client(key) as client:
        answer = await client.get(REQUESTS, params={name.replace("_", "-"): value for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def details(world: World, request: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    async with world.client(key) as client:
        answer = await client.get(f"{REQUESTS}/{request['id']}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def resent(world: World, request: dict[str, Any], key: str | None = None) -> httpx.Response:
    async with world.client(key) as client:
        return await client.post(f"{REQUESTS}/{request['id']}/resend")


async def test_a_request_is_told_with_what_was_sent_and_answered(world: World) -> None:
    async with world.client(address="192.0.2.7") as client:
        headers = {"user-agent": "crm/3.1", "x-request-id": "ticket-1", "cookie": "a=b", "accept": "application/json"}
        made = await client.post(f"{CALLS}?callid=x", json=order(note="hi"), headers=headers)
    assert made.status_code == 202
    (request,) = await listed(world)
    assert request == {
        "id": request["id"],
        "datetime": request["datetime"],
        "method": "POST",
        "path": CALLS,
        "query": {"callid": "x"},
        "operation": "make-call",
        "status": 202,
        "duration-ms": request["duration-ms"],
        "user-agent": "crm/3.1",
        "address": "192.0.2.7",
        "key-prefix": "nsu_",
        "key-id": key_id_of(world.user_key),
        "domain": "demo",
        "user": "1001",
        "request-id": "ticket-1",
        "masked": False,
    }
    assert re.fullmatch(r"n1-\d{16}", request["id"])
    began = datetime.fromisoformat(request["datetime"]).timestamp() + request["duration-ms"] / 1000
    assert began == pytest.approx(world.clock.now(), abs=0.01)
    told = await details(world, request)
    assert {name: told[name] for name in request} == request
    sent = made.request
    assert told["headers"] == {
        "host": "ringbridge.test",
        "accept": "application/json",
        "user-agent": "crm/3.1",
        "content-type": "application/json",
    }
    assert (told["body"], told["body-state"], told["body-size"]) == (
        sent.content.decode(),
        "whole",
        len(sent.content),
    )
    assert (told["answer"], told["answer-state"], told["answer-size"]) == (made.text, "whole", len(made.content))
    assert told["answer-headers"] == {"content-type": "application/json", "x-ringbridge-ignored": "note"}
    assert told["resendable"] is True
    for key in (world.user_key, world.user_key[16:]):
        assert key not in str(told)


async def test_refusals_of_a_known_token_are_kept_and_strangers_are_nobody_s(world: World, tmp_path: Path) -> None:
    async with world.client() as client, world.client("nonsense") as stranger, world.client("") as nobody:
        await client.get("/ns-api/v2/domains/demo/calls")  # 403
        await client.get("/ns-api/v2/domains/other/calls")  # 404
        await client.post(CALLS, content=b'{"call-id": }')  # 400
        await client.get("/ns-api/v2/version")
        await client.get("/metrics")
        assert (await stranger.get(CALLS)).status_code == 401
        assert (await nobody.get("/healthz")).status_code == 200
    assert [one["status"] for one in await listed(world)] == [400, 404, 403]
    assert len(await listed(world, world.super_key)) == 3
    malformed = await details(world, (await listed(world))[0])
    assert malformed["body"] == '{"call-id": }'
    assert "malformed-json" in malformed["answer"]
    limits = RateLimits(key="2/second", user="off", domain="off", address="off", unauthenticated="off")
    folder = tmp_path / "limited"
    async with running_world(ApiSettings(rate_limits=limits), kept_in(folder)) as limited, limited.client() as client:
        statuses = [(await client.get(CALLS)).status_code for _ in range(3)]
        limited.clock.time += 1
        assert statuses == [200, 200, 429]
        assert [one["status"] for one in await listed(limited)] == [429, 200, 200]


async def test_reads_of_the_history_are_not_in_it(world: World) -> None:
    async with world.client() as client:
        await client.get(CALLS)
        (request,) = await listed(world)
        for path in ("", "/count", f"/{request['id']}"):
            await client.get(REQUESTS + path)
    assert [one["operation"] for one in await listed(world)] == ["list-user-calls"]


async def test_everybody_sees_what_is_theirs(world: World) -> None:
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")  # of domain `other`
    narrow = world.add_key("demo", "*", "Basic User")
    askers = {
        "super": world.super_key,
        "reseller": reseller,
        "manager": world.manager_key,
        "user": world.user_key,
        "colleague": world.other_user_key,
        "foreign": world.foreign_key,
        "foreign manager": world.foreign_manager_key,
        "narrow": narrow,
    }
    for key in askers.values():
        async with world.client(key) as client:
            await client.get("/ns-api/v2/apikeys")
    own_of = {key_id_of(key): name for name, key in askers.items()}
    seen = {name: {own_of[one["key-id"]] for one in await listed(world, key)} for name, key in askers.items()}
    demo, other = {"manager", "user", "colleague", "narrow"}, {"foreign", "foreign manager"}
    assert seen == {
        "super": set(askers),
        "reseller": {"reseller"} | other,
        "manager": demo,
        "user": {"user"},
        "colleague": {"colleague"},
        "foreign": {"foreign"},
        "foreign manager": other,
        "narrow": {"narrow"},
    }
    for name, key in askers.items():
        async with world.client(key) as client:
            assert (await client.get(f"{REQUESTS}/count")).json() == {"total": len(seen[name])}


async def test_another_s_request_is_404_like_one_that_never_was(world: World) -> None:
    async with world.client() as client:
        await client.post(CALLS, json=order())
        (request,) = await listed(world)
        for key in (world.other_user_key, world.foreign_manager_key):
            async with world.client(key) as stranger:
                for method, path in (("GET", ""), ("POST", "/resend")):
                    missing = request["id"][:-4] + "0000"
                    answers = [
                        await stranger.request(method, f"{REQUESTS}/{name}{path}") for name in (request["id"], missing)
                    ]
                    assert [one.status_code for one in answers] == [404, 404]
                    assert answers[0].json()["message"].replace(request["id"], missing) == answers[1].json()["message"]
        elsewhere = await client.get(f"{REQUESTS}/{request['id'].replace('n1', 'n2')}")
        assert elsewhere.status_code == 404
        assert "this is node n1" in elsewhere.json()["message"]
        assert (await client.get(f"{REQUESTS}/nothing")).status_code == 404
    assert world.writes == 1


@pytest.mark.parametrize("way", ["api", "document"])
async def test_whoever_gets_a_name_later_sees_nothing_of_who_had_it(world: World, way: str) -> None:
    """Of a domain that was deleted and made anew, and of a user; what changes one of them hides nothing."""
    keys = {"of the domain": "", "of the user": "", "of the reseller": ""}

    async def write(root: httpx.AsyncClient, caller_id: str) -> None:
        user = {"user": "1001", "name-first-name": "Ada", "name-last-name": "L", "email-address": "a@b.example"}
        user["user-scope"] = "Basic User"
        if way == "document":
            inside = [{**user, "caller-id-number": caller_id}]
            document = {"domains": [{"domain": "acme", "reseller": "hosts", "users": inside}]}
            assert (await root.put("/ringbridge/v1/directory", json=document)).status_code == 200
            return
        body = {"domain": "acme", "reseller": "hosts", "description": "tenant"}
        made = await root.post("/ns-api/v2/domains", json=body | {"synchronous": "yes"})
        if made.status_code == 409:
            await root.put("/ns-api/v2/domains/acme", json={"caller-id-number": caller_id})
        made = await root.post("/ns-api/v2/domains/acme/users", json=user | {"synchronous": "yes"})
        if made.status_code == 409:
            await root.put("/ns-api/v2/domains/acme/users/1001", json={"caller-id-number": caller_id})

    def make_keys() -> None:
        keys["of the domain"] = world.add_key("acme", "*", "Office Manager")
        keys["of the user"] = world.add_key("acme", "1001", "Basic User")
        keys["of the reseller"] = world.add_key("*", "*", "Reseller", reseller="hosts")

    async def ask() -> None:
        for name in ("of the domain", "of the user"):
            async with world.client(keys[name]) as client:
                await client.get("/ns-api/v2/domains/acme/users/1001/calls")

    async def seen() -> list[int]:
        return [len(await listed(world, key)) for key in (*keys.values(), world.super_key)]

    async with world.client(world.super_key) as root:
        await write(root, "1001")
        make_keys()
        before = (await seen())[-1]
        await ask()
        world.clock.time += 0.2
        await write(root, "1002")
        told = await seen()
        assert (told[:3], told[-1] > before) == ([2, 1, 2], True)
        (request,) = await listed(world, keys["of the user"])
        await root.delete("/ns-api/v2/domains/acme/users/1001", params={"cascade": "yes"})
        await root.delete("/ns-api/v2/domains/acme", params={"cascade": "yes"})
        world.clock.time += 0.2
        await write(root, "1001")
        make_keys()
        told = await seen()
        assert (told[:3], told[-1] > before) == ([0, 0, 0], True)
        for key in keys.values():
            async with world.client(key) as client:
                assert (await client.get(f"{REQUESTS}/{request['id']}")).status_code == 404
        await ask()
        assert (await seen())[:3] == [2, 1, 2]
        # A user alone: the domain is the same one, and still sees what was asked there.
        await root.delete("/ns-api/v2/domains/acme/users/1001", params={"cascade": "yes"})
        world.clock.time += 0.2
        await write(root, "1001")
        make_keys()
        assert (await seen())[:3] == [2, 0, 2]


@pytest.mark.parametrize("scope", [Scope.SUPER_USER, Scope.RESELLER])
async def test_who_reaches_further_is_not_told_of_in_the_domain_that_they_log_in_by(world: World, scope: Scope) -> None:
    world.put(msgspec.structs.replace(Domain("demo"), reseller="acme"))
    await give_password(world, scope=scope)
    wide = await token(world)
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")
    assert (await ask(world, wide, "GET", "/ns-api/v2/domains/other/users/1001")).status_code == 200
    (told,) = await listed(world, wide)
    for key in (world.manager_key, world.user_key):
        assert await listed(world, key) == []
        async with world.client(key) as client:
            assert (await client.get(f"{REQUESTS}/{told['id']}")).status_code == 404
    assert await listed(world, reseller) == ([told] if scope is Scope.RESELLER else [])
    assert await listed(world, world.super_key) == [told]


async def test_a_user_s_key_is_not_told_what_the_same_person_asked_as_a_manager(world: World) -> None:
    await give_password(world, scope=Scope.OFFICE_MANAGER)
    assert (await ask(world, await token(world), "GET", "/ns-api/v2/domains/demo/users/1002")).status_code == 200
    assert await listed(world, world.user_key) == []
    assert len(await listed(world, world.manager_key)) == 1


async def test_a_lower_scope_than_the_owner_s_sees_masked_numbers_and_may_not_send_them_again(world: World) -> None:
    world.put(User("demo", "1001", user_scope="Advanced User", caller_id_number=NUMBER))
    wide, low = (world.add_key("demo", "1001", scope) for scope in ("Advanced User", "Basic User"))
    async with world.client(wide) as client:
        await client.get(f"{USER}/calls", params={"to": f"+45 {NUMBER}"}, headers={"x-request-id": f"to-{NUMBER}"})
        body = order(call_term_user="1002", caller_id_number=int(NUMBER), callback_caller_id_number=f"+{NUMBER}")
        await client.post(CALLS, json=body)
    for one in await listed(world, wide):
        assert one["masked"] is False
    call, read = await listed(world, low)
    assert (call["masked"], read["masked"]) == (True, True)
    assert read["query"] == {"to": "**********67"}
    told = await details(world, call, low)
    assert "1002" in told["body"]
    assert told["resendable"] is False
    for text in (str(told), str(read), str(await details(world, read, low))):
        assert NUMBER not in text
    assert NUMBER in (await details(world, call, wide))["body"]
    assert NUMBER in (await details(world, call, world.manager_key))["body"]
    refused = await resent(world, call, low)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "numbers-masked")
    again = await resent(world, call, wide)
    assert again.status_code == 202, again.text


async def test_it_is_narrowed_counted_and_paged(world: World) -> None:
    async with world.client() as client:
        for number in range(3):
            world.clock.time += 60
            await client.post(CALLS, json=order(f"c{number}"))
        world.clock.time += 60
        await client.get(f"{CALLS}/none")
        key = world.user_key[:16]
        for query, total in (
            ({"method": "GET"}, 1),
            ({"method": "POST"}, 3),
            ({"path": "/calls/no"}, 1),
            ({"status": "202"}, 3),
            ({"status": "4xx"}, 1),
            ({"key": key}, 4),
            ({"key": key[4:]}, 4),
            ({"key": "another"}, 0),
            ({"operation": "make-call"}, 3),
            ({"domain": "demo"}, 4),
            ({"domain": "other"}, 0),
            ({"datetime-start": "2027-01-15T08:02:00Z"}, 3),
            ({"datetime-end": "2027-01-15 08:02:00"}, 2),
            ({"method": "POST", "datetime-start": "2027-01-15T09:03:00+01:00"}, 1),
        ):
            assert (await client.get(f"{REQUESTS}/count", params=query)).json() == {"total": total}, query
            assert len((await client.get(REQUESTS, params=query)).json()) == total, query
        page = await client.get(REQUESTS, params={"method": "POST", "start": 2, "limit": 1})
        assert page.headers["x-total-count"] == "3"
        assert f'<{REQUESTS}?method=POST&start=3&limit=1>; rel="next"' in page.headers["link"]
        bad = {
            "method": "get",
            "status": "9",
            "key": "!",
            "operation": "A b",
            "limit": "0",
            "datetime-end": "x",
            "domain": "\t",
        }
        refused = await client.get(REQUESTS, params=bad)
        assert refused.status_code == 400
        assert {fault["field"] for fault in refused.json()["errors"]} == set(bad)


async def test_a_call_is_sent_again_as_a_new_one_under_the_permissions_of_whoever_asks(world: World) -> None:
    async with world.client() as client:
        made = await client.post(
            "/ns-api/v2/domains/~/users/~/calls?callid=old", json={"destination": "1002", "synchronous": "yes"}
        )
    assert made.json()["call-id"] == "old"
    request = (await listed(world))[0]
    again = await resent(world, request)
    assert again.status_code == 200
    first, second = made.json(), again.json()
    assert second["call-id"] not in ("old", "")
    assert second["call-session-id"] != first["call-session-id"]
    for name in ("call-orig-user", "call-dialed-number", "call-by-user"):
        assert second[name] == first[name]
    manager = await resent(world, request, world.manager_key)
    assert manager.status_code == 200
    assert manager.json()["call-by-user"] == "1001", "`~` is whose request it was"
    readonly = await resent(world, request, world.readonly_key)
    assert (readonly.status_code, readonly.json()["errors"][0]["code"]) == (403, "read-only")
    models = world.add_key("demo", "1001", "Basic User", allowed_models=("request",))
    refused = await resent(world, request, models)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "model-not-allowed")
    kept = [one for one in await listed(world) if one["operation"] == "resend-request"]
    assert len(kept) == 2
    assert second["call-id"] in (await details(world, kept[-1]))["answer"]


async def test_what_is_no_call_or_is_not_kept_as_it_was_is_not_sent_again(tmp_path: Path) -> None:
    async with running_world(exchanges=kept_in(tmp_path, body_bytes=200)) as world:
        async with world.client() as client:
            await client.get(CALLS)
            await client.post(CALLS, json=order("long", note="x" * 300))
            await client.post(CALLS, json=order("secret", password="horse"))
            await client.post(CALLS, content=b'{"call-id": "broken"')
            await client.post(CALLS, json=order("dry"), params={"dry-run": "yes"})
        writes = world.writes
        dry, broken, secret, long, read = await listed(world)
        for request, status, code in (
            (read, 409, "not-a-call"),
            (long, 409, "body-not-kept"),
            (secret, 409, "body-not-kept"),
            (broken, 400, "malformed-json"),
        ):
            answer = await resent(world, request)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
        assert (await details(world, long))["body-state"] == "cut"
        assert len((await details(world, long))["body"]) == 200
        assert "horse" not in (await details(world, secret))["body"]
        tried = await resent(world, dry)
        assert (tried.status_code, world.writes) == (200, writes), "what only asked what would ring only asks again"


async def test_a_call_of_a_domain_that_is_named_like_a_secret_is_not_sent_again(world: World) -> None:
    domain = f"nsd_{'a1B2' * 14}"
    world.put(Domain(domain), User(domain, "1001"), Device(domain, "1001", "1001_desk"))
    async with world.client(world.super_key) as client:
        await client.post(CALLS.replace("demo", domain), json=order())
    (request,) = await listed(world, world.super_key)
    assert "[hidden]" in request["path"]
    writes = world.writes
    refused = await resent(world, request, world.super_key)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "path-not-kept")
    assert world.writes == writes, "nobody is rung"


async def test_a_call_whose_path_was_written_otherwise_is_sent_again(world: World) -> None:
    async with world.client() as client:
        for path in (f"{CALLS}/", CALLS.replace("/calls", "//calls")):
            assert (await client.post(path, json=order(f"at-{len(path)}"))).status_code == 202, path
            again = await resent(world, (await listed(world, operation="make-call"))[0])
            assert again.status_code == 202, again.text


async def test_no_operation_leaves_a_secret_in_the_history(world: World, tmp_path: Path) -> None:
    """Every operation is asked with its example; what those call a password is neither told nor in the file."""
    secrets: tuple[str, ...] = ("correct horse battery", "a-long-secret", "a-very-long", world.super_key)
    async with world.client(world.super_key) as client:
        device = {"device": "1001_new", "device-sip-registration-password": "a-very-long-one"}
        assert (await client.post(f"{USER}/devices", json=device)).status_code == 202
        made = (await client.post(f"{USER}/devices", json={"device": "1001_other", "synchronous": "yes"})).json()
        key = (await client.post("/ns-api/v2/apikeys", json={"description": "a key for tests"})).json()["key"]
        post = {"model": "call", "post-url": "https://example.org/", "domain": "demo", "synchronous": "yes"}
        subscription = (await client.post("/ns-api/v2/subscriptions", json=post)).json()
        assert (await client.put(f"{USER}/password", json={LOGIN_PASSWORD: "correct horse battery"})).status_code == 202
        for operation in world.operations:
            if operation.access is not Access.OPEN:
                await ask_operation(world, operation, world.super_key)
    for told in (key, subscription["webhook-secret"], made["device-sip-registration-password"]):
        assert len(told) > 15
        secrets += (told,)
    assert len(await listed(world, world.super_key, limit="1000")) > 60
    for one in await listed(world, world.super_key, limit="1000"):
        text = str(await details(world, one, world.super_key))
        assert not [secret for secret in secrets if secret in text], one
    await world.exchanges.close() if world.exchanges else None
    kept = bytes_in(tmp_path)
    assert b"1001_new" in kept
    assert not [secret for secret in secrets if secret.encode() in kept]


def test_only_answers_without_any_name_of_a_secret_are_kept_unread(world: World) -> None:
    document = openapi_document(world.operations, version="1")
    telling = set(telling_operations(document))
    assert {"create-apikey", "create-subscription", "enrol-user-mfa", "read-user", "create-device"} <= telling
    assert not telling & {"read-call", "list-calls", "list-cdrs", "list-devices"}


async def test_without_a_history_its_paths_say_so_and_nothing_is_kept() -> None:
    async with running_world() as world, world.client() as client:
        await client.get(CALLS)
        for path in ("", "/count", "/n1-1"):
            answer = await client.get(REQUESTS + path)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "no-request-history")
            assert "requests.kept_s" in answer.json()["message"]


async def test_what_is_dropped_is_a_metric(world: World) -> None:
    async with world.client("") as client:
        metrics = (await client.get("/metrics")).text
    assert 'ringbridge_request_history_dropped_total{reason="queue"} 0.0' in metrics
    assert 'ringbridge_request_history_dropped_total{reason="write"} 0.0' in metrics


async def test_a_long_list_is_kept_in_its_beginning_and_a_stream_too(tmp_path: Path) -> None:
    async with running_world(exchanges=kept_in(tmp_path, body_bytes=1000)) as world:
        async with world.client(world.super_key) as client:
            answer = await client.get("/ns-api/v2/domains/demo/users")
            stream = await client.get("/ns-api/v2/cdrs", headers={"accept": "text/csv"})
        csv, users = await listed(world, world.super_key)
        told = await details(world, users, world.super_key)
        assert (told["answer-state"], told["answer-size"]) == ("cut", len(answer.content))
        assert len(told["answer"]) <= 1000
        told = await details(world, csv, world.super_key)
        assert told["answer-size"] == len(stream.content)
        assert stream.text.startswith(told["answer"])
