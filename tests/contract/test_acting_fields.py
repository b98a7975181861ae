"""Contract section 4: the fields of users, devices and connections that act."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.accounts import grant, person
from tests.contract.carrier import Carrier, free_port
from tests.contract.registering import md5, register
from tests.contract.test_dial_rules import connection, prefix, rule, through
from tests.contract.wire import PASSWORD, Json, Server, Tenant, answered, call_body, faulted, until


@contextmanager
def with_fields(phones: Tenant, at: str, **fields: Json) -> Iterator[None]:
    """Give a resource of the tenant these fields for the length of a block."""
    body = {name.replace("_", "-"): value for name, value in fields.items()}
    answered(phones.api.put(f"{phones.path}{at}", json=body), 202)
    try:
        yield
    finally:
        answered(phones.api.put(f"{phones.path}{at}", json=dict.fromkeys(body, "")), 202)


# --- users ---


def test_active_calls_are_limited(phones: Tenant) -> None:
    """“`limits-max-active-calls-total`” acts; “429 with `Retry-After`” (section 1); “the first attempt was refused (…,
    429): the id is free” (section 3)"""
    with with_fields(phones, "/users/1002", limits_max_active_calls_total=1):
        first = phones.place(user="1002")
        body = call_body()
        refused = phones.api.post(phones.calls("1002"), json=body)
        assert "may have 1" in answered(refused, 429)["message"]
        assert int(refused.headers["retry-after"]) > 0
        answered(phones.api.get(phones.call(body["call-id"], "1002")), 404)
        phones.drop(first, "1002")
        until(lambda: phones.api.post(phones.calls("1002"), json=body).status_code == 202, what="a place is free")
        phones.drop(body["call-id"], "1002")


def test_how_long_a_user_s_phones_ring(phones: Tenant) -> None:
    """“`ring-no-answer-timeout-seconds`” acts"""
    with with_fields(phones, "/users/1002", ring_no_answer_timeout_seconds=1):
        call_id = phones.place(term="1002")
        phones.in_state(call_id, "term-ringing")
        rung = time.monotonic()
        ended = phones.in_state(call_id, "ended")
        assert time.monotonic() - rung < 10.0  # a minute is usual
    assert ended["call-answer-datetime"] == ""


@pytest.mark.parametrize(("field", "value"), [("caller_id_name", "Front Desk"), ("caller_id_number", 12025550177)])
def test_what_a_user_shows(phones: Tenant, handsets: dict[str, Carrier], field: str, value: Json) -> None:
    """“`caller-id-number`, `caller-id-name`” act: on the second leg."""
    before = phones.api.get(f"{phones.path}/users/1000").json()
    seen = len(handsets["1001"].invites)
    with with_fields(phones, "/users/1000", **{field: value}):
        phones.drop(in_talk(phones))
    answered(phones.api.put(f"{phones.path}/users/1000", json={"caller-id-number": before["caller-id-number"]}), 202)
    assert str(value) in handsets["1001"].invites[seen].headers["from"]


def in_talk(phones: Tenant, **more: Json) -> str:
    """Make a call that is answered; return its id."""
    call_id = phones.place(**more)
    phones.in_state(call_id, "connected")
    return call_id


def test_a_user_s_dial_plan_chooses_the_rules(phones: Tenant) -> None:
    """“`dial-plan`” acts"""
    ours = prefix()
    rule(phones, f"{ours}1", plan=f"plan-{ours}")
    body = call_body(term=f"{ours}1")
    answered(phones.api.post(phones.calls(), json=body), 400, 404)
    with with_fields(phones, "/users/1000", dial_plan=f"plan-{ours}"):
        call_id = in_talk(phones, term=f"{ours}1")
        assert phones.read(call_id)["call-term-user"] == "1001"
        phones.drop(call_id)


def test_a_user_s_area_code(phones: Tenant) -> None:
    """“`area-code`” acts: it is put before a number that is dialled without one."""
    rule(phones, "2125550123", plan="plan-area")
    with with_fields(phones, "/users/1000", dial_plan="plan-area", area_code=212):
        call_id = in_talk(phones, term="555-0123")
        assert phones.read(call_id)["call-term-user"] == "1001"
        phones.drop(call_id)


@pytest.mark.parametrize(
    ("policy", "permits"), [("", True), ("permit-all", True), ("deny-all", False), ("no-such-policy", False)]
)
def test_dial_policies(phones: Tenant, carrier: Carrier, policy: str, *, permits: bool) -> None:
    """“`dial-policy`” acts: “Dial policy: who may dial what; unknown policies permit nothing outside the domain”"""
    outside = through(phones, carrier, "to-connection")
    with with_fields(phones, "/users/1000", dial_policy=policy):
        phones.drop(in_talk(phones))
        answer = phones.api.post(phones.calls(), json=call_body(term=outside))
        if permits:
            answered(answer, 202)
            assert carrier.wait().number == "202"
        else:
            assert "call-term-user" in faulted(answer, 403)
            assert carrier.invites == []


@pytest.fixture(scope="module")
def somebody(tenant: Tenant) -> str:
    """Return a user who logs in."""
    return person(tenant)


@pytest.mark.parametrize("status", ["new", "reset", "pwd reset"])
def test_whose_account_is_not_active(server: Server, tenant: Tenant, somebody: str, status: str) -> None:
    """“`account-status`” acts: whose is another than `standard` does not log in."""
    user = somebody
    path = f"{tenant.path}/users/{user}"
    with server.client(None) as client:
        body = {"domain": tenant.domain, "user": user}
        token = answered(tenant.api.post("/jwt", json=body), 200)["token"]
        answered(tenant.api.put(path, json={"account-status": status}), 202)
        answered(client.post("/tokens", json=grant(tenant, user)), 401, 403)
        with server.client(token) as own:
            until(lambda: own.get("/domains/~/users/~").status_code == 401, what="the token is refused")
            answered(tenant.api.put(path, json={"account-status": "standard"}), 202)
            until(lambda: own.get("/domains/~/users/~").status_code == 200, what="the token is good again")


# --- devices ---


def test_a_device_with_srtp_alone(phones: Tenant, handsets: dict[str, Carrier]) -> None:
    """“`device-srtp-enabled`” acts: a device that requires it is never rung in the clear."""
    seen = len(handsets["1001"].invites)
    with with_fields(phones, "/users/1001/devices/1001", device_srtp_enabled="yes"):
        answer = phones.api.post(phones.calls(), json=call_body())
        if answer.status_code == 400:
            assert "call-term-user" in faulted(answer, 400)
        else:
            phones.drop(answered(answer, 202)["call-id"])
        offers = [invite.body for invite in handsets["1001"].invites[seen:]]
        assert not any("RTP/AVP " in str(offer) for offer in offers)
    phones.drop(in_talk(phones))


def test_the_registration_of_a_device(server: Server, phones: Tenant) -> None:
    """“The digest user name is `device`.”; “`device-sip-registration-uri` (its address-of-record), `-contact`,
    `-state`, `-expires-datetime`, `-user-agent`”"""
    device, port = f"d{prefix()}", free_port()
    path = f"{phones.path}/users/1001/devices/{device}"
    body = {"device": device, "device-sip-registration-password": PASSWORD}
    answered(phones.api.post(f"{phones.path}/users/1001/devices", json=body), 202)
    assert phones.api.get(path).json()["device-sip-registration-state"] != "registered"
    here = {"domain": phones.domain, "port": port}
    register(server.sip, device=device, password=PASSWORD, **here)  # type: ignore[arg-type] # its arguments
    read = answered(phones.api.get(path), 200)
    assert read["device-sip-registration-state"] == "registered"
    assert read["device-sip-registration-uri"] == f"sip:{device}@{phones.domain}"
    assert f"sip:{device}@127.0.0.1:{port}" in read["device-sip-registration-contact"]
    assert read["device-sip-registration-user-agent"] == "contract-handset/1"
    left = datetime.fromisoformat(read["device-sip-registration-expires-datetime"]) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(hours=1)
    with pytest.raises(AssertionError):
        register(server.sip, device=device, password="another-password-1", **here)  # type: ignore[arg-type] # its arguments
    register(server.sip, device=device, password=PASSWORD, expires_s=0, **here)  # type: ignore[arg-type] # its arguments
    until(lambda: phones.api.get(path).json()["device-sip-registration-state"] != "registered", what="it is gone")
    answered(phones.api.put(path, json={"device-sip-registration-password": "another-password-1"}), 202)
    with pytest.raises(AssertionError):
        register(server.sip, device=device, password=PASSWORD, **here)  # type: ignore[arg-type] # its arguments
    register(server.sip, device=device, password="another-password-1", **here)  # type: ignore[arg-type] # its arguments
    answered(phones.api.delete(path), 202)
    with pytest.raises(AssertionError):
        register(server.sip, device=device, password="another-password-1", **here)  # type: ignore[arg-type] # its arguments


# --- connections ---


def test_a_connection_by_tcp(phones: Tenant) -> None:
    """“Connection: …, transport, …”"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10.0)
        ours = prefix()
        body = {"connection-address": f"127.0.0.1:{listener.getsockname()[1]}"}
        name = f"tcp-{ours}"
        body |= {"connection-orig-match-pattern": name, "connection-sip-transport-protocol": "TCP"}
        answered(phones.api.post(f"{phones.path}/connections", json=body), 202)
        rule(phones, f"{ours}*", dial_rule_application="to-connection", dial_rule_parameter=name)
        call_id = phones.place(term=f"{ours}1")
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(10.0)
            received = accepted.recv(65_535).decode()
    phones.drop(call_id)
    assert received.startswith("INVITE sip:")
    assert re.search(r"^Via: SIP/2\.0/TCP ", received, re.MULTILINE)


