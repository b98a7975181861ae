"""Contract section 3: what reaches the phones of a call, and orders to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.accounts import made_user, short
from tests.contract.carrier import Carrier, Request, handset
from tests.contract.test_dial_rules import connection, prefix, rule
from tests.contract.wire import PASSWORD, Json, Server, Tenant, answered, call_body, faulted, until

ADDED = "X-Contract-Ticket: 4711"
CALL_INFO = "<sip:{0}>;answer-after=0"
ALERT = "<http://127.0.0.1>;info=alert-autoanswer;delay=0"
POLYCOM = "<http://127.0.0.1>;info=Auto Answer;delay=0"
AUTO_ANSWER = {"call-info": CALL_INFO, "alert-info": ALERT, "answer-mode": "Auto", "p-auto-answer": "normal"}


def invite(phones: Tenant, handsets: dict[str, Carrier], call_id: str, leg: str, user: str = "1000") -> Request:
    """Return the INVITE of a call's leg, `origination` or `termination`, as its phone got it."""
    (one,) = [each for each in phones.read(call_id, user)["call-legs"] if each["leg"] == leg]
    return handsets[one["target"]].wait(lambda request: request.headers["call-id"] == one["sip-call-id"])


def both(phones: Tenant, handsets: dict[str, Carrier], **more: Json) -> tuple[Request, Request]:
    """Make a call from 1000 to 1001, and return the INVITEs of its two legs."""
    call_id = phones.place(**more)
    phones.in_state(call_id, "connected")
    found = [invite(phones, handsets, call_id, leg) for leg in ("origination", "termination")]
    phones.drop(call_id)
    return found[0], found[1]


@pytest.fixture(scope="module")
def numbers(phones: Tenant) -> tuple[str, str]:
    """Return two phone numbers that user 1000 owns, and may show."""
    for number in ("12025550171", "12025550172"):
        body = {"phonenumber": number, "user": "1000", "dial-rule-translation-destination-user": "1001"}
        answered(phones.api.post(f"{phones.path}/phonenumbers", json=body), 202)
    return "12025550171", "12025550172"


def test_the_caller_ids_of_both_legs(phones: Tenant, handsets: dict[str, Carrier], numbers: tuple[str, str]) -> None:
    """“`caller-id-number`: … caller ID shown to the second leg”; “`callback-caller-id-number`: … to the first leg”"""
    shown = {"caller_id_number": numbers[0], "callback_caller_id_number": numbers[1]}
    first, second = both(phones, handsets, **shown)
    assert (numbers[1] in first.headers["from"], numbers[0] in second.headers["from"]) == (True, True)


def test_caller_ids_default_to_the_user_s_own(phones: Tenant, handsets: dict[str, Carrier]) -> None:
    """“default: the user's own”"""
    for request in both(phones, handsets):
        assert "12025550101" in request.headers["from"]


@pytest.mark.parametrize("field", ["caller-id-number", "callback-caller-id-number"])
@pytest.mark.parametrize("value", ["nobody", "12025550101\r\nX-A: 1", "+" * 40])
def test_caller_ids_that_cannot_be(phones: Tenant, field: str, value: str) -> None:
    """“`caller-id-number`”: a number"""
    assert field in faulted(phones.api.post(phones.calls(), json=call_body(**{field: value})), 400)


def test_the_added_header_is_on_the_second_leg_alone(phones: Tenant, handsets: dict[str, Carrier]) -> None:
    """“`call-term-added-sip-header`: … one `Name: value` added to the second leg's INVITE”"""
    first, second = both(phones, handsets, call_term_added_sip_header=ADDED)
    assert second.headers["x-contract-ticket"] == "4711"
    assert "x-contract-ticket" not in first.headers


def test_auto_answer_headers_are_on_the_first_leg_alone(phones: Tenant, handsets: dict[str, Carrier]) -> None:
    """“Auto-answer headers, all of them together on the INVITE, …: `Call-Info: <sip:{domain}>;answer-after=0`,
    `Alert-Info: <http://127.0.0.1>;info=alert-autoanswer;delay=0`, `Answer-Mode: Auto` and `Require`-less,
    `P-Auto-answer: normal`”"""
    first, second = both(phones, handsets, auto_answer_enabled="yes")
    wanted = {name: value.format(phones.domain) for name, value in AUTO_ANSWER.items()}
    assert {name: first.headers[name] for name in wanted} == wanted
    assert "require" not in first.headers
    assert not set(wanted) & set(second.headers)
    for request in both(phones, handsets, auto_answer_enabled="no"):
        assert not set(wanted) & set(request.headers)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("Yealink T46U", {"call-info": CALL_INFO, "alert-info": ALERT}),
        ("Snom D785", {"call-info": CALL_INFO, "alert-info": ALERT}),
        ("Grandstream GXP2170", {"call-info": CALL_INFO}),
        ("Polycom VVX 411", {"alert-info": POLYCOM}),
        ("Bria 6", {"p-auto-answer": "normal"}),
    ],
)
def test_auto_answer_headers_of_a_family(
    phones: Tenant, handsets: dict[str, Carrier], model: str, wanted: dict[str, str]
) -> None:
    """“unless the device names its family”: `device-models-model` acts (section 4)."""
    device = f"{phones.path}/users/1000/devices/1000"
    answered(phones.api.put(device, json={"device-models-model": model}), 202)
    try:
        first, _ = both(phones, handsets, auto_answer_enabled="yes")
    finally:
        answered(phones.api.put(device, json={"device-models-model": ""}), 202)
    found = {name: first.headers[name] for name in AUTO_ANSWER if name in first.headers}
    assert found == {name: value.format(phones.domain) for name, value in wanted.items()}


