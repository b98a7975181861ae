"""Making, reading, listing and ending calls (contract §1, §3)."""

from __future__ import annotations

import asyncio
from datetime import datetime

import httpx
import msgspec
import pytest

from ringbridge.api.calls.views import CallView
from ringbridge.api.parts import ApiSettings
from ringbridge.model.call import Call, CallState
from ringbridge.model.directory import Domain
from ringbridge.model.events import CallClaimed, CallEnded
from ringbridge.model.ids import CallId, DomainName, NodeId
from ringbridge.model.release import HUNG_UP
from tests.api.world import CALLS, World, order, running_world

ACTIVE_CALL = [
    field.encode_name for field in msgspec.structs.fields(CallView) if field.encode_name != "call-end-datetime"
][: -len(("call-id", "call-state", "call-legs", "call-order", "release-cause"))]


SCHEMA = (
    *("core-server", "call-session-id", "call-orig-call-id", "call-orig-match-uri", "call-orig-user"),
    *("call-orig-domain", "call-orig-uri", "call-orig-name", "caller-id-number", "call-dialed-number"),
    *("call-by-action", "call-by-user", "call-by-domain", "call-by-call-id", "call-term-call-id", "call-term-user"),
    *("call-term-domain", "call-term-uri", "call-start-datetime", "call-answer-datetime", "call-orig-info"),
    *("term-orig-info", "call-audio-codec"),
)
"""The fields of schema `ActiveCall`, all required and all text."""


async def stored(world: World, call_id: str, domain: str = "demo") -> Call | None:
    return await world.store.call(DomainName(domain), CallId(call_id))


async def until_stored(world: World, state: CallState) -> None:
    """Wait until the local copy shows call `click-1` in `state`."""
    there = asyncio.Event()
    stop = world.replica.follow_calls(lambda call: there.set() if call.state is state else None)
    call = await stored(world, "click-1")
    if call is None or call.state is not state:
        await asyncio.wait_for(there.wait(), 2)
    stop()


async def finish(world: World, call_id: str) -> None:
    """Claim and end a call as an engine would."""
    call = await stored(world, call_id)
    assert call is not None
    now = world.clock.now()
    sequence = await world.bus.append_call(
        call.domain,
        call.call_id,
        [CallClaimed(NodeId("n1"), 1, now), CallEnded(HUNG_UP, "origination", now + 2)],
        after=call.sequence,
    )
    assert await world.replica.wait_calls(sequence, timeout_s=1)


async def test_a_call_is_accepted_with_202_and_its_id(world: World, client: httpx.AsyncClient) -> None:
    answer = await client.post(CALLS, json=order())
    assert answer.status_code == 202
    assert answer.json() == {"code": 202, "message": "Accepted", "call-id": "click-1"}
    assert answer.headers["content-type"] == "application/json"
    assert world.writes == 1


async def test_synchronous_answers_200_with_the_resource_as_its_get(client: httpx.AsyncClient) -> None:
    answer = await client.post(CALLS, json=order(synchronous="yes"))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["call-id"], body["call-orig-call-id"], body["call-state"]) == ("click-1", "click-1", "requested")
    assert (await client.get(f"{CALLS}/click-1")).json() == body
    required = [name for name in body if name not in ("call-legs", "call-order", "release-cause")]
    assert all(isinstance(body[name], str) for name in required)
    assert set(ACTIVE_CALL) <= set(body)
    assert datetime.fromisoformat(body["call-start-datetime"]).utcoffset() is not None
    assert body["call-answer-datetime"] == ""


async def test_a_late_local_copy_answers_202_not_an_error(world: World, client: httpx.AsyncClient) -> None:
    world.feed.hold()
    answer = await client.post(CALLS, json=order(synchronous="yes"))
    assert answer.status_code == 202
    world.feed.go_on()


@pytest.mark.parametrize(
    "path",
    [
        "/ns-api/v2/domains/~/users/~/calls",
        "/ns-api/v2/domains/%7E/users/%7e/calls",
        "/ns-api/v2/domains/demo/users//calls",
        "/ns-api/v2/domains/~/users//calls",
        "/ns-api/v2/domains/demo/users/1001/calls/",
    ],
)
async def test_tilde_and_an_empty_user_stand_for_the_token_s_own(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post(path, json=order(synchronous="yes"))).json()["call-by-user"] == "1001"
    assert (await client.get(f"{CALLS}/click-1")).status_code == 200


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/ns-api/v2/domains/~/users/~/calls", ["domain", "user"]),
        ("/ns-api/v2/domains/demo/users/~/calls", ["user"]),
        ("/ns-api/v2/domains/~/users/1001/calls", ["domain"]),
        ("/ns-api/v2/domains/~/calls", ["domain"]),
    ],
)
async def test_tilde_without_an_own_is_400_that_says_so(world: World, path: str, fields: list[str]) -> None:
    async with world.client(world.super_key) as client:
        answer = await client.get(path)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == fields
    assert "token" in answer.json()["errors"][0]["message"]


