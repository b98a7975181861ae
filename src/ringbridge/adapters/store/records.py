"""Directory records in the database: how a list finds its page, and what a batch changes (`store.schema.records`).

A page walks the primary key of its kind and domain, or the index of its parent; what lists are narrowed by stands in
`record_terms`, so that a page of those who begin with `lov` is found by walking there. How many a domain has is
counted as records come and go: counting a million of them takes longer than a page may.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import ColumnElement, Connection, Dialect, Select, Table, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from ringbridge.adapters.store.batch import RecordChange
from ringbridge.adapters.store.schema import record_counts, record_terms, records
from ringbridge.adapters.store.statements import Many
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.model.directory import Record, parent_of
from ringbridge.model.resources import terms_of

log = structlog.get_logger(__name__)

Term = tuple[str, str, str, str, str]
"""A row of `record_terms`: kind, field, value, domain, key."""

SEPARATOR: Final = "\x1f"
"""Between the parts of a key; below every character that a part may hold."""
_BEHIND: Final = "\x20"
DOMAIN_FIRST: Final = frozenset({"user", "device", "phonenumber", "dialrule", "connection", "answerrule"})
"""Kinds whose key begins with their domain."""
BY_KEY: Final = {"user": "user", "device": "device"}
"""Fields that are narrowed by the key itself, which is the domain and they: a million terms less."""
AUDIT: Final = "audit"
"""The kind whose lists are by key, newest first, over all domains."""
_WILDCARD: Final = "*"
_LAST: Final = "\U0010ffff"

_record_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_json = msgspec.json.Encoder().encode
_domains = records.alias("domains")


def key_text(key: tuple[str, ...]) -> str:
    """Return a record's key as its column has it."""
    return SEPARATOR.join(key)


# --- reading ---------------------------------------------------------------------------------------------------------


def page(connection: Connection, wanted: RecordQuery, *, start: int, limit: int) -> list[Record]:
    """Return part of the records that are `wanted`."""
    statement = _found(select(records.c.body), wanted)
    for column in _order(wanted):
        statement = statement.order_by(column)
    found = connection.execute(statement.limit(limit).offset(max(start, 1) - 1))
    return [record for row in found if (record := _readable(row.body)) is not None]


def _readable(body: bytes) -> Record | None:
    """Return a stored record; None for one that this version cannot read, which must not stop a list."""
    try:
        return _record_decoder.decode(body)
    except msgspec.DecodeError:
        log.exception("record_unreadable")
        return None


def count(connection: Connection, wanted: RecordQuery) -> int:
    """Return how many records are `wanted`."""
    if wanted.parent is None and not wanted.filters and wanted.between is None:
        statement = select(func.coalesce(func.sum(record_counts.c.total), 0)).where(record_counts.c.kind == wanted.kind)
        statement = _of_tenant(statement, record_counts.c.domain, wanted)
    elif wanted.parent is None and len(wanted.filters) == 1 and not _is_by_key(wanted, wanted.filters[0][0]):
        # The terms alone know: to look at each record too takes ten times as long.
        field, value = wanted.filters[0]
        statement = select(func.count()).select_from(record_terms)
        statement = statement.where(record_terms.c.kind == wanted.kind, record_terms.c.field == field)
        statement = statement.where(*_valued(record_terms.c.value, value), *_within(record_terms.c.key, wanted))
        statement = _of_tenant(statement, record_terms.c.domain, wanted)
    else:
        statement = _found(select(func.count()).select_from(records), wanted)
    return int(connection.execute(statement).scalar_one())


def count_by_parent(connection: Connection, kind: str, domain: str) -> dict[str, int]:
    """Return how many records of a kind each parent in a domain has."""
    found = connection.execute(
        select(records.c.parent, func.count())
        .where(records.c.kind == kind, records.c.domain == domain)
        .group_by(records.c.parent)
        .order_by(records.c.parent)
    )
    return {row[0]: int(row[1]) for row in found}


def _of_tenant(statement: Select[Any], domain: ColumnElement[str], wanted: RecordQuery) -> Select[Any]:
    if wanted.domain is not None:
        statement = statement.where(domain == wanted.domain)
    if wanted.reseller is not None:
        own = select(_domains.c.key).where(_domains.c.kind == "domain", _domains.c.parent == wanted.reseller)
        statement = statement.where(domain.in_(own))
    return statement


def _found(statement: Select[Any], wanted: RecordQuery) -> Select[Any]:
    """Narrow a statement on `records` to what is `wanted`."""
    statement = statement.where(records.c.kind == wanted.kind, *_within(records.c.key, wanted))
    if wanted.parent is not None:
        statement = statement.where(records.c.parent == wanted.parent)
    if wanted.domain is not None and wanted.kind in DOMAIN_FIRST and wanted.parent is None and not wanted.filters:
        # The same as the domain, but by the primary key, which gives the order too; with filters their terms lead.
        first, behind = wanted.domain + SEPARATOR, wanted.domain + _BEHIND
        statement = statement.where(records.c.key >= first, records.c.key < behind)
        statement = _of_tenant(statement, records.c.domain, msgspec.structs.replace(wanted, domain=None))
    else:
        statement = _of_tenant(statement, records.c.domain, wanted)
    for place, (field, value) in enumerate(wanted.filters):
        if _is_by_key(wanted, field):
            statement = statement.where(*_valued(records.c.key, f"{wanted.domain}{SEPARATOR}{value}"))
            continue
        term = record_terms.alias(f"term{place}")
        statement = statement.join(term, (term.c.kind == records.c.kind) & (term.c.key == records.c.key))
        statement = statement.where(term.c.kind == wanted.kind, term.c.field == field, *_valued(term.c.value, value))
        if wanted.domain is not None:
            statement = statement.where(term.c.domain == wanted.domain)
    return statement


