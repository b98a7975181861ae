"""The bodies of orders to a call: a transfer has exactly one target (contract §3 "Transfer")."""

from __future__ import annotations

import pytest

from ringbridge.model.errors import CallError
from ringbridge.model.wire import Number
from ringbridge.model.wire_orders import read_action, read_transfer

TERM, SECOND = "call-term-user", "call-destination-session-id"


def faults(body: dict[str, object]) -> list[tuple[str, str]]:
    with pytest.raises(CallError) as refused:
        read_transfer(body)
    return [(fault.field, fault.code) for fault in refused.value.faults]


def test_a_transfer_says_whom_to_ring_or_whom_to_join() -> None:
    assert read_transfer({TERM: Number("1003")}).term_user == "1003"
    assert read_transfer({"destination": "1003"}).term_user == "1003"
    order = read_transfer({SECOND: "s-1", TERM: "", "hostname": "core1", "uid": "1"})
    assert (order.second_call, order.term_user, order.ignored) == ("s-1", "", ("uid",))
    assert read_action({"action": "transfer", SECOND: "a@b.c"}).second_call == "a@b.c"


def test_not_both_and_not_neither() -> None:
    assert faults({}) == faults({SECOND: None}) == faults({SECOND: "  "}) == [(TERM, "missing")]
    assert faults({SECOND: "s-1", TERM: "1003"}) == faults({SECOND: "s-1", "destination": "1003"})
    assert faults({SECOND: "s-1", TERM: "1003"}) == [(SECOND, "not-both")]
    assert faults({SECOND: ["s-1"], TERM: "a b!"}) == [(SECOND, "wrong-type"), (TERM, "not-a-number")]


def test_other_orders_need_neither() -> None:
    assert read_action({"action": "hold"}).action == "hold"
