"""Contract section 6: what CDRs say of calls that ended in different ways, and how they are asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from tests.contract.accounts import made_user
from tests.contract.carrier import Carrier, Request, handset
from tests.contract.shapes import SCHEMAS, faults_of
from tests.contract.test_dial_rules import connection, prefix, rule
from tests.contract.wire import PASSWORD, Json, Server, Tenant, answered, call_body, domain_body, faulted, new_id, until

PHONES = {"2000": "North", "2001": "South", "2002": ""}
"""Users of the domain, and the site of each."""
INBOUND, OUTBOUND, MISSED = "Inbound", "Outbound", "Missed"


@dataclass
class Office:
    """A domain of its own, where nothing happens but what the test does."""

    tenant: Tenant
    phones: dict[str, Carrier]
    ends: dict[str, str] = field(default_factory=dict)
    """Calls by how they ended."""

    def invite(self, call: dict[str, Json], leg: str) -> Request:
        """Return the INVITE of a call's leg."""
        (one,) = [each for each in call["call-legs"] if each["leg"] == leg]
        return self.phones[one["target"]].wait(lambda request: request.headers["call-id"] == one["sip-call-id"])

    def place(self, how: str, term: str = "2001", **more: Json) -> str:
        """Make a call of user 2000."""
        self.ends[how] = self.tenant.place(
            call_id=f"{how.replace(' ', '-')}-{new_id()}", term=term, user="2000", **more
        )
        return self.ends[how]

    def cdrs(self, at: str = "", **params: Json) -> list[dict[str, Json]]:
        """Return a list of CDRs of the domain, or of a user."""
        query = {name.replace("_", "-"): value for name, value in params.items()}
        return list(answered(self.tenant.api.get(f"{self.tenant.path}{at}/cdrs", params=query), 200))

    def cdr(self, how: str) -> dict[str, Json]:
        """Return the one CDR of the call that ended so."""
        (one,) = [each for each in self.cdrs(limit=1000) if each["call-orig-call-id"] == self.ends[how]]
        return one

    def ended(self, how: str) -> None:
        self.tenant.in_state(self.ends[how], "ended", user="2000")


@pytest.fixture(scope="module")
def office(server: Server, tenant: Tenant) -> Iterator[Office]:
    """Return a domain in which calls have ended in every way."""
    made = Tenant(tenant.api, f"{new_id()}.example")
    answered(made.api.post("/domains", json=domain_body(made.domain)), 202)
    with ExitStack() as stack:
        says = {"2000": 200, "2001": 200, "2002": 0}
        there = Office(made, {user: stack.enter_context(handset_of(server, made, user, says[user])) for user in PHONES})
        for end in ENDS.values():
            end(there)
        until(lambda: len(there.cdrs(limit=1000)) == len(ENDS), what="each call has a CDR")
        yield there
    answered(made.api.delete(made.path, params={"cascade": "yes"}), 202)


def handset_of(server: Server, made: Tenant, user: str, says: int) -> AbstractContextManager[Carrier]:
    """Make a user with a device, and return its phone."""
    site = PHONES[user]
    body = {"user": user, "name-first-name": "F", "name-last-name": "L", "email-address": "f@l.example"}
    more = {"user-scope": "Basic User", "site": site, "department": "Sales", "caller-id-number": f"1202555{user}"}
    answered(made.api.post(f"{made.path}/users", json=body | more), 202)
    device = {"device": user, "device-sip-registration-password": PASSWORD}
    answered(made.api.post(f"{made.path}/users/{user}/devices", json=device), 202)
    return handset(server.sip, device=user, domain=made.domain, says=says)


def by_the_first(office: Office) -> None:
    call = office.tenant.in_state(office.place("Orig: Bye"), "connected", user="2000")
    office.phones["2000"].hang_up(office.invite(call, "origination"))
    office.ended("Orig: Bye")


def by_the_second(office: Office) -> None:
    call = office.tenant.in_state(office.place("Term: Bye"), "connected", user="2000")
    office.phones["2001"].hang_up(office.invite(call, "termination"))
    office.ended("Term: Bye")


def by_the_first_while_the_second_rings(office: Office) -> None:
    call = office.tenant.in_state(office.place("Orig: Cancel", "2002"), "term-ringing", user="2000")
    office.phones["2000"].hang_up(office.invite(call, "origination"))
    office.ended("Orig: Cancel")


def by_a_busy_phone(office: Office) -> None:
    office.phones["2001"].says = 486
    office.place("Term: 486 Busy Here")
    office.ended("Term: 486 Busy Here")
    office.phones["2001"].says = 200


