"""Presence of users, from the calls that they are in and the devices that they have."""

from __future__ import annotations

from ringbridge.model.call import Call, fold
from ringbridge.model.events import CallEvent, Flow, LegUpdated
from ringbridge.model.ids import LegId
from ringbridge.model.presence import Presence, UserPresence, presence_in, presence_object
from tests.adapters.bus_calls import requested
from tests.adapters.webhook_node import life

PEACE = UserPresence("demo.example", "1001", devices=("desk",))


def told(call_id: str = "c1") -> list[dict[str, Presence]]:
    """Return the presence that a whole call gives, message by message."""
    call: Call | None = None
    found = []
    messages: list[list[CallEvent]] = [[requested(call_id)], *life(call_id)]
    for position, events in enumerate(messages, start=1):
        call = fold(call, events, position)
        assert call is not None
        found.append(presence_in(call))
    return found


def test_a_user_is_in_a_call_from_when_a_phone_rings_until_it_is_released() -> None:
    alerting, inuse = Presence.ALERTING, Presence.INUSE
    assert told() == [
        {},
        {},
        {"1001": alerting},
        {"1001": inuse},
        {"1001": inuse, "1002": alerting},
        {"1001": inuse, "1002": inuse},
        {},
    ]


def test_a_call_on_hold_is_held_for_both() -> None:
    call: Call | None = None
    held = LegUpdated(LegId("t1"), b"", 1_000_005.0, held=True, flow=Flow.TALK)
    messages: list[list[CallEvent]] = [[requested("c1")], *life("c1")[:-1], [held]]
    for position, events in enumerate(messages, start=1):
        call = fold(call, events, position)
    assert call is not None
    assert presence_in(call) == {"1001": Presence.HELD, "1002": Presence.HELD}


def test_without_a_call_the_devices_decide() -> None:
    assert PEACE.presence is Presence.OPEN
    gone = PEACE.after_device("desk", registered=False, at=1.0)
    assert (gone.presence, gone.devices, gone.is_told, gone.device) == (Presence.INACTIVE, (), True, "desk")
    again = PEACE.after_device("desk", registered=True, at=1.0)
    assert not again.is_told
    more = PEACE.after_device("mobile", registered=True, at=1.0)
    assert (more.presence, more.devices, more.is_told) == (Presence.OPEN, ("desk", "mobile"), True)


def test_of_several_calls_the_busiest_counts() -> None:
    one = PEACE.after_call("c1", Presence.INUSE, position=8, streams=4, at=1.0)
    assert (one.presence, one.is_told, one.applied) == (Presence.INUSE, True, (8, 0, 0, 0))
    two = one.after_call("c2", Presence.ALERTING, position=5, streams=4, at=2.0)
    assert (two.presence, two.is_told, two.applied) == (Presence.INUSE, False, (8, 5, 0, 0))
    three = two.after_call("c1", None, position=12, streams=4, at=3.0)
    assert (three.presence, three.is_told, three.calls) == (Presence.ALERTING, True, {"c2": Presence.ALERTING})
    held = three.after_call("c1", Presence.HELD, position=16, streams=4, at=4.0)
    assert held.presence is Presence.HELD
    assert held.after_call("c2", None, position=9, streams=4, at=5.0).presence is Presence.HELD


def test_it_knows_which_messages_are_in_it() -> None:
    one = PEACE.after_call("c1", Presence.INUSE, position=8, streams=4, at=1.0)
    assert [position for position in range(1, 14) if one.has(position)] == [4, 8]
    assert not PEACE.has(1)


def test_what_is_sent() -> None:
    one = PEACE.after_call("c1", Presence.ALERTING, position=8, streams=4, at=1_000_000.0)
    sent = presence_object(one, 17)
    assert (sent.id, sent.sequence, sent.object, sent.action) == ("presence-17", 17, "presence", "UPDATE")
    assert (sent.domain, sent.user, sent.presence, sent.calls) == ("demo.example", "1001", "alerting", 1)
    assert (sent.call_id, sent.device, sent.devices, sent.time) == ("c1", "", ("desk",), "1970-01-12 13:46:40")
