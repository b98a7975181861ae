"""Who may dial what: dial policies, and the countries that a domain allows (contract §4 "Dial policy").

policy            permits, beside the own domain and emergency numbers
------            ---------------------------------------------------
internal          nothing
national          numbers of the domain's country (`home-country`), and free ones
international     every number of a country that the domain allows
any other         nothing: an unknown policy is a mistake that shall not cost anybody money

A user's policy goes before its domain's; without any it is `international`. `permit-all`, `domestic` and `deny-all` are
other names of these, and names may be written with spaces and in capitals.

`allowed-countries` of a domain is a comma list of ISO codes (`DK, SE`), of `*` for all, of `+` with digits for numbers
that begin so, and of `premium` for premium-rate numbers. What is known to be dear is left out of `*`: premium-rate,
personal and satellite numbers, and some countries; each of them has to be named. An empty list is `*`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from ringbridge.model.directory import Domain, User
from ringbridge.model.errors import Fault
from ringbridge.model.number_facts import NumberFacts, facts_of, is_region

ALL_COUNTRIES: Final = "*"
PREMIUM: Final = "premium"
_PREFIX: Final = re.compile(r"\+[0-9]{1,15}")


class Policy(StrEnum):
    """The policies that there are."""

    INTERNAL = "internal"
    NATIONAL = "national"
    INTERNATIONAL = "international"


BY_NAME: Final = {policy.value: policy for policy in Policy} | {
    "permit-all": Policy.INTERNATIONAL,
    "deny-all": Policy.INTERNAL,
    "domestic": Policy.NATIONAL,
}
DEFAULT: Final = Policy.INTERNATIONAL


class Ruling(msgspec.Struct, frozen=True):
    """The policy that counts for a user, whose it is, and its name as written."""

    policy: Policy
    written: str
    owner: str
    is_known: bool = True

    @property
    def named(self) -> str:
        if not self.written:
            return f"dial policy {self.policy}, which is everybody's,"
        unknown = "" if self.is_known else ", which is none,"
        return f"dial policy {self.written} of {self.owner}{unknown}"


def ruling_of(domain: Domain, user: User) -> Ruling:
    """Return which policy counts for `user`."""
    for written, owner in (
        (user.dial_policy, f"user {user.user}"),
        (domain.dial_policy, f"domain {domain.domain}"),
    ):
        name = re.sub(r"[\s_]+", "-", written.strip().lower())
        if name:
            return Ruling(BY_NAME.get(name, Policy.INTERNAL), written, owner, is_known=name in BY_NAME)
    return Ruling(DEFAULT, "", "")


def check_countries(text: str) -> str | None:
    """Return what is wrong with a list of allowed countries, or None."""
    for one in _listed(text):
        if one not in (ALL_COUNTRIES, PREMIUM) and not is_region(one) and not _PREFIX.fullmatch(one):
            return "must be a comma list of ISO country codes, +digits, * and premium"
    return None


def check_country(text: str) -> str | None:
    """Return what is wrong with a country's code, or None."""
    return None if not text or is_region(text.upper()) else "must be an ISO country code"


def _listed(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    return [part.lower() if part.lower() == PREMIUM else part.upper() for part in parts if part]


def _country_fault(facts: NumberFacts, allowed: list[str]) -> tuple[str, str] | None:
    """Return code and words for what keeps a number from being allowed, or None."""
    if any(_PREFIX.fullmatch(one) and facts.number.startswith(one) for one in allowed):
        return None
    if facts.dear_kind and not (PREMIUM in allowed and "premium" in facts.dear_kind):
        return "high-cost-number", f"is {facts.dear_kind}"
    if facts.region in allowed and facts.region:
        return None
    if facts.is_dear_region:
        return "high-cost-number", f"is in {facts.region}, where calls are dear"
    if ALL_COUNTRIES in allowed:
        return None
    if not facts.region:
        return "country-not-allowed", "is of no country that can be told"
    return "country-not-allowed", f"is in {facts.region}"


def policy_fault(number: str, field: str, domain: Domain, user: User, *, default_countries: str = "") -> Fault | None:
    """Return what keeps `user` from calling `number`, which leaves the domain, or None.

    `default_countries` is the list of domains that have none of their own.
    """
    facts = facts_of(number, domain.home_country.upper())
    if facts.is_emergency:
        return None
    ruling = ruling_of(domain, user)
    if ruling.policy is Policy.INTERNAL:
        return Fault(field, "dial-policy", f"{ruling.named} permits nothing outside the domain", number)
    if ruling.policy is Policy.NATIONAL and not facts.is_free and facts.region != (domain.home_country.upper() or None):
        home = domain.home_country.upper() or "the home-country of the domain, which is not set"
        return Fault(field, "dial-policy", f"{ruling.named} permits numbers of {home} alone", number)
    allowed = _listed(domain.allowed_countries) or _listed(default_countries) or [ALL_COUNTRIES]
    wrong = _country_fault(facts, allowed)
    if wrong is None:
        return None
    code, words = wrong
    message = f"{words}, and domain {domain.domain} does not allow that (allowed-countries)"
    return Fault(field, code, message, number, ", ".join(allowed))


def is_emergency(number: str, domain: Domain) -> bool:
    """Return whether `number` calls for help, which no policy and no limit keeps from going out."""
    return facts_of(number, domain.home_country.upper()).is_emergency
