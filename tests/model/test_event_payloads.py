"""What subscribers are sent, in the API's legacy names."""

from __future__ import annotations

import msgspec

from ringbridge.model.event_payloads import CallObject, Told
from ringbridge.model.events import CallBarred, CallEvent
from ringbridge.model.ids import CallId, UserName
from tests.adapters.bus_calls import DOMAIN, requested
from tests.adapters.webhook_node import STATES, life, states


def whole() -> list[list[CallEvent]]:
    """Return the bus messages of a call."""
    return [[requested("c1")], *life("c1")]


def told(model: str, messages: list[list[CallEvent]]) -> list[list[dict[str, object]]]:
    """Return the arrays that are sent of a call's messages, at positions 8, 16, 24…"""
    one = Told()
    sent: list[list[CallObject]] = [one.tell(model, events, 8 * n) for n, events in enumerate(messages, start=1)]
    return [msgspec.to_builtins(objects) for objects in sent if objects]


def test_a_call_is_told_state_by_state() -> None:
    arrays = told("call", whole())
    events = [event for array in arrays for event in array]
    assert states(events) == STATES
    assert [event["action"] for event in events] == ["INSERT"] + ["UPDATE"] * (len(events) - 2) + ["DELETE"]
    assert {event["object"] for event in events} == {"call"}
    assert events[0]["id"] == "8-0"
    assert events[-1]["remove"] == "yes"
    sequences = [str(event["sequence"]).zfill(3) for event in events]
    assert sequences == sorted(set(sequences))


def test_an_object_has_the_legacy_names_and_ours() -> None:
    *_, (event, *_), _ = told("call", whole())
    expected = {
        "call-id": "c1",
        "call-state": "connected",
        "orig_callid": "c1",
        "term_callid": "sip-t-c1",
        "orig_user": "1001",
        "term_user": "1002",
        "time_start": "1970-01-12 13:46:40",
        "time_answer": "1970-01-12 13:46:44",
        "by_action": "call",
        "hostname": "n1",
        "remove": "no",
    }
    assert {name: event[name] for name in expected} == expected


def test_call_origid_is_told_alike() -> None:
    messages = whole()
    assert told("call_origid", messages) == told("call", messages)


def test_a_cdr_is_told_once_when_the_call_is_over() -> None:
    ((cdr,),) = told("cdr", whole())
    assert (cdr["object"], cdr["action"], cdr["cdr_id"], cdr["release_text"]) == ("cdr", "INSERT", "s-c1", "Orig: Bye")
    assert (cdr["duration"], cdr["time_talking"], cdr["time_release"]) == (9, 5, "1970-01-12 13:46:49")


def test_the_same_messages_always_give_the_same_objects() -> None:
    messages = whole()
    assert told("call", messages) == told("call", messages)


def test_a_bar_is_not_told_and_a_call_behind_it_begins_anew() -> None:
    barred = CallBarred(DOMAIN, UserName("1001"), CallId("c1"), at=1.0, until=2.0)
    arrays = told("call", [[barred], *whole()])
    assert arrays[0][0]["action"] == "INSERT"
    assert arrays[0][0]["sequence"] == 1
