"""The store's contract, held by the one in memory and by the one in SQLite alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ringbridge.adapters.memory.store import MemoryStore
from ringbridge.adapters.nats.subjects import Stream, contact_digest
from ringbridge.adapters.store.batch import (
    LegName,
    LocationChange,
    Offset,
    PurgeBounds,
    RecordChange,
    ReplicaStore,
    StoreBatch,
    TakesPart,
)
from ringbridge.adapters.store.store import SqlStore
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.calls.ports import CallPage, Store
from ringbridge.model.audit import Actor, AuditEntry, entry_id, ids_between
from ringbridge.model.call import Call, CallState, fold
from ringbridge.model.cdr import cdr_of
from ringbridge.model.cdr_query import CdrPage, CdrQuery
from ringbridge.model.dial_plan import Dialling
from ringbridge.model.directory import (
    ApiKey,
    Connection,
    Device,
    DialRule,
    Domain,
    Location,
    PhoneNumber,
    Record,
    User,
    kind_of,
)
from ringbridge.model.events import CallBarred, CallClaimed, CallEnded, CallEvent, LegInvited, LegReleased
from ringbridge.model.ids import CallId, DomainName, LegId, NodeId, SessionId, UserName
from ringbridge.model.release import DELETED
from tests.adapters.bus_calls import DOMAIN, TestClock, requested, target

OTHER = DomainName("other.example")


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: TestClock) -> AsyncIterator[ReplicaStore]:
    made: ReplicaStore = MemoryStore(clock) if request.param == "memory" else SqlStore.open(tmp_path / "s.db", clock)
    yield made
    await made.close()


def call_of(name: str, *events: CallEvent, domain: DomainName = DOMAIN, user: str = "1001", at: float = 1.0) -> Call:
    call = fold(None, [requested(name, domain=domain, user=user, at=at), *events], 7)
    assert call is not None
    return call


def ended_call(name: str, *, domain: DomainName = DOMAIN, user: str = "1001", at: float = 1.0) -> Call:
    return call_of(name, CallEnded(DELETED, "system", at=at + 1), domain=domain, user=user, at=at)


def names(page: CdrPage) -> list[str]:
    return [cdr.call_id for cdr in page.cdrs]


def put(*records: Record) -> StoreBatch:
    return StoreBatch(records=[RecordChange(kind_of(record), record.key, record) for record in records])


def gone(*records: Record) -> StoreBatch:
    return StoreBatch(records=[RecordChange(kind_of(record), record.key, None) for record in records])


async def test_it_is_a_store(store: ReplicaStore) -> None:
    reads: Store = store
    assert await reads.call(DOMAIN, "none") is None
    assert await store.offset(Stream.CALLS7) is None


async def test_records_are_paged_by_key_and_counted(store: ReplicaStore) -> None:
    users = [User(DOMAIN, f"{number}") for number in (1003, 1001, 1002)]
    devices = [Device(DOMAIN, "1001", "a"), Device(DOMAIN, "1002", "b"), Device(DOMAIN, "1001", "c")]
    await store.apply(put(*users, *devices, User(OTHER, "1000"), Domain(DOMAIN, reseller="acme"), Domain(OTHER)))
    of_domain = RecordQuery("user", domain=DOMAIN)
    page = await store.record_page(of_domain, start=2, limit=1)
    assert [record.key for record in page] == [(DOMAIN, "1002")]
    assert [record.key[-1] for record in await store.record_page(of_domain, start=0)] == ["1001", "1002", "1003"]
    assert await store.record_page(of_domain, start=4) == []
    assert await store.count_records(of_domain) == 3
    assert await store.count_records(RecordQuery("user")) == 4
    of_user = RecordQuery("device", domain=DOMAIN, parent="1001")
    assert [record.key[-1] for record in await store.record_page(of_user)] == ["a", "c"]
    assert await store.count_records(of_user) == 2
    of_reseller = RecordQuery("domain", parent="acme")
    assert [record.key for record in await store.record_page(of_reseller)] == [(DOMAIN,)]
    assert await store.record("user", (OTHER, "1000")) == User(OTHER, "1000")
    assert await store.record("user", (OTHER, "1001")) is None


def named(record: Record) -> str:
    return record.key[-1]


async def test_lists_are_narrowed_by_fields_and_their_beginnings(store: ReplicaStore) -> None:
    people = [
        ("1001", "Ada", "Lovelace"),
        ("1002", "Adam", "Smith"),
        ("1003", "Grace", "Hopper"),
        ("1004", "Ada", "Yonath"),
    ]
    users = [User(DOMAIN, user, name_first_name=first, name_last_name=last) for user, first, last in people]
    await store.apply(put(*users, User(OTHER, "1005", name_first_name="Ada"), Device(DOMAIN, "1001", "1001_ada")))

    async def found(*filters: tuple[str, str], domain: str | None = DOMAIN) -> list[str]:
        wanted = RecordQuery("user", domain=domain, filters=filters)
        page = await store.record_page(wanted)
        assert await store.count_records(wanted) == len(page)
        return [named(record) for record in page]

    assert await found(("name-first-name", "ada")) == ["1001", "1004"]
    assert await found(("name-first-name", "ada"), domain=None) == ["1001", "1004", "1005"]
    assert await found(("name-first-name", "ad*")) == ["1001", "1004", "1002"]
    assert await found(("name-first-name", "ad*"), ("name-last-name", "s*")) == ["1002"]
    assert await found(("name-first-name", "ada"), ("user", "1004")) == ["1004"]
    assert await found(("user", "100*")) == ["1001", "1002", "1003", "1004"]
    assert await found(("user", "1003")) == ["1003"]
    assert await found(("name-first-name", "a")) == []
    wanted = RecordQuery("user", domain=DOMAIN, filters=(("name-first-name", "ad*"),))
    assert [named(record) for record in await store.record_page(wanted, start=2, limit=1)] == ["1004"]


async def test_lists_and_counts_follow_what_changes(store: ReplicaStore) -> None:
    wanted = RecordQuery("user", domain=DOMAIN)
    ada = RecordQuery("user", domain=DOMAIN, filters=(("name-first-name", "ada"),))
    one, other = User(DOMAIN, "1001", name_first_name="Ada"), User(DOMAIN, "1002", name_first_name="Ada")
    await store.apply(put(one, other))
    await store.apply(put(one))  # the same again
    assert (await store.count_records(wanted), await store.count_records(ada)) == (2, 2)
    await store.apply(put(User(DOMAIN, "1001", name_first_name="Grace")))
    assert [named(record) for record in await store.record_page(ada)] == ["1002"]
    assert await store.count_records(wanted) == 2
    await store.apply(gone(other))
    await store.apply(gone(other))  # and again
    assert (await store.count_records(wanted), await store.count_records(ada)) == (1, 0)
    await store.apply(StoreBatch(dropped=[Stream.DIRECTORY]))
    assert (await store.count_records(wanted), await store.record_page(ada)) == (0, [])


async def test_lists_of_a_reseller_hold_its_domains(store: ReplicaStore) -> None:
    await store.apply(
        put(Domain(DOMAIN, reseller="acme"), Domain(OTHER), PhoneNumber(DOMAIN, "451"), PhoneNumber(OTHER, "461"))
    )
    for kind, names in (("phonenumber", ["451"]), ("domain", [DOMAIN])):
        wanted = RecordQuery(kind, reseller="acme")
        assert [named(record) for record in await store.record_page(wanted)] == names
        assert await store.count_records(wanted) == 1


async def test_dial_plans_are_counted_by_their_rules(store: ReplicaStore) -> None:
    rules = [DialRule(DOMAIN, plan, name, "sip:*@*") for plan, name in (("b", "1"), ("a", "1"), ("b", "2"))]
    await store.apply(put(*rules, DialRule(OTHER, "c", "1", "sip:*@*")))
    assert await store.count_by_parent("dialrule", DOMAIN) == {"a": 1, "b": 2}


async def test_calls_that_are_up_are_counted_by_user(store: ReplicaStore) -> None:
    calls = [call_of("one", user="1001"), call_of("two", user="1001"), ended_call("three", user="1002")]
    await store.apply(StoreBatch(calls=calls))
    assert await store.active_by_user(DOMAIN) == {"1001": 2}
    assert [await store.count_active(domain=DOMAIN, user=user) for user in ("1001", "1002", "1003")] == [2, 0, 0]
    assert (await store.count_active(domain=DOMAIN), await store.count_active()) == (2, 2)


async def test_records_are_read_changed_and_deleted(store: ReplicaStore) -> None:
    domain = Domain(DOMAIN, description="first")
    user = User(DOMAIN, "1001", name_first_name="Zoë")
    assert await store.user(DOMAIN, "1001") is None
    await store.apply(put(domain, user))
    assert await store.domain(DOMAIN) == domain
    assert await store.user(DOMAIN, "1001") == user
    assert await store.user(OTHER, "1001") is None
    changed = User(DOMAIN, "1001", name_first_name="Zoe")
    await store.apply(put(changed))
    assert await store.user(DOMAIN, "1001") == changed
    await store.apply(gone(changed))
    assert await store.user(DOMAIN, "1001") is None
    assert await store.records("user") == []


async def test_every_kind_has_its_read(store: ReplicaStore) -> None:
    device = Device(DOMAIN, "1001", "1001_mobile")
    number = PhoneNumber(DOMAIN, "4512345678", user="1001")
    rule = DialRule(DOMAIN, "plan", "all", "sip:*@*")
    trunk = Connection(DOMAIN, "carrier")
    key = ApiKey("k1", "hash", "a key of the tests")
    await store.apply(put(device, number, rule, trunk, key))
    assert await store.device(DOMAIN, "1001_mobile") == device
    assert await store.phone_number(DOMAIN, "4512345678") == number
    assert await store.phone_numbers(DOMAIN) == [number]
    assert await store.dial_rules(DOMAIN, "plan") == [rule]
    assert await store.dial_rules(DOMAIN, "another") == []
    assert await store.connection(DOMAIN, "carrier") == trunk
    assert await store.api_key("k1") == key
    assert await store.records("apikey") == [key]


async def test_lists_follow_what_changes(store: ReplicaStore) -> None:
    first, second = Device(DOMAIN, "1001", "1001a"), Device(DOMAIN, "1001", "1001b")
    await store.apply(put(second))
    assert await store.devices_of(DOMAIN, "1001") == [second]
    await store.apply(put(first))
    assert await store.devices_of(DOMAIN, "1001") == [first, second]
    await store.apply(put(Device(DOMAIN, "1002", "1001b")))
    assert await store.devices_of(DOMAIN, "1001") == [first]
    assert [one.device for one in await store.devices_of(DOMAIN, "1002")] == ["1001b"]
    await store.apply(gone(first))
    assert await store.devices_of(DOMAIN, "1001") == []


async def test_a_user_is_found_by_login_name_in_any_case(store: ReplicaStore) -> None:
    ada = User(DOMAIN, "1001", login_username="Ada@Example.com")
    await store.apply(put(ada, User(DOMAIN, "1002"), User(OTHER, "1001", login_username="bob")))
    assert await store.users_by_login("ada@example.COM") == [ada]
    assert await store.users_by_login("") == []
    assert await store.users_by_login("nobody") == []
    await store.apply(put(User(OTHER, "1001", login_username="ada@example.com")))
    assert len(await store.users_by_login("ada@example.com")) == 2
    await store.apply(gone(User(OTHER, "1001")))
    assert await store.users_by_login("ada@example.com") == [ada]


async def test_records_are_listed_by_domain_and_key(store: ReplicaStore) -> None:
    await store.apply(put(User(OTHER, "1"), User(DOMAIN, "20"), User(DOMAIN, "1")))
    assert [record.key for record in await store.records("user", DOMAIN)] == [(DOMAIN, "1"), (DOMAIN, "20")]
    assert len(await store.records("user")) == 3


def located(
    device: str, contact: str, *, q: float = 1.0, expires_at: float = 1_000_060.0, registered_at: float = 0.0
) -> LocationChange:
    location = Location(DOMAIN, device, contact, expires_at=expires_at, q=q, registered_at=registered_at)
    return LocationChange(DOMAIN, device, contact_digest(contact), location)


async def test_locations_come_best_first_and_run_out(store: ReplicaStore, clock: TestClock) -> None:
    changes = [
        located("1001", "sip:old@a", registered_at=1.0),
        located("1001", "sip:new@a", registered_at=2.0),
        located("1001", "sip:best@a", q=1.0, expires_at=1_000_010.0, registered_at=0.5),
        located("1001", "sip:last@a", q=0.1, registered_at=9.0),
        located("1002", "sip:x@a"),
    ]
    await store.apply(StoreBatch(locations=changes))
    found = [one.contact for one in await store.locations(DOMAIN, "1001")]
    assert found == ["sip:new@a", "sip:old@a", "sip:best@a", "sip:last@a"]
    clock.at += 10
    assert "sip:best@a" not in [one.contact for one in await store.locations(DOMAIN, "1001")]
    await store.apply(StoreBatch(locations=[LocationChange(DOMAIN, "1001", contact_digest("sip:new@a"), None)]))
    assert [one.contact for one in await store.locations(DOMAIN, "1001")] == ["sip:old@a", "sip:last@a"]


async def test_all_locations_are_those_that_have_not_run_out(store: ReplicaStore, clock: TestClock) -> None:
    other = Location("other.example", "1001", "sip:there@a", expires_at=1_000_060.0)
    changes = [
        located("1001", "sip:here@a"),
        located("1002", "sip:soon@a", expires_at=1_000_010.0),
        LocationChange(other.domain, other.device, contact_digest(other.contact), other),
    ]
    await store.apply(StoreBatch(locations=changes))
    clock.at += 10
    assert [one.contact for one in await store.all_locations(DOMAIN)] == ["sip:here@a"]
    assert {one.contact for one in await store.all_locations(None)} == {"sip:here@a", "sip:there@a"}


async def test_a_dial_plan_follows_its_rules(store: ReplicaStore) -> None:
    call = Dialling(f"sip:4531@{DOMAIN}", f"sip:1001@{DOMAIN}", "call", datetime(2026, 11, 25, tzinfo=UTC))

    async def chosen() -> str | None:
        found = (await store.dial_plan(DOMAIN, "plan")).choose(call)
        return found.rule.dialrule if found else None

    assert await chosen() is None
    wide, narrow = DialRule(DOMAIN, "plan", "wide", "sip:45*@*"), DialRule(DOMAIN, "plan", "narrow", "sip:4531@*")
    await store.apply(put(wide))
    assert await chosen() == "wide"
    await store.apply(put(narrow, DialRule(DOMAIN, "another", "no", "sip:4531@*")))
    assert await chosen() == "narrow"
    await store.apply(StoreBatch(records=[RecordChange("dialrule", narrow.key, None)]))
    assert await chosen() == "wide"


async def test_a_call_has_three_names(store: ReplicaStore) -> None:
    invited = LegInvited(LegId("o1"), target("1001"), sip_call_id="sip-1", dialog=b"d", at=2.0)
    call = call_of("c1", CallClaimed(NodeId("n1"), 1, at=1.0), invited)
    await store.apply(StoreBatch(calls=[call], leg_names=[LegName(DOMAIN, "sip-1", call.call_id)]))
    for name in ("c1", "s-c1", "sip-1"):
        assert await store.call(DOMAIN, name) == call
        assert await store.call(OTHER, name) is None
    assert await store.call(DOMAIN, "") is None
    assert await store.stored_call(DOMAIN, call.call_id) == call


async def test_a_bar_that_ran_out_is_replaced_by_the_call(store: ReplicaStore) -> None:
    bar = fold(None, [CallBarred(DOMAIN, UserName("1001"), CallId("c1"), at=1.0, until=2.0)], 1)
    assert bar is not None
    await store.apply(StoreBatch(calls=[bar]))
    assert await store.count_active() == 0
    call = call_of("c1")
    await store.apply(StoreBatch(calls=[call], replaced=[call]))
    assert await store.call(DOMAIN, "s-c1") == call
    assert await store.count_active(domain=DOMAIN, user="1001") == 1
    over = ended_call("c1")
    await store.apply(StoreBatch(calls=[over]))
    assert await store.call(DOMAIN, "s-c1") == over
    assert await store.count_active() == 0


async def test_active_calls_are_paged_oldest_first(store: ReplicaStore) -> None:
    calls = [call_of(f"c{number}", at=float(number)) for number in (3, 1, 2)]
    calls += [call_of("u", user="1002", at=9.0), call_of("d", domain=OTHER, at=10.0), ended_call("over")]
    await store.apply(StoreBatch(calls=calls))
    page = await store.active_calls(domain=DOMAIN, user="1001", start=2, limit=1)
    assert [call.call_id for call in page.calls] == ["c2"]
    assert page.total == 3
    assert [call.call_id for call in (await store.active_calls(start=0)).calls] == ["c1", "c2", "c3", "u", "d"]
    assert await store.count_active(domain=DOMAIN) == 4
    assert len(await store.live_calls()) == 5


async def test_a_user_s_calls_are_those_made_and_those_taken_part_in(store: ReplicaStore) -> None:
    rung = [LegInvited(LegId(f"t{number}"), target("1002"), f"sip-t{number}", b"d", at=2.0) for number in (1, 2)]
    made = call_of("made", user="1002", at=2.0)
    calls = [call_of("rung", *rung, at=3.0), made, call_of("asked", at=1.0), call_of("first", rung[0], at=1.5)]
    users = {TakesPart(DOMAIN, "1002", CallId(name)): True for name in ("rung", "first")}
    await store.apply(StoreBatch(calls=calls, users=users))
    page = await store.active_calls(domain=DOMAIN, user="1002")
    assert ([call.call_id for call in page.calls], page.total) == (["first", "made", "rung"], 3)
    page = await store.active_calls(domain=DOMAIN, user="1002", start=2, limit=1)
    assert ([call.call_id for call in page.calls], page.total) == (["made"], 3)
    assert await store.count_active(domain=DOMAIN, user="1002") == 3
    assert await store.count_active(domain=OTHER, user="1002") == 0
    assert await store.count_active(domain=DOMAIN) == 4, "a call of two users is one"
    assert await store.active_by_user(DOMAIN) == {"1001": 3, "1002": 3}
    left = call_of("rung", *rung, *(LegReleased(one.leg_id, DELETED, at=4.0) for one in rung), at=3.0)
    await store.apply(StoreBatch(calls=[left], users={TakesPart(DOMAIN, "1002", CallId("rung")): False}))
    page = await store.active_calls(domain=DOMAIN, user="1002")
    assert ([call.call_id for call in page.calls], page.total) == (["first", "made"], 2)


async def test_active_calls_are_narrowed_to_those_since(store: ReplicaStore) -> None:
    calls = [call_of(f"c{number}", at=float(number)) for number in (1, 2, 3)]
    rung = LegInvited(LegId("t1"), target("1001"), "sip-t1", b"d", at=2.0)
    calls += [call_of(f"r{number}", rung, user="1002", at=float(number)) for number in (1, 4)]
    users = {TakesPart(DOMAIN, "1001", CallId(name)): True for name in ("r1", "r4")}
    await store.apply(StoreBatch(calls=calls, users=users))
    for user, names in (("1001", ["c2", "c3", "r4"]), ("1002", ["r4"]), (None, ["c2", "c3", "r4"])):
        page = await store.active_calls(domain=DOMAIN, user=user, since=2.0)
        assert ([call.call_id for call in page.calls], page.total) == (names, len(names))
        assert await store.count_active(domain=DOMAIN, user=user, since=2.0) == len(names)
    of_all = await store.active_calls_of(None, since=2.0)
    assert ([call.call_id for call in of_all.calls], of_all.total) == (["c2", "c3", "r4"], 3)
    assert await store.count_active(domain=DOMAIN, user="1001") == 5


async def test_how_many_calls_a_user_has_follows_them_at_once(store: ReplicaStore) -> None:
    async def counted() -> tuple[int, int]:
        made, taken = [await store.count_active(domain=DOMAIN, user=user) for user in ("1001", "1002")]
        return made, taken

    takes_part = TakesPart(DOMAIN, "1002", CallId("c1"))
    assert await counted() == (0, 0)
    await store.apply(StoreBatch(calls=[call_of("c1")]))
    assert await counted() == (1, 0)
    rung = LegInvited(LegId("t1"), target("1002"), "sip-t1", b"d", at=2.0)
    await store.apply(StoreBatch(calls=[call_of("c1", rung)], users={takes_part: True}))
    assert await counted() == (1, 1)
    left = LegReleased(LegId("t1"), DELETED, at=3.0)
    await store.apply(StoreBatch(calls=[call_of("c1", rung, left)], users={takes_part: False}))
    assert await counted() == (1, 0)
    await store.apply(StoreBatch(calls=[ended_call("c1")]))
    assert await counted() == (0, 0)
    await store.apply(StoreBatch(calls=[call_of("c2")]))
    assert await counted() == (1, 0)
    await store.apply(StoreBatch(dropped=[Stream.CALLS7]))
    assert await counted() == (0, 0)


async def test_active_calls_of_several_domains_or_of_all(store: ReplicaStore) -> None:
    calls = [call_of(f"c{number}", at=float(number)) for number in (2, 1)]
    calls += [call_of("d", domain=OTHER, at=10.0), ended_call("over")]
    await store.apply(StoreBatch(calls=calls))
    for domains, expected in ((None, ["c1", "c2", "d"]), ((OTHER,), ["d"]), ((DOMAIN,), ["c1", "c2"]), ((), [])):
        page = await store.active_calls_of(domains)
        assert ([call.call_id for call in page.calls], page.total) == (expected, len(expected))
    page = await store.active_calls_of((DOMAIN, OTHER), start=2, limit=1)
    assert ([call.call_id for call in page.calls], page.total) == (["c2"], 3)
    assert await store.active_calls_of(None, limit=0) == CallPage([], 3)


async def test_owned_calls_are_the_node_s_own_and_not_over(store: ReplicaStore) -> None:
    mine, theirs = CallClaimed(NodeId("n1"), 1, at=1.0), CallClaimed(NodeId("n2"), 1, at=1.0)
    over = call_of("over", mine, CallEnded(DELETED, "system", at=2.0))
    await store.apply(StoreBatch(calls=[call_of("a", mine), call_of("b", theirs), call_of("c"), over]))
    assert [call.call_id for call in await store.owned_calls(NodeId("n1"))] == ["a"]


async def test_cdrs_are_listed_newest_first(store: ReplicaStore) -> None:
    ended = [ended_call("a", at=1.0), ended_call("b", at=3.0), ended_call("c", at=2.0, user="1002")]
    await store.apply(StoreBatch(cdrs=[cdr_of(call) for call in ended]))
    await store.apply(StoreBatch(cdrs=[cdr_of(ended[0])]))
    assert names(await store.cdrs(CdrQuery(domains=(DOMAIN,)), limit=9)) == ["b", "c", "a"]
    assert names(await store.cdrs(CdrQuery(domains=(DOMAIN,), user="1001"), limit=9, skip=2)) == ["a"]
    assert await store.cdr(DOMAIN, SessionId("s-a")) == cdr_of(ended[0])
    assert await store.cdr(OTHER, SessionId("s-a")) is None


async def test_what_is_old_is_purged_and_cdrs_stay(store: ReplicaStore) -> None:
    old, new = ended_call("old", at=1.0), ended_call("new", at=100.0)
    live = call_of("live", at=1.0)
    await store.apply(StoreBatch(calls=[old, new, live], cdrs=[cdr_of(old)], locations=[located("1001", "sip:x@a")]))
    await store.purge(PurgeBounds(calls_ended_before=50.0, locations_expired_before=2_000_000.0))
    assert await store.call(DOMAIN, "old") is None
    assert await store.call(DOMAIN, "new") == new
    assert await store.call(DOMAIN, "live") == live
    assert names(await store.cdrs(CdrQuery(), limit=9)) == ["old"]


async def test_cdrs_go_when_the_operator_says_so(store: ReplicaStore) -> None:
    old, new = ended_call("old", at=1.0), ended_call("new", at=100.0)
    await store.apply(StoreBatch(cdrs=[cdr_of(old), cdr_of(new)]))
    await store.purge(PurgeBounds(cdrs_before=100.0))
    assert names(await store.cdrs(CdrQuery(), limit=9)) == ["new"]
    of_user = CdrQuery(domains=(DOMAIN,), user="1001")
    assert names(await store.cdrs(of_user, limit=9)) == ["new"]
    assert (await store.count_cdrs(of_user)).total == 1


async def test_a_dropped_stream_takes_only_its_own(store: ReplicaStore) -> None:
    await store.apply(put(User(DOMAIN, "1001")))
    assert await store.user(DOMAIN, "1001") is not None
    await store.apply(StoreBatch(calls=[call_of("c1")], offsets={Stream.CALLS7: Offset("a", 5)}))
    await store.apply(StoreBatch(users={TakesPart(DOMAIN, "1002", CallId("c1")): True}))
    await store.apply(
        StoreBatch(dropped=[Stream.CALLS7], calls=[call_of("c2")], offsets={Stream.CALLS7: Offset("b", 1)})
    )
    assert [call.call_id for call in (await store.active_calls()).calls] == ["c2"]
    assert await store.count_active(domain=DOMAIN, user="1002") == 0
    assert await store.offset(Stream.CALLS7) == Offset("b", 1)
    assert await store.user(DOMAIN, "1001") is not None
    await store.apply(StoreBatch(dropped=[Stream.DIRECTORY, Stream.LOCATIONS]))
    assert await store.user(DOMAIN, "1001") is None


async def test_state_is_read_back_as_it_was_written(store: ReplicaStore) -> None:
    call = ended_call("c1")
    await store.apply(StoreBatch(calls=[call]))
    found = await store.call(DOMAIN, "c1")
    assert found is not None
    assert found.state is CallState.ENDED
    assert found == call


def entry(at: float, name: str, *, domain: str = DOMAIN, key_id: str = "k1", of: str = "user") -> AuditEntry:
    by = Actor(key_id=key_id, domain=domain)
    return AuditEntry(entry_id(at, name), at, "update", of, (domain, name), domain, by, of_user=name)


async def test_the_audit_trail_is_newest_first_however_it_is_narrowed(store: ReplicaStore) -> None:
    entries = [
        entry(10.0, "a"),
        entry(20.0, "b", domain=OTHER),
        entry(30.0, "a", key_id="k2"),
        entry(40.0, "c", of="device"),
        entry(50.0, "ab", domain=OTHER),
    ]
    await store.apply(put(Domain(OTHER, reseller="acme"), *entries))

    async def found(**how: Any) -> list[float]:
        wanted = RecordQuery("audit", **how)
        page = await store.record_page(wanted, limit=10)
        assert await store.count_records(wanted) == len(page)
        assert [*await store.record_page(wanted, limit=1), *await store.record_page(wanted, start=2)] == page
        return [one.at for one in page if isinstance(one, AuditEntry)]

    assert await found() == [50.0, 40.0, 30.0, 20.0, 10.0]
    assert await found(filters=(("by-key-id", "k1"),)) == [50.0, 40.0, 20.0, 10.0]
    assert await found(filters=(("object", "a*"),)) == [50.0, 30.0, 10.0]
    assert await found(filters=(("object", "a*"), ("by-key-id", "k1"))) == [50.0, 10.0]
    assert await found(filters=(("user", "a"),), domain=DOMAIN, parent="user") == [30.0, 10.0]
    assert await found(between=ids_between(20.0, 40.0)) == [40.0, 30.0, 20.0]
    assert await found(between=ids_between(20.001, None)) == [50.0, 40.0, 30.0]
    assert await found(between=ids_between(None, 19.999)) == [10.0]
    assert await found(between=ids_between(20.0, 40.0), parent="user") == [30.0, 20.0]
    assert await found(between=ids_between(15.0, 45.0), filters=(("by-key-id", "k1"),)) == [40.0, 20.0]
    assert await found(between=ids_between(15.0, 45.0), reseller="acme") == [20.0]
    await store.apply(gone(*entries))
    assert await found(filters=(("by-key-id", "k1"),)) == []
