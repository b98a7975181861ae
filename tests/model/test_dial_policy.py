"""Who may dial what outside: policies, and countries that a domain allows."""

from __future__ import annotations

import pytest

from ringbridge.model.dial_policy import Policy, check_countries, check_country, is_emergency, policy_fault, ruling_of
from ringbridge.model.directory import Domain, User

DANISH, CHEAP_CUBAN, SWEDISH = "+4531234567", "+5352345678", "+46701234567"
PREMIUM, SATELLITE, FREE, NOWHERE = "+4590123456", "+881612345678", "+4580123456", "+7112345678"


def refused(
    number: str, *, policy: str = "", countries: str = "", home: str = "DK", default_countries: str = ""
) -> str | None:
    """Return the code of what keeps a user from calling `number`."""
    domain = Domain("demo", home_country=home, allowed_countries=countries)
    user = User("demo", "1001", dial_policy=policy)
    fault = policy_fault(number, "call-term-user", domain, user, default_countries=default_countries)
    return fault.code if fault else None


@pytest.mark.parametrize(
    ("user", "domain", "policy", "known"),
    [
        ("", "", Policy.INTERNATIONAL, True),
        ("", "internal", Policy.INTERNAL, True),
        ("national", "internal", Policy.NATIONAL, True),
        ("Permit All", "internal", Policy.INTERNATIONAL, True),
        ("deny_all", "", Policy.INTERNAL, True),
        ("International", "", Policy.INTERNATIONAL, True),
        ("US & Canada", "international", Policy.INTERNAL, False),
    ],
)
def test_a_users_policy_goes_before_its_domains(user: str, domain: str, policy: Policy, *, known: bool) -> None:
    ruling = ruling_of(Domain("demo", dial_policy=domain), User("demo", "1001", dial_policy=user))
    assert (ruling.policy, ruling.is_known) == (policy, known)


@pytest.mark.parametrize("policy", ["internal", "deny-all", "no such policy"])
def test_who_may_not_leave_the_domain(policy: str) -> None:
    for number in (DANISH, FREE, "31234567", NOWHERE):
        assert refused(number, policy=policy) == "dial-policy"
    assert refused("112", policy=policy) is None


def test_an_unknown_policy_is_named_as_such() -> None:
    fault = policy_fault(DANISH, "call-term-user", Domain("demo", dial_policy="gold"), User("demo", "1001"))
    assert fault is not None
    assert fault.message == "dial policy gold of domain demo, which is none, permits nothing outside the domain"
    assert fault.found == DANISH


def test_who_may_call_in_the_own_country() -> None:
    assert refused(DANISH, policy="national") is None
    assert refused("31234567", policy="national") is None
    assert refused("+18005550199", policy="national") is None
    assert refused(SWEDISH, policy="national") == "dial-policy"
    assert refused(NOWHERE, policy="national") == "dial-policy"
    assert refused(PREMIUM, policy="national") == "high-cost-number"
    assert refused(DANISH, policy="national", home="") == "dial-policy"
    assert refused(NOWHERE, policy="national", home="") == "dial-policy"


def test_without_a_list_all_but_what_is_dear_is_allowed() -> None:
    for number in (DANISH, SWEDISH, FREE, NOWHERE, "1002"):
        assert refused(number) is None
    for number in (PREMIUM, SATELLITE, CHEAP_CUBAN):
        assert refused(number) == "high-cost-number"
    assert refused(PREMIUM, policy="permit-all") == "high-cost-number"


def test_a_list_allows_what_it_names() -> None:
    assert refused(DANISH, countries="dk, se") is None
    assert refused(SWEDISH, countries="dk, se") is None
    assert refused(SWEDISH, countries="DK") == "country-not-allowed"
    assert refused(NOWHERE, countries="DK") == "country-not-allowed"
    assert refused("112", countries="SE") is None


def test_what_is_dear_has_to_be_named() -> None:
    assert refused(CHEAP_CUBAN, countries="*") == "high-cost-number"
    assert refused(CHEAP_CUBAN, countries="*,CU") is None
    assert refused(PREMIUM, countries="DK") == "high-cost-number"
    assert refused(PREMIUM, countries="DK,premium") is None
    assert refused(SATELLITE, countries="*,Premium") == "high-cost-number"
    assert refused(SATELLITE, countries="*,+881") is None
    assert refused("00881612345678", countries="*,+881") is None


def test_a_domain_without_a_list_has_the_operators() -> None:
    assert refused(SWEDISH, default_countries="DK") == "country-not-allowed"
    assert refused(SWEDISH, countries="SE", default_countries="DK") is None


def test_a_refusal_names_the_rule() -> None:
    fault = policy_fault(SWEDISH, "call-term-user", Domain("demo", allowed_countries="DK"), User("demo", "1001"))
    assert fault is not None
    assert fault.message == "is in SE, and domain demo does not allow that (allowed-countries)"
    assert (fault.field, fault.found, fault.allowed) == ("call-term-user", SWEDISH, "DK")


@pytest.mark.parametrize("text", ["", "DK", "dk,se", "*, premium, +881", "+4570"])
def test_a_good_list_has_no_fault(text: str) -> None:
    assert check_countries(text) is None


@pytest.mark.parametrize("text", ["Denmark", "45", "DK;SE", "+", "+45x", "**"])
def test_a_bad_list_is_refused(text: str) -> None:
    assert check_countries(text) is not None


def test_a_country_is_an_iso_code() -> None:
    assert check_country("dk") is None
    assert check_country("") is None
    assert check_country("Denmark") is not None


def test_a_call_for_help_is_told() -> None:
    assert is_emergency("112", Domain("demo"))
    assert not is_emergency(DANISH, Domain("demo"))
