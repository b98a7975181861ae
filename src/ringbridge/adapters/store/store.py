"""The store: this node's replica in a database, by SQLAlchemy Core; `store.batch.ReplicaStore`.

Reads run on the event loop, on a connection of their own: on SQLite a look-up by key takes less than handing it to a
thread would. The look-ups that every call needs are compiled once and run on the driver's connection; directory
records and locations are kept in memory until a batch changes them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine, Select, bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from ringbridge.adapters.store.active import ActiveCalls
from ringbridge.adapters.store.batch import Offset, PurgeBounds, StoreBatch
from ringbridge.adapters.store.cdr_rows import cdr_of_body
from ringbridge.adapters.store.cdrs import read_page, read_totals
from ringbridge.adapters.store.engine import migrate, open_engine, sqlite_url
from ringbridge.adapters.store.kept_plans import KeptPlans
from ringbridge.adapters.store.link import Lookup, StoreLink
from ringbridge.adapters.store.purge import purge
from ringbridge.adapters.store.readers import StoreReaders
from ringbridge.adapters.store.records import count, count_by_parent, key_text, page
from ringbridge.adapters.store.schema import IS_LOGIN_NAME, call_names, calls, cdrs, locations, offsets, records
from ringbridge.adapters.store.writer import StoreWriter
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.calls.ports import CallPage, Clock
from ringbridge.model.call import Call
from ringbridge.model.cdr import Cdr
from ringbridge.model.cdr_query import CdrPage, CdrQuery, CdrTotals, Place
from ringbridge.model.dial_plan import DialPlan
from ringbridge.model.directory import (
    ApiKey,
    Device,
    DialRule,
    Domain,
    Location,
    PhoneNumber,
    Record,
    Subscription,
    User,
)
from ringbridge.model.directory import Connection as Trunk
from ringbridge.model.errors import StoreUnavailable
from ringbridge.model.ids import CallId, DomainName, NodeId, SessionId

KEPT_IN_MEMORY = 20_000  # records and lists; some 20 MB at the most
KEPT_MISSES = 20_000
"""Names that nobody has, apart from what is there: numbers outside are ever new, and would push all of it out."""

_call_decoder = msgspec.msgpack.Decoder(Call)
_record_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_location_decoder = msgspec.json.Decoder(Location)


class SqlStore:
    """A store in SQLite, or any database that `store.engine` opens."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._writer = StoreWriter(engine)
        self._writer.start()
        self._readers = StoreReaders(engine)
        self._link = StoreLink(engine)
        self._kept: dict[Hashable, Any] = {}
        self._missing: set[tuple[str, tuple[str, ...]]] = set()
        self._plans = KeptPlans()
        self._active = ActiveCalls(self._link)
        its = bindparam
        look = self._lookup
        self._record = look(select(records.c.body), records, "kind", "key")
        self._listed = look(select(records.c.body), records, "kind", "domain", "parent")
        # The condition stands as text in the statement, as in the index: only so does SQLite see that they agree.
        by_login = select(records.c.body).where(IS_LOGIN_NAME, records.c.parent == its("login"))
        self._by_login = Lookup(self._link, by_login, "login")
        self._of_domain = look(select(records.c.body), records, "kind", "domain")
        self._located = look(select(locations.c.body), locations, "domain", "device")
        self._call = look(select(calls.c.body), calls, "domain", "call_id")
        self._by_session = look(select(calls.c.body), calls, "domain", "session_id")
        named = select(calls.c.body).join_from(
            calls, call_names, (call_names.c.domain == calls.c.domain) & (call_names.c.call_id == calls.c.call_id)
        )
        named = named.where(call_names.c.domain == its("domain"), call_names.c.name == its("name"))
        self._by_leg = Lookup(self._link, named, "domain", "name")

    @classmethod
    def open(cls, path: Path, clock: Clock) -> SqlStore:
        """Return the store in the SQLite file `path`, made or brought to this version where needed.

        Raises:
            StoreTooNew: the file is of a newer version.
        """
        return cls.open_url(sqlite_url(path), clock)

    @classmethod
    def open_url(cls, url: str, clock: Clock) -> SqlStore:
        """Return the store in the database `url`; as `open`.

        Raises:
            StoreUnavailable: the database does not let us in.
        """
        engine = open_engine(url)
        try:
            migrate(engine)
        except SQLAlchemyError as error:
            # The driver's words name host and database, never the password.
            raise StoreUnavailable(f"the store cannot be opened: {error.__cause__ or error}") from error
        return cls(engine, clock)

    def _lookup(self, what: Select[Any], table: Any, *names: str) -> Lookup:
        statement = what.where(*(table.c[name] == bindparam(name) for name in names))
        return Lookup(self._link, statement, *names)

    async def close(self) -> None:
        """Write what is waiting, and let go of the database; the writer is the last to close, and checkpoints."""
        self._link.close()
        self._readers.stop()
        self._writer.stop()
        self._engine.dispose()

    # --- written by the replica ---

    async def apply(self, batch: StoreBatch) -> None:
        await self._writer.write(batch)
        if batch.dropped:
            self._kept.clear()
            self._missing.clear()
            self._plans.forget_all()
        for change in batch.records:
            self._kept.pop((change.kind, change.key), None)
            self._missing.discard((change.kind, change.key))
        for kind, domain in {(change.kind, change.key[0]) for change in batch.records}:
            self._forget_lists(kind, domain)
        self._active.forget(batch)
        for moved in batch.locations:
            self._kept.pop(("location", moved.domain, moved.device), None)

    def _forget_lists(self, kind: str, domain: str) -> None:
        if kind == "dialrule":
            self._plans.forget(domain)
        for key in self._kept.pop(("lists", kind, domain), ()):
            self._kept.pop(key, None)

    async def offset(self, stream: str) -> Offset | None:
        row = self._link.first(select(offsets.c.incarnation, offsets.c.sequence).where(offsets.c.stream == stream))
        return None if row is None else Offset(row.incarnation, row.sequence)

    async def stored_call(self, domain: DomainName, call_id: CallId) -> Call | None:
        return _first_call(self._call.rows(domain, call_id))

    async def live_calls(self) -> list[Call]:
        found = self._link.all(select(calls.c.body).where(~calls.c.is_over))
        return [_call_decoder.decode(row.body) for row in found]

    async def purge(self, bounds: PurgeBounds) -> bool:
        more: list[bool] = []
        await self._writer.do(lambda connection: more.append(purge(connection, bounds)))
        return more[-1]

    # --- directory ---

    def _keep(self, key: Hashable, value: Any) -> None:
        if len(self._kept) >= KEPT_IN_MEMORY:
            self._kept.clear()
        self._kept[key] = value

    def _one(self, kind: str, *key: str) -> Record | None:
        name = (kind, key)
        found: Record | None = self._kept.get(name)
        if found is not None or name in self._missing:
            return found
        rows = self._record.rows(kind, key_text(key))
        if rows:
            found = _record_decoder.decode(rows[0][0])
            self._keep(name, found)
            return found
        if len(self._missing) >= KEPT_MISSES:
            self._missing.clear()
        self._missing.add(name)
        return None

    def _list(self, kind: str, domain: str, parent: str | None) -> list[Record]:
        key = ("list", kind, domain, parent)
        found: list[Record] | None = self._kept.get(key)
        if found is None:
            rows = self._of_domain.rows(kind, domain) if parent is None else self._listed.rows(kind, domain, parent)
            found = sorted((_record_decoder.decode(row[0]) for row in rows), key=lambda record: record.key)
            self._keep(key, found)
            self._kept.setdefault(("lists", kind, domain), set()).add(key)
        return found

    async def domain(self, domain: str) -> Domain | None:
        found = self._one("domain", domain)
        return found if isinstance(found, Domain) else None

    async def user(self, domain: str, user: str) -> User | None:
        found = self._one("user", domain, user)
        return found if isinstance(found, User) else None

    async def device(self, domain: str, device: str) -> Device | None:
        found = self._one("device", domain, device)
        return found if isinstance(found, Device) else None

    async def devices_of(self, domain: str, user: str) -> list[Device]:
        return [one for one in self._list("device", domain, user) if isinstance(one, Device)]

    async def locations(self, domain: str, device: str) -> list[Location]:
        key = ("location", domain, device)
        known: list[Location] | None = self._kept.get(key)
        if known is None:
            known = [_location_decoder.decode(row[0]) for row in self._located.rows(domain, device)]
            known.sort(key=lambda one: (-one.q, -one.registered_at, one.contact))
            self._keep(key, known)
        now = self._clock.now()
        return [one for one in known if one.expires_at > now]

    async def all_locations(self, domain: str | None) -> list[Location]:
        wanted = select(locations.c.body).where(locations.c.expires_at > self._clock.now())
        if domain is not None:
            wanted = wanted.where(locations.c.domain == domain)
        return [_location_decoder.decode(row[0]) for row in self._link.all(wanted)]

    async def phone_number(self, domain: str, number: str) -> PhoneNumber | None:
        found = self._one("phonenumber", domain, number)
        return found if isinstance(found, PhoneNumber) else None

    async def phone_numbers(self, domain: str) -> list[PhoneNumber]:
        return [one for one in self._list("phonenumber", domain, None) if isinstance(one, PhoneNumber)]

    async def dial_rules(self, domain: str, dial_plan: str) -> list[DialRule]:
        return [one for one in self._list("dialrule", domain, dial_plan) if isinstance(one, DialRule)]

    async def dial_plan(self, domain: str, dial_plan: str) -> DialPlan:
        def rules() -> list[DialRule]:
            return [one for one in self._list("dialrule", domain, dial_plan) if isinstance(one, DialRule)]

        return await self._plans.plan(domain, dial_plan, rules)

    async def connection(self, domain: str, pattern: str) -> Trunk | None:
        found = self._one("connection", domain, pattern)
        return found if isinstance(found, Trunk) else None

    async def api_key(self, key_id: str) -> ApiKey | None:
        found = self._one("apikey", key_id)
        return found if isinstance(found, ApiKey) else None

    async def subscription(self, subscription_id: str) -> Subscription | None:
        found = self._one("subscription", subscription_id)
        return found if isinstance(found, Subscription) else None

    async def users_by_login(self, login_username: str) -> list[User]:
        found = [_record_decoder.decode(row[0]) for row in self._by_login.rows(login_username.lower())]
        return [one for one in found if isinstance(one, User)]

    async def record(self, kind: str, key: tuple[str, ...]) -> Record | None:
        return self._one(kind, *key)

    async def records(self, kind: str, domain: str | None = None) -> list[Record]:
        if domain is not None:
            rows = self._of_domain.rows(kind, domain)
        else:
            found = self._link.all(select(records.c.body).where(records.c.kind == kind))
            rows = [(row.body,) for row in found]
        return sorted((_record_decoder.decode(row[0]) for row in rows), key=lambda record: record.key)

    async def record_page(self, wanted: RecordQuery, *, start: int = 1, limit: int = 100) -> list[Record]:
        return await self._readers.run(lambda connection: page(connection, wanted, start=start, limit=limit))

    async def count_records(self, wanted: RecordQuery) -> int:
        return await self._readers.run(lambda connection: count(connection, wanted))

    async def count_by_parent(self, kind: str, domain: str) -> dict[str, int]:
        return await self._readers.run(lambda connection: count_by_parent(connection, kind, domain))

    # --- calls and CDRs ---

    async def call(self, domain: DomainName, name: str) -> Call | None:
        for lookup in (self._call, self._by_session, self._by_leg):
            found = _first_call(lookup.rows(domain, name)) if name else None
            if found is not None:
                return found
        return None

    async def active_calls(
        self,
        *,
        domain: str | None = None,
        user: str | None = None,
        since: float = 0.0,
        start: int = 1,
        limit: int = 100,
    ) -> CallPage:
        return self._active.page(domain=domain, user=user, since=since, start=start, limit=limit)

    async def active_calls_of(
        self, domains: Sequence[str] | None, *, since: float = 0.0, start: int = 1, limit: int = 100
    ) -> CallPage:
        return self._active.page_of(domains, since=since, start=start, limit=limit)

    async def count_active(self, *, domain: str | None = None, user: str | None = None, since: float = 0.0) -> int:
        return self._active.count(domain=domain, user=user, since=since)

    async def active_by_user(self, domain: str) -> dict[str, int]:
        return self._active.by_user(domain)

    async def owned_calls(self, node: NodeId) -> list[Call]:
        return self._active.owned(node)

    async def cdr(self, domain: DomainName, session_id: SessionId) -> Cdr | None:
        row = self._link.first(select(cdrs.c.body).where(cdrs.c.id == session_id, cdrs.c.domain == domain))
        return None if row is None else cdr_of_body(row.body)

    async def cdrs(self, query: CdrQuery, *, limit: int, skip: int = 0, after: Place | None = None) -> CdrPage:
        return await self._readers.run(partial(read_page, query=query, limit=limit, skip=skip, after=after))

    async def count_cdrs(self, query: CdrQuery, *, at_most: int | None = None) -> CdrTotals:
        return await self._readers.run(partial(read_totals, query=query, at_most=at_most), slow=at_most is None)


def _first_call(rows: list[Any]) -> Call | None:
    return _call_decoder.decode(rows[0][0]) if rows else None
