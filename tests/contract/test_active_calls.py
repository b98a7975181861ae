"""Contract section 3: calls that are up, read and controlled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.shapes import SCHEMAS, faults_of
from tests.contract.wire import Tenant, answered, faulted

STATES = {"requested", "claimed", "orig-ringing", "orig-answered", "term-ringing", "connected", "held", "ended"}


@pytest.fixture
def connected(phones: Tenant) -> Iterator[str]:
    """Return the id of a call that is up."""
    call_id = phones.place()
    phones.in_state(call_id, "connected")
    yield call_id
    phones.drop(call_id)


@pytest.mark.parametrize("at", ["/calls", "/users/1000/calls"])
def test_lists_of_active_calls(phones: Tenant, connected: str, at: str) -> None:
    """“`GET /domains/{domain}/calls` · `/calls/count`: active calls of a domain; … of a user”"""
    listed = answered(phones.api.get(phones.path + at), 200)
    assert connected in [call["call-id"] for call in listed]
    assert answered(phones.api.get(f"{phones.path}{at}/count"), 200)["total"] == len(listed)
    assert [fault for call in listed for fault in faults_of("ActiveCall", call)] == []


def test_a_user_s_calls_are_also_those_that_they_are_called_in(phones: Tenant, connected: str) -> None:
    """“… of a user”: whoever makes it or is called"""
    for user in ("1000", "1001"):
        listed = answered(phones.api.get(phones.calls(user)), 200)
        assert connected in [call["call-id"] for call in listed]
        assert answered(phones.api.get(f"{phones.calls(user)}/count"), 200)["total"] == len(listed)
        assert phones.read(connected, user)["call-id"] == connected
    assert connected not in [call["call-id"] for call in answered(phones.api.get(phones.calls("1002")), 200)]


def test_whoever_is_called_ends_it_too(phones: Tenant, connected: str) -> None:
    """“`DELETE …/calls/{call-id}`: end it”"""
    assert phones.end(connected, "1001")["call-state"] == "ended"


def test_one(phones: Tenant, connected: str) -> None:
    """“`GET /domains/{domain}/users/{user}/calls/{call-id}`: one”"""
    assert phones.read(connected)["call-id"] == connected


def test_a_call_of_another_tenant_is_not_there(phones: Tenant, other: Tenant, connected: str) -> None:
    """“another tenant's resource: 404, which says nothing of whether it exists” (section 1)"""
    answered(other.api.get(other.call(connected)), 404)
    answered(other.api.get(f"{phones.path}/users/nobody/calls/{connected}"), 404)


def test_the_schema_of_the_resource(phones: Tenant, connected: str) -> None:
    """“The resource (schema `ActiveCall`)”"""
    assert faults_of("ActiveCall", phones.read(connected)) == []
    assert set(SCHEMAS["ActiveCall"]) <= set(phones.read(connected))


def test_what_we_add_to_the_resource(phones: Tenant, connected: str) -> None:
    """“Added by us, beside those: `call-id`, `call-state` …, `call-legs` (per leg: target, state, SIP Call-ID, times,
    codec), `release-cause`.”"""
    call = phones.read(connected)
    assert {"call-id", "call-state", "call-legs", "release-cause"} <= set(call)
    assert call["call-state"] in STATES
    for leg in call["call-legs"]:
        assert {"target", "state", "sip-call-id", "codec"} <= set(leg)
    assert phones.end(connected)["release-cause"]


def test_who_is_who_in_the_resource(phones: Tenant, connected: str) -> None:
    """“`call-session-id` (ours, unique), `call-orig-call-id` (the application's `call-id`), `call-term-call-id` (second
    leg, once it exists)”"""
    call = phones.read(connected)
    assert call["call-orig-call-id"] == connected
    assert call["call-session-id"] not in ("", connected)
    assert call["call-term-call-id"]
    assert (call["call-orig-user"], call["call-term-user"]) == ("1000", "1001")
    assert (call["call-orig-domain"], call["call-term-domain"]) == (phones.domain, phones.domain)


def test_whose_call_it_is(phones: Tenant, connected: str) -> None:
    """“`call-by-action`/`-user`/`-domain`, …, `call-orig-uri`/`-name`/`-match-uri`, …, `core-server`”"""
    call = phones.read(connected)
    assert (call["call-by-user"], call["call-by-domain"]) == ("1000", phones.domain)
    assert call["call-orig-uri"] == call["call-orig-match-uri"] == f"sip:1000@{phones.domain}"
    assert call["call-term-uri"] == f"sip:1001@{phones.domain}"
    assert call["call-orig-name"] == "First1000 Last1000"
    assert all(call[name] for name in ("call-by-action", "call-by-call-id", "core-server", "call-audio-codec"))


def test_the_second_leg_s_name_once_it_exists(phones: Tenant) -> None:
    """“`call-term-call-id` (second leg, once it exists)”"""
    call_id = phones.place(user="1002")
    assert phones.in_state(call_id, "orig-ringing", user="1002")["call-term-call-id"] == ""
    phones.drop(call_id, "1002")