def test_a_device_that_always_answers_by_itself(phones: Tenant, handsets: dict[str, Carrier]) -> None:
    """“Device: … `auto-answer-enabled` (in creates also `device-sip-auto-answer-enabled`)” acts (section 4)"""
    device = f"{phones.path}/users/1000/devices/1000"
    answered(phones.api.put(device, json={"auto-answer-enabled": "yes"}), 202)
    try:
        first, _ = both(phones, handsets)
    finally:
        answered(phones.api.put(device, json={"auto-answer-enabled": "no"}), 202)
    assert first.headers["answer-mode"] == "Auto"
    body = {"device": short(), "device-sip-auto-answer-enabled": "yes", "synchronous": "yes"}
    made = answered(phones.api.post(f"{phones.path}/users/1000/devices", json=body), 200)
    assert made["auto-answer-enabled"] == "yes"
    answered(phones.api.delete(f"{phones.path}/users/1000/devices/{made['device']}"), 202)


@pytest.fixture
def pair(server: Server, phones: Tenant) -> Iterator[tuple[str, Carrier, Carrier]]:
    """Return a user with two devices, called as it is and with `m` behind it, and their phones, that ring."""
    user = made_user(phones)
    names = (user, f"{user}m")
    for name in names:
        body = {"device": name, "device-sip-registration-password": PASSWORD}
        answered(phones.api.post(f"{phones.path}/users/{user}/devices", json=body), 202)
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(handset(server.sip, device=name, domain=phones.domain, says=0)) for name in names
        )
        yield user, one, two
    answered(phones.api.delete(f"{phones.path}/users/{user}", params={"cascade": "yes"}), 202)


def test_a_user_is_all_devices_and_the_first_to_answer_has_the_call(
    phones: Tenant, handsets: dict[str, Carrier], pair: tuple[str, Carrier, Carrier]
) -> None:
    """“what the first leg rings: …, a user (all devices), …”; “`call-term-user`: … rung once the origination is
    connected”"""
    user, one, two = pair
    seen = len(handsets["1001"].invites)
    call_id = phones.place(user=user)
    first, second = one.wait(), two.wait()
    phones.in_state(call_id, "orig-ringing", user=user)
    assert len(handsets["1001"].invites) == seen
    two.say(second, 200)
    call = phones.in_state(call_id, "connected", user=user)
    assert one.wait_for("CANCEL").headers["call-id"] == first.headers["call-id"]
    assert call["call-orig-uri"].partition("@")[0] == f"sip:{user}m"
    assert len(handsets["1001"].invites) == seen + 1
    phones.end(call_id, user)


@pytest.mark.parametrize("form", ["{0}m", "{0}m@{1}", "sip:{0}m@{1}"])
def test_a_device_is_that_device_alone(phones: Tenant, pair: tuple[str, Carrier, Carrier], form: str) -> None:
    """“a device (`1001_mobile`, `1001m@domain`)”"""
    user, one, two = pair
    call_id = phones.place(user=user, call_orig_user=form.format(user, phones.domain))
    two.wait()
    phones.in_state(call_id, "orig-ringing", user=user)
    assert one.invites == []
    phones.end(call_id, user)
    two.wait_for("CANCEL")


def test_the_first_leg_is_a_number(phones: Tenant, handsets: dict[str, Carrier], carrier: Carrier) -> None:
    """“what the first leg rings: …, or a number”"""
    carrier.says = 200
    ours = prefix()
    body = {"dial_rule_parameter": connection(phones, carrier), "dial_rule_translation_destination_user": "[*]"}
    rule(phones, f"{ours}*", dial_rule_application="to-connection", **body)
    call_id = phones.place(call_orig_user=f"+{ours}303")
    phones.in_state(call_id, "connected")
    assert carrier.wait().number == "303"
    assert invite(phones, handsets, call_id, "termination").number == "1001"
    phones.end(call_id)


def test_the_second_leg_is_refused(phones: Tenant, handsets: dict[str, Carrier]) -> None:
    """“One …, whatever became of it”: the first leg is released, and the call says why."""
    handsets["1001"].says = 486
    try:
        ended = phones.in_state(phones.place(), "ended")
    finally:
        handsets["1001"].says = 200
    assert "486" in str(ended["release-cause"])