def test_a_connection_s_caller_id_format(phones: Tenant, carrier: Carrier) -> None:
    """“caller-ID format (`connection-custom-p-asserted-id-format`)”"""
    ours = prefix()
    name = connection(phones, carrier, connection_custom_p_asserted_id_format="[*]")
    rule(phones, f"{ours}*", dial_rule_application="to-connection", dial_rule_parameter=name)
    phones.place(term=f"{ours}1")
    assert "12025550101" in carrier.wait().headers["p-asserted-identity"]


def number_through(phones: Tenant, carrier: Carrier, **fields: Json) -> str:
    """Make a connection with these fields; return a number that goes out by it as it is."""
    ours = prefix()
    rule(
        phones,
        ours,
        dial_rule_application="to-connection",
        dial_rule_parameter=connection(phones, carrier, **fields),
        dial_rule_translation_destination_user=ours,
    )
    return ours


@pytest.mark.parametrize(("setting", "offered"), [("no", ["0", "8", "101"]), ("yes", ["0", "101"])])
def test_a_connection_s_codecs(phones: Tenant, carrier: Carrier, setting: str, offered: list[str]) -> None:
    """“codec limits”: `connection-pcmu-only-enabled`"""
    number = number_through(phones, carrier, connection_pcmu_only_enabled=setting)
    phones.place(call_orig_user=number)  # the second leg is offered what the first has taken
    body = carrier.wait(lambda invite: invite.number == number).body
    (audio,) = re.findall(r"^m=audio [0-9]+ RTP/AVP ([0-9 ]*)", body, re.MULTILINE)
    assert audio.split() == offered