def _valued(column: ColumnElement[str], value: str) -> Sequence[ColumnElement[bool]]:
    if not value.endswith(_WILDCARD):
        return [column == value]
    beginning = value[: -len(_WILDCARD)]
    return [column >= beginning, column < beginning + _LAST]


def _within(key: ColumnElement[str], wanted: RecordQuery) -> Sequence[ColumnElement[bool]]:
    if wanted.between is None:
        return []
    first, behind = wanted.between
    return [key >= first, key < behind]


def _order(wanted: RecordQuery) -> Sequence[ColumnElement[Any]]:
    """Return what a page is ordered by: the key, behind the value where many begin alike; as the leading index does."""
    terms = [place for place, (field, _) in enumerate(wanted.filters) if not _is_by_key(wanted, field)]
    if not terms or wanted.kind == AUDIT:
        return [records.c.key]
    leading = record_terms.alias(f"term{terms[0]}")
    by_value = [leading.c.value] if wanted.filters[terms[0]][1].endswith(_WILDCARD) else []
    return [*by_value, leading.c.domain, leading.c.key]


def _is_by_key(wanted: RecordQuery, field: str) -> bool:
    return wanted.domain is not None and BY_KEY.get(wanted.kind) == field


# --- writing ---------------------------------------------------------------------------------------------------------


class RecordWriter:
    """Writes the records of a batch with their terms and counts, on the connection of the store's one writer."""

    def __init__(self, dialect: Dialect) -> None:
        make = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
        put = make(records)
        put = put.on_conflict_do_update(
            index_elements=["kind", "key"],
            set_={name: put.excluded[name] for name in ("domain", "parent", "body")},
        )
        add = make(record_counts)
        add = add.on_conflict_do_update(
            index_elements=["kind", "domain"], set_={"total": record_counts.c.total + add.excluded.total}
        )
        term = ("kind", "field", "value", "domain", "key")
        self._put = Many(dialect, put, "kind", "key", "domain", "parent", "body")
        self._delete = Many(dialect, _delete_by(records, "kind", "key"), "its_kind", "its_key")
        self._put_term = Many(dialect, make(record_terms).on_conflict_do_nothing(), *term)
        self._delete_term = Many(dialect, _delete_by(record_terms, *term), *(f"its_{name}" for name in term))
        self._add = Many(dialect, add, "kind", "domain", "total")

    def write(self, connection: Connection, changes: Sequence[RecordChange]) -> None:
        """Bring the tables to what `changes` say; each record is there at most once."""
        if not changes:
            return
        before = _stored(connection, changes)
        counts: dict[tuple[str, str], int] = defaultdict(int)
        gone: set[Term] = set()
        new: set[Term] = set()
        for change in changes:
            key = key_text(change.key)
            old = before.get((change.kind, key))
            for record, sign, terms in ((old, -1, gone), (change.record, 1, new)):
                if record is not None:
                    counts[change.kind, record.domain] += sign
                    terms.update(_terms(change.kind, key, record))
        self._delete.run(connection, [(one.kind, key_text(one.key)) for one in changes if one.record is None])
        self._put.run(connection, [_row(one, one.record) for one in changes if one.record is not None])
        self._delete_term.run(connection, list(gone - new))
        self._put_term.run(connection, sorted(new - gone))
        self._add.run(connection, [(*place, by) for place, by in counts.items() if by])


def drop(connection: Connection) -> None:
    """Delete all records."""
    for table in (records, record_terms, record_counts):
        connection.execute(delete(table))


def _delete_by(table: Table, *names: str) -> Any:
    return delete(table).where(*(table.c[name] == bindparam(f"its_{name}") for name in names))


def _stored(connection: Connection, changes: Iterable[RecordChange]) -> dict[tuple[str, str], Record]:
    keys: dict[str, list[str]] = defaultdict(list)
    for change in changes:
        keys[change.kind].append(key_text(change.key))
    stored: dict[tuple[str, str], Record] = {}
    for kind, of_kind in keys.items():
        found = connection.execute(
            select(records.c.key, records.c.body).where(records.c.kind == kind, records.c.key.in_(of_kind))
        )
        stored |= {(kind, row[0]): record for row in found if (record := _readable(row[1])) is not None}
    return stored


def _terms(kind: str, key: str, record: Record) -> Iterable[Term]:
    by_key, domain = BY_KEY.get(kind), record.domain
    return [(kind, field, value, domain, key) for field, value in terms_of(record) if field != by_key]


def _row(change: RecordChange, record: Record) -> tuple[Any, ...]:
    return (change.kind, key_text(change.key), record.domain, parent_of(record), _json(record))
