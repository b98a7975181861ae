"""Tables of the store. What is searched by is a column; the whole of a thing is its `body`.

Everything here came from the bus and can be had from it again; `offsets` says how far. Calls and CDRs are MessagePack,
records and locations are JSON as the bus has them. Times are epoch seconds.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, LargeBinary, MetaData, Table, Text

metadata = MetaData()

offsets = Table(
    "offsets",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("incarnation", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

records = Table(
    "records",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # the parts of the key with U+001F between them
    Column("domain", Text, nullable=False),
    Column("parent", Text, nullable=False),  # what lists are made by: a device's user, a dial rule's plan
    Column("body", LargeBinary, nullable=False),
    Index("records_listed", "kind", "domain", "parent"),
)

locations = Table(
    "locations",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("contact_digest", Text, primary_key=True),
    Column("expires_at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("locations_expiring", "expires_at"),
)

calls = Table(
    "calls",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("call_id", Text, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("is_over", Boolean, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("calls_by_session", "session_id"),
)
# Partial, so that a call which goes on touches no index (`store_writer` leaves its indexed columns alone).
Index("calls_active", calls.c.domain, calls.c.user, sqlite_where=~calls.c.is_over, postgresql_where=~calls.c.is_over)
Index("calls_ended", calls.c.ended_at, sqlite_where=calls.c.is_over, postgresql_where=calls.c.is_over)

call_names = Table(
    "call_names",  # the SIP Call-IDs of a call's legs, by which it can be asked for too (contract §3)
    metadata,
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("call_id", Text, nullable=False),
    Index("call_names_of", "domain", "call_id"),
)

cdrs = Table(
    "cdrs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("domain", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("dialled", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("answered_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("talking_s", Float, nullable=False),
    Column("total_s", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("cdrs_by_time", "started_at"),
    Index("cdrs_of_domain", "domain", "started_at"),
    Index("cdrs_of_user", "domain", "user", "started_at"),
)
