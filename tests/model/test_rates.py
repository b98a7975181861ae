"""What calls cost: a rate table, and the price of one call."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ringbridge.model.rates import Rates, check_amount, read_amount, read_rates
from tests.adapters.cdr_samples import cdr, outside

RATES = read_rates({"45": "0.02", "+4570": 0.10, "46": 1, "": "0.50"})


@pytest.mark.parametrize(
    ("number", "home", "price"),
    [
        ("+4531234567", "", "0.02"),
        ("4570101010", "", "0.10"),
        ("31234567", "DK", "0.02"),
        ("0046701234567", "", "1"),
        ("+12125550199", "", "0.50"),
        ("1002", "", "0.50"),
    ],
)
def test_the_longest_beginning_counts(number: str, home: str, price: str) -> None:
    assert RATES.price(number, home) == Decimal(price)


def test_a_table_may_know_no_price() -> None:
    assert Rates({"45": Decimal(1)}).price("+12125550199") is None
    assert Rates({}).price("+4531234567") is None


def test_a_call_is_charged_by_the_second() -> None:
    out = outside("+4531234567") | {"term_connection": "trunk"}
    assert RATES.cost(cdr("c", talking_s=90.0, **out)) == Decimal("0.03")
    assert RATES.cost(cdr("c", talking_s=0.0, **out)) == 0


def test_each_leg_outside_is_charged_for_as_long_as_it_was_answered() -> None:
    both = outside("+4531234567") | {
        "term_connection": "trunk",
        "orig_connection": "trunk",
        "orig_uri": "sip:+46701234567@gw",
        "orig_answered_at": 1000.0,
        "ended_at": 1120.0,
        "talking_s": 60.0,
    }
    assert RATES.cost(cdr("c", **both)) == Decimal("2.02")
    assert RATES.cost(cdr("c", **both | {"orig_answered_at": 0.0})) == Decimal("0.02")


def test_a_call_inside_the_domain_costs_nothing() -> None:
    assert RATES.cost(cdr("c")) == 0


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"abc": 1}, "'abc' is not the beginning of a number"),
        ({"45": -1}, "the price of '45' is not a price"),
        ({"45": "dear"}, "the price of '45' is not a price"),
        ({"45": True}, "the price of '45' is not a price"),
        ({"45": "inf"}, "the price of '45' is not a price"),
        ({"x": 1, "45": {}}, "'x' is not the beginning of a number; the price of '45' is not a price"),
    ],
)
def test_every_fault_of_a_table_is_named(raw: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="is not") as wrong:
        read_rates(raw)
    assert said in str(wrong.value)


@pytest.mark.parametrize(("text", "amount"), [("25", 25), (" 25.50 ", Decimal("25.5")), ("", None), ("x", None)])
def test_an_amount_is_a_number(text: str, amount: Decimal | None) -> None:
    assert read_amount(text) == amount


def test_a_wrong_amount_is_refused() -> None:
    assert check_amount("") is None
    assert check_amount("25.00") is None
    for text in ("-1", "1e3", "25,00", "€25"):
        assert check_amount(text) is not None
