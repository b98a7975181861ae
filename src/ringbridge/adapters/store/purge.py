"""What is old goes, some at a time, so that the replica never waits longer than a breath for it."""

from __future__ import annotations

import math

import msgspec
from sqlalchemy import Connection, bindparam, delete, select

from ringbridge.adapters.store.batch import PurgeBounds
from ringbridge.adapters.store.cdr_rows import cdr_of_body, party_rows
from ringbridge.adapters.store.schema import call_names, calls, cdr_parties, cdrs, locations

AT_ONCE = 2000
"""Rows of a kind."""

_CALL = [calls.c.domain == bindparam("its_domain"), calls.c.call_id == bindparam("its_call_id")]
_NAMES = [call_names.c.domain == bindparam("its_domain"), call_names.c.call_id == bindparam("its_call_id")]
_PARTY = [cdr_parties.c[name] == bindparam(f"its_{name}") for name in ("domain", "user", "started_at", "id")]


def purge(connection: Connection, bounds: PurgeBounds) -> bool:
    """Delete some of what is older than `bounds`; return whether there may be more."""
    connection.execute(delete(locations).where(locations.c.expires_at < bounds.locations_expired_before))
    purged = [_calls(connection, bounds.calls_ended_before)]
    if bounds.cdrs_before != -math.inf:
        purged.append(_cdrs(connection, bounds.cdrs_before))
    return max(purged) == AT_ONCE


def _calls(connection: Connection, ended_before: float) -> int:
    old = select(calls.c.domain, calls.c.call_id).where(calls.c.is_over, calls.c.ended_at < ended_before).limit(AT_ONCE)
    rows = [{"its_domain": row.domain, "its_call_id": row.call_id} for row in connection.execute(old)]
    if rows:
        connection.execute(delete(calls).where(*_CALL), rows)
        connection.execute(delete(call_names).where(*_NAMES), rows)
    return len(rows)


def _cdrs(connection: Connection, before: float) -> int:
    old = select(cdrs.c.id, cdrs.c.body).where(cdrs.c.started_at < before).order_by(cdrs.c.started_at).limit(AT_ONCE)
    found = connection.execute(old).all()
    if found:
        connection.execute(delete(cdrs).where(cdrs.c.id == bindparam("its_id")), [{"its_id": row.id} for row in found])
    parties: list[dict[str, object]] = []
    for row in found:
        try:
            its_rows = party_rows(cdr_of_body(row.body))
        except msgspec.DecodeError:
            continue  # nobody knows whose it was; lists pass over what has no record
        parties += [{f"its_{name}": value for name, value in party.items()} for party in its_rows]
    if parties:
        connection.execute(delete(cdr_parties).where(*_PARTY), parties)
    return len(found)