@pytest.mark.parametrize("side", ["1000", "1001"])
def test_a_phone_hangs_up(phones: Tenant, handsets: dict[str, Carrier], side: str) -> None:
    """“`call-state` … `ended`; `release-cause`”: whoever hangs up ends it for the other."""
    call_id = phones.place()
    phones.in_state(call_id, "connected")
    legs = [invite(phones, handsets, call_id, leg) for leg in ("origination", "termination")]
    own, other = legs if side == "1000" else legs[::-1]
    handsets[side].hang_up(own)
    phones.in_state(call_id, "ended")
    far = handsets["1001" if side == "1000" else "1000"]
    assert other.headers["call-id"] in [one.headers["call-id"] for one in far.others if one.method == "BYE"]


def test_reject(phones: Tenant) -> None:
    """“`PATCH …/calls/{call-id}/… · /reject`: as named”"""
    call_id = phones.place(user="1002")
    phones.in_state(call_id, "orig-ringing", user="1002")
    answered(phones.api.patch(f"{phones.call(call_id, '1002')}/reject"), 202)
    assert "rejected" in str(phones.in_state(call_id, "ended", user="1002")["release-cause"])


def test_answer(phones: Tenant) -> None:
    """“`PATCH …/calls/{call-id}/… · /answer`”: of a phone that cannot be made to, the refusal says so."""
    call_id = phones.place(user="1002")
    phones.in_state(call_id, "orig-ringing", user="1002")
    answer = phones.api.patch(f"{phones.call(call_id, '1002')}/answer")
    assert answered(answer, 202, 409)["message"]
    phones.end(call_id, "1002")
    answered(phones.api.patch(f"{phones.call(call_id, '1002')}/answer"), 409)


def test_orders_by_action(phones: Tenant) -> None:
    """“also `PATCH …/calls/{call-id}` with an `action`”"""
    call_id = phones.place()
    phones.in_state(call_id, "connected")
    at = phones.call(call_id)
    for action, state in (("hold", "held"), ("unhold", "connected"), ("end", "ended")):
        phones.order(call_id, "", body={"action": action})
        phones.in_state(call_id, state)
    for body in ({}, {"action": "sing"}):
        assert "action" in faulted(phones.api.patch(at, json=body), 400)


@pytest.mark.parametrize("field", ["call-term-user", "destination"])
def test_a_blind_transfer(phones: Tenant, server: Server, field: str) -> None:
    """“Transfer (schema `CallActions`): `call-term-user` (also `destination`)”"""
    user = made_user(phones)
    body = {"device": user, "device-sip-registration-password": PASSWORD}
    answered(phones.api.post(f"{phones.path}/users/{user}/devices", json=body), 202)
    with handset(server.sip, device=user, domain=phones.domain) as phone:
        call_id = phones.place()
        phones.in_state(call_id, "connected")
        answered(phones.api.patch(f"{phones.call(call_id)}/transfer", json={field: user}), 202)
        phone.wait()
        until(lambda: phones.read(call_id)["call-term-user"] == user, what="the new party is there")
        call = phones.in_state(call_id, "connected")
        assert (call["call-orig-user"], call["call-by-user"]) == ("1001", "1000")
        phones.end(call_id)


def test_a_blind_transfer_to_nobody(phones: Tenant) -> None:
    """“Transfer: `call-term-user`”: nobody's is refused, and the call goes on."""
    call_id = phones.place()
    phones.in_state(call_id, "connected")
    for body in ({"call-term-user": "no number"}, {"call-term-user": ""}):
        assert "call-term-user" in faulted(phones.api.patch(f"{phones.call(call_id)}/transfer", json=body), 400)
    assert phones.read(call_id)["call-state"] == "connected"
    phones.end(call_id)


def test_delete_ends_a_held_call_and_an_ended_one_stays_so(phones: Tenant) -> None:
    """“`DELETE …/calls/{call-id}`: end it, in any state”"""
    call_id = phones.place()
    phones.in_state(call_id, "connected")
    answered(phones.api.patch(f"{phones.call(call_id)}/hold"), 202)
    phones.in_state(call_id, "held")
    phones.end(call_id)
    answered(phones.api.delete(phones.call(call_id)), 202)
    for order in ("hold", "unhold", "transfer", "reject"):
        answer = phones.api.patch(f"{phones.call(call_id)}/{order}", json={"call-term-user": "1001"})
        assert answered(answer, 409)["errors"][0]["code"]


def test_what_a_leg_tells(phones: Tenant, handsets: dict[str, Carrier]) -> None:
    """“`call-legs` (per leg: target, state, SIP Call-ID, times, codec)”"""
    call_id = phones.place()
    call = phones.in_state(call_id, "connected")
    assert [leg["state"] for leg in call["call-legs"]] == ["answered", "answered"]
    assert {leg["codec"] for leg in call["call-legs"]} == {call["call-audio-codec"]}
    assert all(str(at) >= call["call-start-datetime"] for leg in call["call-legs"] for at in times(leg))
    assert invite(phones, handsets, call_id, "termination").headers["call-id"] == call["call-term-call-id"]
    assert [leg["state"] for leg in phones.end(call_id)["call-legs"]] == ["released", "released"]


def times(leg: dict[str, Json]) -> list[Json]:
    """Return the times of a leg that has rung and answered."""
    found = [value for name, value in leg.items() if name.endswith("datetime") and value]
    assert len(found) >= 2
    return found
