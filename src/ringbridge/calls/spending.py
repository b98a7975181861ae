"""Spend caps: what a user or a domain has spent this month, by its CDRs and the rate table (`model.rates`).

What calls cost that began so long ago that none of them can still run is added up once; the rest is read again for a
call that needs it, at most every `REFRESH_S`. So a cap is exceeded by what runs when it is reached, and by what began
within that time. Without a rate table, or without a cap, a call costs nothing here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import tzinfo
from decimal import Decimal
from typing import Final

import msgspec

from ringbridge.calls.ports import Clock, Store
from ringbridge.model.cdr_query import CdrQuery, Place
from ringbridge.model.dial_times import local_time
from ringbridge.model.directory import Domain, User
from ringbridge.model.errors import Fault
from ringbridge.model.number_facts import facts_of
from ringbridge.model.rates import CENT, Rates, read_amount

REFRESH_S: Final = 10.0
PAGE: Final = 500
"""CDRs read at a time; some 5 ms."""
REMEMBERED: Final = 10_000


class _Account(msgspec.Struct):
    """What is known of one spender: `settled` is what calls cost that began in the month before `settled_until`."""

    month: float
    settled_until: float
    settled: Decimal = Decimal(0)
    spent: Decimal = Decimal(0)
    read_at: float = 0.0


class Spending:
    """Says what stands against a call that costs money."""

    def __init__(self, *, store: Store, clock: Clock, rates: Rates | None, longest_call_s: float) -> None:
        self._store = store
        self._clock = clock
        self._rates = rates
        self._longest_call_s = longest_call_s
        self._accounts: OrderedDict[tuple[str, str], _Account] = OrderedDict()

    async def faults(self, domain: Domain, user: User, numbers: Sequence[tuple[str, str]], zone: tzinfo) -> list[Fault]:
        """Return which caps are reached. `numbers` are those outside that ring, each with the request's field."""
        caps = (
            ("", f"domain {domain.domain}", read_amount(domain.limits_max_spend_per_month)),
            (user.user, f"user {user.user}", read_amount(user.limits_max_spend_per_month)),
        )
        limited = [(name, named, cap) for name, named, cap in caps if cap is not None]
        home = domain.home_country.upper()
        dear = [(field, number) for field, number in numbers if not facts_of(number, home).is_emergency]
        if self._rates is None or not limited or not dear:
            return []
        faults = []
        for field, number in dear:
            if self._rates.price(number, home) is None:
                message = "has no price in the rate table, and what is spent is limited"
                faults.append(Fault(field, "no-price", message, number))
        for name, named, cap in limited:
            spent = await self._spent(domain.domain, name, home, zone)
            if spent >= cap:
                message = f"{named} has spent {spent.quantize(CENT)} this month, and may spend {cap}"
                faults.append(Fault(dear[0][0], "spend-cap-reached", message, allowed=f"{cap} a month"))
        return faults

    async def _spent(self, domain: str, user: str, home: str, zone: tzinfo) -> Decimal:
        now = self._clock.now()
        month = local_time(now, zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
        account = self._accounts.get((domain, user))
        if account is None or account.month != month:
            account = self._accounts[domain, user] = _Account(month, month)
            if len(self._accounts) > REMEMBERED:
                self._accounts.popitem(last=False)
        if now - account.read_at >= REFRESH_S:
            await self._read(account, domain, user, home, now)
        return account.spent

    async def _read(self, account: _Account, domain: str, user: str, home: str, now: float) -> None:
        """Add up the calls that are not settled yet; who asks meanwhile is told what was known before."""
        account.read_at = now
        query = CdrQuery(domains=(domain,), user=user or None, since=account.settled_until)
        horizon = max(account.settled_until, now - self._longest_call_s)
        settled = running = Decimal(0)
        after: Place | None = None
        while True:
            page = await self._store.cdrs(query, limit=PAGE, after=after)
            for cdr in page.cdrs:
                if self._rates is None or (user and (cdr.domain, cdr.user) != (domain, user)):
                    continue
                cost = self._rates.cost(cdr, home)
                if cdr.started_at < horizon:
                    settled += cost
                else:
                    running += cost
            after = page.last
            if not page.more or after is None:
                break
        # Bounds of a query belong to it: what began just at the horizon is not settled.
        account.settled += settled
        account.settled_until = horizon
        account.spent = account.settled + running
