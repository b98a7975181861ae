"""Limits of one subject: what fits, what does not, and when it does again."""

from __future__ import annotations

import msgspec
import pytest

from ringbridge.model.directory import Connection, Domain, User
from ringbridge.model.ids import CallId, SessionId
from ringbridge.model.limits import Claim, Held, Slot, claims_of, fault_of, retry_after_s

NOW = 1_000_000.5
C1, S1 = CallId("c1"), SessionId("s1")
DOMAIN, USER = Domain("demo"), User("demo", "1001")


def claim(*, active: int | None = None, per_minute: int | None = None, slots: int = 1) -> Claim:
    return Claim(("user", "demo", "1001"), "user 1001", active, per_minute, slots)


def slot(at: float = NOW, *, count: int = 1, transfer: int = 0) -> Slot:
    return Slot(C1, S1, at, count, transfer)


def held(*sessions: str) -> Held:
    return Held(tuple(Slot(CallId(f"call-{one}"), SessionId(one), NOW) for one in sessions))


@pytest.mark.parametrize(("slots", "fits"), [(0, True), (1, True), (2, False), (3, False)])
def test_as_many_calls_as_the_limit_says(slots: int, *, fits: bool) -> None:
    full = held(*(f"s{number}" for number in range(slots)))
    assert (fault_of(claim(active=2), full, NOW) is None) is fits


def test_a_call_may_need_two_slots() -> None:
    assert fault_of(claim(active=2, slots=2), held(), NOW) is None
    fault = fault_of(claim(active=2, slots=2), held("s1"), NOW)
    assert fault is not None
    assert (fault.code, fault.found) == ("too-many-active-calls", "1")
    assert Held().with_slot(claim(active=4, slots=2), slot(count=2)).active == 2


def test_a_minute_has_sixty_seconds_wherever_it_begins() -> None:
    limit = claim(per_minute=2)
    kept = Held()
    for at in (NOW, NOW + 30):
        assert fault_of(limit, kept, at) is None
        kept = kept.with_slot(limit, slot(at))
    for at in (NOW + 31, NOW + 59.4):
        fault = fault_of(limit, kept, at)
        assert fault is not None
        assert fault.code == "too-many-calls-a-minute"
        assert at + retry_after_s(limit, kept, at) >= NOW + 60
    assert fault_of(limit, kept, NOW + 60) is None
    assert len(kept.with_slot(limit, slot(NOW + 200)).seconds) == 1


def test_only_what_is_limited_is_kept() -> None:
    assert Held().with_slot(claim(active=1), slot()) == Held((slot(),))
    assert Held().with_slot(claim(per_minute=1), slot()) == Held((), ((1_000_000, 1),))
    both = Held().with_slot(claim(active=1, per_minute=1), slot())
    assert both.has_place(claim(active=1), slot())
    assert both.without(slot()) == Held((), ((1_000_000, 1),))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(both), type=Held) == both


def test_a_call_keeps_what_it_needs_and_what_it_took_first_goes_first() -> None:
    other = Slot(CallId("c2"), SessionId("s2"), NOW)
    full = Held((slot(count=2), other, slot(NOW + 9, transfer=1)), ((1_000_000, 1),))
    assert full.cut({S1: 3, SessionId("s2"): 1}) == full
    assert full.cut({S1: 2, SessionId("s2"): 1}).slots == (slot(), other, slot(NOW + 9, transfer=1))
    assert full.cut({S1: 1}) == Held((slot(NOW + 9, transfer=1),), ((1_000_000, 1),))
    assert full.without(slot(NOW + 9, transfer=1)).slots == (slot(count=2), other)
    assert full.without(slot(NOW + 8, transfer=1)) == full
    assert full.of_calls() == {S1: [slot(count=2), slot(NOW + 9, transfer=1)], SessionId("s2"): [other]}


def test_a_slot_of_an_earlier_version_is_of_no_transfer() -> None:
    earlier = msgspec.msgpack.encode([[["c1", "s1", NOW, 2]], []])
    assert msgspec.msgpack.decode(earlier, type=Held) == Held((slot(count=2),))


def test_what_has_no_limit_claims_nothing() -> None:
    trunk = Connection("demo", "trunk", limits_max_active_calls_total=0)
    assert claims_of(DOMAIN, USER, (("call-term-user", trunk),), is_offnet=True) == ()


def test_each_limit_is_a_claim() -> None:
    domain = Domain("demo", limits_max_active_calls_total=9, limits_max_active_calls_offnet=5)
    user = User("demo", "1001", limits_max_active_calls_total=2, limits_max_calls_per_minute=30)
    trunk = Connection("demo", "trunk", limits_max_active_calls_total=20, limits_max_active_calls_term=10)
    found = {one.subject: one for one in claims_of(domain, user, (("call-term-user", trunk),), is_offnet=True)}
    assert {subject: (one.active, one.per_minute) for subject, one in found.items()} == {
        ("user", "demo", "1001"): (2, 30),
        ("domain", "demo"): (9, None),
        ("offnet", "demo"): (5, None),
        ("connection", "demo", "trunk"): (10, None),
    }
    assert found["connection", "demo", "trunk"].field == "call-term-user"
    assert [one.subject[0] for one in claims_of(domain, user, (), is_offnet=False)] == ["user", "domain"]


def test_two_legs_through_one_connection_take_two_slots() -> None:
    trunk = Connection("demo", "trunk", limits_max_active_calls_total=20)
    other = Connection("demo", "other", limits_max_calls_per_minute=3)
    both = (("call-orig-user", trunk), ("call-term-user", trunk))
    assert [one.slots for one in claims_of(DOMAIN, USER, both, is_offnet=True)] == [2]
    two = (("call-orig-user", trunk), ("call-term-user", other))
    assert [(one.slots, one.field) for one in claims_of(DOMAIN, USER, two, is_offnet=True)] == [
        (1, "call-orig-user"),
        (1, "call-term-user"),
    ]