async def test_what_clients_send_is_taken(client: httpx.AsyncClient) -> None:
    body = {
        "callid": "legacy-1",
        "destination": 1002,
        "origination": "1001@demo",
        "caller-id-number": 457011001,
        "caller-id-name": "Somebody",
        "call-term-added-sip-header": "X-Ticket: 4711",
        "auto-answer-enabled": "yes",
        "synchronous": "yes",
        "uid": "1001@demo",
        "evil\r\nSet-Cookie: a": 1,
    }
    answer = await client.post(CALLS, json=body)
    assert answer.status_code == 200
    assert answer.json()["call-id"] == "legacy-1"
    assert answer.headers["x-ringbridge-ignored"] == "caller-id-name, uid, evil%0D%0ASet-Cookie%3A%20a"
    assert "set-cookie" not in answer.headers


async def test_the_true_field_wins_over_its_alias(client: httpx.AsyncClient) -> None:
    body = order("true-1", callid="alias-1", destination="1003", synchronous="yes")
    answer = await client.post(f"{CALLS}?callid=query-1", json=body)
    assert (answer.json()["call-id"], answer.json()["call-dialed-number"]) == ("true-1", "1002")
    assert answer.headers["x-ringbridge-ignored"] == "callid, destination"


async def test_the_query_names_the_call_where_the_body_does_not(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{CALLS}?callid=query-1", json={"call-term-user": "1002"})
    assert answer.json()["call-id"] == "query-1"


# --- idempotency ---


async def test_the_same_request_again_is_the_same_answer_and_rings_nobody(
    world: World, client: httpx.AsyncClient
) -> None:
    first = await client.post(CALLS, json=order(call_orig_user=""))
    again = await client.post("/ns-api/v2/domains/~/users/~/calls", json=order(call_orig_user="1001@demo"))
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert world.writes == 1


async def test_a_replay_of_a_call_that_is_over_is_still_the_same_answer(
    world: World, client: httpx.AsyncClient
) -> None:
    await client.post(CALLS, json=order(synchronous="yes"))
    await finish(world, "click-1")
    again = await client.post(CALLS, json=order())
    assert again.status_code == 202
    assert again.headers["idempotent-replayed"] == "true"


async def test_another_request_with_the_id_is_409_that_tells_nothing(world: World, client: httpx.AsyncClient) -> None:
    await client.post(CALLS, json=order(synchronous="yes"))
    answer = await client.post(CALLS, json=order(call_term_user="1001_desk"))
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "call-id-conflict"
    assert "1002" not in answer.text
    async with world.client(world.other_user_key) as other:
        answer = await other.post(CALLS.replace("1001", "1002"), json=order(call_term_user="1001"))
    assert answer.status_code == 409
    assert world.writes == 1


async def test_a_refused_request_leaves_its_id_free(world: World, client: httpx.AsyncClient) -> None:
    assert (await client.post(CALLS, json=order(call_term_user="1003"))).status_code == 400
    assert world.writes == 0
    assert (await client.post(CALLS, json=order())).status_code == 202


async def test_another_domain_s_call_id_is_another_call(world: World, client: httpx.AsyncClient) -> None:
    await client.post(CALLS, json=order())
    async with world.client(world.foreign_key) as foreign:
        answer = await foreign.post(CALLS.replace("demo", "other"), json=order())
    assert answer.status_code == 202
    assert world.writes == 2


async def test_fifty_at_once_are_one_call(world: World, client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post(CALLS, json=order()) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 49
    assert world.writes == 1


# --- reading ---


async def test_a_call_is_found_by_call_id_and_session_id(client: httpx.AsyncClient) -> None:
    body = (await client.post(CALLS, json=order(synchronous="yes"))).json()
    by_session = await client.get(f"{CALLS}/{body['call-session-id']}")
    assert by_session.json() == body


async def test_calls_of_others_are_404(world: World, client: httpx.AsyncClient) -> None:
    await client.post(CALLS, json=order(synchronous="yes"))
    for path in (f"{CALLS}/none", f"{CALLS.replace('1001', '1002')}/click-1"):
        async with world.client(world.manager_key) as manager:
            answer = await manager.get(path)
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["code"] == "no-such-call"


async def test_an_accepted_call_is_readable_at_once(world: World, client: httpx.AsyncClient) -> None:
    world.feed.hold()
    assert (await client.post(CALLS, json=order())).status_code == 202
    reading = asyncio.create_task(client.get(f"{CALLS}/click-1"))
    assert (await client.get(f"{CALLS}/click-2")).status_code == 404
    async with world.client(world.other_user_key) as other:
        assert (await other.get(f"{CALLS.replace('1001', '1002')}/click-1")).status_code == 404
    assert not reading.done()
    world.feed.go_on()
    answer = await reading
    assert (answer.status_code, answer.json()["call-id"]) == (200, "click-1")
    assert (await client.get(f"{CALLS}/click-1/ladder")).status_code == 200


async def test_an_accepted_call_is_never_404_however_late_the_local_copy_is() -> None:
    async with running_world(ApiSettings(sync_wait_s=0.02)) as world, world.client() as client:
        world.feed.hold()
        assert (await client.post(CALLS, json=order())).status_code == 202
        answer = await client.get(f"{CALLS}/click-1")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        world.feed.go_on()
        assert (await client.get(f"{CALLS}/click-1")).status_code == 200


async def test_lists_show_active_calls_and_single_ended_ones_stay_for_a_day(
    world: World, client: httpx.AsyncClient
) -> None:
    await client.post(CALLS, json=order(synchronous="yes"))
    assert (await client.get(f"{CALLS}/count")).json() == {"total": 1}
    await finish(world, "click-1")
    assert (await client.get(CALLS)).json() == []
    ended = (await client.get(f"{CALLS}/click-1")).json()
    assert (ended["call-state"], ended["release-cause"]["reason"]) == ("ended", "hung-up")
    assert (await client.get(f"{CALLS}/click-1/cdr")).json()["call-disconnect-reason-text"] == "Orig: Bye"
    world.clock.time += 86_403
    assert (await client.get(f"{CALLS}/click-1")).status_code == 404


async def test_the_ladder_tells_the_steps_in_order(world: World, client: httpx.AsyncClient) -> None:
    await client.post(CALLS, json=order(synchronous="yes"))
    assert (await client.get(f"{CALLS}/click-1/cdr")).status_code == 404
    await finish(world, "click-1")
    body = (await client.get(f"{CALLS}/click-1/ladder")).json()
    assert [step["step"] for step in body["steps"]] == ["requested", "claimed", "ended"]
    assert body["steps"][-1]["ms"] == 2000.0
    assert "completed (hung-up)" in body["steps"][-1]["detail"]


async def test_lists_are_paged(world: World) -> None:
    async with world.client(world.manager_key) as client:
        for number in range(5):
            world.clock.time += 1
            await client.post(CALLS, json=order(f"click-{number}", synchronous="yes"))
        path = "/ns-api/v2/domains/demo/calls"
        page = await client.get(path, params={"start": 3, "limit": 2})
        assert [call["call-id"] for call in page.json()] == ["click-2", "click-3"]
        assert page.headers["x-total-count"] == "5"
        links = page.headers["link"]
        assert f'<{path}?start=5&limit=2>; rel="next"' in links
        assert f'<{path}?start=1&limit=2>; rel="prev"' in links
        assert len((await client.get(path, params={"start": 0})).json()) == 5
        assert (await client.get(path + "/count")).json() == {"total": 5}
        assert "next" not in (await client.get(path)).headers["link"]


@pytest.mark.parametrize("query", ["start=-1", "start=x", "limit=0", "limit=1001", "limit=9999999999999", "limit="])
async def test_pages_out_of_range_are_named(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"{CALLS}?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


async def test_unknown_domains_and_users_are_404(world: World) -> None:
    async with world.client(world.super_key) as client:
        for path in ("/domains/none/calls", "/domains/none/calls/count", "/domains/demo/users/9/calls", "/x"):
            assert (await client.get(f"/ns-api/v2{path}")).status_code == 404
        assert (await client.post("/ns-api/v2/domains/demo/users/9/calls", json=order())).status_code == 404
        assert (await client.delete("/ns-api/v2/domains/demo/users/9/calls/a")).status_code == 404
    assert world.writes == 0


# --- ending ---


async def test_delete_before_the_first_leg_rings_ends_the_call(world: World, client: httpx.AsyncClient) -> None:
    await client.post(CALLS, json=order(synchronous="yes"))
    answer = await client.delete(f"{CALLS}/click-1")
    assert answer.status_code == 202
    assert answer.json()["code"] == 202
    await until_stored(world, CallState.ENDED)
    assert (await client.get(f"{CALLS}/click-1")).json()["call-state"] == "ended"
    assert (await client.delete(f"{CALLS}/click-1")).status_code == 202


async def test_delete_before_the_post_is_404_and_bars_the_id(world: World, client: httpx.AsyncClient) -> None:
    assert (await client.delete(f"{CALLS}/click-1")).status_code == 404
    await until_stored(world, CallState.BARRED)
    answer = await client.post(CALLS, json=order())
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "call-ended"
    assert (await client.get(f"{CALLS}/click-1")).status_code == 404
    world.clock.time += 86_401
    assert (await client.post(CALLS, json=order())).status_code == 202


@pytest.mark.parametrize("call_id", ["...", "counts", "A._@:+=-", "ladder", "0", "a" * 128])
async def test_every_id_that_is_accepted_names_its_call_in_a_path(client: httpx.AsyncClient, call_id: str) -> None:
    assert (await client.post(CALLS, json=order(call_id))).status_code == 202
    assert (await client.get(f"{CALLS}/{call_id}")).json()["call-id"] == call_id
    assert (await client.get(f"{CALLS}/{call_id}/ladder")).json()["call-id"] == call_id
    assert (await client.delete(f"{CALLS}/{call_id}")).status_code == 202


async def test_deleting_what_can_be_no_call_stores_nothing(world: World, client: httpx.AsyncClient) -> None:
    for name in ("a!b", "%0d%0a", "a" * 129):
        assert (await client.delete(f"{CALLS}/{name}")).status_code == 404
    assert world.writes == 0


# --- the bus is away ---


async def test_without_the_bus_reads_go_on_and_writes_are_503(world: World, client: httpx.AsyncClient) -> None:
    await client.post(CALLS, json=order(synchronous="yes"))
    world.hub.is_up = False
    assert (await client.get(f"{CALLS}/click-1")).status_code == 200
    answer = await client.post(CALLS, json=order("click-2"))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (await client.get("/readyz")).status_code == 503
    world.hub.is_up = True
    assert (await client.post(CALLS, json=order("click-2"))).status_code == 202


async def test_lists_of_all_show_what_the_token_rules_over(world: World) -> None:
    for path, key in ((CALLS, world.manager_key), (CALLS.replace("demo", "other"), world.foreign_manager_key)):
        async with world.client(key) as client:
            assert (await client.post(path, json=order(synchronous="yes"))).status_code == 200
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")
    seen = {
        world.super_key: ["demo", "other"],
        world.manager_key: ["demo"],
        world.foreign_manager_key: ["other"],
        reseller: ["other"],
    }
    for key, domains in seen.items():
        async with world.client(key) as client:
            listed = await client.get("/ns-api/v2/calls")
            assert [call["call-orig-domain"] for call in listed.json()] == domains
            assert listed.headers["x-total-count"] == str(len(domains))
            assert (await client.get("/ns-api/v2/calls/count")).json() == {"total": len(domains)}
            assert len((await client.get("/ns-api/v2/calls?start=2")).json()) == len(domains) - 1
    async with world.client(world.user_key) as client:
        assert (await client.get("/ns-api/v2/calls")).status_code == 403
        assert (await client.get("/ns-api/v2/calls/count")).status_code == 403


async def test_the_resource_has_every_field_of_the_schema_as_text(world: World, client: httpx.AsyncClient) -> None:
    call = (await client.post(CALLS, json=order(synchronous="yes"))).json()
    assert set(SCHEMA) <= set(call)
    assert {name: type(call[name]) for name in SCHEMA} == dict.fromkeys(SCHEMA, str)
    listed = (await client.get(CALLS)).json()
    assert listed == [call]
    assert world.writes == 1


@pytest.mark.parametrize("key", ["user_key", "manager_key"])
async def test_whoever_gets_a_name_later_has_nothing_of_the_calls_of_who_had_it(world: World, key: str) -> None:
    async with world.client() as client:
        assert (await client.post(CALLS, json=order("old") | {"synchronous": "yes"})).status_code == 200
    world.clock.time += 10
    world.put(Domain("demo", made_at=world.clock.time))
    writes = world.writes
    async with world.client(getattr(world, key)) as client:
        for method, path in (("GET", ""), ("GET", "/ladder"), ("PATCH", "/hold"), ("DELETE", "")):
            answer = await client.request(method, f"{CALLS}/old{path}")
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "no-such-call"), (method, path)
        assert world.writes == writes
        assert (await client.post(CALLS, json=order("new") | {"synchronous": "yes"})).status_code == 200
        assert (await client.get(f"{CALLS}/new")).status_code == 200
        lists = [CALLS, *(["/ns-api/v2/domains/demo/calls", "/ns-api/v2/calls"] if key == "manager_key" else [])]
        for path in lists:
            assert [one["call-id"] for one in (await client.get(path)).json()] == ["new"], path
            assert (await client.get(f"{path}/count")).json() == {"total": 1}, path
    async with world.client(world.super_key) as root:
        assert (await root.get(f"{CALLS}/old")).status_code == 200
        assert (await root.get("/ns-api/v2/calls/count")).json() == {"total": 2}
