"""Contract section 6: CDRs and recordings."""

from __future__ import annotations

import time
from functools import partial

import httpx
import pytest

from tests.contract.shapes import faults_of
from tests.contract.wire import Json, Tenant, answered, until

PLACES = {"CdrR": "/cdrs", "CdrD": "/domains/{0}/cdrs", "CdrU": "/domains/{0}/users/1000/cdrs"}


@pytest.fixture(scope="module")
def ended(phones: Tenant) -> str:
    """Return the id of a call that was answered and is over."""
    call_id = phones.place()
    phones.in_state(call_id, "connected")
    phones.end(call_id)
    until(lambda: found(phones, call_id) is not None, what="the call has a CDR")
    return call_id


def found(phones: Tenant, call_id: str) -> dict[str, Json] | None:
    """Return the CDR of a call by the list of its domain."""
    listed = answered(phones.api.get(f"{phones.path}/cdrs", params={"limit": 1000}), 200)
    return next((one for one in listed if one["call-orig-call-id"] == call_id), None)


@pytest.mark.parametrize("schema", PLACES)
def test_cdrs_of_all_of_a_domain_and_of_a_user(phones: Tenant, ended: str, schema: str) -> None:
    """“`GET /cdrs`, `/domains/{domain}/cdrs`, `/domains/{domain}/users/{user}/cdrs` … Schemas `CdrR`, …”"""
    listed = answered(phones.api.get(PLACES[schema].format(phones.domain)), 200)
    # Of others the first leg's device may be called with letters, where two of the schemas have an integer.
    listed = [one for one in listed if one.get("orig_callid", one.get("call-orig-call-id", ended)) == ended]
    assert listed
    assert [fault for one in listed for fault in faults_of(schema, one, nullable=True)] == []


@pytest.mark.parametrize("schema", PLACES)
def test_cdrs_are_counted_and_summed(phones: Tenant, ended: str, schema: str) -> None:
    """“each with `/count` (`total`, `call-total-duration-seconds`)”"""
    totals = answered(phones.api.get(PLACES[schema].format(phones.domain) + "/count"), 200)
    assert totals["total"] >= 1
    assert totals["call-total-duration-seconds"] >= 0


def test_cdrs_of_a_time(phones: Tenant, ended: str) -> None:
    """“`datetime-start`, `datetime-end`”"""
    params = {"datetime-start": "2020-01-01 00:00:00", "datetime-end": "2020-01-02 00:00:00"}
    assert answered(phones.api.get(f"{phones.path}/cdrs", params=params), 200) == []


def test_what_a_cdr_says(phones: Tenant, ended: str) -> None:
    """“Names follow `call-orig-*` (first leg), `call-term-*` (second) … `call-disconnect-reason-text`”"""
    cdr = found(phones, ended)
    assert cdr is not None
    assert str(cdr["call-orig-user"]) == "1000"
    assert str(cdr["call-term-user"]) == "1001"
    assert cdr["call-disconnect-reason-text"]
    assert cdr["call-start-datetime"] <= cdr["call-answer-datetime"] <= cdr["call-disconnect-datetime"]


def test_one_cdr_a_call_whatever_became_of_it(phones: Tenant) -> None:
    """“One CDR a call, whatever became of it.”"""
    call_id = phones.place(call_orig_user="1002")
    phones.end(call_id)
    until(lambda: found(phones, call_id) is not None, what="the call has a CDR")
    listed = phones.api.get(f"{phones.path}/cdrs", params={"limit": 1000}).json()
    assert [one["call-orig-call-id"] for one in listed].count(call_id) == 1


def test_of_a_call_that_was_not_recorded_there_is_no_recording(phones: Tenant, ended: str) -> None:
    """“`GET /domains/{domain}[/users/{user}]/recordings/{call-id}` → array”"""
    for at in (phones.path, f"{phones.path}/users/1000"):
        assert answered(phones.api.get(f"{at}/recordings/{ended}"), 200) == []


def test_recordings(real_phones: Tenant) -> None:
    """“`…/recordings/{call-id}` → array of schema `Recording` (with `file-access-url`, good for a limited time)”"""
    device = f"{real_phones.path}/users/1000/devices/1000"
    yes = {"device-level-call-recording-enabled": "yes"}
    answered(real_phones.api.put(device, json=yes), 202)
    try:
        call_id = real_phones.place()
        real_phones.in_state(call_id, "connected")
        time.sleep(1)
        real_phones.end(call_id)
        for at in (real_phones.path, f"{real_phones.path}/users/1000"):
            listed = partial(real_phones.api.get, f"{at}/recordings/{call_id}")
            until(lambda: answered(listed(), 200), within_s=40, what="the call has a recording")  # noqa: B023 - asked at once
            (told,) = answered(listed(), 200)
            assert faults_of("Recording", told, nullable=True) == []
            assert told["call-id"] == call_id
            file = httpx.get(told["file-access-url"], trust_env=False)
            assert (file.status_code, file.content[:4], file.content[8:12]) == (200, b"RIFF", b"WAVE")
    finally:
        answered(real_phones.api.put(device, json={"device-level-call-recording-enabled": "no"}), 202)
