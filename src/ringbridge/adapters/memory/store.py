"""The store in memory: what tests use instead of a database, with the same answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from ringbridge.adapters.nats.subjects import CALL_STREAMS, Stream, contact_digest, stream_of
from ringbridge.adapters.store.batch import Offset, PurgeBounds, StoreBatch
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.calls.ports import CallPage, Clock
from ringbridge.model.call import Call
from ringbridge.model.cdr import Cdr
from ringbridge.model.cdr_query import CdrPage, CdrQuery, CdrTotals, Place, fits, place_of, total_seconds
from ringbridge.model.dial_plan import DialPlan
from ringbridge.model.directory import (
    ApiKey,
    Connection,
    Device,
    DialRule,
    Domain,
    Location,
    PhoneNumber,
    Record,
    Subscription,
    User,
    parent_of,
)
from ringbridge.model.errors import StoreUnavailable
from ringbridge.model.ids import CallId, DomainName, NodeId, SessionId
from ringbridge.model.resources import terms_of
from ringbridge.model.taking_part import users_in


class MemoryStore:
    """`store.batch.ReplicaStore` in dictionaries. Tests may also fill it directly: `put`, `put_call`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offsets: dict[str, Offset] = {}
        self._records: dict[str, dict[tuple[str, ...], Record]] = {}
        self._locations: dict[tuple[str, str, str], Location] = {}
        self._calls: dict[tuple[str, str], Call] = {}
        self._cdrs: dict[str, Cdr] = {}
        self.commits = 0
        self.is_writable = True
        """Tests make it False: locked, full, away."""

    # --- written by the replica ---

    async def apply(self, batch: StoreBatch) -> None:
        await asyncio.sleep(0)
        if not self.is_writable:
            raise StoreUnavailable("the local copy cannot be written now: disk full")
        for stream in batch.dropped:
            self._drop(stream)
        for change in batch.records:
            of_kind = self._records.setdefault(change.kind, {})
            if change.record is None:
                of_kind.pop(change.key, None)
            else:
                of_kind[change.key] = change.record
        for moved in batch.locations:
            place = (moved.domain, moved.device, moved.contact_digest)
            if moved.location is None:
                self._locations.pop(place, None)
            else:
                self._locations[place] = moved.location
        for call in batch.calls:
            self.put_call(call)
        for cdr in batch.cdrs:
            self._cdrs[cdr.id] = cdr
        self._offsets.update(batch.offsets)
        self.commits += 1

    def put(self, *records: Record) -> None:
        """Put directory records without a bus."""
        for record in records:
            self._records.setdefault(str(type(record).__struct_config__.tag), {})[record.key] = record

    def put_location(self, location: Location) -> None:
        """Put a location without a bus."""
        self._locations[location.domain, location.device, contact_digest(location.contact)] = location

    def put_call(self, call: Call) -> None:
        """Put a call without a bus."""
        self._calls[call.domain, call.call_id] = call

    def _drop(self, stream: str) -> None:
        """Forget what came from `stream`; CDRs stay, they tell of calls that were."""
        if stream in CALL_STREAMS:
            self._calls = {key: call for key, call in self._calls.items() if stream_of(call.sequence) != stream}
        elif stream == Stream.DIRECTORY:
            self._records.clear()
        else:
            self._locations.clear()
        self._offsets.pop(stream, None)

    async def offset(self, stream: str) -> Offset | None:
        return self._offsets.get(stream)

    async def stored_call(self, domain: DomainName, call_id: CallId) -> Call | None:
        return self._calls.get((domain, call_id))

    async def live_calls(self) -> list[Call]:
        return [call for call in self._calls.values() if not call.is_over]

    async def purge(self, bounds: PurgeBounds) -> bool:
        for key, call in list(self._calls.items()):
            if call.is_over and max(call.ended_at, call.barred_until) < bounds.calls_ended_before:
                del self._calls[key]
        for place, location in list(self._locations.items()):
            if location.expires_at < bounds.locations_expired_before:
                del self._locations[place]
        self._cdrs = {key: cdr for key, cdr in self._cdrs.items() if cdr.started_at >= bounds.cdrs_before}
        return False

    async def close(self) -> None:
        """Nothing to close."""

    # --- directory ---

    async def domain(self, domain: str) -> Domain | None:
        found = self._one("domain", (domain,))
        return found if isinstance(found, Domain) else None

    async def user(self, domain: str, user: str) -> User | None:
        found = self._one("user", (domain, user))
        return found if isinstance(found, User) else None

    async def device(self, domain: str, device: str) -> Device | None:
        found = self._one("device", (domain, device))
        return found if isinstance(found, Device) else None

    async def devices_of(self, domain: str, user: str) -> list[Device]:
        return [one for one in self._all("device", domain) if isinstance(one, Device) and one.user == user]

    async def locations(self, domain: str, device: str) -> list[Location]:
        now = self._clock.now()
        found = [
            one
            for (its_domain, its_device, _), one in self._locations.items()
            if its_domain == domain and its_device == device and one.expires_at > now
        ]
        return sorted(found, key=lambda one: (-one.q, -one.registered_at, one.contact))

    async def all_locations(self, domain: str | None) -> list[Location]:
        now = self._clock.now()
        return [one for one in self._locations.values() if one.expires_at > now and domain in (None, one.domain)]

    async def phone_number(self, domain: str, number: str) -> PhoneNumber | None:
        found = self._one("phonenumber", (domain, number))
        return found if isinstance(found, PhoneNumber) else None

    async def phone_numbers(self, domain: str) -> list[PhoneNumber]:
        return [one for one in self._all("phonenumber", domain) if isinstance(one, PhoneNumber)]

    async def dial_rules(self, domain: str, dial_plan: str) -> list[DialRule]:
        rules = [one for one in self._all("dialrule", domain) if isinstance(one, DialRule)]
        return [rule for rule in rules if rule.dial_rule_dial_plan == dial_plan]

    async def dial_plan(self, domain: str, dial_plan: str) -> DialPlan:
        return DialPlan(await self.dial_rules(domain, dial_plan))

    async def connection(self, domain: str, pattern: str) -> Connection | None:
        found = self._one("connection", (domain, pattern))
        return found if isinstance(found, Connection) else None

    async def api_key(self, key_id: str) -> ApiKey | None:
        found = self._one("apikey", (key_id,))
        return found if isinstance(found, ApiKey) else None

    async def subscription(self, subscription_id: str) -> Subscription | None:
        found = self._one("subscription", (subscription_id,))
        return found if isinstance(found, Subscription) else None

    async def users_by_login(self, login_username: str) -> list[User]:
        found = [one for one in self._all("user", None) if isinstance(one, User)]
        return [one for one in found if one.login_username and one.login_username.lower() == login_username.lower()]

    async def record(self, kind: str, key: tuple[str, ...]) -> Record | None:
        return self._one(kind, key)

    async def records(self, kind: str, domain: str | None = None) -> list[Record]:
        return self._all(kind, domain)

    async def record_page(self, wanted: RecordQuery, *, start: int = 1, limit: int = 100) -> list[Record]:
        first = max(start, 1) - 1
        return self._wanted(wanted)[first : first + limit]

    async def count_records(self, wanted: RecordQuery) -> int:
        return len(self._wanted(wanted))

    def _wanted(self, wanted: RecordQuery) -> list[Record]:
        found = self._all(wanted.kind, wanted.domain)
        if wanted.reseller is not None:
            domains = self._records.get("domain", {}).values()
            own = {one.domain for one in domains if parent_of(one) == wanted.reseller}
            found = [one for one in found if one.domain in own]
        found = [one for one in found if wanted.parent in (None, parent_of(one))]
        for field, value in wanted.filters:
            found = [one for one in found if _fits(dict(terms_of(one)).get(field), value)]
        if (within := wanted.between) is not None:
            found = [one for one in found if within[0] <= one.key[0] < within[1]]
        if wanted.filters and wanted.filters[0][1].endswith("*") and wanted.kind != "audit":
            first = wanted.filters[0][0]
            found.sort(key=lambda one: (dict(terms_of(one))[first], one.key))
        return found

    async def count_by_parent(self, kind: str, domain: str) -> dict[str, int]:
        found = Counter(parent_of(one) for one in self._all(kind, domain))
        return dict(sorted(found.items()))

    def _one(self, kind: str, key: tuple[str, ...]) -> Record | None:
        return self._records.get(kind, {}).get(key)

    def _all(self, kind: str, domain: str | None) -> list[Record]:
        found = sorted(self._records.get(kind, {}).items(), key=lambda item: item[0])
        return [record for _, record in found if domain is None or record.domain == domain]

    # --- calls and CDRs ---

    async def call(self, domain: DomainName, name: str) -> Call | None:
        call = self._calls.get((domain, name))
        if call is not None:
            return call
        own = [one for one in self._calls.values() if one.domain == domain]
        by_session = [one for one in own if one.session_id == name and name]
        by_leg = [one for one in own if any(leg.sip_call_id == name for leg in one.legs)]
        return next(iter(by_session + by_leg), None)

    async def active_calls(
        self,
        *,
        domain: str | None = None,
        user: str | None = None,
        since: float = 0.0,
        start: int = 1,
        limit: int = 100,
    ) -> CallPage:
        found = sorted(self._active(domain, user, since), key=lambda call: (call.requested_at, call.sequence))
        first = max(start, 1) - 1
        return CallPage(found[first : first + limit], len(found))

    async def active_calls_of(
        self, domains: Sequence[str] | None, *, since: float = 0.0, start: int = 1, limit: int = 100
    ) -> CallPage:
        every = (await self.active_calls(since=since, limit=len(self._calls))).calls
        found = [call for call in every if domains is None or call.domain in domains]
        first = max(start, 1) - 1
        return CallPage(found[first : first + limit], len(found))

    async def count_active(self, *, domain: str | None = None, user: str | None = None, since: float = 0.0) -> int:
        return len(list(self._active(domain, user, since)))

    def _active(self, domain: str | None, user: str | None, since: float = 0.0) -> Iterable[Call]:
        for call in self._calls.values():
            if call.is_over or domain not in (None, call.domain) or call.requested_at < since:
                continue
            if user in (None, call.user) or user in users_in(call):
                yield call

    async def active_by_user(self, domain: str) -> dict[str, int]:
        return dict(Counter(user for call in self._active(domain, None) for user in (call.user, *users_in(call))))

    async def owned_calls(self, node: NodeId) -> list[Call]:
        return [call for call in self._calls.values() if not call.is_over and call.owner == node]

    async def cdr(self, domain: DomainName, session_id: SessionId) -> Cdr | None:
        found = self._cdrs.get(session_id)
        return found if found is not None and found.domain == domain else None

    async def cdrs(self, query: CdrQuery, *, limit: int, skip: int = 0, after: Place | None = None) -> CdrPage:
        found = sorted((cdr for cdr in self._cdrs.values() if fits(cdr, query)), key=_order, reverse=True)
        if after is not None:
            found = [cdr for cdr in found if _order(cdr) < (after.started_at, after.id)]
        page = found[skip : skip + limit]
        return CdrPage(page, place_of(page[-1]) if page else None, more=len(found) > skip + limit)

    async def count_cdrs(self, query: CdrQuery, *, at_most: int | None = None) -> CdrTotals:
        found = [cdr for cdr in self._cdrs.values() if fits(cdr, query)][:at_most]
        return CdrTotals(len(found), sum(map(total_seconds, found)))


def _order(cdr: Cdr) -> tuple[float, str]:
    return (cdr.started_at, cdr.id)


def _fits(term: str | None, value: str) -> bool:
    if term is None:
        return False
    return term.startswith(value[:-1]) if value.endswith("*") else term == value
