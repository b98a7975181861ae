"""Active calls in the database: of all, of domains, of a user who made them or takes part in them.

Each way is a walk along an index of what goes on alone, so that a list costs what it shows, whatever the history. How
many a user has is kept in memory until a batch has one of them: every GET of a user tells it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Select, bindparam, func, select, union_all

from ringbridge.adapters.store.batch import StoreBatch
from ringbridge.adapters.store.link import Lookup, StoreLink
from ringbridge.adapters.store.schema import call_users, calls
from ringbridge.calls.ports import CallPage
from ringbridge.model.call import Call

KEPT_COUNTS: Final = 20_000
"""Users; some 5 MB."""

_decode = msgspec.msgpack.Decoder(Call).decode
_SHOWN = (calls.c.body, calls.c.started_at, calls.c.sequence)


class ActiveCalls:
    """Reads them on the event loop's own connection."""

    def __init__(self, link: StoreLink) -> None:
        self._link = link
        self._counts: dict[tuple[str, str], int] = {}
        its, count = bindparam, select(func.count())
        made = count.select_from(calls).where(~calls.c.is_over)
        made = made.where(calls.c.domain == its("domain"), calls.c.user == its("user"))
        shared = count.select_from(call_users)
        shared = shared.where(call_users.c.domain == its("domain"), call_users.c.user == its("user"))
        self._of_user = tuple(Lookup(link, one, "domain", "user") for one in (made, shared))

    def forget(self, batch: StoreBatch) -> None:
        """Forget how many the users have whose calls `batch` changed, once it is written."""
        if batch.dropped:
            self._counts.clear()
        changed = {(call.domain, call.user) for call in batch.calls} | {(one.domain, one.user) for one in batch.users}
        for one in changed:
            self._counts.pop(one, None)

    def page(self, *, domain: str | None, user: str | None, since: float, start: int, limit: int) -> CallPage:
        """Return part of the calls of all domains, of a domain, or of a user in it, that began at `since` or later."""
        statement = _made(select(*_SHOWN), domain, user, since)
        if user is not None:
            statement = select(union_all(statement, _shared(select(*_SHOWN), domain, user, since)).subquery())
        total = self.count(domain=domain, user=user, since=since)
        return CallPage(self._bodies(statement, start=start, limit=limit), total)

    def page_of(self, domains: Sequence[str] | None, *, since: float, start: int, limit: int) -> CallPage:
        """Return part of the calls of several domains, or (None) of all; `limit` 0 counts them alone."""
        active = ~calls.c.is_over if domains is None else ~calls.c.is_over & calls.c.domain.in_(domains)
        active = active & (calls.c.started_at >= since) if since else active
        total = int(self._link.all(select(func.count()).select_from(calls).where(active))[0][0])
        found = self._bodies(select(*_SHOWN).where(active), start=start, limit=limit) if limit else []
        return CallPage(found, total)

    def _bodies(self, statement: Select[Any], *, start: int, limit: int) -> list[Call]:
        shown = statement.selected_columns
        ordered = statement.order_by(shown.started_at, shown.sequence)
        return [_decode(row.body) for row in self._link.all(ordered.limit(limit).offset(max(start, 1) - 1))]

    def count(self, *, domain: str | None, user: str | None, since: float = 0.0) -> int:
        """Return how many `page` has in all."""
        if domain is not None and user is not None and not since:
            return self._count_of(domain, user)
        count = select(func.count())
        total = int(self._link.all(_made(count.select_from(calls), domain, user, since))[0][0])
        if user is not None:
            total += int(self._link.all(_shared(count, domain, user, since))[0][0])
        return total

    def _count_of(self, domain: str, user: str) -> int:
        known = self._counts.get((domain, user))
        if known is None:
            known = sum(int(one.rows(domain, user)[0][0]) for one in self._of_user)
            if len(self._counts) >= KEPT_COUNTS:
                self._counts.clear()
            self._counts[domain, user] = known
        return known

    def by_user(self, domain: str) -> dict[str, int]:
        """Return how many a user of `domain` has, of those who have any."""
        made = select(calls.c.user, func.count()).where(~calls.c.is_over, calls.c.domain == domain)
        shared = select(call_users.c.user, func.count()).where(call_users.c.domain == domain)
        total: Counter[str] = Counter()
        for row in (
            *self._link.all(made.group_by(calls.c.user)),
            *self._link.all(shared.group_by(call_users.c.user)),
        ):
            total[row[0]] += int(row[1])
        return dict(total)

    def owned(self, node: str) -> list[Call]:
        """Return the calls that `node` owns."""
        found = self._link.all(select(calls.c.body).where(~calls.c.is_over, calls.c.owner == node))
        return [_decode(row.body) for row in found]


def _made(statement: Select[Any], domain: str | None, user: str | None, since: float) -> Select[Any]:
    statement = _since(statement.where(~calls.c.is_over), since)
    if domain is not None:
        statement = statement.where(calls.c.domain == domain)
    return statement if user is None else statement.where(calls.c.user == user)


def _shared(statement: Select[Any], domain: str | None, user: str, since: float) -> Select[Any]:
    is_its = (call_users.c.domain == calls.c.domain) & (call_users.c.call_id == calls.c.call_id)
    return _since(_of_user(statement.select_from(call_users.join(calls, is_its)), domain, user), since)


def _since(statement: Select[Any], since: float) -> Select[Any]:
    return statement.where(calls.c.started_at >= since) if since else statement


def _of_user(statement: Select[Any], domain: str | None, user: str) -> Select[Any]:
    statement = statement.where(call_users.c.user == user)
    return statement if domain is None else statement.where(call_users.c.domain == domain)
