"""Spend caps: what was spent this month, by CDRs and the rate table, before anything rings."""

from __future__ import annotations

import pytest

from ringbridge.adapters.store.batch import StoreBatch
from ringbridge.calls import spending
from ringbridge.calls.draft import PlaceSettings
from ringbridge.model.cdr import Cdr
from ringbridge.model.directory import Domain, User
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.rates import Rates, read_rates
from tests.adapters.cdr_samples import cdr
from tests.calls.samples import DOMAIN
from tests.calls.tenants import Tenant, dial_rule

RATES = read_rates({"45": 1})
SPENT = "+4531234567"
DAY_S = 86_400.0


class Payer(Tenant):
    """A tenant whose calls to Denmark cost one a minute. It is the twelfth of the month."""

    def __init__(self, *, domain_cap: str = "", user_cap: str = "", rates: Rates | None = RATES) -> None:
        super().__init__(settings=PlaceSettings(rates=rates))
        for pattern in ("sip:45XXXXXXXX@*", "sip:46*@*", "sip:112@*"):
            self.with_rules(dial_rule(pattern, "to-connection", dial_rule_parameter="trunk"))
        self.store.put(
            Domain(domain=DOMAIN, limits_max_spend_per_month=domain_cap),
            User(domain=DOMAIN, user="1001", limits_max_spend_per_month=user_cap),
        )

    async def spend(self, name: str, minutes: float, *, ago_s: float = 7200.0, user: str = "1001") -> None:
        began = self.clock.at - ago_s
        await self.store.apply(StoreBatch(cdrs=[paid_call(name, minutes, began, user)]))


def paid_call(name: str, minutes: float, began: float, user: str) -> Cdr:
    return cdr(
        name,
        domain=DOMAIN,
        user=user,
        orig_user=user,
        orig_domain=DOMAIN,
        term_user="",
        term_domain="",
        dialled=SPENT,
        term_connection="trunk",
        started_at=began,
        ended_at=began + 60 * minutes,
        talking_s=60 * minutes,
    )


async def refused(payer: Payer, call_id: str = "c", dialled: str = SPENT) -> CallError:
    with pytest.raises(CallError) as refusal:
        await payer.place(call_id=call_id, call_term_user=dialled)
    return refusal.value


@pytest.mark.parametrize("cap", [{"domain_cap": "10.00"}, {"user_cap": "10.00"}])
async def test_a_cap_that_is_reached_refuses_the_next_call(cap: dict[str, str]) -> None:
    payer = Payer(**cap)  # type: ignore[arg-type] # caps alone
    await payer.spend("one", 9.5)
    assert not (await payer.place(call_id="a", call_term_user=SPENT)).replayed
    await payer.spend("two", 0.5)
    payer.move(spending.REFRESH_S)
    refusal = await refused(payer)
    assert (refusal.refusal, refusal.code) == (Refusal.FORBIDDEN, "spend-cap-reached")
    assert "has spent 10.00 this month, and may spend 10.00" in refusal.message
    assert not (await payer.place(call_id="inside", call_term_user="1002")).replayed


async def test_a_users_cap_counts_the_users_own_calls() -> None:
    payer = Payer(user_cap="1")
    await payer.spend("another's", 100, user="1002")
    assert not (await payer.place(call_term_user=SPENT)).replayed


async def test_a_month_begins_anew() -> None:
    payer = Payer(domain_cap="1")
    await payer.spend("last month", 100, ago_s=12 * DAY_S)
    assert not (await payer.place(call_id="a", call_term_user=SPENT)).replayed
    await payer.spend("this month", 100)
    payer.move(spending.REFRESH_S)
    await refused(payer)
    payer.move(20 * DAY_S)
    assert not (await payer.place(call_id="b", call_term_user=SPENT)).replayed


async def test_what_is_settled_is_counted_once_and_stays() -> None:
    payer = Payer(domain_cap="100")
    await payer.spend("old", 50, ago_s=10 * DAY_S)
    await payer.spend("new", 20)
    for number in range(4):
        assert not (await payer.place(call_id=f"c{number}", call_term_user=SPENT)).replayed
        payer.move(3600 * 6)
    await payer.spend("more", 30)
    assert "has spent 100.00" in (await refused(payer)).message


async def test_many_calls_are_added_up_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "PAGE", 3)
    payer = Payer(domain_cap="10")
    for number in range(10):
        await payer.spend(f"c{number}", 1, ago_s=7200 + number)
    assert "has spent 10.00" in (await refused(payer)).message


async def test_what_has_no_price_cannot_be_capped() -> None:
    payer = Payer(domain_cap="10")
    assert (await refused(payer, dialled="46701234567")).code == "no-price"
    assert not (await payer.place(call_term_user="112")).replayed


async def test_without_a_cap_or_a_table_nothing_is_asked() -> None:
    assert not (await Payer().place(call_term_user="46701234567")).replayed
    assert not (await Payer(domain_cap="1", rates=None).place(call_term_user="46701234567")).replayed
