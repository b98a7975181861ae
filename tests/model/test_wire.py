"""The body of a call request: total, and never more than it says (contract §3)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.model.names import CALL_ID, CONTROL, NO_CALL_ID
from ringbridge.model.wire import CALL_ID_PATTERN, FIELDS, KNOWN, CallOrder, Number, read_call_order

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=200),
    st.integers().map(lambda number: Number(str(number))),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from(["yes", "no", "1002", "+45 12 34", "1002@demo", "sip:1002@demo", "X-A: b"]),
)
NAMES = st.one_of(st.sampled_from([*sorted(KNOWN), "callid", "destination", "origination"]), st.text(max_size=20))


def read(body: Mapping[str, object], query_call_id: str | None = None) -> CallOrder:
    return read_call_order(body, domain="demo", user="1001", query_call_id=query_call_id)


@given(st.dictionaries(NAMES, VALUES, max_size=12), st.one_of(st.none(), st.text(max_size=150)))
def test_every_body_is_an_order_or_a_list_of_faults(body: dict[str, object], query_call_id: str | None) -> None:
    order = read(body, query_call_id)
    check_faults(order)
    for name in order.request.__struct_fields__:
        value = getattr(order.request, name)
        assert not isinstance(value, str) or not CONTROL.search(value)
    assert not set(order.ignored) & KNOWN


def check_faults(order: CallOrder) -> None:
    fields = [fault.field for fault in order.faults]
    assert len(fields) == len(set(fields))
    assert set(fields) <= KNOWN
    assert bool(CALL_ID.fullmatch(order.request.call_id)) is ("call-id" not in fields)
    for fault in order.faults:
        (fault.found or "").encode()
        assert not getattr(order.request, fault.field.replace("-", "_"), "")


def test_defaults_and_blanks_are_one_request() -> None:
    plain = {"call-id": "a", "call-term-user": "1002"}
    blank = {
        "call-id": " a ",
        "call-term-user": "1002 ",
        "call-orig-user": "",
        "caller-id-number": " ",
        "dial-rule-application": "",
        "auto-answer-enabled": "no",
        "synchronous": "no",
        "callback-caller-id-number": None,
        "call-term-added-sip-header": "",
    }
    assert read(plain).request == read(blank).request
    assert read(plain).request == read(plain | {"call-orig-user": "1001@demo"}).request
    assert read(plain).request == read(plain | {"synchronous": "yes"}).request
    assert read(plain).request.dial_rule_application == "call"


@pytest.mark.parametrize(
    "text", ["1002", "+4512345678", "(+45) 12-34 56.78", "1001_mobile", "a@demo", "sip:1@d", "*67"]
)
def test_parties_that_are_taken(text: str) -> None:
    assert read({"call-id": "a", "call-term-user": text}).request.call_term_user == text


def test_every_fault_is_named_in_the_order_of_the_fields() -> None:
    faults = read({field.name: "\x00" for field in FIELDS}).faults
    assert [fault.field for fault in faults] == [field.name for field in FIELDS]
    assert {fault.code for fault in faults} == {"control-character"}


@given(st.one_of(st.text("acount.@", min_size=1, max_size=6), st.sampled_from(sorted(NO_CALL_ID))))
def test_the_schema_s_pattern_of_a_call_id_is_the_check(text: str) -> None:
    refused = "call-id" in {fault.field for fault in read({"call-id": text, "call-term-user": "1002"}).faults}
    assert refused is (re.search(CALL_ID_PATTERN, text) is None)


def test_a_found_value_is_short() -> None:
    (fault,) = read({"call-id": "x" * 10_000, "call-term-user": "1002"}).faults
    assert len(fault.found or "") < 80
