"""Contract section 4: answer rules and their order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.test_directory import short
from tests.contract.wire import Json, Tenant, answered, user_body

FRAMES = ("*", "Office hours", "Holiday", "Weekend")


@pytest.fixture
def rules(tenant: Tenant) -> Iterator[str]:
    """Return the path of the rules of a user of its own, one for each of `FRAMES`."""
    user = short()
    answered(tenant.api.post(f"{tenant.path}/users", json=user_body(user)), 202)
    path = f"{tenant.path}/users/{user}/answerrules"
    for frame in FRAMES:
        answered(
            tenant.api.post(path, json={"time-frame": frame, "enabled": "yes", "is-active": False}),
            202,
        )
    yield path
    tenant.api.delete(f"{tenant.path}/users/{user}", params={"cascade": "yes"})


def frames(tenant: Tenant, path: str) -> list[str]:
    """Return the time frames in the order of the list."""
    return [one["time-frame"] for one in answered(tenant.api.get(path), 200)]


WANTED = ["Holiday", "Weekend", "Office hours", "*"]


@pytest.mark.parametrize(
    "body",
    [
        {"time-frames": WANTED},
        [{"time-frame": frame} for frame in WANTED],  # as the generated PHP client sends it
        WANTED,
    ],
)
def test_the_rules_are_put_in_order(tenant: Tenant, rules: str, body: Json) -> None:
    """“`…/users/{user}/answerrules`, `/reorder`”"""
    answered(tenant.api.put(f"{rules}/reorder", json=body), 202)
    assert frames(tenant, rules) == WANTED
    orders = [one["order"] for one in answered(tenant.api.get(rules), 200)]
    assert orders == sorted(orders)


def test_the_order_is_in_each_rule(tenant: Tenant, rules: str) -> None:
    """“`/reorder`, `/{timeframe}`”"""
    answered(tenant.api.put(f"{rules}/reorder", json={"time-frames": WANTED}), 202)
    first = answered(tenant.api.get(f"{rules}/{WANTED[0]}"), 200)["order"]
    last = answered(tenant.api.get(f"{rules}/{WANTED[-1]}"), 200)["order"]
    assert first < last


@pytest.mark.parametrize(
    "named",
    [WANTED[:-1], [*WANTED, "Night"], [*WANTED, "*"], [], "Holiday", [1, 2], [{"frame": "*"}]],
)
def test_an_order_that_leaves_one_out_or_names_another_is_refused(tenant: Tenant, rules: str, named: Json) -> None:
    """“400 malformed or invalid” (section 1): the order stays what it was."""
    before = frames(tenant, rules)
    answered(tenant.api.put(f"{rules}/reorder", json={"time-frames": named}), 400)
    assert frames(tenant, rules) == before


def test_a_new_rule_goes_to_the_top_or_the_bottom(tenant: Tenant, rules: str) -> None:
    """“new-position” of the schema"""
    for frame, position in (("First", "top"), ("Last", "bottom"), ("Before", "top")):
        body = {"time-frame": frame, "enabled": "yes", "is-active": False, "new-position": position}
        answered(tenant.api.post(rules, json=body), 202)
    listed = frames(tenant, rules)
    assert (listed[:2], listed[-1]) == (["Before", "First"], "Last")


def test_features_are_kept_as_they_are(tenant: Tenant, rules: str) -> None:
    """“Every field of the schemas is stored and read back”: what is inside a feature too."""
    feature = {
        "enabled": "yes",
        "parameters": [{"user": "1001", "delay": 5}, {"user": "1002", "answer-confirm": "yes"}],
    }
    answered(tenant.api.put(f"{rules}/Holiday", json={"simultaneous-ring": feature}), 202)
    assert answered(tenant.api.get(f"{rules}/Holiday"), 200)["simultaneous-ring"] == feature


def test_rules_of_another_user_are_their_own(tenant: Tenant, rules: str) -> None:
    """“`…/users/{user}/answerrules`”"""
    assert set(frames(tenant, rules)).isdisjoint(frames(tenant, f"{tenant.path}/users/1000/answerrules"))
