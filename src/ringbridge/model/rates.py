"""What calls cost: a rate table, and the price of one call by its CDR.

A rate table gives the price of a minute by the beginning of a number, in whatever currency the operator thinks in; the
longest beginning counts, and the empty one is every other number. A call is charged by the second, each leg that left
the domain for as long as it was answered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from ringbridge.model.cdr import Cdr
from ringbridge.model.number_facts import facts_of

MINUTE_S: Final = Decimal(60)
CENT: Final = Decimal("0.01")
_AMOUNT: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?")


class Rates(msgspec.Struct, frozen=True):
    """Prices of a minute by the beginning of a number, digits without `+`."""

    prices: dict[str, Decimal]

    def price(self, number: str, home: str = "") -> Decimal | None:
        """Return the price of a minute to `number`, dialled in the country `home`; None where the table has none."""
        digits = facts_of(number, home).number.removeprefix("+")
        for length in range(len(digits), -1, -1):
            if (found := self.prices.get(digits[:length])) is not None:
                return found
        return None

    def cost(self, cdr: Cdr, home: str = "") -> Decimal:
        """Return what a call cost; a leg that the table has no price for cost nothing that we could know."""
        legs = (
            (cdr.term_connection, cdr.dialled, cdr.talking_s),
            (cdr.orig_connection, _user_part(cdr.orig_uri), _up_s(cdr)),
        )
        total = Decimal(0)
        for connection, number, seconds in legs:
            if connection and seconds > 0:
                total += (self.price(number, home) or Decimal(0)) * Decimal(str(round(seconds))) / MINUTE_S
        return total


def _user_part(uri: str) -> str:
    return uri.partition(":")[2].partition("@")[0]


def _up_s(cdr: Cdr) -> float:
    return cdr.ended_at - cdr.orig_answered_at if cdr.orig_answered_at else 0.0


def read_amount(text: str) -> Decimal | None:
    """Return an amount of money, None for none (empty, or not an amount)."""
    return Decimal(text.strip()) if _AMOUNT.fullmatch(text.strip()) else None


def check_amount(text: str) -> str | None:
    """Return what is wrong with an amount, or None."""
    return None if not text.strip() or _AMOUNT.fullmatch(text.strip()) else "must be an amount, such as 25.00"


def read_rates(raw: Mapping[str, object]) -> Rates:
    """Return the rate table that `raw` is: the beginning of a number → the price of a minute.

    Raises:
        ValueError: it is none; the message names every fault.
    """
    prices: dict[str, Decimal] = {}
    faults = []
    for key, value in raw.items():
        digits = key.strip().removeprefix("+")
        try:
            price = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
        except InvalidOperation:
            price = Decimal("NaN")
        if digits and not (digits.isascii() and digits.isdigit()):
            faults.append(f"{key!r} is not the beginning of a number")
        elif not price.is_finite() or price < 0:
            faults.append(f"the price of {key!r} is not a price: {value!r}")
        else:
            prices[digits] = price
    if faults:
        raise ValueError("; ".join(faults))
    return Rates(prices)