def by_a_phone_that_declines(office: Office) -> None:
    office.phones["2000"].says = 603
    office.place("Orig: 603 Decline")
    office.ended("Orig: 603 Decline")
    office.phones["2000"].says = 200


def by_order(office: Office) -> None:
    office.tenant.in_state(office.place("order", call_orig_user="2002"), "orig-ringing", user="2000")
    office.tenant.end(office.ends["order"], "2000")


def after_a_hold(office: Office) -> None:
    call_id = office.place("held")
    office.tenant.in_state(call_id, "connected", user="2000")
    answered(office.tenant.api.patch(f"{office.tenant.call(call_id, '2000')}/hold"), 202)
    office.tenant.in_state(call_id, "held", user="2000")
    time.sleep(1.1)  # a whole second at least
    office.tenant.order(call_id, "unhold", "2000")
    office.tenant.in_state(call_id, "connected", user="2000")
    office.tenant.end(call_id, "2000")


ENDS: dict[str, Callable[[Office], None]] = {
    "Orig: Bye": by_the_first,
    "Term: Bye": by_the_second,
    "Orig: Cancel": by_the_first_while_the_second_rings,
    "Term: 486 Busy Here": by_a_busy_phone,
    "Orig: 603 Decline": by_a_phone_that_declines,
    "order": by_order,
    "held": after_a_hold,
}
TALKS = ("Orig: Bye", "Term: Bye", "held")
REASONS = [how for how in ENDS if ":" in how]


@pytest.mark.parametrize("how", REASONS)
def test_why_a_call_ended(office: Office, how: str) -> None:
    """“`call-disconnect-reason-text` (`Orig: Bye`, `Term: Bye`, `Orig: Cancel`, `Term: 486 Busy Here`, …)”"""
    assert office.cdr(how)["call-disconnect-reason-text"] == how


@pytest.mark.parametrize("how", ENDS)
def test_one_cdr_a_call(office: Office, how: str) -> None:
    """“One CDR a call, whatever became of it.”; “Schemas … `CdrD` (domain)”"""
    cdr = office.cdr(how)
    assert faults_of("CdrD", cdr, nullable=True) == []
    assert set(SCHEMAS["CdrD"]) <= set(cdr)


@pytest.mark.parametrize("how", ENDS)
def test_the_times_of_a_call(office: Office, how: str) -> None:
    """“times `call-start-`, `call-ringing-`, `call-answer-`, `call-disconnect-datetime`;
    `call-talking-duration-seconds`, `call-total-duration-seconds`, `call-on-hold-duration-seconds`”"""
    cdr = office.cdr(how)
    names = ("start", "ringing", "answer", "disconnect")
    told = [cdr[f"call-{name}-datetime"] for name in names]
    times = [datetime.fromisoformat(at) for at in told if at]
    assert times == sorted(times)
    assert bool(told[2]) == (how in TALKS)
    assert bool(told[1]) == (how in (*TALKS, "Orig: Cancel", "Term: 486 Busy Here"))
    total = (times[-1] - times[0]).total_seconds()
    assert abs(cdr["call-total-duration-seconds"] - total) <= 1
    assert cdr["call-talking-duration-seconds"] <= cdr["call-total-duration-seconds"] + 1
    assert cdr["call-on-hold-duration-seconds"] == (1 if how == "held" else 0)


def test_who_is_who(office: Office) -> None:
    """“Names follow `call-orig-*` (first leg), `call-term-*` (second)”"""
    cdr, domain = office.cdr("Term: Bye"), office.tenant.domain
    assert (str(cdr["call-orig-user"]), str(cdr["call-term-user"])) == ("2000", "2001")
    assert (cdr["call-orig-domain"], cdr["call-term-domain"]) == (domain, domain)
    assert (cdr["call-orig-site"], cdr["call-term-site"]) == ("North", "South")
    assert (cdr["call-orig-department"], cdr["call-term-department"]) == ("Sales", "Sales")
    assert cdr["call-orig-from-uri"] == f"sip:2000@{domain}"
    assert cdr["call-term-to-uri"] == f"sip:2001@{domain}"
    assert cdr["call-orig-caller-id"] == 12025552000
    assert (cdr["call-orig-reseller"], cdr["reseller"]) == ("contract", "contract")
    assert cdr["call-audio-codec"]
    assert cdr["call-term-call-id"] not in ("", office.ends["Term: Bye"])


def test_nobody_diverted_it(office: Office) -> None:
    """“`call-through-*` (who diverted it)”"""
    cdr = office.cdr("Term: Bye")
    assert {cdr[name] for name in cdr if name.startswith("call-through-")} == {None}


