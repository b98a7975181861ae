"""What a token reaches (contract §2)."""

from __future__ import annotations

import pytest

from ringbridge.model.access import (
    ANY,
    SCOPES,
    SYSTEM,
    Principal,
    Scope,
    least,
    model_of,
    parse_networks,
    principal_of,
)
from ringbridge.model.directory import ApiKey


def holder(domain: str, user: str, scope: Scope, *, reseller: str = ANY, is_login: bool = False) -> Principal:
    return Principal("key", domain, user, scope, reseller=reseller, is_login=is_login)


def test_scopes_rank_as_the_contract_says() -> None:
    order = [
        ["Super User"],
        ["Reseller"],
        ["Office Manager"],
        ["Site Manager", "Call Center Supervisor"],
        ["Call Center Agent"],
        ["Advanced User"],
        ["Basic User", "Simple User"],
        ["NDP", "No Portal"],
    ]
    ranks = [{SCOPES[name].rank for name in names} for names in order]
    assert all(len(rank) == 1 for rank in ranks)
    flat = [rank.pop() for rank in ranks]
    assert flat == sorted(flat, reverse=True)
    assert sum(len(names) for names in order) == len(SCOPES)


@pytest.mark.parametrize(
    ("principal", "own_user", "other_user", "own_domain", "other_domain"),
    [
        (holder("demo", "1001", Scope.BASIC_USER), True, False, False, False),
        (holder("demo", "1001", Scope.SUPER_USER), True, False, False, False),
        (holder("demo", "1001", Scope.NO_PORTAL), False, False, False, False),
        (holder("demo", ANY, Scope.OFFICE_MANAGER), True, True, True, False),
        (holder("demo", ANY, Scope.BASIC_USER), False, False, False, False),
        (holder(ANY, ANY, Scope.SUPER_USER), True, True, True, True),
        (holder(ANY, ANY, Scope.RESELLER), False, False, False, False),
        (SYSTEM, True, True, True, True),
        (holder("demo", "1001", Scope.BASIC_USER, is_login=True), True, False, False, False),
        (holder("demo", "1001", Scope.CALL_CENTER_SUPERVISOR, is_login=True), True, False, False, False),
        (holder("demo", "1001", Scope.OFFICE_MANAGER, is_login=True), True, True, True, False),
        (holder("demo", "1001", Scope.SUPER_USER, is_login=True), True, True, True, True),
        (holder("demo", "1001", Scope.NO_PORTAL, is_login=True), False, False, False, False),
        (holder("demo", "1001", Scope.RESELLER, reseller="", is_login=True), True, True, True, False),
    ],
)
def test_reach(principal: Principal, *, own_user: bool, other_user: bool, own_domain: bool, other_domain: bool) -> None:
    assert principal.rules_user("demo", "1001") is own_user
    assert principal.rules_user("demo", "1002") is other_user
    assert principal.rules_domain("demo") is own_domain
    assert principal.rules_domain("other") is other_domain


def test_a_reseller_rules_its_own_domains() -> None:
    reseller = holder(ANY, ANY, Scope.RESELLER, reseller="acme")
    assert reseller.rules_domain("demo", reseller="acme")
    assert reseller.rules_user("demo", "1001", reseller="acme")
    assert not reseller.rules_domain("demo", reseller="else")
    assert not reseller.rules_domain("demo")
    assert not reseller.may_know_of("demo", reseller="else")


def test_a_reseller_s_login_rules_the_reseller_s_domains() -> None:
    login = holder("demo", "1001", Scope.RESELLER, reseller="acme", is_login=True)
    assert login.rules_domain("other", reseller="acme")
    assert login.rules_reseller(ANY)
    assert login.rules_reseller("acme")
    assert not login.rules_reseller("else")
    assert not login.rules_domain("third", reseller="else")
    assert not login.may_know_of("third", reseller="else")
    assert not login.may_know_of("third")


@pytest.mark.parametrize(
    ("principal", "ceiling"),
    [
        (holder("demo", "1001", Scope.SUPER_USER), Scope.ADVANCED_USER),
        (holder("demo", "1001", Scope.BASIC_USER), Scope.BASIC_USER),
        (holder("demo", ANY, Scope.SUPER_USER), Scope.OFFICE_MANAGER),
        (holder(ANY, ANY, Scope.SUPER_USER, reseller="acme"), Scope.RESELLER),
        (holder(ANY, ANY, Scope.SUPER_USER), Scope.SUPER_USER),
        (holder("demo", "1001", Scope.SUPER_USER, is_login=True), Scope.SUPER_USER),
    ],
)
def test_what_a_token_hands_on_reaches_no_further_than_itself(principal: Principal, ceiling: Scope) -> None:
    assert principal.ceiling is ceiling
    handed_on = holder(principal.domain, principal.user, ceiling, reseller=principal.reseller, is_login=True)
    for domain, reseller in (("demo", ""), ("other", "acme"), ("third", "else")):
        assert principal.rules_domain(domain, reseller=reseller) >= handed_on.rules_domain(domain, reseller=reseller)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/ns-api/v2/domains/{domain}/users/{user}/calls/{call-id}/hold", "call"),
        ("/ns-api/v2/domains/{domain}/users/count", "user"),
        ("/ns-api/v2/domains", "domain"),
        ("/healthz", ""),
    ],
)
def test_what_a_path_is_about(path: str, model: str) -> None:
    assert model_of(path) == model


def test_a_token_has_the_least_of_its_own_scope_and_its_user_s() -> None:
    key = ApiKey("k", "h", "description", domain="demo", user="1001", user_scope="Office Manager")
    assert principal_of(key, user_scope="Basic User").scope is Scope.BASIC_USER
    assert principal_of(key, user_scope="Super User").scope is Scope.OFFICE_MANAGER
    assert principal_of(key, user_scope="Emperor").scope is Scope.NO_PORTAL
    assert least(Scope.NDP, Scope.RESELLER) is Scope.NDP


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("192.0.2.9", True), ("192.0.3.1", False), ("2001:db8::1", True), ("", False), ("unix", False)],
)
def test_addresses(address: str, *, allowed: bool) -> None:
    principal = Principal("k", "demo", "1001", Scope.BASIC_USER, networks=parse_networks("192.0.2.0/24, 2001:db8::1"))
    assert principal.comes_from_allowed(address) is allowed
    assert Principal("k", "demo", "1001", Scope.BASIC_USER).comes_from_allowed(address)
