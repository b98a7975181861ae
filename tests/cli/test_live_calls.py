"""What `ringbridge top` makes of the list and of events; and events as they come off the line."""

from typing import Any

from ringbridge.cli.live_calls import LINGERS_S, LiveCalls
from ringbridge.cli.server_events import EventReader, ServerEvent


def told(call_id: str, state: str, action: str = "UPDATE", **more: str) -> dict[str, Any]:
    parties = {"domain": "demo", "user": "1001", "orig_user": "1001", "orig_to_user": "1002"}
    return (
        {"call-id": call_id, "call-state": state, "action": action, "time_start": "2027-01-15 08:00:00"}
        | parties
        | more
    )


def view(call_id: str, state: str, **more: str) -> dict[str, Any]:
    names = {"call-orig-domain": "demo", "call-start-datetime": "2027-01-15T08:00:00.250+00:00"}
    return {"call-id": call_id, "call-state": state} | names | more


def states(calls: LiveCalls) -> dict[Any, Any]:
    return {call["call-id"]: call["call-state"] for call in calls.shown()}


def test_events_are_told_in_the_names_of_the_list() -> None:
    calls = LiveCalls()
    calls.tell(told("a", "requested", "INSERT"), 0)
    [call] = calls.shown()
    assert call["call-orig-user"] == "1001"
    assert call["call-dialed-number"] == "1002"
    assert call["call-start-datetime"] == "2027-01-15T08:00:00+00:00"
    assert calls.summary() == "1 call is up: 1 ringing"


def test_the_times_of_the_list_are_kept_as_they_are_finer() -> None:
    calls = LiveCalls()
    calls.read([view("a", "term-ringing")], 0)
    calls.tell(told("a", "connected", time_answer="2027-01-15 08:00:03"), 0)
    [call] = calls.shown()
    assert call["call-start-datetime"] == "2027-01-15T08:00:00.250+00:00"
    assert call["call-answer-datetime"] == "2027-01-15T08:00:03+00:00"


def test_a_call_that_has_ended_lingers_and_is_not_counted() -> None:
    calls = LiveCalls()
    calls.tell(told("a", "connected"), 0)
    calls.tell(told("a", "ended", "DELETE"), 10)
    calls.forget(10 + LINGERS_S - 0.1)
    assert states(calls) == {"a": "ended"}
    assert calls.summary() == "no calls are up"
    calls.forget(10 + LINGERS_S)
    assert states(calls) == {}


def test_what_is_told_while_the_list_is_on_its_way_comes_behind_it() -> None:
    calls = LiveCalls()
    calls.begin_reading()
    calls.tell(told("a", "ended", "DELETE"), 1)
    calls.tell(told("b", "requested", "INSERT"), 1)
    assert states(calls) == {}
    calls.read([view("a", "connected")], 2)
    assert states(calls) == {"a": "ended", "b": "requested"}


def test_a_call_that_the_list_has_no_more_has_ended() -> None:
    calls = LiveCalls()
    calls.read([view("a", "connected"), view("b", "held")], 0)
    assert calls.summary() == "2 calls are up: 1 talking, 1 on hold"
    calls.read([view("b", "held")], 1)
    assert states(calls) == {"a": "ended", "b": "held"}
    calls.read([view("a", "connected")], 2)
    assert states(calls) == {"a": "connected", "b": "ended"}
    calls.forget(1 + LINGERS_S)
    assert states(calls) == {"a": "connected", "b": "ended"}


def test_a_transfer_asks_for_the_list_as_events_do_not_name_the_new_party() -> None:
    calls = LiveCalls()
    assert not calls.tell(told("a", "connected"), 0)
    assert not calls.tell(told("a", "held"), 0)
    assert not calls.tell(told("a", "connected"), 0)
    assert calls.tell(told("a", "connected"), 0)


def test_events_come_in_any_pieces() -> None:
    text = 'retry: 2000\n\nevent: call\nid: 1\ndata: {"name":"a\u2028b"}\n\n: heartbeat\nid: 2\n\ndata: x\ndata: y\n\n'
    expected = [
        ServerEvent("call", "1", '{"name":"a\u2028b"}'),
        ServerEvent("heartbeat", "2", ""),
        ServerEvent("heartbeat", "", "x\ny"),
    ]
    assert list(EventReader().feed(text)) == expected
    reader = EventReader()
    assert [event for one in text for event in reader.feed(one)] == expected