def test_the_answer_time_is_empty_until_answered(phones: Tenant) -> None:
    """“`call-start-datetime`, `call-answer-datetime` (empty until answered)”"""
    call_id = phones.place(call_orig_user="1002")
    assert phones.in_state(call_id, "orig-ringing")["call-answer-datetime"] == ""
    phones.drop(call_id)
    call_id = phones.place()
    assert phones.in_state(call_id, "connected")["call-answer-datetime"] != ""
    phones.drop(call_id)


def test_the_names_of_a_call_in_a_path(phones: Tenant, connected: str) -> None:
    """“`{call-id}` in a path is the application's id, the session id, or either leg's.”"""
    call = phones.read(connected)
    names = [call["call-session-id"], call["call-term-call-id"], *(leg["sip-call-id"] for leg in call["call-legs"])]
    for name in names:
        assert phones.read(name)["call-id"] == connected


def test_ended_calls_stay_readable_and_lists_show_active_ones_only(phones: Tenant) -> None:
    """“Ended calls stay readable by GET for 24 hours (state `ended`); lists show active ones only.”"""
    call_id = phones.place()
    phones.in_state(call_id, "connected")
    assert phones.end(call_id)["call-state"] == "ended"
    for at in (f"{phones.path}/calls", phones.calls()):
        assert call_id not in [call["call-id"] for call in phones.api.get(at).json()]


@pytest.mark.parametrize(("orig", "state"), [("1002", "orig-ringing"), ("1000", "connected")])
def test_delete_ends_it_in_any_state(phones: Tenant, orig: str, state: str) -> None:
    """“`DELETE …/calls/{call-id}`: end it, in any state”"""
    call_id = phones.place(call_orig_user=orig)
    phones.in_state(call_id, state)
    answered(phones.api.delete(phones.call(call_id)), 202)
    phones.in_state(call_id, "ended")


def test_delete_ends_it_at_once(phones: Tenant) -> None:
    """“end it, in any state”: also as `requested`"""
    call_id = phones.place(call_orig_user="1002")
    answered(phones.api.delete(phones.call(call_id)), 202)
    phones.in_state(call_id, "ended")


def test_hold_and_unhold(phones: Tenant, connected: str) -> None:
    """“`PATCH …/calls/{call-id}/hold` · `/unhold` …: as named”"""
    phones.order(connected, "hold")
    phones.in_state(connected, "held")
    phones.order(connected, "unhold")
    phones.in_state(connected, "connected")


def test_an_attended_transfer(phones: Tenant, connected: str) -> None:
    """“Steps of an attended transfer: read the call, hold it, make a second call, transfer the first with the second's
    session id.”"""
    phones.order(connected, "hold")
    phones.in_state(connected, "held")
    second = phones.place()
    session_id = phones.in_state(second, "connected")["call-session-id"]
    body = {"call-destination-session-id": session_id, "hostname": "any"}
    phones.order(connected, "transfer", body=body)
    phones.in_state(second, "ended")
    call = phones.in_state(connected, "connected")
    assert (call["call-orig-user"], call["call-term-user"], call["call-by-user"]) == ("1001", "1001", "1000")
    phones.end(connected)
    for call_id in (connected, second):
        cdrs = answered(phones.api.get(f"{phones.path}/cdrs", params={"limit": 1000}), 200)
        (cdr,) = [one for one in cdrs if one["call-orig-call-id"] == call_id]
        assert (cdr["call-through-user"], cdr["call-through-action"]) == ("1000", "transfer")


def test_faults_of_an_attended_transfer(phones: Tenant, connected: str) -> None:
    """“attended: `call-destination-session-id` (and `hostname`, ignored)”"""
    for body in ({"call-destination-session-id": "nobody"}, {"hostname": "any"}, {}):
        faulted(phones.api.patch(f"{phones.call(connected)}/transfer", json=body), 400)
    both = {"call-destination-session-id": "one", "call-term-user": "1001"}
    faults = faulted(phones.api.patch(f"{phones.call(connected)}/transfer", json=both), 400)
    assert "call-destination-session-id" in faults


@pytest.mark.parametrize("verb", ["hold", "unhold"])
def test_a_verb_of_no_call(phones: Tenant, verb: str) -> None:
    """“404” (section 1)"""
    answered(phones.api.patch(f"{phones.call('nobody')}/{verb}"), 404)


def test_caller_ids_are_strings_of_digits(phones: Tenant, connected: str) -> None:
    """“`caller-id-number`, `call-dialed-number`”"""
    call = phones.read(connected)
    assert call["caller-id-number"].lstrip("+").isdigit()
    assert call["call-dialed-number"] == "1001"


def test_faults_of_a_read_are_named(phones: Tenant) -> None:
    """“`GET … /calls`” with a bad page says so (section 1)"""
    assert "limit" in faulted(phones.api.get(phones.calls(), params={"limit": "many"}), 400)