@pytest.mark.parametrize(("setting", "is_asked"), [("system-default", True), ("yes", True), ("no", False)])
def test_a_connection_s_session_timer(phones: Tenant, carrier: Carrier, setting: str, is_asked: Json) -> None:
    """“session timer”: `connection-sip-session-timer-enabled`"""
    number = number_through(phones, carrier, connection_sip_session_timer_enabled=setting)
    phones.place(call_orig_user=number)
    headers = carrier.wait(lambda invite: invite.number == number).headers
    assert ("session-expires" in headers, "timer" in headers["supported"]) == (is_asked, is_asked)


def test_a_connection_is_registered(phones: Tenant, carrier: Carrier) -> None:
    """“registration”: `connection-sip-registration-datetime`, `-expires-datetime`"""
    name = connection(
        phones,
        carrier,
        connection_sip_registration_enabled="yes",
        connection_sip_registration_username="line7",
        connection_sip_registration_password="a line's own secret",
    )
    asked = carrier.wait_for("REGISTER")
    assert asked.headers["to"].startswith("<sip:line7@127.0.0.1>")
    path = f"{phones.path}/connections/{name}"
    until(lambda: phones.api.get(path).json()["connection-sip-registration-state"] == "registered", what="registered")
    told = answered(phones.api.get(path), 200)
    until_when = datetime.fromisoformat(told["connection-sip-registration-expires-datetime"])
    assert until_when > datetime.fromisoformat(told["connection-sip-registration-datetime"])
    answered(phones.api.delete(path), 202)
    until(lambda: any(one.headers.get("expires") == "0" for one in carrier.others), what="it is taken back")


