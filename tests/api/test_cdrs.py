"""Call history over HTTP: scopes, filters, pages, counts, CSV (contract §6)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ringbridge.adapters.store.batch import StoreBatch
from ringbridge.api.cdrs import cdrs as cdrs_module
from ringbridge.api.cdrs.cdrs import wants_csv
from ringbridge.api.cdrs.fields import CDR_D, CDR_R, CDR_U, number_or_text
from ringbridge.api.cdrs.places import KEPT_S, Places, list_of
from ringbridge.api.cdrs.views import DOMAIN_VIEW, RAW_VIEW, USER_VIEW, cell
from ringbridge.model.cdr import Cdr
from ringbridge.model.cdr_query import Place
from ringbridge.model.directory import Domain, User
from tests.adapters.bus_calls import until
from tests.adapters.cdr_samples import cdr, outside
from tests.api.world import CALLS, World, order

SCHEMAS = Path(__file__).parents[2] / "tests" / "api" / "cdr_schemas.json"
ALL, DEMO, USER = "/ns-api/v2/cdrs", "/ns-api/v2/domains/demo/cdrs", "/ns-api/v2/domains/demo/users/1001/cdrs"


async def put(world: World, *some: Cdr) -> None:
    await world.store.apply(StoreBatch(cdrs=list(some)))


def at(world: World, seconds_ago: float) -> float:
    return world.clock.now() - seconds_ago


@pytest.fixture
async def manager(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client(world.manager_key) as one:
        yield one


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one.get("call-id") for one in answer.json()]


def links(answer: httpx.Response) -> dict[str, str]:
    return {link["rel"]: link["url"] for link in answer.links.values()}


def faults(answer: httpx.Response) -> set[tuple[str, str]]:
    assert answer.status_code == 400, answer.text
    return {(one["field"], one["code"]) for one in answer.json()["errors"]}


async def test_a_domain_s_cdr_says_all_that_is_known(world: World, manager: httpx.AsyncClient) -> None:
    began = 1_799_990_000.0
    await put(
        world,
        cdr(
            "c1",
            started_at=began,
            ringing_at=began + 1,
            orig_answered_at=began + 1,
            answered_at=began + 2,
            ended_at=began + 10,
            held_s=3.2,
            orig_name="Ada",
            orig_host="192.0.2.1",
            orig_media="192.0.2.1:4000",
            term_host="192.0.2.2",
            term_media="192.0.2.2:4000",
            match_uri="sip:*@*",
            reseller="acme",
            asked="+45 10 02",
            orig_site="North",
        ),
    )
    (found,) = (await manager.get(DEMO)).json()
    assert list(found)[: len(CDR_D)] == [field.name for field in CDR_D]
    assert {name: value for name, value in found.items() if value is not None} == {
        "id": "s-c1",
        "domain": "demo",
        "reseller": "acme",
        "call-answer-datetime": "2027-01-15T05:13:22.000+00:00",
        "call-audio-codec": "PCMU",
        "call-audio-relay-side-a-remote-ip": "192.0.2.1:4000",
        "call-audio-relay-side-b-remote-ip": "192.0.2.2:4000",
        "call-batch-answer-datetime": "2027-01-15T05:13:22.000+00:00",
        "call-batch-on-hold-duration-seconds": 3,
        "call-batch-start-datetime": "2027-01-15T05:13:20.000+00:00",
        "call-batch-total-duration-seconds": 10,
        "call-direction": 3,
        "call-disconnect-datetime": "2027-01-15T05:13:30.000+00:00",
        "call-disconnect-reason-text": "Orig: Bye",
        "call-leg-ordinal-index": 0,
        "call-on-hold-duration-seconds": 3,
        "call-orig-call-id": "c1",
        "call-orig-caller-id": 1001,
        "call-orig-domain": "demo",
        "call-orig-from-host": "demo",
        "call-orig-from-name": "Ada",
        "call-orig-from-uri": "sip:1001@demo",
        "call-orig-from-user": "1001",
        "call-orig-ip-address": "192.0.2.1",
        "call-orig-match-uri": "sip:1001@demo",
        "call-orig-pre-routing-uri": "sip:1001@demo",
        "call-orig-request-host": "demo",
        "call-orig-request-uri": "sip:+45 10 02@demo",
        "call-orig-request-user": "+45 10 02",
        "call-orig-reseller": "acme",
        "call-orig-site": "North",
        "call-orig-to-host": "demo",
        "call-orig-to-uri": "sip:1002@demo",
        "call-orig-to-user": "1002",
        "call-orig-user": 1001,
        "call-record-creation-datetime": "2027-01-15T05:13:30.000+00:00",
        "call-ringing-datetime": "2027-01-15T05:13:21.000+00:00",
        "call-routing-match-uri": "sip:*@*",
        "call-start-datetime": "2027-01-15T05:13:20.000+00:00",
        "call-talking-duration-seconds": 8,
        "call-term-call-id": "sip-t1",
        "call-term-caller-id": "1002",
        "call-term-domain": "demo",
        "call-term-ip-address": "192.0.2.2",
        "call-term-match-uri": "sip:1002@demo",
        "call-term-pre-reouting-uri": "sip:1002@demo",
        "call-term-reseller": "acme",
        "call-term-to-uri": "sip:1002@demo",
        "call-term-user": "1002",
        "call-total-duration-seconds": 10,
        "core-server": "n1",
        "hide-from-results": 0,
        "is-trace-expected": False,
        "call-id": "c1",
        "call-session-id": "s-c1",
        "call-by-user": "1001",
        "call-orig-answer-datetime": "2027-01-15T05:13:21.000+00:00",
        "call-orig-sip-call-id": "sip-o1",
        "call-ended-by": "origination",
        "release-cause": {"result": "completed", "reason": "hung-up", "sip-status": None},
    }


async def test_each_list_has_its_schema(world: World, manager: httpx.AsyncClient) -> None:
    await put(world, cdr("c1", started_at=at(world, 60), answered_at=at(world, 50)))
    async with world.client(world.super_key) as admin:
        (raw,) = (await admin.get(ALL)).json()
    assert list(raw)[: len(CDR_R)] == [field.name for field in CDR_R]
    assert (raw["orig_callid"], raw["orig_from_user"], raw["release_text"]) == ("c1", 1001, "Orig: Bye")
    assert (raw["time_start"], raw["time_talking"], raw["duration"]) == (int(at(world, 60)), 8, 10)
    (mine,) = (await manager.get(USER)).json()
    assert list(mine)[: len(CDR_U)] == [field.name for field in CDR_U]
    assert (mine["uid"], mine["cdr_id"], mine["type"], mine["number"], mine["onnet"]) == (
        "1001@demo",
        "s-c1",
        0,
        "1002",
        1,
    )
    (theirs,) = (await manager.get(USER.replace("1001", "1002"))).json()
    assert (theirs["uid"], theirs["type"], theirs["number"]) == ("1002@demo", 1, "1001")


async def test_a_list_is_as_wide_as_the_token(world: World) -> None:
    now = world.clock.now()
    other = {"domain": "other", "orig_domain": "other", "term_domain": "other"}
    await put(world, cdr("demo", started_at=now), cdr("other", started_at=now, **other))
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")
    nobody = world.add_key("*", "*", "Reseller", reseller="nobody")
    expected = {world.super_key: ["other", "demo"], reseller: ["other"], world.manager_key: ["demo"], nobody: []}
    for key, visible in expected.items():
        async with world.client(key) as client:
            assert ids(await client.get(ALL)) == visible
            assert (await client.get(f"{ALL}/count")).json()["total"] == len(visible)
    async with world.client() as user:
        assert (await user.get(ALL)).status_code == 403
        assert (await user.get(DEMO)).status_code == 403
        assert ids(await user.get("/ns-api/v2/domains/~/users/~/cdrs")) == ["demo"]
    async with world.client(reseller) as client:
        assert (await client.get(DEMO)).status_code == 404


async def test_whoever_gets_a_name_later_sees_no_calls_of_who_had_it(world: World) -> None:
    calls = {"before the domain": 300.0, "before the user": 200.0, "now": 50.0}
    await put(world, *(cdr(name, started_at=at(world, ago)) for name, ago in calls.items()))
    world.put(Domain("demo", reseller="acme", made_at=at(world, 250)), User("demo", "1001", made_at=at(world, 100)))
    reseller = world.add_key("*", "*", "Reseller", reseller="acme")
    everything = ["now", "before the user", "before the domain"]
    for key, paths, visible in (
        (world.user_key, (USER,), everything[:1]),
        (world.manager_key, (USER, DEMO, ALL), everything[:2]),
        (reseller, (USER, DEMO, ALL), everything),
        (world.super_key, (USER, DEMO, ALL), everything),
    ):
        async with world.client(key) as client:
            for path in paths:
                assert ids(await client.get(path)) == visible
                assert (await client.get(f"{path}/count")).json()["total"] == len(visible)


async def test_the_last_day_is_the_default_window(world: World, manager: httpx.AsyncClient) -> None:
    await put(
        world,
        cdr("new", started_at=at(world, 3600)),
        cdr("ahead", started_at=at(world, -2)),
        cdr("old", started_at=at(world, 90_000)),
    )
    assert ids(await manager.get(DEMO)) == ["ahead", "new"]
    assert ids(await manager.get(DEMO, params={"datetime-start": "2020-01-01"})) == ["ahead", "new", "old"]
    early = {"datetime-end": "2027-01-14T07:30:00Z"}
    assert ids(await manager.get(DEMO, params=early)) == ["old"]


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("2027-01-15 07:00:00", "2027-01-15T07:00:00.000+00:00"),
        ("2027-01-15T07:00:00Z", "2027-01-15T07:00:00.000+00:00"),
        ("2027-01-15T08:00:00+01:00", "2027-01-15T08:00:00.000+01:00"),
        ("2027-01-15T08:00:00 01:00", "2027-01-15T08:00:00.000+01:00"),
        ("2027-01-15T07:00:00Z[Europe/Copenhagen]", "2027-01-15T08:00:00.000+01:00"),
        ("2027-01-14T23:00:00-08:00[US/Pacific]", "2027-01-14T23:00:00.000-08:00"),
    ],
)
async def test_times_are_taken_as_the_api_writes_them_and_answered_in_their_zone(
    world: World, manager: httpx.AsyncClient, start: str, said: str
) -> None:
    seven = 1_799_996_400.0  # 2027-01-15T07:00:00Z
    await put(world, cdr("before", started_at=seven - 1), cdr("at", started_at=seven))
    (found,) = (await manager.get(DEMO, params={"datetime-start": start})).json()
    assert (found["call-id"], found["call-start-datetime"]) == ("at", said)


async def test_every_fault_of_a_query_is_named(world: World, manager: httpx.AsyncClient) -> None:
    query = {
        "datetime-start": "yesterday",
        "datetime-end": "2027-01-15T07:00:00Z[Nowhere/Land]",
        "start": "-1",
        "limit": "1001",
        "type": "4",
        "caller": "",
        "dialled": "x" * 65,
        "site": "a\tb",
        "after": "here",
    }
    for path in (DEMO, f"{DEMO}/count", USER, f"{USER}/count"):
        assert faults(await manager.get(path, params=query)) == {
            ("datetime-start", "not-a-time"),
            ("datetime-end", "unknown-time-zone"),
            ("start", "out-of-range"),
            ("limit", "out-of-range"),
            ("type", "not-one-of"),
            ("caller", "bad-text"),
            ("dialled", "bad-text"),
            ("site", "bad-text"),
            ("after", "bad-place"),
        }
    backwards = {"datetime-start": "2027-01-15", "datetime-end": "2027-01-14"}
    assert faults(await manager.get(DEMO, params=backwards)) == {("datetime-start", "empty-window")}


@pytest.mark.parametrize(
    ("kind", "domain", "user"),
    [
        ("Outbound", ["out"], ["out", "missed", "on-net"]),
        ("0", ["out"], ["out", "missed", "on-net"]),
        ("Inbound", ["in"], ["in"]),
        ("Missed", [], []),
        ("Received", ["in"], ["in"]),
        ("On-net", ["missed", "on-net"], ["missed", "on-net"]),
        ("3", ["missed", "on-net"], ["missed", "on-net"]),
        ("off-net", ["out", "in"], ["out", "in"]),
    ],
)
async def test_types_are_as_the_domain_or_the_user_sees_them(
    world: World, manager: httpx.AsyncClient, kind: str, domain: list[str], user: list[str]
) -> None:
    now = world.clock.now()
    from_outside = {"orig_user": "", "orig_domain": "", "orig_uri": "sip:4531000000@carrier", "user": "1003"}
    await put(
        world,
        cdr("out", started_at=now - 1, **outside("4570203040")),
        cdr("in", started_at=now - 2, term_user="1001", **from_outside),
        cdr("missed", started_at=now - 3, answered_at=0.0),
        cdr("on-net", started_at=now - 4),
    )
    assert ids(await manager.get(DEMO, params={"type": kind})) == domain
    assert ids(await manager.get(USER, params={"type": kind})) == user
    if kind == "Missed":
        assert ids(await manager.get(USER.replace("1001", "1002"), params={"type": kind})) == ["missed"]


async def test_filters_and_sums(world: World, manager: httpx.AsyncClient) -> None:
    now = world.clock.now()
    await put(
        world,
        cdr("out", started_at=now - 1, total_s=10.4, **outside("+4570203040")),
        cdr("in", started_at=now - 2, total_s=10.4, orig_site="North"),
    )
    assert ids(await manager.get(DEMO, params={"dialled": "+45 70-20 30 40"})) == ["out"]
    assert ids(await manager.get(DEMO, params={"caller": "1001", "site": "North"})) == ["in"]
    assert (await manager.get(f"{DEMO}/count")).json() == {"total": 2, "call-total-duration-seconds": 20}
    shown = [one["call-total-duration-seconds"] for one in (await manager.get(DEMO)).json()]
    assert sum(shown) == 20
    assert (await manager.get(f"{DEMO}/count", params={"dialled": "1002"})).json()["total"] == 1


async def test_pages_are_linked_and_never_tell_a_call_twice(world: World, manager: httpx.AsyncClient) -> None:
    now = world.clock.now()
    await put(world, *(cdr(f"{number}", started_at=now - 100 + number, **outside("112")) for number in range(5)))
    query = {"limit": "2", "type": "Outbound", "dialled": "112"}
    first = await manager.get(DEMO, params=query)
    assert (ids(first), first.headers["x-total-count"]) == (["4", "3"], "5")
    assert set(links(first)) == {"first", "next"}
    await put(world, cdr("newer", started_at=now, **outside("112")))
    second = await manager.get(links(first)["next"])
    assert ids(second) == ["2", "1"]
    assert set(links(second)) == {"first", "prev", "next"}
    following = parse_qs(urlsplit(links(second)["next"]).query)
    assert following.items() >= {"start": ["5"], "limit": ["2"], "dialled": ["112"], "type": ["Outbound"]}.items()
    third = await manager.get(links(second)["next"])
    assert (ids(third), set(links(third))) == (["0"], {"first", "prev"})


async def test_counting_start_up_goes_on_where_the_page_before_ended(world: World, manager: httpx.AsyncClient) -> None:
    now = world.clock.now()
    await put(world, *(cdr(f"{number}", started_at=now - 100 + number) for number in range(6)))
    assert ids(await manager.get(DEMO, params={"start": 0, "limit": 2})) == ["5", "4"]
    await put(world, cdr("newer", started_at=now))
    assert ids(await manager.get(DEMO, params={"start": 3, "limit": 2})) == ["3", "2"]
    assert ids(await manager.get(DEMO, params={"start": 5, "limit": 2})) == ["1", "0"]
    # Another filter, another token, or a page that nobody read before: counted from the head of the list.
    assert ids(await manager.get(DEMO, params={"start": 3, "limit": 2, "caller": "1001"})) == ["4", "3"]
    async with world.client(world.super_key) as admin:
        assert ids(await admin.get(DEMO, params={"start": 3, "limit": 2})) == ["4", "3"]
    world.clock.time += 600
    assert ids(await manager.get(DEMO, params={"start": 3, "limit": 2})) == ["4", "3"]


def test_places_take_little_room_and_are_forgotten_in_time() -> None:
    places, place = Places(), Place(1.0, "a")
    for number in range(10):
        listed = list_of("k", f"/{number}", {"caller": "1" * 60_000})
        assert len(listed) == 16
        places.remember((listed, 101), place, now=float(number))
    assert len(places) == 10
    places.remember((list_of("k", "/", {}), 101), place, now=KEPT_S + 8.5)
    assert len(places) == 2
    assert list_of("k", "/", {"caller": "1", "site": "2"}) == list_of("k", "/", {"site": "2", "caller": "1"})
    assert list_of("k", "/", {"caller": "1"}) != list_of("k", "/", {"caller": "2"})


async def test_names_that_mean_nothing_make_no_other_list(world: World, manager: httpx.AsyncClient) -> None:
    now = world.clock.now()
    await put(world, *(cdr(f"{number}", started_at=now - 100 + number) for number in range(4)))
    assert ids(await manager.get(DEMO, params={"start": 1, "limit": 2, "x": "1"})) == ["3", "2"]
    await put(world, cdr("newer", started_at=now))
    assert ids(await manager.get(DEMO, params={"start": 3, "limit": 2, "x": "2"})) == ["1", "0"]


async def test_a_total_that_takes_long_is_left_out(
    world: World, manager: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdrs_module, "COUNTED", 2)
    now = world.clock.now()
    await put(world, *(cdr(f"{number}", started_at=now - number) for number in range(3)))
    assert "x-total-count" not in (await manager.get(DEMO, params={"limit": 1})).headers
    assert (await manager.get(f"{DEMO}/count")).json()["total"] == 3


async def test_csv_is_all_of_the_window_in_one_stream(
    world: World, manager: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdrs_module, "AT_ONCE", 10)
    now = world.clock.now()
    await put(world, *(cdr(f"{number:03}", started_at=now - number, orig_name='"=1+1", x') for number in range(125)))
    accept = {"accept": "text/csv"}
    answer = await manager.get(DEMO, headers=accept)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="cdrs-demo.csv"'
    assert "content-length" not in answer.headers
    assert answer.content.count(b"\r\n") == answer.content.count(b"\n") == 126
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["call-id"] for row in rows] == [f"{number:03}" for number in range(125)]
    assert rows[0]["call-orig-from-name"] == '"=1+1", x'
    assert (rows[0]["release-result"], rows[0]["call-tag"], rows[0]["call-orig-user"]) == ("completed", "", "1001")
    some = await manager.get(DEMO, headers=accept, params={"start": 4, "limit": 15})
    assert [row["call-id"] for row in csv.DictReader(io.StringIO(some.text))] == [f"{n:03}" for n in range(3, 18)]
    assert (await manager.get(DEMO, headers={"accept": "text/csv;q=0.5, application/json"})).json()


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("\tx", "'\tx"),
        ("\uff1d1", "'\uff1d1"),
        ("+4570203040", "+4570203040"),
        ("-5", "-5"),
        ("sip:1@demo", "sip:1@demo"),
        (-5, -5),
        (None, None),
    ],
)
def test_no_cell_is_a_formula(value: object, safe: object) -> None:
    assert cell(value) == safe


@pytest.mark.parametrize(
    ("accept", "csv_is_meant"),
    [
        (b"", False),
        (b"*/*", False),
        (b"text/csv", True),
        (b"text/csv; q=0.2, application/json;q=0.1", True),
        (b"application/json, text/csv;q=0.9", False),
        (b"TEXT/CSV", True),
        (b"text/csv;q=0", False),
        (b"text/csv;q=nonsense", False),
    ],
)
def test_csv_is_sent_to_who_prefers_it(accept: bytes, *, csv_is_meant: bool) -> None:
    assert wants_csv(accept) is csv_is_meant


@pytest.mark.parametrize(
    ("text", "value"),
    [("1001", 1001), ("+4570203040", 4570203040), ("0045", "0045"), ("0", 0), ("ada", "ada"), ("", ""), ("+", "+")],
)
def test_a_number_is_one_where_nothing_of_it_is_lost(text: str, value: object) -> None:
    assert number_or_text(text) == value


def test_views_have_the_fields_of_the_schemas() -> None:
    """`cdr_schemas.json` has the names and types of the contract's schemas."""
    schemas: dict[str, dict[str, str]] = json.loads(SCHEMAS.read_text())
    for title, view in (("CdrD", DOMAIN_VIEW), ("CdrR", RAW_VIEW), ("CdrU", USER_VIEW)):
        kinds: dict[str, Any] = {field.name: field.kind for field in view.fields[: len(schemas[title])]}
        assert {name: "int" if kind == "id" else kind for name, kind in kinds.items()} == schemas[title]
        assert list(kinds) == list(schemas[title])


async def test_while_the_store_cannot_be_written_nothing_is_answered_that_may_be_wrong(
    world: World, client: httpx.AsyncClient
) -> None:
    world.store.is_writable = False
    answer = await client.post(CALLS, json=order("full"))
    assert answer.status_code == 202, "accepted before anybody could know"
    await until(lambda: bool(world.replica.fault))
    for path in (USER, f"{USER}/count", CALLS, f"{CALLS}/full"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "store-unavailable")
        assert answer.headers["retry-after"]
    assert (await client.post(CALLS, json=order("another"))).status_code == 503
    world.store.is_writable = True
    await until(lambda: not world.replica.fault)
    assert (await client.get(f"{CALLS}/full")).status_code == 200
    assert (await client.get(f"{CALLS}/another")).status_code == 404


async def test_a_hidden_caller_has_no_number(world: World, manager: httpx.AsyncClient) -> None:
    """The API calls it an integer: a client that is strict about types could not read the list."""
    await put(world, cdr("c1", started_at=world.clock.now() - 60, term_caller_id="anonymous"))
    (found,) = (await manager.get(DEMO)).json()
    assert found["call-orig-caller-id"] is None
