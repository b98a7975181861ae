"""Contract section 3: making a call, and one (domain, call-id) is one call for ever."""

from __future__ import annotations

import pytest

from tests.contract.wire import Json, Tenant, answered, call_body, faulted, new_id

LIVE = ("orig-ringing", "orig-answered", "term-ringing", "connected")


def test_post_makes_a_call(phones: Tenant) -> None:
    """“`POST /domains/{domain}/users/{user}/calls`: make a call”"""
    call_id = phones.place()
    assert phones.in_state(call_id, "connected")["call-id"] == call_id
    phones.drop(call_id)


def test_202_with_the_call_id(phones: Tenant) -> None:
    """“Answer: 202 `{"code":202,"message":"Accepted","call-id":"…"}`”"""
    body = call_body()
    answer = answered(phones.api.post(phones.calls(), json=body), 202)
    assert answer == {"code": 202, "message": "Accepted", "call-id": body["call-id"]}
    phones.drop(body["call-id"])


def test_200_with_the_resource(phones: Tenant) -> None:
    """“or 200 with the resource” — and “clients look for `call-id` in either answer”"""
    body = call_body(synchronous="yes")
    made = answered(phones.api.post(phones.calls(), json=body), 200)
    assert made["call-id"] == body["call-id"]
    assert set(made) == set(phones.read(body["call-id"]))
    phones.drop(body["call-id"])


def test_synchronous_absent_is_no(phones: Tenant) -> None:
    """“`synchronous`: documented as required with default `no`, so absent is `no`”"""
    for more in ({}, {"synchronous": "no"}):
        body = call_body(**more)
        answered(phones.api.post(phones.calls(), json=body), 202)
        phones.drop(body["call-id"])


def test_a_call_without_an_id_is_refused(phones: Tenant) -> None:
    """“`call-id`: required”"""
    assert "call-id" in faulted(phones.api.post(phones.calls(), json={"call-term-user": "1001"}), 400)


@pytest.mark.parametrize("call_id", ["", "a b", "a/b", "é", "x" * 129, "a;b"])
def test_the_pattern_of_a_call_id(phones: Tenant, call_id: str) -> None:
    """“`call-id`: required, `[A-Za-z0-9._@:+=-]{1,128}`”"""
    body = {"call-id": call_id, "call-term-user": "1001"}
    assert "call-id" in faulted(phones.api.post(phones.calls(), json=body), 400)


def test_a_call_id_of_128_characters(phones: Tenant) -> None:
    """“`call-id`: required, `[A-Za-z0-9._@:+=-]{1,128}`: the call's name in every later request”"""
    call_id = (f"{new_id()}._@:+=-" + "x" * 128)[:128]
    phones.place(call_id=call_id)
    assert phones.end(call_id)["call-id"] == call_id


def test_the_call_id_is_not_the_sip_call_id(phones: Tenant) -> None:
    """“the call's name in every later request. Not the SIP Call-ID”"""
    call_id = phones.place()
    legs = phones.in_state(call_id, "connected")["call-legs"]
    assert all(leg["sip-call-id"] != call_id for leg in legs)
    phones.drop(call_id)


def test_a_call_without_a_destination_is_refused(phones: Tenant) -> None:
    """“`call-term-user`: required”"""
    assert "call-term-user" in faulted(phones.api.post(phones.calls(), json={"call-id": new_id()}), 400)


@pytest.mark.parametrize("form", ["1001", " 10-01 ", "(10) 01", "1001@{domain}", "sip:1001@{domain}"])
def test_the_forms_of_a_destination(phones: Tenant, form: str) -> None:
    """“extension, number (spaces, dashes, brackets, `+` tolerated), `user@domain`, `sip:` URI of an own domain”"""
    call_id = phones.place(term=form.format(domain=phones.domain))
    assert phones.in_state(call_id, "connected")["call-term-user"] == "1001"
    phones.drop(call_id)


def test_a_sip_uri_of_a_foreign_domain_is_refused(phones: Tenant) -> None:
    """“`sip:` URI of an own domain”"""
    body = call_body(term="sip:1001@elsewhere.example")
    assert "call-term-user" in faulted(phones.api.post(phones.calls(), json=body), 400)