def test_a_connection_that_is_down_gets_no_call(phones: Tenant, carrier: Carrier) -> None:
    """“health”: one that does not answer OPTIONS"""
    ours = prefix()
    name = connection(phones, carrier, connection_health_check_enabled="yes")
    rule(phones, f"{ours}*", dial_rule_application="to-connection", dial_rule_parameter=name)
    path = f"{phones.path}/connections/{name}"
    until(lambda: phones.api.get(path).json()["connection-health-state"] == "up", what="it is up")
    answered(phones.api.put(path, json={"connection-address": f"127.0.0.1:{free_port()}"}), 202)
    until(lambda: phones.api.get(path).json()["connection-health-state"] == "down", what="it is down")
    refused = phones.api.post(phones.calls(), json=call_body(term=f"{ours}1"))
    assert faulted(refused, 503)["call-term-user"]["code"] == "connection-down"
    assert int(refused.headers["retry-after"]) > 0


@pytest.mark.parametrize("field", ["limits-max-active-calls-total", "limits-max-active-calls-term"])
def test_a_connection_s_limits(phones: Tenant, carrier: Carrier, field: str) -> None:
    """“limits (`limits-max-active-calls-orig` …)”: of the calls that it takes."""
    carrier.says = 0
    ours = prefix()
    name = connection(phones, carrier, **{field: 1})
    rule(phones, f"{ours}*", dial_rule_application="to-connection", dial_rule_parameter=name)
    call_id = phones.place(term=f"{ours}1")
    carrier.wait()
    answered(phones.api.post(phones.calls(), json=call_body(term=f"{ours}2")), 429)
    phones.end(call_id)


def test_a_connection_that_takes_no_calls(phones: Tenant, carrier: Carrier) -> None:
    """“Connection: …”: `connection-term-enabled`"""
    ours = prefix()
    name = connection(phones, carrier, connection_term_enabled="no")
    rule(phones, f"{ours}*", dial_rule_application="to-connection", dial_rule_parameter=name)
    answer = phones.api.post(phones.calls(), json=call_body(term=f"{ours}1"))
    assert "call-term-user" in faulted(answer, answer.status_code if answer.status_code in (400, 403, 404) else 404)
    assert carrier.invites == []


@pytest.mark.parametrize(("realm", "is_proved"), [("carrier.example", True), ("elsewhere.example", False)])
def test_a_connection_s_credentials(phones: Tenant, carrier: Carrier, realm: str, *, is_proved: bool) -> None:
    """“Connection: …, registration, credentials, …”: proved to the realm that it names, and to no other."""
    carrier.realm = realm
    ours = prefix()
    name = connection(
        phones,
        carrier,
        connection_sip_registration_username="ours",
        connection_sip_registration_password=PASSWORD,
        connection_sip_registration_realm="carrier.example",
        connection_sip_authenticate_as_client_enabled="yes",
    )
    rule(phones, f"{ours}*", dial_rule_application="to-connection", dial_rule_parameter=name)
    phones.in_state(phones.place(term=f"{ours}1"), "ended")
    proofs = [one.headers.get("proxy-authorization", "") for one in carrier.invites]
    assert [bool(proof) for proof in proofs] == ([False, True] if is_proved else [False])
    if is_proved:
        said = dict(re.findall(r'(\w+)="?([^",]*)', proofs[1]))
        secret = md5(said["username"], said["realm"], PASSWORD)
        asked = md5("INVITE", said["uri"])
        assert said["response"] == md5(secret, said["nonce"], said["nc"], said["cnonce"], said["qop"], asked)
        assert said["username"] == "ours"