@pytest.fixture(scope="module")
def diverted(server: Server, phones: Tenant) -> str:
    """Return the id of a call that 1000 made and transferred, which is over."""
    user = made_user(phones)
    device = {"device": user, "device-sip-registration-password": PASSWORD}
    answered(phones.api.post(f"{phones.path}/users/{user}/devices", json=device), 202)
    with handset(server.sip, device=user, domain=phones.domain):
        call_id = phones.place()
        phones.in_state(call_id, "connected")
        answered(phones.api.patch(f"{phones.call(call_id)}/transfer", json={"call-term-user": user}), 202)
        until(lambda: phones.read(call_id)["call-term-user"] == user, what="the new party is there")
        phones.end(call_id)
    return call_id


def test_who_diverted_it(phones: Tenant, diverted: str) -> None:
    """“`call-through-*` (who diverted it)”; raw, `by_*`"""
    listed = answered(phones.api.get(f"{phones.path}/cdrs", params={"limit": 1000}), 200)
    (cdr,) = [one for one in listed if one["call-orig-call-id"] == diverted]
    assert (cdr["call-through-action"], cdr["call-through-user"]) == ("transfer", "1000")
    assert (cdr["call-through-domain"], cdr["call-through-uri"]) == (phones.domain, f"sip:1000@{phones.domain}")
    whole = answered(phones.api.get("/cdrs", params={"limit": 1000}), 200)
    (raw,) = [one for one in whole if one["orig_callid"] == diverted]
    assert (raw["by_action"], raw["by_sub"], raw["by_domain"]) == ("transfer", "1000", phones.domain)
    assert raw["by_uri"] == f"sip:1000@{phones.domain}"
    assert raw["by_callid"] == cdr["call-through-call-id"]


@pytest.mark.parametrize(("caller", "found"), [("2000", True), ("1 202-555-2000", True), ("2001", False)])
def test_by_caller(office: Office, caller: str, *, found: bool) -> None:
    """“`caller`”"""
    wanted = len(ENDS) - 1 if found and caller == "2000" else None  # in one of them 2002 is rung first
    listed = office.cdrs(caller=caller, limit=1000)
    if wanted is not None:
        assert len(listed) == wanted
    elif not found:
        assert listed == []


@pytest.mark.parametrize(("dialled", "ends"), [("2002", {"Orig: Cancel"}), ("2-0-0-2", {"Orig: Cancel"}), ("9", set())])
def test_by_what_was_dialled(office: Office, dialled: str, ends: set[str]) -> None:
    """“`dialled`”"""
    listed = {one["call-orig-call-id"] for one in office.cdrs(dialled=dialled, limit=1000)}
    assert listed == {office.ends[how] for how in ends}


@pytest.mark.parametrize(("site", "more"), [("North", -1), ("South", 0), ("East", None)])
def test_by_site(office: Office, site: str, more: int | None) -> None:
    """“`site`”"""
    wanted = {
        one["call-orig-call-id"]
        for one in office.cdrs(limit=1000)
        if site in (one["call-orig-site"], one["call-term-site"])
    }
    assert bool(wanted) == (more is not None)
    assert {one["call-orig-call-id"] for one in office.cdrs(site=site, limit=1000)} == wanted


def test_by_type(office: Office) -> None:
    """“`type`”; “`call-direction`”: as the domain sees it, and as a user does"""
    everything = {one["call-orig-call-id"] for one in office.cdrs(limit=1000)}
    assert {one["call-orig-call-id"] for one in office.cdrs(type="On-net", limit=1000)} == everything
    assert office.cdrs(type="Off-net") == []
    talks = {office.ends[how] for how in TALKS}
    inbound = office.cdrs("/users/2001", type=INBOUND, limit=1000)
    assert len(inbound) == len(talks)
    missed = office.cdrs("/users/2001", type=MISSED, limit=1000)
    assert len(missed) == 1  # that it was busy for
    assert {one["type"] for one in inbound} != {one["type"] for one in missed}
    outbound = office.cdrs("/users/2000", type=OUTBOUND, limit=1000)
    assert len(outbound) >= len(talks)
    assert "type" in faulted(office.tenant.api.get(f"{office.tenant.path}/cdrs", params={"type": "Sideways"}), 400)


def test_a_user_s_view(office: Office) -> None:
    """“Schemas …, `CdrU` (user's view)”: whom that user spoke with"""
    for user, number in (("2000", "2001"), ("2001", "12025552000")):
        listed = office.cdrs(f"/users/{user}", type=OUTBOUND if user == "2000" else INBOUND, limit=1000)
        assert [fault for one in listed for fault in faults_of("CdrU", one, nullable=True)] == []
        assert {one["uid"] for one in listed} == {f"{user}@{office.tenant.domain}"}
        assert number in {str(one["number"]) for one in listed}