def test_the_destination_rings_once_the_origination_is_connected(phones: Tenant) -> None:
    """“`call-term-user`: … rung once the origination is connected”"""
    call_id = phones.place(call_orig_user="1002")  # whose phone rings and does not answer
    call = phones.in_state(call_id, "orig-ringing")
    assert [leg["leg"] for leg in call["call-legs"] if leg["state"] != "pending"] == ["origination"]
    phones.drop(call_id)


@pytest.mark.parametrize("blank", [None, "", " "])
def test_the_origination_defaults_to_the_user_of_the_path(phones: Tenant, blank: str | None) -> None:
    """“`call-orig-user`: default `user@domain` of the path; blank is the same”"""
    call_id = phones.place() if blank is None else phones.place(call_orig_user=blank)
    assert phones.in_state(call_id, "connected")["call-orig-user"] == "1000"
    phones.drop(call_id)


@pytest.mark.parametrize("form", ["1000", "1000@{domain}", "sip:1000@{domain}"])
def test_the_first_leg_rings_a_device_or_a_user(phones: Tenant, form: str) -> None:
    """“what the first leg rings: a device (`1001_mobile`, `1001m@domain`), a user (all devices), or a number”"""
    call_id = phones.place(call_orig_user=form.format(domain=phones.domain))
    phones.in_state(call_id, "connected")
    phones.drop(call_id)


def test_auto_answer_enabled_makes_a_ringing_phone_answer(phones: Tenant) -> None:
    """“`auto-answer-enabled`: `yes`/`no`, default `no`: auto-answer headers on the first leg”"""
    call_id = phones.place(user="1002", auto_answer_enabled="no")
    phones.in_state(call_id, "orig-ringing", user="1002")
    phones.drop(call_id, "1002")
    call_id = phones.place(user="1002", auto_answer_enabled="yes")
    phones.in_state(call_id, "connected", user="1002")
    phones.drop(call_id, "1002")
    assert "auto-answer-enabled" in faulted(
        phones.api.post(phones.calls(), json=call_body(**{"auto-answer-enabled": "maybe"})), 400
    )


def test_the_caller_id_defaults_to_the_users_own(phones: Tenant) -> None:
    """“`caller-id-number`: default: the user's own”"""
    call_id = phones.place()
    assert phones.in_state(call_id, "connected")["caller-id-number"].lstrip("+") == "12025550101"
    phones.drop(call_id)


def test_a_dial_rule_application_is_taken(phones: Tenant) -> None:
    """“`dial-rule-application`: default `call`: rules … that carry this application are tried first, then those without
    one”"""
    call_id = phones.place(dial_rule_application="to-user")
    phones.in_state(call_id, "connected")
    phones.drop(call_id)


@pytest.mark.parametrize("header", ["X-Ticket: 4711", "X-CRM-Id:7"])
def test_a_header_may_be_added(phones: Tenant, header: str) -> None:
    """“`call-term-added-sip-header`: optional: one `Name: value` added to the second leg's INVITE”"""
    call_id = phones.place(call_term_added_sip_header=header)
    phones.in_state(call_id, "connected")
    phones.drop(call_id)


@pytest.mark.parametrize("header", ["Via: x", "Ticket: 1", "X-A", "X-A: 1\r\nX-B: 2", "X A: 1"])
def test_other_headers_may_not(phones: Tenant, header: str) -> None:
    """“one `Name: value` … `X-…` names only”"""
    body = call_body(**{"call-term-added-sip-header": header})
    assert "call-term-added-sip-header" in faulted(phones.api.post(phones.calls(), json=body), 400)


def test_names_seen_from_clients(phones: Tenant) -> None:
    """“Seen from clients and taken: `callid` …, `destination` …, `origination` … where the true field is absent …
    `caller-id-name`, ignored”"""
    call_id = new_id()
    body = {"callid": call_id, "destination": "1001", "origination": "1000", "caller-id-name": "Ada"}
    answered(phones.api.post(phones.calls(), json=body), 202)
    call = phones.in_state(call_id, "connected")
    assert (call["call-orig-user"], call["call-term-user"]) == ("1000", "1001")
    phones.drop(call_id)


def test_the_call_id_in_the_query(phones: Tenant) -> None:
    """“`?callid=` in the query”"""
    call_id = new_id()
    answer = answered(phones.api.post(phones.calls(), params={"callid": call_id}, json={"call-term-user": "1001"}), 202)
    assert answer["call-id"] == call_id
    phones.drop(call_id)


