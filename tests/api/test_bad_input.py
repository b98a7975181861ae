"""Bad input: the contract's status, every fault named by field, nothing rings, nothing is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from ringbridge.api.parts import ApiSettings
from tests.api.world import CALLS, World, order, running_world


@pytest.fixture(autouse=True)
async def _nothing_stored(world: World) -> AsyncIterator[None]:
    before = world.writes
    yield
    assert world.writes == before


def faults(answer: httpx.Response) -> dict[str, str]:
    """Return the codes of a 400 by field, after checking its shape."""
    body = answer.json()
    assert answer.status_code == 400
    assert body["code"] == 400
    assert body["message"]
    assert body["request-id"] == answer.headers["x-request-id"]
    assert all({"code", "message"} <= set(error) for error in body["errors"])
    return {error["field"]: error["code"] for error in body["errors"]}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("synchronous", "maybe", "not-one-of"),
        ("synchronous", "", "not-one-of"),
        ("synchronous", True, "wrong-type"),
        ("auto-answer-enabled", "YES", "not-one-of"),
        ("auto-answer-enabled", 1, "not-one-of"),
        ("call-id", "", "missing"),
        ("call-id", None, "missing"),
        ("call-id", "   ", "missing"),
        ("call-id", "a b", "bad-characters"),
        ("call-id", "a/b", "bad-characters"),
        ("call-id", "ä", "bad-characters"),
        ("call-id", "a" * 129, "too-long"),
        ("call-id", ["a"], "wrong-type"),
        ("call-id", ".", "reserved"),
        ("call-id", "..", "reserved"),
        ("call-id", "count", "reserved"),
        ("call-id", "a\r\nX: y", "control-character"),
        ("call-id", "a\n", "control-character"),
        ("call-term-user", "", "missing"),
        ("call-term-user", {}, "wrong-type"),
        ("call-term-user", False, "wrong-type"),
        ("call-term-user", "not a number", "not-a-number"),
        ("call-term-user", "+", "not-a-number"),
        ("call-term-user", "++45", "not-a-number"),
        ("call-term-user", "٣٤٥", "not-a-number"),
        ("call-term-user", -5, "not-a-number"),
        ("call-term-user", 1.5, "not-a-number"),
        ("call-term-user", "1002@demo@x", "bad-address"),
        ("call-term-user", "sip:1002@demo;evil=1", "bad-address"),
        ("call-term-user", "1002\x00", "control-character"),
        ("call-term-user", "1002\r\nVia: x", "control-character"),
        ("call-term-user", "\ud800", "control-character"),
        ("call-term-user", "1" * 200, "too-long"),
        ("call-term-user", "1003", "no-registered-device"),
        ("call-orig-user", "1001 desk!", "not-a-number"),
        ("call-orig-user", "1001\n", "control-character"),
        ("call-orig-user", [], "wrong-type"),
        ("call-orig-user", "nobody", "unknown-user"),
        ("dial-rule-application", "a b", "bad-characters"),
        ("dial-rule-application", "a" * 65, "too-long"),
        ("caller-id-number", "abc", "not-a-number"),
        ("caller-id-number", "45\r\n", "control-character"),
        ("callback-caller-id-number", "++1", "not-a-number"),
        ("call-term-added-sip-header", "X-A", "not-a-header"),
        ("call-term-added-sip-header", "X-A: b\r\nX-C: d", "control-character"),
        ("call-term-added-sip-header", "X-A: b\tc", "control-character"),
        ("call-term-added-sip-header", "Via: x", "header-not-allowed"),
        ("call-term-added-sip-header", "X A: b", "not-a-header"),
        ("call-term-added-sip-header", "X-A: " + "b" * 300, "too-long"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx.AsyncClient, field: str, value: object, code: str) -> None:
    answer = await client.post(CALLS, content=json.dumps(order() | {field: value}).encode())
    assert faults(answer) == {field: code}


async def test_every_fault_of_a_body_is_in_one_answer(client: httpx.AsyncClient) -> None:
    body = {
        "call-id": "a b",
        "call-orig-user": "!!",
        "caller-id-number": "x",
        "call-term-added-sip-header": "Via: x",
        "synchronous": "perhaps",
    }
    answer = await client.post(CALLS, json=body)
    assert faults(answer) == {
        "synchronous": "not-one-of",
        "call-id": "bad-characters",
        "call-term-user": "missing",
        "call-orig-user": "not-a-number",
        "caller-id-number": "not-a-number",
        "call-term-added-sip-header": "header-not-allowed",
    }
    found = {error["field"]: error.get("found") for error in answer.json()["errors"]}
    assert found["call-id"] == "a b"


async def test_faults_of_the_directory_are_in_one_answer(client: httpx.AsyncClient) -> None:
    body = order(call_orig_user="nobody", call_term_user="1003", caller_id_number="4599999999")
    answer = await client.post(CALLS, json=body)
    assert faults(answer) == {
        "call-orig-user": "unknown-user",
        "call-term-user": "no-registered-device",
        "caller-id-number": "caller-id-not-allowed",
    }


async def test_faults_of_the_body_and_of_the_directory_are_in_one_answer(client: httpx.AsyncClient) -> None:
    body = order(call_term_user="1003", caller_id_number="4599999999", auto_answer_enabled="perhaps")
    assert faults(await client.post(CALLS, json=body)) == {
        "auto-answer-enabled": "not-one-of",
        "call-term-user": "no-registered-device",
        "caller-id-number": "caller-id-not-allowed",
    }


async def test_a_field_that_is_wrong_as_written_is_not_looked_up(world: World) -> None:
    path = CALLS.replace("1001", "1003")  # whose own phone is not registered
    body = {"call-id": "a b", "call-orig-user": "!!", "dial-rule-application": "a b"}
    async with world.client(world.manager_key) as client:
        answer = await client.post(path, json=body)
    assert faults(answer) == {
        "call-id": "bad-characters",
        "dial-rule-application": "bad-characters",
        "call-term-user": "missing",
        "call-orig-user": "not-a-number",
    }
    assert len(answer.json()["errors"]) == 4


async def test_an_unknown_user_is_404_that_names_the_other_faults_too(world: World) -> None:
    async with world.client(world.manager_key) as client:
        answer = await client.post(CALLS.replace("1001", "1009"), json=order(auto_answer_enabled="perhaps"))
    assert answer.status_code == 404
    assert {error["field"]: error["code"] for error in answer.json()["errors"]} == {
        "user": "no-such-user",
        "auto-answer-enabled": "not-one-of",
    }


async def test_a_caller_id_that_the_user_may_not_use_is_403(client: httpx.AsyncClient) -> None:
    answer = await client.post(CALLS, json=order(caller_id_number="4599999999"))
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["field"] == "caller-id-number"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b'{"call-id": "a",', "line 1, column 17"),
        (b"{'call-id': 1}", "column 2"),
        (b'{"a": 1}{', "column 9"),
        (b"[]", "array"),
        (b'"x"', "object is expected"),
        (b"null", "object is expected"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b'{"call-id": "a", "call-id": "b"}', "twice"),
        (b'{"a": "line\nbreak"}', "line 1"),
        (b'{"a": ' + b"[" * 21 + b"]" * 21 + b"}", "deeper"),
        (b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "deeper"),
        (b'{"a": ' + b"1" * 6000 + b"}", ""),
    ],
)
async def test_malformed_json_is_400_that_says_where(client: httpx.AsyncClient, body: bytes, words: str) -> None:
    answer = await client.post(CALLS, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert words in answer.json()["message"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"]
)
async def test_other_content_types_are_415(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post(CALLS, content=b"call-id=a", headers={"content-type": content_type})
    assert answer.status_code == 415
    assert answer.json()["code"] == 415


async def test_compressed_bodies_are_415(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await client.post(CALLS, content=b"{}", headers=headers)).status_code == 415


async def test_a_body_over_64_kib_is_413_with_and_without_length(client: httpx.AsyncClient) -> None:
    large = json.dumps(order() | {"junk": "x" * 65_536}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 10_000):
            yield large[start : start + 10_000]

    for content in (large, chunks()):
        answer = await client.post(CALLS, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert "65536" in answer.json()["message"]


async def test_bad_names_in_the_path_are_400(world: World) -> None:
    async with world.client(world.super_key) as client:
        for path, fields in [
            ("/domains/de mo/users/1001/calls", {"domain": "bad-name"}),
            ("/domains/*/users/*/calls", {"domain": "bad-name", "user": "bad-name"}),
            (f"/domains/{'a' * 65}/calls", {"domain": "bad-name"}),
            (f"/domains/demo/users/{'1' * 17}/calls", {"user": "bad-name"}),
            ("/domains/demo/users/10%0d%0a01/calls", {"user": "control-character"}),
            ("/domains/demo/users/10%0001/calls", {"user": "control-character"}),
        ]:
            assert faults(await client.get(f"/ns-api/v2{path}")) == fields


async def test_too_many_query_fields_are_400(client: httpx.AsyncClient) -> None:
    query = "&".join(f"a{number}=1" for number in range(100))
    assert (await client.get(f"{CALLS}?{query}")).status_code == 400


async def test_missing_paths_and_methods_are_json_too(client: httpx.AsyncClient) -> None:
    missing = await client.get("/ns-api/v2/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, 404)
    wrong = await client.put(CALLS, json={})
    assert (wrong.status_code, wrong.json()["code"]) == (405, 405)
    assert set(wrong.headers["allow"].split(", ")) >= {"GET", "POST"}


async def test_errors_are_problem_documents_when_asked_for(client: httpx.AsyncClient) -> None:
    answer = await client.post(CALLS, json={}, headers={"accept": "application/problem+json"})
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["title"], body["code"]) == (400, "Bad Request", 400)
    assert {error["field"] for error in body["errors"]} == {"call-id", "call-term-user"}


@pytest.mark.parametrize(("sent", "echoed"), [("abc-1", True), ("a b", False), ("x" * 200, False)])
async def test_the_request_id_is_echoed_if_it_is_one(client: httpx.AsyncClient, sent: str, *, echoed: bool) -> None:
    answer = await client.post(CALLS, json={}, headers={"x-request-id": sent})
    assert (answer.headers["x-request-id"] == sent) is echoed
    assert answer.json()["request-id"] == answer.headers["x-request-id"]


async def test_options_names_every_method_of_a_path(client: httpx.AsyncClient) -> None:
    answer = await client.options(CALLS)
    assert answer.status_code == 204
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST", "OPTIONS"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "TRACE"])
async def test_a_method_that_a_path_has_not_is_405_that_names_those_it_has(
    client: httpx.AsyncClient, method: str
) -> None:
    answer = await client.request(method, CALLS)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST", "OPTIONS"}


async def test_a_bug_of_ours_is_500_that_tells_nothing(world: World, client: httpx.AsyncClient) -> None:
    world.store._calls = None  # type: ignore[assignment] # what the handler meets is a TypeError
    answer = await client.get(f"{CALLS}/a")
    assert answer.status_code == 500
    assert answer.json()["errors"][0]["code"] == "internal-error"
    assert answer.json()["request-id"] == answer.headers["x-request-id"]
    assert "Error" not in answer.text.replace("internal-error", "")
    assert (await client.get("/healthz")).status_code == 200


async def test_a_request_that_takes_too_long_is_503() -> None:
    async with running_world(ApiSettings(deadline_s=0.05, sync_wait_s=5)) as slow, slow.client() as client:
        slow.feed.hold()
        answer = await client.post(CALLS, json=order(synchronous="yes"))
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        slow.feed.go_on()