@pytest.mark.parametrize("schema", ["CdrR", "CdrD", "CdrU"])
def test_pages_of_cdrs(office: Office, schema: str) -> None:
    """“`start`, `limit`”: newest first, without gap or repetition, in each list"""
    path = {"CdrR": "/cdrs", "CdrD": f"{office.tenant.path}/cdrs", "CdrU": f"{office.tenant.path}/users/2000/cdrs"}
    name = {"CdrR": "id", "CdrD": "id", "CdrU": "cdr_id"}[schema]
    # Up to a time that is over, so that calls of other tests that end meanwhile move nothing.
    params = {"limit": 1000, "datetime-end": office.cdr("held")["call-start-datetime"]}
    api = office.tenant.api
    whole = [one[name] for one in answered(api.get(path[schema], params=params), 200)]
    assert len(set(whole)) == len(whole) >= len(ENDS) - 1
    pages = [answered(api.get(path[schema], params=params | {"start": start, "limit": 3}), 200) for start in (1, 4)]
    assert [one[name] for page in pages for one in page] == whole[:6]
    total = answered(api.get(f"{path[schema]}/count", params={"datetime-end": params["datetime-end"]}), 200)
    assert total["total"] == len(whole)


def test_counts_are_sums_of_the_list(office: Office) -> None:
    """“each with `/count` (`total`, `call-total-duration-seconds`)”: of the same filters"""
    for params in ({}, {"type": "On-net"}, {"caller": "2000"}, {"dialled": "2001"}, {"site": "South"}):
        listed = office.cdrs(limit=1000, **params)
        found = answered(office.tenant.api.get(f"{office.tenant.path}/cdrs/count", params=params), 200)
        assert found["total"] == len(listed)
        assert found["call-total-duration-seconds"] == sum(one["call-total-duration-seconds"] for one in listed)


def test_the_window(office: Office) -> None:
    """“`datetime-start`, `datetime-end` (required by the documents; default the last day)”"""
    started = [datetime.fromisoformat(one["call-start-datetime"]) for one in office.cdrs(limit=1000)]
    assert started == sorted(started, reverse=True)
    middle = started[3]
    after = office.cdrs(datetime_start=middle.isoformat(), limit=1000)
    before = office.cdrs(datetime_end=(middle - timedelta(milliseconds=1)).isoformat(), limit=1000)
    assert (len(after), len(before)) == (4, len(ENDS) - 4)
    legacy = {"datetime-start": f"{started[-1]:%Y-%m-%d %H:%M:%S}", "datetime-end": "2100-01-01 00:00:00"}
    listed = answered(office.tenant.api.get(f"{office.tenant.path}/cdrs", params=legacy), 200)
    assert len(listed) == len(ENDS)


def test_a_call_that_was_refused_has_none(office: Office) -> None:
    """“One CDR a call”: what was refused was none."""
    before = len(office.cdrs(limit=1000))
    refused = office.tenant.api.post(office.tenant.calls("2000"), json=call_body(term="99 99"))
    answered(refused, 400, 404)
    assert len(office.cdrs(limit=1000)) == before


def test_a_call_that_leaves_the_domain(phones: Tenant, carrier: Carrier) -> None:
    """“`call-direction`”; “`type`”: outbound, off-net"""
    carrier.says = 200
    ours = prefix()
    name = connection(phones, carrier)
    more = {"dial_rule_parameter": name, "dial_rule_translation_destination_user": "[*]"}
    rule(phones, f"{ours}*", dial_rule_application="to-connection", **more)
    call_id = phones.place(term=f"{ours}202")
    phones.in_state(call_id, "connected")
    phones.end(call_id)

    def cdrs(**params: Json) -> list[dict[str, Json]]:
        listed = answered(phones.api.get(f"{phones.path}/cdrs", params=params | {"limit": 1000}), 200)
        return [one for one in listed if one["call-orig-call-id"] == call_id]

    until(cdrs, what="the call has a CDR")
    (cdr,) = cdrs(type="Off-net")
    assert [cdrs(type=kind) for kind in (OUTBOUND, "On-net", INBOUND)] == [[cdr], [], []]
    assert cdr["call-direction"] == 0
    assert (cdr["call-term-user"], cdr["call-term-match-uri"]) == (None, name)
    assert cdr["call-term-to-uri"].startswith("sip:202@")