def test_where_both_are_there_the_true_field_wins(phones: Tenant) -> None:
    """“Where both are there, the true field wins.”"""
    body = call_body(callid=new_id(), destination="1002", origination="1002") | {"call-orig-user": "1000"}
    answer = answered(phones.api.post(phones.calls(), params={"callid": new_id()}, json=body), 202)
    assert answer["call-id"] == body["call-id"]
    call = phones.in_state(body["call-id"], "connected")
    assert (call["call-orig-user"], call["call-term-user"]) == ("1000", "1001")
    phones.drop(body["call-id"])


def one_leg(phones: Tenant) -> dict[str, Json]:
    """Return a request whose call rings until it is ended: nobody answers at 1002."""
    return call_body(**{"call-orig-user": "1002"})


def test_the_same_request_again_is_the_same_call(phones: Tenant) -> None:
    """“same id, same request (after `~` and defaults; `synchronous` aside), by the same user: the same answer, with
    `Idempotent-Replayed: true`; nobody is rung again, also when the call is over”"""
    body = one_leg(phones)
    first = phones.api.post(phones.calls(), json=body)
    session = phones.in_state(body["call-id"], "orig-ringing")["call-session-id"]
    for again in (body, body | {"dial-rule-application": "call", "auto-answer-enabled": "no", "synchronous": "no"}):
        answer = phones.api.post(phones.calls(), json=again)
        assert answered(answer, 202) == answered(first, 202)
        assert answer.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert phones.read(body["call-id"])["call-session-id"] == session
    phones.end(body["call-id"])
    over = phones.api.post(phones.calls(), json=body)
    assert answered(over, 202) == answered(first, 202)
    assert over.headers["idempotent-replayed"] == "true"
    assert phones.read(body["call-id"])["call-state"] == "ended"


def test_synchronous_does_not_make_another_request(phones: Tenant) -> None:
    """“same request (… `synchronous` aside)”"""
    body = one_leg(phones)
    answered(phones.api.post(phones.calls(), json=body), 202)
    again = phones.api.post(phones.calls(), json=body | {"synchronous": "yes"})
    assert answered(again, 200)["call-id"] == body["call-id"]
    assert again.headers["idempotent-replayed"] == "true"
    phones.drop(body["call-id"])


def test_another_request_with_the_id_is_a_conflict(phones: Tenant) -> None:
    """“same id, another request or another user: 409 `call-id-conflict`; nothing of the first call told”"""
    body = one_leg(phones)
    answered(phones.api.post(phones.calls(), json=body), 202)
    for path, changed in (
        (phones.calls(), body | {"call-term-user": "1000"}),
        (phones.calls("1001"), body),
    ):
        answer = phones.api.post(path, json=changed)
        (fault,) = answered(answer, 409)["errors"]
        assert fault["code"] == "call-id-conflict"
        assert "1002" not in answer.text
    phones.drop(body["call-id"])


def test_a_refused_attempt_leaves_the_id_free(phones: Tenant) -> None:
    """“the first attempt was refused (400, 401, 403, 429): the id is free”"""
    body = one_leg(phones)
    answered(phones.api.post(phones.calls(), json=body | {"call-term-user": "no number"}), 400)
    answer = phones.api.post(phones.calls(), json=body)
    answered(answer, 202)
    assert "idempotent-replayed" not in answer.headers
    phones.drop(body["call-id"])


def test_a_delete_before_the_post_keeps_the_call_from_being_dialled(phones: Tenant) -> None:
    """“DELETE before the POST arrives: 404, and for 24 hours that id is not dialled: the POST gets 409 `call-ended`”"""
    body = one_leg(phones)
    answered(phones.api.delete(phones.call(body["call-id"])), 404)
    (fault,) = answered(phones.api.post(phones.calls(), json=body), 409)["errors"]
    assert fault["code"] == "call-ended"


def test_the_id_in_another_domain_is_another_call(phones: Tenant, other: Tenant) -> None:
    """“other domain: another call”"""
    body = one_leg(phones)
    answered(phones.api.post(phones.calls(), json=body), 202)
    answer = other.api.post(other.calls(), json=body)
    assert "call-orig-user" in faulted(answer, 400)  # nobody is registered there; it is no conflict
    answered(other.api.get(other.call(body["call-id"])), 404)
    phones.drop(body["call-id"])
