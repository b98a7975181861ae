"""Tables of the store. What is searched by is a column; the whole of a thing is its `body`.

Everything here came from the bus and can be had from it again; `offsets` says how far. Calls and CDRs are MessagePack,
records and locations are JSON as the bus has them. Times are epoch seconds.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData()

offsets = Table(
    "offsets",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("incarnation", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

# Keys and terms are walked by their bytes, whatever the database's language is.
Bytewise = Text().with_variant(Text(collation="C"), "postgresql")

records = Table(
    "records",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Bytewise, primary_key=True),  # the parts of the key with U+001F between them
    Column("domain", Text, nullable=False),
    Column("parent", Text, nullable=False),  # what lists are made by: a device's user, a dial rule's plan
    Column("body", LargeBinary, nullable=False),
    Index("records_listed", "kind", "domain", "parent", "key"),
)

record_terms = Table(
    "record_terms",  # the fields that lists are narrowed by, in lower case
    metadata,
    Column("kind", Text),
    Column("field", Text),
    Column("value", Bytewise),
    Column("domain", Text),
    Column("key", Bytewise),
    PrimaryKeyConstraint("kind", "field", "value", "domain", "key"),
    sqlite_with_rowid=False,
)

record_counts = Table(
    "record_counts",  # how many records of a kind a domain has
    metadata,
    Column("kind", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("total", BigInteger, nullable=False),
)

IS_LOGIN_NAME = text("kind = 'user' AND parent <> ''")
"""Users who have a `login-username`: few, and looked for in all domains at once."""
Index("users_by_login", records.c.parent, sqlite_where=IS_LOGIN_NAME, postgresql_where=IS_LOGIN_NAME)

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
# Partial, so that a call which goes on touches no index (`store.writer` leaves its indexed columns alone).
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

call_users = Table(
    "call_users",  # who takes part in a call that goes on and that somebody else made: few, and gone when it ends
    metadata,
    Column("domain", Text),
    Column("user", Text),
    Column("call_id", Text),
    PrimaryKeyConstraint("domain", "user", "call_id"),
    sqlite_with_rowid=False,
)

# Every way of listing CDRs has an index in the list's own order that holds all that a list or a sum reads of it, so
# that a page deep down and a count of millions touch no row (contract §6; `store.cdr_lists`, `ringbridge bench cdrs`).
_LISTED = ("started_at", "id", "seconds")
_UNFILTERED = ("started_at", "id", "direction", "seconds")
_SITES = ("orig_site", "term_site")

cdrs = Table(
    "cdrs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("domain", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("direction", SmallInteger, nullable=False),  # as the domain sees it
    Column("seconds", Integer, nullable=False),
    Column("caller", Text, nullable=False),
    Column("dialled", Text, nullable=False),
    Column("orig_site", Text, nullable=False),
    Column("term_site", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("cdrs_by_time", *_UNFILTERED),
    Index("cdrs_of_domain", "domain", *_UNFILTERED),
    Index("cdrs_by_direction", "domain", "direction", *_LISTED),
    Index("cdrs_by_direction_of_all", "direction", *_LISTED),
    Index("cdrs_by_caller", "domain", "caller", "direction", *_LISTED, *_SITES),
    Index("cdrs_by_dialled", "domain", "dialled", "direction", *_LISTED, "caller", *_SITES),
)
_OF_USER = ("domain", "user")
_SEEN = ("direction", "on_net")
cdr_parties = Table(
    "cdr_parties",  # the users in whose history a call belongs, and how each sees it (`model.cdr.parties_of`)
    metadata,
    Column("domain", Text),
    Column("user", Text),
    Column("started_at", Float),
    Column("id", Text),
    Column("direction", SmallInteger, nullable=False),
    Column("on_net", Boolean, nullable=False),
    Column("seconds", Integer, nullable=False),
    Column("caller", Text, nullable=False),
    Column("dialled", Text, nullable=False),
    Column("orig_site", Text, nullable=False),
    Column("term_site", Text, nullable=False),
    PrimaryKeyConstraint(*_OF_USER, "started_at", "id", postgresql_include=["seconds"]),
    Index("cdr_parties_by_direction", *_OF_USER, *_SEEN, *_LISTED),
    Index("cdr_parties_by_caller", *_OF_USER, "caller", *_SEEN, *_LISTED, *_SITES),
    Index("cdr_parties_by_dialled", *_OF_USER, "dialled", *_SEEN, *_LISTED, "caller", *_SITES),
    sqlite_with_rowid=False,
)


def has_site(table: FromClause, leg: str) -> ColumnElement[bool]:
    """Return whether a leg has a site: most domains have none, and their calls are in no index of sites.

    Not `> ''`: SQLite would take that for a range, and other indexes for better.
    """
    return table.c[f"{leg}_site"] != text("''")


def _index_sites(table: Table, *columns: str, seen: tuple[str, ...]) -> None:
    """Add the indexes by the site of each leg; the second leg's says too whether the first has counted the call."""
    for leg, more in (("orig", ()), ("term", ("orig_site",))):
        named = (*columns, f"{leg}_site", *seen, *_LISTED, *more)
        has_one = has_site(table, leg)
        Index(
            f"{table.name}_by_{leg}_site",
            *(table.c[name] for name in named),
            sqlite_where=has_one,
            postgresql_where=has_one,
        )


_index_sites(cdrs, "domain", seen=("direction",))
_index_sites(cdr_parties, *_OF_USER, seen=_SEEN)
