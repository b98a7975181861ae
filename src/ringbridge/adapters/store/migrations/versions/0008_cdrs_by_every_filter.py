"""Every filter of CDRs has an index, in a domain's list and in a user's; what users are listed by is in their rows.

The rows of users are made anew from those of the calls: some minutes for ten million.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

LISTED = ["started_at", "id", "seconds"]
SITES = ["orig_site", "term_site"]
OF_USER = ["domain", "user"]
SEEN = ["direction", "on_net"]
COLUMNS = [*OF_USER, "started_at", "id", *SEEN, "seconds"]
ADDED = ["caller", "dialled", *SITES]


def upgrade() -> None:
    """Make the indexes, and the table of users from the old one."""
    op.create_index("cdrs_by_direction_of_all", "cdrs", ["direction", *LISTED])
    for name, covered in (("caller", SITES), ("dialled", ["caller", *SITES])):
        op.drop_index(f"cdrs_by_{name}", "cdrs")
        op.create_index(f"cdrs_by_{name}", "cdrs", ["domain", name, "direction", *LISTED, *covered])
    _index_sites("cdrs", ["domain"], ["direction"])
    _parties()


def _index_sites(table: str, columns: list[str], seen: list[str]) -> None:
    for name, more in (("orig_site", []), ("term_site", ["orig_site"])):
        has_site = sa.text(f"{name} != ''")
        named = [*columns, name, *seen, *LISTED, *more]
        op.create_index(f"{table}_by_{name}", table, named, sqlite_where=has_site, postgresql_where=has_site)


def _parties() -> None:
    op.rename_table("cdr_parties", "cdr_parties_before")
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER INDEX cdr_parties_pkey RENAME TO cdr_parties_before_pkey")
    op.create_table(
        "cdr_parties",
        sa.Column("domain", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("started_at", sa.Float),
        sa.Column("id", sa.Text),
        sa.Column("direction", sa.SmallInteger, nullable=False),
        sa.Column("on_net", sa.Boolean, nullable=False),
        sa.Column("seconds", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ADDED),
        sa.PrimaryKeyConstraint(*OF_USER, "started_at", "id", postgresql_include=["seconds"]),
        sqlite_with_rowid=False,
    )
    before = sa.table("cdr_parties_before", *map(sa.column, COLUMNS))
    calls = sa.table("cdrs", *map(sa.column, ("id", *ADDED)))
    after = sa.table("cdr_parties", *map(sa.column, COLUMNS + ADDED))
    rows = (
        sa.select(*(before.c[name] for name in COLUMNS), *(calls.c[name] for name in ADDED))
        .select_from(before.join(calls, calls.c.id == before.c.id))
        .order_by(*(before.c[name] for name in (*OF_USER, "started_at", "id")))
    )
    op.execute(sa.insert(after).from_select(COLUMNS + ADDED, rows))
    op.drop_table("cdr_parties_before")
    op.create_index("cdr_parties_by_direction", "cdr_parties", [*OF_USER, *SEEN, *LISTED])
    for name, covered in (("caller", SITES), ("dialled", ["caller", *SITES])):
        op.create_index(f"cdr_parties_by_{name}", "cdr_parties", [*OF_USER, name, *SEEN, *LISTED, *covered])
    _index_sites("cdr_parties", OF_USER, SEEN)
