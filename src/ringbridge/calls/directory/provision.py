"""Making the directory match a document, and telling what that changed (design.md "Surfaces": `ringbridge apply`).

Inside the domains that a document names, what it does not name is deleted; other domains are left alone unless it says
`prune: yes`. Secrets that it does not name stay as they are, so an exported document, applied, changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from ringbridge.calls.access.credentials import delete_with_credential
from ringbridge.calls.access.login_names import FIELD, LoginNames, login_of, taken_fault
from ringbridge.calls.limits import LimitBus
from ringbridge.calls.ports import Clock, Store
from ringbridge.model.access import Principal
from ringbridge.model.directory import ApiKey, Domain, Key, Record, User, kind_of
from ringbridge.model.document import Document, KeyOrder, read_document
from ringbridge.model.document_export import export_document
from ringbridge.model.errors import BusUnavailable, CallError, Conflict, Fault, Refusal
from ringbridge.model.keys import hash_of, key_id_of, make_key, prefix_for
from ringbridge.model.provisioning import (
    Change,
    NewKey,
    changed_fields,
    check_rights,
    known_keys,
    wanted_key,
    with_kept_secrets,
)
from ringbridge.model.resources import RESOURCES, stamped

T = TypeVar("T")

WRITE_ORDER = ("domain", "connection", "dialrule", "user", "device", "answerrule", "phonenumber", "apikey")
"""What others refer to comes first; deletes go the other way."""
AT_ONCE = 16
"""Writes in flight to the bus: where its throughput stops growing (design.md "The stack")."""


class Applied(msgspec.Struct, frozen=True, rename="kebab"):
    """What applying a document did, or with `dry_run` would do. `keys` are shown this once."""

    dry_run: bool
    changes: tuple[Change, ...]
    keys: tuple[NewKey, ...]
    sequence: int = 0
    """The bus sequence of the last write; 0 when there was none."""


class KeysMade(CallError):
    """It could not all be written, and API keys are stored by now, or may be; `keys` are shown this once."""

    def __init__(self, cause: CallError, keys: Sequence[NewKey]) -> None:
        message = f"{cause.message}; new API keys may be stored by now, and are shown here, this once: {len(keys)}"
        super().__init__(cause.refusal, cause.code, message, faults=cause.faults, retry_after_s=cause.retry_after_s)
        self.keys = tuple(keys)


class _Plan(msgspec.Struct):
    """Writes and deletes to make, and how they are told."""

    puts: list[tuple[Record, Record | None]] = msgspec.field(default_factory=list)
    """Records, and what each was before; None where it must be new."""
    deletes: list[Record] = msgspec.field(default_factory=list)
    changes: list[Change] = msgspec.field(default_factory=list)
    keys: list[NewKey] = msgspec.field(default_factory=list)

    def put(self, record: Record, before: Record | None) -> None:
        fields = changed_fields(before, record)
        if before is not None and not fields:
            return
        action = "create" if before is None else "update"
        self.puts.append((record, before))
        self.changes.append(Change(action, kind_of(record), _named(record), fields))

    def delete(self, record: Record) -> None:
        self.deletes.append(record)
        self.changes.append(Change("delete", kind_of(record), _named(record)))

    def renamed(self) -> list[User]:
        """Return the users who get a name to log in with that they did not have."""
        return [
            one for one, before in self.puts if isinstance(one, User) and login_of(one) not in ("", login_of(before))
        ]

    def leaving(self) -> frozenset[Key]:
        """Return the users who lose theirs."""
        left = [before for one, before in self.puts if before is not None and login_of(before) != login_of(one)]
        return frozenset(one.key for one in (*left, *self.deletes) if isinstance(one, User) and login_of(one))


def _named(record: Record) -> str:
    """Return how people are told of a record: its place, and of a key its description too."""
    if isinstance(record, ApiKey):
        return f"{record.domain}/{record.user}/{record.description}"
    return "/".join(record.key)


class Provision:
    """Applies and exports directory documents."""

    def __init__(self, *, store: Store, bus: LimitBus, clock: Clock, random_part: Callable[[], str]) -> None:
        """`random_part` returns 48 unpredictable letters and digits for a new key (`model.keys`)."""
        self._store = store
        self._bus = bus
        self._clock = clock
        self._random_part = random_part
        self._logins = LoginNames(bus=bus, store=store, clock=clock)

    async def apply(self, raw: Mapping[str, object], principal: Principal, *, dry_run: bool = False) -> Applied:
        """Make the directory match the document `raw`, or only say what that would change.

        Raises:
            CallError: the document has faults (all are named), the principal may not do that, a user would log in as
                another does (409), the directory changed under our hands (409), or the bus cannot store it; what was
                written by then stays, and the same document can be applied again.
        """
        document = read_document(raw)
        stored = await self._stored(document)
        check_rights(document, stored, principal)
        plan = self._plan(document, stored, principal)
        await self._check_logins(plan, document)
        sequence = 0 if dry_run else await self._write(plan)
        return Applied(dry_run, tuple(plan.changes), () if dry_run else tuple(plan.keys), sequence)

    async def _check_logins(self, plan: _Plan, document: Document) -> None:
        leaving = plan.leaving()
        faults: list[Fault] = []
        for part in _parts(plan.renamed()):
            taken = await asyncio.gather(*(self._logins.is_taken(one, leaving=leaving) for one in part))
            faults += [
                taken_fault(one, path=f"{document.paths[kind_of(one), one.key]}.{FIELD}")
                for one, its in zip(part, taken, strict=True)
                if its
            ]
        if faults:
            message = f"{faults[0].field}: {faults[0].message}"
            raise CallError(Refusal.CONFLICT, faults[0].code, message, faults=faults)

    async def export(self, principal: Principal) -> dict[str, object]:
        """Return the document of all domains that `principal` rules over, without secrets."""
        domains = [one for one in await self._store.records("domain") if isinstance(one, Domain)]
        mine = [one for one in domains if principal.rules_domain(one.domain, reseller=one.reseller)]
        records: list[Record] = []
        for domain in mine:
            for kind in WRITE_ORDER[1:-1]:
                records += await self._store.records(kind, domain.domain)
        names = {one.domain for one in mine}
        keys = [one for one in await self._keys() if one.domain in names or principal.is_super_user]
        return export_document(mine, records, keys)

    async def _keys(self) -> list[ApiKey]:
        return [one for one in await self._store.records("apikey") if isinstance(one, ApiKey)]

    async def _stored(self, document: Document) -> list[Record]:
        """Return what is stored in the document's domains (with `prune` in all), and all keys."""
        records: list[Record] = []
        for kind in WRITE_ORDER[:-1]:
            if document.prune:
                records += await self._store.records(kind)
                continue
            for domain in document.domains:
                records += await self._store.records(kind, domain)
        return [*records, *await self._keys()]

    def _plan(self, document: Document, stored: Sequence[Record], principal: Principal) -> _Plan:
        before = {(kind_of(one), one.key): one for one in stored}
        wanted = {(kind_of(one), one.key) for one in document.records}
        plan = _Plan()
        for kind in WRITE_ORDER[:-1]:
            for record in document.records:
                if kind_of(record) == kind:
                    known = before.get((kind, record.key))
                    plan.put(with_kept_secrets(record, known, document), known)
        keys = [one for one in stored if isinstance(one, ApiKey)]
        self._plan_keys(document, keys, plan)
        gone = [one for one in stored if not isinstance(one, ApiKey) and (kind_of(one), one.key) not in wanted]
        gone_places = {(kind_of(one), one.key) for one in gone}
        orders = {order.identity for order in document.keys}
        for key in keys:
            if key.key_id != principal.key_id and _is_gone(key, document, orders, gone_places):
                plan.delete(key)
        for kind in reversed(WRITE_ORDER[:-1]):
            for record in gone:
                if kind_of(record) == kind:
                    plan.delete(record)
        return plan

    def _plan_keys(self, document: Document, stored: Iterable[ApiKey], plan: _Plan) -> None:
        known = known_keys(stored)
        for order in document.keys:
            before = known.get(order.identity)
            text = "" if before else self._new_key(order)
            record = wanted_key(order, before, now=self._clock.now())
            if text:
                record = msgspec.structs.replace(record, key_id=key_id_of(text), key_sha256=hash_of(text))
            plan.put(record, before)
            if text:
                plan.keys.append(NewKey(record.key_id, text, record.description, record.domain, record.user))

    def _new_key(self, order: KeyOrder) -> str:
        prefix = prefix_for(domain=order.domain, user=order.user, reseller=order.fields.reseller)
        return make_key(prefix, self._random_part())

    async def _write(self, plan: _Plan) -> int:
        """Write the plan kind by kind and return the last sequence; API keys last, so that nothing fails after them.

        Raises:
            CallError: as `apply`; `KeysMade` where there are keys by then that nobody was told of.
        """
        last = 0
        leaving = plan.leaving()
        for kind in WRITE_ORDER[:-1]:
            puts = [one for one in plan.puts if kind_of(one[0]) == kind]
            for part in _parts(puts):
                last = max(
                    last, *await asyncio.gather(*(self._put(record, before, leaving) for record, before in part))
                )
        for kind in reversed(WRITE_ORDER):
            gone = [one for one in plan.deletes if kind_of(one) == kind]
            for some in _parts(gone):
                last = max(last, *await asyncio.gather(*map(self._delete, some)))
        return max(last, await self._write_keys(plan))

    async def _write_keys(self, plan: _Plan) -> int:
        """Write the keys one at a time, new ones last, and return the last sequence."""
        last = 0
        made: list[NewKey] = []
        new = {one.key_id: one for one in plan.keys}
        puts = [(record, before) for record, before in plan.puts if isinstance(record, ApiKey)]
        for record, before in sorted(puts, key=lambda one: one[1] is None):
            try:
                last = max(last, await self._put(record, before, ()))
            except CallError as error:
                if before is None and isinstance(error, BusUnavailable):
                    made.append(new[record.key_id])  # it may have been stored all the same
                if made:
                    raise KeysMade(error, made) from error
                raise
            if before is None:
                made.append(new[record.key_id])
        return last

    async def _delete(self, record: Record) -> int:
        sequence = await delete_with_credential(self._store, self._bus, kind_of(record), record.key)
        await self._logins.freed(record)
        return sequence

    async def _put(self, record: Record, before: Record | None, leaving: Collection[Key]) -> int:
        revision = None if before is None else await self._revision_of(before)
        resource = RESOURCES.get(kind_of(record))
        if resource is not None:
            record = stamped(resource, record, self._clock.now(), before=None if before is None else record)
        try:
            async with self._logins.kept(record, before=before, leaving=leaving):
                return await self._bus.put_record(record, only_new=before is None, revision=revision)
        except Conflict as conflict:
            raise _changed(record, "created" if before is None else "changed") from conflict

    async def _revision_of(self, before: Record) -> int:
        """Return the revision of a record that is on the bus as this node's copy has it.

        Raises:
            CallError: it is not.
        """
        stored = await self._bus.read_record(kind_of(before), before.key)
        if stored is None or stored.record != before:
            raise _changed(before, "deleted" if stored is None else "changed")
        return stored.revision


def _changed(record: Record, what: str) -> CallError:
    message = f"{kind_of(record)} {_named(record)} was just {what} by somebody else; apply again"
    return CallError(Refusal.CONFLICT, "directory-changed", message)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _is_gone(key: ApiKey, document: Document, orders: set[tuple[str, str, str]], gone: set[tuple[str, Key]]) -> bool:
    """Return whether the document deletes `key`: its place lists keys without it, or its domain or user goes."""
    if ("domain", (key.domain,)) in gone or ("user", (key.domain, key.user)) in gone:
        return True
    listed = (key.domain, key.user) in document.keyed
    return listed and (key.domain, key.user, key.description) not in orders
